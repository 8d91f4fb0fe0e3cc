package fit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Progress is told after every epoch. Losses are mean squared errors in the unit of the targets, or cross-entropies in nats.
type Progress struct {
	Epoch, Epochs int
	Loss, ValLoss float64
	// RowsPerSecond is windows or crops learned from a second of wall clock, without the time of validation.
	RowsPerSecond float64
}

// Trained is a recurrent network with the parameters of its best epoch.
type Trained struct {
	Network
	Outcome
}

// Outcome is what a training came to.
type Outcome struct {
	Params []float32
	// Epoch is the best epoch, Epochs how many were run.
	Epoch, Epochs int
	// ValLoss is the best epoch's, and Steps the number of optimiser steps in all.
	ValLoss float64
	Steps   int
	// Fallback is why it ran on the CPU though Config named another provider; nil otherwise.
	Fallback error
}

// ErrDiverged is the error of a training whose loss is no number any more.
var ErrDiverged = errors.New("the loss is not a number any more: lower learning_rate or set clip")

// Train fits a network to train and keeps the parameters of the epoch with the lowest loss on val. It is deterministic; ctx ends it between two
// steps, with the context's error. ONNX Runtime must be open. progress may be nil.
func Train(ctx context.Context, net Network, c Config, train, val *Set, progress func(Progress)) (*Trained, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	for name, s := range map[string]*Set{"training": train, "validation": val} {
		if err := s.Check(); err != nil {
			return nil, fmt.Errorf("%s set: %w", name, err)
		}
		if s.Length != net.Length || s.Width != net.Width {
			return nil, fmt.Errorf("%s set: windows are %d x %d, the network reads %d x %d", name, s.Length, s.Width, net.Length, net.Width)
		}
	}
	outcome, err := run(ctx, net, c, train, val, progress)
	if err != nil {
		return nil, err
	}
	return &Trained{Network: net, Outcome: *outcome}, nil
}

// run is the loop that all networks share.
func run(ctx context.Context, net network, c Config, train, val lessons, progress func(Progress)) (*Outcome, error) {
	rng := rand.New(rand.NewPCG(c.Seed, 0x616e646f6e)) //nolint:gosec // a seed, not a secret
	start := net.start(rng)
	if c.Start != nil {
		if len(c.Start) != len(start) {
			return nil, fmt.Errorf("start: %d parameters are not the %d of the network", len(c.Start), len(start))
		}
		start = c.Start
	}
	step, err := newStepper(net, c, start)
	if err != nil {
		return nil, err
	}
	defer step.close()
	eval, err := newForward(net, c)
	if err != nil {
		return nil, err
	}
	defer eval.close()

	order := make([]int, train.Len())
	for i := range order {
		order[i] = i
	}
	perEpoch := (train.Len() + c.Batch - 1) / c.Batch
	mean := average{weight: c.Average, params: slices.Clone(step.params())}
	params := make([]float32, len(start))
	best := &Outcome{ValLoss: math.Inf(1), Fallback: step.fallback}
	for epoch := 1; epoch <= c.Epochs; epoch++ {
		train.order(order, rng)
		began, sum := time.Now(), 0.0
		for at := 0; at < len(order); at += c.Batch {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			loss, err := step.step(train, order[at:min(at+c.Batch, len(order))], rate(c.LearningRate, step.steps, c.Epochs*perEpoch), rng)
			if err != nil {
				return nil, err
			}
			sum += loss
			mean.add(step.params())
		}
		seconds := time.Since(began).Seconds()
		step.held.release(params, mean.params)
		said, err := eval.predict(params, val)
		if err != nil {
			return nil, err
		}
		p := Progress{Epoch: epoch, Epochs: c.Epochs, Loss: sum / float64(train.Len()), ValLoss: val.judge(said),
			RowsPerSecond: float64(train.Len()) / seconds}
		if math.IsNaN(p.Loss+p.ValLoss) || math.IsInf(p.Loss+p.ValLoss, 0) {
			return nil, fmt.Errorf("epoch %d: %w", epoch, ErrDiverged)
		}
		if progress != nil {
			progress(p)
		}
		best.Epochs, best.Steps = epoch, step.steps
		if p.ValLoss < best.ValLoss {
			best.Epoch, best.ValLoss = epoch, p.ValLoss
			best.Params = slices.Clone(params)
		} else if epoch-best.Epoch >= c.Patience {
			break
		}
	}
	return best, nil
}

// rate is the learning rate of the step-th of all steps, counted from 0.
func rate(top float64, step, all int) float64 {
	warm := max(all/20, 1)
	if step < warm {
		return top * float64(step+1) / float64(warm)
	}
	const last = 0.01
	done := float64(step-warm) / float64(max(all-warm, 1))
	return top * (last + (1-last)*(1+math.Cos(math.Pi*done))/2)
}

// average is a running mean of parameters over steps, whose noise it takes out (Polyak and Juditsky 1992, with exponential weights).
type average struct {
	weight float64
	params []float32
	steps  int
}

func (a *average) add(p []float32) {
	a.steps++
	// The first steps are averaged plainly, so that the start, which is noise, does not linger.
	w := float32(1 - math.Min(a.weight, float64(a.steps)/float64(a.steps+9)))
	if a.weight == 0 {
		w = 1
	}
	for i, x := range p {
		a.params[i] += w * (x - a.params[i])
	}
}
