package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"andon/event"
	"andon/model"
	"andon/trainer/truth"
)

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
			all = append(all, truth.Outcome{Asset: fmt.Sprint("pump-", n%7), Start: end - 1, End: end, Version: version, Loss: l},
				truth.Outcome{Asset: fmt.Sprint("pump-", n%7), Start: end - 1, End: end, Version: "shadow", Loss: 1})
		}
		for _, a := range w.take("one", &rule, 0, all) {
			text := "worse"
			if a.Over {
				text = "over"
			} else if a.Metric != "mae" || math.Abs(a.Loss-20) > 6 || math.Abs(a.Before-10) > 3 || len(a.Causes) != 1 || len(a.Causes[0].Assets) < 4 || a.Since >= a.At || !strings.Contains(a.Detail, "pump-") {
				t.Errorf("%+v", a)
			}
			if a.Pipeline != "pumps" || a.Kind != event.AlarmRealised || a.Version != "one" || a.ID == "" {
				t.Errorf("%+v", a)
			}
			out = append(out, text)
		}
		return out
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
	if w.alarm == nil {
		t.Fatal("not told")
	}
	if out := w.take("two", &rule, 0, nil); len(out) != 1 || !out[0].Over || w.alarm != nil || w.version != "two" {
		t.Errorf("another champion: %+v", out)
	}
}
