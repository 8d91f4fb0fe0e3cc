package fit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"andon/model"
	"andon/model/onnx"
	"andon/trainer/graph"
)

// Detector is the shape of a small network that finds things in a frame: objects are points (Zhou, Wang and Krähenbühl 2019, "Objects as Points", CenterNet). Stages of 3x3 convolutions, each halving the
// sides, lead to a grid of cells; for each cell a head says for every class how sure it is that a thing's centre lies there, and, once for all classes, where exactly and how large the thing is. Residual blocks
// are behind the last stage, where a cell sees most. There is no normalisation over a batch.
type Detector struct {
	Height, Width int      // of a frame, in pixels; it has three channels
	Classes       []string // in the order of the answers
	Stages        []int    // channels of each stage
	Blocks        int      // residual blocks of two convolutions
	// Center and Spread scale the pixels, which come in [0, 1].
	Center, Spread float64
	// TypicalWidth and TypicalHeight are the usual size of a thing in pixels, from which sizes are told by the logarithm of their ratio.
	TypicalWidth, TypicalHeight float64
}

// Validate reports every fault.
func (n Detector) Validate() error {
	var errs []error
	check := func(ok bool, format string, a ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, a...))
		}
	}
	check(len(n.Classes) >= 1, "classes: there are none")
	check(len(n.Stages) >= 1, "stages: there are none")
	for i, s := range n.Stages {
		check(s >= 1, "stages: %d channels in stage %d are not at least 1", s, i)
	}
	check(n.Blocks >= 0, "blocks: %d is less than 0", n.Blocks)
	least := 2 << len(n.Stages)
	check(n.Height >= least && n.Width >= least, "a frame of %d x %d is too small for %d stages", n.Width, n.Height, len(n.Stages))
	check(n.Spread > 0, "spread: %v is not above 0", n.Spread)
	check(n.TypicalWidth > 0 && n.TypicalHeight > 0, "typical size: %v x %v is not above 0", n.TypicalWidth, n.TypicalHeight)
	return errors.Join(errs...)
}

// grid returns how many rows and columns of cells there are, and how many pixels lie between two.
func (n Detector) grid() (rows, columns, stride int) {
	rows, columns, stride = n.Height, n.Width, 1
	for range n.Stages {
		rows, columns, stride = (rows+1)/2, (columns+1)/2, stride*2
	}
	return rows, columns, stride
}

func (n Detector) planes() int { return len(n.Classes) + 4 }
func (n Detector) cells() int  { rows, columns, _ := n.grid(); return rows * columns }
func (n Detector) row() []int  { return []int{3, n.Height, n.Width} }
func (n Detector) last() int   { return n.Stages[len(n.Stages)-1] }

// answers are planes of cells: one a class, then how far the centre lies from the cell's, across and down, in cells, then the logarithm of width and height over the typical ones.
func (n Detector) answers() int { return n.planes() * n.cells() }

func (n Detector) masks() []int { return []int{n.last()} }

// Size returns the number of parameters.
func (n Detector) Size() int { return sizeOf(n) }

// shapes lists weights and bias of each stage, of the blocks' two convolutions, of the head's two.
func (n Detector) shapes() [][]int {
	var s [][]int
	in := 3
	for _, out := range n.Stages {
		s = append(s, []int{out, in, 3, 3}, []int{out})
		in = out
	}
	for range 2*n.Blocks + 1 {
		s = append(s, []int{in, in, 3, 3}, []int{in})
	}
	return append(s, []int{n.planes(), in, 1, 1}, []int{n.planes()})
}

// rare is how probable a thing in a cell is at the start: with even odds the many empty cells would drown the few others (Lin et al. 2017, "Focal Loss").
const rare = 0.02

// start draws weights as Classifier.start does. The head says at first that things are rare, of typical size and in the middle of their cells.
func (n Detector) start(rng *rand.Rand) []float32 {
	var p []float32
	shapes := n.shapes()
	for i, s := range shapes {
		block := i/2 - len(n.Stages)
		second := block >= 0 && block < 2*n.Blocks && block%2 == 1
		sd := 0.0
		switch {
		case i == len(shapes)-2:
			sd = 0.01
		case len(s) == 4 && !second:
			sd = math.Sqrt(2 / float64(product(s[1:])))
		}
		for range product(s) {
			p = append(p, float32(sd*rng.NormFloat64()))
		}
	}
	for c := range n.Classes {
		p[len(p)-n.planes()+c] = float32(math.Log(rare / (1 - rare)))
	}
	return p
}

// predict gives [batch, planes * cells], classes as logits.
func (n Detector) predict(g *graph.Graph, x *graph.Value, params, masks []*graph.Value) *graph.Value {
	said, _ := n.tell(g, x, params, masks)
	return said
}

// tell gives what predict does, and what the head reads of all cells, [batch, channels of the last stage, rows, columns].
func (n Detector) tell(g *graph.Graph, x *graph.Value, params, masks []*graph.Value) (said, read *graph.Value) {
	conv := func(x *graph.Value, stride, pad int) *graph.Value {
		w, b := params[0], params[1]
		params = params[2:]
		return g.Conv(x, w, b, stride, pad)
	}
	params = slices.Clone(params)
	x, params[0] = scaled(g, x, params[0], n.Center, n.Spread)
	for range n.Stages {
		x = g.Relu(conv(x, 2, 1))
	}
	for range n.Blocks {
		x = g.Relu(g.Add(x, conv(g.Relu(conv(x, 1, 1)), 1, 1)))
	}
	x = g.Relu(conv(x, 1, 1))
	read = x
	if masks != nil { // whole channels, the same everywhere
		x = g.Mul(x, g.Reshape(masks[0], masks[0].Shape()[0], n.last(), 1, 1))
	}
	return g.Reshape(conv(x, 1, 0), x.Shape()[0], n.answers()), read
}

// Of the loss: eps keeps logarithms finite, boxWeight is what a cell of box counts beside one thing found.
const (
	lossEps   = 1e-6
	boxWeight = 0.5
)

// loss is CenterNet's: a focal loss of the classes that forgives cells near a centre, by the target's own height there, and the absolute errors of place and size around centres.
func (n Detector) loss(g *graph.Graph, said, target, weight *graph.Value) *graph.Value {
	batch, c, cells := said.Shape()[0], len(n.Classes), n.cells()
	one, eps := g.Scalar(1), g.Scalar(lossEps)
	said, target = g.Reshape(said, batch, n.planes(), cells), g.Reshape(target, batch, n.planes(), cells)
	p, y := g.Sigmoid(g.Slice(said, 1, 0, c)), g.Slice(target, 1, 0, c)
	square := func(x *graph.Value) *graph.Value { return g.Mul(x, x) }
	// Where the target is 1, and only there.
	centre := g.Mul(g.Relu(g.Sub(y, g.Scalar(0.999))), g.Scalar(1000))
	hit := g.Mul(g.Mul(centre, square(g.Sub(one, p))), g.Log(g.Add(p, eps)))
	quiet := g.Mul(g.Mul(square(square(g.Sub(one, y))), square(p)), g.Log(g.Add(g.Sub(one, p), eps)))
	found := g.Neg(g.ReduceSum(g.Add(hit, quiet), []int{1, 2}, false))
	near := g.ReduceSum(y, []int{1}, true)
	miss := g.Abs(g.Sub(g.Slice(said, 1, c, c+4), g.Slice(target, 1, c, c+4)))
	box := g.Mul(g.ReduceSum(g.Mul(miss, near), []int{1, 2}, false), g.Scalar(boxWeight))
	return g.ReduceSum(g.Mul(g.Reshape(g.Add(found, box), batch, 1), weight), []int{0, 1}, false)
}

// lossOf is the loss of one frame, by the same arithmetic.
func (n Detector) lossOf(said, target []float32) float64 {
	c, cells := len(n.Classes), n.cells()
	sum := 0.0
	for i := range c * cells {
		p, y := 1/(1+math.Exp(-float64(said[i]))), float64(target[i])
		if y > 0.9995 {
			sum -= (1 - p) * (1 - p) * math.Log(p+lossEps)
		} else {
			sum -= math.Pow(1-y, 4) * p * p * math.Log(1-p+lossEps)
		}
	}
	for at := range cells {
		near := 0.0
		for k := range c {
			near += float64(target[k*cells+at])
		}
		for k := c; k < c+4; k++ {
			sum += boxWeight * near * math.Abs(float64(said[k*cells+at]-target[k*cells+at]))
		}
	}
	return sum
}

// TrainedDetector is a detector with the parameters of its best epoch.
type TrainedDetector struct {
	Detector
	Outcome
}

// TrainDetector fits a detector to train and keeps the parameters of the epoch with the lowest loss on val, under the same contract as Train.
func TrainDetector(ctx context.Context, net Detector, c Config, train, val *Scenes, progress func(Progress)) (*TrainedDetector, error) {
	if err := errors.Join(net.Validate(), c.Validate()); err != nil {
		return nil, err
	}
	for name, s := range map[string]*Scenes{"training": train, "validation": val} {
		if err := s.fits(&net); err != nil {
			return nil, fmt.Errorf("%s set: %w", name, err)
		}
	}
	outcome, err := run(ctx, net, c, &aimed{train, &net}, &aimed{val, &net}, progress)
	if err != nil {
		return nil, err
	}
	return &TrainedDetector{Detector: net, Outcome: *outcome}, nil
}

// Export writes the detector as an ONNX file of form yolov8: input frame, float32 [batch, 3, height, width] in [0, 1]; output boxes, float32 [batch, 4+classes, cells], centre, width and height in pixels and a
// confidence a class. A cell's confidence is left only where none around it is higher. The second output is the mean over the frame of what the head reads (model.Embedding).
func (t *TrainedDetector) Export() []byte {
	g := graph.New()
	x := g.Input(model.Frame, append([]int{graph.Batch}, t.row()...)...)
	said, read := t.tell(g, x, constants(g, t.shapes(), t.Params), nil)
	rows, columns, stride := t.grid()
	c := len(t.Classes)
	said = g.Reshape(said, graph.Batch, t.planes(), rows, columns)
	sure := g.Peaks(g.Sigmoid(g.Slice(said, 1, 0, c)))
	// A cell's middle is where its convolutions are centred: at the pixel i*stride.
	across, down := make([]float32, rows*columns), make([]float32, rows*columns)
	for i := range across {
		across[i], down[i] = float32(i%columns*stride)+0.5, float32(i/columns*stride)+0.5
	}
	scale := g.Scalar(float32(stride))
	at := func(plane int, middle []float32) *graph.Value {
		return g.Add(g.Mul(g.Slice(said, 1, c+plane, c+plane+1), scale), g.Const(middle, 1, 1, rows, columns))
	}
	size := func(plane int, typical float64) *graph.Value {
		return g.Mul(g.Exp(g.Slice(said, 1, c+plane, c+plane+1)), g.Scalar(float32(typical)))
	}
	boxes := g.Concat(1, at(0, across), at(1, down), size(2, t.TypicalWidth), size(3, t.TypicalHeight), sure)
	file := g.Model("detector", graph.Output{Name: "boxes", Value: g.Reshape(boxes, graph.Batch, t.planes(), rows*columns)}, graph.Output{Name: model.Embedding, Value: g.GlobalAverage(read)})
	return onnx.AppendMetadata(file, Labels, list(t.Classes))
}
