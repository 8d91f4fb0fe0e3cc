package processors

import (
	"time"

	"andon/event"
	"andon/model"
	"andon/processors/anomaly"
	"andon/processors/features"
)

// state is what a partition's rows make of its assets: windows for a model, or the values of windows.
type state interface {
	// Row takes a row; with a nil emit it is only folded in.
	Row(row *event.Row, emit features.Emit) (features.Outcome, error)
	Assets() int
	Newest(asset string) (int64, bool)
	Fold(next int64) (offset, clock int64)
	SetClock(clock int64)
	Fingerprint() uint64
	Snapshot(dst []byte) []byte
	Restore(snapshot []byte) error
}

// values is a state that puts what its windows hold into a block instead of emitting them.
type values struct {
	*features.Aggregates
	into *event.Features
}

func (v values) Row(row *event.Row, emit features.Emit) (features.Outcome, error) {
	into := v.into
	if emit == nil {
		into = nil
	}
	return v.Aggregates.Row(row, into)
}

// detected is a state whose slots bring their verdicts with them.
type detected struct {
	*anomaly.Partition
	// said is on the window that is being told of.
	said event.Verdict
}

func (d *detected) Row(row *event.Row, emit features.Emit) (features.Outcome, error) {
	if emit == nil {
		return d.Partition.Row(row, nil)
	}
	return d.Partition.Row(row, func(w *features.Window, v event.Verdict) error {
		d.said = v
		return emit(w)
	})
}

// state makes the state of a partition, nil without features; values of windows go into into. It also returns the recipe for models.
func (l *Line) state(into *event.Features) (state, *model.Recipe, error) {
	switch {
	case l.cfg.Detector != nil:
		s, err := anomaly.New(*l.cfg.Detector, *l.cfg.Features, l.cfg.Signals)
		if err != nil {
			return nil, nil, err
		}
		return &detected{Partition: s}, nil, nil
	case l.cfg.Features != nil:
		s, err := features.New(*l.cfg.Features, l.cfg.Signals)
		if err != nil {
			return nil, nil, err
		}
		return s, s.Recipe(), nil
	case l.cfg.Aggregate != nil:
		s, err := features.NewAggregates(*l.cfg.Aggregate, l.cfg.Signals)
		if err != nil {
			return nil, nil, err
		}
		into.Names = s.Names()
		return values{s, into}, nil, nil
	}
	return nil, nil, nil
}

// lateness is how far behind its asset's newest row a row may lie.
func (c *Config) lateness() time.Duration {
	if c.Aggregate != nil {
		return c.Aggregate.Lateness
	}
	return c.Features.Lateness
}
