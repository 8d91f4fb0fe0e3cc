package trainer

import (
	"fmt"
	"slices"
	"time"

	"andon/model"
)

// State is what the policy knows of a pipeline.
type State struct {
	Now time.Time
	// Champion is the live version that fits the pipeline's recipe; empty when there is none.
	Champion string
	// Assets is how many assets have failed, or how many frames have labels, Changed when that last changed or a run was put off since the rows of Incomplete assets had not come up to
	// their failure; for remaining-life.
	Assets     int
	Changed    time.Time
	Incomplete int
	// Rows is how many readings there are; for anomaly.
	Rows uint64
	// Failures counts failed runs since the last good one; Ended is when the last of them ended.
	Failures int
	Ended    time.Time
	// Asked is why a person wants a run; empty when nobody does.
	Asked string

	// Campaign is the one that goes on, and Stage where it is; empty when there is none.
	Campaign, Stage string
	// Cooling is when the last campaign ended; zero when there was none.
	Cooling time.Time
	// Alarms are those that nothing was done about yet.
	Alarms []Alarm
	// Due is since when the schedule is; zero when it is not.
	Due time.Time
	// Fresh is how many assets have failed, or labels have come, since the champion was trained; Recent how many of them speak of the time after Since, when what the alarms tell of began; zero where
	// that is not known.
	Fresh, Recent int
	Since         time.Time
	// Spent is the CPU time of the trainings of the last 24 hours.
	Spent time.Duration
}

// Alarm is what may start a campaign, as the policy sees it.
type Alarm struct {
	ID, Kind string
	// Version is the model that it speaks of; empty for any.
	Version string
	Detail  string
}

// Verdict sorts decisions.
type Verdict string

// The verdicts.
const (
	Train   Verdict = "train"
	Wait    Verdict = "wait"
	Content Verdict = "content" // there is a champion and nobody asked
	Refuse  Verdict = "refuse"  // somebody asked, and it cannot be done
	Ignore  Verdict = "ignore"  // something happened, and nothing shall be done about it
)

// Decision is what the policy says, with its reason in words.
type Decision struct {
	Verdict Verdict
	Reason  string
	// Trigger is what it is about, one of the Trigger constants or a kind of alarm; empty where nothing asks for anything.
	Trigger string
	// Alarms are the IDs of the alarms that it settles: they are not looked at again. Passed are those that are nothing to do with the champion: they are looked at again when another version is it.
	Alarms, Passed []string
	// Kind is the reason without its numbers: a decision of the same kind on the same trigger is not told again.
	Kind string
}

// decide is the whole policy. It reads no clock and touches nothing.
func decide(c *Config, p *Spec, l *Loop, s *State) Decision {
	say := func(v Verdict, format string, a ...any) Decision {
		return Decision{Verdict: v, Reason: fmt.Sprintf(format, a...), Kind: format}
	}
	missing := enough(p, s)
	if s.Asked != "" {
		d := say(Train, "%s", s.Asked)
		switch {
		case s.Campaign != "":
			d = say(Refuse, "%s; but campaign %s is at its stage %s: stop it first", s.Asked, s.Campaign, s.Stage)
		case missing != "":
			d = say(Refuse, "%s; but %s", s.Asked, missing)
		}
		d.Trigger = TriggerHand
		return d
	}
	if s.Campaign != "" {
		return say(Content, "campaign %s is at its stage %s", s.Campaign, s.Stage)
	}
	if s.Champion != "" {
		return again(p, l, s, missing)
	}
	if missing != "" {
		return say(Wait, "%s", missing)
	}
	if s.Failures > 0 {
		if again := s.Ended.Add(backoff(c, s.Failures)); s.Now.Before(again) {
			return say(Wait, "run %d failed, the next may start in %v", s.Failures, again.Sub(s.Now).Round(time.Second))
		}
	}
	if p.Task == model.RemainingLife {
		if quiet := s.Now.Sub(s.Changed); quiet < p.Settle {
			if s.Incomplete > 0 {
				return say(Wait, "the rows of %d failed assets have not come up to their failure: looking again after %v", s.Incomplete, p.Settle)
			}
			return say(Wait, "%d assets have failed, the last label came %v ago: waiting for %v without one", s.Assets, quiet.Round(time.Second), p.Settle)
		}
		return say(Train, "no champion, and %d assets have failed", s.Assets)
	}
	if pictured(p.Task) {
		if quiet := s.Now.Sub(s.Changed); quiet < p.Settle {
			return say(Wait, "%d frames have labels, the last came %v ago: waiting for %v without one", s.Assets, quiet.Round(time.Second), p.Settle)
		}
		return say(Train, "no champion, and %d frames have labels", s.Assets)
	}
	return say(Train, "no champion, and there are %d rows", s.Rows)
}

// again decides whether a pipeline that has a champion needs another.
func again(p *Spec, l *Loop, s *State, missing string) Decision {
	kind, why, ids, ignored := urgent(l, s)
	if ignored.Verdict != "" {
		return ignored
	}
	say := func(v Verdict, format string, a ...any) Decision {
		return Decision{Verdict: v, Reason: why + "; " + fmt.Sprintf(format, a...), Kind: format, Trigger: kind}
	}
	switch {
	case kind == "":
		return Decision{Verdict: Content, Reason: fmt.Sprintf("champion %s is live", s.Champion), Kind: "champion"}
	case l.Approval == ApproveNever:
		d := say(Ignore, "but loop.approval is never: a person may start a campaign")
		d.Alarms = ids
		return d
	case !s.Cooling.IsZero() && s.Now.Before(s.Cooling.Add(l.Cooldown)):
		return say(Wait, "but the last campaign ended %v ago, and loop.cooldown is %v", s.Now.Sub(s.Cooling).Round(time.Second), l.Cooldown)
	case missing != "":
		return say(Wait, "but %s", missing)
	case p.Task == model.Anomaly || kind == TriggerLabels || kind == TriggerMissed: // an anomaly is learned from rows without labels
	case kind != TriggerSchedule && !s.Since.IsZero() && s.Recent < l.Fresh: // what failed after a life without the change teaches nothing of it
		return say(Wait, "but %d of %d assets or labels speak of what is so since %s (loop.fresh)", s.Recent, l.Fresh, s.Since.UTC().Format(time.RFC3339))
	case s.Fresh < l.Fresh:
		return say(Wait, "but %d of %d assets or labels have come since the champion was trained (loop.fresh)", s.Fresh, l.Fresh)
	}
	if s.Spent >= l.Budget {
		return say(Wait, "but the trainings of the last 24 hours took %v of CPU time, and loop.budget is %v", s.Spent.Round(time.Second), l.Budget)
	}
	return Decision{Verdict: Train, Reason: why, Kind: "train", Trigger: kind, Alarms: ids}
}

// urgent returns the most urgent thing that asks for a new model, why, and the alarms that speak of it. Alarms that nothing shall be done about come back as a decision.
func urgent(l *Loop, s *State) (kind, why string, ids []string, ignored Decision) {
	for _, a := range s.Alarms {
		switch {
		case a.Version != "" && a.Version != s.Champion:
			return "", "", nil, Decision{Verdict: Ignore, Reason: fmt.Sprintf("%s: it speaks of version %s, and the champion is %s", a.Detail, a.Version, s.Champion), Trigger: a.Kind,
				Passed: []string{a.ID}, Kind: "version " + a.ID}
		case !slices.Contains(l.Triggers, a.Kind):
			return "", "", nil, Decision{Verdict: Ignore, Reason: fmt.Sprintf("%s: %s is not among loop.triggers", a.Detail, a.Kind), Trigger: a.Kind, Alarms: []string{a.ID},
				Kind: "trigger " + a.ID}
		}
	}
	for _, k := range triggers {
		for _, a := range s.Alarms {
			if a.Kind == k {
				if kind == "" {
					kind, why = k, a.Detail
				}
				ids = append(ids, a.ID)
			}
		}
	}
	switch {
	case kind != "":
		if n := len(ids) - 1; n > 0 {
			why = fmt.Sprintf("%s, and %d more alarms", why, n)
		}
	case l.Labels > 0 && s.Fresh >= l.Labels:
		kind, why = TriggerLabels, fmt.Sprintf("%d assets or labels have come since the champion was trained (loop.labels: %d)", s.Fresh, l.Labels)
	case !s.Due.IsZero():
		kind, why = TriggerSchedule, fmt.Sprintf("loop.schedule was due at %s", s.Due.UTC().Format(time.RFC3339))
	}
	return kind, why, ids, Decision{}
}

// enough says what is missing, or "".
func enough(p *Spec, s *State) string {
	switch {
	case p.Task == model.RemainingLife && s.Assets < p.MinAssets:
		return fmt.Sprintf("%d of %d assets have failed", s.Assets, p.MinAssets)
	case pictured(p.Task) && s.Assets < p.Picture.MinFrames:
		return fmt.Sprintf("%d of %d frames have labels", s.Assets, p.Picture.MinFrames)
	case p.Task == model.Anomaly && s.Rows < uint64(p.MinRows): //nolint:gosec // Validate keeps it positive
		return fmt.Sprintf("%d of %d rows are there", s.Rows, p.MinRows)
	}
	return ""
}

// backoff is the wait after the n-th failure in a row.
func backoff(c *Config, n int) time.Duration {
	wait := c.Backoff
	for ; n > 1 && wait < c.BackoffLimit; n-- {
		wait *= 2
	}
	return min(wait, c.BackoffLimit)
}
