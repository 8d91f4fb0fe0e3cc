package clickhouse

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
)

func TestViews(t *testing.T) {
	e := ownEngine(t)
	s, _ := openStore(t, e)
	pos := func(o int64) event.Position { return event.Position{Topic: "fleet", Offset: o} }
	score := func(asset string, end, offset int64, risk float32, version string) event.Score {
		return event.Score{Verdict: event.Verdict{Value: 10 * risk, Risk: risk}, Pipeline: "p", Asset: asset, Start: origin + (end-30)*hour, End: origin + end*hour,
			Version: version, Position: pos(offset), Latency: int64(offset) * 1e6, ScoredAt: time.Now().UnixNano()}
	}
	b := &event.Block{Pipeline: "p", Topic: "fleet", Next: 10}
	b.Readings.Signals = []string{"a", "b"}
	for i, asset := range []string{"x", "y", "x", "z", "x"} {
		status := event.StatusOK
		if i == 4 {
			status = event.StatusDuplicate
		}
		b.Readings.Append(&event.Row{Asset: asset, Time: origin + int64(i)*hour, Offset: int64(i), Values: []float64{float64(i), math.NaN()}}, status)
	}
	b.Scores = []event.Score{score("x", 1, 0, 0.9, "one"), score("y", 1, 1, 0.2, "one"), score("x", 3, 2, 0.5, "one"), score("z", 1, 3, 0.7, "two"), score("x", 2, 4, 0.95, "two")}
	b.DeadLetters = []event.DeadLetter{
		{Pipeline: "p", Reason: event.ReasonLate, Detail: "two hours", Record: event.Record{Position: pos(5)}},
		{Pipeline: "p", Reason: event.ReasonMalformed, Detail: "no time", Record: event.Record{Position: pos(6)}},
		{Pipeline: "p", Reason: event.ReasonLate, Detail: "two hours", Record: event.Record{Position: pos(7)}}}
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteModel(t.Context(), Model{Time: origin, Pipeline: "p", Version: "one", Task: "remaining-life", Unit: "cycles", Network: "gru",
		Metrics: map[string]float64{"rmse": 12.5, "mae": math.NaN()}, Lineage: `{"seed":1}`, Who: "trainer", Why: "first"}); err != nil {
		t.Fatal(err)
	}

	for round := range 3 {
		equal(t, "latest_scores", ask(t, s, "SELECT asset, end, start, value, risk, version, latency_ms, _topic, _partition, _offset FROM latest_scores WHERE pipeline = 'p' ORDER BY asset"),
			`x 2020-01-01T03:00:00Z 2019-12-30T21:00:00Z 5 0.5 one 2 fleet 0 2
y 2020-01-01T01:00:00Z 2019-12-30T19:00:00Z 2 0.2 one 1 fleet 0 1
z 2020-01-01T01:00:00Z 2019-12-30T19:00:00Z 7 0.7 two 3 fleet 0 3`)
		equal(t, "top_assets", ask(t, s, "SELECT rank, asset, risk FROM top_assets WHERE pipeline = 'p' AND rank <= 2 ORDER BY rank"), "1 z 0.7\n2 x 0.5")
		equal(t, "score_history", ask(t, s, "SELECT time, risk, version FROM score_history WHERE pipeline = 'p' AND asset = 'x' ORDER BY time"),
			"2020-01-01T01:00:00Z 0.9 one\n2020-01-01T02:00:00Z 0.95 two\n2020-01-01T03:00:00Z 0.5 one")
		equal(t, "score_latency", ask(t, s, "SELECT sum(scores), max(max_ms) FROM score_latency WHERE pipeline = 'p'"), "5 4")
		equal(t, "rows_per_minute", ask(t, s, "SELECT sum(rows), sum(duplicates) FROM rows_per_minute WHERE pipeline = 'p'"), "5 1")
		equal(t, "lag", ask(t, s, "SELECT pipeline, _topic, _partition, rows, last_offset, newest, idle_seconds < 60, event_lag_seconds > 100000000 FROM lag"),
			"p fleet 0 5 4 2020-01-01T04:00:00Z 1 1")
		equal(t, "readings_long", ask(t, s, "SELECT time, signal, value FROM readings_long WHERE pipeline = 'p' AND asset = 'x' AND status = 'ok' ORDER BY time"),
			"2020-01-01T00:00:00Z a 0\n2020-01-01T02:00:00Z a 2")
		equal(t, "readings_map", ask(t, s, "SELECT values['a'], values FROM readings_map WHERE asset = 'z'"), `3 {"a":3,"b":null}`)
		equal(t, "deadletters_by_reason", ask(t, s, "SELECT reason, records, last_detail, last_record.3 IN (5, 6, 7) FROM deadletters_by_reason WHERE pipeline = 'p' ORDER BY reason"),
			"late 2 two hours 1\nmalformed 1 no time 1")
		equal(t, "models_in_use", ask(t, s, "SELECT version, scores, first_scored <= last_scored, max_latency_ms, unit, network FROM models_in_use WHERE pipeline = 'p' ORDER BY version"),
			"one 3 1 2 cycles gru\ntwo 2 1 4  ")
		switch round {
		case 0: // from here on with a merged part, which has the projections, and a new one, which has not
			do(t, s, "OPTIMIZE TABLE readings FINAL", "OPTIMIZE TABLE scores FINAL")
			var names []string
			if err := s.owner.QueryRow(t.Context(), "SELECT arraySort(groupUniqArray(table || '.' || name)) FROM system.projection_parts WHERE active AND rows > 0").Scan(&names); err != nil {
				t.Fatal(err)
			}
			equal(t, "projections", fmt.Sprint(names), "[readings.by_minute scores.by_minute scores.latest]")
		case 1:
			again := &event.Block{Pipeline: "p", Topic: "fleet", First: 10, Next: 20}
			again.Scores = []event.Score{score("y", 1, 10, 0.2, "one")}
			again.Scores[0].Latency = 1e6
			if err := s.Write(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			equal(t, "same end, later offset", ask(t, s, "SELECT _offset FROM latest_scores WHERE asset = 'y'"), "10")
			do(t, s, "ALTER TABLE scores DELETE WHERE _offset = 10 SETTINGS mutations_sync = 1")
		}
	}
	for view, projection := range map[string]string{"latest_scores": "latest", "top_assets": "latest", "rows_per_minute": "by_minute", "lag": "by_minute", "models_in_use": "by_minute"} {
		if plan := ask(t, s, "EXPLAIN SELECT * FROM "+view+" WHERE pipeline = 'p'"); !strings.Contains(plan, "ReadFromMergeTree ("+projection+")") {
			t.Errorf("%s does not read the projection %s:\n%s", view, projection, plan)
		}
	}
	if plan := ask(t, s, "EXPLAIN indexes = 1 SELECT * FROM readings_long WHERE pipeline = 'p' AND asset = 'x' AND time > '2020-01-01'"); !strings.Contains(plan, "asset in [x, x]") && !strings.Contains(plan, "asset in ['x', 'x']") {
		t.Errorf("readings_long does not use the key:\n%s", plan)
	}
	if n, err := s.Count(t.Context(), "p"); n != 4 || err != nil {
		t.Errorf("count %d, %v", n, err)
	}
	equal(t, "models", ask(t, s, "SELECT time, version, alias, metrics, lineage, who, why FROM models"), `2020-01-01T00:00:00Z one  {"mae":null,"rmse":12.5} {"seed":1} trainer first`)
}

func TestTrainings(t *testing.T) {
	s := sharedStore(t)
	var want []event.Training
	for i := range 5 {
		step := event.Training{Run: "r", Pipeline: "trained", State: event.TrainingEpoch, Epoch: i, Epochs: 5, Loss: 1 / float64(i+1), ValLoss: 2, RowsPerSecond: 1e5, Rows: 1000,
			Elapsed: int64(i) * 1e9, Time: origin + int64(i)*1e9, Version: "v", Detail: "it's going",
			Worker: "w1", CPUSeconds: 1.5, GPUSeconds: math.NaN(), Joules: 7, Energy: "processors"}
		want = append(want, step)
		if err := s.WriteTraining(t.Context(), step); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Trainings(t.Context(), "trained", 3)
	equal(t, "the last three", fmt.Sprint(got, err), fmt.Sprint(want[2:], nil))
	if all, err := s.Trainings(t.Context(), "", 1000); err != nil || len(all) < 5 {
		t.Errorf("all: %d, %v", len(all), err)
	}
}

func TestRecordMetrics(t *testing.T) {
	s := sharedStore(t)
	reg := prometheus.NewRegistry()
	rows := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_test_rows_total"}, []string{"table", "reason"})
	seconds := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "andon_test_seconds"})
	reg.MustRegister(rows, seconds, prometheus.NewGauge(prometheus.GaugeOpts{Name: "go_test"}))
	rows.WithLabelValues("a", "it's").Add(3)
	seconds.Observe(0.5)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.RecordMetrics(ctx, reg, 20*time.Millisecond) }()
	for ask(t, s, "SELECT count() FROM metrics WHERE name = 'andon_test_seconds_sum'") == "0" {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	equal(t, "metrics", ask(t, s, "SELECT DISTINCT name, labels, value FROM metrics WHERE name LIKE '%_test%' ORDER BY name"),
		`andon_test_rows_total {"reason":"it's","table":"a"} 3
andon_test_seconds_count {} 1
andon_test_seconds_sum {} 0.5`)
}

func TestCheck(t *testing.T) {
	e := ownEngine(t)
	s, _ := openStore(t, e)
	state := func() string {
		var out []string
		for _, f := range Check(t.Context(), Default(), e.Endpoint) {
			if f.Err != nil {
				out = append(out, f.What)
			}
		}
		return strings.Join(out, " ")
	}
	equal(t, "well", state(), "")
	do(t, s, "ALTER TABLE readings MODIFY SETTING non_replicated_deduplication_window = 0")
	equal(t, "no window", state(), "deduplication")
	do(t, s, "ALTER TABLE readings MODIFY SETTING non_replicated_deduplication_window = 100", "TRUNCATE TABLE migrations")
	equal(t, "no schema", state(), "schema")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	equal(t, "down", state(), "connection")
}

// Replicas that tell of the same event make one row of it.
func TestModelEventsOnce(t *testing.T) {
	s := sharedStore(t)
	m := Model{Time: 1_000_000_000, Pipeline: "told twice", Version: "0123456789ab", Who: "anna", Why: "first"}
	for range 2 {
		for _, alias := range []string{"", "champion", "shadow"} {
			m.Alias = alias
			if err := s.WriteModel(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.Time += 1_000_000 // back again later
	if err := s.WriteModel(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	table, err := s.Query(t.Context(), "SELECT alias, count() FROM models WHERE pipeline = 'told twice' GROUP BY alias ORDER BY alias", 10)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "rows", fmt.Sprint(table.Rows), "[[ 1] [champion 1] [shadow 2]]")
}
