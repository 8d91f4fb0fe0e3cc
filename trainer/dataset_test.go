package trainer

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"andon/event"
	"andon/model"
)

func mustCollect(t *testing.T, w *warehouse, p Pipeline) *dataset {
	t.Helper()
	d, err := collect(context.Background(), w, &p, Default().Memory, order{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The label's time may be that of the last reading or of its slot's end: either way nothing is left after the last slot.
func TestTargets(t *testing.T) {
	check := func(name string, labelAfter int64, want ...float64) {
		t.Helper()
		var w warehouse
		for _, a := range []string{"a", "b"} {
			w.put(a, wear(1, 9, 0))
			w.fail(a, 8*hour+labelAfter)
		}
		p := pumps()
		p.Spec.Cap = 3
		d := mustCollect(t, &w, p)
		if !slices.Equal(d.remaining, want) {
			t.Errorf("%s: remaining %v, want %v", name, d.remaining, want)
		}
		for i, left := range want {
			if got := d.val.Targets[i]; got != float32(math.Min(left, 3)/3) {
				t.Errorf("%s: target %v for %v steps with a cap of 3", name, got, left)
			}
		}
	}
	check("label at the last reading", 0, 4, 3, 2, 1, 0)
	check("label in the last slot", hour/2, 4, 3, 2, 1, 0)
	check("label at the last slot's end", hour, 4, 3, 2, 1, 0)
	check("label later", 3*hour+hour/2, 7, 6, 5, 4, 3)
}

func TestLives(t *testing.T) {
	at := func(hours ...int64) (rows []event.Row) {
		for _, h := range hours {
			rows = append(rows, event.Row{Time: h * hour, Values: []float64{float64(h)}})
		}
		return rows
	}
	var got []string
	for _, l := range cut("x", at(1, 2, 3, 5, 6, 9), []int64{0, 3 * hour, 4 * hour, 7 * hour}, hour) {
		s := fmt.Sprintf("until %d:", l.failed)
		for _, r := range l.rows {
			s += fmt.Sprintf(" %v", r.Values[0])
		}
		got = append(got, s)
	}
	// Nothing was read before 0 or between 3 and 4; what came after 7 has no known end.
	if want := []string{"until 3: 1 2 3", "until 6: 5 6"}; !slices.Equal(got, want) {
		t.Errorf("lives %q, want %q", got, want)
	}
}

func TestSplitByAsset(t *testing.T) {
	var w warehouse
	for i := range 10 {
		rows := wear(1, 20, 0)
		for j := range rows {
			rows[j].Values[0] = float64(i) // the channel names the asset
		}
		asset := fmt.Sprintf("a%d", i)
		w.put(asset, rows)
		w.fail(asset, 19*hour)
	}
	p := pumps()
	d := mustCollect(t, &w, p)
	seen := func(windows []float32) map[int]bool {
		m := map[int]bool{}
		for i := 0; i < len(windows); i += 2 {
			m[int(math.Round(float64(windows[i])*d.recipe.Scale[0].Std+d.recipe.Scale[0].Mean))] = true
		}
		return m
	}
	train, val := seen(d.train.Windows), seen(d.val.Windows)
	if len(train) != 7 || len(val) != 3 || d.assets != 10 || d.train.Len() != 7*16 || d.val.Len() != 3*16 {
		t.Errorf("%d assets train with %d windows, %d validate with %d", len(train), d.train.Len(), len(val), d.val.Len())
	}
	sum := 0.0
	for a := range train {
		if val[a] {
			t.Errorf("asset %d is in both parts", a)
		}
		sum += float64(a) / 7
	}
	if math.Abs(d.recipe.Scale[0].Mean-sum) > 1e-9 {
		t.Errorf("scale mean %v, that of the training assets is %v", d.recipe.Scale[0].Mean, sum)
	}
	if s := d.recipe.Scale[1]; s.Mean != 7 || s.Std != 1 {
		t.Errorf("a constant channel is scaled by %+v", s)
	}
	p.Spec.Seed++
	if maps := seen(mustCollect(t, &w, p).val.Windows); len(maps) == 3 && fmt.Sprint(maps) == fmt.Sprint(val) {
		t.Error("another seed chose the same validation assets")
	}
}

// One asset alone is split by time, and no reading is in both parts.
func TestSplitByTime(t *testing.T) {
	p := thermometer()
	var w warehouse
	w.put("m", nil)
	for i := range 400 {
		w.put("m", []event.Row{{Time: int64(i) * hour, Values: []float64{float64(i)}}})
	}
	p.Spec.MinRows = 104
	d := mustCollect(t, &w, p) // of the first 104 rows: 100 windows of 5, the newest 30 validate
	back := func(x float32) int { return int(math.Round(float64(x)*d.recipe.Scale[0].Std + d.recipe.Scale[0].Mean)) }
	last, first := back(d.train.Windows[len(d.train.Windows)-1]), back(d.val.Windows[0])
	if d.val.Len() != 30 || d.train.Len() != 66 || last != 69 || first != 70 || back(d.val.Windows[len(d.val.Windows)-1]) != 103 {
		t.Errorf("%d windows train up to row %d, %d validate from row %d", d.train.Len(), last, d.val.Len(), first)
	}
	for i, y := range d.val.Targets {
		if y != d.val.Window(i)[4] {
			t.Fatalf("target %v, the window's last value is %v", y, d.val.Window(i)[4])
		}
	}
}

func TestDigest(t *testing.T) {
	make := func(change func(w *warehouse, p *Pipeline)) string {
		var w warehouse
		fill(&w, 8)
		p := pumps()
		if change != nil {
			change(&w, &p)
		}
		return mustCollect(t, &w, p).digest
	}
	base := make(nil)
	if len(base) != 64 || base != make(nil) {
		t.Errorf("the same rows gave digests %s and %s", base, make(nil))
	}
	for name, change := range map[string]func(*warehouse, *Pipeline){
		"a reading": func(w *warehouse, _ *Pipeline) { w.rows["pump-03"][7].Values[0]++ },
		"a label":   func(w *warehouse, _ *Pipeline) { w.labels[2].Time -= 5 * hour },
		"the split": func(_ *warehouse, p *Pipeline) { p.Spec.Seed++ },
		"the cap":   func(_ *warehouse, p *Pipeline) { p.Spec.Cap-- },
	} {
		if make(change) == base {
			t.Errorf("%s changed and the digest did not", name)
		}
	}
}

func TestMemoryBoundsWindows(t *testing.T) {
	var w warehouse
	fill(&w, 8)
	p := pumps()
	all := mustCollect(t, &w, p)
	windows := all.train.Len() + all.val.Len()
	d, err := collect(context.Background(), &w, &p, 40*40*80, order{}) // bytes enough for the rows, not for all windows
	if err != nil {
		t.Fatal(err)
	}
	if got := d.train.Len() + d.val.Len(); 4*len(d.train.Windows)+4*len(d.val.Windows) > 40*40*80 || got < windows/4 {
		t.Errorf("%d of %d windows taken", got, windows)
	}
	if _, err := collect(context.Background(), &w, &p, 1000, order{}); err == nil || !strings.Contains(err.Error(), "raise trainer.memory") {
		t.Errorf("rows beyond the memory gave %v", err)
	}
}

func TestCollectRefuses(t *testing.T) {
	check := func(want string, change func(w *warehouse, p *Pipeline)) {
		t.Helper()
		var w warehouse
		fill(&w, 8)
		p := pumps()
		change(&w, &p)
		if _, err := collect(context.Background(), &w, &p, Default().Memory, order{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	check("no asset of pumps has 500 slots of 1h0m0s in a row", func(_ *warehouse, p *Pipeline) { p.Recipe.Length = 500 })
	check("1 windows of 1 assets are too few: 0 would train and 0 validate", func(w *warehouse, _ *Pipeline) {
		w.rows = map[string][]event.Row{"pump-00": wear(1, 5, 1000*hour)}
	})
	check("read labels of pumps: gone", func(w *warehouse, _ *Pipeline) { w.broken = fmt.Errorf("gone") })
}

// thermometer is a pipeline of one asset that is watched for anomalies.
func thermometer() Pipeline {
	s := DefaultSpec(model.Anomaly)
	s.Hidden, s.Epochs, s.Batch, s.MinRows, s.Validation = 6, 6, 32, 600, 0.3
	s.LearningRate = 0.01
	return Pipeline{Name: "thermometer", Spec: s, Featurize: plain,
		Recipe: model.Recipe{Signals: []string{"temperature"}, Grid: time.Hour, Length: 5, Smooth: 1}}
}
