package ingest

import (
	"errors"
	"fmt"

	"andon/ingest/decode"
)

// Where a group without a commit starts to read.
const (
	StartEarliest = "earliest"
	StartLatest   = "latest"
)

// Source is what a pipeline reads.
type Source struct {
	Topic string `yaml:"topic"`
	// Group is the consumer group; empty means andon.<pipeline>.
	Group string `yaml:"group"`
	// Start is earliest or latest, for a group that has no commit yet.
	Start string `yaml:"start"`
	// Spec says how records become rows.
	decode.Spec `yaml:",inline"`
}

// WithDefaults returns the source with its empty fields set.
func (s Source) WithDefaults() Source {
	if s.Start == "" {
		s.Start = StartEarliest // nothing is skipped unless someone says so
	}
	s.Spec = s.Spec.WithDefaults()
	return s
}

// Validate reports every fault of a source that has its defaults, each with its key.
func (s Source) Validate() error {
	var errs []error
	if s.Topic == "" {
		errs = append(errs, errors.New("topic: name the topic to read"))
	}
	if s.Start != StartEarliest && s.Start != StartLatest {
		errs = append(errs, fmt.Errorf("start: %q is not one of %s, %s", s.Start, StartEarliest, StartLatest))
	}
	return errors.Join(append(errs, s.Spec.Validate())...)
}
