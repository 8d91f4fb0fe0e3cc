package trainer

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"andon/event"
	"andon/model"
	"andon/model/ort/orttest"
)

// What failed after a life without the change is not what the loop waits for.
func TestFreshSinceTheAlarm(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t)
		p.first()
		defer func() { p.stop() }()
		p.fresh()
		_, n := p.story(0)
		since := time.Now().UnixNano()
		alarm := event.Alarm{ID: "a1", Pipeline: "pumps", Kind: event.AlarmInput, Version: p.models.Live("pumps").Version, Detail: "vibration drifts", Since: since}
		p.change(func() { p.recent = 3 })
		p.tr.Notify(alarm)
		after(10 * time.Second)
		if d := p.last(); d.Verdict != event.DecidedWait || !strings.Contains(d.Reason, "3 of 8 assets or labels speak of what is so since") {
			t.Errorf("%+v", d)
		}
		p.change(func() { p.recent = 8 })
		after(10 * time.Second)
		p.expect(n, "trigger go", "train go", "gate go")
	})
}

// An alarm that was answered stays so, however often it is told; one about another version waits for that version.
func TestAlarmsOfVersions(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t)
		p.pipeline.Loop.Cooldown = 0
		old := p.first()
		defer func() { p.stop() }()
		p.fresh()
		p.change(func() { p.gain = -.1 })
		_, n := p.story(0)
		p.drift("a1")
		after(time.Minute)
		n = p.expect(n, "trigger go", "train go", "gate no")
		p.drift("a1")
		after(time.Minute)
		p.expect(n)

		young := p.decisionOf("gate").Challenger
		if err := p.models.Promote("pumps", young, "anna", "I know better"); err != nil {
			t.Fatal(err)
		}
		after(3 * time.Second)
		if err := p.tr.Order("pumps", Stop, "anna", "no watch"); err != nil {
			t.Fatal(err)
		}
		after(3 * time.Second)
		n = p.expect(n, "promote go", "watch no")
		// The old one's alarm is told while the young one is champion: once, and it is nothing to do with it.
		for range 3 {
			p.tr.Notify(event.Alarm{ID: "a2", Pipeline: "pumps", Kind: event.AlarmInput, Version: old, Detail: "pressure drifts"})
			after(5 * time.Second)
		}
		n = p.expect(n, "trigger no")
		if d := p.last(); !strings.Contains(d.Reason, "it speaks of version "+old) {
			t.Errorf("%+v", d)
		}
		if _, err := p.models.Rollback(t.Context(), "pumps", model.Champion, "otto", "enough"); err != nil {
			t.Fatal(err)
		}
		after(10 * time.Second)
		p.expect(n, "rollback go", "trigger go", "train go", "gate no")
		if d := p.decisionOf("trigger"); !strings.Contains(d.Reason, "pressure drifts") {
			t.Errorf("%+v", d)
		}
	})
}

// A new champion that is estimated to lose less than the old one did is not rolled back for its own estimate; one that is estimated to lose more is.
func TestEstimatedAfterPromotion(t *testing.T) {
	orttest.Open(t)
	for _, c := range []struct {
		name  string
		loss  float64
		story []string
	}{{"less", .1, nil}, {"more", .4, []string{"rollback go", "trigger no"}}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlant(t)
				p.pipeline.Loop.Fallback = FallbackPromote
				old := p.first()
				defer func() { p.stop() }()
				p.fresh()
				_, n := p.story(0)
				p.tr.Notify(event.Alarm{ID: "a1", Pipeline: "pumps", Kind: event.AlarmEstimated, Version: old, Detail: "the loss is estimated to rise", Loss: .3, Before: .1, Metric: "brier"})
				for range 60 { // no labels come, so the shadow's patience ends it
					if after(30 * time.Second); p.alias(model.Champion) != old {
						break
					}
				}
				n = p.expect(n, "trigger go", "train go", "gate go", "shadow go", "promote go")
				p.tr.Notify(event.Alarm{ID: "b1", Pipeline: "pumps", Kind: event.AlarmEstimated, Version: p.alias(model.Champion), Detail: "its own loss is estimated to rise", Loss: c.loss, Before: .1, Metric: "brier"})
				after(10 * time.Second)
				p.expect(n, c.story...)
			})
		})
	}
}

// An appliance that ends between a person's challenger and the gate goes on at the gate: no other is trained in its place.
func TestBroughtAndKilled(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t)
		p.first()
		defer func() { p.stop() }()
		p.fresh()
		p.change(func() { p.gain = -.1 })
		p.drift("a1")
		_, n := p.story(0)
		young := p.decisionOf("gate").Challenger
		p.change(func() {
			p.written = func(d event.Decision) {
				if d.Stage == event.StageTrigger && d.Who == "otto" {
					p.cancel()
				}
			}
		})
		if err := p.models.Move(t.Context(), "pumps", model.Challenger, young, "otto", "look again"); err != nil {
			t.Fatal(err)
		}
		after(3 * time.Second)
		p.stop()
		n = p.expect(n, "trigger go")
		if d := p.last(); d.Challenger != young {
			t.Errorf("%+v", d)
		}
		p.change(func() { p.written = nil })
		p.run()
		after(5 * time.Second)
		p.expect(n, "gate no")
		if d := p.last(); d.Challenger != young {
			t.Errorf("%+v", d)
		}
	})
}
