package graph

import "andon/model/onnx"

// LogSoftmax returns the logarithm of exp(x)/sum(exp(x)) along the last axis, without overflow.
func (g *Graph) LogSoftmax(x *Value) *Value {
	last := len(x.shape) - 1
	if last < 0 {
		fault("softmax of a scalar")
	}
	n := &node{op: "LogSoftmax", in: []*Value{x}, attrs: []onnx.Attr{onnx.Int("axis", int64(last))}}
	y := g.add1(n, x.shape)
	n.back = func(dy []*Value) []*Value {
		return []*Value{g.Sub(dy[0], g.Mul(g.Exp(y), g.ReduceSum(dy[0], []int{last}, true)))}
	}
	return y
}

// CrossEntropy returns the sum over rows of weight times the cross-entropy of the target's distribution and softmax(logits), in nats: logits and target are
// [batch, classes], weight is [batch, 1].
func (g *Graph) CrossEntropy(logits, target, weight *Value) *Value {
	each := g.ReduceSum(g.Mul(target, g.LogSoftmax(logits)), []int{1}, true)
	return g.Neg(g.ReduceSum(g.Mul(weight, each), []int{0, 1}, false))
}

// GlobalAverage averages [batch, channels, height, width] over height and width: [batch, channels].
func (g *Graph) GlobalAverage(x *Value) *Value { return g.ReduceMean(x, []int{2, 3}, false) }
