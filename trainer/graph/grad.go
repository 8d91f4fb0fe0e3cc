package graph

// Gradients returns the gradient of loss, a value of one element, with respect to each of the values; the zero gradient where loss does not depend on
// one. A value may lie anywhere in the graph: a slice of a parameter vector is differentiated without going on to the vector.
func (g *Graph) Gradients(loss *Value, with ...*Value) []*Value {
	if size(loss.shape) != 1 {
		fault("gradient of a loss of shape %v", loss.shape)
	}
	depends := make([]bool, loss.id+1)
	for _, v := range with {
		if _, again := g.moved(v); again != nil {
			fault("gradient by a %s of %v, which operators may have passed by", v.node.op, v.shape)
		}
		if v.id <= loss.id {
			depends[v.id] = true
		}
	}
	for _, v := range g.values[:loss.id+1] {
		for _, x := range v.node.in {
			depends[v.id] = depends[v.id] || depends[x.id]
		}
	}
	grads := make([]*Value, loss.id+1)
	if depends[loss.id] {
		grads[loss.id] = g.fill(1, loss.shape)
	}
	// A node's results stand side by side and all their readers after them, so at the first result every gradient is complete.
	for id := loss.id; id >= 0; id-- {
		n := g.values[id].node
		if g.values[id].at != 0 || !leadsTo(n, depends) {
			continue
		}
		dy, reached := make([]*Value, len(n.out)), false
		for i, v := range n.out {
			if v.id <= loss.id && grads[v.id] != nil {
				dy[i], reached = grads[v.id], true
			}
		}
		if !reached {
			continue
		}
		if n.back == nil {
			fault("%s has no gradient", n.op)
		}
		for i, dx := range n.back(dy) {
			if x := n.in[i]; dx != nil && depends[x.id] {
				if grads[x.id] == nil {
					grads[x.id] = dx
				} else {
					grads[x.id] = g.Add(grads[x.id], dx)
				}
			}
		}
	}
	out := make([]*Value, len(with))
	for i, v := range with {
		if v.id <= loss.id && grads[v.id] != nil {
			out[i] = grads[v.id]
		} else {
			out[i] = g.fill(0, v.shape)
		}
	}
	return out
}

func leadsTo(n *node, depends []bool) bool {
	for _, x := range n.in {
		if depends[x.id] {
			return true
		}
	}
	return false
}

// fill is a constant of one value.
func (g *Graph) fill(x float32, shape []int) *Value {
	data := make([]float32, size(shape))
	for i := range data {
		data[i] = x
	}
	return g.Const(data, shape...)
}
