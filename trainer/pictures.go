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

// Sight is how a pipeline's frames become numbers, and what models say becomes boxes: the code that serves.
type Sight struct {
	// Planes decodes and scales a JPEG to three planes of width x height bytes, red, green, blue.
	Planes func(dst []byte, jpeg []byte, width, height int) ([]byte, error)
	// Read is boxes.Read.
	Read func(p *model.Picture, outs []model.Tensor, i int, dst []event.Box) ([]event.Box, string, float32, error)
}

// errNoFrames is the error of a source that keeps none.
var errNoFrames = errors.New("no frames are kept here to learn from")

// example is one frame with its truth.
type example struct {
	camera   string
	captured int64
	class    int        // of a classification
	marks    []fit.Mark // of a detection, in pixels of the network's input
	weight   float32
	golden   bool
	pixels   []byte
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

// collectFrames reads a pipeline's labelled frames; memory bounds their pixels: of more, every second is let go, as often as it takes.
func collectFrames(ctx context.Context, src Source, p *Pipeline, memory event.Bytes) (*gallery, error) {
	frames, ok := src.(Frames)
	if !ok || p.Sight.Planes == nil {
		return nil, errNoFrames
	}
	s := p.Spec.Picture
	size := 3 * s.Width * s.Height
	most := max(int(memory)/2/size, 16) // the other half is batches
	g := &gallery{stride: 1}
	spans := map[event.Position]event.Span{}
	seen := 0
	var err error
	g.query, err = frames.LabelledFrames(ctx, p.Name, func(f Frame) error {
		for i := range p.Spec.Exclude {
			if p.Spec.Exclude[i].has(f.Camera, f.Captured) {
				return nil
			}
		}
		e, ok := s.example(p.Spec.Task, &f)
		if !ok {
			g.unknown++
			return nil
		}
		if seen++; (seen-1)%g.stride != 0 {
			return nil
		}
		pixels, err := p.Sight.Planes(make([]byte, 0, size), f.JPEG, s.Width, s.Height)
		if err != nil {
			g.torn++
			return nil
		}
		e.pixels = pixels
		g.all = append(g.all, e)
		at := f.Position
		at.Offset = 0
		span, ok := spans[at]
		if !ok {
			span = event.Span{Topic: f.Topic, Partition: f.Partition, First: f.Offset, Next: f.Offset}
		}
		span.First, span.Next = min(span.First, f.Offset), max(span.Next, f.Offset+1)
		spans[at] = span
		if len(g.all) > most {
			for i := range (len(g.all) + 1) / 2 {
				g.all[i] = g.all[2*i]
			}
			kept := (len(g.all) + 1) / 2
			clear(g.all[kept:])
			g.all = g.all[:kept]
			g.stride *= 2
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

// has reports whether a moment of an asset is excluded.
func (e *Excluded) has(asset string, at int64) bool {
	s, ok := e.of(asset)
	return ok && at >= s.from && at < s.until
}

// example makes an example of what labels say, without pixels; false where they say nothing that counts here. A frame in a detection is taken to have labels for all that it shows.
func (p *PictureSpec) example(task model.Task, f *Frame) (e example, ok bool) {
	e = example{camera: f.Camera, captured: f.Captured, weight: 1, class: -1}
	told := int64(math.MinInt64)
	for i := range f.Labels {
		l := &f.Labels[i]
		if l.Kind == event.KindQuarantine {
			return e, false
		}
		class, clear, known := p.class(l.Kind)
		if !known {
			continue
		}
		switch {
		case task == model.Classification && class >= 0 && l.Told >= told: // of two that contradict each other the later counts
			e.class, told, ok = class, l.Told, true
		case task == model.Detection && clear:
			ok = true
		case task == model.Detection && l.Box.X1 > l.Box.X0 && l.Box.Y1 > l.Box.Y0:
			b := &l.Box
			w, h := float64(p.Width), float64(p.Height)
			e.marks = append(e.marks, fit.Mark{Class: class, X0: float64(b.X0) * w, Y0: float64(b.Y0) * h, X1: float64(b.X1) * w, Y1: float64(b.Y1) * h})
			ok = true
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
		number(uint64(e.captured)) //nolint:gosec // bits
		number(uint64(int64(e.class)))
		number(uint64(math.Float32bits(e.weight)))
		for _, m := range e.marks {
			number(uint64(m.Class)) //nolint:gosec // a place
			for _, v := range [...]float64{m.X0, m.Y0, m.X1, m.Y1} {
				number(math.Float64bits(v))
			}
		}
		buf = append(buf, e.pixels...)
		_, _ = hash.Write(buf) // a hash takes all
	}
	g.cameras, g.digest = len(cameras), hex.EncodeToString(hash.Sum(nil))
}
