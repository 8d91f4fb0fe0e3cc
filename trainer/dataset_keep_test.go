package trainer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"andon/event"
	"andon/model"
	"andon/model/ort/orttest"
	"andon/trainer/evaluate"
)

func mustExamine(t *testing.T, w *warehouse, p Pipeline) evaluate.Data {
	t.Helper()
	d, err := Examination(context.Background(), w, &p, Default().Memory)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func assetsOf(d *evaluate.Data) (names []string) {
	for _, l := range d.Lives {
		names = append(names, l.Asset)
	}
	return slices.Compact(names)
}

// What is kept for judging is learned from by no run, whatever its seed, and stays kept when other assets come.
func TestHoldout(t *testing.T) {
	p := pumps()
	p.Spec.Holdout = 0.3
	kept := map[int][]string{}
	for _, n := range []int{12, 24} {
		var w warehouse
		fill(&w, n)
		for name := range w.rows { // the channel names the asset
			for i := range w.rows[name] {
				var id int
				_, _ = fmt.Sscanf(name, "pump-%d", &id)
				w.rows[name][i].Values[1] = float64(id)
			}
		}
		e := mustExamine(t, &w, p)
		kept[n] = assetsOf(&e)
		if k := len(kept[n]); k < n/10 || k > n/2 {
			t.Fatalf("of %d assets %d are kept: %v", n, k, kept[n])
		}
		for seed := range uint64(3) {
			p.Spec.Seed = seed + 1
			d := mustCollect(t, &w, p)
			if d.kept != len(kept[n]) || d.assets != n-len(kept[n]) {
				t.Errorf("%d assets are learned from and %d kept, of %d", d.assets, d.kept, n)
			}
			for _, windows := range [][]float32{d.train.Windows, d.val.Windows} {
				for i := 1; i < len(windows); i += 2 {
					name := fmt.Sprintf("pump-%02d", int(math.Round(float64(windows[i])*d.recipe.Scale[1].Std+d.recipe.Scale[1].Mean)))
					if slices.Contains(kept[n], name) {
						t.Fatalf("%s is learned from and judged on", name)
					}
				}
			}
		}
	}
	for _, name := range kept[12] {
		if !slices.Contains(kept[24], name) {
			t.Errorf("%s is kept no more since others have come", name)
		}
	}
}

// Assets that live on are judged as far as their truth is known, and are not learned from unless that is asked for.
func TestAlive(t *testing.T) {
	var w warehouse
	fill(&w, 12)
	w.put("pump-alive", wear(99, 200, 1000*hour))
	p := pumps()
	p.Spec.Holdout = 0.3
	e := mustExamine(t, &w, p)
	alive := slices.IndexFunc(e.Lives, func(l evaluate.Life) bool { return l.Asset == "pump-alive" })
	if alive < 0 || e.Lives[alive].Failed != evaluate.Alive {
		t.Fatalf("judged are %v", assetsOf(&e))
	}
	before := mustCollect(t, &w, p)
	p.Spec.Censored = true
	p.Spec.Holdout = 0
	without := mustCollect(t, &warehouse{rows: w.rows, labels: w.labels[:11]}, p)
	p.Spec.Censored = false
	plain := mustCollect(t, &warehouse{rows: w.rows, labels: w.labels[:11]}, p)
	// The two that have not failed give the windows that had more than 40 steps to come: 155 of 200 rows and 42 of the 83.
	if more := without.train.Len() + without.val.Len() - plain.train.Len() - plain.val.Len(); more != 200-4-40+83-4-40 {
		t.Errorf("%d windows more from what lives on", more)
	}
	if before.assets != 12-before.kept {
		t.Errorf("%d assets are learned from", before.assets)
	}
}

func TestExcluded(t *testing.T) {
	var w warehouse
	fill(&w, 8)
	p := pumps()
	all := mustCollect(t, &w, p)
	count := func(d *dataset) int { return d.train.Len() + d.val.Len() }
	w.labels = append(w.labels, event.Label{Pipeline: "pumps", Asset: "pump-03", Time: 1010 * hour, Until: 1012 * hour, Kind: event.KindQuarantine})
	if d := mustCollect(t, &w, p); count(all)-count(d) != 2+4 { // windows of five slots that touch two
		t.Errorf("a quarantine of two slots takes %d windows", count(all)-count(d))
	}
	w.labels = w.labels[:8]
	p.Spec.Exclude = []Excluded{{Assets: "pump-0[12]", From: time.Unix(0, 1020*hour)}}
	if d := mustCollect(t, &w, p); count(all)-count(d) != (53-20)+(56-20) {
		t.Errorf("what is excluded takes %d windows", count(all)-count(d))
	}
	p.Spec.Exclude = []Excluded{{}, {Assets: "("}, {From: time.Unix(9, 0), Until: time.Unix(8, 0)}}
	err := p.Spec.Validate()
	for _, want := range []string{"exclude[0].assets, from, until: none is set", "exclude[1].assets: error parsing", "exclude[2].until: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A label's weight reaches the windows that it speaks of.
func TestHardRows(t *testing.T) {
	var w warehouse
	fill(&w, 8)
	p := pumps()
	w.labels[2].Weight = 3
	w.labels = append(w.labels, event.Label{Pipeline: "pumps", Asset: "pump-04", Time: 1010 * hour, Until: 1013 * hour, Kind: event.KindNormal, Weight: 5})
	d := mustCollect(t, &w, p)
	counts := map[float32]int{}
	for _, s := range [][]float32{d.train.Weights, d.val.Weights} {
		for _, w := range s {
			counts[w]++
		}
	}
	if counts[3] != 56-4 || counts[5] != 3 {
		t.Errorf("weights %v", counts)
	}
	if same := mustCollect(t, &w, p); same.digest != d.digest {
		t.Error("the same labels gave another digest")
	}
	w.labels[2].Weight = 2
	if mustCollect(t, &w, p).digest == d.digest {
		t.Error("the weight is not in the digest")
	}
}

func TestBalance(t *testing.T) {
	check := func(old, recent, room int, replay float64, want shares) {
		t.Helper()
		got := balance(old, recent, room, replay)
		for _, c := range [][2]class{{got.old, want.old}, {got.recent, want.recent}} {
			if c[0].stride != c[1].stride || math.Abs(c[0].weight-c[1].weight) > 1e-9 {
				t.Errorf("%d old and %d recent in %d: %+v, want %+v", old, recent, room, got, want)
			}
		}
	}
	same := class{1, 1}
	check(100, 0, 1000, 0.5, shares{same, same})
	check(100, 100, 1000, 0, shares{same, same})
	check(100, 100, 100, 0, shares{class{2, 1}, class{2, 1}})
	check(100, 100, 1000, 0.5, shares{same, same})
	check(100, 100, 100, 0.5, shares{class{2, 1}, class{2, 1}})
	check(300, 100, 1000, 0.5, shares{class{1, 400.0 / 600}, class{1, 2}})
	check(9000, 100, 1000, 0.5, shares{class{10, 1000.0 / 900 * (1.0 / 8) / (1000.0 / 900 * (1.0/8*900 + 100) / 1000)}, class{1, 1000.0 / (900.0/8 + 100)}})
	check(100, 9000, 1000, 0.2, shares{class{1, 200.0 / 100 * 10 / 10}, class{10, 800.0 / 900}})
}

// Of two assets at most, the newest rows are kept; the first training takes the first rows, a later one all that are not kept.
func TestHoldoutByTime(t *testing.T) {
	p := thermometer()
	p.Spec.Holdout, p.Spec.MinRows, p.Spec.Recent = 0.25, 104, 0
	var w warehouse
	for i := range 400 {
		w.put("m", []event.Row{{Time: int64(i) * hour, Values: []float64{float64(i)}}})
	}
	w.labels = []event.Label{{Pipeline: p.Name, Asset: "m", Time: 50 * hour, Kind: event.KindAnomaly}, {Pipeline: p.Name, Asset: "m", Time: 350 * hour, Until: 360 * hour, Kind: event.KindMissed},
		{Pipeline: p.Name, Asset: "m", Time: 20 * hour, Kind: event.KindNormal, Golden: true}}
	back := func(d *dataset, x float32) int {
		return int(math.Round(float64(x)*d.recipe.Scale[0].Std + d.recipe.Scale[0].Mean))
	}
	first := mustCollect(t, &w, p)
	if got := back(first, first.val.Windows[len(first.val.Windows)-1]); got != 103 || first.train.Len()+first.val.Len() != 100-5-5-4 {
		t.Errorf("the first training ends at row %d, and has %d windows", got, first.train.Len()+first.val.Len())
	}
	d, err := collect(context.Background(), &w, &p, Default().Memory, order{again: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := back(d, d.val.Windows[len(d.val.Windows)-1]); got != 299 {
		t.Errorf("a later training ends at row %d", got)
	}
	e := mustExamine(t, &w, p)
	if len(e.Lives) != 1 || e.Lives[0].From != 300*hour || len(e.Lives[0].Events) != 2 || len(e.Lives[0].Golden) != 1 {
		t.Errorf("judged is %+v", e.Lives[0].From)
	}
}

func TestNothingKept(t *testing.T) {
	var w warehouse
	fill(&w, 8)
	p := pumps()
	if _, err := Examination(context.Background(), &w, &p, Default().Memory); !errors.Is(err, ErrNothingKept) {
		t.Errorf("without a holdout: %v", err)
	}
}

// Two models are put side by side on what neither has seen, through the windows of the line.
func TestExamination(t *testing.T) {
	orttest.Open(t)
	var w warehouse
	fill(&w, 24)
	p := pumps()
	p.Spec.Holdout, p.Spec.Epochs = 0.3, 2
	m := learn(t, &w, p)
	p.Spec.Epochs = 8
	better := learn(t, &w, p)
	c := evaluate.Default()
	c.Draws, c.Timed = 200, 20
	table, err := evaluate.Run(context.Background(), c, []*model.Model{m, better}, mustExamine(t, &w, p))
	if err != nil {
		t.Fatal(err)
	}
	a, b := table.Cell(evaluate.All, m.Version), table.Cell(evaluate.All, better.Version)
	if !(b.Loss < a.Loss) || table.Digest == "" {
		t.Errorf("two epochs lose %v, eight %v", a.Loss, b.Loss)
	}
}
