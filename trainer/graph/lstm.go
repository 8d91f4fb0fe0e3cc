package graph

import (
	"strconv"

	"andon/model/onnx"
)

// LSTMShapes returns the shapes of a layer's w, r and b for inputs of n features and h hidden units.
func LSTMShapes(n, h int) [][]int { return [][]int{{4 * h, n}, {4 * h, h}, {8 * h}} }

// LSTM is one layer of long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; no peepholes): x is [time, batch, n], w [4h, n], r [4h, h], b [8h] with
// w's biases first; the gates stand in ONNX's order input, output, forget, cell. It returns the hidden state after every step, [time, batch, h], and after the last, [batch, h]; both states before
// the first are zero.
//
//	i = σ(Wi x + Ri h' + bi)   o = σ(Wo x + Ro h' + bo)   f = σ(Wf x + Rf h' + bf)   g = tanh(Wc x + Rc h' + bc)   c = f∘c' + i∘g   h = o∘tanh(c)
func (g *Graph) LSTM(x, w, r, b *Value) (all, last *Value) {
	if len(x.shape) != 3 || len(w.shape) != 2 || len(r.shape) != 2 {
		fault("LSTM of x %v, w %v, r %v", x.shape, w.shape, r.shape)
	}
	steps, batch, feats, h := x.shape[0], x.shape[1], x.shape[2], r.shape[1]
	if w.shape[0] != 4*h || w.shape[1] != feats || r.shape[0] != 4*h || len(b.shape) != 1 || b.shape[0] != 8*h {
		fault("LSTM of x %v, w %v, r %v, b %v", x.shape, w.shape, r.shape, b.shape)
	}
	n := &node{op: "LSTM", in: []*Value{x, w, r, b}}
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
		out.Node("LSTM", []string{in[0], add(in[1]), add(in[2]), add(in[3])}, raw, onnx.Int("hidden_size", int64(h)))
		if names[0] != "" {
			out.Node("Squeeze", []string{raw[0], out.Ints(out.Name(), 1)}, names[:1])
		}
		if names[1] != "" {
			out.Node("Squeeze", []string{raw[1], lead}, names[1:])
		}
	}
	n.back = func(dy []*Value) []*Value { return g.lstmBack(n, dy[0], dy[1]) }
	v := g.add(n, []int{steps, batch, h}, []int{batch, h})
	return v[0], v[1]
}

// lstmBack is back-propagation through time. The gates of every step are computed at once from the states that the forward pass gave; the cells follow from them in a Scan without a product of
// matrices; and only the chain of the two states' gradients runs step by step from the last to the first:
//
//	dc = dc' + dh∘kh    dgates = [dc∘ki, dh∘ko, dc∘kf, dc∘kg]    dh'(t-1) = dgates·R + dall(t-1)    dc'(t-1) = dc∘f
//
// where kh is the derivative of h by c, and ki, ko, kf, kg are those of c, of h for o, by the gates' pre-activations.
func (g *Graph) lstmBack(n *node, dAll, dLast *Value) []*Value {
	x, w, r, b, all := n.in[0], n.in[1], n.in[2], n.in[3], n.out[0]
	fixed("LSTM", x)
	steps, batch, feats, h := x.shape[0], x.shape[1], x.shape[2], r.shape[1]
	rows := steps * batch

	xs := g.Reshape(x, rows, feats)
	zero := g.fill(0, []int{batch, h})
	shifted := func(v *Value) *Value { // every step's value before it
		if steps == 1 {
			return zero
		}
		return g.Concat(0, zero, g.Reshape(g.Slice(v, 0, 0, steps-1), (steps-1)*batch, h))
	}
	prev := shifted(all)
	pre := g.Add(g.Gemm(xs, w, g.Slice(b, 0, 0, 4*h), false, true), g.Gemm(prev, r, g.Slice(b, 0, 4*h, 8*h), false, true))
	gates := g.Sigmoid(g.Slice(pre, 1, 0, 3*h))
	i, o, f := g.Slice(gates, 1, 0, h), g.Slice(gates, 1, h, 2*h), g.Slice(gates, 1, 2*h, 3*h)
	cell := g.Tanh(g.Slice(pre, 1, 3*h, 4*h))
	deep := func(v *Value) *Value { return g.Reshape(v, steps, batch, v.shape[1]) }
	c := g.lstmCells(zero, deep(f), deep(g.Mul(i, cell)))

	one := g.Scalar(1)
	rest := func(v *Value) *Value { return g.Sub(one, v) }
	tc := g.Tanh(g.Reshape(c, rows, h))
	kh := g.Mul(o, rest(g.Mul(tc, tc)))
	ki := g.Mul(g.Mul(cell, i), rest(i))
	ko := g.Mul(g.Mul(tc, o), rest(o))
	kf := g.Mul(g.Mul(shifted(c), f), rest(f))
	kg := g.Mul(i, rest(g.Mul(cell, cell)))
	if dLast == nil {
		dLast = zero
	}
	d := g.Reshape(g.lstmScan(dLast, zero, deep(kh), deep(g.Concat(1, ki, ko, kf, kg)), deep(f), r, dAll), rows, 4*h)
	db := g.ReduceSum(d, []int{0}, false)
	return []*Value{
		g.Reshape(g.MatMul(d, w), steps, batch, feats),
		g.Gemm(d, xs, nil, true, false),
		g.Gemm(d, prev, nil, true, false),
		g.Concat(0, db, db),
	}
}

// lstmCells returns c(t) = f(t)∘c(t-1) + add(t) of every step.
func (g *Graph) lstmCells(start, f, add *Value) *Value {
	batch, h := f.shape[1], f.shape[2]
	n := &node{op: "Scan", in: []*Value{start, f, add}}
	n.write = func(out *onnx.Graph, in, names []string) {
		body := onnx.NewGraph("cells" + strconv.Itoa(n.out[0].id))
		part := func() string { return body.Input(body.Name(), onnx.Float, onnx.Fixed(batch, h)...) }
		before, ft, at := part(), part(), part()
		c := body.Op("Add", []string{body.Op("Mul", []string{before, ft}), at})
		kept := body.Op("Identity", []string{c})
		body.Output(c, onnx.Float, onnx.Fixed(batch, h)...)
		body.Output(kept, onnx.Float, onnx.Fixed(batch, h)...)
		out.Node("Scan", in, []string{out.Name(), names[0]}, onnx.Body("body", body), onnx.Int("num_scan_inputs", 2))
	}
	return g.add1(n, f.shape)
}

// lstmScan returns the gradient of every step's gates before their activation; dAll may be nil.
func (g *Graph) lstmScan(dLast, dCell, kh, coef, f, r, dAll *Value) *Value {
	steps, batch, h := f.shape[0], f.shape[1], f.shape[2]
	n := &node{op: "Scan", in: []*Value{dLast, dCell, kh, coef, f, r}}
	if dAll != nil {
		n.in = append(n.in, dAll)
	}
	n.write = func(out *onnx.Graph, in, names []string) {
		scanned := []string{in[0], in[1], in[2], in[3], in[4]}
		body := onnx.NewGraph("back" + strconv.Itoa(n.out[0].id))
		part := func(width int) string { return body.Input(body.Name(), onnx.Float, onnx.Fixed(batch, width)...) }
		state, cell, k, c, ft := part(h), part(h), part(h), part(4*h), part(h)
		d := state
		if dAll != nil {
			scanned = append(scanned, in[6])
			d = body.Op("Add", []string{state, part(h)})
		}
		dc := body.Op("Add", []string{cell, body.Op("Mul", []string{d, k})})
		gates := body.Op("Mul", []string{body.Op("Concat", []string{dc, d, dc, dc}, onnx.Int("axis", 1)), c})
		before := body.Op("MatMul", []string{gates, in[5]})
		cellBefore := body.Op("Mul", []string{dc, ft})
		for _, v := range []string{before, cellBefore} {
			body.Output(v, onnx.Float, onnx.Fixed(batch, h)...)
		}
		body.Output(gates, onnx.Float, onnx.Fixed(batch, 4*h)...)
		backward := make([]int64, len(scanned)-2)
		for i := range backward {
			backward[i] = 1
		}
		out.Node("Scan", scanned, []string{out.Name(), out.Name(), names[0]}, onnx.Body("body", body), onnx.Int("num_scan_inputs", int64(len(backward))),
			onnx.Ints("scan_input_directions", backward...), onnx.Ints("scan_output_directions", 1))
	}
	return g.add1(n, []int{steps, batch, 4 * h})
}
