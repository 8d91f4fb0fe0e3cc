package fit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"andon/model"
	"andon/model/onnx"
	"andon/trainer/graph"
)

// Classifier is the shape of a convolutional network that tells what a crop of a frame shows: stages of 3x3 convolutions with ReLU, the first of each halving
// the sides, then the average over the crop, and a linear layer. Residual blocks (He et al. 2016) follow a stage's first convolution; they have no
// normalisation and start as the identity (Zhang et al. 2019, "Fixup"), so that a crop's answer never depends on the others of its batch.
type Classifier struct {
	Channels, Height, Width int      // of a crop
	Classes                 []string // in the order of the answers
	Stages                  []int    // channels of each stage
	Blocks                  int      // residual blocks of two convolutions in each stage
	// Center and Spread scale the pixels, which come in [0, 1]: (x-Center)/Spread.
	Center, Spread float64
}

// Validate reports every fault.
func (n Classifier) Validate() error {
	var errs []error
	check := func(ok bool, format string, a ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, a...))
		}
	}
	check(n.Channels >= 1, "channels: %d is not at least 1", n.Channels)
	check(len(n.Classes) >= 2, "classes: %d are not at least 2", len(n.Classes))
	check(len(n.Stages) >= 1, "stages: there are none")
	for i, s := range n.Stages {
		check(s >= 1, "stages: %d channels in stage %d are not at least 1", s, i)
	}
	check(n.Blocks >= 0, "blocks: %d is less than 0", n.Blocks)
	least := 1 << len(n.Stages)
	check(n.Height >= least && n.Width >= least, "a crop of %d x %d is too small for %d stages", n.Width, n.Height, len(n.Stages))
	check(n.Spread > 0, "spread: %v is not above 0", n.Spread)
	return errors.Join(errs...)
}

func (n Classifier) row() []int   { return []int{n.Channels, n.Height, n.Width} }
func (n Classifier) answers() int { return len(n.Classes) }
func (n Classifier) last() int    { return n.Stages[len(n.Stages)-1] }
func (n Classifier) masks() []int { return []int{n.last()} }

// Size returns the number of parameters.
func (n Classifier) Size() int { return sizeOf(n) }

// shapes lists weights and bias of each stage's first convolution and of its blocks' two, then of the linear layer.
func (n Classifier) shapes() [][]int {
	var s [][]int
	in := n.Channels
	for _, out := range n.Stages {
		s = append(s, []int{out, in, 3, 3}, []int{out})
		for range 2 * n.Blocks {
			s = append(s, []int{out, out, 3, 3}, []int{out})
		}
		in = out
	}
	return append(s, []int{len(n.Classes), in}, []int{len(n.Classes)})
}

// start draws weights as He et al. 2015 have it: normal, of variance 2/inputs before a ReLU. Biases, each block's second convolution and the linear layer are zero.
func (n Classifier) start(rng *rand.Rand) []float32 {
	var p []float32
	for i, s := range n.shapes() {
		sd := 0.0
		second := i%2 == 0 && i/2%(1+2*n.Blocks) != 0 && i/2%(1+2*n.Blocks)%2 == 0
		if len(s) == 4 && !second {
			sd = math.Sqrt(2 / float64(product(s[1:])))
		}
		for range product(s) {
			p = append(p, float32(sd*rng.NormFloat64()))
		}
	}
	return p
}

// predict gives logits.
func (n Classifier) predict(g *graph.Graph, x *graph.Value, params, masks []*graph.Value) *graph.Value {
	said, _ := n.tell(g, x, params, masks)
	return said
}

// tell gives logits, and the averages that the linear layer reads, [batch, channels of the last stage].
func (n Classifier) tell(g *graph.Graph, x *graph.Value, params, masks []*graph.Value) (said, embedding *graph.Value) {
	take := func() (w, b *graph.Value) {
		w, b, params = params[0], params[1], params[2:]
		return w, b
	}
	conv := func(x *graph.Value, stride int) *graph.Value {
		w, b := take()
		return g.Conv(x, w, b, stride, 1)
	}
	params = slices.Clone(params)
	x, params[0] = scaled(g, x, params[0], n.Center, n.Spread)
	for range n.Stages {
		x = g.Relu(conv(x, 2))
		for range n.Blocks {
			x = g.Relu(g.Add(x, conv(g.Relu(conv(x, 1)), 1)))
		}
	}
	x = g.GlobalAverage(x)
	embedding = x
	if masks != nil {
		x = g.Mul(x, masks[0])
	}
	w, b := take()
	return g.Gemm(x, w, b, false, true), embedding
}

// scaled gives pixels of mean 0, and weights w for them that divide by their spread: there are fewer weights than pixels.
func scaled(g *graph.Graph, x, w *graph.Value, center, spread float64) (pixels, weights *graph.Value) {
	return g.Sub(x, g.Scalar(float32(center))), g.Mul(w, g.Scalar(float32(1/spread)))
}

// loss is the cross-entropy.
func (n Classifier) loss(g *graph.Graph, said, target, weight *graph.Value) *graph.Value {
	return g.CrossEntropy(said, target, weight)
}

// TrainedClassifier is a classifier with the parameters of its best epoch.
type TrainedClassifier struct {
	Classifier
	Outcome
}

// TrainClassifier fits a classifier to train and keeps the parameters of the epoch with the lowest cross-entropy on val, under the same contract as Train.
func TrainClassifier(ctx context.Context, net Classifier, c Config, train, val *Crops, progress func(Progress)) (*TrainedClassifier, error) {
	if err := errors.Join(net.Validate(), c.Validate()); err != nil {
		return nil, err
	}
	for name, s := range map[string]*Crops{"training": train, "validation": val} {
		if err := s.fits(&net); err != nil {
			return nil, fmt.Errorf("%s set: %w", name, err)
		}
	}
	outcome, err := run(ctx, net, c, train, val, progress)
	if err != nil {
		return nil, err
	}
	return &TrainedClassifier{Classifier: net, Outcome: *outcome}, nil
}

// Predict returns the classes' probabilities of every crop, row-major [crops, classes].
func (t *TrainedClassifier) Predict(set *Crops) ([]float32, error) {
	if err := set.fits(&t.Classifier); err != nil {
		return nil, err
	}
	f, err := newForward(t.Classifier, Config{})
	if err != nil {
		return nil, err
	}
	defer f.close()
	said, err := f.predict(t.Params, set)
	if err != nil {
		return nil, err
	}
	k := t.answers()
	for i := 0; i < len(said); i += k {
		softmax(said[i : i+k])
	}
	return said, nil
}

func softmax(x []float32) {
	norm := logSum(x)
	for i, v := range x {
		x[i] = float32(math.Exp(float64(v) - norm))
	}
}

// logSum is the logarithm of the sum of exponentials.
func logSum(x []float32) float64 {
	top, sum := math.Inf(-1), 0.0
	for _, v := range x {
		top = math.Max(top, float64(v))
	}
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}

// Names of an exported classifier: its input, float32 [batch, channels, height, width] in [0, 1]; its outputs, float32 [batch, classes] and, for those who watch whether crops are as they used to be, what the last
// layer reads of them (model.Embedding), float32 [batch, channels of the last stage]; and the entry of its metadata that holds the classes' names as a JSON array.
const (
	Frame         = "frame"
	Probabilities = "probabilities"
	Labels        = "labels"
)

// Export writes the classifier as an ONNX file.
func (t *TrainedClassifier) Export() ([]byte, error) { return t.ExportAveraged(Augment{}) }

// ExportAveraged is Export of a classifier that looks at a crop in all the ways that the augmentation may mirror and turn it, and gives the mean of their logits' softmax (test-time augmentation: Krizhevsky et al. 2012):
// up to eight times the work for fewer mistakes that depend on how a piece lies.
func (t *TrainedClassifier) ExportAveraged(a Augment) ([]byte, error) {
	if err := a.validate(t.Height, t.Width); err != nil {
		return nil, err
	}
	g := graph.New()
	x := g.Input(Frame, append([]int{graph.Batch}, t.row()...)...)
	params := constants(g, t.shapes(), t.Params)
	views := a.views(g, x)
	var sum, middle *graph.Value
	for _, v := range views {
		if said, embedding := t.tell(g, v, params, nil); sum == nil {
			sum, middle = said, embedding
		} else {
			sum, middle = g.Add(sum, said), g.Add(middle, embedding)
		}
	}
	if len(views) > 1 {
		share := g.Scalar(1 / float32(len(views)))
		sum, middle = g.Mul(sum, share), g.Mul(middle, share)
	}
	file := g.Model("classifier", graph.Output{Name: Probabilities, Value: g.Exp(g.LogSoftmax(sum))}, graph.Output{Name: model.Embedding, Value: middle})
	return onnx.AppendMetadata(file, Labels, list(t.Classes)), nil
}

// list writes names as a JSON array.
func list(names []string) string {
	js, _ := json.Marshal(names) // of strings
	return string(js)
}
