package clickhouse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"andon/event"
)

// The states of a replay.
const (
	RescoreStarted  = "started"
	RescoreResumed  = "resumed"
	RescoreStopped  = "stopped"
	RescoreFailed   = "failed"
	RescoreFinished = "finished"
)

// Rescoring is one state of a replay: a run that gives windows of the past new scores.
type Rescoring struct {
	// Time is when it came to the state, Unix nanoseconds.
	Time     int64
	Run      string
	Pipeline string
	State    string
	// Version is the model's.
	Version string
	// AskedFrom and AskedTo are what a person wrote.
	AskedFrom, AskedTo string
	// From and To bound the ends of the windows that are scored, Unix nanoseconds; stored, they are cut to what ClickHouse holds.
	From, To int64
	Topic    string
	// FromOffsets and ToOffsets bound the records that complete the windows, by partition.
	FromOffsets, ToOffsets map[int32]int64
	// Settings is the digest of the settings that windows are made by.
	Settings string
	// Rows, Scores and Refused count what the process that tells has read, stored and not been able to store, in Elapsed nanoseconds.
	Rows, Scores, Refused int64
	Elapsed               int64
	Who, Detail           string
}

// rescoredTable is the table of a run's scores. It lacks what scores tell of the live line's pace.
func rescoredTable(run string) *table {
	t := *blockTables[slices.IndexFunc(blockTables, func(t *table) bool { return t.name == "scores" })]
	t.name, t.run = "replay_scores", run
	t.frame = func(b *event.Block) *frame {
		s := b.Scores
		f := &frame{rows: len(s), order: sorted(len(s), func(i int) string { return s[i].Asset }, func(i int) int64 { return s[i].End })}
		f.word("run", run)
		f.word("pipeline", b.Pipeline)
		f.words("asset", func(i int) string { return s[i].Asset })
		f.micros("start", func(i int) int64 { return s[i].Start })
		f.micros("end", func(i int) int64 { return s[i].End })
		each(f, "value", "Float32", func(i int) float32 { return s[i].Value })
		each(f, "risk", "Float32", func(i int) float32 { return s[i].Risk })
		f.words("version", func(i int) string { return s[i].Version })
		f.micros("scored_at", func(i int) int64 { return s[i].ScoredAt })
		f.word("_topic", b.Topic)
		same(f, "_partition", "Int32", b.Partition)
		each(f, "_offset", "Int64", func(i int) int64 { return s[i].Offset })
		return f
	}
	return &t
}

// WriteRescored stores the scores of a block as those of a replay, once, and nothing else of it; otherwise it is like Write. Scores that ClickHouse refuses are
// logged and counted, and the rest is stored.
func (s *Store) WriteRescored(ctx context.Context, run string, b *event.Block) (refused int, err error) {
	if err := check(b); err != nil {
		return 0, fmt.Errorf("insert %s: %w", identify(b), err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "andon replay 1\x00%s\x00%s\x00%s\x00%d\x00%d\x00%d", run, b.Pipeline, b.Topic, b.Partition, b.First, b.Next)
	rows, err := s.put(ctx, rescoredTable(run), b, hex.EncodeToString(h.Sum(nil)[:16]))
	if err != nil {
		return 0, fmt.Errorf("insert %s of the replay %s: %w", identify(b), run, err)
	}
	return len(rows), nil
}

// RescoredNext returns the offset after the last one of a partition that a replay has scores of; 0 where it has none.
func (s *Store) RescoredNext(ctx context.Context, run, pipeline, topic string, partition int32) (next int64, err error) {
	ctx = ch.Context(ctx, ch.WithParameters(ch.Parameters{"run": escape(run), "pipeline": escape(pipeline), "topic": escape(topic), "partition": strconv.Itoa(int(partition))}))
	err = s.again(ctx, "replay_scores", func() error {
		return s.owner.QueryRow(ctx, `SELECT if(count() = 0, 0, max(_offset) + 1) FROM replay_scores
			WHERE run = {run:String} AND pipeline = {pipeline:String} AND _topic = {topic:String} AND _partition = {partition:Int32}`).Scan(&next)
	})
	if err != nil {
		return 0, fmt.Errorf("ask for the scores of the replay %s: %w", run, explain(err))
	}
	return next, nil
}

// WriteRescoring stores one state of a replay.
func (s *Store) WriteRescoring(ctx context.Context, r Rescoring) error {
	f := &frame{rows: 1}
	text := func(name, v string) { f.texts(name, func(int) string { return v }) }
	at := func(name string, ns int64) { f.micros(name, func(int) int64 { return max(ns, earliest) }) }
	offsets := func(name string, m map[int32]int64) {
		keys := slices.Sorted(maps.Keys(m))
		values := make([]int64, len(keys))
		for i, k := range keys {
			values[i] = m[k]
		}
		f.add(name, "Map(Int32, Int64)", bytesOf([]uint64{uint64(len(keys))}), bytesOf(keys), bytesOf(values))
	}
	at("time", r.Time)
	text("run", r.Run)
	f.word("pipeline", r.Pipeline)
	f.word("state", r.State)
	text("version", r.Version)
	text("asked_from", r.AskedFrom)
	text("asked_to", r.AskedTo)
	at("from_time", r.From)
	at("to_time", r.To)
	f.word("topic", r.Topic)
	offsets("from_offsets", r.FromOffsets)
	offsets("to_offsets", r.ToOffsets)
	text("settings", r.Settings)
	same(f, "rows", "UInt64", uint64(r.Rows))
	same(f, "scores", "UInt64", uint64(r.Scores))
	same(f, "refused", "UInt64", uint64(r.Refused))
	same(f, "elapsed_ns", "Int64", r.Elapsed)
	text("who", r.Who)
	text("detail", r.Detail)
	return s.small(ctx, "replays", f)
}

// Replays returns the states of a pipeline's replay, oldest first.
func (s *Store) Rescorings(ctx context.Context, pipeline, run string) (out []Rescoring, err error) {
	err = s.scan(ctx, `SELECT time, run, pipeline, state, version, asked_from, asked_to, from_time, to_time, topic, from_offsets, to_offsets, settings, rows, scores, refused,
		elapsed_ns, who, detail FROM replays WHERE pipeline = {pipeline:String} AND run = {run:String} ORDER BY time, state = 'finished'`, func(rows driver.Rows) error {
		var r Rescoring
		var at, from, to time.Time
		var n, scores, refused uint64
		err := rows.Scan(&at, &r.Run, &r.Pipeline, &r.State, &r.Version, &r.AskedFrom, &r.AskedTo, &from, &to, &r.Topic, &r.FromOffsets, &r.ToOffsets, &r.Settings,
			&n, &scores, &refused, &r.Elapsed, &r.Who, &r.Detail)
		r.Time, r.From, r.To = at.UnixNano(), from.UnixNano(), to.UnixNano()
		r.Rows, r.Scores, r.Refused = int64(n), int64(scores), int64(refused)
		out = append(out, r)
		return err
	}, ch.Named("pipeline", pipeline), ch.Named("run", run))
	if err != nil {
		return nil, fmt.Errorf("read the states of the replay %s: %w", run, explain(err))
	}
	return out, nil
}

// PipelineNewest returns the newest event time of a pipeline's readings, Unix nanoseconds, and false where it has none.
func (s *Store) PipelineNewest(ctx context.Context, pipeline string) (ns int64, ok bool, err error) {
	var rows uint64
	var newest time.Time
	err = s.owner.QueryRow(ch.Context(ctx, ch.WithParameters(ch.Parameters{"pipeline": escape(pipeline)})),
		"SELECT sum(rows), max(newest) FROM lag WHERE pipeline = {pipeline:String}").Scan(&rows, &newest)
	if err != nil {
		return 0, false, fmt.Errorf("ask for the newest reading of %s: %w", pipeline, explain(err))
	}
	return newest.UnixNano(), rows > 0, nil
}
