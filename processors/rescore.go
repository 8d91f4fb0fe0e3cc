package processors

import (
	"fmt"
	"time"
)

// Rescore makes a Line that gives scores of a range of the past and nothing else: no readings, labels or dead letters leave it, for the live line has told them.
// Windows outside of the range are made and not scored, so that state is what it was.
type Rescore struct {
	// From and To bound the ends of the windows in event time, Unix nanoseconds: From <= end < To.
	From, To int64
}

// Validate reports a range that holds nothing.
func (r *Rescore) Validate() error {
	if r.From >= r.To {
		return fmt.Errorf("rescore: from %s to %s is no range", instant(r.From), instant(r.To))
	}
	return nil
}

func instant(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }

// wants tells whether a window that ends at an instant is to be scored. A nil Rescore wants all.
func (r *Rescore) wants(end int64) bool { return r == nil || end >= r.From && end < r.To }

// Begin returns the note for a partition whose group has no commit yet: its state is folded from an offset on, at or before the first that is handled. An
// asset's life that began before it is cut, and begins there.
func Begin(fold int64) string {
	n := note{V: noteVersion, Fold: fold}
	return n.String()
}
