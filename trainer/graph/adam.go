package graph

import "math"

// Adam is the optimiser of Kingma and Ba 2015, with the decoupled weight decay of Loshchilov and Hutter 2019 and with the gradient's length clipped.
type Adam struct {
	Beta1, Beta2, Epsilon float64
	// Decay is the weight decay; 0 is none. Clip is the longest gradient taken as it is; longer ones are shortened to it; 0 is no limit.
	Decay, Clip float64
}

// DefaultAdam has the constants of the paper.
func DefaultAdam() Adam { return Adam{Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8} }

// StepScalars is the length of the vector that Scalars fills.
const StepScalars = 3

// Step adds the update of parameters p with moments m and v, all vectors of one length, by a gradient; scalars is the input that Scalars fills.
func (a Adam) Step(g *Graph, grad, p, m, v, scalars *Value) (p2, m2, v2 *Value) {
	c := func(x float64) *Value { return g.Scalar(float32(x)) }
	if a.Clip > 0 {
		length := g.Sqrt(g.ReduceSum(g.Mul(grad, grad), []int{0}, true))
		grad = g.Mul(grad, g.min(c(1), g.Div(c(a.Clip), g.Add(length, c(1e-6)))))
	}
	m2 = g.Add(g.Mul(m, c(a.Beta1)), g.Mul(grad, c(1-a.Beta1)))
	v2 = g.Add(g.Mul(v, c(a.Beta2)), g.Mul(g.Mul(grad, grad), c(1-a.Beta2)))
	rate, root, decay := g.Slice(scalars, 0, 0, 1), g.Slice(scalars, 0, 1, 2), g.Slice(scalars, 0, 2, 3)
	p2 = g.Sub(p, g.Mul(rate, g.Div(m2, g.Add(g.Mul(g.Sqrt(v2), root), c(a.Epsilon)))))
	if a.Decay > 0 {
		p2 = g.Sub(p2, g.Mul(decay, p))
	}
	return p2, m2, v2
}

// Scalars fills dst for the step-th step, counted from 1, at a learning rate.
func (a Adam) Scalars(dst []float32, step int, rate float64) {
	t := float64(step)
	dst[0] = float32(rate / (1 - math.Pow(a.Beta1, t)))
	dst[1] = float32(1 / math.Sqrt(1-math.Pow(a.Beta2, t)))
	dst[2] = float32(rate * a.Decay)
}
