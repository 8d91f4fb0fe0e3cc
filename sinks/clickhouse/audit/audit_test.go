package audit

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"andon/event"
	"andon/sinks/clickhouse"
	"andon/sinks/clickhouse/engine"
)

// The test program is also the program that hosts the server.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "engine" {
		os.Exit(engine.Child(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// world is a server with andon's tables.
type world struct {
	*clickhouse.Store
	owner driver.Conn
}

func newWorld(t *testing.T) *world {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	cfg := engine.Default()
	cfg.Library = filepath.Join(filepath.Dir(file), "../../../lib/libchdb.so")
	if _, err := os.Stat(cfg.Library); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: run make deps", err)
		}
		t.Skipf("%v: run make deps", err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	e := engine.New(cfg, t.TempDir(), []string{exe, "engine"}, quiet, nil)
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	s, err := clickhouse.Open(t.Context(), clickhouse.Default(), e.Endpoint, quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := e.Endpoint()
	owner, err := ch.Open(&ch.Options{Addr: []string{at.Native}, Auth: ch.Auth{Database: "andon", Username: at.Owner.User, Password: at.Owner.Password}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = owner.Close() })
	return &world{s, owner}
}

func (w *world) do(t *testing.T, sql string) {
	t.Helper()
	if err := w.owner.Exec(ch.Context(t.Context(), ch.WithSettings(ch.Settings{"mutations_sync": 1})), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// fill stores n records of a partition in blocks: every tenth is a dead letter, every seventh a duplicate, each other one has a score.
func (w *world) fill(t *testing.T, pipeline string, partition int32, n int64) {
	t.Helper()
	for first := int64(0); first < n; first += 1000 {
		b := &event.Block{Pipeline: pipeline, Topic: pipeline + ".in", Partition: partition, First: first, Next: min(first+1000, n)}
		b.Readings.Signals = []string{"a"}
		for o := b.First; o < b.Next; o++ {
			at := event.Position{Topic: b.Topic, Partition: partition, Offset: o}
			asset, when := fmt.Sprint("asset-", o%7), o/7*int64(time.Minute)
			switch {
			case o%10 == 9:
				b.DeadLetters = append(b.DeadLetters, event.DeadLetter{Record: event.Record{Position: at}, Pipeline: pipeline, Reason: event.ReasonLate})
			case o%7 == 6:
				b.Readings.Append(&event.Row{Offset: o, Asset: asset, Time: when, Values: []float64{1}}, event.StatusDuplicate)
			default:
				b.Readings.Append(&event.Row{Offset: o, Asset: asset, Time: when, Values: []float64{1}}, event.StatusOK)
				b.Scores = append(b.Scores, event.Score{Pipeline: pipeline, Asset: asset, Start: when, End: when + 1, Position: at})
			}
		}
		if err := w.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

// summary is what tests compare: one line a partition.
func summary(all []*Partition) string {
	var lines []string
	for _, p := range all {
		dead := uint64(0)
		for _, n := range p.Dead {
			dead += n
		}
		line := fmt.Sprintf("%s/%d %d-%d ok %d duplicate %d labels %d dead %d scores %d", p.Topic, p.Partition, p.First, p.Last, p.OK, p.Duplicate, p.Labels, dead, p.Scores)
		if p.Missing+p.NoRecord > 0 {
			line += fmt.Sprintf(" missing %d %v no record %d", p.Missing, p.Gaps, p.NoRecord)
		}
		if p.Doubles > 0 {
			line += fmt.Sprintf(" doubles %d %v", p.Doubles, p.Twice)
		}
		if p.Fault != "" {
			line += " fault " + p.Fault
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func (w *world) audit(t *testing.T, o Options) []*Partition {
	t.Helper()
	all, err := Run(t.Context(), w.QueryParams, o)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
	}
}

func TestAudit(t *testing.T) {
	w := newWorld(t)
	w.fill(t, "clean", 0, 5000)
	w.fill(t, "clean", 1, 1)
	w.fill(t, "broken", 0, 3000)
	w.fill(t, "broken", 3, 2500)

	clean := "clean.in/0 0-4999 ok 3857 duplicate 643 labels 0 dead 500 scores 3857\nclean.in/1 0-0 ok 1 duplicate 0 labels 0 dead 0 scores 1"
	all := w.audit(t, Options{Pipelines: []string{"clean"}})
	equal(t, "a clean pipeline", summary(all), clean)
	equal(t, "its first fault", First(all), "")
	broken := "broken.in/0 0-2999 ok 2314 duplicate 386 labels 0 dead 300 scores 2314\nbroken.in/3 0-2499 ok 1928 duplicate 322 labels 0 dead 250 scores 1928"
	equal(t, "all pipelines", summary(w.audit(t, Options{})), broken+"\n"+clean)

	// Every kind of fault, and things that look like one.
	for _, sql := range []string{
		"ALTER TABLE readings DELETE WHERE pipeline = 'broken' AND _partition = 3 AND _offset IN (10, 11, 12, 20, 700)",
		"ALTER TABLE deadletters DELETE WHERE pipeline = 'broken' AND _partition = 3 AND _offset = 19",
	} {
		w.do(t, sql)
	}
	all = w.audit(t, Options{Pipelines: []string{"broken"}, List: 10})
	equal(t, "gaps", summary(all[1:]), "broken.in/3 0-2499 ok 1924 duplicate 321 labels 0 dead 249 scores 1928 missing 6 [{10 13} {19 21} {700 701}] no record 0")
	equal(t, "the first fault", First(all), "gap: broken broken.in/3@10-13: 3 offsets are in none of readings, frames, labels and deadletters")

	for _, sql := range []string{
		"INSERT INTO readings SELECT * FROM readings WHERE pipeline = 'broken' AND _partition = 0 AND _offset BETWEEN 100 AND 102",
		"INSERT INTO readings SELECT * FROM readings WHERE pipeline = 'broken' AND _partition = 0 AND _offset = 101",
		"INSERT INTO scores SELECT * FROM scores WHERE pipeline = 'broken' AND _partition = 0 AND _offset = 70",
		"INSERT INTO deadletters SELECT * FROM deadletters WHERE pipeline = 'broken' AND _partition = 0 AND _offset = 29",
		"INSERT INTO deadletters (pipeline, reason, detail, time, key, value, headers, _topic, _partition, _offset, _stored) SELECT pipeline, 'malformed', detail, time, key, value, headers, _topic, _partition, 200, _stored FROM deadletters WHERE pipeline = 'broken' AND _partition = 0 AND _offset = 29 LIMIT 1",
		// A score that was refused is a dead letter beside its reading, and a record may have rows of several assets.
		"INSERT INTO deadletters (pipeline, reason, detail, time, key, value, headers, _topic, _partition, _offset, _stored) SELECT pipeline, 'refused', detail, time, key, value, headers, _topic, _partition, 300, _stored FROM deadletters WHERE pipeline = 'broken' AND _partition = 0 AND _offset = 29 LIMIT 1",
		"INSERT INTO readings SELECT pipeline, concat(asset, '-b'), time, signals, values, status, _topic, _partition, _offset, _stored FROM readings WHERE pipeline = 'broken' AND _partition = 0 AND _offset = 400",
	} {
		w.do(t, sql)
	}
	all = w.audit(t, Options{Pipelines: []string{"broken"}, List: 10})
	equal(t, "doubles", summary(all[:1]), "broken.in/0 0-2999 ok 2320 duplicate 386 labels 0 dead 303 scores 2315 doubles 8 "+
		"[{29 2 dead letters, late} {100 2 readings of asset-2 at 1970-01-01 00:14:00.000000} {101 4 readings of asset-3 at 1970-01-01 00:14:00.000000} "+
		"{102 2 readings of asset-4 at 1970-01-01 00:14:00.000000} {200 in readings and in deadletters} {70 2 scores of asset-0 at 1970-01-01 00:10:00.000000}]")
	equal(t, "the first fault", First(all), "double: broken broken.in/0@29: 2 dead letters, late")
	if n := len(w.audit(t, Options{Pipelines: []string{"broken"}, List: 2})[0].Twice); n != 2 {
		t.Errorf("%d doubles are named, not 2", n)
	}

	// Windows of x are closed by records of its own, but for one that closed when x was forgotten and then again, which is as it should be.
	b := &event.Block{Pipeline: "ends", Topic: "ends.in", Next: 100}
	b.Readings.Signals, b.Features.Names = []string{"a"}, []string{"a_mean"}
	for o := range int64(100) {
		b.Readings.Append(&event.Row{Offset: o, Asset: []string{"x", "y"}[o%2], Time: o * 1e9, Values: []float64{1}}, event.StatusOK)
		switch {
		case o == 41:
			b.Features.Append("x", 40e9, 50e9, o)
		case o%10 == 0:
			b.Features.Append("x", o*1e9, (o+10)*1e9, o)
		}
	}
	if err := w.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	w.do(t, "ALTER TABLE features DELETE WHERE pipeline = 'ends' AND _offset = 40")
	w.do(t, "INSERT INTO features SELECT pipeline, asset, start, end, names, values, _topic, _partition, 44, _stored FROM features WHERE pipeline = 'ends' AND _offset = 41")
	const ends = "ends.in/0 0-99 ok 100 duplicate 0 labels 0 dead 0 scores 0"
	all = w.audit(t, Options{Pipelines: []string{"ends"}})
	equal(t, "windows", summary(all), ends)
	if all[0].Features != 11 {
		t.Errorf("%d windows are counted, not 11", all[0].Features)
	}
	w.do(t, "INSERT INTO features SELECT * FROM features WHERE pipeline = 'ends' AND _offset = 10")
	w.do(t, "INSERT INTO features SELECT pipeline, asset, start, end, names, values, _topic, _partition, 33, _stored FROM features WHERE pipeline = 'ends' AND _offset = 30")
	equal(t, "doubled windows", summary(w.audit(t, Options{Pipelines: []string{"ends"}, List: 10})), ends+
		" doubles 2 [{10 2 features of x at 1970-01-01 00:00:20.000000} {33 2 features of x at 1970-01-01 00:00:40.000000}]")

	if _, err := Run(t.Context(), w.QueryParams, Options{Pipelines: []string{"nothing"}}); err == nil || !strings.Contains(err.Error(), `no rows of a pipeline "nothing"; it has of [broken clean ends]`) {
		t.Errorf("an unknown pipeline: %v", err)
	}
}

func TestLabels(t *testing.T) {
	w := newWorld(t)
	for first := int64(0); first < 40; first += 10 {
		b := &event.Block{Pipeline: LabelsPipeline, Topic: "truth", First: first, Next: first + 10}
		for o := b.First; o < b.Next; o++ {
			at := event.Position{Topic: b.Topic, Offset: o}
			if o%10 == 3 {
				b.DeadLetters = append(b.DeadLetters, event.DeadLetter{Record: event.Record{Position: at}, Pipeline: LabelsPipeline, Reason: event.ReasonMalformed})
				continue
			}
			b.Labels = append(b.Labels, event.Label{Position: at, Pipeline: "compressors", Asset: "x", Time: o, Kind: event.KindFailure})
		}
		if err := w.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "labels", summary(w.audit(t, Options{})), "truth/0 0-39 ok 0 duplicate 0 labels 36 dead 4 scores 0")
	w.do(t, "INSERT INTO labels SELECT * FROM labels WHERE _offset = 5")
	w.do(t, "ALTER TABLE labels DELETE WHERE _offset = 6")
	equal(t, "a gap and a double", summary(w.audit(t, Options{})),
		"truth/0 0-39 ok 0 duplicate 0 labels 36 dead 4 scores 0 missing 1 [{6 7}] no record 0 doubles 1 [{5 2 labels of x at 1970-01-01 00:00:00.000000}]")
}

// fakeLog is a log that holds records at some offsets only.
func fakeLog(x Extent, holds func(int64) bool) *Log {
	return &Log{
		Extents: func(context.Context, string, string) (map[int32]Extent, error) { return map[int32]Extent{0: x}, nil },
		Records: func(_ context.Context, _ string, _ int32, ranges []Range, f func(int64)) error {
			for _, r := range ranges {
				for o := max(r.First, x.Start); o < r.Next; o++ {
					if holds(o) {
						f(o)
					}
				}
			}
			return nil
		},
	}
}

func TestLog(t *testing.T) {
	w := newWorld(t)
	w.fill(t, "p", 0, 2000)
	always := func(int64) bool { return true }
	check := func(what string, log *Log, want string) {
		t.Helper()
		equal(t, what, summary(w.audit(t, Options{Log: log, List: 4})), want)
	}
	const rows = "ok 1543 duplicate 257 labels 0 dead 200 scores 1543"
	check("all handled", fakeLog(Extent{0, 2000, 2000}, always), "p.in/0 0-1999 "+rows)
	check("records wait", fakeLog(Extent{0, 9000, 2000}, always), "p.in/0 0-1999 "+rows)
	check("the log has forgotten", fakeLog(Extent{1500, 2000, 2000}, always), "p.in/0 0-1999 "+rows)
	check("committed and not stored", fakeLog(Extent{0, 2005, 2005}, always), "p.in/0 0-1999 "+rows+" missing 5 [{2000 2005}] no record 0")
	check("the end holds no record", fakeLog(Extent{0, 2005, 2005}, func(o int64) bool { return o < 2000 }), "p.in/0 0-1999 "+rows+" missing 0 [] no record 5")
	check("stored and not committed", fakeLog(Extent{0, 2000, 1000}, always), "p.in/0 0-999 ok 772 duplicate 128 labels 0 dead 100 scores 772")
	check("another log", fakeLog(Extent{0, 100, 100}, always),
		"p.in/0 0-99 ok 77 duplicate 13 labels 0 dead 10 scores 77 fault ClickHouse holds offset 1999, and the log ends at 100: the topic was made anew, or its broker lost records")
	check("nothing stored", &Log{Extents: func(_ context.Context, _, topic string) (map[int32]Extent, error) {
		return map[int32]Extent{0: {0, 2000, 2000}, 1: {5, 9, 8}, 2: {0, 7, -1}}, nil
	}, Records: fakeLog(Extent{}, always).Records}, "p.in/0 0-1999 "+rows+
		"\np.in/1 -1--1 ok 0 duplicate 0 labels 0 dead 0 scores 0 missing 3 [{5 8}] no record 0\np.in/2 -1--1 ok 0 duplicate 0 labels 0 dead 0 scores 0")

	w.do(t, "ALTER TABLE readings DELETE WHERE _offset < 5 OR _offset IN (40, 41, 42, 43, 44, 45)")
	check("markers and losses", fakeLog(Extent{2, 2000, 2000}, func(o int64) bool { return o != 3 && o != 42 && o != 43 }),
		"p.in/0 5-1999 ok 1533 duplicate 256 labels 0 dead 200 scores 1541 missing 6 [{2 3} {4 5} {40 42} {44 46}] no record 3")
	check("a gap before the log", fakeLog(Extent{43, 2000, 2000}, func(o int64) bool { return o != 44 }),
		"p.in/0 5-1999 ok 1533 duplicate 256 labels 0 dead 200 scores 1538 missing 5 [{40 43} {43 44} {45 46}] no record 1")
}

// A block is stored table by table; what is not there yet of the last one is no loss, unless it does not come.
func TestWhileRunning(t *testing.T) {
	w := newWorld(t)
	w.fill(t, "p", 0, 1000)
	half := func(first int64, dead bool) {
		b := &event.Block{Pipeline: "p", Topic: "p.in", First: first, Next: first + 100}
		b.Readings.Signals = []string{"a"}
		for o := b.First; o < b.Next; o++ {
			if o%10 == 4 {
				b.DeadLetters = append(b.DeadLetters, event.DeadLetter{Record: event.Record{Position: event.Position{Topic: b.Topic, Offset: o}}, Pipeline: "p", Reason: event.ReasonLate})
				continue
			}
			b.Readings.Append(&event.Row{Offset: o, Asset: "x", Time: o, Values: []float64{1}}, event.StatusOK)
		}
		if !dead {
			b.DeadLetters = nil
		}
		if err := w.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	half(1000, false)
	asked := 0
	ask := func(ctx context.Context, sql string, params map[string]string, limit int) (*event.Table, error) {
		if strings.Contains(sql, "'readings' AS source") {
			if asked++; asked == 5 { // while it waits
				half(1000, true)
				half(1100, false)
			}
		}
		return w.QueryParams(ctx, sql, params, limit)
	}
	all, err := Run(t.Context(), ask, Options{Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "a block came while we looked", summary(all), "p.in/0 0-1099 ok 862 duplicate 128 labels 0 dead 110 scores 772")
	all = w.audit(t, Options{Wait: 10 * time.Millisecond})
	if all[0].Missing != 10 || First(all) != "gap: p p.in/0@1104-1105: 1 offsets are in none of readings, frames, labels and deadletters" {
		t.Errorf("a block that stays torn: %s; %s", summary(all), First(all))
	}
}

// What the tables have dropped by age is not missing.
func TestForgotten(t *testing.T) {
	w := newWorld(t)
	w.fill(t, "p", 0, 3000)
	w.do(t, "CREATE TABLE old AS readings")
	w.do(t, "INSERT INTO old SELECT pipeline, asset, time, signals, values, status, _topic, _partition, _offset, if(_offset < 2000, _stored - INTERVAL 40 DAY, _stored) FROM readings")
	w.do(t, "TRUNCATE TABLE readings")
	w.do(t, "INSERT INTO readings SELECT * FROM old")
	w.do(t, "ALTER TABLE deadletters DELETE WHERE _offset < 2000")
	equal(t, "dead letters are kept for 30 days", summary(w.audit(t, Options{})), "p.in/0 2000-2999 ok 771 duplicate 129 labels 0 dead 100 scores 771")
	w.do(t, "ALTER TABLE deadletters REMOVE TTL")
	if all := w.audit(t, Options{}); all[0].Missing != 200 {
		t.Errorf("without an age: %s", summary(all))
	}
	equal(t, "since an hour", summary(w.audit(t, Options{Since: time.Hour})), "p.in/0 2000-2999 ok 771 duplicate 129 labels 0 dead 100 scores 771")
}

// Large makes ANDON_AUDIT_ROWS rows and tells how long each question takes.
func TestLarge(t *testing.T) {
	n, err := strconv.ParseInt(os.Getenv("ANDON_AUDIT_ROWS"), 10, 64)
	if err != nil {
		t.Skip("set ANDON_AUDIT_ROWS to a number of rows")
	}
	w := newWorld(t)
	for from := int64(0); from < n; from += 5_000_000 {
		rows := fmt.Sprintf("FROM numbers(%d, %d)", from, min(5_000_000, n-from))
		w.do(t, "INSERT INTO readings (pipeline, asset, time, signals, values, status, _topic, _partition, _offset) SELECT 'p', concat('asset-', toString(intDiv(number, 4) % 1000)), "+
			"toDateTime64(intDiv(number, 4000), 6), 'a', [1.], 'ok', 'in', number % 4, intDiv(number, 4) "+rows)
		w.do(t, "INSERT INTO scores (pipeline, asset, start, end, value, _topic, _partition, _offset) SELECT 'p', concat('asset-', toString(intDiv(number, 4) % 1000)), "+
			"toDateTime64(intDiv(number, 4000), 6), toDateTime64(intDiv(number, 4000) + 1, 6), 1, 'in', number % 4, intDiv(number, 4) "+rows)
	}
	ask := func(ctx context.Context, sql string, params map[string]string, limit int) (*event.Table, error) {
		begin := time.Now()
		defer func() {
			t.Logf("%8v  %.90s", time.Since(begin).Round(time.Millisecond), strings.Join(strings.Fields(sql), " "))
		}()
		return w.QueryParams(ctx, sql, params, limit)
	}
	for _, plant := range []string{"", fmt.Sprintf("ALTER TABLE readings DELETE WHERE _offset = %d AND _partition = 2", n/9),
		fmt.Sprintf("INSERT INTO readings SELECT * FROM readings WHERE _offset = %d AND _partition = 1", n/7)} {
		if plant != "" {
			w.do(t, plant)
		}
		begin := time.Now()
		all, err := Run(t.Context(), ask, Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v in all\n%s", time.Since(begin), summary(all))
	}
}

func TestShare(t *testing.T) {
	parts := []*Partition{{Partition: 0, Examined: Range{5, 10}}, {Partition: 1}, {Partition: 2, Examined: Range{0, 2*offsetsAtOnce + 3}}, {Partition: 3, Examined: Range{1, 2}}}
	var got []string
	if err := share(parts, func(some []*Partition, ranges []Range) error {
		line := ""
		for i, p := range some {
			line += fmt.Sprint(p.Partition, ranges[i], " ")
		}
		got = append(got, line)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	equal(t, "shares", strings.Join(got, "\n"), "0 {5 10} \n2 {0 20000000} \n2 {20000000 40000000} \n2 {40000000 40000003} 3 {1 2} ")
}

// What the rules of a source leave out is accounted for, and counted apart.
func TestFilteredRowsAreCovered(t *testing.T) {
	w := newWorld(t)
	b := &event.Block{Pipeline: "p", Topic: "p.in", First: 0, Next: 100, Readings: event.Readings{Signals: []string{"a"}}}
	for o := range int64(100) {
		status := event.StatusOK
		if o%4 == 0 {
			status = event.StatusFiltered
		}
		b.Readings.Append(&event.Row{Offset: o, Asset: "x", Time: o, Values: []float64{1}}, status)
	}
	if err := w.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	all := w.audit(t, Options{})
	if len(all) != 1 || !all[0].Clean() || all[0].OK != 75 || all[0].Filtered != 25 {
		t.Fatalf("%s, filtered %d", summary(all), all[0].Filtered)
	}
	if n, err := w.Count(t.Context(), "p"); err != nil || n != 75 {
		t.Errorf("%d rows count for training, %v", n, err)
	}
	w.do(t, "ALTER TABLE readings DELETE WHERE _offset = 8")
	equal(t, "a lost filtered row", First(w.audit(t, Options{})), "gap: p p.in/0@8-9: 1 offsets are in none of readings, frames, labels and deadletters")
}

// count stores n records of a partition in counted blocks of 100: every tenth is a dead letter, every seventh a duplicate.
func (w *world) count(t *testing.T, pipeline string, from, to int64) {
	t.Helper()
	for first := from; first < to; first += 100 {
		b := &event.Block{Pipeline: pipeline, Topic: pipeline + ".in", First: first, Next: min(first+100, to), Counted: true}
		for o := b.First; o < b.Next; o++ {
			switch {
			case o%10 == 9:
				b.DeadLetters = append(b.DeadLetters, event.DeadLetter{Record: event.Record{Position: event.Position{Topic: b.Topic, Offset: o}}, Pipeline: pipeline, Reason: event.ReasonLate})
			case o%7 == 6:
				b.Tally.Add(event.StatusDuplicate, o)
			case o%11 == 5:
				b.Tally.Add(event.StatusFiltered, o)
			default:
				b.Tally.Add(event.StatusOK, o)
			}
		}
		for range 2 { // once more is dropped
			if err := w.Write(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A pipeline that does not store its readings is proved from the ranges and counts of its blocks.
func TestCountedBlocks(t *testing.T) {
	w := newWorld(t)
	w.count(t, "c", 0, 1000)
	w.fill(t, "m", 0, 1000) // stored one by one first, counted later
	w.count(t, "m", 1000, 2000)
	check := func(what, pipeline, want string) {
		t.Helper()
		all := w.audit(t, Options{Pipelines: []string{pipeline}, List: 3})
		equal(t, what, summary(all), want)
		if (First(all) == "") != all[0].Clean() {
			t.Errorf("%s: first fault %q", what, First(all))
		}
	}
	clean := "c.in/0 0-999 ok 702 duplicate 128 labels 0 dead 100 scores 0"
	check("counted", "c", clean)
	all := w.audit(t, Options{Pipelines: []string{"c"}})
	if all[0].Filtered != 70 {
		t.Errorf("filtered %d", all[0].Filtered)
	}
	check("stored, then counted", "m", "m.in/0 0-1999 ok 1473 duplicate 257 labels 0 dead 200 scores 772")
	handled, _, err := w.held(t, "c", 50, 250)
	if err != nil || len(handled) != 200 || handled[0] != 50 || handled[199] != 249 {
		t.Errorf("held: %v, %v", handled, err)
	}

	w.do(t, "CREATE TABLE saved ENGINE = MergeTree ORDER BY first AS SELECT * FROM handled")
	again := func() {
		w.do(t, "TRUNCATE TABLE handled")
		w.do(t, "INSERT INTO handled SELECT * FROM saved")
	}
	w.do(t, "ALTER TABLE handled DELETE WHERE pipeline = 'c' AND first = 300")
	check("a lost block", "c", "c.in/0 0-999 ok 633 duplicate 114 labels 0 dead 100 scores 0 missing 90 [{300 309} {310 319} {320 329}] no record 0")
	again()
	w.do(t, "INSERT INTO handled SELECT pipeline, 350, 450, ok, duplicate, filtered, labels, dead, newest, _topic, _partition, _stored FROM handled WHERE pipeline = 'c' AND first = 300")
	check("blocks that overlap", "c", "c.in/0 0-999 ok 771 duplicate 142 labels 0 dead 100 scores 0 doubles 100 [{0 blocks of handled overlap by 100 offsets within 0-1000}]")
	again()
	w.do(t, "ALTER TABLE handled UPDATE ok = ok - 3 WHERE pipeline = 'c' AND first = 500")
	check("records that were not counted", "c", "c.in/0 0-999 ok 699 duplicate 128 labels 0 dead 100 scores 0 missing 3 [{500 600}] no record 0")
	log := &Log{
		Extents: func(context.Context, string, string) (map[int32]Extent, error) {
			return map[int32]Extent{0: {Start: 0, End: 1000, Committed: 1000}}, nil
		},
		Records: func(_ context.Context, _ string, _ int32, ranges []Range, f func(int64)) error {
			for _, r := range ranges {
				for o := r.First; o < r.Next; o++ {
					if o != 510 && o != 520 { // markers
						f(o)
					}
				}
			}
			return nil
		},
	}
	equal(t, "by the log", summary(w.audit(t, Options{Pipelines: []string{"c"}, List: 3, Log: log})), "c.in/0 0-999 ok 699 duplicate 128 labels 0 dead 100 scores 0 missing 1 [{500 600}] no record 2")
	again()
	w.do(t, "ALTER TABLE deadletters DELETE WHERE pipeline = 'c' AND _offset = 619")
	check("a lost dead letter", "c", "c.in/0 0-999 ok 702 duplicate 128 labels 0 dead 99 scores 0 missing 1 [] no record 0 fault of 100 dead letters of 0-1000 that handled counts, 1 are not in deadletters")
	w.do(t, "INSERT INTO deadletters SELECT * FROM deadletters WHERE pipeline = 'm' AND _offset IN (1009, 1019)")
	check("dead letters twice", "m", "m.in/0 0-1999 ok 1473 duplicate 257 labels 0 dead 202 scores 772 doubles 2 [{1009 2 dead letters, late} {1019 2 dead letters, late}]")
	w.do(t, "ALTER TABLE deadletters DELETE WHERE pipeline = 'm' AND _offset >= 1000")
	w.do(t, "INSERT INTO readings SELECT pipeline, asset, time, signals, values, status, _topic, _partition, 1500, _stored FROM readings WHERE pipeline = 'm' AND _offset = 0")
	if all := w.audit(t, Options{Pipelines: []string{"m"}}); all[0].Doubles != 1 || all[0].Twice[0].What != "in readings and counted in handled" || all[0].Missing != 100 {
		t.Errorf("in both: %s", summary(all))
	}
}

func (w *world) held(t *testing.T, pipeline string, first, next int64) (handled, scored []int64, err error) {
	t.Helper()
	handled, err = w.HeldOffsets(t.Context(), "handled", pipeline, pipeline+".in", 0, first, next)
	return handled, nil, err
}

// A frame accounts for its offset, scored or not; one that is broken is a dead letter, too.
func TestFrames(t *testing.T) {
	w := newWorld(t)
	for first := int64(0); first < 40; first += 10 {
		b := &event.Block{Pipeline: "gate", Topic: "gate.in", First: first, Next: first + 10}
		for o := b.First; o < b.Next; o++ {
			at := event.Position{Topic: b.Topic, Offset: o}
			letter := event.DeadLetter{Record: event.Record{Position: at}, Pipeline: b.Pipeline, Reason: event.ReasonMalformed}
			s := event.Sight{Pipeline: b.Pipeline, Camera: "dock", Captured: o, ScoredAt: o, Status: event.SightScored, Position: at}
			switch o % 10 {
			case 3:
				b.DeadLetters = append(b.DeadLetters, letter)
				continue
			case 5:
				s.Status, letter.Reason = event.SightBroken, event.ReasonBroken
				b.DeadLetters = append(b.DeadLetters, letter)
			case 7:
				s.Status = event.SightBusy
			}
			b.Sights = append(b.Sights, s)
		}
		if err := w.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	all := w.audit(t, Options{})
	equal(t, "frames", summary(all), "gate.in/0 0-39 ok 0 duplicate 0 labels 0 dead 8 scores 0")
	if all[0].Frames != 36 || First(all) != "" {
		t.Errorf("%d frames, %s", all[0].Frames, First(all))
	}
	w.do(t, "INSERT INTO frames SELECT * FROM frames WHERE _offset = 8")
	w.do(t, "ALTER TABLE frames DELETE WHERE _offset IN (17, 18)")
	w.do(t, "INSERT INTO deadletters (pipeline, reason, _topic, _partition, _offset) VALUES ('gate', 'late', 'gate.in', 0, 21)")
	equal(t, "a gap and doubles", summary(w.audit(t, Options{List: 5})), "gate.in/0 0-39 ok 0 duplicate 0 labels 0 dead 9 scores 0 missing 2 [{17 19}] no record 0 "+
		"doubles 2 [{8 2 frames of dock at 1970-01-01 00:00:00.000000} {21 in frames and in deadletters}]")
}
