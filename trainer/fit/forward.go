package fit

import (
	"andon/model/ort"
	"andon/trainer/graph"
)

// forwardRows is how many rows are predicted at once: more do not pay for recurrent layers on a CPU.
const forwardRows = 64

// forward predicts with parameters that change.
type forward struct {
	net     network
	session *ort.Session
	p       *ort.Tensor[float32]
	buf     []float32
}

func newForward(net network, c Config) (*forward, error) {
	g := graph.New()
	x := g.Input("x", append([]int{graph.Batch}, net.row()...)...)
	params := g.Split(g.Input("p", sizeOf(net)), net.shapes())
	session, err := ort.NewSession(g.Model("forward", graph.Output{Name: "y", Value: net.predict(g, x, params, nil)}), c.options("x", "p"))
	if err != nil {
		return nil, err
	}
	p, err := newTensor(sizeOf(net))
	if err != nil {
		session.Close()
		return nil, err
	}
	return &forward{net: net, session: session, p: p, buf: make([]float32, forwardRows*product(net.row()))}, nil
}

func (f *forward) close() {
	f.p.Close()
	f.session.Close()
}

// predict returns what the network says of every row.
func (f *forward) predict(params []float32, set lessons) ([]float32, error) {
	copy(f.p.Data(), params)
	k := f.net.answers()
	out := make([]float32, set.Len()*k)
	for from := 0; from < set.Len(); from += forwardRows {
		n := min(forwardRows, set.Len()-from)
		if err := f.part(set.show(from, n, f.buf), out[from*k:(from+n)*k]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (f *forward) part(rows, out []float32) error {
	k := f.net.answers()
	shape := []int64{int64(len(out) / k)}
	for _, d := range f.net.row() {
		shape = append(shape, int64(d))
	}
	x, err := ort.Wrap(rows, shape...)
	if err != nil {
		return err
	}
	defer x.Close()
	y, err := ort.Wrap(out, shape[0], int64(k))
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
