package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"andon/event"
)

// mostRefused is how many records of one block may be refused: beyond it the table is at odds with the data, and a person must decide.
const mostRefused = 100

// putOrSift inserts the rows; when the server refuses them, it finds out which, inserts the others and returns those. known is insert's.
//
// All rows of a block that go into a table go in under one token, whether some were sifted out or not, so that a block that is written again,
// with or without the refused rows, is not doubled. Nothing is therefore inserted while looking for the rows: that is done on an empty twin.
func (s *Store) putOrSift(ctx context.Context, t *table, b *event.Block, token string) (refused []RefusedRow, known bool, err error) {
	settings := s.insertSettings(token)
	send := func(b *event.Block, settings ch.Settings) (bool, error) {
		return s.insert(ctx, t.name, t.rows(b), settings, func() *frame { return t.frame(b) })
	}
	known, refusal := send(b, settings)
	if refusal == nil || classify(refusal) != classRefuse || ctx.Err() != nil {
		return nil, known, explain(refusal)
	}

	// A view of somebody's on this table can fail, too. It must not hold up the line.
	lenient := maps.Clone(settings)
	lenient["materialized_views_ignore_errors"] = 1
	known, err = send(b, lenient)
	if err == nil {
		s.log.Error("a materialized view fails on rows that its table takes; the rows are stored, the view lacks them", "table", t.name, "error", refusal)
		return nil, known, nil
	}
	if classify(err) != classRefuse || ctx.Err() != nil {
		return nil, false, explain(err)
	}

	if refused, err = s.sift(ctx, t, b); err != nil {
		return nil, false, errors.Join(refusal, err)
	}
	if len(refused) == 0 {
		return nil, false, fmt.Errorf("refused, though no single row is at fault: %w", refusal)
	}
	rest := without(t, b, refused)
	if t.rows(rest) == 0 {
		return refused, false, nil
	}
	known, err = send(rest, lenient)
	return refused, known, explain(err)
}

// sift finds the records whose rows are refused, by halving.
func (s *Store) sift(ctx context.Context, t *table, b *event.Block) ([]RefusedRow, error) {
	twin := fmt.Sprintf("probe_%s_%x", t.name, rand.Uint64())
	create := func() error {
		return s.owner.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+twin+" AS "+t.name+" ENGINE = Null")
	}
	if err := s.again(ctx, t.name, create); err != nil {
		return nil, fmt.Errorf("look for the refused rows: %w", explain(err))
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := s.owner.Exec(ctx, "DROP TABLE IF EXISTS "+twin); err != nil {
			s.log.Warn("a probe table is left behind", "table", twin, "error", err)
		}
	}()

	// starts[k] is the first row of the k-th record: the rows of one record stay together.
	var starts []int
	n := t.rows(b)
	for i := range n {
		if i == 0 || t.offset(b, i) != t.offset(b, i-1) {
			starts = append(starts, i)
		}
	}
	starts = append(starts, n)

	var refused []RefusedRow
	var look func(lo, hi int) error
	look = func(lo, hi int) error {
		part := t.pick(b, func(i int) bool { return i >= starts[lo] && i < starts[hi] })
		_, err := s.insert(ctx, twin, 0, ch.Settings{}, func() *frame { return t.frame(part) })
		switch {
		case err == nil:
			return nil
		case classify(err) != classRefuse || ctx.Err() != nil:
			return err
		case hi-lo > 1:
			mid := (lo + hi) / 2
			if err := look(lo, mid); err != nil {
				return err
			}
			return look(mid, hi)
		case len(refused) == mostRefused:
			return fmt.Errorf("more than %d records of one block are refused: the table's constraints or types are at odds with the data", mostRefused)
		}
		message := err.Error()
		var e *ch.Exception
		if errors.As(err, &e) {
			message = e.Message
		}
		refused = append(refused, RefusedRow{Table: t.name, Offset: t.offset(b, starts[lo]), Message: message})
		return nil
	}
	if err := look(0, len(starts)-1); err != nil {
		return nil, fmt.Errorf("look for the refused rows: %w", err)
	}
	return refused, nil
}
