package adopt

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon/model"
	"andon/model/onnx"
	"andon/model/ort"
	"andon/model/ort/orttest"
)

// expected is what python/make_models.py keeps beside a model.
type expected struct {
	Length      int
	Signals     []string
	Windows     [][][]float64
	Value, Risk []float64
}

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func spec(t testing.TB, text string) *Spec {
	t.Helper()
	s, err := Read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pumps is the recipe of a pipeline that has more than the models want: more steps, another order, a signal that none of them knows.
func pumps() model.Recipe {
	return model.Recipe{Signals: []string{"flow", "noise", "pressure"}, Grid: time.Minute, Length: 9, MaxGap: 2, Smooth: 1, Age: true}
}

// verdicts runs an adopted model on the windows that Python saw.
func verdicts(t testing.TB, m *model.Model, want *expected) (value, risk []float32) {
	t.Helper()
	if err := ort.Open(orttest.Library(t)); err != nil {
		t.Fatal(err)
	}
	s, err := ort.NewSession(m.ONNX, ort.Options{Inputs: []string{model.Input}, Outputs: []string{model.Value, model.Risk}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n, length, width := len(want.Windows), m.Recipe.Length, m.Recipe.Width()
	data := make([]float32, n*length*width)
	for i := range data {
		data[i] = 1e6 // what the model must not look at
	}
	channels := m.Recipe.Channels()
	for i, w := range want.Windows {
		for step, row := range w {
			for j, v := range row {
				at := 0
				for channels[at] != want.Signals[j] {
					at++
				}
				data[(i*length+length-want.Length+step)*width+at] = float32(v)
			}
		}
	}
	in, err := ort.Wrap(data, int64(n), int64(length), int64(width))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var outs []ort.Value
	value, risk = make([]float32, n), make([]float32, n)
	for _, d := range [][]float32{value, risk} {
		o, err := ort.Wrap(d, int64(n), 1)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		outs = append(outs, o)
	}
	if err := s.Run([]ort.Value{in}, outs); err != nil {
		t.Fatal(err)
	}
	return value, risk
}

const torchSpec = `name: pump-cnn-gru
task: remaining-life
unit: minutes
horizon: 15
inputs:
  - {tensor: readings, layout: channels-time, signals: [pressure, flow], mean: [5, 40], std: [0.5, 4]}
value: {tensor: life, scale: 60}
risk: {tensor: life, scale: 60, map: logistic, half: 15, steep: -0.26666667}
`

// Models of PyTorch and scikit-learn say through our rewriting what Python's ONNX Runtime says of them.
func TestAdoptedEqualsPython(t *testing.T) {
	short := strings.Replace(torchSpec, "risk: {tensor: life, scale: 60, map: logistic, half: 15, steep: -0.26666667}\n", "", 1)
	cases := []struct{ name, file, spec string }{
		{"torch exporter of 1.x", "torch_script", torchSpec},
		{"torch exporter of 2.x", "torch_dynamo", torchSpec},
		{"risk of a remaining life", "torch_dynamo", short},
		{"classifier", "sklearn_classifier", `
name: pump-classifier
inputs: [{tensor: X, length: 6, signals: [pressure, flow]}]
risk: {tensor: probabilities, column: 1}`},
		{"regression of doubles", "sklearn_regression", `
task: remaining-life
unit: minutes
horizon: 15
inputs: [{signals: [flow, pressure]}]`},
		{"an input a signal", "sklearn_forest", `
task: anomaly
inputs:
  - {tensor: pressure, signals: [pressure]}
  - {tensor: flow, signals: [flow]}
value: {tensor: scores}
risk: {tensor: scores, map: logistic, half: 0, steep: -20}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var want expected
			if err := json.Unmarshal(file(t, c.file+".json"), &want); err != nil {
				t.Fatal(err)
			}
			m, err := Adopt(file(t, c.file+".onnx"), spec(t, c.spec), "pumps", pumps(), model.Lineage{})
			if err != nil {
				t.Fatal(err)
			}
			again, err := Adopt(file(t, c.file+".onnx"), spec(t, c.spec), "pumps", pumps(), model.Lineage{})
			if err != nil || again.Version != m.Version {
				t.Errorf("adopted again it is version %v, was %s (%v)", again, m.Version, err)
			}
			if m.Pipeline != "pumps" || len(m.Lineage.Source) != 64 || m.Lineage.Code == "" || m.Network == "" {
				t.Errorf("meta %+v", m.Meta)
			}
			value, risk := verdicts(t, m, &want)
			for i := range value {
				if !near(value[i], want.Value[i]) || !near(risk[i], want.Risk[i]) {
					t.Errorf("window %d: value %v, risk %v; Python says %v, %v", i, value[i], risk[i], want.Value[i], want.Risk[i])
				}
			}
		})
	}
}

func near(got float32, want float64) bool {
	return math.Abs(float64(got)-want) <= 1e-5*max(1, math.Abs(want))
}

// A model as MLflow keeps it needs nothing more than the section andon of its metadata.
func TestMLmodel(t *testing.T) {
	ml, err := ReadMLmodel(file(t, "mlflow/MLmodel"))
	if err != nil {
		t.Fatal(err)
	}
	if ml.Data != "model.onnx" || ml.Spec.Name != "pump-classifier" || !strings.HasPrefix(ml.Lineage().Run, "mlflow model ") || ml.Time.Year() != 2026 {
		t.Errorf("%+v", ml)
	}
	recipe := model.Recipe{Signals: []string{"pressure", "flow"}, Grid: time.Minute, Length: 6, Smooth: 1}
	m, err := Adopt(file(t, "mlflow/"+ml.Data), ml.Spec, "pumps", recipe, ml.Lineage())
	if err != nil {
		t.Fatal(err)
	}
	var want expected
	if err := json.Unmarshal(file(t, "sklearn_classifier.json"), &want); err != nil {
		t.Fatal(err)
	}
	value, risk := verdicts(t, m, &want)
	for i := range value {
		if !near(value[i], want.Value[i]) || !near(risk[i], want.Risk[i]) {
			t.Errorf("window %d: %v, %v; Python says %v", i, value[i], risk[i], want.Value[i])
		}
	}

	over := spec(t, "risk: {tensor: probabilities}\nunit: odds").Over(ml.Spec)
	if over.Risk.Column != 0 || over.Unit != "odds" || over.Name != "pump-classifier" {
		t.Errorf("over: %+v", over)
	}
	columns, err := ReadMLmodel([]byte(`{flavors: {onnx: {data: m.onnx}}, run_id: abc, signature: {inputs: '[{"name":"pressure","type":"double"},{"name":"flow","type":"double"}]'}}`))
	if err != nil {
		t.Fatal(err)
	}
	if columns.Run != "mlflow run abc" {
		t.Errorf("run %q", columns.Run)
	}
	columns.Spec.Risk = &Output{Tensor: "scores", Map: Logistic, Steep: -20}
	if m, err = Adopt(file(t, "sklearn_forest.onnx"), columns.Spec, "pumps", pumps(), model.Lineage{}); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(file(t, "sklearn_forest.json"), &want); err != nil {
		t.Fatal(err)
	}
	if _, risk := verdicts(t, m, &want); !near(risk[3], want.Risk[3]) {
		t.Errorf("columns as inputs: risk %v, Python says %v", risk[3], want.Risk[3])
	}
	bad := func(text, says string) {
		t.Helper()
		if _, err := ReadMLmodel([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
	bad("flavors: {sklearn: {}}", "flavour onnx")
	bad("flavors: {onnx: {data: ../../etc/passwd}}", "not a file beside it")
	bad("flavors: {onnx: {data: /etc/passwd}}", "not a file beside it")
	bad("flavors: {onnx: {data: m}}\nmetadata: {andon: {colour: red}}", "colour")
	bad("flavors: {onnx: {data: m}}\nsignature: {inputs: '{'}", "signature.inputs")
	bad("[", "read MLmodel")
}

// small is a file with one node: an input and an output of the given types and shapes, the batch first.
func small(batch onnx.Dim, in, out onnx.Type, dims ...int) []byte {
	g := onnx.NewGraph("small")
	x := g.Input("x", in, append([]onnx.Dim{batch}, onnx.Fixed(dims...)...)...)
	g.Node("Cast", []string{x}, []string{"y"}, onnx.Int("to", int64(out)))
	g.Output("y", out, append([]onnx.Dim{batch}, onnx.Fixed(dims...)...)...)
	return g.Model()
}

// What cannot be adopted is told with the tensor or the key, and what to do.
func TestRefused(t *testing.T) {
	free := onnx.Dim{Name: "n"}
	forest := file(t, "sklearn_forest.onnx")
	bad := func(file []byte, text, says string) {
		t.Helper()
		s, err := Read([]byte(text))
		if err == nil {
			_, err = Adopt(file, s, "pumps", pumps(), model.Lineage{})
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
	bad([]byte("hello"), "", "not an ONNX file")
	bad(forest, "", `nothing of the file's input "pressure"`)
	bad(forest, "inputs: [{tensor: pressure, signals: [pressure]}, {tensor: humidity}]", `no input "humidity"; it has pressure, flow`)
	bad(forest, "inputs: [{tensor: pressure, signals: [heat]}, {tensor: flow, signals: [flow]}]", `no channel "heat"; they have flow, noise, pressure, age`)
	bad(forest, "inputs: [{tensor: pressure, signals: [pressure]}, {tensor: flow, signals: [flow]}]", "outputs label, scores")
	bad(forest, "inputs: [{tensor: pressure, signals: [pressure]}, {tensor: flow, signals: [flow]}]\nrisk: {tensor: scores, column: 3}", "risk.column: 3 is beyond")
	bad(forest, "inputs: [{tensor: pressure, signals: [pressure]}, {tensor: flow, signals: [flow]}]\nrisk: {tensor: nothing}", `no output "nothing"`)
	bad(file(t, "torch_script.onnx"), "inputs: [{signals: [pressure, flow], layout: time-channels}]", "declares readings float[-1 2 6]; time-channels of 2 signals does not fit")
	bad(file(t, "torch_script.onnx"), "", "cannot fill")
	bad(file(t, "sklearn_classifier.onnx"), "risk: {tensor: probabilities}\ninputs: [{signals: [flow, noise, pressure, age, flow]}]", "do not divide")
	bad(small(onnx.Dim{Size: 4}, onnx.Float, onnx.Float, 9, 4), "", "batches of 4 only")
	bad(small(free, onnx.Float, onnx.Float, 20, 4), "", "cannot fill")
	bad(small(free, 8, onnx.Float, 9, 4), "", "does not take numbers")
	bad(small(free, onnx.Float, 8, 9, 4), "", "does not hold numbers")
	bad(small(free, onnx.Float, onnx.Float, 4, 4), "inputs: [{signals: [flow, noise, pressure, age]}]", "could be either")
	bad(small(free, onnx.Float, onnx.Float, 9, 4), "tusk: score", "tusk")
	bad(nil, "task: guess", "task:")
	bad(nil, "task: remaining-life", "horizon:")
	bad(nil, "horizon: 3", "horizon:")
	bad(nil, "inputs: [{mean: [1], std: []}]", "inputs[0].mean")
	bad(nil, "inputs: [{mean: [1], std: [0]}]", "inputs[0].std")
	bad(nil, "inputs: [{layout: sideways, length: -1}]", "inputs[0].layout")
	bad(nil, "risk: {map: logistic}", "risk.steep")
	bad(nil, "value: {map: cube, column: -1}", "value.map")
	bad(nil, "value: {half: 2}", "value.map")
}

// Whatever stands in the YAML beside a model, reading it ends without a panic, and what is read can be used or is refused.
func FuzzSpec(f *testing.F) {
	f.Add([]byte(torchSpec))
	f.Add(file(f, "mlflow/MLmodel"))
	forest := file(f, "sklearn_forest.onnx")
	f.Fuzz(func(t *testing.T, text []byte) {
		specs := []*Spec{}
		if s, err := Read(text); err == nil {
			specs = append(specs, s)
		}
		if m, err := ReadMLmodel(text); err == nil {
			specs = append(specs, m.Spec)
		}
		for _, s := range specs {
			m, err := Adopt(forest, s, "pumps", pumps(), model.Lineage{})
			if err == nil && m.Version == "" {
				t.Error("a model without a version")
			}
		}
	})
}

// A file that was exported for one window takes more where its nodes do.
func TestExportedForOne(t *testing.T) {
	g := onnx.NewGraph("one")
	x := g.Input("x", onnx.Float, onnx.Fixed(1, 6, 2)...)
	g.Node("ReduceMean", []string{x}, []string{"y"}, onnx.Ints("axes", 1, 2), onnx.Int("keepdims", 0))
	g.Output("y", onnx.Float, onnx.Fixed(1)...)
	if !ForOne(g.Model()) || ForOne(file(t, "torch_script.onnx")) {
		t.Error("which file is for one window is not seen")
	}
	m, err := Adopt(g.Model(), spec(t, "inputs: [{signals: [pressure, flow]}]"), "pumps", pumps(), model.Lineage{})
	if err != nil {
		t.Fatal(err)
	}
	var want expected
	if err := json.Unmarshal(file(t, "sklearn_forest.json"), &want); err != nil {
		t.Fatal(err)
	}
	value, _ := verdicts(t, m, &want)
	for i, w := range want.Windows {
		mean := 0.0
		for _, row := range w {
			mean += (row[0] + row[1]) / 12
		}
		if !near(value[i], mean) {
			t.Errorf("window %d: %v, want %v", i, value[i], mean)
		}
	}
}
