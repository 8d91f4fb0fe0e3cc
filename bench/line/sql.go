package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"andon/event"
)

type sqlResult struct {
	Scores   int      `json:"scores"`
	Readings int      `json:"readings"`
	Blocks   int      `json:"blocks"`
	Load     string   `json:"load_average"`
	Answers  []answer `json:"answers"`
}

// answer is how long one question took, asked again and again.
type answer struct {
	Question string `json:"question"`
	// Busy tells that blocks were being stored meanwhile, as they are while the line runs.
	Busy   bool          `json:"busy"`
	Rows   int           `json:"rows"`
	First  time.Duration `json:"first_ns"`
	P50    time.Duration `json:"p50_ns"`
	P95    time.Duration `json:"p95_ns"`
	Most   time.Duration `json:"most_ns"`
	Within bool          `json:"within_goal"`
}

// goal is for a person who waits for a table.
const goal = 100 * time.Millisecond

// questions are those of every day, each of one or more statements.
var questions = []struct {
	name       string
	statements []string
}{
	{"top 10 assets by risk", []string{
		"SELECT rank, asset, risk, value, end, version FROM top_assets WHERE pipeline = 'compressors' ORDER BY rank LIMIT 10"}},
	{"score history of one asset", []string{
		"SELECT time, risk, value FROM score_history WHERE pipeline = 'compressors' AND asset = 'compressor-017' ORDER BY time"}},
	{"rows per minute and lag", []string{
		"SELECT minute, rows, duplicates FROM rows_per_minute WHERE pipeline = 'compressors' ORDER BY minute DESC LIMIT 60",
		"SELECT _topic, _partition, rows, last_offset, idle_seconds, event_lag_seconds FROM lag WHERE pipeline = 'compressors' ORDER BY _partition"}},
}

// The blocks of a line of four partitions whose blocks are stored once a second.
const (
	blockPartitions = 4
	blockCycles     = 40
)

// sql stores scores as the line does, and asks.
func (c *config) sql(ctx context.Context) (_ *sqlResult, err error) {
	h, err := c.open(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	s := &series{signals: c.demo.Source.Signals}
	r := &sqlResult{Load: loadAverage()}
	c.say("sql: storing %d scores", c.scores)
	for r.Scores < c.scores {
		b := s.next(blockCycles)
		if err := h.store.Write(ctx, b); err != nil {
			return nil, err
		}
		r.Scores, r.Readings, r.Blocks = r.Scores+len(b.Scores), r.Readings+b.Readings.Len(), r.Blocks+1
	}
	if err := h.rest(ctx); err != nil {
		return nil, err
	}
	for _, busy := range []bool{false, true} {
		if err := h.ask(ctx, c, r, s, busy); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// ask puts all questions in turn, again and again; busy, while a block a partition and second is stored.
func (h *house) ask(ctx context.Context, c *config, r *sqlResult, s *series, busy bool) (err error) {
	var storing sync.WaitGroup
	var failed error
	stop := make(chan struct{})
	defer func() {
		close(stop)
		storing.Wait()
		err = errors.Join(err, failed)
	}()
	if busy {
		storing.Go(func() {
			for failed == nil {
				select {
				case <-stop:
					return
				case <-time.After(time.Second / blockPartitions):
					failed = h.store.Write(ctx, s.next(blockCycles))
				}
			}
		})
	}
	times := make([][]time.Duration, len(questions))
	rows := make([]int, len(questions))
	for range c.answers {
		for q := range questions {
			begun := time.Now()
			for _, statement := range questions[q].statements {
				t, err := h.store.Query(ctx, statement, 10_000)
				if err != nil {
					return fmt.Errorf("%s: %w", questions[q].name, err)
				}
				rows[q] = len(t.Rows)
			}
			times[q] = append(times[q], time.Since(begun))
			if rows[q] == 0 {
				return fmt.Errorf("%s: the answer is empty", questions[q].name)
			}
		}
	}
	for q, all := range times {
		a := answer{Question: questions[q].name, Busy: busy, Rows: rows[q], First: all[0]}
		slices.Sort(all)
		a.P50, a.P95, a.Most = all[len(all)/2], all[len(all)*95/100], all[len(all)-1]
		a.Within = a.P95 < goal
		r.Answers = append(r.Answers, a)
	}
	return nil
}

// series makes the blocks of a fleet that runs on and on, partition after partition.
type series struct {
	signals []string
	block   int
	offsets [blockPartitions]int64
}

// next makes a block of so many cycles of a partition's assets, each with its score.
func (s *series) next(cycles int) *event.Block {
	partition := s.block % blockPartitions
	cycle := s.block / blockPartitions * cycles
	s.block++
	first := s.offsets[partition]
	b := &event.Block{Pipeline: "compressors", Topic: "fleet.compressors", Partition: int32(partition), First: first, Readings: event.Readings{Signals: s.signals}}
	now := time.Now().UnixNano()
	values := make([]float64, len(s.signals))
	next := first
	for k := range cycles {
		at := firstTime.Add(time.Duration(cycle+k) * time.Hour)
		for a := partition; a < assets; a += blockPartitions {
			for i := range values {
				values[i] = 600 + float64((a+i*7+k*3)%100)/10
			}
			row := event.Row{Offset: next, Asset: assetName(a), Time: at.UnixNano(), Values: values}
			b.Readings.Append(&row, event.StatusOK)
			life := float32((a*31+cycle+k)%125) + 0.5
			b.Scores = append(b.Scores, event.Score{Verdict: event.Verdict{Value: life, Risk: 1 - life/126}, Pipeline: b.Pipeline, Asset: row.Asset,
				Start: at.Add(-29 * time.Hour).UnixNano(), End: at.Add(time.Hour).UnixNano(), Version: "0123456789ab",
				Position: event.Position{Topic: b.Topic, Partition: b.Partition, Offset: next}, Latency: int64(2_000_000 + next%1000*1000), ScoredAt: now})
			next++
		}
	}
	b.Next, s.offsets[partition] = next, next
	return b
}

func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/1e6, 'f', 1, 64)
}
