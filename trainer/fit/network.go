// Package fit trains networks and writes them as scoring models: recurrent ones on windows (Train), convolutional classifiers on crops of frames
// (TrainClassifier), and detectors on frames (TrainDetector). The gradient, the optimiser's step and the network itself are ONNX
// graphs that ONNX Runtime runs; this package feeds them.
package fit

import (
	"math"
	"math/rand/v2"

	"andon/trainer/graph"
)

// network is what the training loop needs of a network. A row is what it reads at once; x is [batch, row...], and what it says and its targets are
// [batch, answers].
type network interface {
	row() []int
	answers() int
	// shapes lists the parameters in the order that the flat vector holds them; start draws them.
	shapes() [][]int
	start(rng *rand.Rand) []float32
	// masks lists the units of each dropout mask.
	masks() []int
	// predict adds the network to a graph. Masks of [batch, units] multiply outputs; nil leaves them as they are.
	predict(g *graph.Graph, x *graph.Value, params, masks []*graph.Value) *graph.Value
	// loss is the sum over rows of weight, [batch, 1], times the row's loss.
	loss(g *graph.Graph, said, target, weight *graph.Value) *graph.Value
}

// sizeOf returns the number of parameters.
func sizeOf(n network) int {
	total := 0
	for _, s := range n.shapes() {
		total += product(s)
	}
	return total
}

// The kinds of recurrent layers; an empty one is GRU.
const (
	GRU  = "gru"
	LSTM = "lstm"
)

// Network is the shape of a recurrent network: layers of gated recurrent units, or of long short-term memory, over a window, and a linear layer on the last state that gives one number.
type Network struct {
	Kind   string // GRU or LSTM
	Length int    // slots of a window
	Width  int    // channels
	Hidden int    // units a layer
	Layers int
	// Forecast makes the network predict the window's last value of channel 0 from the slots before: it reads all but the last slot and gives the
	// change from the last value it read.
	Forecast bool
}

// shapes lists the parameters in the order that the flat vector holds them: w, r, b of each layer, then the linear layer's weights and bias.
func (n Network) shapes() [][]int {
	var s [][]int
	width := n.Width
	for range n.Layers {
		if n.Kind == LSTM {
			s = append(s, graph.LSTMShapes(width, n.Hidden)...)
		} else {
			s = append(s, graph.GRUShapes(width, n.Hidden)...)
		}
		width = n.Hidden
	}
	return append(s, []int{1, n.Hidden}, []int{1})
}

// Size returns the number of parameters.
func (n Network) Size() int { return sizeOf(n) }

func (n Network) row() []int   { return []int{n.Length, n.Width} }
func (n Network) answers() int { return 1 }

func (n Network) masks() []int {
	units := make([]int, n.Layers)
	for i := range units {
		units[i] = n.Hidden
	}
	return units
}

// loss is the squared error.
func (n Network) loss(g *graph.Graph, said, target, weight *graph.Value) *graph.Value {
	miss := g.Sub(said, target)
	return g.ReduceSum(g.Mul(weight, g.Mul(miss, miss)), []int{0, 1}, false)
}

// start draws parameters as PyTorch does: uniform within 1/sqrt(hidden).
func (n Network) start(rng *rand.Rand) []float32 {
	p := make([]float32, n.Size())
	bound := 1 / math.Sqrt(float64(n.Hidden))
	for i := range p {
		p[i] = float32((rng.Float64()*2 - 1) * bound)
	}
	return p
}

// predict adds the network to a graph: window is [batch, length, width], the result [batch, 1]. Masks, one a layer of [batch, hidden], multiply the layers'
// outputs; nil leaves them as they are.
func (n Network) predict(g *graph.Graph, window *graph.Value, params, masks []*graph.Value) *graph.Value {
	read := n.Length
	var base *graph.Value
	if n.Forecast {
		read--
		base = g.Squeeze(g.Slice(g.Slice(window, 2, 0, 1), 1, read-1, read), 2)
		window = g.Slice(window, 1, 0, read)
	}
	x := g.Transpose(window, 1, 0, 2)
	for i := range n.Layers {
		p := params[3*i : 3*i+3]
		layer := g.GRU
		if n.Kind == LSTM {
			layer = g.LSTM
		}
		all, last := layer(x, p[0], p[1], p[2])
		x = all
		if i == n.Layers-1 {
			x = last
		}
		if masks != nil {
			x = g.Mul(x, masks[i])
		}
	}
	y := g.Gemm(x, params[3*n.Layers], params[3*n.Layers+1], false, true)
	if base != nil {
		y = g.Add(y, base)
	}
	return y
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
