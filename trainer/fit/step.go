package fit

import (
	"errors"
	"math/rand/v2"
	"strconv"

	"golang.org/x/sync/errgroup"

	"andon/model/ort"
	"andon/trainer/graph"
)

// stepper does one optimiser step a call: every shard's loss and gradient by one graph, then Adam on their sum by another.
type stepper struct {
	net     network
	dropout float64
	held    held
	adam    graph.Adam
	shards  []*shard
	update  *ort.Session
	// state is p, m, v twice: a step reads one and writes the other.
	state [2][3]*ort.Tensor[float32]
	// fallback is why the steps run on the CPU though another provider was asked for.
	fallback error
	scalars  *ort.Tensor[float32]
	steps    int
	closers  []func()
}

// shard is the part of a batch that one goroutine works on.
type shard struct {
	gradient              *ort.Session
	x, y, w, loss, change *ort.Tensor[float32]
	masks                 []*ort.Tensor[float32]
}

func newStepper(net network, c Config, start []float32) (*stepper, error) {
	s := &stepper{net: net, dropout: c.Dropout, held: held{shapes: net.shapes(), turned: c.Provider == "" || c.Provider == ort.CPU}, adam: stepAdam(c)}
	if err := s.open(c); err != nil {
		s.close()
		return nil, err
	}
	s.held.hold(s.params(), start)
	return s, nil
}

func stepAdam(c Config) graph.Adam {
	adam := graph.DefaultAdam()
	adam.Decay, adam.Clip = c.Decay, c.Clip
	return adam
}

func (s *stepper) open(c Config) error {
	rows := (c.Batch + c.Shards - 1) / c.Shards
	inputs := []string{"x", "y", "w", "p"}
	for i := range s.masks() {
		inputs = append(inputs, maskName(i))
	}
	file := s.gradientGraph(rows)
	for range c.Shards {
		h := &shard{}
		s.shards = append(s.shards, h)
		var err error
		if h.gradient, err = s.session(file, c.options(inputs...)); err != nil {
			return err
		}
		shapes := map[**ort.Tensor[float32]][]int{&h.x: append([]int{rows}, s.net.row()...), &h.y: {rows, s.net.answers()}, &h.w: {rows, 1},
			&h.loss: {}, &h.change: {sizeOf(s.net)}}
		h.masks = make([]*ort.Tensor[float32], len(s.masks()))
		for i, units := range s.masks() {
			shapes[&h.masks[i]] = []int{rows, units}
		}
		for to, shape := range shapes {
			if *to, err = s.tensor(shape...); err != nil {
				return err
			}
		}
	}
	var names []string
	for i := range c.Shards {
		names = append(names, "g"+strconv.Itoa(i))
	}
	var err error
	if s.update, err = s.session(s.updateGraph(c.Shards), c.options(append(names, "p", "m", "v", "scalars")...)); err != nil {
		return err
	}
	for i := range s.state {
		for j := range s.state[i] {
			if s.state[i][j], err = s.tensor(sizeOf(s.net)); err != nil {
				return err
			}
		}
	}
	s.scalars, err = s.tensor(graph.StepScalars)
	return err
}

func (s *stepper) session(file []byte, o ort.Options) (*ort.Session, error) {
	session, err := ort.NewSession(file, o)
	if err == nil {
		s.closers = append(s.closers, session.Close)
		s.fallback = errors.Join(session.Fallback(), s.fallback)
	}
	return session, err
}

func (s *stepper) tensor(shape ...int) (*ort.Tensor[float32], error) {
	t, err := newTensor(shape...)
	if err == nil {
		s.closers = append(s.closers, t.Close)
	}
	return t, err
}

func newTensor(shape ...int) (*ort.Tensor[float32], error) {
	dims := make([]int64, len(shape))
	for i, d := range shape {
		dims[i] = int64(d)
	}
	return ort.NewTensor[float32](dims...)
}

func (s *stepper) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

// masks lists the units of each mask; none without dropout.
func (s *stepper) masks() []int {
	if s.dropout == 0 {
		return nil
	}
	return s.net.masks()
}

func maskName(layer int) string { return "mask" + strconv.Itoa(layer) }

// gradientGraph gives the weighted sum of the rows' losses and its gradient by the flat parameters.
func (s *stepper) gradientGraph(rows int) []byte {
	g := graph.New()
	if s.held.turned {
		g.Rows()
	}
	x, y, w := g.Input("x", append([]int{rows}, s.net.row()...)...), g.Input("y", rows, s.net.answers()), g.Input("w", rows, 1)
	held, params := s.held.split(g, g.Input("p", sizeOf(s.net)))
	var masks []*graph.Value
	for i, units := range s.masks() {
		masks = append(masks, g.Input(maskName(i), rows, units))
	}
	loss := s.net.loss(g, s.net.predict(g, x, params, masks), y, w)
	return g.Model("gradient", graph.Output{Name: "loss", Value: loss}, graph.Output{Name: "change", Value: g.Join(g.Gradients(loss, held...)...)})
}

// updateGraph adds the shards' gradients in their order and takes Adam's step.
func (s *stepper) updateGraph(shards int) []byte {
	g := graph.New()
	sum := g.Input("g0", sizeOf(s.net))
	for i := 1; i < shards; i++ {
		sum = g.Add(sum, g.Input("g"+strconv.Itoa(i), sizeOf(s.net)))
	}
	p, m, v := g.Input("p", sizeOf(s.net)), g.Input("m", sizeOf(s.net)), g.Input("v", sizeOf(s.net))
	p2, m2, v2 := s.adam.Step(g, sum, p, m, v, g.Input("scalars", graph.StepScalars))
	return g.Model("update", graph.Output{Name: "p2", Value: p2}, graph.Output{Name: "m2", Value: m2}, graph.Output{Name: "v2", Value: v2})
}

// params returns the parameters of now, as they are held; the slice is good until the next step.
func (s *stepper) params() []float32 { return s.state[s.steps%2][0].Data() }

// step learns from the rows of set, at most a batch, and returns the sum of their losses before the step; weights are taken in proportion to their mean.
func (s *stepper) step(set lessons, rows []int, rate float64, rng *rand.Rand) (float64, error) {
	k, answers := product(s.net.row()), s.net.answers()
	at, weight := 0, float32(0)
	for _, h := range s.shards {
		for i, w := 0, h.w.Data(); i < len(w); i++ {
			w[i] = 0 // an old row may still be there and does not count
			if at < len(rows) {
				w[i] = set.learn(rows[at], h.x.Data()[i*k:(i+1)*k], h.y.Data()[i*answers:(i+1)*answers], rng)
				weight += w[i]
			}
			at++
		}
		for _, m := range h.masks {
			keep := float32(1 / (1 - s.dropout))
			for i := range m.Data() {
				m.Data()[i] = 0
				if rng.Float64() >= s.dropout {
					m.Data()[i] = keep
				}
			}
		}
	}
	for _, h := range s.shards {
		for i := range h.w.Data() {
			h.w.Data()[i] /= weight
		}
	}
	from, to := s.state[s.steps%2], s.state[(s.steps+1)%2]
	var work errgroup.Group
	for _, h := range s.shards {
		work.Go(func() error {
			in := []ort.Value{h.x, h.y, h.w, from[0]}
			for _, m := range h.masks {
				in = append(in, m)
			}
			return h.gradient.Run(in, []ort.Value{h.loss, h.change})
		})
	}
	if err := work.Wait(); err != nil {
		return 0, err
	}
	s.adam.Scalars(s.scalars.Data(), s.steps+1, rate)
	var in []ort.Value
	loss := 0.0
	for _, h := range s.shards {
		in = append(in, h.change)
		loss += float64(h.loss.Data()[0])
	}
	if err := s.update.Run(append(in, from[0], from[1], from[2], s.scalars), []ort.Value{to[0], to[1], to[2]}); err != nil {
		return 0, err
	}
	s.steps++
	return loss * float64(len(rows)), nil
}
