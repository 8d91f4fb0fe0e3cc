package trainer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"andon/event"
	"andon/model"
	"andon/trainer/gate"
)

// make trains a challenger and registers it.
func (t *Trainer) make(ctx context.Context, s *student) {
	c := s.campaign
	if time.Now().Before(c.again) {
		return
	}
	t.decided(ctx, s, event.DecidedWait, "train", "a challenger is trained: %s", c.Why)
	ctx, stop := t.interruptible(ctx, s)
	defer stop()
	release, err := t.turn(ctx)
	if err != nil {
		return
	}
	defer release()
	r := t.begin(s)
	lesson, err := r.learn(ctx, c.Why, c.By != "")
	var early *earlyError
	if errors.As(err, &early) { // nothing was told of the run yet; what is missing may come
		s.early++
		c.again = time.Now().Add(max(s.Spec.Settle, time.Second))
		t.decided(ctx, s, event.DecidedWait, "early", "%v: looking again after %v", err, s.Spec.Settle)
		return
	}
	s.early = 0
	if err == nil {
		err = t.enroll(ctx, s, lesson)
	}
	s.ended = time.Now()
	if err != nil {
		r.tell(context.WithoutCancel(ctx), event.TrainingFailed, event.Training{Detail: err.Error()})
		if ctx.Err() != nil { // stopped: by a person's order, which the next look sees, or with the appliance, after which it starts anew
			return
		}
		s.failures++
		t.end(ctx, s, event.DecidedFailed, "train", "the training failed: %v", err)
		return
	}
	s.failures = 0
	c.Challenger = lesson.Model.Version
	r.tell(ctx, event.TrainingFinished, event.Training{Version: c.Challenger, Detail: lesson.Summary})
	if c.Challenger == c.Champion {
		t.end(ctx, s, event.DecidedNo, "same", "what was trained is champion %s itself, to the bit: there is nothing new to learn from", c.Champion)
		return
	}
	t.decided(ctx, s, event.DecidedGo, "trained", "challenger %s was trained: %s", c.Challenger, lesson.Summary)
	c.enter(event.StageGate)
}

// enroll registers what was learned as the challenger.
func (t *Trainer) enroll(ctx context.Context, s *student, lesson *Lesson) error {
	m, why := lesson.Model, s.campaign.Why
	if err := t.registry.Register(ctx, m, model.Registration{Who: "trainer", Why: why}); err != nil {
		return fmt.Errorf("register model %s of %s: %w", m.Version, s.Name, err)
	}
	if m.Version == s.campaign.Champion {
		return nil
	}
	return t.means.Aliases.Move(ctx, s.Name, model.Challenger, m.Version, who, why)
}

// judge asks the gate: whether the challenger can be served, whether there is enough to judge it by, whether it is better and nowhere worse, and what it costs.
func (t *Trainer) judge(ctx context.Context, s *student) {
	c, l := s.campaign, &s.Loop
	challenger, err := t.means.Aliases.Get(s.Name, c.Challenger)
	if err != nil {
		t.end(ctx, s, event.DecidedFailed, "gone", "the challenger is not to be had: %v", err)
		return
	}
	champion := t.registry.Live(s.Name)
	if champion == nil {
		t.end(ctx, s, event.DecidedFailed, "gone", "the champion is gone")
		return
	}
	ctx, stop := t.interruptible(ctx, s)
	defer stop()
	facts := &gateFacts{}
	c.Gate = facts
	no := func(kind, format string, a ...any) {
		if ctx.Err() != nil { // an order of a person, or the end of the appliance
			return
		}
		facts.Reason = fmt.Sprintf(format, a...)
		t.end(ctx, s, event.DecidedNo, kind, "refused: %s", facts.Reason)
	}
	if !s.fits(challenger) {
		no("schema", "it makes other windows, or tells of other classes, than the pipeline")
		return
	}
	if t.means.Try != nil {
		if facts.Measured, err = t.means.Try(ctx, challenger); err != nil {
			no("servable", "it cannot be served: %v", err)
			return
		}
	}
	exam, err := t.examine(ctx, &s.Pipeline, champion, challenger)
	if err != nil {
		no("exam", "its examination failed: %v", err)
		return
	}
	facts.Cost = exam.Cost
	if exam.Cost > l.Gate.Cost {
		no("cost", "a window takes %.2g times the champion's compute, and loop.gate.cost is %v", exam.Cost, l.Gate.Cost)
		return
	}
	g := gate.Default()
	g.Alpha, g.Margin, g.MinBlocks = l.Gate.Alpha, l.Gate.Margin, l.Gate.Assets
	if exam.Missing == "" && len(exam.Overall.Blocks) < g.MinBlocks {
		exam.Missing = fmt.Sprintf("%d assets of %d that a verdict takes", len(exam.Overall.Blocks), g.MinBlocks)
	}
	verdict := gate.Judge(g, exam.Overall, exam.Slices...)
	for _, f := range verdict.Findings {
		if f.Windows > 0 {
			facts.Findings = append(facts.Findings, finding{f.Slice, f.Windows, f.Blocks, f.Champion, f.Challenger, f.Gain, real(f.Low), real(f.High), real(f.Worse), real(f.Better)})
		}
	}
	switch {
	case ctx.Err() != nil:
		return
	case exam.Missing != "":
		c.Unjudged = true
		facts.Reason = fmt.Sprintf("too little to judge by: %s; it must prove itself as a shadow before its scores count", exam.Missing)
	case !verdict.Pass:
		no("worse", "%s", verdict.Reason)
		return
	default:
		facts.Reason = verdict.Reason
	}
	t.decided(ctx, s, event.DecidedGo, "gate", "%s", facts.Reason)
	c.enter(event.StageShadow)
}

// promote makes the challenger the champion, with the old one warm in its shadow.
func (t *Trainer) promote(ctx context.Context, s *student) {
	c := s.campaign
	why := fmt.Sprintf("campaign %s: %s", c.ID, c.proof())
	if err := t.registry.Promote(s.Name, c.Challenger, who, why); err != nil {
		t.end(ctx, s, event.DecidedFailed, "promote", "the promotion failed: %v", err)
		return
	}
	s.moved = t.lastMove(s)
	t.decided(ctx, s, event.DecidedGo, "promote", "%s is champion: %s", c.Challenger, c.proof())
	c.enter(event.StageWatch)
	c.book, c.Watched = nil, nil
	if err := t.means.Aliases.Clear(s.Name, model.Challenger, who, "it became the champion"); err != nil {
		t.log.Error("clear an alias", "pipeline", s.Name, "alias", model.Challenger, "error", err)
	}
}

// proof says why the challenger was let through.
func (c *campaign) proof() string {
	text := ""
	switch {
	case c.Unproven != "":
		text = c.Unproven
	case c.Paired != nil:
		text = c.Paired.String()
	case c.Gate != nil:
		text = c.Gate.Reason
	}
	if c.Approved != "" {
		text += "; approved by " + c.Approved
	}
	return text
}
