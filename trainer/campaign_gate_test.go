package trainer

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"andon/model"
	"andon/model/ort/orttest"
	"andon/trainer/gate"
)

// Of several challengers each gets its exam, and the best that passes goes on; all of them stand in the decision.
func TestCandidates(t *testing.T) {
	orttest.Open(t)
	several := func(t *testing.T, n int, plan func(p *plant), story []string, f func(p *plant, c *campaign)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			p := newPlant(t)
			p.pipeline.Spec.Search = Search{Trials: n, Keep: n}
			p.first()
			defer func() { p.stop() }()
			p.fresh()
			plan(p)
			_, from := p.story(0)
			p.drift("a1")
			after(5 * time.Second)
			p.expect(from, story...)
			var c campaign
			if err := json.Unmarshal([]byte(p.decisionOf("gate").Facts), &c); err != nil {
				t.Fatal(err)
			}
			if len(c.Candidates) != n {
				t.Fatalf("%d candidates: %+v", len(c.Candidates), c.Candidates)
			}
			f(p, &c)
		})
	}
	through, refused := []string{"trigger go", "train go", "gate go"}, []string{"trigger go", "train go", "gate no"}

	several(t, 3, func(p *plant) { p.gains = []float64{-.1, .1, .05} }, through, func(p *plant, c *campaign) {
		second := c.Candidates[1].Version
		if c.Challenger != second || p.alias(model.Challenger) != second || p.alias(model.Shadow) != second {
			p.t.Errorf("the gate took %s, not the second of %s", c.Challenger, versions(c.Candidates))
		}
		if o := c.Candidates[0]; o.Passed || !strings.Contains(o.Reason, "worse in all") || o.Overall == nil || o.Overall.Gain > -.05 {
			p.t.Errorf("%+v", o)
		}
		if o := c.Candidates[2]; !o.Passed || o.Overall.Better == nil || *o.Overall.Better > .05 {
			p.t.Errorf("%+v", o)
		}
		reason := p.decisionOf("gate").Reason
		for _, want := range []string{"corrected for 3 candidates", c.Candidates[0].Version + " refused: worse", c.Candidates[2].Version + " passed: better"} {
			if !strings.Contains(reason, want) {
				p.t.Errorf("no %q in %s", want, reason)
			}
		}
		if len(p.models.List("pumps")) != 4 {
			p.t.Errorf("%d versions are registered", len(p.models.List("pumps")))
		}
	})
	several(t, 2, func(p *plant) { p.gains = []float64{-.1, 0} }, refused, func(p *plant, c *campaign) {
		p.aliases("champion")
		if r := p.decisionOf("gate").Reason; !strings.Contains(r, "worse in all") || !strings.Contains(r, "not shown to be better") {
			p.t.Error(r)
		}
	})
	// The better one loses a golden case, so the other one goes on.
	several(t, 2, func(p *plant) {
		p.gains = []float64{.2, .1}
		p.golden = [][]gate.Case{{{Name: "pump-3 at noon", Champion: 0, Challenger: 1}}, {{Name: "pump-3 at noon", Champion: 0, Challenger: .1}}}
	}, through, func(p *plant, c *campaign) {
		if o := c.Candidates[0]; c.Challenger != c.Candidates[1].Version || o.Passed || len(o.Lost) != 1 || o.Lost[0] != "pump-3 at noon" || c.Gate.Golden != 1 || len(c.Gate.Lost) != 0 {
			p.t.Errorf("%+v", c)
		}
		if r := p.decisionOf("gate").Reason; !strings.Contains(r, "pump-3 at noon") || !strings.Contains(r, "of 1 golden cases none is lost") {
			p.t.Error(r)
		}
	})
	// Too little to judge by: the line must, and the best on the validation part is tried.
	several(t, 2, func(p *plant) { p.assets = 4 }, through, func(p *plant, c *campaign) {
		if !c.Unjudged || c.Challenger != c.Candidates[0].Version || !strings.Contains(c.Gate.Reason, "must prove itself as a shadow") {
			p.t.Errorf("%+v", c)
		}
	})
}
