package graph

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// Every operator and some networks: the result must be that of a float64 evaluation, and the gradient that of central differences of it.
func TestGradients(t *testing.T) {
	type inputs []*Value
	check := func(name string, shapes [][]int, positive bool, build func(g *Graph, x inputs) *Value) {
		t.Run(name, func(t *testing.T) {
			t.Helper()
			rng := rand.New(rand.NewPCG(7, uint64(len(name))))
			g := New()
			feed := map[string][]float64{}
			var x inputs
			for i, s := range shapes {
				name := fmt.Sprintf("x%d", i)
				x = append(x, g.Input(name, s...))
				feed[name] = random(rng, size(s))
				if positive {
					for j, v := range feed[name] {
						feed[name][j] = float64(float32(math.Abs(v) + 0.5))
					}
				}
			}
			y := build(g, x)
			// Weights tell the elements apart, so that a gradient in the wrong place shows.
			weights := make([]float32, size(y.shape))
			for i := range weights {
				weights[i] = float32(rng.NormFloat64())
			}
			axes := make([]int, len(y.shape))
			for i := range axes {
				axes[i] = i
			}
			loss := g.Mul(y, g.Const(weights, y.shape...))
			if len(axes) > 0 {
				loss = g.ReduceSum(loss, axes, false)
			}
			got := run(t, g, feed, append([]*Value{y}, g.Gradients(loss, x...)...)...)
			near(t, "result", got[0], evaluate(y, feed))
			for i, v := range x {
				want := make([]float64, size(v.shape))
				values := feed[v.node.name]
				for j, at := range values {
					const step = 1e-5
					values[j] = at + step
					up := evaluate(loss, feed)[0]
					values[j] = at - step
					down := evaluate(loss, feed)[0]
					values[j] = at
					want[j] = (up - down) / (2 * step)
				}
				near(t, "gradient of "+v.node.name, got[i+1], want)
			}
		})
	}
	is := func(d ...int) []int { return d }

	for name, f := range map[string]func(*Graph, *Value) *Value{"Neg": (*Graph).Neg, "Sigmoid": (*Graph).Sigmoid, "Tanh": (*Graph).Tanh,
		"Relu": (*Graph).Relu, "Abs": (*Graph).Abs, "Exp": (*Graph).Exp} {
		check(name, [][]int{{3, 4}}, false, func(g *Graph, x inputs) *Value { return f(g, x[0]) })
	}
	for name, f := range map[string]func(*Graph, *Value) *Value{"Log": (*Graph).Log, "Sqrt": (*Graph).Sqrt} {
		check(name, [][]int{{5, 2}}, true, func(g *Graph, x inputs) *Value { return f(g, x[0]) })
	}
	for name, f := range map[string]func(_ *Graph, a, b *Value) *Value{"Add": (*Graph).Add, "Sub": (*Graph).Sub, "Mul": (*Graph).Mul, "Div": (*Graph).Div} {
		for _, s := range [][2][]int{{is(2, 3), is(2, 3)}, {is(2, 3), is(3)}, {is(4, 1), is(3, 1, 5)}, {is(), is(2, 2)}, {is(1, 3), is(2, 1)}} {
			check(fmt.Sprintf("%s/%v%v", name, s[0], s[1]), s[:], true, func(g *Graph, x inputs) *Value { return f(g, x[0], x[1]) })
		}
	}
	for _, s := range [][2][]int{{is(3, 4), is(4, 2)}, {is(2, 3, 4), is(4, 2)}, {is(2, 3, 4), is(2, 4, 5)}, {is(3, 4), is(2, 4, 5)}, {is(2, 1, 3, 2), is(4, 2, 3)}} {
		check(fmt.Sprintf("MatMul/%v%v", s[0], s[1]), s[:], false, func(g *Graph, x inputs) *Value { return g.MatMul(x[0], x[1]) })
	}
	for i := range 4 {
		a, b := is(3, 4), is(4, 2)
		transA, transB := i&1 != 0, i&2 != 0
		if transA {
			a = is(4, 3)
		}
		if transB {
			b = is(2, 4)
		}
		for _, c := range [][]int{is(3, 2), is(2), is(3, 1), is()} {
			check(fmt.Sprintf("Gemm/%v%v%v", a, b, c), [][]int{a, b, c}, false, func(g *Graph, x inputs) *Value {
				return g.Gemm(x[0], x[1], x[2], transA, transB)
			})
		}
		check(fmt.Sprintf("Gemm/%v%v", a, b), [][]int{a, b}, false, func(g *Graph, x inputs) *Value { return g.Gemm(x[0], x[1], nil, transA, transB) })
	}
	for _, keep := range []bool{false, true} {
		for _, axes := range [][]int{is(0), is(2), is(0, 2), is(0, 1, 2)} {
			check(fmt.Sprintf("ReduceSum/%v%v", axes, keep), [][]int{{2, 3, 4}}, false, func(g *Graph, x inputs) *Value { return g.ReduceSum(x[0], axes, keep) })
			check(fmt.Sprintf("ReduceMean/%v%v", axes, keep), [][]int{{2, 3, 4}}, false, func(g *Graph, x inputs) *Value { return g.ReduceMean(x[0], axes, keep) })
		}
	}
	check("Reshape", [][]int{{2, 3, 4}}, false, func(g *Graph, x inputs) *Value { return g.Reshape(x[0], 6, 4) })
	check("Squeeze", [][]int{{1, 3, 1}}, false, func(g *Graph, x inputs) *Value { return g.Squeeze(x[0], 0, 2) })
	check("Expand", [][]int{{3, 1}}, false, func(g *Graph, x inputs) *Value { return g.Expand(x[0], 2, 3, 4) })
	check("Transpose", [][]int{{2, 3, 4}}, false, func(g *Graph, x inputs) *Value { return g.Transpose(x[0], 2, 0, 1) })
	for _, s := range [][3]int{{0, 0, 1}, {1, 1, 3}, {2, 2, 5}, {1, 0, 4}} {
		check(fmt.Sprintf("Slice/%v", s), [][]int{{2, 4, 5}}, false, func(g *Graph, x inputs) *Value { return g.Slice(x[0], s[0], s[1], s[2]) })
	}
	check("Concat", [][]int{{2, 1, 3}, {2, 4, 3}, {2, 2, 3}}, false, func(g *Graph, x inputs) *Value { return g.Concat(1, x[1], x[0], x[2], x[0]) })
	check("Split", [][]int{{11}}, false, func(g *Graph, x inputs) *Value {
		p := g.Split(x[0], [][]int{{2, 3}, {}, {1, 4}})
		return g.Join(g.Mul(p[0], p[1]), p[2])
	})
	check("shared", [][]int{{3}}, false, func(g *Graph, x inputs) *Value { return g.Add(g.Mul(x[0], x[0]), g.Sigmoid(g.Mul(x[0], x[0]))) })

	// The window's side, stride and pad; sides that the stride does not divide leave rows and columns that no window reaches.
	for _, s := range []struct{ n, in, high, wide, out, k, stride, pad int }{{2, 3, 5, 5, 4, 3, 1, 1}, {2, 3, 6, 6, 4, 3, 2, 1}, {1, 2, 7, 5, 3, 3, 2, 1},
		{3, 1, 8, 9, 2, 5, 2, 2}, {2, 2, 4, 3, 3, 1, 1, 0}, {2, 2, 5, 6, 3, 1, 2, 0}, {1, 2, 7, 8, 2, 3, 3, 0}, {2, 1, 3, 3, 2, 3, 1, 0}} {
		x, w := is(s.n, s.in, s.high, s.wide), is(s.out, s.in, s.k, s.k)
		check(fmt.Sprintf("Conv/%v", s), [][]int{x, w, {s.out}}, false, func(g *Graph, x inputs) *Value { return g.Conv(x[0], x[1], x[2], s.stride, s.pad) })
		check(fmt.Sprintf("Conv/plain%v", s), [][]int{x, w}, false, func(g *Graph, x inputs) *Value { return g.Conv(x[0], x[1], nil, s.stride, s.pad) })
	}
	// The same by rows, of few channels and of many.
	for _, s := range []struct{ n, in, high, wide, out, k, stride int }{{2, 3, 5, 5, 4, 3, 1}, {2, 3, 6, 6, 4, 3, 2}, {1, 2, 7, 5, 3, 3, 2}, {2, 9, 4, 5, 2, 3, 1}, {2, 8, 5, 6, 3, 3, 2}, {1, 9, 6, 7, 2, 3, 2}, {2, 2, 4, 3, 3, 1, 1}} {
		x, w := is(s.n, s.in, s.high, s.wide), is(s.out, s.in, s.k, s.k)
		check(fmt.Sprintf("ConvRows/%v", s), [][]int{x, w, {s.out}}, false, func(g *Graph, x inputs) *Value { g.Rows(); return g.Conv(x[0], x[1], x[2], s.stride, s.k/2) })
		check(fmt.Sprintf("ConvRows/plain%v", s), [][]int{x, w}, false, func(g *Graph, x inputs) *Value { g.Rows(); return g.Conv(x[0], x[1], nil, s.stride, s.k/2) })
	}
	check("GlobalAverage", [][]int{{2, 3, 4, 5}}, false, func(g *Graph, x inputs) *Value { return g.GlobalAverage(x[0]) })
	check("LogSoftmax", [][]int{{3, 5}}, false, func(g *Graph, x inputs) *Value { return g.LogSoftmax(x[0]) })
	check("LogSoftmax/3", [][]int{{2, 3, 4}}, false, func(g *Graph, x inputs) *Value { return g.LogSoftmax(x[0]) })
	check("CrossEntropy", [][]int{{4, 3}, {4, 3}, {4, 1}}, true, func(g *Graph, x inputs) *Value { return g.CrossEntropy(x[0], x[1], x[2]) })
	for _, rows := range []bool{false, true} {
		check(fmt.Sprintf("Conv/net/rows=%v", rows), [][]int{{2, 1, 9, 8}, {3, 1, 3, 3}, {3}, {3, 3, 3, 3}, {3}, {4, 3}, {4}}, false, func(g *Graph, x inputs) *Value {
			if rows {
				g.Rows()
			}
			y := g.Relu(g.Conv(g.Mul(x[0], g.Scalar(0.5)), x[1], x[2], 2, 1))
			y = g.Relu(g.Add(y, g.Conv(g.Neg(y), x[3], x[4], 1, 1)))
			return g.LogSoftmax(g.Gemm(g.GlobalAverage(y), x[5], x[6], false, true))
		})
	}

	layer := func(n, h int) [][]int { return GRUShapes(n, h) }
	for _, s := range [][4]int{{1, 1, 1, 1}, {1, 3, 2, 4}, {5, 2, 3, 4}, {7, 1, 1, 3}} {
		steps, batch, n, h := s[0], s[1], s[2], s[3]
		shapes := append([][]int{{steps, batch, n}}, layer(n, h)...)
		check(fmt.Sprintf("GRU/all%v", s), shapes, false, func(g *Graph, x inputs) *Value {
			all, _ := g.GRU(x[0], x[1], x[2], x[3])
			return all
		})
		check(fmt.Sprintf("GRU/last%v", s), shapes, false, func(g *Graph, x inputs) *Value {
			_, last := g.GRU(x[0], x[1], x[2], x[3])
			return last
		})
		check(fmt.Sprintf("GRU/both%v", s), shapes, false, func(g *Graph, x inputs) *Value {
			all, last := g.GRU(x[0], x[1], x[2], x[3])
			return g.Mul(g.Tanh(all), last)
		})
	}
	check("GRU/stacked", append(append([][]int{{4, 2, 3}}, layer(3, 5)...), layer(5, 2)...), false, func(g *Graph, x inputs) *Value {
		all, _ := g.GRU(x[0], x[1], x[2], x[3])
		_, last := g.GRU(all, x[4], x[5], x[6])
		return last
	})
	for _, s := range [][4]int{{5, 2, 3, 4}, {1, 3, 2, 2}, {7, 1, 1, 1}} {
		shapes := append([][]int{{s[0], s[1], s[2]}}, LSTMShapes(s[2], s[3])...)
		check(fmt.Sprintf("LSTM/all%v", s), shapes, false, func(g *Graph, x inputs) *Value {
			all, _ := g.LSTM(x[0], x[1], x[2], x[3])
			return all
		})
		check(fmt.Sprintf("LSTM/last%v", s), shapes, false, func(g *Graph, x inputs) *Value {
			_, last := g.LSTM(x[0], x[1], x[2], x[3])
			return last
		})
		check(fmt.Sprintf("LSTM/both%v", s), shapes, false, func(g *Graph, x inputs) *Value {
			all, last := g.LSTM(x[0], x[1], x[2], x[3])
			return g.Add(g.ReduceSum(g.Mul(all, all), []int{0}, false), last)
		})
	}
	check("LSTM/stacked", append(append([][]int{{4, 2, 3}}, LSTMShapes(3, 5)...), LSTMShapes(5, 2)...), false, func(g *Graph, x inputs) *Value {
		all, _ := g.LSTM(x[0], x[1], x[2], x[3])
		_, last := g.LSTM(all, x[4], x[5], x[6])
		return last
	})
}

func near(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d elements, want %d", what, len(got), len(want))
	}
	scale := 1.0
	for _, w := range want {
		scale = max(scale, math.Abs(w))
	}
	for i, w := range want {
		if d := math.Abs(float64(got[i]) - w); !(d <= 2e-5*scale) {
			t.Errorf("%s: element %d is %v, want %v", what, i, got[i], w)
		}
	}
}

func TestGradientOfWhatIsNotThere(t *testing.T) {
	g := New()
	x, other := g.Input("x", 2), g.Input("other", 3)
	grads := g.Gradients(g.ReduceSum(g.Mul(x, x), []int{0}, false), x, other)
	got := run(t, g, map[string][]float64{"x": {1, 2}}, grads...)
	near(t, "x", got[0], []float64{2, 4})
	near(t, "other", got[1], []float64{0, 0, 0})
}

func TestFaults(t *testing.T) {
	check := func(want string, f func(g *Graph)) {
		t.Helper()
		defer func() {
			if text := fmt.Sprint(recover()); !strings.Contains(text, want) {
				t.Errorf("panicked with %q, want %q", text, want)
			}
		}()
		f(New())
	}
	check("Add of shapes [2 3] and [2]", func(g *Graph) { g.Add(g.Input("a", 2, 3), g.Input("b", 2)) })
	check("multiply matrices [2 3] and [2 3]", func(g *Graph) { g.MatMul(g.Input("a", 2, 3), g.Input("b", 2, 3)) })
	check("slice [1, 4) of axis 0 of [3]", func(g *Graph) { g.Slice(g.Input("a", 3), 0, 1, 4) })
	check("GRU of x [5 2 3]", func(g *Graph) { g.GRU(g.Input("x", 5, 2, 3), g.Input("w", 6, 3), g.Input("r", 6, 3), g.Input("b", 12)) })
	check("LSTM of x [5 2 3]", func(g *Graph) {
		g.LSTM(g.Input("x", 5, 2, 3), g.Input("w", 8, 3), g.Input("r", 8, 3), g.Input("b", 16))
	})
	check("convolution of x [1 2 5 5], w [3 1 3 3]", func(g *Graph) { g.Conv(g.Input("x", 1, 2, 5, 5), g.Input("w", 3, 1, 3, 3), nil, 1, 1) })
	check("a convolution of [1 1 2 5] by windows of 3", func(g *Graph) { g.Conv(g.Input("x", 1, 1, 2, 5), g.Input("w", 3, 1, 3, 3), nil, 1, 0) })
	check("the gradient of ReduceMean needs a fixed batch, not [-1]", func(g *Graph) {
		w := g.Input("w", 1, 1, 3, 3)
		y := g.GlobalAverage(g.Conv(g.Input("x", Batch, 1, 4, 4), w, nil, 1, 1))
		g.Gradients(g.ReduceMean(g.Squeeze(y, 1), []int{0}, false), w)
	})
	check("gradient by a Transpose of [3 2], which operators may have passed by", func(g *Graph) {
		g.Rows()
		x := g.Transpose(g.Input("x", 2, 3), 1, 0)
		g.Gradients(g.ReduceSum(x, []int{0, 1}, false), x)
	})
	check("gradient of a loss of shape [3]", func(g *Graph) { g.Gradients(g.Input("a", 3)) })
	check("Sign has no gradient", func(g *Graph) {
		x := g.Input("x", 1)
		g.Gradients(g.sign(x), x)
	})
	check("needs a fixed batch, not [-1 2]", func(g *Graph) {
		x := g.Input("x", Batch, 2)
		g.Gradients(g.ReduceMean(g.Mul(x, x), []int{0, 1}, false), x)
	})
}
