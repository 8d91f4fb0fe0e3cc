package main

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"andon/model"
	"andon/model/ort"
	"andon/trainer/fit"
)

const (
	bareBatch = 32 // the scorer's own
	assets    = 100
)

// newModel seals a network that was not trained: its graph, and so its cost, is that of a trained one.
func (c *config) newModel(n network) (*model.Model, error) {
	recipe := c.demo.Window.Recipe
	for range recipe.Width() {
		recipe.Scale = append(recipe.Scale, model.Scale{Mean: 600, Std: 300})
	}
	return model.Seal(c.graph(n, &recipe), c.meta(n, &recipe))
}

// graph is the network's file.
func (c *config) graph(n network, recipe *model.Recipe) []byte {
	net := fit.Network{Length: recipe.Length, Width: recipe.Width(), Hidden: n.hidden, Layers: n.layers}
	t := fit.Trained{Network: net, Outcome: fit.Outcome{Params: make([]float32, net.Size())}}
	rng := rand.New(rand.NewPCG(1, 0))
	for i := range t.Params {
		t.Params[i] = (rng.Float32()*2 - 1) * 0.15
	}
	return t.RemainingLife(float64(c.demo.Model.Cap), fit.Logistic{Slope: -0.1, Offset: 3})
}

func (c *config) meta(n network, recipe *model.Recipe) model.Meta {
	return model.Meta{Pipeline: c.demo.Name, Task: model.RemainingLife, Recipe: *recipe, Unit: c.demo.Model.Unit, Horizon: c.demo.Model.Horizon, Network: "gru " + n.String()}
}

// bare is the loop that does nothing but run the model: a session of the same file, and batches that are ready.
type bare struct {
	session *ort.Session
	// One list of prepared runs a core, each with windows of its own, more than the caches next to the core hold.
	runs [][]*ort.Binding
	undo []func()
}

func newBare(m *model.Model) (b *bare, err error) {
	b = &bare{}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	b.session, err = ort.NewSession(m.ONNX, ort.Options{Threads: 1, Inputs: []string{model.Input}, Outputs: []string{model.Value, model.Risk}})
	if err != nil {
		return b, err
	}
	b.undo = append(b.undo, b.session.Close)
	rng := rand.New(rand.NewPCG(2, 0))
	for range runtime.GOMAXPROCS(0) {
		var runs []*ort.Binding
		for range 32 {
			var tensors []ort.Value
			for _, shape := range [][]int64{{bareBatch, int64(m.Recipe.Length), int64(m.Recipe.Width())}, {bareBatch, 1}, {bareBatch, 1}} {
				t, err := ort.NewTensor[float32](shape...)
				if err != nil {
					return b, err
				}
				b.undo = append(b.undo, t.Close)
				for i := range t.Data() {
					t.Data()[i] = float32(rng.NormFloat64())
				}
				tensors = append(tensors, t)
			}
			run, err := b.session.Bind(tensors[:1], tensors[1:])
			if err != nil {
				return b, err
			}
			b.undo = append(b.undo, run.Close)
			runs = append(runs, run)
		}
		b.runs = append(b.runs, runs)
	}
	return b, nil
}

// score runs n windows, rounded up to whole batches, on all cores, and returns how many it ran and the CPU time.
func (b *bare) score(n int) (windows int, cpu time.Duration, err error) {
	batches := int64(n+bareBatch-1) / bareBatch
	var next atomic.Int64
	errs := make([]error, len(b.runs))
	begun := ownCPU()
	var wg sync.WaitGroup
	for core, runs := range b.runs {
		wg.Go(func() {
			for i := 0; next.Add(1) <= batches && errs[core] == nil; i++ {
				errs[core] = runs[i%len(runs)].Run()
			}
		})
	}
	wg.Wait()
	return int(batches) * bareBatch, ownCPU() - begun, errors.Join(errs...)
}

func (b *bare) close() {
	for i := len(b.undo) - 1; i >= 0; i-- {
		b.undo[i]()
	}
}
