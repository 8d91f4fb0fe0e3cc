package trainer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"slices"

	"andon/event"
	"andon/model"
	"andon/trainer/fit"
)

// Frames is a Source of frames, too: those that were kept and that labels speak of.
type Frames interface {
	// LabelledFrames calls f for each of a pipeline's frames that are kept and have labels, by camera and then in order of time, with the labels that are in force for it. What f gets is the callee's only until it
	// returns. What was asked comes back, for the lineage.
	LabelledFrames(ctx context.Context, pipeline string, f func(Frame) error) (query string, err error)
	// CountLabelledFrames returns how many there are.
	CountLabelledFrames(ctx context.Context, pipeline string) (int, error)
}

// Frame is a frame with what people say of it.
type Frame struct {
	// Position is where its record is, or was, in the log.
	event.Position
	Camera string
	// Captured is event time, Unix nanoseconds.
	Captured int64
	JPEG     []byte
	Labels   []event.Label
}

// Crop is what a model is shown of a frame: the part from (X0, Y0) to (X1, Y1) in 0 to 1 around a zone, or all of it.
type Crop struct {
	Zone           string // empty: the whole frame
	X0, Y0, X1, Y1 float64
}

// whole is the crop of a camera without zones that want one.
var whole = Crop{X1: 1, Y1: 1}

// Sight is how a pipeline's frames become numbers, and what models say becomes boxes: the code that serves.
type Sight struct {
	// Planes decodes a crop of a JPEG and scales it to three planes of width x height bytes, red, green, blue.
	Planes func(dst []byte, jpeg []byte, c Crop, width, height int) ([]byte, error)
	// Crops are what models are shown of a camera's frames; nil, or none: the whole.
	Crops func(camera string) []Crop
	// Read is boxes.Read.
	Read func(p *model.Picture, outs []model.Tensor, i int, dst []event.Box) ([]event.Box, string, float32, error)
}

// errNoFrames is the error of a source that keeps none.
var errNoFrames = errors.New("no frames are kept here to learn from")

func (s *Sight) crops(camera string) []Crop {
	if s.Crops != nil {
		if all := s.Crops(camera); len(all) > 0 {
			return all
		}
	}
	return []Crop{whole}
}

// example is one frame, or a crop of one, with its truth.
type example struct {
	camera   string
	captured int64
	crop     Crop
	class    int        // of a classification
	marks    []fit.Mark // of a detection, in pixels of the network's input
	weight   float32
	golden   bool
	missed   bool   // somebody marked that the model should have seen it
	pixels   []byte // for learning
	jpeg     []byte // for examinations, in which each model has a size of its own
}

// gallery is what a model of pictures learns from and is judged by.
type gallery struct {
	all []example
	// unknown counts frames of which no label says anything that the network could learn, torn those that could not be decoded.
	unknown, torn int
	cameras       int
	query, digest string
	spans         []event.Span
	stride        int // every so many frames was taken
}

// collectFrames reads a pipeline's labelled frames, or those crops of them that models are shown; memory bounds their pixels, or their files where raw keeps those instead: of more, every second frame is let go,
// as often as it takes.
func collectFrames(ctx context.Context, src Source, p *Pipeline, memory event.Bytes, raw bool) (*gallery, error) {
	frames, ok := src.(Frames)
	if !ok || p.Sight.Planes == nil {
		return nil, errNoFrames
	}
	s := p.Spec.Picture
	size := 3 * s.Width * s.Height
	room := max(int(memory)/2, 16*size) // the other half is batches
	g := &gallery{stride: 1}
	spans := map[event.Position]event.Span{}
	seen, held := 0, 0
	var pixels []byte
	var err error
	g.query, err = frames.LabelledFrames(ctx, p.Name, func(f Frame) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		for i := range p.Spec.Exclude {
			if p.Spec.Exclude[i].has(f.Camera, f.Captured) {
				return nil
			}
		}
		var all []example
		crops := p.Sight.crops(f.Camera)
		for _, c := range crops {
			if e, ok := s.example(p.Spec.Task, &f, c, len(crops) == 1); ok {
				all = append(all, e)
			}
		}
		if len(all) == 0 {
			g.unknown++
			return nil
		}
		if seen++; (seen-1)%g.stride != 0 {
			return nil
		}
		var file []byte
		if raw {
			file = slices.Clone(f.JPEG)
			held += len(file)
		}
		for i := range all {
			e := &all[i]
			var err error
			if pixels, err = p.Sight.Planes(pixels[:0], f.JPEG, e.crop, s.Width, s.Height); err != nil {
				g.torn++
				return nil
			}
			if e.jpeg = file; !raw {
				e.pixels = slices.Clone(pixels)
				held += size
			}
		}
		g.all = append(g.all, all...)
		at := f.Position
		at.Offset = 0
		span, ok := spans[at]
		if !ok {
			span = event.Span{Topic: f.Topic, Partition: f.Partition, First: f.Offset, Next: f.Offset}
		}
		span.First, span.Next = min(span.First, f.Offset), max(span.Next, f.Offset+1)
		spans[at] = span
		if held > room {
			held = g.thin(size)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for at, span := range spans {
		if at.Topic != "" {
			g.spans = append(g.spans, span)
		}
	}
	slices.SortFunc(g.spans, func(a, b event.Span) int {
		if a.Topic != b.Topic {
			return map[bool]int{true: -1, false: 1}[a.Topic < b.Topic]
		}
		return int(a.Partition - b.Partition)
	})
	g.sum()
	return g, nil
}

// thin lets every second frame go, with all its crops, and returns the bytes of those that stay.
func (g *gallery) thin(size int) (held int) {
	kept, n := g.all[:0], -1
	camera, captured := "", int64(0)
	for _, e := range g.all {
		first := n < 0 || camera != e.camera || captured != e.captured
		if first {
			n++
		}
		camera, captured = e.camera, e.captured
		if n%2 == 1 {
			continue
		}
		kept = append(kept, e)
		if e.pixels != nil {
			held += size
		} else if first {
			held += len(e.jpeg)
		}
	}
	clear(g.all[len(kept):])
	g.all = kept
	g.stride *= 2
	return held
}

// has reports whether a moment of an asset is excluded.
func (e *Excluded) has(asset string, at int64) bool {
	s, ok := e.of(asset)
	return ok && at >= s.from && at < s.until
}

// example makes an example of what labels say of a crop, without pixels; false where they say nothing that counts here. A label with a box speaks of the crops that hold the box's middle; one without, of the whole
// frame: of a class, and that is told of a crop where it is the only one of its frame; that there is nothing, of all. A frame in a detection is taken to have labels for all that it shows.
func (p *PictureSpec) example(task model.Task, f *Frame, c Crop, alone bool) (e example, ok bool) {
	e = example{camera: f.Camera, captured: f.Captured, crop: c, weight: 1, class: -1}
	told := int64(math.MinInt64)
	for i := range f.Labels {
		l := &f.Labels[i]
		if l.Kind == event.KindQuarantine {
			return e, false
		}
		if l.Kind == event.KindMissed {
			e.missed, e.golden, e.weight = true, e.golden || l.Golden, max(e.weight, float32(l.Weight))
			continue
		}
		class, clear, known := p.class(l.Kind)
		if !known {
			continue
		}
		boxed := l.Box.X1 > l.Box.X0 && l.Box.Y1 > l.Box.Y0
		here := clear || alone
		if boxed {
			x, y := float64(l.Box.X0+l.Box.X1)/2, float64(l.Box.Y0+l.Box.Y1)/2
			here = x >= c.X0 && x < c.X1 && y >= c.Y0 && y < c.Y1
		}
		switch {
		case task == model.Classification && !here: // of another zone
			continue
		case task == model.Classification && class >= 0 && l.Told >= told: // of two that contradict each other the later counts
			e.class, told, ok = class, l.Told, true
		case task == model.Detection && clear:
			ok = true
		case task == model.Detection && boxed:
			ok = true // what lies elsewhere says that nothing is here
			if !here {
				continue
			}
			across, down := float64(p.Width)/(c.X1-c.X0), float64(p.Height)/(c.Y1-c.Y0)
			e.marks = append(e.marks, fit.Mark{Class: class, X0: max((float64(l.Box.X0)-c.X0)*across, 0), Y0: max((float64(l.Box.Y0)-c.Y0)*down, 0),
				X1: min((float64(l.Box.X1)-c.X0)*across, float64(p.Width)), Y1: min((float64(l.Box.Y1)-c.Y0)*down, float64(p.Height))})
		default:
			continue
		}
		if l.Weight > 0 {
			e.weight = max(float32(l.Weight), e.weight)
		}
		e.golden = e.golden || l.Golden
	}
	return e, ok
}

// sum counts cameras and names the data.
func (g *gallery) sum() {
	hash := sha256.New()
	var buf []byte
	number := func(v uint64) { buf = binary.LittleEndian.AppendUint64(buf, v) }
	cameras := map[string]bool{}
	for i := range g.all {
		e := &g.all[i]
		cameras[e.camera] = true
		buf = append(append(buf[:0], e.camera...), 0)
		if e.crop != whole {
			buf = append(append(buf, e.crop.Zone...), 0)
			for _, v := range [...]float64{e.crop.X0, e.crop.Y0, e.crop.X1, e.crop.Y1} {
				number(math.Float64bits(v))
			}
		}
		number(uint64(e.captured)) //nolint:gosec // bits
		number(uint64(int64(e.class)))
		number(uint64(math.Float32bits(e.weight)))
		for _, m := range e.marks {
			number(uint64(m.Class)) //nolint:gosec // a place
			for _, v := range [...]float64{m.X0, m.Y0, m.X1, m.Y1} {
				number(math.Float64bits(v))
			}
		}
		buf = append(append(buf, e.pixels...), e.jpeg...)
		_, _ = hash.Write(buf) // a hash takes all
	}
	g.cameras, g.digest = len(cameras), hex.EncodeToString(hash.Sum(nil))
}
