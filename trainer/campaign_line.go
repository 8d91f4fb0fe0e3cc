package trainer

import (
	"context"
	"fmt"
	"time"

	"andon/event"
	"andon/model"
	"andon/trainer/gate"
)

// beside lets the challenger score the line's windows in the shadow, and looks how it does.
func (t *Trainer) beside(ctx context.Context, s *student) {
	c, l := s.campaign, &s.Loop
	if !t.point(ctx, s, model.Shadow, c.Challenger) {
		return
	}
	if c.Paired == nil {
		c.Paired = newProgress(l.Canary.Alpha, c.Entered)
	}
	if !t.see(ctx, s, c.Paired) {
		return
	}
	f, p := c.Beside, c.Paired
	late := time.Since(c.entered()) > l.Shadow.Patience
	switch {
	case p.verdict() == gate.Reject:
		t.end(ctx, s, event.DecidedNo, "worse", "refused: in the shadow it is worse: %v", p)
	case f.Windows < l.Shadow.Windows && late:
		t.end(ctx, s, event.DecidedNo, "windows", "refused: it has scored %d windows within %v, and loop.shadow.windows is %d", f.Windows, l.Shadow.Patience, l.Shadow.Windows)
	case f.Windows < l.Shadow.Windows:
		t.decided(ctx, s, event.DecidedWait, "windows", "%d of %d windows were scored in the shadow", f.Windows, l.Shadow.Windows)
	case f.Slower != nil && *f.Slower > l.Shadow.Slower:
		t.end(ctx, s, event.DecidedNo, "slow", "refused: on the line a window takes %.2g times the champion's compute, and loop.shadow.slower is %v", *f.Slower, l.Shadow.Slower)
	case c.Unjudged && p.verdict() != gate.Promote, p.Assets < l.Shadow.Outcomes:
		if late {
			t.unproven(ctx, s, fmt.Sprintf("%d windows were scored in the shadow, and within %v the truth of %d assets came: %v", f.Windows, l.Shadow.Patience, p.Assets, p))
			return
		}
		t.decided(ctx, s, event.DecidedWait, "outcomes", "%d windows were scored in the shadow, and the truth of %d assets has come (loop.shadow.outcomes: %d): %v", f.Windows, p.Assets,
			l.Shadow.Outcomes, p)
	default:
		if !t.approved(ctx, s, event.StageCanary, fmt.Sprintf("shall %s score %v %% of the assets?", c.Challenger, l.Canary.Percent)) {
			return
		}
		t.decided(ctx, s, event.DecidedGo, "shadow", "%d windows of %d assets were scored in the shadow: %v", f.Windows, f.Assets, p)
		c.enter(event.StageCanary)
		c.Before = p.Assets
	}
}

// canary lets the challenger's scores count for a share of the assets. Both models go on to score all windows, each in the shadow of the other, so that losses are paired everywhere.
func (t *Trainer) canary(ctx context.Context, s *student) {
	c, l := s.campaign, &s.Loop
	if mv, _ := t.means.Aliases.Marker(s.Name, model.Canary); mv.To != c.Challenger || t.means.Aliases.Named(s.Name, model.Canary) == nil {
		if !c.counted.IsZero() { // it was there before
			t.byHand(ctx, s, fmt.Sprintf("%s has ended the canary: %s", mv.Who, mv.Why))
			return
		}
		if err := t.means.Aliases.MoveCanary(ctx, s.Name, c.Challenger, l.Canary.Percent, who, c.Why); err != nil {
			t.end(ctx, s, event.DecidedFailed, "canary", "the canary failed: %v", err)
			return
		}
	}
	if !t.point(ctx, s, model.Shadow, c.Challenger) {
		return
	}
	if why := t.breaks(s); why != "" {
		t.end(ctx, s, event.DecidedNo, "breaks", "refused as a canary: %s", why)
		return
	}
	if c.Paired == nil {
		c.Paired = newProgress(l.Canary.Alpha, c.Entered)
	}
	if !t.see(ctx, s, c.Paired) {
		return
	}
	p := c.Paired
	switch {
	case p.verdict() == gate.Reject:
		t.end(ctx, s, event.DecidedNo, "worse", "refused as a canary: it is worse: %v", p)
	case p.verdict() == gate.Promote && p.Assets-c.Before >= l.Canary.Assets: // a canary that nobody has seen fly proves little
		t.decided(ctx, s, event.DecidedGo, "canary", "better: %v", p)
		c.enter(event.StagePromote)
	case time.Since(c.entered()) > l.Canary.Patience:
		t.unproven(ctx, s, fmt.Sprintf("within %v the canary is neither better nor worse: %v", l.Canary.Patience, p))
	default:
		t.decided(ctx, s, event.DecidedWait, "canary", "neither better nor worse yet: %v", p)
	}
}

// watch keeps the old champion warm in the shadow of the new one, and goes back to it where that is better.
func (t *Trainer) watch(ctx context.Context, s *student) {
	c, l := s.campaign, &s.Loop
	if !t.point(ctx, s, model.Shadow, c.Champion) {
		return
	}
	if why := t.breaks(s); why != "" {
		t.back(ctx, s, why)
		return
	}
	if c.Watched == nil {
		c.Watched = newProgress(l.Watch.Alpha, c.Entered)
	}
	if !t.see(ctx, s, c.Watched) {
		return
	}
	p := c.Watched
	estimated := t.dearer(s, c)
	switch {
	case p.verdict() == gate.Reject:
		t.back(ctx, s, fmt.Sprintf("it is worse than %s, which was champion before: %v", c.Champion, p))
	case p.Numbers == 0 && estimated != "":
		t.back(ctx, s, "no truth has come yet, and its estimated loss went up: "+estimated)
	case c.Beside.Slower != nil && c.Beside.Windows >= l.Shadow.Windows && *c.Beside.Slower > l.Watch.Slower:
		t.back(ctx, s, fmt.Sprintf("a window takes %.2g times the compute of the champion before, and loop.watch.slower is %v", *c.Beside.Slower, l.Watch.Slower))
	case p.verdict() == gate.Promote && p.Assets >= l.Watch.Assets:
		t.end(ctx, s, event.DecidedGo, "watch", "better than the champion before: %v", p)
	case time.Since(c.entered()) > l.Watch.For:
		t.end(ctx, s, event.DecidedGo, "watch", "not shown to be worse than the champion before within %v: %v", l.Watch.For, p)
	default:
		t.decided(ctx, s, event.DecidedWait, "watch", "watched, with %s warm beside it: %v", c.Champion, p)
	}
}

// back rolls back; where the loop may do nothing by itself a person is asked.
func (t *Trainer) back(ctx context.Context, s *student, why string) {
	c := s.campaign
	if s.Loop.Approval == ApproveNever && !t.asked(ctx, s, event.StageRollback, fmt.Sprintf("shall %s be champion again, since %s?", c.Champion, why)) {
		return
	}
	mv, err := t.means.Aliases.Rollback(ctx, s.Name, model.Champion, who, why)
	if err == nil && mv.To != c.Champion { // the history holds another one between
		err = t.registry.Promote(s.Name, c.Champion, who, why)
	}
	if err != nil {
		t.decided(ctx, s, event.DecidedWait, "back", "%s should be rolled back, since %s; that failed and is tried again: %v", c.Challenger, why, err)
		return
	}
	s.moved = t.lastMove(s)
	c.Stage = event.StageRollback
	t.end(ctx, s, event.DecidedGo, "rollback", "%s is champion again: %s is rolled back, since %s", c.Champion, c.Challenger, why)
}

// unproven does what the pipeline says for a challenger that passed the gate when proof does not come.
func (t *Trainer) unproven(ctx context.Context, s *student, why string) {
	c, l := s.campaign, &s.Loop
	rule := fmt.Sprintf("by loop.fallback, %s", l.Fallback)
	if c.Unjudged && l.Fallback == FallbackPromote {
		rule = "by loop.fallback, promote; but the gate had too little to judge by either, so a person is asked"
	}
	switch {
	case l.Fallback == FallbackRefuse:
		t.end(ctx, s, event.DecidedNo, "unproven", "refused %s: %s", rule, why)
		return
	case l.Fallback == FallbackPromote && !c.Unjudged && l.Approval == ApproveAuto:
	default:
		if !t.asked(ctx, s, event.StagePromote, fmt.Sprintf("%s. Shall %s be champion, by the gate's word alone (%s)? Asked %s", why, c.Challenger, c.Gate.Reason, rule)) {
			return
		}
	}
	c.Unproven = fmt.Sprintf("%s; promoted by the gate's word alone, %s: %s", why, rule, c.Gate.Reason)
	t.decided(ctx, s, event.DecidedGo, "unproven", "%s", c.Unproven)
	c.enter(event.StagePromote)
}

// approved asks a person where the pipeline wants that, and reports whether the answer is yes.
func (t *Trainer) approved(ctx context.Context, s *student, next, question string) bool {
	return s.Loop.Approval == ApproveAuto || t.asked(ctx, s, next, question)
}

func (t *Trainer) asked(ctx context.Context, s *student, next, question string) bool {
	c := s.campaign
	if c.Yes == next {
		return true
	}
	c.Asking, c.Next = question, next
	t.decided(ctx, s, event.DecidedAsk, "ask "+next, "%s", question)
	t.publish(s)
	return false
}

// point moves an alias for the campaign's sake; false where a person has taken it, which ends the campaign, or it cannot be done.
func (t *Trainer) point(ctx context.Context, s *student, alias model.Alias, version string) bool {
	c := s.campaign
	mv, ok := t.means.Aliases.Marker(s.Name, alias)
	if ok && mv.To == version && t.means.Aliases.Named(s.Name, alias) != nil {
		return true
	}
	if ok && mv.Who != who && mv.Time.After(c.entered()) {
		t.byHand(ctx, s, fmt.Sprintf("%s has moved the %s: %s", mv.Who, alias, mv.Why))
		return false
	}
	if err := t.means.Aliases.Move(ctx, s.Name, alias, version, who, c.Why); err != nil {
		if c.Stage == event.StageWatch { // the champion stays; what cannot be watched is told
			t.end(ctx, s, event.DecidedGo, "unwatched", "%s cannot be kept warm, so %s is not watched: %v", version, c.Challenger, err)
		} else {
			t.end(ctx, s, event.DecidedFailed, string(alias), "the %s failed: %v", alias, err)
		}
		return false
	}
	return true
}

// byHand ends a campaign that a person has taken over.
func (t *Trainer) byHand(ctx context.Context, s *student, what string) {
	t.end(ctx, s, event.DecidedNo, "hand", "ended: %s", what)
}

// see reads how both models do on the line; false where that cannot be seen now, or was seen just before.
func (t *Trainer) see(ctx context.Context, s *student, p *progress) bool {
	c := s.campaign
	if time.Since(s.looked) < t.cfg.Look {
		return false
	}
	s.looked = time.Now()
	if c.book == nil {
		c.book = newBook(c, &s.Pipeline, p.Since)
		*p = *newProgress(p.Alpha, p.Since)
	}
	err := c.book.read(ctx, t, s.Name, p)
	if err == nil {
		err = t.serve(ctx, s)
	}
	if err != nil && ctx.Err() == nil {
		t.log.Warn("the campaign cannot see the line now", "pipeline", s.Name, "campaign", c.ID, "error", err)
	}
	m := t.metrics
	m.gain.WithLabelValues(s.Name).Set(p.Mean)
	m.low.WithLabelValues(s.Name).Set(p.Low)
	m.high.WithLabelValues(s.Name).Set(p.High)
	m.outcomes.WithLabelValues(s.Name).Set(float64(p.Numbers))
	t.publish(s)
	return err == nil
}

func (t *Trainer) serve(ctx context.Context, s *student) error {
	c := s.campaign
	f := &besideFacts{}
	if t.means.Service != nil {
		mine, err := t.means.Service(ctx, s.Name, c.Challenger, c.entered())
		if err != nil {
			return err
		}
		its, err := t.means.Service(ctx, s.Name, c.Champion, c.entered())
		if err != nil {
			return err
		}
		f.Windows, f.Assets, f.Distance = mine.Windows, mine.Assets, real(mine.Distance)
		if its.Compute > 0 && mine.Compute > 0 {
			f.Slower = real(mine.Compute / its.Compute)
		}
	}
	c.Beside = f
	return nil
}

// breaks tells that runs of the scorer fail since a challenger's scores count: it gives what is not finite, or cannot be run.
func (t *Trainer) breaks(s *student) string {
	c := s.campaign
	if t.means.Failures == nil {
		return ""
	}
	n := t.means.Failures(s.Name)
	if c.counted.IsZero() || time.Since(c.counted) > time.Minute {
		c.failures, c.counted = n, time.Now()
	}
	if failed := int(n - c.failures); failed > s.Loop.Watch.Failures {
		return fmt.Sprintf("%d runs of the scorer have failed within %v (loop.watch.failures: %d)", failed, time.Since(c.counted).Round(time.Second), s.Loop.Watch.Failures)
	}
	return ""
}
