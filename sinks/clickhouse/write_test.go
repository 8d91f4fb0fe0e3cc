package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"andon/event"
)

func TestRoundTrip(t *testing.T) {
	s := sharedStore(t)
	at := origin - 70*365*24*hour + 123_456_789 // 1950, with nanoseconds
	pos := func(o int64) event.Position { return event.Position{Topic: "t", Partition: 3, Offset: o} }
	b := &event.Block{Pipeline: "round trip", Topic: "t", Partition: 3, First: 5, Next: 1 << 40}
	b.Readings.Signals = []string{"a", "b'\\", "ü"}
	b.Readings.Append(&event.Row{Asset: "x", Time: at, Offset: 5, Values: []float64{1, math.NaN(), math.Inf(1)}}, event.StatusOK)
	b.Readings.Append(&event.Row{Asset: "y\x00\xff", Time: origin, Offset: 6, Values: []float64{-0.1, math.MaxFloat64, 5e-324}}, event.StatusDuplicate)
	b.Scores = []event.Score{{Verdict: event.Verdict{Value: -1.5, Risk: 0.3, Run: event.Run{Batch: 65536, Queue: math.MaxInt64, Compute: 7}}, Pipeline: b.Pipeline, Asset: "x", Start: at, End: at + 1000, Version: "v",
		Position: pos(5), Latency: math.MaxInt64, ScoredAt: origin}}
	b.Features.Names = []string{"a_mean", "b_slope"}
	copy(b.Features.Append("z", origin, origin+60e9, 5), []float64{1.5, math.NaN()})
	copy(b.Features.Append("x", at, at+1000, 6), []float64{-2, 5e-324})
	b.Labels = []event.Label{{Position: pos(7), Pipeline: "round trip labels", Asset: "x", Time: at, Kind: "failure", Value: math.NaN()},
		{Position: pos(8), Pipeline: "round trip labels", Asset: "", Time: origin, Kind: "hours", Value: 12}}
	b.DeadLetters = []event.DeadLetter{
		{Pipeline: b.Pipeline, Reason: event.ReasonLate, Detail: "d'\n", Record: event.Record{Position: pos(9), Time: at, Key: nil, Value: []byte("v\x00\xff"),
			Headers: []event.Header{{Key: "k", Value: []byte("1")}, {Key: "k", Value: []byte("2")}}}},
		{Pipeline: b.Pipeline, Reason: event.ReasonFuture, Record: event.Record{Position: pos(1<<40 - 1)}}}
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	equal(t, "readings", ask(t, s, `SELECT asset = 'x' ? 'x' : hex(asset), time, signals, values, isNaN(values[2]), isInfinite(values[3]), status, _topic, _partition, _offset,
		abs(dateDiff('second', _stored, now64(3))) < 60 FROM readings WHERE pipeline = 'round trip' ORDER BY _offset`),
		`x 1950-01-18T00:00:00.123456Z a,b'\,ü [1 <nil> <nil>] 1 1 ok t 3 5 1
7900FF 2020-01-01T00:00:00Z a,b'\,ü [-0.1 1.7976931348623157e+308 5e-324] 0 0 duplicate t 3 6 1`)
	equal(t, "scores", ask(t, s, `SELECT asset, start, end, value, risk, version, latency_ns, scored_at, batch, queue_ns, compute_ns, _topic, _partition, _offset FROM scores WHERE pipeline = 'round trip'`),
		`x 1950-01-18T00:00:00.123456Z 1950-01-18T00:00:00.123457Z -1.5 0.3 v 9223372036854775807 2020-01-01T00:00:00Z 65536 9223372036854775807 7 t 3 5`)
	equal(t, "features", ask(t, s, `SELECT asset, start, end, names, values, _topic, _partition, _offset FROM features WHERE pipeline = 'round trip' ORDER BY _offset`),
		`z 2020-01-01T00:00:00Z 2020-01-01T00:01:00Z a_mean,b_slope [1.5 <nil>] t 3 5
x 1950-01-18T00:00:00.123456Z 1950-01-18T00:00:00.123457Z a_mean,b_slope [-2 5e-324] t 3 6`)
	equal(t, "features_long", ask(t, s, `SELECT asset, signal, function, value FROM features_long WHERE pipeline = 'round trip' ORDER BY _offset, name`),
		"z a mean 1.5\nx a mean -2\nx b slope 5e-324")
	equal(t, "features_map", ask(t, s, `SELECT values['a_mean'] FROM features_map WHERE pipeline = 'round trip' ORDER BY _offset`), "1.5\n-2")
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	equal(t, "written again", ask(t, s, `SELECT count() FROM features WHERE pipeline = 'round trip'`), "2")
	equal(t, "labels", ask(t, s, `SELECT asset, time, label, value, _topic, _partition, _offset FROM labels WHERE pipeline = 'round trip labels' ORDER BY _offset`),
		`x 1950-01-18T00:00:00.123456Z failure <nil> t 3 7
 2020-01-01T00:00:00Z hours 12 t 3 8`)
	equal(t, "dead letters", ask(t, s, `SELECT reason, hex(detail), time, key, hex(value), headers.key, headers.value, _offset FROM deadletters WHERE pipeline = 'round trip' ORDER BY _offset`),
		`late 64270A 1950-01-18T00:00:00.123456Z  7600FF [k k] [1 2] 9
future  1970-01-01T00:00:00Z   [] [] 1099511627775`)

	labels, err := s.Labels(t.Context(), "round trip labels", "")
	if err != nil || len(labels) != 2 || labels[0].Time != at/1000*1000-1000 && labels[0].Time != at/1000*1000 || !math.IsNaN(labels[0].Value) || labels[1].Value != 12 ||
		labels[1].Position != pos(8) || labels[1].Kind != "hours" {
		t.Errorf("labels %+v, %v", labels, err)
	}
	if labels, err = s.Labels(t.Context(), "round trip labels", "failure"); err != nil || len(labels) != 1 {
		t.Errorf("labels of one kind: %+v, %v", labels, err)
	}
}

// Dictionaries change the width of their keys with their size.
func TestManyAssets(t *testing.T) {
	s := sharedStore(t)
	for _, assets := range []int{1, 255, 256, 257, 65536, 65537} {
		b := &event.Block{Pipeline: fmt.Sprintf("assets %d", assets), Topic: "t", Next: int64(assets)}
		b.Readings.Signals = []string{"a"}
		for i := range assets {
			b.Readings.Append(&event.Row{Asset: fmt.Sprint(i), Time: origin, Offset: int64(i), Values: []float64{float64(i)}}, event.StatusOK)
		}
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		equal(t, b.Pipeline, ask(t, s, `SELECT count(), uniqExact(asset), countIf(toFloat64(asset) = values[1] AND _offset = values[1]) FROM readings WHERE pipeline = '`+b.Pipeline+`'`),
			fmt.Sprint(assets, assets, assets))
	}
}

const copies = `SELECT * FROM (SELECT 'readings', count(), uniqExact(_partition, _offset) FROM readings WHERE pipeline = '%[1]s'
	UNION ALL SELECT 'scores', count(), uniqExact(_partition, _offset) FROM scores WHERE pipeline = '%[1]s'
	UNION ALL SELECT 'labels', count(), uniqExact(_partition, _offset) FROM labels WHERE pipeline = '%[1]s'
	UNION ALL SELECT 'deadletters', count(), uniqExact(_partition, _offset) FROM deadletters WHERE pipeline = '%[1]s') ORDER BY 1`

func TestWriteAgain(t *testing.T) {
	s := sharedStore(t)
	do(t, s, "CREATE TABLE again (asset String, n UInt64) ENGINE = SummingMergeTree ORDER BY asset SETTINGS non_replicated_deduplication_window = 100",
		"CREATE MATERIALIZED VIEW again_view TO again AS SELECT asset, count() AS n FROM readings WHERE pipeline = 'again' GROUP BY asset")
	t.Cleanup(func() {
		_ = s.owner.Exec(context.Background(), "DROP TABLE again_view")
		_ = s.owner.Exec(context.Background(), "DROP TABLE again")
	})
	blocks := []*event.Block{makeBlock("again", 1, 0, 1000, 10, "a", "b"), makeBlock("again", 1, 1000, 500, 10, "a", "b"), makeBlock("again", 2, 0, 1000, 10, "a", "b")}
	for round := range 3 {
		for _, b := range blocks {
			if round == 2 { // other bytes, same rows: what a second run of the same range gives
				for i := range b.Scores {
					b.Scores[i].Latency++
				}
			}
			if err := s.Write(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
	}
	equal(t, "rows and different offsets", ask(t, s, fmt.Sprintf(copies, "again")), "deadletters 25 25\nlabels 3 3\nreadings 2475 2475\nscores 2475 2475")
	equal(t, "in the materialized view", ask(t, s, "SELECT sum(n) FROM again"), "2475")
	equal(t, "latest", ask(t, s, "SELECT count(), sum(_offset) FROM latest_scores WHERE pipeline = 'again'"), fmt.Sprint(10, 1490+1491+1492+1493+1494+1495+1496+1497+1498+1489))
	equal(t, "rows per minute", ask(t, s, "SELECT sum(rows), sum(duplicates) FROM rows_per_minute WHERE pipeline = 'again'"), "2475 0")
	if n, err := s.Count(t.Context(), "again"); n != 2475 || err != nil {
		t.Errorf("count %d, %v", n, err)
	}

	// Cut at another place it is another block: ClickHouse cannot know. Settle can.
	cut := makeBlock("again", 1, 500, 1500, 10, "a", "b")
	if err := s.Settle(t.Context(), cut); err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(t.Context(), cut); err != nil {
		t.Fatal(err)
	}
	equal(t, "settled", ask(t, s, fmt.Sprintf(copies, "again")), "deadletters 30 30\nlabels 4 4\nreadings 2970 2970\nscores 2970 2970")
}

// Without a token, equal rows are rows of their own.
func TestEqualRowsByHand(t *testing.T) {
	s := sharedStore(t)
	for range 2 {
		do(t, s, "INSERT INTO labels (pipeline, asset, time, label, value) VALUES ('by hand', 'x', '2020-01-01 00:00:00', 'failure', 1)")
	}
	equal(t, "rows", ask(t, s, "SELECT count() FROM labels WHERE pipeline = 'by hand'"), "2")
	for range 2 {
		if err := s.WriteTraining(t.Context(), event.Training{Run: "by hand", Pipeline: "by hand", State: event.TrainingEpoch, Loss: math.NaN()}); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "trainings", ask(t, s, "SELECT count() FROM trainings WHERE pipeline = 'by hand'"), "2")
}

// A block larger than the server's own block size is still one block, so its token holds for all of it.
func TestLargeBlock(t *testing.T) {
	if testing.Short() {
		t.Skip("1.2 million rows")
	}
	s := sharedStore(t)
	n := 1_200_000
	b := &event.Block{Pipeline: "large", Topic: "t", Next: int64(n)}
	b.Readings.Signals = []string{"a"}
	for i := range n {
		b.Readings.Append(&event.Row{Asset: "x", Time: origin + int64(i)*1000, Offset: int64(i), Values: []float64{1}}, event.StatusOK)
	}
	for range 2 {
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "rows", ask(t, s, "SELECT count(), uniqExact(_part) FROM readings WHERE pipeline = 'large'"), fmt.Sprint(n, 1))
}

// A block that straddles two partitions of a table is stored, and dropped, in both.
func TestPartitionBorder(t *testing.T) {
	s := sharedStore(t)
	b := makeBlock("border", 0, 100_000_000-50, 100, 5, "a")
	for range 3 {
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "rows", ask(t, s, "SELECT count(), uniqExact(_offset), uniqExact(_partition_id) FROM readings WHERE pipeline = 'border'"), "99 99 2")
}

func TestConcurrentWriters(t *testing.T) {
	s := sharedStore(t)
	var wg sync.WaitGroup
	for p := range int32(12) {
		wg.Go(func() {
			for k := range int64(5) {
				b := makeBlock("concurrent", p, k*100, 100, 10, "a")
				for range 2 {
					if err := s.Write(t.Context(), b); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	equal(t, "rows", ask(t, s, fmt.Sprintf(copies, "concurrent")), "deadletters 60 60\nlabels 60 60\nreadings 5940 5940\nscores 5940 5940")
}

func TestFaultyBlocks(t *testing.T) {
	s := sharedStore(t)
	bad := func(want string, change func(b *event.Block)) {
		t.Helper()
		b := makeBlock("faulty", 0, 0, 10, 2, "a", "b")
		change(b)
		if err := s.Write(t.Context(), b); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "faulty fleet/0@0-") {
			t.Errorf("%v, want %q", err, want)
		}
	}
	bad("comma", func(b *event.Block) { b.Readings.Signals[1] = "a,b" })
	bad("values", func(b *event.Block) { b.Readings.Values = b.Readings.Values[1:] })
	bad("status", func(b *event.Block) { b.Readings.Status[3] = 9 })
	bad("offset", func(b *event.Block) { b.Next = 5 })
	bad("out of order", func(b *event.Block) { b.Scores[0].Offset = 3 })
}

func TestWriteGivesUpWithItsContext(t *testing.T) {
	e := ownEngine(t)
	s, l := openStore(t, e)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, errors.New("the line is closing"))
	defer cancel()
	err := s.Write(ctx, makeBlock("gone", 0, 0, 10, 2, "a"))
	if err == nil || !strings.Contains(err.Error(), "the line is closing") || !strings.Contains(err.Error(), "gone fleet/0@0-10") {
		t.Errorf("%v", err)
	}
	if n := strings.Count(l.String(), "trying again"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, l)
	}
}

// A range that was stored in part, formed by other settings, is completed under the same token: what the table does not hold is added.
func TestWriteOtherRowsOfTheSameRange(t *testing.T) {
	s := sharedStore(t)
	whole := makeBlock("formed again", 0, 0, 90, 10, "a")
	without := func(offsets ...int64) *event.Block {
		b := *whole
		keep := func(o int64) bool { return !slices.Contains(offsets, o) }
		for _, t := range blockTables {
			switch part := t.pick(whole, func(i int) bool { return keep(t.offset(whole, i)) }); t.name {
			case "readings":
				b.Readings = part.Readings
			case "scores":
				b.Scores = part.Scores
			}
		}
		return &b
	}
	for _, step := range []struct {
		b    *event.Block
		want string
	}{
		{without(50, 51, 52), "deadletters 0 0\nlabels 1 1\nreadings 87 87\nscores 87 87"},
		{without(50, 51, 52), "deadletters 0 0\nlabels 1 1\nreadings 87 87\nscores 87 87"},
		{without(slices.DeleteFunc(offsets(0, 90), func(o int64) bool { return o == 51 })...), "deadletters 0 0\nlabels 1 1\nreadings 88 88\nscores 88 88"},
		{whole, "deadletters 0 0\nlabels 1 1\nreadings 90 90\nscores 90 90"},
		{whole, "deadletters 0 0\nlabels 1 1\nreadings 90 90\nscores 90 90"},
	} {
		if err := s.Write(t.Context(), step.b); err != nil {
			t.Fatal(err)
		}
		equal(t, "rows", ask(t, s, fmt.Sprintf(copies, "formed again")), step.want)
	}
}

func offsets(first, next int64) (all []int64) {
	for o := first; o < next; o++ {
		all = append(all, o)
	}
	return all
}
