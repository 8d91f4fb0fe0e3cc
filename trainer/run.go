package trainer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"andon/event"
	"andon/model"
	"andon/trainer/fit"
)

// consider looks at one pipeline and acts on what the policy says.
func (t *Trainer) consider(ctx context.Context, s *student) {
	if t.means.Aliases != nil && !t.lead(ctx, s) {
		return
	}
	state, err := t.look(ctx, s)
	if err != nil {
		if ctx.Err() == nil {
			t.say(s, Decision{Verdict: Wait, Reason: fmt.Sprintf("cannot see what is stored: %v", err), Kind: "unseen"})
		}
		return
	}
	d := decide(&t.cfg, &s.Spec, &s.Loop, state)
	t.say(s, d)
	if d.Verdict != Train { // the campaign settles what it is about
		t.settle(s, d.Alarms)
	}
	for _, id := range d.Passed {
		s.passed[id] = true
	}
	t.mu.Lock()
	by := s.by
	t.mu.Unlock()
	switch d.Verdict {
	case Train:
		t.answered(s, state.Asked)
		if d.Trigger != TriggerHand {
			by = ""
		}
		if t.means.Aliases != nil && state.Champion != "" {
			t.start(ctx, s, d, state.Champion, "", by)
			t.advance(ctx, s)
			return
		}
		t.train(ctx, s, d, by)
	case Refuse:
		t.answered(s, state.Asked)
		t.note(ctx, s, d, event.DecidedNo, by)
		r := t.begin(s)
		r.tell(ctx, event.TrainingFailed, event.Training{Detail: "not started: " + d.Reason})
	case Ignore:
		t.note(ctx, s, d, event.DecidedNo, "")
	case Wait:
		if d.Trigger != "" {
			t.note(ctx, s, d, event.DecidedWait, "")
		}
	}
}

// lead does what people and a campaign want; false where this replica does not lead, or cannot yet.
func (t *Trainer) lead(ctx context.Context, s *student) bool {
	if t.means.Owner != nil && !t.means.Owner() {
		if s.resumed {
			t.log.Info("another replica leads the campaigns", "pipeline", s.Name)
		}
		s.campaign, s.resumed = nil, false
		t.say(s, Decision{Verdict: Content, Reason: "another replica leads the campaigns", Kind: "owner"})
		return false
	}
	if !s.resumed {
		if err := t.resume(ctx, s); err != nil {
			if ctx.Err() == nil {
				t.say(s, Decision{Verdict: Wait, Reason: fmt.Sprintf("cannot see what was decided: %v", err), Kind: "unseen"})
			}
			return false
		}
	}
	t.settleUp(ctx)
	t.hands(ctx, s)
	t.obey(ctx, s)
	if s.campaign != nil {
		t.advance(ctx, s)
	}
	t.publish(s)
	return true
}

// note records a decision that belongs to no campaign, once.
func (t *Trainer) note(ctx context.Context, s *student, d Decision, verdict, by string) {
	key := fmt.Sprint(verdict, d.Trigger, d.Kind)
	if t.means.Aliases == nil || key == s.told && d.Trigger != TriggerHand {
		return
	}
	s.told = key
	e := event.Decision{Pipeline: s.Name, Stage: event.StageTrigger, Verdict: verdict, Reason: d.Reason, Who: "policy", Facts: "{}"}
	if by != "" {
		e.Who = by
	}
	if m := t.registry.Live(s.Name); m != nil {
		e.Champion = m.Version
	}
	t.record(ctx, e)
}

// look gathers the policy's state; a pipeline with a champion costs no query, unless something asks for another.
func (t *Trainer) look(ctx context.Context, s *student) (*State, error) {
	live := t.registry.Live(s.Name)
	if live != nil && live.Version != s.passedBy { // what was nothing to do with the champion before may be to do with this one
		s.passed, s.passedBy = map[string]bool{}, live.Version
	}
	t.settle(s, nil) // what was settled is so, however often it is told
	t.mu.Lock()
	state := &State{Asked: s.asked, Failures: s.failures, Ended: s.ended, Cooling: s.cooling}
	for _, a := range s.alarms {
		if !s.passed[a.ID] {
			state.Alarms = append(state.Alarms, Alarm{a.ID, a.Kind, a.Version, describe(&a)})
		}
	}
	t.mu.Unlock()
	state.Now = time.Now()
	if c := s.campaign; c != nil {
		state.Campaign, state.Stage = c.ID, c.Stage
	}
	if live != nil && s.fits(live) {
		state.Champion = live.Version
		if due, ok := s.Loop.next(latest(live.Lineage.Trained, s.cooling)); ok && !due.After(state.Now) {
			state.Due = due
		}
	}
	if err := t.renewal(ctx, s, state, live); err != nil {
		return nil, err
	}
	if state.Champion == "" || state.Asked != "" || len(state.Alarms) > 0 || !state.Due.IsZero() {
		if pictured(s.Spec.Task) {
			frames, ok := t.store.(Frames)
			if !ok {
				return nil, errNoFrames
			}
			n, err := frames.CountLabelledFrames(ctx, s.Name)
			if err != nil {
				return nil, err
			}
			state.Assets = n
		} else if s.Spec.Task == model.RemainingLife {
			labels, err := t.store.Labels(ctx, s.Name, event.KindFailure)
			if err != nil {
				return nil, err
			}
			failed := map[string]bool{}
			for _, l := range labels {
				failed[l.Asset] = true
			}
			state.Assets = len(failed)
		} else {
			n, err := t.store.Count(ctx, s.Name)
			if err != nil {
				return nil, err
			}
			state.Rows = n
		}
		if state.Assets != s.assets || s.changed.IsZero() {
			s.assets, s.changed, s.incomplete = state.Assets, state.Now, 0
		}
	} else {
		state.Assets, state.Rows = max(s.Spec.MinAssets, s.assets), uint64(s.Spec.MinRows) //nolint:gosec // there were enough for the champion
		if s.Spec.Picture != nil {
			state.Assets = max(s.Spec.Picture.MinFrames, s.assets)
		}
	}
	state.Changed, state.Incomplete = s.changed, s.incomplete
	return state, nil
}

// countEvery is how often fresh labels are counted where something waits for them.
const countEvery = 5 * time.Second

// renewal fills in what speaks for and against another model.
func (t *Trainer) renewal(ctx context.Context, s *student, state *State, live *model.Model) error {
	if t.means.Aliases == nil || state.Champion == "" || state.Campaign != "" {
		return nil
	}
	if s.Loop.Labels == 0 && len(state.Alarms) == 0 && state.Due.IsZero() {
		return nil
	}
	runs := map[string]float64{} // candidates of one run each tell what all of it took so far
	for _, i := range t.means.Aliases.List(s.Name) {
		if i.Who == "trainer" && state.Now.Sub(i.Lineage.Trained) < 24*time.Hour {
			runs[i.Lineage.Run] = max(runs[i.Lineage.Run], i.Lineage.CPUSeconds)
		}
	}
	for _, seconds := range runs {
		state.Spent += time.Duration(seconds * float64(time.Second))
	}
	t.metrics.spent.WithLabelValues(s.Name).Set(state.Spent.Seconds())
	if t.means.Fresh == nil {
		return nil
	}
	if state.Now.Sub(s.asking) >= min(countEvery, 5*t.cfg.Check) {
		n, err := t.means.Fresh(ctx, &s.Pipeline, live.Lineage.Trained, 0)
		if err != nil {
			return err
		}
		since := t.began(s)
		s.fresh, s.recent, s.since, s.asking = n, n, since, state.Now
		if since > 0 {
			if s.recent, err = t.means.Fresh(ctx, &s.Pipeline, live.Lineage.Trained, since); err != nil {
				return err
			}
		}
	}
	state.Fresh, state.Recent = s.fresh, s.recent
	if s.since > 0 {
		state.Since = time.Unix(0, s.since)
	}
	return nil
}

// began is the event time at which what the alarms tell of began, the earliest; 0 where that is not known.
func (t *Trainer) began(s *student) (since int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range s.alarms {
		if a := &s.alarms[i]; !s.passed[a.ID] && a.Kind != TriggerMissed && a.Since > 0 && (since == 0 || a.Since < since) {
			since = a.Since
		}
	}
	return since
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// say keeps a decision and logs it when it is of another kind than the last.
func (t *Trainer) say(s *student, d Decision) {
	t.mu.Lock()
	news := s.said.Verdict != d.Verdict
	s.said = d
	t.mu.Unlock()
	if news {
		t.log.Info("decided", "pipeline", s.Name, "verdict", d.Verdict, "reason", d.Reason)
	}
}

// answered forgets what was asked, unless it was asked anew since.
func (t *Trainer) answered(s *student, asked string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.asked == asked {
		s.asked = ""
	}
}

// train does one run, whose model becomes champion at once: there is none to set it beside.
func (t *Trainer) train(ctx context.Context, s *student, d Decision, by string) {
	why, asked := d.Reason, d.Trigger == TriggerHand
	release, err := t.turn(ctx)
	if err != nil {
		return
	}
	defer release()
	r := t.begin(s)
	lessons, err := r.learn(ctx, why, asked)
	var early *earlyError
	if errors.As(err, &early) {
		// Nothing was told of the run yet. What is missing may come; the settle time starts again.
		s.early, s.incomplete, s.changed = s.early+1, early.assets, time.Now()
		return
	}
	s.early, s.incomplete = 0, 0
	var lesson *Lesson
	if err == nil { // there is nothing to set candidates beside: the best on the validation part is taken
		lesson = lessons[0]
		err = t.install(ctx, s, lesson.Model, why)
	}
	s.ended = time.Now()
	if err != nil {
		detail := err.Error()
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			detail = "stopped with the appliance"
		} else {
			s.failures++
		}
		r.tell(ctx, event.TrainingFailed, event.Training{Detail: detail})
		t.note(ctx, s, Decision{Reason: fmt.Sprintf("%s; but the training failed: %s", why, detail), Trigger: TriggerHand}, event.DecidedFailed, by)
		return
	}
	s.failures = 0
	r.tell(ctx, event.TrainingFinished, event.Training{Version: lesson.Model.Version, Detail: lesson.Summary})
	if t.means.Aliases != nil {
		t.first(ctx, s, d, by, lesson)
	}
}

// first records how a pipeline came to a champion when it had none: there was nothing to set it beside, and there is nothing to go back to.
func (t *Trainer) first(ctx context.Context, s *student, d Decision, by string, lesson *Lesson) {
	t.start(ctx, s, d, "", "", by)
	s.moved, s.campaign.Challenger = t.lastMove(s), lesson.Model.Version
	s.campaign.enter(event.StagePromote)
	t.decided(ctx, s, event.DecidedGo, "first", "%s is champion: there was none to set it beside; %s", lesson.Model.Version, lesson.Summary)
	s.campaign.enter(event.StageWatch)
	t.end(ctx, s, event.DecidedGo, "first", "not watched: there is none to go back to")
	s.cooling = time.Time{}
}

// install registers a model and makes it the champion.
func (t *Trainer) install(ctx context.Context, s *student, m *model.Model, why string) error {
	if err := t.registry.Register(ctx, m, model.Registration{Who: "trainer", Why: why}); err != nil {
		return fmt.Errorf("register model %s of %s: %w", m.Version, s.Name, err)
	}
	if err := t.registry.Promote(s.Name, m.Version, "trainer", why); err != nil {
		return fmt.Errorf("promote model %s of %s: %w", m.Version, s.Name, err)
	}
	return nil
}

// run is one training as it is told to the world.
type run struct {
	t     *Trainer
	s     *student
	name  string
	began time.Time
	// last is what was told last, which the next step builds on.
	last event.Training
}

func (t *Trainer) begin(s *student) *run {
	r := &run{t: t, s: s, began: time.Now()}
	r.name = s.Name + "-" + r.began.UTC().Format("20060102T150405.000")
	r.last = event.Training{Run: r.name, Pipeline: s.Name, Epochs: s.Spec.Epochs, Loss: math.NaN(), ValLoss: math.NaN()}
	r.took(unmeasured(""))
	return r
}

// maxEarly is how often a run waits for rows that a label speaks of; some never come.
const maxEarly = 12

// earlyError tells that labels have overtaken their rows, which come by another topic.
type earlyError struct{ assets int }

func (e *earlyError) Error() string {
	return fmt.Sprintf("the rows of %d failed assets have not come up to their failure", e.assets)
}

// learn has the pipeline's challengers made and returns them, the best on the validation part first.
func (r *run) learn(ctx context.Context, why string, asked bool) ([]*Lesson, error) {
	j := Job{ID: r.name, Pipeline: r.s.Name, Why: why}
	if c := r.s.campaign; c != nil {
		j.Since = c.Since
	}
	if m := r.t.registry.Live(r.s.Name); m != nil && r.s.fits(m) {
		j.Champion = m.Version
	}
	j.Watch = Watcher{
		Ready: func(d Data) error {
			if d.Incomplete > 0 && r.s.early < maxEarly && !asked {
				return &earlyError{d.Incomplete}
			}
			r.last.Rows = d.Windows
			r.tell(ctx, event.TrainingStarted, event.Training{Detail: why})
			return nil
		},
		Epoch: func(p fit.Progress) {
			r.last.Epoch, r.last.Loss, r.last.ValLoss, r.last.RowsPerSecond = p.Epoch, p.Loss, p.ValLoss, p.RowsPerSecond
			r.tell(ctx, event.TrainingEpoch, event.Training{})
		},
		Took: r.took,
		Waits: func(why string) {
			r.last.Epoch = 0
			r.tell(ctx, event.TrainingWaiting, event.Training{Detail: why})
		},
	}
	lessons, err := r.t.maker.Make(ctx, j)
	if err == nil && len(lessons) == 0 {
		err = errors.New("the training gave no model")
	}
	return lessons, err
}

// tell sends a step of the run everywhere; what gives its Version and Detail.
func (r *run) tell(ctx context.Context, state string, what event.Training) {
	e := r.last
	e.State, e.Version, e.Detail = state, what.Version, what.Detail
	now := time.Now()
	e.Time, e.Elapsed = now.UnixNano(), int64(now.Sub(r.began))
	m := r.t.metrics
	m.epoch.WithLabelValues(r.s.Name).Set(float64(e.Epoch))
	m.loss.WithLabelValues(r.s.Name).Set(e.ValLoss)
	m.rate.WithLabelValues(r.s.Name).Set(e.RowsPerSecond)
	if state != event.TrainingEpoch {
		r.t.log.Info("training "+state, "pipeline", r.s.Name, "run", r.name, "version", e.Version, "detail", e.Detail, "elapsed", time.Duration(e.Elapsed))
	}
	if state == event.TrainingFinished || state == event.TrainingFailed {
		m.runs.WithLabelValues(r.s.Name, state).Inc()
	}
	r.t.out(e)
	// The end of a run is recorded also when the appliance is about to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := r.t.store.WriteTraining(ctx, e); err != nil {
		r.t.log.Warn("record training", "run", r.name, "state", state, "error", err)
	}
}
