package scorer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"andon/event"
	"andon/model"
)

// ErrBusy is what Serve returns, with the reason, for a call that it does not take.
var ErrBusy = errors.New("the scorer is busy")

// Serve is Score for callers who would rather be told than wait. It ends with ErrBusy, before any window of the call has run, when Config.Queue calls are inside, when
// the call would wait, or has waited, for its first run for longer than Config.Deadline, or when by the pace of late its verdicts would come after ctx's own deadline.
func (s *Scorer) Serve(ctx context.Context, m *model.Model, windows []float32, out []event.Verdict) error {
	err := s.score(ctx, m, windows, out, true)
	if errors.Is(err, ErrBusy) {
		s.metrics.busy.WithLabelValues(m.Pipeline).Inc()
	}
	return naming(m, err)
}

func naming(m *model.Model, err error) error {
	if err != nil {
		return fmt.Errorf("score with model %s of %s: %w", m.Version, m.Pipeline, err)
	}
	return nil
}

// learnLocked takes in what a window or picture took in a run: the newest counts for an eighth.
func (q *queue) learnLocked(perWindow time.Duration) {
	if q.perWindow == 0 {
		q.perWindow = perWindow
	}
	q.perWindow += (perWindow - q.perWindow) / 8
}

// refuseLocked returns ErrBusy if a call of n windows would come too late.
func (s *Scorer) refuseLocked(ctx context.Context, q *queue, n int) error {
	wait := time.Duration(0)
	if s.idle == 0 {
		for _, o := range s.ready {
			wait += time.Duration(o.rows+o.flying) * o.perWindow
		}
		wait /= time.Duration(s.cfg.Workers)
	}
	if wait > s.cfg.Deadline {
		return fmt.Errorf("%w: its first run would begin in about %v, and %v is the most (scorer.deadline)", ErrBusy, wait.Round(time.Millisecond), s.cfg.Deadline)
	}
	// Only runs of their full size are shared among workers.
	shares := min(s.cfg.Workers, (n+q.most()-1)/q.most())
	need := wait + time.Duration(n)*q.perWindow/time.Duration(shares)
	if by, ok := ctx.Deadline(); ok {
		if left := time.Until(by); left < need {
			return fmt.Errorf("%w: %d windows need about %v, and the call has %v", ErrBusy, n, need.Round(time.Microsecond), left.Round(time.Microsecond))
		}
	}
	return nil
}

// await is how an impatient call waits: until it is served, ctx ends, or the deadline finds none of it begun.
func (s *Scorer) await(ctx context.Context, r *request) {
	patience := time.NewTimer(s.cfg.Deadline - time.Since(r.arrived))
	defer patience.Stop()
	for {
		select {
		case <-r.wake:
			return
		case <-ctx.Done():
			s.giveUp(r, ctx.Err())
			return
		case <-patience.C:
			s.mu.Lock()
			if r.taken == 0 {
				s.abandonLocked(r, fmt.Errorf("%w: no run has taken it within %v (scorer.deadline)", ErrBusy, s.cfg.Deadline))
			}
			s.mu.Unlock()
		}
	}
}

// giveUp drops what no run has taken, and waits for the rest: a run that has begun still reads windows and writes out.
func (s *Scorer) giveUp(r *request, err error) {
	s.mu.Lock()
	s.abandonLocked(r, err)
	s.mu.Unlock()
	<-r.wake
}
