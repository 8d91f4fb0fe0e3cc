package decode

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"andon/event"
)

func at(s string) int64 {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t.UnixNano()
}

// arrived is the timestamp of the records under test.
var arrived = at("2026-01-31T12:00:00Z")

func record(key, value string) *event.Record {
	return &event.Record{Position: event.Position{Topic: "t", Partition: 3, Offset: 41}, Time: arrived, Key: []byte(key), Value: []byte(value)}
}

func mustNew(t testing.TB, s Spec) Decoder {
	t.Helper()
	d, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWide(t *testing.T) {
	spec := Spec{Signals: []string{"a", "b", "deep"}, Fields: map[string]string{"deep": "motor.temp.c"}}
	key := spec
	key.Asset, key.Time = Key, Timestamp
	good := func(s Spec, value, asset, when string, want ...float64) {
		t.Helper()
		var b event.Batch
		if err := mustNew(t, s).Decode(record("key-9", value), &b); err != nil {
			t.Errorf("%s: %v", value, err)
			return
		}
		if len(b.Rows) != 1 || b.Rows[0].Asset != asset || b.Rows[0].Time != at(when) || b.Rows[0].Offset != 41 || len(b.Rows[0].Values) != len(want) {
			t.Errorf("%s: got %+v", value, b.Rows)
			return
		}
		for i, x := range b.Rows[0].Values {
			if math.Float64bits(x) != math.Float64bits(want[i]) && !(math.IsNaN(x) && math.IsNaN(want[i])) {
				t.Errorf("%s: value %d is %v, want %v", value, i, x, want[i])
			}
		}
	}
	no := math.NaN()
	const day = "2026-01-31T05:00:00Z"
	good(spec, `{"asset":"p","time":"2026-01-31T05:00:00Z","a":1.5,"b":-2e3}`, "p", day, 1.5, -2000, no)
	good(spec, ` { "b" : null , "time" : "2026-01-31T06:00:00+01:00" , "asset" : "p" , "x":{"a":[1,{}]} } `, "p", day, no, no, no)
	good(spec, `{"asset":17,"time":"2026-01-31t05:00:00.25z","a":true,"b":false}`, "17", "2026-01-31T05:00:00.25Z", 1, 0, no)
	good(spec, `{"asset":"p\u00e9\n","time":"2026-01-31T05:00:00Z","a":"12.25","b":"-0"}`, "pé\n", day, 12.25, math.Copysign(0, -1), no)
	good(spec, `{"asset":"p","time":"2026-01-31T05:00:00Z","a":1,"a":2,"a":3}`, "p", day, 3, no, no)
	good(spec, `{"asset":"p","time":"2026-01-31T05:00:00Z","motor":{"on":true,"temp":{"c":7}},"a":4}`, "p", day, 4, no, 7)
	good(spec, `{"asset":"p","time":"2026-01-31T05:00:00Z","motor.temp.c":8}`, "p", day, no, no, 8)
	good(spec, `{"asset":"p","time":"2026-01-31T05:00:00Z","a":1,"motor":{"temp":{"c":7}},"motor":{}}`, "p", day, 1, no, no)
	good(spec, `{"asset":"p","time":"2026-01-31T05:00:00Z","\u0061":9}`, "p", day, 9, no, no)
	good(key, `{"a":0.1}`, "key-9", "2026-01-31T12:00:00Z", 0.1, no, no)
	seconds := spec
	seconds.TimeUnit = UnitSeconds
	good(seconds, `{"asset":"p","time":1769835600,"a":1}`, "p", day, 1, no, no)
	good(seconds, `{"asset":"p","time":"1769835600.000000001","a":1}`, "p", "2026-01-31T05:00:00.000000001Z", 1, no, no)
	good(seconds, `{"asset":"p","time":1.7698356e9,"a":1}`, "p", day, 1, no, no)
	millis := spec
	millis.TimeUnit = UnitMilliseconds
	good(millis, `{"asset":"p","time":1769835600123.5,"a":1}`, "p", "2026-01-31T05:00:00.1235Z", 1, no, no)
	// Bounds are inclusive.
	good(spec, `{"asset":"p","time":"2000-01-01T00:00:00Z","a":1}`, "p", "2000-01-01T00:00:00Z", 1, no, no)
	good(spec, `{"asset":"p","time":"2026-01-31T13:00:00Z","a":1}`, "p", "2026-01-31T13:00:00Z", 1, no, no)

	bad := func(s Spec, value, reason, part string) {
		t.Helper()
		var b event.Batch
		err := mustNew(t, s).Decode(record("", value), &b)
		var rejection *Rejection
		if !errors.As(err, &rejection) || rejection.Reason != reason || !strings.Contains(rejection.Detail, part) || len(b.Rows) != 0 {
			t.Errorf("%.60s: got %v and %d rows, want %s with %q", value, err, len(b.Rows), reason, part)
		}
	}
	mal := event.ReasonMalformed
	bad(spec, ``, mal, "no value")
	bad(spec, `[]`, mal, `begins with "[]"`)
	bad(spec, "\x00\x00\x00\x00\x07abc", mal, "schema registry")
	bad(spec, `{"asset":"p"`, mal, "was it cut")
	bad(spec, `{"asset":"p",}`, mal, "byte 13")
	bad(spec, `{"asset":"p"} {}`, mal, "follows it at byte 14")
	bad(spec, `{"asset":nil}`, mal, "byte 9")
	bad(spec, `{"time":"2026-01-31T05:00:00Z","a":1}`, mal, `field "asset" is absent`)
	bad(spec, `{"asset":null,"time":"2026-01-31T05:00:00Z","a":1}`, mal, `field "asset" is null`)
	bad(spec, `{"asset":"","time":"2026-01-31T05:00:00Z","a":1}`, mal, `field "asset" is empty`)
	bad(spec, `{"asset":["p"],"time":"2026-01-31T05:00:00Z","a":1}`, mal, "holds an array")
	bad(spec, `{"asset":"`+strings.Repeat("x", 513)+`","time":"2026-01-31T05:00:00Z","a":1}`, mal, "513 bytes")
	bad(spec, "{\"asset\":\"p\xff\",\"time\":\"2026-01-31T05:00:00Z\",\"a\":1}", mal, "not UTF-8")
	bad(spec, `{"asset":"p","a":1}`, mal, `field "time", the event time, is absent`)
	bad(spec, `{"asset":"p","time":"yesterday","a":1}`, mal, `"yesterday" is not RFC 3339`)
	bad(spec, `{"asset":"p","time":1769835600,"a":1}`, mal, "set time_unit")
	bad(spec, `{"asset":"p","time":{},"a":1}`, mal, "holds an object")
	bad(spec, `{"asset":"p","time":"2026-01-31T05:00:00Z","c":1}`, mal, "none of the signals")
	bad(spec, `{"asset":"p","time":"2026-01-31T05:00:00Z","a":{}}`, mal, `field "a" holds an object`)
	bad(spec, `{"asset":"p","time":"2026-01-31T05:00:00Z","a":1e400}`, mal, "does not fit")
	bad(spec, `{"asset":"p","time":"2026-01-31T05:00:00Z","a":"NaN"}`, mal, `"NaN" is not a finite number`)
	bad(spec, `{"asset":"p","time":"2026-01-31T05:00:00Z","a":"-Infinity"}`, mal, "not a finite number")
	bad(spec, `{"asset":"p","time":"2026-01-31T05:00:00Z","a":"0x10"}`, mal, "not a finite number")
	bad(spec, `{"asset":"p","time":"2026-01-31T05:00:00Z","a":NaN}`, mal, "not JSON")
	bad(seconds, `{"asset":"p","time":99999999999999999999,"a":1}`, mal, "not a number of seconds")
	bad(key, `{"a":1}`, mal, "no key")
	bad(spec, `{"asset":"p","time":"1999-12-31T23:59:59.999999999Z","a":1}`, event.ReasonAncient, "before 2000-01-01")
	bad(seconds, `{"asset":"p","time":0,"a":1}`, event.ReasonAncient, "asset p: event time 1970")
	bad(spec, `{"asset":"p","time":"2026-01-31T13:00:00.000000001Z","a":1}`, event.ReasonFuture, "asset p")
}

func TestNarrow(t *testing.T) {
	d := mustNew(t, Spec{Shape: ShapeNarrow, Signals: []string{"a", "b"}, Fields: map[string]string{"b": "B-raw"}})
	var b event.Batch
	for _, v := range []string{
		`{"asset":"p","time":"2026-01-31T05:00:00Z","signal":"a","value":1.5}`,
		`{"asset":"p","time":"2026-01-31T05:00:00Z","signal":"B-raw","value":null}`,
		`{"asset":"p","time":"2026-01-31T05:00:00Z","signal":"other","value":"text"}`,
	} {
		if err := d.Decode(record("", v), &b); err != nil {
			t.Fatalf("%s: %v", v, err)
		}
	}
	if len(b.Rows) != 3 || b.Rows[0].Values[0] != 1.5 || !math.IsNaN(b.Rows[0].Values[1]) {
		t.Fatalf("rows %+v", b.Rows)
	}
	for _, r := range b.Rows[1:] {
		if !math.IsNaN(r.Values[0]) || !math.IsNaN(r.Values[1]) {
			t.Fatalf("row %+v: want no values", r)
		}
	}
	for v, part := range map[string]string{
		`{"asset":"p","time":"2026-01-31T05:00:00Z","value":1}`:                "signal",
		`{"asset":"p","time":"2026-01-31T05:00:00Z","signal":"a"}`:             `field "value"`,
		`{"asset":"p","time":"2026-01-31T05:00:00Z","signal":"a","value":"x"}`: "finite number",
		`{"asset":"p","time":"2026-01-31T05:00:00Z","signal":4,"value":1}`:     "not a string",
	} {
		if err := d.Decode(record("", v), &b); err == nil || !strings.Contains(err.Error(), part) || len(b.Rows) != 3 {
			t.Errorf("%s: %v, %d rows", v, err, len(b.Rows))
		}
	}
}

func TestLabels(t *testing.T) {
	d := mustNew(t, Spec{Shape: ShapeLabels})
	var b event.Batch
	if err := d.Decode(record("", `{"pipeline":"pumps","asset":"p","time":"2026-01-31T05:00:00Z","label":"failure"}`), &b); err != nil {
		t.Fatal(err)
	}
	if err := d.Decode(record("", `{"pipeline":"pumps","asset":"p","time":"2026-01-31T05:00:00Z","label":"life","value":12}`), &b); err != nil {
		t.Fatal(err)
	}
	first, second := b.Labels[0], b.Labels[1]
	if first.Pipeline != "pumps" || first.Asset != "p" || first.Kind != event.KindFailure || !math.IsNaN(first.Value) || first.Time != at("2026-01-31T05:00:00Z") ||
		first.Position != (event.Position{Topic: "t", Partition: 3, Offset: 41}) || second.Value != 12 {
		t.Fatalf("labels %+v", b.Labels)
	}
	if err := d.Decode(record("", `{"pipeline":"pumps","asset":"p","time":"2026-01-31T05:00:00Z"}`), &b); err == nil || !strings.Contains(err.Error(), `"label" is absent`) {
		t.Fatalf("without a label: %v", err)
	}
}

// All that a label may say, and what it may not.
func TestWholeLabels(t *testing.T) {
	d := mustNew(t, Spec{Shape: ShapeLabels})
	var b event.Batch
	good := func(value string, want event.Label) {
		t.Helper()
		b.Labels = b.Labels[:0]
		r := record("", value)
		if err := d.Decode(r, &b); err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		want.Position, want.Told = r.Position, r.Time
		got := b.Labels[0]
		if math.IsNaN(got.Value) && math.IsNaN(want.Value) {
			got.Value, want.Value = 0, 0
		}
		if got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", value, got, want)
		}
	}
	const head = `{"pipeline":"gate","asset":"cam-1","label":"helmet","time":"2026-01-31T05:00:00Z"`
	from := at("2026-01-31T05:00:00Z")
	good(head+`,"until":"2026-01-31T05:00:01.5Z","value":3,"weight":5,"golden":true,"withdrawn":false,"who":"mia","note":"seen from \"the\" stairs"}`,
		event.Label{Pipeline: "gate", Asset: "cam-1", Kind: "helmet", Time: from, Until: from + 1_500_000_000, Value: 3, Weight: 5, Golden: true, Who: "mia", Note: `seen from "the" stairs`})
	good(head+`,"box":[0.25, 0 ,1,0.5],"withdrawn":true,"until":null,"who":null}`,
		event.Label{Pipeline: "gate", Asset: "cam-1", Kind: "helmet", Time: from, Value: math.NaN(), Withdrawn: true, Box: event.Box{X0: 0.25, X1: 1, Y1: 0.5}})
	good(`{"pipeline":"gate","label":"missed","of":"fleet/3@77"}`, event.Label{Pipeline: "gate", Kind: "missed", Of: "fleet/3@77", Value: math.NaN()})
	good(head+`,"of":"fleet/3@77"}`, event.Label{Pipeline: "gate", Asset: "cam-1", Kind: "helmet", Time: from, Of: "fleet/3@77", Value: math.NaN()})

	for more, part := range map[string]string{
		`,"until":"2026-01-31T05:00:00Z"`: "not after the time",
		`,"until":"soon"`:                 `field "until"`,
		`,"box":[0,0,1]`:                  "corners",
		`,"box":[0,0,1,1,1]`:              "corners",
		`,"box":[0,0,1,"1"]`:              "corners",
		`,"box":[0.5,0,0.5,1]`:            "corners",
		`,"box":[0,0,1.5,1]`:              "corners",
		`,"box":{"x0":1}`:                 "corners",
		`,"weight":-1`:                    "between 0 and",
		`,"weight":1001`:                  "between 0 and",
		`,"golden":1`:                     "true or false",
		`,"withdrawn":"yes"`:              "true or false",
		`,"of":"77"`:                      `field "of"`,
		`,"who":""`:                       `field "who" is empty`,
		`,"note":"` + strings.Repeat("x", maxNote+1) + `"`: "at most",
	} {
		b.Labels = b.Labels[:0]
		if err := d.Decode(record("", head+more+"}"), &b); err == nil || !strings.Contains(err.Error(), part) || len(b.Labels) != 0 {
			t.Errorf("%s: %v, %d labels", more, err, len(b.Labels))
		}
	}
	for value, part := range map[string]string{
		`{"pipeline":"gate","label":"missed"}`:                                                        "is absent",
		`{"pipeline":"gate","label":"missed","of":"fleet/3@77","box":[0,0,1,1]}`:                      "beside",
		`{"pipeline":"gate","label":"missed","time":"2026-01-31T05:00:00Z"}`:                          `field "asset"`,
		`{"pipeline":"gate","asset":"a","label":"missed","time":"2026-03-31T05:00:00Z","of":"t/0@0"}`: "ahead",
	} {
		if err := d.Decode(record("", value), &b); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", value, err)
		}
	}
}

// A guessed key must not outlive a change of the fields' order, nor match a key that only begins alike.
func TestChangingOrder(t *testing.T) {
	d := mustNew(t, Spec{Signals: []string{"a", "ab"}, Time: Timestamp})
	for _, c := range []struct {
		value string
		a, ab float64
	}{
		{`{"asset":"p","a":1,"ab":2}`, 1, 2}, {`{"asset":"p","ab":3,"a":4}`, 4, 3}, {`{"asset":"p","x":0,"a":5,"ab":6}`, 5, 6},
		{`{"ab":7,"asset":"p","a":8}`, 8, 7}, {`{"asset":"p","a":9,"abc":0}`, 9, math.NaN()}, {`{"asset":"p","a":1,"ab":2}`, 1, 2},
	} {
		var b event.Batch
		if err := d.Decode(record("", c.value), &b); err != nil {
			t.Fatal(err)
		}
		if v := b.Rows[0].Values; v[0] != c.a || v[1] != c.ab && !math.IsNaN(c.ab) {
			t.Errorf("%s: %v", c.value, v)
		}
	}
}

func TestSpec(t *testing.T) {
	bad := func(s Spec, parts ...string) {
		t.Helper()
		_, err := New(s)
		for _, p := range parts {
			if err == nil || !strings.Contains(err.Error(), p) {
				t.Errorf("%+v: %v, want %q", s, err, p)
			}
		}
	}
	bad(Spec{}, "signals: name at least one")
	bad(Spec{Shape: "tall", TimeUnit: "days"}, `shape: "tall"`, `time_unit: "days"`)
	bad(Spec{Signals: []string{"a", "a"}}, "both read from")
	bad(Spec{Signals: []string{"a", "b"}, Fields: map[string]string{"b": "a", "c": "d"}}, "both read from", `fields: "c"`)
	bad(Spec{Signals: []string{"a"}, Time: Key, Asset: "$nope", MaxAhead: -1}, `time: "$key"`, `asset: "$nope"`, "max_ahead")
	bad(Spec{Shape: ShapeLabels, Signals: []string{"a"}}, "has none")
	bad(Spec{Signals: []string{"a"}, Earliest: time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC)}, "earliest")
}

func TestDepth(t *testing.T) {
	d := mustNew(t, Spec{Signals: []string{"a"}, Time: Timestamp})
	var b event.Batch
	nested := func(n int) string {
		return `{"asset":"p","a":1,"x":` + strings.Repeat(`[{"y":`, n/2) + "0" + strings.Repeat("}]", n/2) + `}`
	}
	if err := d.Decode(record("", nested(9998)), &b); err != nil {
		t.Errorf("depth 9999: %v", err)
	}
	if err := d.Decode(record("", nested(10002)), &b); err == nil {
		t.Error("depth 10003 was accepted")
	}
}

func TestNames(t *testing.T) {
	var n names
	for i := range maxNames + 10 {
		s, err := n.get([]byte("asset-"+strconv.Itoa(i)), "asset")
		if err != nil || s != "asset-"+strconv.Itoa(i) {
			t.Fatal(s, err)
		}
		if len(n.seen) > maxNames {
			t.Fatal("grows without bound")
		}
	}
}

func TestAllocations(t *testing.T) {
	for name, c := range cases {
		d, r := mustNew(t, c.spec), record("compressor-017", c.value)
		var b event.Batch
		run := func() {
			b.Reset()
			for range 100 {
				if err := d.Decode(r, &b); err != nil {
					t.Fatal(err)
				}
			}
		}
		run()
		if n := testing.AllocsPerRun(20, run); n > 0 {
			t.Errorf("%s: %v allocations for 100 rows", name, n)
		}
	}
}
