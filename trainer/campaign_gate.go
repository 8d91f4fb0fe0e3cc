package trainer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"andon/event"
	"andon/model"
	"andon/trainer/gate"
)

// judge asks the gate of every candidate: whether it can be served, what it costs, whether there is enough to judge it by, whether it is better, nowhere worse, and keeps what people have chosen. The
// best that passes goes on as the challenger.
func (t *Trainer) judge(ctx context.Context, s *student) {
	c := s.campaign
	champion := t.registry.Live(s.Name)
	if champion == nil {
		t.end(ctx, s, event.DecidedFailed, "gone", "the champion is gone")
		return
	}
	ctx, stop := t.interruptible(ctx, s)
	defer stop()
	if len(c.Candidates) == 0 { // a person brought it
		c.Candidates = []candidate{{Version: c.Challenger}}
	}
	for i := range c.Candidates {
		c.Candidates[i] = candidate{Version: c.Candidates[i].Version, Loss: c.Candidates[i].Loss}
	}
	chosen, gone := t.choose(ctx, s, champion)
	if ctx.Err() != nil { // an order of a person, or the end of the appliance
		return
	}
	told := &c.Candidates[max(chosen, 0)]
	c.Gate = &gateFacts{Measured: told.Measured, Cost: told.Cost, Reason: told.Reason, Findings: told.findings, Golden: told.Golden, Lost: told.Lost}
	others := c.others(max(chosen, 0))
	switch {
	case chosen >= 0:
		if c.Challenger != told.Version {
			if err := t.means.Aliases.Move(ctx, s.Name, model.Challenger, told.Version, who, "the gate's choice"); err != nil {
				t.end(ctx, s, event.DecidedFailed, "challenger", "the gate's choice, %s, cannot be made the challenger: %v", told.Version, err)
				return
			}
			c.Challenger = told.Version
		}
		t.decided(ctx, s, event.DecidedGo, "gate", "%s%s", c.Gate.Reason, others)
		c.enter(event.StageShadow)
	case gone:
		t.end(ctx, s, event.DecidedFailed, "gone", "%s%s", c.Gate.Reason, others)
	default:
		t.end(ctx, s, event.DecidedNo, "gate", "refused: %s%s", c.Gate.Reason, others)
	}
}

// others says what became of the candidates beside one.
func (c *campaign) others(but int) string {
	if len(c.Candidates) < 2 {
		return ""
	}
	var all []string
	for i := range c.Candidates {
		if o := &c.Candidates[i]; i != but {
			said := "refused"
			if o.Passed {
				said = "passed"
			}
			all = append(all, fmt.Sprintf("%s %s: %s", o.Version, said, o.Reason))
		}
	}
	return fmt.Sprintf(" [%s, of %d candidates; %s]", c.Candidates[but].Version, len(c.Candidates), strings.Join(all, "; "))
}

// choose returns the place of the candidate that goes on, -1 where none does, and fills in what is said of each. gone tells that none is to be had.
func (t *Trainer) choose(ctx context.Context, s *student, champion *model.Model) (chosen int, gone bool) {
	c, l := s.campaign, &s.Loop
	var models []*model.Model
	var places []int // of the models, among the candidates
	lost := 0
	for i := range c.Candidates {
		o := &c.Candidates[i]
		m, err := t.means.Aliases.Get(s.Name, o.Version)
		if err != nil {
			o.Reason = fmt.Sprintf("the challenger is not to be had: %v", err)
			lost++
			continue
		}
		if !s.fits(m) {
			o.Reason = "it makes other windows, or tells of other classes, than the pipeline"
			continue
		}
		if t.means.Try != nil {
			if o.Measured, err = t.means.Try(ctx, m); err != nil {
				o.Reason = fmt.Sprintf("it cannot be served: %v", err)
				continue
			}
		}
		models, places = append(models, m), append(places, i)
	}
	if len(models) == 0 {
		return -1, lost == len(c.Candidates)
	}
	exams, err := t.examine(ctx, &s.Pipeline, champion, models)
	if err == nil && len(exams) != len(models) {
		err = fmt.Errorf("%d exams of %d challengers", len(exams), len(models))
	}
	if err != nil {
		for _, i := range places {
			c.Candidates[i].Reason = fmt.Sprintf("its examination failed: %v", err)
		}
		return -1, false
	}
	var judged []gate.Candidate
	var at []int // of the judged, among the exams
	for k := range exams {
		o, e := &c.Candidates[places[k]], &exams[k]
		if o.Cost = e.Cost; e.Cost > l.Gate.Cost {
			o.Reason = fmt.Sprintf("a window takes %.2g times the champion's compute, and loop.gate.cost is %v", e.Cost, l.Gate.Cost)
			continue
		}
		judged, at = append(judged, gate.Candidate{Overall: e.Overall, Slices: e.Slices, Golden: e.Golden}), append(at, k)
	}
	g := gate.Default()
	g.Alpha, g.Margin, g.MinBlocks, g.Golden = l.Gate.Alpha, l.Gate.Margin, l.Gate.Assets, l.Gate.Golden
	best, verdicts := gate.Choose(g, judged...)
	for k := range verdicts {
		c.Candidates[places[at[k]]].take(&verdicts[k], exams[at[k]].Missing)
	}
	if best >= 0 {
		return places[at[best]], false
	}
	// Where there is too little to judge by, the line must: the best on the validation part is tried.
	if k := slices.IndexFunc(verdicts, func(v gate.Verdict) bool { return v.TooLittle }); k >= 0 {
		c.Unjudged = true
		return places[at[k]], false
	}
	return -1, false
}

// maxLost bounds the names of golden cases that a decision tells.
const maxLost = 20

// take notes what the gate said.
func (o *candidate) take(v *gate.Verdict, missing string) {
	o.Passed, o.Reason, o.Golden, o.Lost = v.Pass, v.Reason, v.Golden, v.Lost[:min(len(v.Lost), maxLost)]
	for i := range v.Findings {
		if f := &v.Findings[i]; f.Windows > 0 {
			o.findings = append(o.findings, found(f))
		}
	}
	if len(o.findings) > 0 {
		o.Overall = &o.findings[0]
	}
	if v.TooLittle {
		if missing != "" {
			o.Reason = "too little to judge by: " + missing
		}
		o.Reason += "; it must prove itself as a shadow before its scores count"
	}
}
