package fit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"andon/model"
	"andon/trainer/graph"
)

// Autoencoder is the shape of a network that writes a window down in a few numbers and reads it back (Hinton and Salakhutdinov 2006, Science 313): dense layers with tanh from the window to
// Hidden units, to Code units, to Hidden units, and to the window. What it has seen it reads back well; what it has not, badly.
type Autoencoder struct {
	Length, Width int
	Hidden, Code  int
}

// Validate reports every fault.
func (n Autoencoder) Validate() error {
	var errs []error
	if n.Length < 1 || n.Width < 1 {
		errs = append(errs, fmt.Errorf("windows of %d x %d are empty", n.Length, n.Width))
	}
	if n.Hidden < 1 {
		errs = append(errs, fmt.Errorf("hidden: %d is not at least 1", n.Hidden))
	}
	if n.Code < 1 || n.Code >= n.Length*n.Width {
		errs = append(errs, fmt.Errorf("code: %d is not between 1 and what a window holds, %d: a code as long as the window teaches nothing", n.Code, n.Length*n.Width))
	}
	return errors.Join(errs...)
}

func (n Autoencoder) row() []int   { return []int{n.Length, n.Width} }
func (n Autoencoder) answers() int { return n.Length * n.Width }
func (n Autoencoder) masks() []int { return []int{n.Hidden} }

func (n Autoencoder) shapes() [][]int {
	f := n.answers()
	return [][]int{{n.Hidden, f}, {n.Hidden}, {n.Code, n.Hidden}, {n.Code}, {n.Hidden, n.Code}, {n.Hidden}, {f, n.Hidden}, {f}}
}

// start draws weights as Glorot and Bengio 2010 have it for tanh: uniform within sqrt(6/(in+out)). Biases are zero.
func (n Autoencoder) start(rng *rand.Rand) []float32 {
	var p []float32
	for _, s := range n.shapes() {
		bound := 0.0
		if len(s) == 2 {
			bound = math.Sqrt(6 / float64(s[0]+s[1]))
		}
		for range product(s) {
			p = append(p, float32((rng.Float64()*2-1)*bound))
		}
	}
	return p
}

// predict gives the window as it is read back, [batch, length*width].
func (n Autoencoder) predict(g *graph.Graph, x *graph.Value, params, masks []*graph.Value) *graph.Value {
	y := g.Reshape(x, x.Shape()[0], n.answers())
	for i := range 4 {
		y = g.Gemm(y, params[2*i], params[2*i+1], false, true)
		if i < 3 {
			y = g.Tanh(y)
		}
		if i == 0 && masks != nil {
			y = g.Mul(y, masks[0])
		}
	}
	return y
}

// loss is the mean squared error of a window's values.
func (n Autoencoder) loss(g *graph.Graph, said, target, weight *graph.Value) *graph.Value {
	miss := g.Sub(said, target)
	return g.ReduceSum(g.Mul(weight, g.ReduceMean(g.Mul(miss, miss), []int{1}, true)), []int{0, 1}, false)
}

// mirrored is a set whose targets are its windows.
type mirrored struct{ *Set }

func (s mirrored) learn(i int, x, y []float32, rng *rand.Rand) float32 {
	var none [1]float32
	w := s.Set.learn(i, x, none[:], rng)
	copy(y, x)
	return w
}

func (s mirrored) judge(said []float32) float64 { return meanSquare(said, s.Windows) }

// TrainedAutoencoder is an autoencoder with the parameters of its best epoch.
type TrainedAutoencoder struct {
	Autoencoder
	Outcome
}

// TrainAutoencoder fits an autoencoder to the windows of train, whose targets are not looked at, under the same contract as Train; losses are mean squared errors of scaled values.
func TrainAutoencoder(ctx context.Context, net Autoencoder, c Config, train, val *Set, progress func(Progress)) (*TrainedAutoencoder, error) {
	if err := errors.Join(net.Validate(), c.Validate()); err != nil {
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
	outcome, err := run(ctx, net, c, mirrored{train}, mirrored{val}, progress)
	if err != nil {
		return nil, err
	}
	return &TrainedAutoencoder{Autoencoder: net, Outcome: *outcome}, nil
}

// Errors returns the root of the mean squared error of every window of a set.
func (t *TrainedAutoencoder) Errors(set *Set) ([]float64, error) {
	if err := set.Check(); err != nil {
		return nil, err
	}
	f, err := newForward(t.Autoencoder, Config{})
	if err != nil {
		return nil, err
	}
	defer f.close()
	said, err := f.predict(t.Params, mirrored{set})
	if err != nil {
		return nil, err
	}
	k := t.answers()
	out := make([]float64, set.Len())
	for i := range out {
		out[i] = math.Sqrt(meanSquare(said[i*k:(i+1)*k], set.Window(i)))
	}
	return out, nil
}

// Anomaly writes the scoring model: value is how far a window's error is above s.Center in units of s.Spread, 0 where it is below; risk is as Surprise has it.
func (t *TrainedAutoencoder) Anomaly(s Surprise) []byte {
	g := graph.New()
	window := g.Input(model.Input, graph.Batch, t.Length, t.Width)
	said := t.predict(g, window, constants(g, t.shapes(), t.Params), nil)
	c := func(x float64) *graph.Value { return g.Scalar(float32(x)) }
	miss := g.Sub(said, g.Reshape(window, graph.Batch, t.answers()))
	err := g.Sqrt(g.ReduceMean(g.Mul(miss, miss), []int{1}, true))
	value := g.Relu(g.Mul(g.Sub(err, c(s.Center)), c(1/s.Spread)))
	risk := g.Sigmoid(g.Mul(g.Sub(g.Log(g.Add(value, c(minSurprise))), c(math.Log(s.Half))), c(s.Steep)))
	return verdicts(g, "autoencoder", value, risk)
}
