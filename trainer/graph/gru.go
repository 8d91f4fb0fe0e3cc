package graph

import (
	"strconv"

	"andon/model/onnx"
)

// GRUShapes returns the shapes of a layer's w, r and b for inputs of n features and h hidden units.
func GRUShapes(n, h int) [][]int { return [][]int{{3 * h, n}, {3 * h, h}, {6 * h}} }

// GRU is one layer of gated recurrent units (Cho et al. 2014, in the variant that cuDNN, PyTorch and ONNX's linear_before_reset share): x is
// [time, batch, n], w [3h, n], r [3h, h], b [6h] with w's biases first; the gates stand in ONNX's order update, reset, new. It returns the hidden state
// after every step, [time, batch, h], and after the last, [batch, h]; the state before the first is zero.
//
//	z = σ(Wz x + Rz h' + bz)   r = σ(Wr x + Rr h' + br)   n = tanh(Wn x + bWn + r∘(Rn h' + bRn))   h = (1-z)∘n + z∘h'
func (g *Graph) GRU(x, w, r, b *Value) (all, last *Value) {
	if len(x.shape) != 3 || len(w.shape) != 2 || len(r.shape) != 2 {
		fault("GRU of x %v, w %v, r %v", x.shape, w.shape, r.shape)
	}
	steps, batch, feats, h := x.shape[0], x.shape[1], x.shape[2], r.shape[1]
	if w.shape[0] != 3*h || w.shape[1] != feats || r.shape[0] != 3*h || len(b.shape) != 1 || b.shape[0] != 6*h {
		fault("GRU of x %v, w %v, r %v, b %v", x.shape, w.shape, r.shape, b.shape)
	}
	n := &node{op: "GRU", in: []*Value{x, w, r, b}}
	n.write = func(out *onnx.Graph, in, names []string) {
		// ONNX has one more axis for directions.
		lead := out.Ints(out.Name(), 0)
		add := func(s string) string { return out.Op("Unsqueeze", []string{s, lead}) }
		raw := make([]string, 2)
		for i, name := range names {
			if name != "" {
				raw[i] = out.Name()
			}
		}
		if raw[1] == "" {
			raw = raw[:1]
		}
		out.Node("GRU", []string{in[0], add(in[1]), add(in[2]), add(in[3])}, raw, onnx.Int("hidden_size", int64(h)), onnx.Int("linear_before_reset", 1))
		if names[0] != "" {
			out.Node("Squeeze", []string{raw[0], out.Ints(out.Name(), 1)}, names[:1])
		}
		if names[1] != "" {
			out.Node("Squeeze", []string{raw[1], lead}, names[1:])
		}
	}
	n.back = func(dy []*Value) []*Value { return g.gruBack(n, dy[0], dy[1]) }
	v := g.add(n, []int{steps, batch, h}, []int{batch, h})
	return v[0], v[1]
}

// gruBack is back-propagation through time. All that does not depend on the gradient is computed for every step at once; only the chain of the state's
// gradient d runs step by step, in a Scan from the last step to the first:
//
//	d'(t-1) = d(t)∘z + [d(t)∘cz, d(t)∘cr, d(t)∘ch]·R,   d(t-1) = d'(t-1) + dall(t-1)
//
// where cz, cr, ch are the derivatives of h by the three gates' recurrent pre-activations.
func (g *Graph) gruBack(n *node, dAll, dLast *Value) []*Value {
	x, w, r, b, all := n.in[0], n.in[1], n.in[2], n.in[3], n.out[0]
	fixed("GRU", x)
	steps, batch, feats, h := x.shape[0], x.shape[1], x.shape[2], r.shape[1]
	rows := steps * batch

	xs := g.Reshape(x, rows, feats)
	before := g.fill(0, []int{batch, h})
	prev := before
	if steps > 1 {
		prev = g.Concat(0, before, g.Reshape(g.Slice(all, 0, 0, steps-1), (steps-1)*batch, h))
	}
	gx := g.Gemm(xs, w, g.Slice(b, 0, 0, 3*h), false, true)
	gh := g.Gemm(prev, r, g.Slice(b, 0, 3*h, 6*h), false, true)
	gates := g.Sigmoid(g.Add(g.Slice(gx, 1, 0, 2*h), g.Slice(gh, 1, 0, 2*h)))
	z, reset := g.Slice(gates, 1, 0, h), g.Slice(gates, 1, h, 2*h)
	hn := g.Slice(gh, 1, 2*h, 3*h)
	newer := g.Tanh(g.Add(g.Slice(gx, 1, 2*h, 3*h), g.Mul(reset, hn)))

	one := g.Scalar(1)
	rest := g.Sub(one, z)
	cn := g.Mul(rest, g.Sub(one, g.Mul(newer, newer)))
	ch := g.Mul(cn, reset)
	cr := g.Mul(g.Mul(ch, hn), g.Sub(one, reset))
	cz := g.Mul(g.Mul(g.Sub(prev, newer), z), rest)
	coef := g.Concat(1, cz, cr, ch)

	if dLast == nil {
		dLast = before
	}
	d := g.Reshape(g.gruScan(dLast, g.Reshape(coef, steps, batch, 3*h), g.Reshape(z, steps, batch, h), r, dAll), rows, h)
	dgh := g.Mul(g.Concat(1, d, d, d), coef)
	dgx := g.Concat(1, g.Slice(dgh, 1, 0, 2*h), g.Mul(d, cn))
	return []*Value{
		g.Reshape(g.MatMul(dgx, w), steps, batch, feats),
		g.Gemm(dgx, xs, nil, true, false),
		g.Gemm(dgh, prev, nil, true, false),
		g.Concat(0, g.ReduceSum(dgx, []int{0}, false), g.ReduceSum(dgh, []int{0}, false)),
	}
}

// gruScan returns the gradient of every step's state; dAll may be nil.
func (g *Graph) gruScan(dLast, coef, z, r, dAll *Value) *Value {
	steps, batch, h := z.shape[0], z.shape[1], z.shape[2]
	n := &node{op: "Scan", in: []*Value{dLast, coef, z, r}}
	if dAll != nil {
		n.in = append(n.in, dAll)
	}
	n.write = func(out *onnx.Graph, in, names []string) {
		scanned := []string{in[0], in[1], in[2]}
		body := onnx.NewGraph("back" + strconv.Itoa(n.out[0].id))
		state := body.Input(body.Name(), onnx.Float, onnx.Fixed(batch, h)...)
		c := body.Input(body.Name(), onnx.Float, onnx.Fixed(batch, 3*h)...)
		zt := body.Input(body.Name(), onnx.Float, onnx.Fixed(batch, h)...)
		d := body.Name()
		if dAll != nil {
			scanned = append(scanned, in[4])
			body.Node("Add", []string{state, body.Input(body.Name(), onnx.Float, onnx.Fixed(batch, h)...)}, []string{d})
		} else {
			body.Node("Identity", []string{state}, []string{d})
		}
		next := body.Name()
		pre := body.Op("Mul", []string{body.Op("Concat", []string{d, d, d}, onnx.Int("axis", 1)), c})
		body.Node("Gemm", []string{pre, in[3], body.Op("Mul", []string{d, zt})}, []string{next})
		body.Output(next, onnx.Float, onnx.Fixed(batch, h)...)
		body.Output(d, onnx.Float, onnx.Fixed(batch, h)...)
		backward := make([]int64, len(scanned)-1)
		for i := range backward {
			backward[i] = 1
		}
		out.Node("Scan", scanned, []string{out.Name(), names[0]}, onnx.Body("body", body), onnx.Int("num_scan_inputs", int64(len(backward))),
			onnx.Ints("scan_input_directions", backward...), onnx.Ints("scan_output_directions", 1))
	}
	return g.add1(n, []int{steps, batch, h})
}
