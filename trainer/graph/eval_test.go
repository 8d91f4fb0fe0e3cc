package graph

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"andon/model/ort"
	"andon/model/ort/orttest"
)

// evaluate computes a value in float64, slowly and by other means than ONNX Runtime; inputs are by name.
func evaluate(v *Value, inputs map[string][]float64) []float64 {
	return (&evaluator{inputs: inputs, done: map[*Value][]float64{}}).value(v)
}

type evaluator struct {
	inputs map[string][]float64
	done   map[*Value][]float64
}

func (e *evaluator) value(v *Value) []float64 {
	if got, ok := e.done[v]; ok {
		return got
	}
	n := v.node
	var in [][]float64
	for _, x := range n.in {
		in = append(in, e.value(x))
	}
	var out []float64
	switch n.op {
	case kindInput:
		out = e.inputs[n.name]
	case kindConst:
		for _, x := range n.data {
			out = append(out, float64(x))
		}
	case "Reshape", "Squeeze":
		out = in[0]
	case "Add", "Sub", "Mul", "Div", "Expand":
		out = elementwise(n, v.shape, in)
	case "ReduceSum", "ReduceMean":
		out = reduceRef(n, v.shape, in[0])
	case "Transpose", "Slice":
		out = moveRef(n, v.shape, in[0])
	case "Concat":
		out = make([]float64, size(v.shape))
		axis, from := n.args.axes[0], 0
		for i, x := range n.in {
			each(x.shape, func(at int, index []int) {
				index = slices.Clone(index)
				index[axis] += from
				out[place(v.shape, index)] = in[i][at]
			})
			from += x.shape[axis]
		}
	case "MatMul", "Gemm":
		out = matmulRef(n, v.shape, in)
	case "Conv":
		out = convRef(n, v.shape, in)
	case "ConvRows":
		out = convRowsRef(n, v.shape, in)
	case "LogSoftmax":
		out = logSoftmaxRef(v.shape, in[0])
	case "GRU":
		all := gruRef(n, in)
		h := n.out[1].shape[1] * n.out[1].shape[0]
		e.done[n.out[0]], e.done[n.out[1]] = all, all[len(all)-h:]
		return e.done[v]
	case "LSTM":
		all := lstmRef(n, in)
		h := n.out[1].shape[1] * n.out[1].shape[0]
		e.done[n.out[0]], e.done[n.out[1]] = all, all[len(all)-h:]
		return e.done[v]
	default:
		out = make([]float64, len(in[0]))
		for i, x := range in[0] {
			out[i] = unaryRef[n.op](x)
		}
	}
	e.done[v] = out
	return out
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

var unaryRef = map[string]func(float64) float64{
	"Neg": func(x float64) float64 { return -x }, "Sigmoid": logistic, "Tanh": math.Tanh, "Relu": func(x float64) float64 { return max(x, 0) },
	"Abs": math.Abs, "Exp": math.Exp, "Log": math.Log, "Sqrt": math.Sqrt,
}

// each calls f for every element of a shape, in order.
func each(shape []int, f func(at int, index []int)) {
	index := make([]int, len(shape))
	for at := range size(shape) {
		f(at, index)
		for d := len(shape) - 1; d >= 0; d-- {
			if index[d]++; index[d] < shape[d] {
				break
			}
			index[d] = 0
		}
	}
}

// place returns where an index lies in a shape that may be shorter or stretched along axes of size 1.
func place(shape, index []int) int {
	at := 0
	for d, n := range shape {
		i := index[len(index)-len(shape)+d]
		if n == 1 {
			i = 0
		}
		at = at*n + i
	}
	return at
}

func elementwise(n *node, shape []int, in [][]float64) []float64 {
	out := make([]float64, size(shape))
	each(shape, func(at int, index []int) {
		a := in[0][place(n.in[0].shape, index)]
		if n.op == "Expand" {
			out[at] = a
			return
		}
		b := in[1][place(n.in[1].shape, index)]
		out[at] = map[string]float64{"Add": a + b, "Sub": a - b, "Mul": a * b, "Div": a / b}[n.op]
	})
	return out
}

func reduceRef(n *node, shape []int, x []float64) []float64 {
	out := make([]float64, size(shape))
	in := n.in[0].shape
	each(in, func(at int, index []int) {
		var rest []int
		for d, i := range index {
			if !slices.Contains(n.args.axes, d) {
				rest = append(rest, i)
			} else if n.args.keep {
				rest = append(rest, 0)
			}
		}
		out[place(shape, rest)] += x[at]
	})
	if n.op == "ReduceMean" {
		for i := range out {
			out[i] /= float64(size(in) / size(shape))
		}
	}
	return out
}

func moveRef(n *node, shape []int, x []float64) []float64 {
	out := make([]float64, size(shape))
	each(shape, func(at int, index []int) {
		from := slices.Clone(index)
		if n.op == "Slice" {
			from[n.args.axes[0]] += n.args.from
		} else {
			for i, p := range n.args.axes {
				from[p] = index[i]
			}
		}
		out[at] = x[place(n.in[0].shape, from)]
	})
	return out
}

func matmulRef(n *node, shape []int, in [][]float64) []float64 {
	out := make([]float64, size(shape))
	a, b := n.in[0].shape, n.in[1].shape
	depth := a[len(a)-1]
	if n.args.transA {
		depth = a[0]
	}
	each(shape, func(at int, index []int) {
		batch, i, j := index[:len(index)-2], index[len(index)-2], index[len(index)-1]
		for k := range depth {
			ai, bi := []int{i, k}, []int{k, j}
			if n.args.transA {
				ai = []int{k, i}
			}
			if n.args.transB {
				bi = []int{j, k}
			}
			out[at] += in[0][place(a, append(slices.Clone(batch), ai...))] * in[1][place(b, append(slices.Clone(batch), bi...))]
		}
		if len(in) == 3 {
			out[at] += in[2][place(n.in[2].shape, index)]
		}
	})
	return out
}

// convRef sums over the window, one number at a time.
func convRef(n *node, shape []int, in [][]float64) []float64 {
	out := make([]float64, size(shape))
	x, w := n.in[0].shape, n.in[1].shape
	each(shape, func(at int, index []int) {
		each(w[1:], func(_ int, tap []int) {
			row, col := index[2]*n.args.stride+tap[1]-n.args.pad, index[3]*n.args.stride+tap[2]-n.args.pad
			if row >= 0 && row < x[2] && col >= 0 && col < x[3] {
				out[at] += in[0][place(x, []int{index[0], tap[0], row, col})] * in[1][place(w, []int{index[1], tap[0], tap[1], tap[2]})]
			}
		})
		if len(in) == 3 {
			out[at] += in[2][index[1]]
		}
	})
	return out
}

// convRowsRef is convRef of pictures that lie as [batch, height, width, channels].
func convRowsRef(n *node, shape []int, in [][]float64) []float64 {
	out := make([]float64, size(shape))
	x, w := n.in[0].shape, n.in[1].shape
	high, wide := (x[1]+2*n.args.pad-w[2])/n.args.stride+1, (x[2]+2*n.args.pad-w[2])/n.args.stride+1
	each(shape, func(at int, index []int) {
		batch, down, right := index[0]/wide/high, index[0]/wide%high, index[0]%wide
		each(w[1:], func(_ int, tap []int) {
			row, col := down*n.args.stride+tap[1]-n.args.pad, right*n.args.stride+tap[2]-n.args.pad
			if row >= 0 && row < x[1] && col >= 0 && col < x[2] {
				out[at] += in[0][place(x, []int{batch, row, col, tap[0]})] * in[1][place(w, []int{index[1], tap[0], tap[1], tap[2]})]
			}
		})
		if len(in) == 3 {
			out[at] += in[2][index[1]]
		}
	})
	return out
}

func logSoftmaxRef(shape []int, x []float64) []float64 {
	out := make([]float64, len(x))
	k := shape[len(shape)-1]
	for from := 0; from < len(x); from += k {
		sum := 0.0
		for _, v := range x[from : from+k] {
			sum += math.Exp(v)
		}
		for i, v := range x[from : from+k] {
			out[from+i] = v - math.Log(sum)
		}
	}
	return out
}

// gruRef follows the formulas of Graph.GRU one number at a time.
func gruRef(n *node, in [][]float64) []float64 {
	x, w, r, b := in[0], in[1], in[2], in[3]
	steps, batch, feats, h := n.in[0].shape[0], n.in[0].shape[1], n.in[0].shape[2], n.in[2].shape[1]
	var all []float64
	state := make([]float64, batch*h)
	for t := range steps {
		next := make([]float64, batch*h)
		for i := range batch {
			wx := func(row int) float64 {
				sum := b[row]
				for k := range feats {
					sum += w[row*feats+k] * x[(t*batch+i)*feats+k]
				}
				return sum
			}
			rh := func(row int) float64 {
				sum := b[3*h+row]
				for k := range h {
					sum += r[row*h+k] * state[i*h+k]
				}
				return sum
			}
			for j := range h {
				z, reset := logistic(wx(j)+rh(j)), logistic(wx(h+j)+rh(h+j))
				next[i*h+j] = (1-z)*math.Tanh(wx(2*h+j)+reset*rh(2*h+j)) + z*state[i*h+j]
			}
		}
		state = next
		all = append(all, state...)
	}
	return all
}

// run computes values with ONNX Runtime.
func run(t testing.TB, g *Graph, inputs map[string][]float64, values ...*Value) [][]float32 {
	t.Helper()
	orttest.Open(t)
	var outputs []Output
	for i, v := range values {
		outputs = append(outputs, Output{string(rune('a' + i)), v})
	}
	s, err := ort.NewSession(g.Model("test", outputs...), ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var in, out []ort.Value
	tensor := func(shape []int) *ort.Tensor[float32] {
		v, err := ort.NewTensor[float32](int64s(shape)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(v.Close)
		return v
	}
	for _, p := range s.Inputs() {
		for _, v := range g.inputs {
			if v.node.name == p.Name {
				x := tensor(v.shape)
				for i, f := range inputs[p.Name] {
					x.Data()[i] = float32(f)
				}
				in = append(in, x)
			}
		}
	}
	var got [][]float32
	for _, v := range values {
		y := tensor(v.shape)
		out, got = append(out, y), append(got, y.Data())
	}
	if err := s.Run(in, out); err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i] = slices.Clone(got[i])
	}
	return got
}

// random returns n numbers that float32 holds exactly.
func random(rng *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(float32(rng.NormFloat64()))
	}
	return v
}

// lstmRef follows the formulas of Graph.LSTM one number at a time.
func lstmRef(n *node, in [][]float64) []float64 {
	x, w, r, b := in[0], in[1], in[2], in[3]
	steps, batch, feats, h := n.in[0].shape[0], n.in[0].shape[1], n.in[0].shape[2], n.in[2].shape[1]
	var all []float64
	state, cell := make([]float64, batch*h), make([]float64, batch*h)
	sigmoid := func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }
	for t := range steps {
		next := make([]float64, batch*h)
		for i := range batch {
			pre := func(row int) float64 {
				sum := b[row] + b[4*h+row]
				for k := range feats {
					sum += w[row*feats+k] * x[(t*batch+i)*feats+k]
				}
				for k := range h {
					sum += r[row*h+k] * state[i*h+k]
				}
				return sum
			}
			for j := range h {
				c := &cell[i*h+j]
				*c = sigmoid(pre(2*h+j))**c + sigmoid(pre(j))*math.Tanh(pre(3*h+j))
				next[i*h+j] = sigmoid(pre(h+j)) * math.Tanh(*c)
			}
		}
		state = next
		all = append(all, state...)
	}
	return all
}
