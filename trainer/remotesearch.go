package trainer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"andon/trainer/fit"
)

// search is Make of several settings: each training of a round is a job, of which Workers.Parallel are under way at once, so that as many workers share them. It finds what a search in one process finds.
func (r *Remote) search(ctx context.Context, p *Pipeline, j Job) ([]*Lesson, error) {
	g := &gathering{watch: &j.Watch, used: map[string]Usage{}}
	found, told, err := halve(&p.Spec, func(round int, specs []Spec, last bool, late func() bool) ([]tried[*Lesson], error) {
		lessons := make([]*Lesson, len(specs))
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(r.cfg.Parallel)
		for i := range specs {
			specs[i].Search = Search{}
			group.Go(func() error {
				if i > 0 && late() || ctx.Err() != nil {
					return ctx.Err()
				}
				one := j
				one.ID, one.Run, one.Watch = fmt.Sprintf("%s.%d.%d", j.ID, round+1, i+1), j.ID, g.of(last && i == 0)
				made, err := r.one(ctx, p, &specs[i], one)
				switch {
				case err == nil:
					lessons[i] = made[0]
				case !last && errors.Is(err, fit.ErrDiverged): // the settings are out
					err = nil
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		var done []tried[*Lesson]
		for i, l := range lessons {
			if l != nil {
				done = append(done, tried[*Lesson]{specs[i], l.Loss, l})
			}
		}
		return done, nil
	})
	if err != nil {
		return nil, err
	}
	var all []*Lesson
	for _, t := range found {
		t.of.Summary += told
		all = append(all, t.of)
	}
	return all, nil
}

// gathering makes one lesson's news of those of a search's jobs.
type gathering struct {
	watch *Watcher
	mu    sync.Mutex
	ready bool
	jobs  int
	used  map[string]Usage
}

// of is the Watcher of one job; the epochs of one that is shown are told.
func (g *gathering) of(shown bool) Watcher {
	g.mu.Lock()
	g.jobs++
	key := fmt.Sprint(g.jobs)
	g.mu.Unlock()
	locked := func(f func()) {
		g.mu.Lock()
		defer g.mu.Unlock()
		f()
	}
	return Watcher{
		Waits: func(why string) {
			locked(func() {
				if !g.ready {
					g.watch.waits(why)
				}
			})
		},
		Ready: func(d Data) (err error) {
			locked(func() {
				if first := !g.ready; first && g.watch.Ready != nil { // the data is the same for all
					err = g.watch.Ready(d)
				}
				g.ready = true
			})
			return err
		},
		Took: func(u Usage) {
			locked(func() {
				if g.used[key] = u; g.watch.Took != nil {
					g.watch.Took(g.sum())
				}
			})
		},
		Epoch: func(p fit.Progress) {
			locked(func() {
				if shown && g.watch.Epoch != nil {
					g.watch.Epoch(p)
				}
			})
		},
	}
}

// sum adds up what all jobs have taken. Its worker is always of one name, however many there are, since what it counts never begins anew.
func (g *gathering) sum() Usage {
	all := Usage{Worker: "several", GPUSeconds: math.NaN(), Joules: math.NaN()}
	add := func(to *float64, v float64) {
		switch {
		case math.IsNaN(v):
		case math.IsNaN(*to):
			*to = v
		default:
			*to += v
		}
	}
	for _, u := range g.used {
		all.Seconds = max(all.Seconds, u.Seconds)
		all.CPUSeconds += u.CPUSeconds
		add(&all.GPUSeconds, u.GPUSeconds)
		add(&all.Joules, u.Joules)
		if !strings.Contains(all.Energy, u.Energy) {
			all.Energy = u.Energy
		}
	}
	return all
}
