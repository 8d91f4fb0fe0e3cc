package fit

import (
	"andon/model/ort"
	"andon/trainer/graph"
)

// forwardRows is how many windows are predicted at once: more do not pay for recurrent layers on a CPU.
const forwardRows = 64

// forward predicts with parameters that change.
type forward struct {
	net     Network
	session *ort.Session
	p       *ort.Tensor[float32]
}

func newForward(net Network, c Config) (*forward, error) {
	g := graph.New()
	window := g.Input("x", graph.Batch, net.Length, net.Width)
	params := g.Split(g.Input("p", net.Size()), net.shapes())
	session, err := ort.NewSession(g.Model("forward", graph.Output{Name: "y", Value: net.predict(g, window, params, nil)}), c.options("x", "p"))
	if err != nil {
		return nil, err
	}
	p, err := newTensor(net.Size())
	if err != nil {
		session.Close()
		return nil, err
	}
	return &forward{net: net, session: session, p: p}, nil
}

func (f *forward) close() {
	f.p.Close()
	f.session.Close()
}

// predict returns what the network says of every window.
func (f *forward) predict(params []float32, set *Set) ([]float32, error) {
	copy(f.p.Data(), params)
	out := make([]float32, set.Len())
	for from := 0; from < set.Len(); from += forwardRows {
		n := min(forwardRows, set.Len()-from)
		if err := f.part(set.Windows[from*set.Length*set.Width:(from+n)*set.Length*set.Width], out[from:from+n]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (f *forward) part(windows, out []float32) error {
	n := int64(len(out))
	x, err := ort.Wrap(windows, n, int64(f.net.Length), int64(f.net.Width))
	if err != nil {
		return err
	}
	defer x.Close()
	y, err := ort.Wrap(out, n, 1)
	if err != nil {
		return err
	}
	defer y.Close()
	return f.session.Run([]ort.Value{x, f.p}, []ort.Value{y})
}

// meanSquare returns the mean squared error of predictions.
func meanSquare(got, want []float32) float64 {
	sum := 0.0
	for i := range got {
		d := float64(got[i]) - float64(want[i])
		sum += d * d
	}
	return sum / float64(len(got))
}

// Predict returns what the network says of every window of a set, in the unit of the targets.
func (t *Trained) Predict(set *Set) ([]float32, error) {
	if err := set.Check(); err != nil {
		return nil, err
	}
	f, err := newForward(t.Network, Config{})
	if err != nil {
		return nil, err
	}
	defer f.close()
	return f.predict(t.Params, set)
}
