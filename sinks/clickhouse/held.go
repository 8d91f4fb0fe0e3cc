package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"andon/event"
)

// Held tells what a table holds of a range of offsets.
type Held struct {
	// Rows is the number of rows, Offsets the number of different offsets that they have; First and Last are the least and greatest offset,
	// and mean nothing when Rows is 0.
	Rows, Offsets uint64
	First, Last   int64
}

const heldFilter = ` WHERE _topic = {topic:String} AND _partition = {partition:Int32} AND _offset >= {first:Int64} AND _offset < {next:Int64}`

// held returns the condition and parameters for one range. Labels are found by their position alone: a block of one pipeline may hold labels for others.
func held(ctx context.Context, table, run, pipeline, topic string, partition int32, first, next int64) (context.Context, string, error) {
	if !slices.Contains(dataTables, table) {
		return nil, "", fmt.Errorf("table %q holds no offsets", table)
	}
	params := ch.Parameters{"topic": escape(topic), "partition": strconv.Itoa(int(partition)), "first": strconv.FormatInt(first, 10),
		"next": strconv.FormatInt(next, 10)}
	where := heldFilter
	if run != "" {
		params["run"] = escape(run)
		where += " AND run = {run:String}"
	}
	if table != "labels" {
		params["pipeline"] = escape(pipeline)
		where += " AND pipeline = {pipeline:String}"
	}
	return ch.Context(ctx, ch.WithParameters(params)), where, nil
}

// source is where a table's offsets are read from: a block that was counted holds all of its offsets.
func source(table string) string {
	if table != handledTable.name {
		return table
	}
	return `(SELECT pipeline, _topic, _partition, arrayJoin(range(greatest(first, {first:Int64}), least(next, {next:Int64}))) AS _offset FROM handled
		WHERE pipeline = {pipeline:String} AND _topic = {topic:String} AND _partition = {partition:Int32} AND first < {next:Int64} AND next > {first:Int64})`
}

// Held counts what a table holds of the offsets [first, next) of a partition, trying again like Write. On a replicated table it sees what its replica
// has.
func (s *Store) Held(ctx context.Context, table, pipeline, topic string, partition int32, first, next int64) (h Held, err error) {
	qctx, where, err := held(ctx, table, "", pipeline, topic, partition, first, next)
	if err == nil {
		err = s.again(ctx, table, func() error {
			row := s.owner.QueryRow(qctx, "SELECT count(), uniqExact(_offset), min(_offset), max(_offset) FROM "+source(table)+where)
			return row.Scan(&h.Rows, &h.Offsets, &h.First, &h.Last)
		})
	}
	if err != nil {
		return Held{}, fmt.Errorf("ask %s for %s %s/%d@%d-%d: %w", table, pipeline, topic, partition, first, next, explain(err))
	}
	return h, nil
}

// HeldOffsets returns the different offsets of the range that the table holds, in ascending order; otherwise it is like Held.
func (s *Store) HeldOffsets(ctx context.Context, table, pipeline, topic string, partition int32, first, next int64) (offsets []int64, err error) {
	return s.heldOffsets(ctx, table, "", pipeline, topic, partition, first, next)
}

// heldOffsets is HeldOffsets of one replay's rows, where run names it.
func (s *Store) heldOffsets(ctx context.Context, table, run, pipeline, topic string, partition int32, first, next int64) (offsets []int64, err error) {
	qctx, where, err := held(ctx, table, run, pipeline, topic, partition, first, next)
	if err == nil {
		err = s.again(ctx, table, func() error {
			offsets = offsets[:0]
			return s.scan(qctx, "SELECT DISTINCT _offset FROM "+source(table)+where+" ORDER BY _offset", func(rows driver.Rows) error {
				var o int64
				err := rows.Scan(&o)
				offsets = append(offsets, o)
				return err
			})
		})
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s for %s %s/%d@%d-%d: %w", table, pipeline, topic, partition, first, next, explain(err))
	}
	return offsets, nil
}

// scan asks as the owner and calls f for each row. An error of f ends it: the rest of the answer is not read but cut off.
func (s *Store) scan(ctx context.Context, sql string, f func(rows driver.Rows) error, args ...any) error {
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	rows, err := s.owner.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	defer cut()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Settle stores of a block what is not stored yet, going by offsets: for a range that may have been stored, in part or formed in another way, under
// another model, schema or version of andon. It can be interrupted and called again. Nobody else may be writing the range. Errors are Write's.
func (s *Store) Settle(ctx context.Context, b *event.Block) error {
	refused := &Refused{block: identify(b)}
	if err := check(b); err != nil {
		return fmt.Errorf("insert %s: %w", identify(b), err)
	}
	for _, t := range blockTables {
		if t.rows(b) == 0 {
			continue
		}
		if t.name == "deadletters" && len(refused.Rows) > 0 {
			break
		}
		missing, held, err := s.missing(ctx, t, b)
		if err != nil {
			return err
		}
		tok := token(b, t.name)
		if held > 0 { // then the block's own token may be that of the rows that are there
			tok = fmt.Sprintf("%s settled %d", tok, held)
		}
		rows, err := s.put(ctx, t, missing, tok)
		if err != nil {
			return fmt.Errorf("settle %s in %s: %w", identify(b), t.name, err)
		}
		refused.Rows = append(refused.Rows, rows...)
	}
	if len(refused.Rows) > 0 {
		return refused
	}
	return nil
}

// missing returns a block with the rows of b whose offsets the table does not hold, and how many offsets of the range it holds.
func (s *Store) missing(ctx context.Context, t *table, b *event.Block) (*event.Block, int, error) {
	offsets, err := s.heldOffsets(ctx, t.name, t.run, b.Pipeline, b.Topic, b.Partition, b.First, b.Next)
	if err != nil {
		return nil, 0, err
	}
	return t.pick(b, func(i int) bool {
		_, found := slices.BinarySearch(offsets, t.offset(b, i))
		return !found
	}), len(offsets), nil
}
