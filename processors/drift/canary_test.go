package drift

import (
	"fmt"
	"slices"
	"testing"

	"andon/event"
)

// A canary of a tenth of the assets has a round for every nine of the champion's. It keeps its streaks meanwhile, has alarms of its own, and is gone only when it has been silent for as long as it takes.
func TestPanelKeepsCanary(t *testing.T) {
	profile := plantProfile(t, 77, 80, 200)
	c := Default()
	panel := NewPanel(func(string) (Config, bool) { return c, true })
	champion, canary := NewMonitor(profile, c.Windows, nil), NewMonitor(profile, c.Windows, nil)
	plant := newPlant(5, 100)
	plant.pull = func(a int, row []float64) {
		if a%10 == 0 { // what the canary scores looks otherwise
			row[3] += 3
		}
	}
	rounds, alarms := map[string]int{}, []event.Alarm(nil)
	at, silent := int64(0), false
	run := func(ticks int) {
		for range ticks {
			at++
			plant.tick(func(a int, row []float64) {
				m, version := champion, "old"
				if a%10 == 0 {
					if m, version = canary, "new"; silent {
						return
					}
				}
				for _, s := range m.Add(fmt.Sprint("asset-", a), at*3600e9, event.Position{Topic: "t"}, row) {
					s.Pipeline, s.Version = "p", version
					r, found := panel.Add(&s)
					rounds[version] += len(r)
					alarms = append(alarms, found...)
				}
			})
		}
	}
	run(500)
	if rounds["new"] < 5 || rounds["old"] < 8*rounds["new"] {
		t.Fatalf("too easy: rounds %v", rounds)
	}
	kinds := func() (all []string) {
		for _, a := range alarms {
			k := a.Version + " " + a.Kind
			if a.Over {
				k += " over"
			}
			all = append(all, k)
		}
		return all
	}
	if got := kinds(); !slices.Equal(got, []string{"new input-drift"}) {
		t.Fatalf("%v", got)
	}
	silent = true
	run(100)
	if got := kinds(); len(got) > 1 {
		t.Errorf("after two of its pieces' time: %v", got)
	}
	run(100)
	if got := kinds(); !slices.Equal(got, []string{"new input-drift", "new input-drift over"}) {
		t.Errorf("after four of its pieces' time: %v", got)
	}
}
