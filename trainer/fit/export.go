package fit

import (
	"math"

	"andon/model"
	"andon/trainer/graph"
)

// scoring starts a scoring graph: the window and what the trained network says of it.
func (t *Trained) scoring() (g *graph.Graph, window, said *graph.Value) {
	g = graph.New()
	window = g.Input(model.Input, graph.Batch, t.Length, t.Width)
	return g, window, t.predict(g, window, constants(g, t.shapes(), t.Params), nil)
}

// constants cuts trained parameters into constants of a graph.
func constants(g *graph.Graph, shapes [][]int, params []float32) []*graph.Value {
	var out []*graph.Value
	for _, s := range shapes {
		n := product(s)
		out = append(out, g.Const(params[:n], s...))
		params = params[n:]
	}
	return out
}

func verdicts(g *graph.Graph, name string, value, risk *graph.Value) []byte {
	return g.Model(name, graph.Output{Name: model.Value, Value: value}, graph.Output{Name: model.Risk, Value: risk})
}

// RemainingLife writes the scoring model of a network whose targets were remaining lives in units of limit grid steps: value is the remaining life in
// steps, never below 0, and risk c's probability.
func (t *Trained) RemainingLife(limit float64, c Logistic) []byte {
	g, _, said := t.scoring()
	value := g.Relu(g.Mul(said, g.Scalar(float32(limit))))
	risk := g.Sigmoid(g.Add(g.Mul(value, g.Scalar(float32(c.Slope))), g.Scalar(float32(c.Offset))))
	return verdicts(g, "remaining_life", value, risk)
}

// Surprise turns a forecast's error into a verdict: the error less Center, in units of Spread, is the value's size; risk is 0.5 where the value is Half
// and grows with its logarithm, Steep times as steep as a logistic function.
type Surprise struct {
	Center, Spread, Half, Steep float64
}

// minSurprise keeps the logarithm of a perfect forecast finite.
const minSurprise = 1e-6

// Anomaly writes the scoring model of a forecasting network.
func (t *Trained) Anomaly(s Surprise) []byte {
	g, window, said := t.scoring()
	c := func(x float64) *graph.Value { return g.Scalar(float32(x)) }
	truth := g.Squeeze(g.Slice(g.Slice(window, 2, 0, 1), 1, t.Length-1, t.Length), 2)
	value := g.Abs(g.Mul(g.Sub(g.Sub(truth, said), c(s.Center)), c(1/s.Spread)))
	risk := g.Sigmoid(g.Mul(g.Sub(g.Log(g.Add(value, c(minSurprise))), c(math.Log(s.Half))), c(s.Steep)))
	return verdicts(g, "anomaly", value, risk)
}
