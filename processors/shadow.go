package processors

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"andon/event"
	"andon/model"
	"andon/processors/features"
)

// Shadower scores windows with what the line leaves of the machine. done gets one value, nil when out holds the verdicts, once both slices are the caller's again; drop
// gives up what has not begun. ok is false, and nothing is kept, when there is too much to do.
type Shadower interface {
	Shadow(m *model.Model, windows []float32, out []event.Verdict) (done <-chan error, drop func(), ok bool)
}

const (
	// mostJobs is how many chunks of a shadow may be under way: one that runs and one that waits. It bounds the memory of a shadow that lags.
	mostJobs = 2
	// shadePatience is how long a flush waits for the chunk that came last, about what one of the default size takes, if none was shed of late.
	shadePatience = 20 * time.Millisecond
	// shadeQuiet is how long nothing must be shed until that is over.
	shadeQuiet = 10 * time.Second
)

// shade is a model that scores windows which another model's scores count for. Its verdicts go to a table of their own, those that are there when the block is stored;
// they are published nowhere and shown to nobody, and nothing of the line waits for them but the flush, a little, while the shadow keeps up.
type shade struct {
	lane
	scores []event.Score // of the windows that wait, without verdicts
	closed bool          // this chunk is shed
	jobs   []*shadeJob   // under way, oldest first
	spare  []*shadeJob
	ready  []event.Score // with verdicts, for the block

	shedding, failing bool
	shedLast          time.Time
	shedWindows       int
}

// shadeJob is one chunk of a shadow.
type shadeJob struct {
	windows  []float32
	scores   []event.Score
	verdicts []event.Verdict
	received int64
	done     <-chan error
	drop     func()
}

// cast chooses the shadows: the model of that alias, and the champion beside a canary, so that the two can be compared on the same windows.
func (p *Pipeline) cast() {
	judge := &p.line.judge
	if judge.Shadower == nil {
		return
	}
	var models [2]*model.Model
	if judge.Shadow != nil {
		models[0] = judge.Shadow()
	}
	if p.canary.fits && !same(p.champion.model, models[0]) {
		models[1] = p.champion.model
	}
	for i, m := range models {
		s := &p.shades[i]
		if s.use(m, p.line.recipe) && m != nil && p.line.recipe != nil {
			s.failing = false
			if i == 0 && !s.fits {
				p.log.Error("the shadow makes other windows than this pipeline, so it scores nothing", "model", m.Version)
			} else if i == 0 {
				p.log.Info("shadow in use", "model", m.Version)
			}
		}
		if len(s.jobs) > 0 {
			s.reap(p)
		}
		s.closed = len(s.jobs) >= mostJobs
	}
}

// take takes a window that another model scores into the chunk.
func (s *shade) take(w *features.Window, by *model.Model, score *event.Score) {
	if !s.fits || same(s.model, by) {
		return
	}
	s.scores = append(s.scores, *score)
	if s.closed {
		return
	}
	s.scores[len(s.scores)-1].Version = s.model.Version
	s.windows = w.Append(s.windows, s.scaler)
}

// submit lets the chunk's windows run, or sheds them.
func (s *shade) submit(p *Pipeline, received int64) {
	n := len(s.scores)
	if n == 0 {
		return
	}
	if !s.closed {
		j := s.job()
		j.windows, s.windows = s.windows, j.windows[:0]
		j.scores, s.scores = s.scores, j.scores[:0]
		j.verdicts = slices.Grow(j.verdicts[:0], n)[:n]
		j.received = received
		var ok bool
		if j.done, j.drop, ok = p.line.judge.Shadower.Shadow(s.model, j.windows, j.verdicts); ok {
			s.jobs = append(s.jobs, j)
			return
		}
		s.spare = append(s.spare, j)
	}
	s.windows, s.scores = s.windows[:0], s.scores[:0]
	s.shed(p, s.model.Version, n)
}

// job returns an empty job.
func (s *shade) job() *shadeJob {
	if n := len(s.spare); n > 0 {
		j := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return j
	}
	return &shadeJob{}
}

// reap takes in what is done.
func (s *shade) reap(p *Pipeline) {
	for len(s.jobs) > 0 {
		select {
		case err := <-s.jobs[0].done:
			s.finish(p, err)
		default:
			return
		}
	}
}

// finish ends the oldest job.
func (s *shade) finish(p *Pipeline, err error) {
	j := s.jobs[0]
	s.jobs = append(s.jobs[:0], s.jobs[1:]...)
	s.spare = append(s.spare, j)
	now := p.line.now()
	switch {
	case err == nil:
		p.line.meters.shadows[shadowScored].Add(float64(len(j.scores)))
		for i := range j.scores {
			sc := &j.scores[i]
			sc.Verdict, sc.ScoredAt, sc.Latency = j.verdicts[i], now.UnixNano(), max(now.UnixNano()-j.received, 0)
		}
		s.ready = append(s.ready, j.scores...)
		if s.shedding && now.Sub(s.shedLast) > shadeQuiet {
			p.log.Info("the shadow keeps up again", "model", j.scores[0].Version, "shed", s.shedWindows)
			s.shedding, s.shedWindows = false, 0
		}
	case errors.Is(err, p.line.judge.Shed):
		s.shed(p, j.scores[0].Version, len(j.scores))
	default:
		p.line.meters.shadows[shadowFailed].Add(float64(len(j.scores)))
		if !s.failing {
			p.log.Error("the shadow fails", "model", j.scores[0].Version, "error", err)
			s.failing = true
		}
	}
}

// shed counts windows that the shadow does not score.
func (s *shade) shed(p *Pipeline, version string, n int) {
	p.line.meters.shadows[shadowShed].Add(float64(n))
	s.shedLast = p.line.now()
	s.shedWindows += n
	if !s.shedding {
		s.shedding = true
		p.log.Warn("the shadow is shed: the scorer has no time for it beside the windows that count", "model", version)
	}
}

// shadows puts what the shadows have said into the block, before it is stored; the rest of them is given up.
//
// Which windows are shed is not the same when a block is formed again: of its offsets the table then holds what the first writer stored and, of the others, what
// the second has: each offset's once, as ever, or not at all.
func (p *Pipeline) shadows() {
	if len(p.shades[0].jobs)+len(p.shades[1].jobs)+len(p.shades[0].ready)+len(p.shades[1].ready) == 0 {
		return
	}
	patience := time.NewTimer(p.line.patience)
	defer patience.Stop()
	for i := range p.shades {
		s := &p.shades[i]
		for len(s.jobs) > 0 {
			j := s.jobs[0]
			if !s.shedding {
				select {
				case err := <-j.done:
					s.finish(p, err)
					continue
				case <-patience.C:
					patience.Reset(0) // for those that follow
				}
			}
			j.drop()
			s.finish(p, <-j.done) // a run that has begun is waited for
		}
		p.block.Shadows = append(p.block.Shadows, s.ready...)
		s.ready = s.ready[:0]
	}
	slices.SortStableFunc(p.block.Shadows, func(a, b event.Score) int { return cmp.Compare(a.Offset, b.Offset) })
}
