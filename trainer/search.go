package trainer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"andon/trainer/fit"
)

// Search tries other networks and rates than the section's own.
type Search struct {
	// Trials is how many settings are tried, the section's own among them; 0 and 1 take that alone.
	Trials int `yaml:"trials"`
	// Budget is how long trials may be begun; the best of those that were is then trained to its end.
	Budget time.Duration `yaml:"budget"`
	// Networks are the kinds of layers among which is chosen; none: the section's own.
	Networks []string `yaml:"networks"`
	// Keep is how many of the best become challengers.
	Keep int `yaml:"keep"`
}

func (s *Search) validate() error {
	var f faults
	f.check(s.Trials >= 0 && s.Trials <= 64, "search.trials", s.Trials, "between 0 and 64")
	f.check(s.Budget >= 0, "search.budget", s.Budget, "0 or more")
	f.check(s.Keep >= 0 && s.Keep <= max(s.Trials, 1), "search.keep", s.Keep, "between 0 and trials")
	for _, n := range s.Networks {
		f.check(n == fit.GRU || n == fit.LSTM, "search.networks", n, "gru or lstm: losses of others cannot be set beside theirs")
	}
	return errors.Join(f...)
}

// candidates draws the settings to try: the section's own first, the others around it. Same seed, same settings.
func (s *Spec) candidates() []Spec {
	all := []Spec{*s}
	rng := rand.New(rand.NewPCG(s.Seed, 0x736561726368)) //nolint:gosec // a seed, not a secret
	pick := func(of ...int) int { return of[rng.IntN(len(of))] }
	for len(all) < s.Search.Trials {
		c := *s
		if len(s.Search.Networks) > 0 {
			c.Network = s.Search.Networks[rng.IntN(len(s.Search.Networks))]
		}
		c.Hidden = min(max(pick(s.Hidden/2, s.Hidden, s.Hidden*2), 2), 1024)
		c.Layers = min(max(pick(s.Layers-1, s.Layers, s.Layers, s.Layers+1), 1), 8)
		c.LearningRate = math.Min(s.LearningRate*math.Exp(2*rng.Float64()-1), 0.1)
		c.Dropout = float64(pick(0, 0, 1, 2)) / 10
		all = append(all, c)
	}
	return all
}

// tried is settings that were trained by, and what came of it.
type tried[T any] struct {
	spec Spec
	loss float64
	of   T
}

// halve finds the best of the candidates' settings: all are trained for a few epochs, the better half for twice as many, and so on: successive halving (Jamieson and Talwalkar 2016, AISTATS). Each round begins
// anew, since the learning rate falls over all of a training's epochs; that costs less than twice as much. The last round runs to its end, the best first. told says what was tried. try trains one round's
// settings, here or elsewhere; it leaves out those that diverge, but for the last round's, and may leave out what is not begun when late says so, but for one.
func halve[T any](s *Spec, try func(round int, specs []Spec, last bool, late func() bool) ([]tried[T], error)) (best []tried[T], told string, err error) {
	began := time.Now()
	late := func() bool { return s.Search.Budget > 0 && time.Since(began) > s.Search.Budget }
	keep := max(s.Search.Keep, 1)
	all := s.candidates()
	rounds := 0
	for n := len(all); n > keep; n = (n + 1) / 2 {
		rounds++
	}
	short := 0
	for round := range rounds {
		epochs := max(s.Epochs>>(rounds-round), 1)
		specs := slices.Clone(all)
		for i := range specs {
			specs[i].Epochs, specs[i].Patience = epochs, epochs
		}
		done, err := try(round, specs, false, late)
		if err != nil {
			return nil, "", err
		}
		if len(done) == 0 {
			break // only the section's own are left to be tried to the end, and to tell why they fail
		}
		short += len(done)
		rank(done)
		all = nil
		for _, t := range done[:min(max((len(done)+1)/2, keep), len(done))] {
			c := t.spec
			c.Epochs, c.Patience = s.Epochs, s.Patience
			all = append(all, c)
		}
	}
	if best, err = try(rounds, all[:min(keep, len(all))], true, late); err != nil {
		return nil, "", err
	}
	rank(best)
	w := &best[0].spec
	return best, fmt.Sprintf("; the best of %d short trainings of %d settings: %s, learning rate %.2g, dropout %v", short, s.Search.Trials, w.shape(), w.LearningRate, w.Dropout), nil
}

// search trains what is asked for, here and one after the other. Of several settings it keeps the best.
func search(ctx context.Context, s *Spec, d *dataset, start []float32, progress func(fit.Progress)) (best []*trial, told string, err error) {
	if s.Search.Trials < 2 {
		t, err := s.train(ctx, d, start, progress)
		if err != nil {
			return nil, "", err
		}
		return []*trial{t}, "", nil
	}
	found, told, err := halve(s, func(_ int, specs []Spec, last bool, late func() bool) (done []tried[*trial], err error) {
		tell := progress
		if !last {
			tell = nil
		}
		for i := range specs {
			if late() && len(done) > 0 {
				break
			}
			t, err := specs[i].train(ctx, d, nil, tell)
			if !last && errors.Is(err, fit.ErrDiverged) { // a rate that is too high: the settings are out
				continue
			}
			if err != nil {
				return nil, err
			}
			done = append(done, tried[*trial]{specs[i], t.ValLoss, t})
		}
		return done, nil
	})
	for _, t := range found {
		best = append(best, t.of)
	}
	return best, told, err
}

// rank puts the lowest validation loss first.
func rank[T any](all []tried[T]) {
	slices.SortStableFunc(all, func(a, b tried[T]) int {
		switch {
		case a.loss < b.loss:
			return -1
		case a.loss > b.loss:
			return 1
		}
		return 0
	})
}
