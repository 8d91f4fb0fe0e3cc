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

// search trains what is asked for. Of several settings all are trained for a few epochs, the better half for twice as many, and so on: successive halving (Jamieson and Talwalkar 2016, AISTATS). Each
// round begins anew, since the learning rate falls over all of a training's epochs; that costs less than twice as much. The last round runs to its end, the best first. told says what was tried.
func search(ctx context.Context, s *Spec, d *dataset, start []float32, progress func(fit.Progress)) (best []*trial, told string, err error) {
	if s.Search.Trials < 2 {
		t, err := s.train(ctx, d, start, progress)
		if err != nil {
			return nil, "", err
		}
		return []*trial{t}, "", nil
	}
	began := time.Now()
	late := func() bool { return s.Search.Budget > 0 && time.Since(began) > s.Search.Budget }
	keep := max(s.Search.Keep, 1)
	all := s.candidates()
	rounds := 0
	for n := len(all); n > keep; n = (n + 1) / 2 {
		rounds++
	}
	tried := 0
	for round := range rounds {
		epochs := max(s.Epochs>>(rounds-round), 1)
		var trials []*trial
		for i := range all {
			if late() && len(trials) > 0 {
				break
			}
			short := all[i]
			short.Epochs, short.Patience = epochs, epochs
			t, err := short.train(ctx, d, nil, nil)
			if errors.Is(err, fit.ErrDiverged) { // a rate that is too high: the settings are out
				continue
			}
			if err != nil {
				return nil, "", err
			}
			tried++
			t.spec = all[i]
			trials = append(trials, t)
		}
		if len(trials) == 0 {
			break // only the section's own are left to be tried to the end, and to tell why they fail
		}
		rank(trials)
		all = nil
		for _, t := range trials[:min(max((len(trials)+1)/2, keep), len(trials))] {
			all = append(all, t.spec)
		}
	}
	for i := range all[:min(keep, len(all))] {
		if late() && len(best) > 0 {
			break
		}
		t, err := all[i].train(ctx, d, nil, progress)
		if err != nil {
			return nil, "", err
		}
		best = append(best, t)
	}
	rank(best)
	w := &best[0].spec
	return best, fmt.Sprintf("; the best of %d short trainings of %d settings: %s, learning rate %.2g, dropout %v", tried, s.Search.Trials, w.shape(), w.LearningRate, w.Dropout), nil
}

// rank puts the lowest validation loss first.
func rank(all []*trial) {
	slices.SortStableFunc(all, func(a, b *trial) int {
		switch {
		case a.ValLoss < b.ValLoss:
			return -1
		case a.ValLoss > b.ValLoss:
			return 1
		}
		return 0
	})
}
