package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"andon/event"
)

// Letters chooses dead letters. What is zero does not choose.
type Letters struct {
	Pipeline, Reason string
	Positions        []event.Position
	// Since and Until bound when they were stored, Unix nanoseconds by the server's clock; Until is the first instant left out.
	Since, Until int64
	// Again takes those, too, that were sent again before, or may have been.
	Again bool
}

// where writes the choice as SQL over the columns of deadletters.
func (l *Letters) where() string {
	all := []string{"1"}
	if l.Pipeline != "" {
		all = append(all, "pipeline = "+literal(l.Pipeline))
	}
	if l.Reason != "" {
		all = append(all, "reason = "+literal(l.Reason))
	}
	if l.Positions != nil {
		all = append(all, among(l.Positions))
	}
	if l.Since != 0 {
		all = append(all, "_stored >= "+instant(l.Since))
	}
	if l.Until != 0 {
		all = append(all, "_stored < "+instant(l.Until))
	}
	return strings.Join(all, " AND ")
}

// among writes a condition that holds for the records at the positions.
func among(positions []event.Position) string {
	if len(positions) == 0 {
		return "0"
	}
	tuples := make([]string, len(positions))
	for i, p := range positions {
		tuples[i] = fmt.Sprintf("(%s, %d, %d)", literal(p.Topic), p.Partition, p.Offset)
	}
	return "(_topic, _partition, _offset) IN (" + strings.Join(tuples, ", ") + ")"
}

// long lets a query name many records.
func long(ctx context.Context) context.Context {
	return ch.Context(ctx, ch.WithSettings(ch.Settings{"max_query_size": 64 << 20, "max_ast_elements": 10_000_000, "max_expanded_ast_elements": 10_000_000}))
}

// LetterHead tells of a dead letter without its bytes. A record that several pipelines could not use is one.
type LetterHead struct {
	event.Position
	Pipelines, Reasons []string
	// Size is of key and value, bytes.
	Size uint64
	// Sent counts the replays that sent it, Doubt those that ended without saying whether they had.
	Sent, Doubt uint64
	// Runs are all the replays that had to do with it, whatever came of it.
	Runs []string
}

// byRecord is the choice, one row a record, with what is known of its replays.
const byRecord = `
FROM
(
    SELECT _topic, _partition, _offset, groupUniqArray(toString(pipeline)) AS pipelines, groupUniqArray(toString(reason)) AS reasons, max(length(key) + length(value)) AS size
    FROM deadletters WHERE %s GROUP BY _topic, _partition, _offset
) AS d
LEFT JOIN replayed_deadletters AS r USING (_topic, _partition, _offset)`

// LetterHeads returns at most limit of the chosen letters, in the order of topic, partition and offset, from the first after a position on.
func (s *Store) LetterHeads(ctx context.Context, l Letters, after *event.Position, limit int) (out []LetterHead, err error) {
	rest := "1"
	if after != nil {
		rest = fmt.Sprintf("(_topic, _partition, _offset) > (%s, %d, %d)", literal(after.Topic), after.Partition, after.Offset)
	}
	fresh := "1"
	if !l.Again {
		fresh = "r.sent = 0 AND r.in_doubt = 0"
	}
	sql := `SELECT toString(_topic), _partition, _offset, pipelines, reasons, size, r.sent, r.in_doubt, runs` +
		fmt.Sprintf(byRecord, l.where()+" AND "+rest) + `
LEFT JOIN (SELECT _topic, _partition, _offset, groupUniqArray(run) AS runs FROM deadletter_replays GROUP BY _topic, _partition, _offset) AS a USING (_topic, _partition, _offset)
WHERE ` + fresh + fmt.Sprintf(" ORDER BY _topic, _partition, _offset LIMIT %d", limit)
	err = s.scan(long(ctx), sql, func(rows driver.Rows) error {
		var h LetterHead
		err := rows.Scan(&h.Topic, &h.Partition, &h.Offset, &h.Pipelines, &h.Reasons, &h.Size, &h.Sent, &h.Doubt, &h.Runs)
		out = append(out, h)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("choose dead letters: %w", explain(err))
	}
	return out, nil
}

// LetterCounts tells how many records the choice has (whatever Again says), how many of them were sent again, and how many of the others may have been.
func (s *Store) LetterCounts(ctx context.Context, l Letters) (all, sent, doubt uint64, err error) {
	err = s.scan(long(ctx), "SELECT count(), countIf(r.sent > 0), countIf(r.sent = 0 AND r.in_doubt > 0)"+fmt.Sprintf(byRecord, l.where()), func(rows driver.Rows) error {
		return rows.Scan(&all, &sent, &doubt)
	})
	if err != nil {
		return 0, 0, 0, fmt.Errorf("count dead letters: %w", explain(err))
	}
	return all, sent, doubt, nil
}

// ReadLetters returns the records at the positions, as they came, in no order; those that are gone are left out.
func (s *Store) ReadLetters(ctx context.Context, positions []event.Position) (out []event.Record, err error) {
	err = s.scan(long(ctx), `SELECT toString(_topic), _partition, _offset, time, key, value, key_null, value_null, headers.key, headers.value FROM deadletters
		WHERE `+among(positions)+` LIMIT 1 BY _topic, _partition, _offset`, func(rows driver.Rows) error {
		var r event.Record
		var at time.Time
		var key, value string
		var noKey, noValue bool
		var names, values []string
		if err := rows.Scan(&r.Topic, &r.Partition, &r.Offset, &at, &key, &value, &noKey, &noValue, &names, &values); err != nil {
			return err
		}
		r.Time = at.UnixNano()
		if !noKey {
			r.Key = []byte(key)
		}
		if !noValue {
			r.Value = []byte(value)
		}
		for i, name := range names {
			r.Headers = append(r.Headers, event.Header{Key: name, Value: []byte(values[i])})
		}
		out = append(out, r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", explain(err))
	}
	return out, nil
}

// What a replay says of a record.
const (
	ReplaySending = "sending" // it is about to be sent
	ReplaySent    = "sent"    // the brokers have it
	ReplayFailed  = "failed"  // they will not take it
	ReplayYielded = "yielded" // left to another replay
)

// Replay is a step of sending a dead letter again.
type Replay struct {
	// Of is the dead letter, To where it went: a topic, and partition and offset once it is sent, -1 before.
	Of, To event.Position
	State  string
	Detail string
}

// WriteReplays stores what a run of a replay says, and by whom it was asked for. It tries until ctx ends.
func (s *Store) WriteReplays(ctx context.Context, run, who string, steps []Replay) error {
	if len(steps) == 0 {
		return nil
	}
	f := &frame{rows: len(steps)}
	f.words("_topic", func(i int) string { return steps[i].Of.Topic })
	each(f, "_partition", "Int32", func(i int) int32 { return steps[i].Of.Partition })
	each(f, "_offset", "Int64", func(i int) int64 { return steps[i].Of.Offset })
	f.texts("run", func(int) string { return run })
	f.words("state", func(i int) string { return steps[i].State })
	f.words("to_topic", func(i int) string { return steps[i].To.Topic })
	each(f, "to_partition", "Int32", func(i int) int32 { return steps[i].To.Partition })
	each(f, "to_offset", "Int64", func(i int) int64 { return steps[i].To.Offset })
	f.texts("who", func(int) string { return who })
	f.texts("detail", func(i int) string { return steps[i].Detail })
	return s.small(ctx, "deadletter_replays", f)
}

// ReplayRuns returns the runs that had to do with each of the records.
func (s *Store) ReplayRuns(ctx context.Context, positions []event.Position) (map[event.Position][]string, error) {
	out := map[event.Position][]string{}
	err := s.scan(long(ctx), "SELECT toString(_topic), _partition, _offset, groupUniqArray(run) FROM deadletter_replays WHERE "+among(positions)+
		" GROUP BY _topic, _partition, _offset", func(rows driver.Rows) error {
		var p event.Position
		var runs []string
		err := rows.Scan(&p.Topic, &p.Partition, &p.Offset, &runs)
		out[p] = runs
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the replays of dead letters: %w", explain(err))
	}
	return out, nil
}

// Now returns the server's clock, Unix nanoseconds, to the millisecond: what _stored of dead letters is made from.
func (s *Store) Now(ctx context.Context) (int64, error) {
	var at time.Time
	if err := s.owner.QueryRow(ctx, "SELECT now64(3, 'UTC')").Scan(&at); err != nil {
		return 0, fmt.Errorf("ask for the server's time: %w", explain(err))
	}
	return at.UnixNano(), nil
}
