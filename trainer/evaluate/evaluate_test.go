package evaluate

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"andon/event"
	"andon/model"
	"andon/model/ort/orttest"
	"andon/trainer/gate"
	"andon/trainer/graph"
)

const hour = int64(time.Hour)

// recipe reads two signals in windows of three slots.
var recipe = model.Recipe{Signals: []string{"heat", "load"}, Grid: time.Hour, Length: 3, Smooth: 1}

// plain makes windows of rows that stand one a slot; a row that is missing makes a gap.
func plain(r *model.Recipe, rows []event.Row, emit func(int64, []float32)) error {
	window := make([]float32, r.Length*r.Width())
	for i := r.Length - 1; i < len(rows); i++ {
		first := rows[i-r.Length+1 : i+1]
		if first[r.Length-1].Time-first[0].Time != int64(r.Length-1)*int64(r.Grid) {
			continue
		}
		for j, row := range first {
			for c, v := range row.Values {
				window[j*r.Width()+c] = float32(v)
			}
		}
		emit((floorDiv(rows[i].Time, int64(r.Grid))+1)*int64(r.Grid), window)
	}
	return nil
}

// says makes a model whose value is the window's last heat times by plus add, and whose risk is the same, held to [0, 1].
func says(t *testing.T, by, add float32) *model.Model {
	t.Helper()
	g := graph.New()
	x := g.Input(model.Input, graph.Batch, recipe.Length, recipe.Width())
	last := g.Squeeze(g.Slice(g.Slice(x, 2, 0, 1), 1, recipe.Length-1, recipe.Length), 2)
	value := g.Add(g.Mul(last, g.Scalar(by)), g.Scalar(add))
	risk := g.Sub(g.Relu(value), g.Relu(g.Sub(value, g.Scalar(1))))
	m, err := model.Seal(g.Model("says", graph.Output{Name: model.Value, Value: value}, graph.Output{Name: model.Risk, Value: risk}),
		model.Meta{Pipeline: "pumps", Task: model.RemainingLife, Recipe: recipe, Network: fmt.Sprintf("says %v %v", by, add)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// lives makes n pumps whose heat is the remaining life, and whose load is 1 in even pumps and 2 in odd ones.
func lives(n, steps int) Data {
	d := Data{Pipeline: "pumps", Task: model.RemainingLife, Cap: 20, Horizon: 5, Unit: "hours", Featurize: plain}
	for i := range n {
		l := Life{Asset: fmt.Sprintf("%s-%02d", []string{"north", "south"}[i%2], i), Failed: int64(steps - 1)}
		for s := range steps {
			l.Rows = append(l.Rows, event.Row{Time: int64(s) * hour, Values: []float64{float64(steps - 1 - s), float64(1 + i%2)}})
		}
		d.Lives = append(d.Lives, l)
	}
	return d
}

func mustRun(t *testing.T, c Config, d Data, models ...*model.Model) Table {
	t.Helper()
	orttest.Open(t)
	table, err := Run(context.Background(), c, models, d)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func quick() Config {
	c := Default()
	c.Draws, c.Timed = 200, 20
	return c
}

func near(t *testing.T, what string, got Number, want float64) {
	t.Helper()
	if math.Abs(float64(got)-want) > 1e-6 {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestRemainingLife(t *testing.T) {
	right, late := says(t, 1, 0), says(t, 1, 4)
	c := quick()
	c.Scenarios = []Scenario{{Name: "near the end", LeftBelow: 6}, {Name: "site", Group: `^(\w+)-`}, {Name: "heavy", Signal: "load", From: ptr(1.5)}, {Name: "nobody", Assets: "^x"}}
	table := mustRun(t, c, lives(10, 40), right, late)
	// Of 40 slots 38 end a window, with 37 to 0 steps left: 17 above the cap, where the cap is all that counts, 3 just below it, where 4 too many are cut to it.
	near(t, "the right model's rmse", table.Cell(All, right.Version).Value, 0)
	near(t, "the late model's rmse", table.Cell(All, late.Version).Value, math.Sqrt((17*16+9+4+1)/38.0))
	near(t, "the late model's loss", table.Cell(All, late.Version).Loss, (17*4+3+2+1)/20.0/38)
	near(t, "near the end", table.Cell("near the end", late.Version).Value, 4)
	var names []string
	for _, s := range table.Scenarios {
		names = append(names, fmt.Sprintf("%s: %d of %d", s.Name, s.Windows, s.Assets))
	}
	want := []string{"all: 380 of 10", "near the end: 60 of 10", "site north: 190 of 5", "site south: 190 of 5", "heavy: 190 of 5", "nobody: 0 of 0"}
	if !slices.Equal(names, want) {
		t.Errorf("scenarios %q, want %q", names, want)
	}
	if table.Cell("nobody", late.Version).Value.Known() {
		t.Error("a scenario of nothing has a value")
	}
	for _, v := range table.Versions {
		if v.P50 <= 0 || v.P99 < v.P50 || !v.CPUSeconds.Known() || v.Bytes == 0 || v.Alarms.Known() {
			t.Errorf("cost %+v", v)
		}
	}
	all, parts := table.Slices(late.Version, right.Version)
	if v := gate.Judge(gate.Default(), all, parts...); !v.Pass || len(all.Blocks) != 10 || len(parts) != 4 {
		t.Errorf("the gate says %q of %d blocks in %d slices", v.Reason, len(all.Blocks), len(parts))
	}
	all, parts = table.Slices(right.Version, late.Version)
	if v := gate.Judge(gate.Default(), all, parts...); v.Pass {
		t.Errorf("the gate lets the worse one through: %q", v.Reason)
	}
	text, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	var back Table
	if err := json.Unmarshal(text, &back); err != nil || back.Cell("nobody", late.Version).Value.Known() || back.Cell(All, late.Version).Value != table.Cell(All, late.Version).Value {
		t.Errorf("it does not come back from JSON: %v", err)
	}
}

// A table comes back from its stored cells, but for what the gate judges by.
func TestRows(t *testing.T) {
	c := quick()
	c.Scenarios = []Scenario{{Name: "near the end", LeftBelow: 6}, {Name: "nobody", Assets: "^x"}}
	table := mustRun(t, c, lives(10, 40), says(t, 1, 0), says(t, 1, 4))
	table.Who, table.Why = "loop", "drift"
	other := table
	other.ID = "other"
	back := Tables(append(table.Rows(), other.Rows()...))
	if len(back) != 2 || fmt.Sprint(back[0].Text()) != fmt.Sprint(table.Text()) || back[1].ID != "other" || back[0].Who != "loop" || back[0].Digest != table.Digest {
		t.Errorf("%d tables, the first %v, want %v", len(back), back[0].Text(), table.Text())
	}
}

func ptr(x float64) *float64 { return &x }

// What has not failed is judged only where it surely has more than the cap left.
func TestCensored(t *testing.T) {
	d := lives(10, 40)
	for i := range d.Lives {
		d.Lives[i].Failed = Alive
	}
	m := says(t, 1, 0)
	table := mustRun(t, quick(), d, m)
	if n := table.Scenarios[0].Windows; n != 180 { // of each, those with 37 to 20 rows to come
		t.Errorf("%d windows, want 180", n)
	}
	near(t, "rmse", table.Cell(All, m.Version).Value, 0)
}

// Of few assets, stretches of time are the blocks; what comes before From only leads up to it.
func TestEvents(t *testing.T) {
	d := lives(1, 200)
	d.Task = model.Anomaly
	l := &d.Lives[0]
	for i := range l.Rows {
		l.Rows[i].Values[0] = 0
	}
	for i := 100; i < 110; i++ {
		l.Rows[i].Values[0] = 1
	}
	l.From = 50 * hour
	l.Events = []Interval{{From: 100 * hour, Until: 110 * hour, Kind: "leak"}}
	l.Golden = []Interval{{From: 105 * hour, Until: 120 * hour}}
	sees, blind := says(t, 1, 0), says(t, 0, 0)
	c := quick()
	c.Scenarios = []Scenario{{Name: "event", Classes: true}, {Name: "golden", Golden: true}, {Name: "recent", Recent: 20 * time.Hour}, {Name: "day", Every: 24 * time.Hour, Last: 2}}
	table := mustRun(t, c, d, sees, blind)
	near(t, "who sees", table.Cell(All, sees.Version).Value, 0)
	near(t, "who is blind", table.Cell(All, blind.Version).Value, 10.0/150)
	near(t, "in the event", table.Cell("event leak", blind.Version).Value, 1)
	near(t, "in the golden set", table.Cell("golden", blind.Version).Value, 5.0/15)
	if s := table.Scenarios; s[0].Windows != 150 || s[3].Windows != 20 || s[4].Name != "day of 1970-01-08" || s[4].Judged || !s[3].Judged {
		t.Errorf("scenarios %+v", s)
	}
	if all, _ := table.Slices(blind.Version, sees.Version); len(all.Blocks) < gate.Default().MinBlocks {
		t.Errorf("%d blocks of one asset", len(all.Blocks))
	}
}

// Faults are seen by all models alike, and the truth stays that of the clock that is right.
func TestPerturbed(t *testing.T) {
	d := lives(10, 40)
	d.Lives[0].Rows[3].Values[1] = 1
	before := fmt.Sprint(d.Lives)
	m := says(t, 1, 0)
	c := quick()
	for _, kind := range ofRows {
		c.Scenarios = append(c.Scenarios, Scenario{Name: kind, Perturb: &Perturbation{Kind: kind}})
	}
	c.Scenarios = append(c.Scenarios, Scenario{Name: "heat in another unit", Perturb: &Perturbation{Kind: Unit, Signals: []string{"heat"}}},
		Scenario{Name: "lost loads", Perturb: &Perturbation{Kind: Dropout, Signals: []string{"load"}}})
	table := mustRun(t, c, d, m)
	if fmt.Sprint(d.Lives) != before {
		t.Error("the rows were changed")
	}
	value := func(name string) float64 { return float64(table.Cell(name, m.Version).Value) }
	if got := value(Noise); got < 0.3 || got > 2 {
		t.Errorf("a tenth of a deviation, which is 1.15, gives an rmse of %v", got)
	}
	if got := table.Scenarios[2].Windows; got >= 380 || got < 200 {
		t.Errorf("with a tenth of the rows lost %d of 380 windows are left", got)
	}
	if value(Skew) != 0 {
		t.Errorf("a clock that is ahead changes a model without an age by %v", value(Skew))
	}
	if value(Stuck) < 1 || value("heat in another unit") < 5 {
		t.Errorf("a stuck sensor gives %v, another unit %v", value(Stuck), value("heat in another unit"))
	}
	if value("lost loads") != 0 {
		t.Errorf("lost loads, which the model does not read, give %v", value("lost loads"))
	}
	if again := mustRun(t, c, d, m); again.Cell(Noise, m.Version).Value != table.Cell(Noise, m.Version).Value || again.Cell(Stuck, m.Version).Loss != table.Cell(Stuck, m.Version).Loss {
		t.Error("the same seed gave other faults")
	}
	c.Seed++
	other := mustRun(t, c, d, m)
	if other.Cell(Noise, m.Version).Value == table.Cell(Noise, m.Version).Value {
		t.Error("another seed gave the same noise")
	}
}

// Thinned windows are the same for every model.
func TestWindowsAreBounded(t *testing.T) {
	c := quick()
	c.Windows = 100
	c.Scenarios = []Scenario{{Name: "golden", Golden: true}}
	table := mustRun(t, c, lives(10, 40), says(t, 1, 0), says(t, 1, 1))
	if n := table.Scenarios[0].Windows; n > 100 || n < 80 {
		t.Errorf("%d windows of at most 100", n)
	}
}

func TestRefuses(t *testing.T) {
	orttest.Open(t)
	check := func(want string, c Config, d Data, models ...*model.Model) {
		t.Helper()
		if _, err := Run(context.Background(), c, models, d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	m := says(t, 1, 0)
	check("there is no model", quick(), lives(2, 10))
	check("is named twice", quick(), lives(2, 10), m, m)
	check("there are no rows to judge by", quick(), Data{Task: model.RemainingLife}, m)
	c := quick()
	c.Scenarios = []Scenario{{Name: "x", Signal: "flow", From: ptr(1)}}
	check(`the models read no "flow"`, c, lives(2, 40), m)
	c.Scenarios = []Scenario{{Name: "x", Perturb: &Perturbation{Kind: Dark}}}
	check("dark is for frames", c, lives(2, 40), m)
	c.Scenarios = []Scenario{{Name: "a", Assets: "("}, {Name: "a", Signal: "heat"}, {}, {Name: "b", Group: "x", Classes: true}, {Name: "c", Perturb: &Perturbation{Kind: "rust", Share: 2}}}
	for _, want := range []string{"scenarios.a.assets: error parsing", `scenarios.a.name: "a" is taken`, "scenarios.a.signal: a signal and from", "scenarios[2].name: name it",
		"scenarios.b: of group, classes and every", `scenarios.c.perturb.kind: "rust" is none of`} {
		check(want, c, lives(2, 40), m)
	}
}
