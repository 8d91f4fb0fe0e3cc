package main

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"andon/event"
	"andon/model"
	"andon/trainer/truth"
)

// saidBy returns what a watch has to tell, as a line each, and forgets it.
func saidBy(w *errorWatch) (lines []string, all []event.Alarm) {
	all, w.Untold = w.Untold, nil
	for i := range all {
		lines = append(lines, "worse")
		if all[i].Over {
			lines[i] = "over"
		}
	}
	return lines, all
}

// A model that gets worse is told of once, with how much and where, and once when that is over; one that gets better, or is as it was, never.
func TestErrorWatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	rule := truth.Rule{Task: model.RemainingLife, Grid: time.Hour, Cap: 100, Horizon: 20}
	w := newErrorWatch("pumps")
	n := int64(0)
	life := func(version string, loss float64) (out []string) {
		n++
		var all []truth.Outcome
		for i := range int64(50) {
			l := min(max(loss+0.03*rng.NormFloat64(), 0), 1)
			if i < 10 {
				l = math.NaN()
			}
			end := n*int64(100*time.Hour) + i*int64(time.Hour)
			all = append(all, truth.Outcome{Asset: fmt.Sprint("pump-", n%7), Start: end - 1, End: end, Version: version, Loss: l, Truth: float64(49 - i), Settled: n * int64(time.Second)},
				truth.Outcome{Asset: fmt.Sprint("pump-", n%7), Start: end - 1, End: end, Version: "shadow", Loss: 1, Settled: n * int64(time.Second)})
		}
		w.take("one", &rule, 4, all)
		w.take("one", &rule, 4, nil)
		lines, alarms := saidBy(w)
		for _, a := range alarms {
			if !a.Over && (a.Metric != "mae" || math.Abs(a.Loss-30) > 6 || math.Abs(a.Before-10) > 3 || len(a.Causes) != 1 || len(a.Causes[0].Assets) < 4 || a.Since >= a.At || !strings.Contains(a.Detail, "pump-")) {
				t.Errorf("%+v", a)
			}
			if a.Pipeline != "pumps" || a.Kind != event.AlarmRealised || a.Version != "one" || a.ID == "" {
				t.Errorf("%+v", a)
			}
		}
		return lines
	}
	play := func(lives int, loss float64) (out []string) {
		for range lives {
			out = append(out, life("one", loss)...)
		}
		return out
	}
	for i, c := range []struct {
		lives int
		loss  float64
		want  string
	}{{400, 0.2, "[]"}, {200, 0.1, "[]"}, {60, 0.3, "[worse]"}, {40, 0.1, "[over]"}, {300, 0.1, "[]"}} {
		if got := fmt.Sprint(play(c.lives, c.loss)); got != c.want {
			t.Errorf("step %d, loss %v: %s, want %s", i, c.loss, got, c.want)
		}
	}
	play(60, 0.3)
	if w.Alarm == nil {
		t.Fatal("not told")
	}
	w.take("two", &rule, 4, nil)
	if lines, _ := saidBy(w); fmt.Sprint(lines) != "[over]" || w.Alarm != nil || w.Version != "two" {
		t.Errorf("another champion: %v", lines)
	}
}

// frames makes outcomes of labelled frames of some cameras, ten a second in stretches of two seconds; wrong is the chance that one of a class is read wrongly, of which those of a second are wrong together.
func frames(rng *rand.Rand, from, stretches int, wrong func(class string) float64) (all []truth.Outcome) {
	for s := from; s < from+stretches; s++ {
		class := []string{"scratch", "pit", "clear"}[s%3]
		for second := range 2 {
			mistaken := rng.Float64() < wrong(class)
			for i := range 10 {
				at := truthOrigin + int64(s)*int64(time.Minute) + int64(second)*int64(time.Second) + int64(i)*int64(100*time.Millisecond)
				o := truth.Outcome{Asset: fmt.Sprint("camera-", s%2), Start: at, End: at, Version: "one", Label: class, Class: class, Truth: 1, Settled: int64(s+1) * int64(time.Second)}
				if mistaken && i != 0 {
					o.Class, o.Truth, o.Loss = "clear", 0, 1
				}
				all = append(all, o)
			}
		}
	}
	return all
}

// Of frames, too: the alarm names the classes that are read wrongly, since when, how often, and the model.
func TestErrorWatchOfFrames(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	rule := truth.Rule{Task: model.Classification}
	w := newErrorWatch("tiles")
	usual := func(string) float64 { return .1 }
	w.take("one", &rule, 1, frames(rng, 0, 300, usual))
	if lines, _ := saidBy(w); len(lines) > 0 {
		t.Fatalf("as it was: %v", lines)
	}
	w.take("one", &rule, 1, frames(rng, 300, 60, func(class string) float64 {
		if class == "scratch" {
			return .95
		}
		return .1
	}))
	lines, alarms := saidBy(w)
	if fmt.Sprint(lines) != "[worse]" {
		t.Fatalf("a class that is missed: %v", lines)
	}
	a := alarms[0]
	if a.Version != "one" || a.Metric != "error rate" || a.Loss-a.Before < .1 || a.Loss > .8 || a.Before > .2 || a.Since < truthOrigin+250*int64(time.Minute) || len(a.Causes) < 2 ||
		a.Causes[1].Feature != "class scratch" || a.Causes[1].Now < .6 || a.Causes[1].Before > .2 || len(a.Causes[1].Assets) == 0 || !strings.Contains(a.Detail, "labelled scratch") {
		t.Errorf("%+v", a)
	}
	detection := truth.Rule{Task: model.Detection}
	w = newErrorWatch("gate")
	for i, lines := range []string{"[]", "[worse]"} {
		all := frames(rng, i*300, 300-200*i, func(string) float64 { return .05 + .6*float64(i) })
		for j := range all { // the loss of a detection is that of its risk
			all[j].Loss = math.Abs(all[j].Loss-.1) * (.9 + .1*rng.Float64())
		}
		w.take("one", &detection, 1, all)
		if got, _ := saidBy(w); fmt.Sprint(got) != lines {
			t.Errorf("detection, step %d: %v, want %s", i, got, lines)
		}
	}
}

// On independent blocks the watch cries wolf less than five times in a hundred thousand, and finds what it is there for.
func TestErrorWatchChance(t *testing.T) {
	rule := truth.Rule{Task: model.Anomaly, Grid: time.Minute}
	play := func(seed uint64, blocks int, at int, loss, rise float64) (found []int) {
		rng := rand.New(rand.NewPCG(seed, 11))
		w := newErrorWatch("p")
		for i := range blocks {
			x := loss + loss/4*rng.NormFloat64()
			if i >= at {
				x += loss / 4 * rise
			}
			o := truth.Outcome{Asset: fmt.Sprint(i % 5), Start: int64(i), End: int64(i) + 1, Version: "v", Loss: min(max(x, 0), 1), Settled: int64(i) * int64(time.Second)}
			w.take("v", &rule, 1, []truth.Outcome{o})
			if _, alarms := saidBy(w); len(alarms) > 0 && !alarms[0].Over {
				found = append(found, i-at)
				if w.Alarm != nil && i < at { // so that the next can be seen
					*w = *newErrorWatch("p")
				}
			}
		}
		return found
	}
	wolf, blocks := 0, 0
	for seed := range uint64(60) {
		wolf += len(play(seed, 2000, 1<<30, .2, 0))
		blocks += 2000
	}
	t.Logf("%d alarms in %d blocks that stay as they are", wolf, blocks)
	if wolf > 6 {
		t.Errorf("%d alarms in %d blocks", wolf, blocks)
	}
	for _, c := range []struct {
		rise float64
		most int
	}{{1, 80}, {2, 30}, {3, 20}} {
		var all []int
		for seed := range uint64(40) {
			found := play(100+seed, 400, 200, .2, c.rise)
			if i := slices.IndexFunc(found, func(d int) bool { return d >= 0 }); i >= 0 {
				all = append(all, found[i])
			} else {
				all = append(all, 1<<30)
			}
		}
		slices.Sort(all)
		t.Logf("a rise by %v deviations is found within %d blocks by half, within %d by nine in ten", c.rise, all[20], all[36])
		if all[36] > c.most {
			t.Errorf("a rise by %v deviations is found within %d by nine in ten", c.rise, all[36])
		}
	}
}

// The same outcomes give the same alarms however they are parted, and through kills: what was kept goes on with what came since.
func TestErrorWatchGoesOn(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	lives := func() (all []truth.Outcome) {
		for n := range int64(300) {
			loss := .1
			if n > 150 {
				loss = .3
			}
			if n > 230 {
				loss = .1
			}
			for i := range int64(12) {
				end := truthOrigin + n*int64(100*time.Hour) + i*int64(time.Hour)
				// Two lives are settled at once, and some microseconds apart.
				all = append(all, truth.Outcome{Asset: fmt.Sprint("pump-", n%7), Start: end - 1, End: end, Version: "one", Truth: float64(11 - i), Loss: max(loss+.03*rng.NormFloat64(), 0), Settled: n/2*int64(time.Second) + i/5*1000})
			}
		}
		slices.SortStableFunc(all, func(a, b truth.Outcome) int {
			return cmp.Or(cmp.Compare(a.Settled, b.Settled), cmp.Compare(a.End, b.End))
		})
		return all
	}
	windows := func() (all []truth.Outcome) {
		for i := range 6000 {
			loss := .1
			if i > 3000 {
				loss = .25
			}
			all = append(all, truth.Outcome{Asset: fmt.Sprint("p", i%5), Start: int64(i), End: int64(i) + 9, Version: "one", Loss: max(loss+.05*rng.NormFloat64(), 0), Settled: int64(i/50) * int64(time.Second)})
		}
		return all
	}
	for _, c := range []struct {
		name string
		rule truth.Rule
		all  []truth.Outcome
		want string
	}{
		{"lives", truth.Rule{Task: model.RemainingLife, Grid: time.Hour, Cap: 100, Horizon: 20}, lives(), "[worse over]"},
		{"windows", truth.Rule{Task: model.Anomaly, Grid: time.Minute}, windows(), "[worse]"},
		{"frames", truth.Rule{Task: model.Classification}, append(frames(rng, 0, 150, func(string) float64 { return .1 }), frames(rng, 150, 50, func(string) float64 { return .7 })...), "[worse]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			whole := newErrorWatch("p")
			whole.take("one", &c.rule, 10, c.all)
			whole.take("one", &c.rule, 10, nil)
			lines, want := saidBy(whole)
			if fmt.Sprint(lines) != c.want {
				t.Fatalf("%v", lines)
			}
			// A kill comes anywhere, also within what was settled at once; the state is from some time before it.
			var got []event.Alarm
			w, most := newErrorWatch("p"), 0
			state, kept := []byte(nil), 0
			for at := 0; at < len(c.all); {
				next := min(at+1+rng.IntN(400), len(c.all))
				for next < len(c.all) && c.all[next].Settled == c.all[next-1].Settled { // the keeper reads to the end of those of one time
					next++
				}
				w.take("one", &c.rule, 10, c.all[at:next])
				if next == len(c.all) || c.all[next].Settled-c.all[next-1].Settled > together { // the keeper may have come to rest
					w.take("one", &c.rule, 10, nil)
				}
				_, more := saidBy(w)
				got = append(got, more...)
				at = next
				if len(more) > 0 || state == nil || rng.IntN(3) == 0 {
					var err error
					if state, err = w.save(&c.rule); err != nil {
						t.Fatal(err)
					}
					most, kept = max(most, len(state)), at
				}
				if rng.IntN(4) == 0 {
					w, at = newErrorWatch("p"), kept
					if err := w.restore(&c.rule, state); err != nil {
						t.Fatal(err)
					}
					if w.Alarm != nil && len(w.Untold) != 1 {
						t.Errorf("an alarm that stands is told %d times", len(w.Untold))
					}
					w.Untold = nil
				}
			}
			for i := range want { // NaN is not itself
				for j := range want[i].Causes {
					want[i].Causes[j].P = 0
				}
			}
			for i := range got {
				for j := range got[i].Causes {
					got[i].Causes[j].P = 0
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
			if most > 64<<10 {
				t.Errorf("a state of %d bytes", most)
			}
			t.Logf("a state of %d bytes at most", most)
			other := c.rule
			other.Horizon += 3
			if err := w.restore(&other, state); err == nil || w.N != 0 || !strings.Contains(err.Error(), "horizon") {
				t.Errorf("a state of another horizon: %v", err)
			}
			if err := w.restore(&c.rule, state[:len(state)/2]); err == nil || w.N != 0 {
				t.Errorf("half a state: %v", err)
			}
		})
	}
}
