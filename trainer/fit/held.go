package fit

import "andon/trainer/graph"

// held is how parameters lie while steps change them: the file's order, or, for graph.Rows, a convolution's weights as [k, k, in, out] in place of [out, in, k, k], so that no step has to turn them. The optimiser does
// not mind the order.
type held struct {
	shapes [][]int // as in the file
	turned bool
}

func (h held) turns(shape []int) bool { return h.turned && len(shape) == 4 }

// split cuts the flat parameters: what gradients are taken of, and the same in the shapes that the network knows.
func (h held) split(g *graph.Graph, flat *graph.Value) (held, params []*graph.Value) {
	shapes := make([][]int, len(h.shapes))
	for i, s := range h.shapes {
		shapes[i] = s
		if h.turns(s) {
			shapes[i] = []int{s[2], s[3], s[1], s[0]}
		}
	}
	held = g.Split(flat, shapes)
	for i, v := range held {
		if h.turns(h.shapes[i]) {
			v = g.Transpose(v, 3, 2, 0, 1)
		}
		params = append(params, v)
	}
	return held, params
}

// hold fills dst with the parameters of src, which lie as in the file.
func (h held) hold(dst, src []float32) { h.move(func(there, file int) { dst[there] = src[file] }) }

// release fills dst, as in the file, with the parameters of src.
func (h held) release(dst, src []float32) { h.move(func(there, file int) { dst[file] = src[there] }) }

func (h held) move(put func(there, file int)) {
	at := 0
	for _, s := range h.shapes {
		n := product(s)
		if !h.turns(s) {
			for i := range n {
				put(at+i, at+i)
			}
		} else {
			out, in, taps := s[0], s[1], s[2]*s[3]
			for o := range out {
				for c := range in {
					for k := range taps {
						put(at+(k*in+c)*out+o, at+(o*in+c)*taps+k)
					}
				}
			}
		}
		at += n
	}
}
