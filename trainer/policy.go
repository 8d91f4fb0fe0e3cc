package trainer

import (
	"fmt"
	"time"

	"andon/model"
)

// State is what the policy knows of a pipeline.
type State struct {
	Now time.Time
	// Champion is the live version that fits the pipeline's recipe; empty when there is none.
	Champion string
	// Assets is how many assets have failed, Changed when that last changed or a run was put off since the rows of Incomplete assets had not come up to
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
}

// Verdict sorts decisions.
type Verdict string

// The verdicts.
const (
	Train   Verdict = "train"
	Wait    Verdict = "wait"
	Content Verdict = "content" // there is a champion and nobody asked
	Refuse  Verdict = "refuse"  // somebody asked, and it cannot be done
)

// Decision is what the policy says, with its reason in words.
type Decision struct {
	Verdict Verdict
	Reason  string
}

// decide is the whole policy. It reads no clock and touches nothing.
func decide(c *Config, p *Spec, s *State) Decision {
	say := func(v Verdict, format string, a ...any) Decision { return Decision{v, fmt.Sprintf(format, a...)} }
	missing := enough(p, s)
	if s.Asked != "" {
		if missing != "" {
			return say(Refuse, "%s; but %s", s.Asked, missing)
		}
		return say(Train, "%s", s.Asked)
	}
	if s.Champion != "" {
		return say(Content, "champion %s is live", s.Champion)
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
	return say(Train, "no champion, and there are %d rows", s.Rows)
}

// enough says what is missing, or "".
func enough(p *Spec, s *State) string {
	switch {
	case p.Task == model.RemainingLife && s.Assets < p.MinAssets:
		return fmt.Sprintf("%d of %d assets have failed", s.Assets, p.MinAssets)
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
