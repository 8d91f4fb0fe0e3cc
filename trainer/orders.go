package trainer

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"andon/event"
	"andon/model"
)

// maxAlarms bounds the alarms of a pipeline that nothing was done about yet; the oldest go first.
const maxAlarms = 256

// Notify is told of every alarm; it sets a flag and returns. The same alarm told again is one, and one that is over is forgotten unless it was acted on. Safe for concurrent use.
func (t *Trainer) Notify(a event.Alarm) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.student(a.Pipeline)
	if s == nil {
		return
	}
	i := slices.IndexFunc(s.alarms, func(o event.Alarm) bool { return o.ID == a.ID })
	switch {
	case a.Over && i >= 0:
		s.alarms = slices.Delete(s.alarms, i, i+1)
	case a.Over:
	case i >= 0:
		s.alarms[i] = a
	default:
		if len(s.alarms) == maxAlarms {
			s.alarms = slices.Delete(s.alarms, 0, 1)
		}
		s.alarms = append(s.alarms, a)
	}
	t.metrics.alarms.WithLabelValues(s.Name).Set(float64(len(s.alarms)))
	s.rouse()
}

// Missed tells that somebody marked a defect that the model should have seen. Safe for concurrent use.
func (t *Trainer) Missed(l event.Label) {
	t.Notify(event.Alarm{ID: fmt.Sprintf("missed/%s/%s/%d", l.Pipeline, l.Asset, l.Time), Pipeline: l.Pipeline, Kind: TriggerMissed, Since: l.Time, At: l.Time,
		Detail: fmt.Sprintf("%s marked what the model missed, at %s of %s", cmp.Or(l.Who, "somebody"), time.Unix(0, l.Time).UTC().Format(time.RFC3339), l.Asset)})
}

// describe says an alarm in a line.
func describe(a *event.Alarm) string {
	text := a.Detail
	if text == "" {
		var causes []string
		for _, c := range a.Causes[:min(len(a.Causes), 3)] {
			causes = append(causes, c.Feature)
		}
		if text = a.Kind; len(causes) > 0 {
			text += " of " + strings.Join(causes, ", ")
		}
	}
	return text
}

// settle forgets alarms that something was decided about. While one is told again and again it stays settled.
func (t *Trainer) settle(s *student, ids []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		s.settled[id] = true
	}
	s.alarms = slices.DeleteFunc(s.alarms, func(a event.Alarm) bool { return s.settled[a.ID] })
	t.metrics.alarms.WithLabelValues(s.Name).Set(float64(len(s.alarms)))
}

// dearer returns what an estimated-loss alarm of a new champion says, "" where none is or it is no reason to go back: where the champion before was estimated to lose more when its campaign began, going
// back would lose more.
func (t *Trainer) dearer(s *student, c *campaign) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range s.alarms {
		a := &s.alarms[i]
		if a.Kind != event.AlarmEstimated || a.Version != c.Challenger {
			continue
		}
		if e := c.Estimated; e != nil && e.Metric == a.Metric && a.Loss < e.Value {
			continue
		}
		return describe(a)
	}
	return ""
}

// wish is what a person wants of a campaign.
type wish struct{ act, who, why string }

// What a person may want of a campaign.
const (
	Approve = "approve"
	Deny    = "refuse"
	Stop    = "stop"
)

// Order tells the loop what a person wants of the campaign that goes on; an error says why that makes no sense. Safe for concurrent use.
func (t *Trainer) Order(pipeline, act, by, why string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.student(pipeline)
	if s == nil {
		return fmt.Errorf("%s the campaign of %s: no pipeline of that name has a model section", act, pipeline)
	}
	if s.shown == nil || s.shown.Campaign == nil {
		return fmt.Errorf("%s the campaign of %s: none goes on", act, pipeline)
	}
	switch act {
	case Approve, Deny:
		if s.shown.Campaign.Asking == "" {
			return fmt.Errorf("%s campaign %s: it asks nothing now, it is at its stage %s", act, s.shown.Campaign.ID, s.shown.Campaign.Stage)
		}
	case Stop:
	default:
		return fmt.Errorf("%q is nothing to do with a campaign: use %s, %s or %s", act, Approve, Deny, Stop)
	}
	s.orders = append(s.orders, wish{act, by, why})
	if act != Approve && s.cancel != nil {
		s.cancel()
	}
	s.rouse()
	return nil
}

// obey does what people want of the campaign.
func (t *Trainer) obey(ctx context.Context, s *student) {
	t.mu.Lock()
	orders := s.orders
	s.orders = nil
	t.mu.Unlock()
	for _, o := range orders {
		c := s.campaign
		if c == nil {
			return
		}
		said := o.who
		if o.why != "" {
			said += ": " + o.why
		}
		switch {
		case o.act == Approve && c.Asking != "":
			c.Yes, c.Approved, c.Asking = c.Next, o.who, ""
			t.recordBy(ctx, s, o.who, event.DecidedGo, "approved by "+said)
		case o.act == Deny && c.Stage == event.StageWatch: // asked whether to go back
			c.Asking, c.Yes = "", ""
			t.closeBy(ctx, s, o.who, "the new champion stays, by "+said)
		case o.act == Deny:
			t.closeBy(ctx, s, o.who, "refused by "+said)
		case o.act == Stop:
			t.closeBy(ctx, s, o.who, "stopped by "+said)
		}
	}
}

// recordBy records a decision of a person.
func (t *Trainer) recordBy(ctx context.Context, s *student, by, verdict, reason string) {
	c := s.campaign
	t.record(ctx, event.Decision{Campaign: c.ID, Pipeline: s.Name, Stage: c.Stage, Verdict: verdict, Reason: reason, Champion: c.Champion, Challenger: c.Challenger, Facts: c.facts(), Who: by})
}

// closeBy ends the campaign by a person's word.
func (t *Trainer) closeBy(ctx context.Context, s *student, by, reason string) {
	t.clear(s, s.campaign, reason)
	t.recordBy(ctx, s, by, event.DecidedNo, reason)
	t.ended(s)
}

// interruptible returns a context that a person's order, or a champion that is moved by hand, ends.
func (t *Trainer) interruptible(ctx context.Context, s *student) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	t.mu.Lock()
	s.cancel = cancel
	t.mu.Unlock()
	return ctx, func() {
		t.mu.Lock()
		s.cancel = nil
		t.mu.Unlock()
		cancel()
	}
}

// Moved is told of every move of an alias, by whoever; it returns at once. Safe for concurrent use.
func (t *Trainer) Moved(mv model.Move) {
	if mv.Who == who || mv.Who == "trainer" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.student(mv.Pipeline); s != nil {
		if mv.Alias == model.Champion && s.cancel != nil {
			s.cancel()
		}
		s.rouse()
	}
}

// hands looks whether a person has moved the champion: a promotion is watched like one of the loop's, a rollback ends what goes on.
func (t *Trainer) hands(ctx context.Context, s *student) {
	mv := t.lastMove(s)
	if mv.To == "" || !mv.Time.After(s.moved.Time) {
		t.brought(ctx, s)
		return
	}
	s.moved = mv
	if mv.Who == who || mv.Who == "trainer" {
		return
	}
	what := "promoted"
	if mv.Rollback {
		what = "rolled back to"
	}
	said := fmt.Sprintf("%s has %s %s: %s", mv.Who, what, mv.To, mv.Why)
	if s.campaign != nil {
		t.closeBy(ctx, s, mv.Who, "ended: "+said)
	}
	now := time.Now()
	c := &campaign{ID: s.Name + "-" + now.UTC().Format("20060102T150405.000"), Stage: event.StagePromote, Trigger: TriggerHand, Why: said, By: mv.Who, Champion: mv.From, Challenger: mv.To,
		Began: now.UnixNano(), Entered: now.UnixNano()}
	s.campaign = c
	if mv.Rollback {
		c.Stage = event.StageRollback
		t.recordBy(ctx, s, mv.Who, event.DecidedGo, said)
		t.ended(s)
		return
	}
	t.recordBy(ctx, s, mv.Who, event.DecidedGo, said)
	c.enter(event.StageWatch)
	why := ""
	if mv.From == "" {
		why = "there was no champion before to go back to"
	} else if old, err := t.means.Aliases.Get(s.Name, mv.From); err != nil {
		why = fmt.Sprintf("the champion before is not to be had: %v", err)
	} else if !s.fits(old) {
		why = fmt.Sprintf("%s, the champion before, makes other windows, or tells of other classes, than the pipeline", mv.From)
	}
	if why != "" {
		t.end(ctx, s, event.DecidedGo, "unwatched", "%s is not watched: %s", mv.To, why)
		return
	}
	t.metrics.campaign.WithLabelValues(s.Name).Set(1)
}

// brought looks whether a person has made a version the challenger: it goes through the gate and on like one that the loop has trained.
func (t *Trainer) brought(ctx context.Context, s *student) {
	mv, ok := t.means.Aliases.Marker(s.Name, model.Challenger)
	live := t.registry.Live(s.Name)
	if !ok || mv.To == "" || mv.Who == who || s.campaign != nil || live == nil || live.Version == mv.To || !mv.Time.After(s.brought) {
		return
	}
	s.brought = mv.Time
	t.start(ctx, s, Decision{Trigger: TriggerHand, Reason: fmt.Sprintf("%s brings challenger %s: %s", mv.Who, mv.To, mv.Why)}, live.Version, mv.To, mv.Who)
}

// Status is what is known of a pipeline's loop now.
type Status struct {
	Pipeline string `json:"pipeline"`
	Champion string `json:"champion,omitempty"`
	// Verdict and Reason are what the policy said last.
	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason"`
	// Approval is the pipeline's.
	Approval Approval `json:"approval"`
	// Campaign is the one that goes on, with its statistics; nil when there is none.
	Campaign *campaign `json:"campaign"`
	// Alarms are those that nothing was done about yet.
	Alarms []string `json:"alarms"`
}

// publish makes what the loop does seen.
func (t *Trainer) publish(s *student) {
	st := &Status{Pipeline: s.Name, Approval: s.Loop.Approval, Alarms: []string{}}
	if m := t.registry.Live(s.Name); m != nil {
		st.Champion = m.Version
	}
	if s.campaign != nil {
		var c campaign
		if err := json.Unmarshal([]byte(s.campaign.facts()), &c); err == nil { // a copy that nobody changes
			st.Campaign = &c
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range s.alarms {
		st.Alarms = append(st.Alarms, describe(&s.alarms[i]))
	}
	s.shown = st
}

// Statuses returns what is known of every pipeline's loop. Safe for concurrent use.
func (t *Trainer) Statuses() []Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := []Status{}
	for _, s := range t.pipelines {
		st := Status{Pipeline: s.Name, Approval: s.Loop.Approval, Alarms: []string{}}
		if s.shown != nil {
			st = *s.shown
		}
		st.Verdict, st.Reason = s.said.Verdict, s.said.Reason
		all = append(all, st)
	}
	return all
}
