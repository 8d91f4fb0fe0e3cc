package clickhouse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"andon/event"
)

// Write stores a block, once: a block of the same pipeline, topic, partition and range that was stored before, wholly or in part, is completed and
// not doubled, whoever wrote it. It tries again, with pauses, for as long as ClickHouse cannot be reached or cannot take it, until ctx ends.
//
// When ClickHouse refuses rows for good, the error is a *Refused: all other rows but the block's dead letters are stored then. The caller adds a
// dead letter for each refused offset, removes the rows (Refused.Remove) and writes the block again. Any other error means that an operator must
// act. The block is not kept and not changed; calls for different partitions may run at once.
func (s *Store) Write(ctx context.Context, b *event.Block) error {
	if b.Rows() == 0 {
		return nil
	}
	if err := check(b); err != nil {
		return fmt.Errorf("insert %s: %w", identify(b), err)
	}
	refused := &Refused{block: identify(b)}
	for _, t := range blockTables {
		if t.name == "deadletters" && len(refused.Rows) > 0 {
			break
		}
		rows, err := s.put(ctx, t, b, token(b, t.name))
		if err != nil {
			return fmt.Errorf("insert %s into %s: %w", identify(b), t.name, err)
		}
		refused.Rows = append(refused.Rows, rows...)
	}
	if len(refused.Rows) > 0 {
		return refused
	}
	return nil
}

// identify names a block as errors do: pipeline topic/partition@first-next.
func identify(b *event.Block) string {
	return fmt.Sprintf("%s %s/%d@%d-%d", b.Pipeline, b.Topic, b.Partition, b.First, b.Next)
}

// token names the rows of one table of one block, for all time.
func token(b *event.Block, table string) string {
	h := sha256.New()
	fmt.Fprintf(h, "andon 1\x00%s\x00%s\x00%d\x00%s\x00%d\x00%d", b.Pipeline, b.Topic, b.Partition, table, b.First, b.Next)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// put stores one table's rows of a block and returns those that were refused.
func (s *Store) put(ctx context.Context, t *table, b *event.Block, token string) (refused []RefusedRow, err error) {
	defer func() {
		if len(refused) > 0 && err == nil {
			s.metrics.refused.WithLabelValues(t.name).Add(float64(len(refused)))
			s.log.Error("rows refused by ClickHouse", "table", t.name, "pipeline", b.Pipeline, "rows", len(refused), "first", refused[0].Offset,
				"message", refused[0].Message)
		}
	}()
	refused = outOfRange(t, b)
	if len(refused) > 0 {
		b = without(t, b, refused)
	}
	for range 5 {
		if t.rows(b) == 0 {
			return refused, nil
		}
		more, known, err := s.putOrSift(ctx, t, b, token)
		if err != nil {
			return nil, err
		}
		refused = append(refused, more...)
		if !known {
			return refused, nil
		}
		// The server dropped the insert, as its token is known: the range was stored before. If the block was formed differently then, by
		// other settings or without rows that were refused, some of its rows are not there.
		s.metrics.repeated.WithLabelValues(t.name).Inc()
		if s.replicated.Load() { // a replica cannot tell what others hold
			return refused, nil
		}
		held := 0
		if b, held, err = s.missing(ctx, t, without(t, b, more)); err != nil {
			return nil, err
		}
		token = fmt.Sprintf("%s after %d", token, held)
	}
	return nil, errors.New("rows are still missing after they were inserted five times")
}

func outOfRange(t *table, b *event.Block) (refused []RefusedRow) {
	for i := range t.rows(b) {
		t.times(b, i, func(ns int64) {
			if ns < earliest && (len(refused) == 0 || refused[len(refused)-1].Offset != t.offset(b, i)) {
				refused = append(refused, RefusedRow{Table: t.name, Offset: t.offset(b, i),
					Message: fmt.Sprintf("time %v is before 1900, the first year that ClickHouse holds", time.Unix(0, ns).UTC().Format(time.RFC3339Nano))})
			}
		})
	}
	return refused
}

// insertSettings are those of an insert that may be sent again. One insert stays one block: it is not gathered with others nor cut, as the token
// is remembered for each block, by its number. The token goes on to materialized views.
func (s *Store) insertSettings(token string) ch.Settings {
	set := ch.Settings{
		"insert_deduplicate":                                 1,
		"insert_deduplication_token":                         token,
		"deduplicate_blocks_in_dependent_materialized_views": 1,
		"async_insert":                                       0,
		"min_insert_block_size_rows":                         0,
		"min_insert_block_size_bytes":                        0,
		"max_insert_block_size":                              1 << 32, // the most there is: with more the server writes a warning for each insert
	}
	if s.unified {
		set["deduplicate_insert"] = "enable"
	}
	return set
}

// insert sends rows until they are acknowledged, ctx ends, or sending them again is of no use. known tells that the server had seen the token, for all
// or a part of the rows, and dropped that. With rows 0 it does not count.
func (s *Store) insert(ctx context.Context, table string, rows int, settings ch.Settings, build func() *frame) (known bool, err error) {
	begin := time.Now()
	err = s.again(ctx, table, func() error {
		known, err = s.attempt(ctx, table, settings, build)
		if err != nil && ctx.Err() == nil {
			s.metrics.errors.Inc()
		}
		return err
	})
	if err == nil && rows > 0 {
		s.metrics.seconds.Observe(time.Since(begin).Seconds())
		s.metrics.rows.WithLabelValues(table).Add(float64(rows))
	}
	return known, err
}

// again calls f, with pauses that grow, until it succeeds, ctx ends, or it fails in a way that waiting does not cure. The error holds the context's
// cause where it ended.
func (s *Store) again(ctx context.Context, table string, f func() error) error {
	const shortest, longest, quiet = 100 * time.Millisecond, 10 * time.Second, 30 * time.Second
	begin, pause := time.Now(), shortest
	var told time.Time
	for attempt := 1; ; attempt++ {
		err := f()
		if err == nil {
			if attempt > 1 {
				s.log.Info("ClickHouse is back", "table", table, "attempts", attempt, "after", time.Since(begin).Round(time.Millisecond))
			}
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		if classify(err) != classPass {
			return err
		}
		if time.Since(told) > quiet {
			told = time.Now()
			s.log.Warn("ClickHouse cannot be used, trying again", "table", table, "attempt", attempt, "error", err)
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, longest)
	}
}

// attempt sends rows once. At most Writers attempts run at once; between attempts nothing of the rows is held here.
func (s *Store) attempt(ctx context.Context, table string, settings ch.Settings, build func() *frame) (known bool, err error) {
	select {
	case s.turns <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-s.turns }()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.InsertTimeout)
	defer cancel()
	var dropped atomic.Int64
	events := func(all []ch.ProfileEvent) {
		for _, e := range all {
			if e.Name == "DuplicatedInsertedBlocks" {
				dropped.Add(e.Value)
			}
		}
	}
	f := build()
	batch, err := s.inserts.PrepareBatch(ch.Context(ctx, ch.WithSettings(settings), ch.WithProfileEvents(events)), f.insert(table))
	if err != nil {
		return false, err
	}
	if err := f.fill(batch); err != nil {
		return false, errors.Join(err, batch.Abort())
	}
	err = batch.Send()
	return dropped.Load() > 0, err
}

// token returns a context for a small insert of our own that may be sent again.
func (s *Store) token(ctx context.Context, token string) context.Context {
	return ch.Context(ctx, ch.WithSettings(s.insertSettings(token)))
}

// Refused tells which rows ClickHouse did not take, and never will.
type Refused struct {
	Rows  []RefusedRow
	block string
}

// RefusedRow is one row, or several of one record, of one table.
type RefusedRow struct {
	Table   string
	Offset  int64
	Message string
}

func (r *Refused) Error() string {
	first := r.Rows[0]
	return fmt.Sprintf("insert %s: ClickHouse refuses the rows of %d offsets, the first %d, for %s: %s", r.block, len(r.RefusedOffsets()), first.Offset,
		first.Table, first.Message)
}

// RefusedOffsets returns the offsets that rows were refused of, each with the server's messages, which name the table.
func (r *Refused) RefusedOffsets() map[int64]string {
	out := make(map[int64]string)
	for _, row := range r.Rows {
		message := row.Table + ": " + row.Message
		if had, ok := out[row.Offset]; ok && !strings.Contains(had, message) {
			message = had + "; " + message
		}
		out[row.Offset] = message
	}
	return out
}

// Remove takes the refused rows out of the block; rows of the same offsets in other tables stay.
func (r *Refused) Remove(b *event.Block) {
	for _, t := range blockTables {
		var rows []RefusedRow
		for _, row := range r.Rows {
			if row.Table == t.name {
				rows = append(rows, row)
			}
		}
		if len(rows) == 0 {
			continue
		}
		rest := without(t, b, rows)
		switch t.name {
		case "readings":
			b.Readings = rest.Readings
		case "features":
			b.Features = rest.Features
		case "scores":
			b.Scores = rest.Scores
		case "shadow_scores":
			b.Shadows = rest.Shadows
		case "frames":
			b.Sights = rest.Sights
		case "shadow_frames":
			b.ShadowSights = rest.ShadowSights
		case "labels":
			b.Labels = rest.Labels
		case "deadletters":
			b.DeadLetters = rest.DeadLetters
		}
	}
}

// without returns a block with the rows of table t but those refused.
func without(t *table, b *event.Block, refused []RefusedRow) *event.Block {
	gone := make(map[int64]bool, len(refused))
	for _, r := range refused {
		gone[r.Offset] = true
	}
	return t.pick(b, func(i int) bool { return !gone[t.offset(b, i)] })
}
