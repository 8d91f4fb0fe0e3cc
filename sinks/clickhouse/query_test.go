package clickhouse

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"andon/event"
	"andon/sinks/clickhouse/engine"
)

func TestQueryValues(t *testing.T) {
	s := sharedStore(t)
	type M = []any
	value := func(expr string, want any) {
		t.Helper()
		table, err := s.Query(t.Context(), "SELECT "+expr, 10)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			return
		}
		got := table.Rows[0][0]
		if a, ok := got.(time.Time); ok {
			b, ok := want.(time.Time)
			if !ok || !a.Equal(b) {
				t.Errorf("%s is %v, want %v", expr, got, want)
			}
		} else if fmt.Sprintf("%T %#v", got, got) != fmt.Sprintf("%T %#v", want, want) {
			t.Errorf("%s is %#v (%T), want %#v (%T)", expr, got, got, want, want)
		}
		if _, err := json.Marshal(table); err != nil {
			t.Errorf("%s: %v", expr, err)
		}
	}
	value("1", uint64(1))
	value("-1", int64(-1))
	value("toUInt64(18446744073709551615)", uint64(math.MaxUint64))
	value("toInt256('-170141183460469231731687303715884105729')", "-170141183460469231731687303715884105729")
	value("true", true)
	value("0.1", 0.1)
	value("toFloat32(0.3)", 0.3)
	value("nan", nil)
	value("-inf", nil)
	value("NULL", nil)
	value("toNullable(7)", uint64(7))
	value("CAST(NULL AS Nullable(String))", nil)
	value("'it\\'s'", "it's")
	value("toLowCardinality('x')", "x")
	value("CAST('ok' AS Enum8('ok' = 1))", "ok")
	value("toFixedString('ab', 2)", "ab")
	value("toDecimal64(1.5, 3)", "1.5")
	value("toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')", "61f0c404-5cb3-11e7-907b-a6006ad3dba0")
	value("toIPv4('10.0.0.1')", "10.0.0.1")
	value("[1, 2]", M{uint64(1), uint64(2)})
	value("[nan, 1.5]", M{nil, 1.5})
	value("[toNullable('a'), NULL]", M{"a", nil})
	value("(1, 'a')", M{uint64(1), "a"})
	value("map('b', 1.5, 'a', nan)", `{"a":null,"b":1.5}`)
	value("CAST((1, 'x') AS Tuple(n UInt8, s String))", `{"n":1,"s":"x"}`)
	value("toDateTime64('2020-01-02 03:04:05.678901', 6, 'UTC')", time.Date(2020, 1, 2, 3, 4, 5, 678901000, time.UTC))
	value("toDate('2020-01-02')", time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC))
	value(`CAST('{"a":1}' AS JSON)`, `{"a":1}`)
	value("CAST(5::UInt64 AS Variant(String, UInt64))", uint64(5))
	value("CAST('d' AS Dynamic)", "d")
}

func TestQuery(t *testing.T) {
	s := sharedStore(t)
	table, err := s.Query(t.Context(), "SELECT number AS n, toString(number) AS s FROM numbers(100000)", 7)
	if err != nil || len(table.Rows) != 7 || !table.Truncated || table.Columns[1] != "s" || table.Types[0] != "UInt64" {
		t.Errorf("%+v, %v", table, err)
	}
	for sql, rows := range map[string]int{
		"SELECT number FROM numbers(7)": 7, "SELECT 1 WHERE 0": 0, "SELECT number FROM numbers(100) LIMIT 3;": 3, "SHOW TABLES FROM andon LIKE 'readings'": 1,
		"WITH x AS (SELECT number FROM numbers(1000)) SELECT count() FROM x": 1, "SELECT number FROM numbers(5) UNION ALL SELECT 1": 6,
		"SELECT count() FROM (SELECT * FROM numbers(50))": 1, "-- nothing\nSELECT 1 /* but this */": 1, "DESCRIBE TABLE trainings": 7, "SET max_threads = 1": 0,
	} {
		table, err := s.Query(t.Context(), sql, 7)
		if err != nil || len(table.Rows) != rows || table.Truncated != strings.HasPrefix(sql, "DESCRIBE") {
			t.Errorf("%s: %d rows, truncated %v, %v; want %d", sql, len(table.Rows), table.Truncated, err, rows)
		}
		if err == nil && sql != "SET max_threads = 1" && len(table.Columns) == 0 {
			t.Errorf("%s: no columns", sql)
		}
	}
	fails := func(sql string, want ...string) {
		t.Helper()
		table, err := s.Query(t.Context(), sql, 1000)
		if err == nil {
			t.Errorf("%s: %v", sql, table)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q", sql, err, w)
			}
		}
	}
	fails("SELEKT 1", "Syntax error")
	fails("SELECT nosuch FROM readings", "nosuch")
	fails("DROP TABLE readings", "privileges", "change nothing")
	fails("INSERT INTO labels (asset) SELECT 'x'", "privileges")
	fails("SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')", "privileges")
	fails("SELECT repeat('x', 1000000) FROM numbers(1000)", "64MiB", "query_memory")
	fails("SELECT throwIf(number = 500) FROM numbers(1000)", "throwIf")
	if table, err := s.Query(t.Context(), "SELECT 1", 10); err != nil || len(table.Rows) != 1 {
		t.Errorf("after all that: %v, %v", table, err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := s.Query(ctx, "SELECT sum(sleepEachRow(0.1)) FROM numbers(600) SETTINGS max_block_size = 1", 10); err == nil || !strings.Contains(err.Error(), "query_timeout") {
		t.Errorf("%v", err)
	}
}

func TestQueryParams(t *testing.T) {
	s := sharedStore(t)
	for _, v := range []string{"", "plain", "it's", `back\slash`, "tab\tnew\nline\rreturn", "nul\x00nul", `\N`, "ünïcode 車", "{x:String}", "'; DROP TABLE readings; --"} {
		table, err := s.QueryParams(t.Context(), "SELECT {x:String}, length({x:String})", map[string]string{"x": v}, 1)
		if err != nil || table.Rows[0][0] != v || table.Rows[0][1] != uint64(len(v)) {
			t.Errorf("%q came back as %v, %v", v, table, err)
		}
	}
	table, err := s.QueryParams(t.Context(), "SELECT {n:UInt32} + 1, {a:Array(String)}, {d:DateTime64(6, 'UTC')}",
		map[string]string{"n": "41", "a": "['x','y']", "d": "2020-01-02 03:04:05.000006"}, 1)
	if err != nil || table.Rows[0][0] != uint64(42) || fmt.Sprint(table.Rows[0][1]) != "[x y]" || table.Rows[0][2].(time.Time).UnixMicro() != 1577934245000006 {
		t.Errorf("%v, %v", table, err)
	}
	if _, err := s.QueryParams(t.Context(), "SELECT {n:UInt32}", map[string]string{"n": "many"}, 1); err == nil {
		t.Error("a parameter of another type was taken")
	}
	if _, err := s.QueryParams(t.Context(), "SELECT {n:UInt32}", nil, 1); err == nil {
		t.Error("a missing parameter was taken")
	}
}

// One path for both: the embedded server by a DSN, as an operator's own would be.
func TestDSN(t *testing.T) {
	e := sharedEngine(t)
	sharedStore(t)
	at := e.Endpoint()
	cfg := Default()
	cfg.DSN = Secret(fmt.Sprintf("clickhouse://%s:%s@%s", at.Owner.User, at.Owner.Password, at.Native))
	s, err := Open(t.Context(), cfg, nil, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := makeBlock("by DSN", 0, 0, 500, 5, fourteen...)
	for range 2 {
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "rows", ask(t, s, fmt.Sprintf(copies, "by DSN")), "deadletters 5 5\nlabels 1 1\nreadings 495 495\nscores 495 495")
	if _, err := s.Query(t.Context(), "DROP TABLE readings", 1); err == nil || !strings.Contains(err.Error(), "readonly") {
		t.Errorf("as owner, read-only: %v", err)
	}

	for dsn, want := range map[Secret]string{
		Secret(fmt.Sprintf("clickhouse://andon:letmein@%s", at.Native)):                                "password",
		"clickhouse://andon:letmein@127.0.0.1:1":                                                       "cannot be reached",
		Secret(fmt.Sprintf("clickhouse://andon:letmein@%s/andon", at.HTTP)):                            "native port",
		"http://andon:letmein@127.0.0.1:8123":                                                          "native port",
		"clickhouse://andon:letmein@127.0.0.1:9000/andon?secure=nonsense":                              "not a DSN",
		"clickhouse://andon:letm%ein@127.0.0.1:9000/":                                                  "not a DSN",
		Secret(fmt.Sprintf("clickhouse://reader:%s@%s", at.Reader.Password, at.Native)) + "/elsewhere": "elsewhere",
	} {
		cfg.DSN = dsn
		s, err := Open(t.Context(), cfg, nil, slog.New(slog.DiscardHandler), nil)
		if err == nil {
			_ = s.Close()
			t.Errorf("%s: opened", dsn)
		} else if text := err.Error(); !strings.Contains(text, want) || strings.Contains(text, "letm") || strings.Contains(text, at.Reader.Password) {
			t.Errorf("%s: %v, want %q and no password", dsn, err, want)
		}
	}
}

func TestReadings(t *testing.T) {
	s := sharedStore(t)
	p := "to read"
	b := &event.Block{Pipeline: p, Topic: "t", Next: 1000}
	b.Readings.Signals = []string{"a", "b"}
	add := func(asset string, at, offset int64, status event.Status, values ...float64) {
		b.Readings.Append(&event.Row{Asset: asset, Time: at, Offset: offset, Values: values}, status)
	}
	add("y", 3000, 0, event.StatusOK, 1, 2)
	add("x", 2000, 1, event.StatusOK, 3, math.NaN())
	add("x", 1000, 2, event.StatusOK, 4, 5)
	add("x", 1000, 3, event.StatusDuplicate, 40, 50)
	add("x", 3000, 4, event.StatusOK, 6, 7)
	add("o'k\\", 1000, 5, event.StatusOK, 8, 9)
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	read := func(signals, assets []string, from, until int64) string {
		t.Helper()
		var out strings.Builder
		query, err := s.Readings(t.Context(), p, signals, assets, from, until, func(asset string, rows []event.Row) error {
			out.WriteString(asset)
			for _, r := range rows {
				fmt.Fprintf(&out, " %d@%d%v", r.Offset, r.Time, r.Values)
			}
			out.WriteString("; ")
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if table, err := s.Query(t.Context(), query, 0); err != nil || len(table.Rows) < strings.Count(out.String(), "@") {
			t.Errorf("asked again: %v, %v", table, err)
		}
		return out.String()
	}
	equal(t, "all", read([]string{"a", "b"}, nil, 0, 0), `o'k\ 5@1000[8 9]; x 2@1000[4 5] 1@2000[3 NaN] 4@3000[6 7]; y 0@3000[1 2]; `)
	equal(t, "other order, an unknown signal", read([]string{"b", "c", "a"}, []string{"x"}, 0, 0), `x 2@1000[5 NaN 4] 1@2000[NaN NaN 3] 4@3000[7 NaN 6]; `)
	equal(t, "a stretch of time", read([]string{"a"}, nil, 1001, 3000), `x 1@2000[3]; `)
	equal(t, "no assets", read([]string{"a"}, []string{}, 0, 0), ``)
	equal(t, "strange name", read([]string{"a"}, []string{"o'k\\", "nobody"}, 0, 0), `o'k\ 5@1000[8]; `)

	// The same rows once more, as after a window of tokens that was too short, and a layout of signals that changed.
	do(t, s, "INSERT INTO readings (pipeline, asset, time, signals, values, status, _topic, _partition, _offset) SELECT pipeline, asset, time, signals, values, status, _topic, _partition, _offset FROM readings WHERE pipeline = 'to read'")
	later := &event.Block{Pipeline: p, Topic: "t", First: 1000, Next: 2000}
	later.Readings.Signals = []string{"c", "b", "a"}
	later.Readings.Append(&event.Row{Asset: "x", Time: 4000, Offset: 1000, Values: []float64{100, 11, 10}}, event.StatusOK)
	if err := s.Write(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	equal(t, "doubled, and two layouts", read([]string{"a", "c"}, []string{"x"}, 0, 0), `x 2@1000[4 NaN] 1@2000[3 NaN] 4@3000[6 NaN] 1000@4000[10 100]; `)

	span := func(assets []string, from, until int64) string {
		spans, err := s.Spans(t.Context(), p, assets, from, until)
		return fmt.Sprint(spans, err)
	}
	equal(t, "spans of all", span(nil, 0, 0), "[{t 0 0 1001}] <nil>")
	equal(t, "spans of one asset and stretch", span([]string{"x"}, 1001, 4000), "[{t 0 1 5}] <nil>")
	equal(t, "spans of nothing", span([]string{"nobody"}, 0, 0), "[] <nil>")

	n := 0
	_, err := s.Readings(t.Context(), p, []string{"a"}, nil, 0, 0, func(string, []event.Row) error { n++; return io.ErrClosedPipe })
	if n != 1 || err == nil || !strings.Contains(err.Error(), io.ErrClosedPipe.Error()) {
		t.Errorf("called %d times, %v", n, err)
	}
	if _, err := s.Readings(t.Context(), p, nil, nil, 0, 0, nil); err == nil {
		t.Error("no signals: no error")
	}
	equal(t, "a pipeline that is not there", fmt.Sprint(s.Count(t.Context(), "nobody")), "0 <nil>")
}

func TestReadingsOfManyAssets(t *testing.T) {
	s := sharedStore(t)
	b := makeBlock("many to read", 0, 0, 30000, 3000, "a")
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	var assets []string
	for i := range 20000 {
		assets = append(assets, fmt.Sprintf("asset-%03d", i))
	}
	rows, last := 0, ""
	_, err := s.Readings(t.Context(), "many to read", []string{"a"}, assets, 0, 0, func(asset string, of []event.Row) error {
		if asset <= last {
			t.Errorf("%s after %s", asset, last)
		}
		last = asset
		rows += len(of)
		return nil
	})
	if err != nil || rows != 29700 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestHeld(t *testing.T) {
	s := sharedStore(t)
	b := makeBlock("held", 4, 1000, 250, 5, "a")
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	held := func(table string, first, next int64) string {
		t.Helper()
		h, err := s.Held(t.Context(), table, "held", "fleet", 4, first, next)
		if err != nil {
			t.Error(err)
		}
		return fmt.Sprint(h)
	}
	equal(t, "whole", held("readings", 1000, 1250), "{248 248 1000 1249}")
	equal(t, "part", held("scores", 900, 1010), "{10 10 1000 1009}")
	equal(t, "none", held("scores", 0, 1000), "{0 0 0 0}")
	equal(t, "letters", held("deadletters", 1000, 2000), "{2 2 1099 1199}")
	equal(t, "labels", held("labels", 1000, 2000), "{1 1 1249 1249}")
	offsets, err := s.HeldOffsets(t.Context(), "deadletters", "held", "fleet", 4, 0, 1<<40)
	equal(t, "offsets", fmt.Sprint(offsets, err), "[1099 1199] <nil>")
	if _, err := s.Held(t.Context(), "trainings", "held", "fleet", 4, 0, 1); err == nil {
		t.Error("trainings hold offsets")
	}
}

var _ = engine.Database
