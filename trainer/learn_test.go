package trainer

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"andon/event"
	"andon/model"
	"andon/model/ort"
	"andon/model/ort/orttest"
	"andon/trainer/fit"
)

func learn(t *testing.T, w *warehouse, p Pipeline) *model.Model {
	t.Helper()
	orttest.Open(t)
	lesson, err := Learn(context.Background(), w, &p, Default().Memory, "run-1", Watcher{})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(lesson.Summary)
	return lesson.Model
}

// verdict scores one asset's rows by a model alone: its recipe, its graph.
func verdict(t *testing.T, m *model.Model, rows []event.Row) (value, risk []float32) {
	t.Helper()
	s, err := ort.NewSession(m.ONNX, ort.Options{Inputs: []string{model.Input}, Outputs: []string{model.Value, model.Risk}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var windows []float32
	if err := plain(&m.Recipe, rows, func(_ int64, w []float32) { windows = append(windows, w...) }); err != nil {
		t.Fatal(err)
	}
	n := len(windows) / m.Recipe.Length / m.Recipe.Width()
	x, err := ort.Wrap(windows, int64(n), int64(m.Recipe.Length), int64(m.Recipe.Width()))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	out := make([]ort.Value, 2)
	data := [2][]float32{make([]float32, n), make([]float32, n)}
	for i := range out {
		v, err := ort.Wrap(data[i], int64(n), 1)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		out[i] = v
	}
	if err := s.Run([]ort.Value{x}, out); err != nil {
		t.Fatal(err)
	}
	return data[0], data[1]
}

func TestLearnRemainingLife(t *testing.T) {
	var w warehouse
	fill(&w, 12)
	m := learn(t, &w, pumps())
	if m.Task != model.RemainingLife || m.Horizon != 10 || m.Unit != "hours" || m.Network != "gru 1x8" || len(m.Recipe.Scale) != 2 {
		t.Errorf("metadata %+v", m.Meta)
	}
	l := m.Lineage
	if len(l.Offsets) != 1 || l.Offsets[0].Topic != "t" || l.Offsets[0].Next == 0 || l.CPUSeconds <= 0 || l.Seconds <= 0 {
		t.Errorf("offsets %v, %v s of CPU in %v s", l.Offsets, l.CPUSeconds, l.Seconds)
	}
	if l.Run != "run-1" || l.Query != "select [vibration constant]" || len(l.Digest) != 64 || l.Assets != 12 || l.Windows != 12*50+3*66-12*4 || l.Seed != 1 || !(l.Seconds > 0) {
		t.Errorf("lineage %+v", l)
	}
	if !(m.Metrics["validation_rmse"] < 6) || !(m.Metrics["validation_brier"] < 0.05) {
		t.Errorf("metrics %v", m.Metrics)
	}
	// A pump it has never seen, 70 hours long.
	value, risk := verdict(t, m, wear(99, 70, 0))
	last := len(value) - 1
	if !(value[last] < 6 && value[0] > 30) || !(risk[last] > 0.9 && risk[0] < 0.05) {
		t.Errorf("at first %v hours left, risk %v; at the end %v, %v", value[0], risk[0], value[last], risk[last])
	}
	// The same data and seed make the same model.
	value2, risk2 := verdict(t, learn(t, &w, pumps()), wear(99, 70, 0))
	if !slices.Equal(value, value2) || !slices.Equal(risk, risk2) {
		t.Error("a second training gave another model")
	}
}

func TestLearnAnomaly(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	series := func(from, n int) (rows []event.Row) {
		for i := from; i < from+n; i++ {
			rows = append(rows, event.Row{Time: int64(i) * hour, Values: []float64{20 + 5*math.Sin(float64(i)/4) + 0.2*rng.NormFloat64()}})
		}
		return rows
	}
	var w warehouse
	w.put("m", series(0, 600))
	m := learn(t, &w, thermometer())
	if m.Task != model.Anomaly || m.Unit != "sd" || !(m.Metrics["validation_gain"] > 0.3) {
		t.Errorf("metadata %+v", m.Meta)
	}
	rows := series(600, 300)
	rows[200].Values[0] += 15
	value, risk := verdict(t, m, rows)
	loud := 0
	for i := range value {
		if i < 195 && risk[i] > 0.5 {
			loud++
		}
		if value[i] < 0 || risk[i] < 0 || risk[i] > 1 {
			t.Fatalf("window %d: value %v risk %v", i, value[i], risk[i])
		}
	}
	if loud > 2 {
		t.Errorf("%d of 195 normal windows have a risk above one half", loud)
	}
	if v, r := value[196], risk[196]; v < 10 || r < 0.9 {
		t.Errorf("a jump of 15 degrees is worth %v sd, risk %v", v, r)
	}
}

// A validation part without a failure within the horizon cannot calibrate; the risk must still fall with the remaining life.
func TestRiskWithoutCalibration(t *testing.T) {
	d := &dataset{remaining: []float64{35, 36, 37}}
	d.val.Length = 5
	p := pumps()
	net := fit.Network{Length: 5, Width: 2, Hidden: 2, Layers: 1}
	trained := &fit.Trained{Network: net, Outcome: fit.Outcome{Params: make([]float32, net.Size())}}
	meta := model.Meta{Pipeline: "pumps", Task: model.RemainingLife, Recipe: p.Recipe, Metrics: map[string]float64{}}
	file, _ := finishLife(d, &p.Spec, trained, []float32{0.9, 0.9, 0.9}, &meta)
	orttest.Open(t)
	m, err := model.Seal(file, meta)
	if err != nil {
		t.Fatal(err)
	}
	// All parameters are 0, so the value is 0: certain failure.
	if value, risk := verdict(t, m, wear(1, 5, 0)); value[0] != 0 || risk[0] < 0.95 {
		t.Errorf("value %v risk %v", value[0], risk[0])
	}
}

func TestLearnStops(t *testing.T) {
	orttest.Open(t)
	var w warehouse
	fill(&w, 8)
	p := pumps()
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Learn(ctx, &w, &p, Default().Memory, "r", Watcher{Ready: func(Data) error { cancel(); return nil }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// What featurizing lets through is refused by name.
	p.Featurize = func(r *model.Recipe, rows []event.Row, emit func(int64, []float32)) error {
		return plain(r, rows, func(end int64, w []float32) {
			if len(r.Scale) > 0 {
				w[3] = float32(math.NaN())
			}
			emit(end, w)
		})
	}
	if _, err := Learn(context.Background(), &w, &p, Default().Memory, "r", Watcher{}); err == nil || !strings.Contains(err.Error(), "window 0, slot 1, channel 1 is NaN") {
		t.Errorf("got %v", err)
	}
}

// The reference is of all windows, with verdicts and losses of those that validate, as the exported model gives them.
func TestLearnKeepsReference(t *testing.T) {
	var w warehouse
	fill(&w, 12)
	p := pumps()
	var seen *Seen
	p.Refer = func(s *Seen) ([]byte, error) {
		seen = s
		return []byte("reference"), nil
	}
	m := learn(t, &w, p)
	if string(m.Reference) != "reference" {
		t.Fatalf("the model keeps %q", m.Reference)
	}
	n := m.Lineage.Windows
	if len(seen.End) != n || len(seen.Asset) != n || len(seen.Newest) != n*m.Recipe.Width() || len(seen.Recipe.Scale) != m.Recipe.Width() {
		t.Fatalf("%d ends, %d assets, %d values of %d windows", len(seen.End), len(seen.Asset), len(seen.Newest), n)
	}
	judged, loss, failing := 0, 0.0, 0
	assets := map[int32]bool{}
	for i := range n {
		assets[seen.Asset[i]] = true
		if math.IsNaN(float64(seen.Value[i])) != math.IsNaN(seen.Loss[i]) || math.IsNaN(seen.Loss[i]) != (seen.Yes[i] < 0) {
			t.Fatalf("window %d: value %v, loss %v, yes %d", i, seen.Value[i], seen.Loss[i], seen.Yes[i])
		}
		if seen.Yes[i] >= 0 {
			judged++
			loss += seen.Loss[i]
			failing += int(seen.Yes[i])
		}
	}
	// The mean absolute error is at most the root of the mean square, which is in the metadata.
	if judged == 0 || judged > n/2 || len(assets) != 12 || failing == 0 || failing == judged || loss/float64(judged)*float64(p.Spec.Cap) > m.Metrics["validation_rmse"]+1e-6 {
		t.Errorf("%d of %d windows are judged, of %d assets, %d near their end, mean loss %v", judged, n, len(assets), failing, loss/float64(judged))
	}
	p.Refer = func(*Seen) ([]byte, error) { return nil, errors.New("too few rows") }
	if _, err := Learn(context.Background(), &w, &p, Default().Memory, "run-1", Watcher{}); err == nil || !strings.Contains(err.Error(), "drift reference: too few rows") {
		t.Errorf("got %v", err)
	}
}
