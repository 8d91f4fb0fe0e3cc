package decode

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"

	"andon/event"
)

// sketch reads what a line tells of one of its pieces, as sinks/kafka writes it.
type sketch struct{}

func (d *sketch) Decode(r *event.Record, b *event.Batch) error {
	s, ok := quickSketch(r.Value)
	if !ok {
		s = event.Sketch{}
		if err := json.Unmarshal(r.Value, &s); err != nil {
			return malformed("the record is no sketch of a line: %v", err)
		}
	}
	// What is held against what: the position of the line's record says whose piece it is.
	if s.Pipeline == "" || s.Version == "" || s.Group == "" || s.Windows < 1 || s.Clusters < 1 || s.Blocks < 1 || s.Topic == "" {
		return malformed("the sketch names no pipeline, version, group or topic, or has no windows, assets or parts of time")
	}
	for i := range s.Features {
		f := &s.Features[i]
		if !f.Tests.Finite() {
			return malformed("the sketch's feature %q has sums that are not finite", f.Name)
		}
		if f.Name == "" || len(f.Counts) != len(f.Expected) || len(f.Counts) == 0 || len(f.Weights) > 0 && len(f.Weights) != len(f.Counts) || uint64(f.Missing) > uint64(s.Windows) ||
			slices.ContainsFunc(f.Expected, func(x float32) bool { return !(x >= 0) || math.IsInf(float64(x), 0) }) {
			return malformed("the sketch's feature %q does not hold together: %d counts, %d expected, %d missing of %d windows", f.Name, len(f.Counts), len(f.Expected), f.Missing, s.Windows)
		}
		if f.Vector != nil && !f.Vector.Whole() {
			return malformed("the sketch's vector of %q does not hold together", f.Name)
		}
	}
	b.Sketches = append(b.Sketches, event.SketchAt{Offset: r.Offset, Sketch: s})
	return nil
}

// quickSketch reads a sketch as we write it: no space, no escape, no member that we do not know or that is there twice. Of any other it says false, and encoding/json reads it, which takes ten times as long.
func quickSketch(data []byte) (s event.Sketch, ok bool) {
	c := cursor{d: data}
	c.object(func(key []byte) {
		switch string(key) {
		case "position":
			c.object(func(key []byte) {
				switch string(key) {
				case "Topic":
					s.Topic = c.text()
				case "Partition":
					s.Partition = int32(c.integer(math.MinInt32, math.MaxInt32))
				case "Offset":
					s.Offset = c.integer(math.MinInt64, math.MaxInt64)
				default:
					c.bad = true
				}
			})
		case "pipeline":
			s.Pipeline = c.text()
		case "version":
			s.Version = c.text()
		case "group":
			s.Group = c.text()
		case "stranger":
			s.Stranger = c.truth()
		case "apart":
			s.Apart = c.text()
		case "piece":
			s.Piece = c.integer(math.MinInt64, math.MaxInt64)
		case "last":
			s.Last = c.truth()
		case "reference":
			s.Reference = c.text()
		case "start":
			s.Start = c.integer(math.MinInt64, math.MaxInt64)
		case "end":
			s.End = c.integer(math.MinInt64, math.MaxInt64)
		case "windows":
			s.Windows = int(c.integer(math.MinInt64, math.MaxInt64))
		case "assets":
			s.Clusters = int(c.integer(math.MinInt64, math.MaxInt64))
		case "blocks":
			s.Blocks = int(c.integer(math.MinInt64, math.MaxInt64))
		case "squares":
			s.Squares = c.number()
		case "block_squares":
			s.BlockSquares = c.number()
		case "tp":
			s.TP = c.number()
		case "fp":
			s.FP = c.number()
		case "fn":
			s.FN = c.number()
		case "tn":
			s.TN = c.number()
		case "brier":
			s.Brier = c.number()
		case "features":
			s.Features = []event.SketchFeature{}
			c.list(func() {
				s.Features = append(s.Features, event.SketchFeature{})
				c.feature(&s.Features[len(s.Features)-1])
			})
		default:
			c.bad = true
		}
	})
	return s, !c.bad && c.i == len(data)
}

func (c *cursor) feature(f *event.SketchFeature) {
	c.object(func(key []byte) {
		switch string(key) {
		case "name":
			f.Name = c.text()
		case "role":
			f.Role = c.text()
		case "counts":
			c.packed(&f.Counts)
		case "expected":
			c.packed(&f.Expected)
		case "tests":
			c.packed(&f.Tests)
		case "missing":
			f.Missing = uint32(c.integer(0, math.MaxUint32))
		case "expected_missing":
			f.ExpectedMissing = c.number()
		case "weights":
			f.Weights = []float64{}
			c.list(func() { f.Weights = append(f.Weights, c.number()) })
		case "sum":
			f.Sum = c.number()
		case "expected_sum":
			f.ExpectedSum = c.number()
		case "squared_sum":
			f.SquaredSum = c.number()
		case "furthest":
			f.Furthest = []string{}
			c.list(func() { f.Furthest = append(f.Furthest, c.text()) })
		default:
			c.bad = true
		}
	})
}

// cursor reads JSON that was written without space. After what it does not know it is bad, and stays where it is.
type cursor struct {
	d   []byte
	i   int
	bad bool
	n   numeral
}

// take steps over a byte if it comes next.
func (c *cursor) take(b byte) bool {
	if c.bad || c.i >= len(c.d) || c.d[c.i] != b {
		return false
	}
	c.i++
	return true
}

func (c *cursor) expect(b byte) {
	if !c.take(b) {
		c.bad = true
	}
}

// object calls member at the value of each, which it must read.
func (c *cursor) object(member func(key []byte)) {
	var seen [24][]byte
	n := 0
	c.expect('{')
	for first := true; !c.bad && !c.take('}'); first = false {
		if !first {
			c.expect(',')
		}
		key := c.word()
		if c.expect(':'); c.bad || n == len(seen) || slices.ContainsFunc(seen[:n], func(k []byte) bool { return bytes.Equal(k, key) }) {
			c.bad = true
			return
		}
		seen[n] = key
		n++
		member(key)
	}
}

// list calls element at each, which it must read.
func (c *cursor) list(element func()) {
	c.expect('[')
	for first := true; !c.bad && !c.take(']'); first = false {
		if !first {
			c.expect(',')
		}
		element()
	}
}

// quoted returns a string with its quotes, whatever lies between.
func (c *cursor) quoted() []byte {
	if c.bad || c.i >= len(c.d) || c.d[c.i] != '"' {
		c.bad = true
		return nil
	}
	n := bytes.IndexByte(c.d[c.i+1:], '"')
	if n < 0 {
		c.bad = true
		return nil
	}
	b := c.d[c.i : c.i+n+2]
	c.i += n + 2
	return b
}

func (c *cursor) text() string { return string(c.word()) }

// word returns a string without its quotes and with nothing escaped.
func (c *cursor) word() []byte {
	b := c.quoted()
	for _, x := range b {
		if x < ' ' || x == '\\' || x >= 0x80 {
			c.bad = true
		}
	}
	if c.bad {
		return nil
	}
	return b[1 : len(b)-1]
}

func (c *cursor) packed(to interface{ UnmarshalJSON([]byte) error }) {
	b := c.quoted()
	if c.bad || bytes.IndexByte(b, '\n') >= 0 || bytes.IndexByte(b, '\r') >= 0 || to.UnmarshalJSON(b) != nil {
		c.bad = true
	}
}

func (c *cursor) truth() bool {
	for _, word := range []string{"true", "false"} {
		if !c.bad && bytes.HasPrefix(c.d[c.i:], []byte(word)) {
			c.i += len(word)
			return word == "true"
		}
	}
	c.bad = true
	return false
}

func (c *cursor) number() float64 {
	n := &c.n
	if c.bad {
		return 0
	}
	end := scanNumber(c.d, c.i, n)
	if end < 0 {
		c.bad = true
		return 0
	}
	x, ok := n.float(c.d[c.i:end])
	c.bad, c.i = !ok, end
	return x
}

func (c *cursor) integer(least, most int64) int64 {
	n := &c.n
	if c.bad {
		return 0
	}
	end := scanNumber(c.d, c.i, n)
	if end < 0 || n.cut || n.exponent != 0 || n.mantissa > math.MaxInt64 || bytes.ContainsAny(c.d[c.i:end], ".eE") {
		c.bad = true
		return 0
	}
	c.i = end
	v := int64(n.mantissa)
	if n.negative {
		v = -v
	}
	if v < least || v > most {
		c.bad = true
	}
	return v
}
