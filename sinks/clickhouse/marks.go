package clickhouse

import (
	"context"
	"fmt"
	"sync"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// Marks tell that what is stored has not changed, so that questions which are asked over and over need not be. They are counts of rows, which ClickHouse knows without reading any.

// labelMark is what is known of the labels.
type labelMark struct {
	mu sync.Mutex
	// labels is how many there are; loose how many of them are of a score or frame that was not found when it was looked for last, at looked, with so many said.
	labels, loose, said uint64
	looked              time.Time
}

// looseEvery is how often scores are looked for that labels speak of and that are not there: a label may come before the block of its score is stored, or name none.
const looseEvery = 10 * time.Second

// LabelsMark returns what changes whenever the labels that count may have: with each label that is stored, and when the score is found that an earlier one speaks of.
func (s *Store) LabelsMark(ctx context.Context) (string, error) {
	m := &s.labelsMark
	m.mu.Lock()
	defer m.mu.Unlock()
	fault := func(err error) (string, error) { return "", fmt.Errorf("look for new labels: %w", explain(err)) }
	var labels uint64
	if err := s.owner.QueryRow(ctx, "SELECT count() FROM labels").Scan(&labels); err != nil {
		return fault(err)
	}
	if labels != m.labels || m.loose > 0 && time.Since(m.looked) >= looseEvery {
		var of, said, placed uint64
		err := s.owner.QueryRow(ctx, "SELECT (SELECT count() FROM labels WHERE of != '' AND asset = ''), (SELECT count() FROM scores) + (SELECT count() FROM frames)").Scan(&of, &said)
		if err != nil {
			return fault(err)
		}
		loose := of
		switch {
		case of > 0 && labels == m.labels && said == m.said:
			loose = m.loose
		case of > 0:
			if err := s.owner.QueryRow(ctx, "SELECT count() FROM label_places").Scan(&placed); err != nil {
				return fault(err)
			}
			loose = labels - min(labels, placed) // more have come meanwhile: they change the mark the next time
		}
		m.labels, m.loose, m.said, m.looked = labels, loose, said, time.Now()
	}
	return fmt.Sprintf("%d labels, %d of nothing", m.labels, m.loose), nil
}

// SaidMark returns what changes whenever a pipeline's predictions, or frames, may have.
func (s *Store) SaidMark(ctx context.Context, pipeline string, frames bool) (string, error) {
	table := "scores"
	if frames {
		table = "frames"
	}
	var n uint64
	// By the key of the partitions: nothing is read.
	if err := s.owner.QueryRow(ctx, "SELECT count() FROM "+table+" WHERE pipeline = {pipeline:String}", ch.Named("pipeline", pipeline)).Scan(&n); err != nil {
		return "", fmt.Errorf("look for new predictions of %s: %w", pipeline, explain(err))
	}
	return fmt.Sprintf("%d %s", n, table), nil
}
