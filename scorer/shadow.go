package scorer

import (
	"errors"
	"time"

	"andon/event"
	"andon/model"
)

// ErrShed is what became of shadow windows that were given up before they ran.
var ErrShed = errors.New("shed: the scorer is busy with windows that count")

// shadow is one call of Shadow. It is guarded by Scorer.mu.
type shadow struct {
	r request
	// flying is set while a run has its windows, dropped when nothing more shall run.
	flying, dropped bool
	done            chan error
}

// Shadow scores windows as Score does, with what Score leaves of the machine, and returns at once: they run while no window of a Score waits, on one worker's place,
// so that a call of Score waits for one run of them at most. ok is false, and nothing is kept, when the model is not loaded or Config.ShadowQueue calls wait already.
//
// done gets one value, nil when out holds all verdicts; both slices are the caller's again then. drop gives up what has not begun, with ErrShed; it may be called at any time.
func (s *Scorer) Shadow(m *model.Model, windows []float32, out []event.Verdict) (done <-chan error, drop func(), ok bool) {
	size := m.Recipe.Length * m.Recipe.Width()
	if m.Picture != nil || len(out) == 0 || len(windows) != len(out)*size {
		return nil, nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[m.Version]
	if s.closed || q == nil || q.session == nil || len(s.shadows) >= s.cfg.ShadowQueue {
		return nil, nil, false
	}
	s.calls.Add(1)
	q.inUse++
	sh := &shadow{r: request{windows: windows, out: out, n: len(out), arrived: time.Now(), q: q}, done: make(chan error, 1)}
	s.shadows = append(s.shadows, sh)
	s.maybeShadeLocked()
	return sh.done, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dropShadowLocked(sh, ErrShed)
	}, true
}

// maybeShadeLocked gives a free place to the shadows if nothing else wants it.
func (s *Scorer) maybeShadeLocked() {
	if len(s.shadows) == 0 || s.shading || s.idle == 0 || s.rows > 0 {
		return
	}
	s.idle--
	s.shading = true
	s.helpers.Add(1)
	go func() {
		defer s.helpers.Done()
		s.shade()
	}()
}

// shade fills a worker's place with shadows until a window that counts waits.
func (s *Scorer) shade() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.shadows) > 0 && s.rows == 0 {
		sh := s.shadows[0]
		r := &sh.r
		b := s.slotLocked(r.q)
		b.n = min(r.q.most(), r.n-r.taken)
		b.parts = append(b.parts, part{r: r, at: r.taken, n: b.n})
		sh.flying = true
		s.mu.Unlock()
		err := b.compute()
		s.mu.Lock()
		sh.flying = false
		if err == nil {
			err = b.parts[0].err
		}
		b.parts[0] = part{}
		r.q.slots = append(r.q.slots, b)
		if r.taken += b.n; err != nil || r.taken == r.n {
			s.endShadowLocked(sh, err)
		} else if sh.dropped {
			s.endShadowLocked(sh, r.err)
		}
	}
	s.shading = false
	if s.rows > 0 {
		s.helpLocked()
	} else {
		s.idle++
	}
}

// dropShadowLocked ends a shadow now, or once the run that has its windows is back.
func (s *Scorer) dropShadowLocked(sh *shadow, err error) {
	if sh.dropped || sh.r.done {
		return
	}
	sh.dropped, sh.r.err = true, err
	if !sh.flying {
		s.endShadowLocked(sh, err)
	}
}

func (s *Scorer) endShadowLocked(sh *shadow, err error) {
	for i, o := range s.shadows {
		if o == sh {
			s.shadows = append(s.shadows[:i], s.shadows[i+1:]...)
			break
		}
	}
	sh.r.done = true
	sh.r.windows, sh.r.out = nil, nil
	sh.r.q.inUse--
	s.maybeFreeLocked(sh.r.q)
	s.calls.Done()
	sh.done <- err
}
