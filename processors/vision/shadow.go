package vision

import (
	"context"
	"slices"
	"sync"
	"time"

	"andon/event"
	"andon/model"
	"andon/processors/vision/boxes"
)

// shadowPatience is how long a flush waits for the shadow's frames under way.
const shadowPatience = 20 * time.Millisecond

// shade is what other models say of the same frames: the shadow, and the champion beside a canary. It looks at one chunk at a time beside the line and never makes it wait; what comes meanwhile is shed.
type shade struct {
	line    *Line
	ctx     context.Context
	stop    context.CancelFunc
	decoder Decoder
	models  []*model.Model
	done    chan struct{} // of the chunk under way, nil without

	mu sync.Mutex
	// cut counts blocks; ready is what was said of the frames of each that has not been collected.
	cut, collected int
	ready          map[int][]event.Sight
}

func (s *shade) open(l *Line) {
	s.line = l
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.ready = map[int][]event.Sight{}
}

func (s *shade) close() {
	s.stop()
	if s.done != nil {
		<-s.done
	}
	if s.decoder != nil {
		s.decoder.Close()
	}
}

// shadow hands the chunk's frames to the models that look without acting.
func (p *Partition) shadow(sights []event.Sight) {
	s, c := &p.shade, &p.chunk
	s.models = s.models[:0]
	add := func(m *model.Model) {
		if m != nil && m.Picture != nil && m.Version != c.model.Version && !slices.ContainsFunc(s.models, func(o *model.Model) bool { return o.Version == m.Version }) {
			s.models = append(s.models, m)
		}
	}
	if f := p.line.deps.Judge.Shadow; f != nil {
		add(f())
	}
	if p.canary != nil && c.model == p.canary {
		add(p.champion)
	}
	if len(s.models) == 0 {
		return
	}
	if s.done != nil {
		select {
		case <-s.done:
		default:
			p.line.meters.shadows["shed"].Add(float64(len(c.frames) * len(s.models)))
			return
		}
	}
	frames, blank := slices.Clone(c.frames), make([]event.Sight, 0, len(c.frames))
	for i := range frames {
		v := &sights[frames[i].sight]
		blank = append(blank, event.Sight{Pipeline: v.Pipeline, Camera: v.Camera, Captured: v.Captured, Sequence: v.Sequence, Width: v.Width, Height: v.Height, Bytes: v.Bytes,
			Status: event.SightScored, Position: v.Position})
	}
	s.done = make(chan struct{})
	go s.look(s.done, s.cut, slices.Clone(s.models), frames, blank)
}

// look has each model look at the frames.
func (s *shade) look(done chan struct{}, cut int, models []*model.Model, frames []looked, blank []event.Sight) {
	defer close(done)
	for _, m := range models {
		got, err := s.score(m, frames, blank)
		s.mu.Lock()
		switch {
		case err != nil:
			s.line.meters.shadows["failed"].Add(float64(len(frames)))
		case cut < s.collected:
			s.line.meters.shadows["shed"].Add(float64(len(frames)))
		default:
			s.line.meters.shadows["scored"].Add(float64(len(frames)))
			s.ready[cut] = append(s.ready[cut], got...)
		}
		s.mu.Unlock()
	}
}

func (s *shade) score(m *model.Model, frames []looked, blank []event.Sight) ([]event.Sight, error) {
	if s.decoder == nil {
		var err error
		if s.decoder, err = s.line.deps.Decoder(); err != nil {
			return nil, err
		}
	}
	var planes []float32
	var all [][]Plan
	n := 0
	for i := range frames {
		plans := plansOf(&s.line.cfg, m.Picture, frames[i].Camera)
		var err error
		if planes, err = s.decoder.Append(planes, frames[i].JPEG, plans); err != nil {
			return nil, err
		}
		all = append(all, plans)
		n += len(plans)
	}
	runs := make([]event.Run, n)
	outs, err := s.line.deps.Judge.Scorer.SeeRuns(s.ctx, m, planes, n, nil, runs)
	if err != nil {
		return nil, err
	}
	got, at := slices.Clone(blank), 0
	for i := range got {
		v := &got[i]
		v.Version, v.Run = m.Version, runs[at]
		for j := range all[i] {
			from := len(v.Boxes)
			var label string
			var risk float32
			if v.Boxes, label, risk, err = boxes.Read(m.Picture, outs, at, v.Boxes); err != nil {
				return nil, err
			}
			for b := from; b < len(v.Boxes); b++ {
				all[i][j].back(&v.Boxes[b])
			}
			if j == 0 || risk > v.Risk {
				v.Label, v.Risk = label, risk
			}
			at++
		}
		v.ScoredAt = s.line.now().UnixNano()
	}
	return got, nil
}

// next begins the next block, and returns what ends when the frames under way have been looked at; nil: there are none.
func (s *shade) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut++
	return s.done
}

// collect appends what the shadows have said of a block's frames; what is under way is waited for a little and then not taken any more.
func (s *shade) collect(cut int, looking <-chan struct{}, dst []event.Sight) []event.Sight {
	if looking != nil {
		wait := time.NewTimer(shadowPatience)
		select {
		case <-looking:
		case <-wait.C:
		}
		wait.Stop()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.collected = cut + 1
	dst = append(dst, s.ready[cut]...)
	delete(s.ready, cut)
	slices.SortStableFunc(dst, func(a, b event.Sight) int { return int(a.Offset - b.Offset) })
	return dst
}
