package trainer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"andon/event"
	"andon/model"
)

// make trains challengers and registers them.
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
	lessons, err := r.learn(ctx, c.Why, c.By != "")
	var early *earlyError
	if errors.As(err, &early) { // nothing was told of the run yet; what is missing may come
		s.early++
		c.again = time.Now().Add(max(s.Spec.Settle, time.Second))
		t.decided(ctx, s, event.DecidedWait, "early", "%v: looking again after %v", err, s.Spec.Settle)
		return
	}
	s.early = 0
	if err == nil {
		err = t.enroll(ctx, s, lessons)
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
	detail := lessons[0].Summary
	if n := len(c.Candidates); n > 1 {
		detail = fmt.Sprintf("%s; %d candidates, by their validation loss: %s", detail, n, versions(c.Candidates))
	}
	r.tell(ctx, event.TrainingFinished, event.Training{Version: lessons[0].Model.Version, Detail: detail})
	if len(c.Candidates) == 0 {
		c.Challenger = c.Champion
		t.end(ctx, s, event.DecidedNo, "same", "what was trained is champion %s itself, to the bit: there is nothing new to learn from", c.Champion)
		return
	}
	t.decided(ctx, s, event.DecidedGo, "trained", "challenger %s was trained: %s", c.Challenger, detail)
	c.enter(event.StageGate)
}

// enroll registers what was learned: each lesson is a candidate, unless it is the champion again, and the best on the validation part is the challenger until the gate has chosen.
func (t *Trainer) enroll(ctx context.Context, s *student, lessons []*Lesson) error {
	c := s.campaign
	c.Candidates = nil
	for _, l := range lessons {
		v := l.Model.Version
		if v == c.Champion || slices.ContainsFunc(c.Candidates, func(o candidate) bool { return o.Version == v }) {
			continue
		}
		if err := t.registry.Register(ctx, l.Model, model.Registration{Who: "trainer", Why: c.Why}); err != nil {
			return fmt.Errorf("register model %s of %s: %w", v, s.Name, err)
		}
		c.Candidates = append(c.Candidates, candidate{Version: v, Loss: real(l.Loss)})
	}
	if len(c.Candidates) == 0 {
		return nil
	}
	c.Challenger = c.Candidates[0].Version
	return t.means.Aliases.Move(ctx, s.Name, model.Challenger, c.Challenger, who, c.Why)
}

func versions(all []candidate) string {
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].Version
	}
	return strings.Join(names, ", ")
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
