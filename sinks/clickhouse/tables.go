package clickhouse

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"andon/event"
)

// table says how one kind of a block's rows goes into its table. Rows of a kind are in the order of their offsets.
type table struct {
	name   string
	run    string // of the replay whose rows they are, in a table that holds those of several
	rows   func(b *event.Block) int
	offset func(b *event.Block, i int) int64
	// times calls f for every time that row i holds.
	times func(b *event.Block, i int, f func(ns int64))
	// pick returns a block that holds the rows of this kind that keep names, and no others.
	pick  func(b *event.Block, keep func(i int) bool) *event.Block
	frame func(b *event.Block) *frame
}

// blockTables are in the order of insertion: dead letters when it is known which rows were refused, and what was handled when all else is there.
var blockTables = []*table{
	{
		name: "readings",
		rows: func(b *event.Block) int {
			if b.Counted {
				return 0
			}
			return b.Readings.Len()
		},
		offset: func(b *event.Block, i int) int64 { return b.Readings.Offset[i] },
		times:  func(b *event.Block, i int, f func(ns int64)) { f(b.Readings.Time[i]) },
		pick: func(b *event.Block, keep func(i int) bool) *event.Block {
			out, width := bare(b), len(b.Readings.Signals)
			out.Readings.Signals = b.Readings.Signals
			for i := range b.Readings.Asset {
				if keep(i) {
					out.Readings.Append(&event.Row{Asset: b.Readings.Asset[i], Time: b.Readings.Time[i], Offset: b.Readings.Offset[i],
						Values: b.Readings.Values[i*width : (i+1)*width]}, b.Readings.Status[i])
				}
			}
			return out
		},
		frame: readingsFrame,
	},
	{
		name:   "features",
		rows:   func(b *event.Block) int { return b.Features.Len() },
		offset: func(b *event.Block, i int) int64 { return b.Features.Offset[i] },
		times: func(b *event.Block, i int, f func(ns int64)) {
			f(b.Features.Start[i])
			f(b.Features.End[i])
		},
		pick: func(b *event.Block, keep func(i int) bool) *event.Block {
			out, f := bare(b), &b.Features
			out.Features.Names = f.Names
			for i := range f.Asset {
				if keep(i) {
					copy(out.Features.Append(f.Asset[i], f.Start[i], f.End[i], f.Offset[i]), f.Row(i))
				}
			}
			return out
		},
		frame: featuresFrame,
	},
	{
		name:   "scores",
		rows:   func(b *event.Block) int { return len(b.Scores) },
		offset: func(b *event.Block, i int) int64 { return b.Scores[i].Offset },
		times: func(b *event.Block, i int, f func(ns int64)) {
			f(b.Scores[i].Start)
			f(b.Scores[i].End)
			f(b.Scores[i].ScoredAt)
		},
		pick: func(b *event.Block, keep func(i int) bool) *event.Block {
			out := bare(b)
			out.Scores = filter(b.Scores, keep)
			return out
		},
		frame: func(b *event.Block) *frame { return scoresFrame(b, b.Scores) },
	},
	{
		name:   "shadow_scores",
		rows:   func(b *event.Block) int { return len(b.Shadows) },
		offset: func(b *event.Block, i int) int64 { return b.Shadows[i].Offset },
		times: func(b *event.Block, i int, f func(ns int64)) {
			f(b.Shadows[i].Start)
			f(b.Shadows[i].End)
			f(b.Shadows[i].ScoredAt)
		},
		pick: func(b *event.Block, keep func(i int) bool) *event.Block {
			out := bare(b)
			out.Shadows = filter(b.Shadows, keep)
			return out
		},
		frame: func(b *event.Block) *frame { return scoresFrame(b, b.Shadows) },
	},
	framesTable("frames", func(b *event.Block) *[]event.Sight { return &b.Sights }, framesFrame),
	framesTable("shadow_frames", func(b *event.Block) *[]event.Sight { return &b.ShadowSights }, seen),
	{
		name:   "labels",
		rows:   func(b *event.Block) int { return len(b.Labels) },
		offset: func(b *event.Block, i int) int64 { return b.Labels[i].Offset },
		times: func(b *event.Block, i int, f func(ns int64)) {
			f(b.Labels[i].Time)
			f(b.Labels[i].Until)
			f(b.Labels[i].Told)
		},
		pick: func(b *event.Block, keep func(i int) bool) *event.Block {
			out := bare(b)
			out.Labels = filter(b.Labels, keep)
			return out
		},
		frame: labelsFrame,
	},
	{
		name:   "deadletters",
		rows:   func(b *event.Block) int { return len(b.DeadLetters) },
		offset: func(b *event.Block, i int) int64 { return b.DeadLetters[i].Offset },
		times:  func(b *event.Block, i int, f func(ns int64)) { f(b.DeadLetters[i].Time) },
		pick: func(b *event.Block, keep func(i int) bool) *event.Block {
			out := bare(b)
			out.DeadLetters = filter(b.DeadLetters, keep)
			return out
		},
		frame: deadLettersFrame,
	},
	handledTable,
}

// bare returns a block of the same range with no rows.
func bare(b *event.Block) *event.Block {
	return &event.Block{Pipeline: b.Pipeline, Topic: b.Topic, Partition: b.Partition, First: b.First, Next: b.Next}
}

func filter[T any](rows []T, keep func(i int) bool) []T {
	var out []T
	for i := range rows {
		if keep(i) {
			out = append(out, rows[i])
		}
	}
	return out
}

const (
	micro    = "DateTime64(6, 'UTC')"
	statuses = "Enum8('ok' = 1, 'duplicate' = 2, 'filtered' = 3)"
)

// earliest is the first instant that DateTime64 holds; its last lies after the last that Unix nanoseconds hold.
var earliest = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()

// micros adds a DateTime64(6) column from Unix nanoseconds, rounded down.
func (f *frame) micros(name string, at func(row int) int64) {
	each(f, name, micro, func(row int) int64 {
		us := at(row) / 1000
		if at(row)%1000 < 0 {
			us--
		}
		return us
	})
}

func readingsFrame(b *event.Block) *frame {
	r := &b.Readings
	f := &frame{rows: r.Len(), order: sorted(r.Len(), func(i int) string { return r.Asset[i] }, func(i int) int64 { return r.Time[i] })}
	f.word("pipeline", b.Pipeline)
	f.words("asset", func(i int) string { return r.Asset[i] })
	f.micros("time", func(i int) int64 { return r.Time[i] })
	f.word("signals", strings.Join(r.Signals, ","))
	f.lists("values", len(r.Signals), r.Values)
	each(f, "status", statuses, func(i int) event.Status { return r.Status[i] })
	f.word("_topic", b.Topic)
	same(f, "_partition", "Int32", b.Partition)
	each(f, "_offset", "Int64", func(i int) int64 { return r.Offset[i] })
	return f
}

func featuresFrame(b *event.Block) *frame {
	w := &b.Features
	f := &frame{rows: w.Len(), order: sorted(w.Len(), func(i int) string { return w.Asset[i] }, func(i int) int64 { return w.End[i] })}
	f.word("pipeline", b.Pipeline)
	f.words("asset", func(i int) string { return w.Asset[i] })
	f.micros("start", func(i int) int64 { return w.Start[i] })
	f.micros("end", func(i int) int64 { return w.End[i] })
	f.word("names", strings.Join(w.Names, ","))
	f.lists("values", len(w.Names), w.Values)
	f.word("_topic", b.Topic)
	same(f, "_partition", "Int32", b.Partition)
	each(f, "_offset", "Int64", func(i int) int64 { return w.Offset[i] })
	return f
}

func scoresFrame(b *event.Block, s []event.Score) *frame {
	f := &frame{rows: len(s), order: sorted(len(s), func(i int) string { return s[i].Asset }, func(i int) int64 { return s[i].End })}
	f.word("pipeline", b.Pipeline)
	f.words("asset", func(i int) string { return s[i].Asset })
	f.micros("start", func(i int) int64 { return s[i].Start })
	f.micros("end", func(i int) int64 { return s[i].End })
	each(f, "value", "Float32", func(i int) float32 { return s[i].Value })
	each(f, "risk", "Float32", func(i int) float32 { return s[i].Risk })
	f.words("version", func(i int) string { return s[i].Version })
	each(f, "latency_ns", "Int64", func(i int) int64 { return s[i].Latency })
	f.micros("scored_at", func(i int) int64 { return s[i].ScoredAt })
	each(f, "batch", "UInt32", func(i int) uint32 { return s[i].Batch })
	each(f, "queue_ns", "Int64", func(i int) int64 { return s[i].Queue })
	each(f, "compute_ns", "Int64", func(i int) int64 { return s[i].Compute })
	f.word("_topic", b.Topic)
	same(f, "_partition", "Int32", b.Partition)
	each(f, "_offset", "Int64", func(i int) int64 { return s[i].Offset })
	return f
}

func labelsFrame(b *event.Block) *frame {
	l := b.Labels
	f := &frame{rows: len(l)}
	f.words("pipeline", func(i int) string { return l[i].Pipeline })
	f.words("asset", func(i int) string { return l[i].Asset })
	f.micros("time", func(i int) int64 { return l[i].Time })
	f.words("label", func(i int) string { return l[i].Kind })
	each(f, "value", "Float64", func(i int) float64 { return l[i].Value })
	f.micros("until", func(i int) int64 { return l[i].Until })
	corners := make([]float64, 0, 4*len(l))
	for i := range l {
		corners = append(corners, float64(l[i].Box.X0), float64(l[i].Box.Y0), float64(l[i].Box.X1), float64(l[i].Box.Y1))
	}
	f.lists("box", 4, corners)
	f.texts("of", func(i int) string { return l[i].Of })
	each(f, "weight", "Float64", func(i int) float64 { return l[i].Weight })
	each(f, "golden", "Bool", func(i int) byte { return boolean(l[i].Golden) })
	each(f, "withdrawn", "Bool", func(i int) byte { return boolean(l[i].Withdrawn) })
	f.words("who", func(i int) string { return l[i].Who })
	f.texts("note", func(i int) string { return l[i].Note })
	f.micros("told", func(i int) int64 { return l[i].Told })
	f.word("_topic", b.Topic)
	same(f, "_partition", "Int32", b.Partition)
	each(f, "_offset", "Int64", func(i int) int64 { return l[i].Offset })
	return f
}

func deadLettersFrame(b *event.Block) *frame {
	d := b.DeadLetters
	f := &frame{rows: len(d)}
	f.word("pipeline", b.Pipeline)
	f.words("reason", func(i int) string { return d[i].Reason })
	f.texts("detail", func(i int) string { return d[i].Detail })
	f.micros("time", func(i int) int64 { return d[i].Time })
	f.texts("key", func(i int) string { return string(d[i].Key) })
	f.texts("value", func(i int) string { return string(d[i].Value) })
	each(f, "key_null", "Bool", func(i int) byte { return boolean(d[i].Key == nil) })
	each(f, "value_null", "Bool", func(i int) byte { return boolean(d[i].Value == nil) })
	f.pairs("headers", "Array(Tuple(key String, value String))", func(i int, pair func(key, value string)) {
		for _, h := range d[i].Headers {
			pair(h.Key, string(h.Value))
		}
	})
	f.word("_topic", b.Topic)
	same(f, "_partition", "Int32", b.Partition)
	each(f, "_offset", "Int64", func(i int) int64 { return d[i].Offset })
	return f
}

// boolean is a Bool in Native.
func boolean(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// check returns what is wrong with a block; anything is a fault of whoever made it.
func check(b *event.Block) error {
	r, n := &b.Readings, b.Readings.Len()
	if len(r.Time) != n || len(r.Offset) != n || len(r.Status) != n || len(r.Values) != n*len(r.Signals) {
		return fmt.Errorf("readings: %d assets, %d times, %d offsets, %d statuses, %d values of %d signals", n, len(r.Time), len(r.Offset), len(r.Status),
			len(r.Values), len(r.Signals))
	}
	w, m := &b.Features, b.Features.Len()
	if len(w.Start) != m || len(w.End) != m || len(w.Offset) != m || len(w.Values) != m*len(w.Names) {
		return fmt.Errorf("features: %d assets, %d starts, %d ends, %d offsets, %d values of %d names", m, len(w.Start), len(w.End), len(w.Offset), len(w.Values), len(w.Names))
	}
	for _, s := range slices.Concat(r.Signals, w.Names) {
		if s == "" || strings.Contains(s, ",") {
			return fmt.Errorf("signal %q: a name may not be empty nor hold a comma; rename it in the pipeline", s)
		}
	}
	for _, s := range slices.Concat(b.Sights, b.ShadowSights) {
		if s.Width < 0 || s.Width > math.MaxUint16 || s.Height < 0 || s.Height > math.MaxUint16 {
			return fmt.Errorf("frames: %dx%d pixels at offset %d", s.Width, s.Height, s.Offset)
		}
	}
	for i := range r.Status {
		if r.Status[i] < event.StatusOK || r.Status[i] > event.StatusFiltered {
			return fmt.Errorf("readings: status %d at offset %d", r.Status[i], r.Offset[i])
		}
	}
	for _, t := range blockTables {
		for i := range t.rows(b) {
			if o := t.offset(b, i); o < b.First || o >= b.Next || i > 0 && o < t.offset(b, i-1) {
				return fmt.Errorf("%s: offset %d is outside of the block, or out of order", t.name, o)
			}
		}
	}
	return nil
}
