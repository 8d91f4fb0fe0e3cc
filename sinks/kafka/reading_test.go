package kafka

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"andon/event"
)

func TestReadingRecords(t *testing.T) {
	b := &event.Block{Pipeline: "p", Topic: "in", Partition: 3, First: 10, Next: 20, Readings: event.Readings{Signals: []string{"a", "b\"", "c"}}}
	add := func(offset int64, asset string, s event.Status, values ...float64) {
		b.Readings.Append(&event.Row{Offset: offset, Asset: asset, Time: 1577836800_123456789, Values: values}, s)
	}
	add(10, "x", event.StatusOK, 1.5, math.NaN(), -0.25)
	add(11, "x", event.StatusFiltered, 1, 2, 3)
	add(12, "pü\n", event.StatusOK, 1e300, 123456789, math.Inf(1))
	add(13, "x", event.StatusDuplicate, 1, 2, 3)
	r := newReadings("out", Form{"id", "at", "ms"}, b)
	if len(r.taken) != 2 {
		t.Fatalf("%d records", len(r.taken))
	}
	one, two := r.record(0), r.record(1)
	if got, want := string(one.Value), `{"id":"x","at":1577836800123.456789,"a":1.5,"c":-0.25}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := string(two.Value), `{"id":"pü\u000a","at":1577836800123.456789,"a":1e+300,"b\"":123456789}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for i, want := range map[int]string{0: "x p in 3 10", 1: "pü\n p in 3 12"} {
		rec, got := one, ""
		if i == 1 {
			rec = two
		}
		got = string(rec.Key)
		for _, h := range rec.Headers {
			got += " " + string(h.Value)
		}
		if rec.Topic != "out" || got != want {
			t.Errorf("record %d: %s, %q; want %q", i, rec.Topic, got, want)
		}
	}
	if v := newReadings("out", Form{"asset", "time", "rfc3339"}, b).record(0).Value; !strings.Contains(string(v), `"time":"2020-01-01T00:00:00.123456789Z"`) {
		t.Errorf("%s", v)
	}
}

// What is written is read back as the same number, and is not longer than it must be.
func TestAppendNumber(t *testing.T) {
	check := func(v float64) {
		t.Helper()
		text := string(appendNumber(nil, v))
		var got float64
		if err := json.Unmarshal([]byte(text), &got); err != nil || math.Float64bits(got) != math.Float64bits(v) {
			t.Fatalf("%v is written as %s and read as %v (%v)", v, text, got, err)
		}
		if short := strconv.FormatFloat(v, 'f', -1, 64); len(text) > len(short) {
			t.Fatalf("%v is written as %s, could be %s", v, text, short)
		}
	}
	for _, v := range []float64{0, math.Copysign(0, -1), 1, -1, 0.1, 1e-6, 5e-7, 1.0000005, 100, 9007199254.740992, 9007199254.740991, 1 << 53, 1e22, 5e-324, math.MaxFloat64, 0.3, 0.1 + 0.2, 1.8*641.82 + 32} {
		check(v)
		check(-v)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		check(float64(rng.Int64N(1e10)) / math.Pow10(rng.IntN(8)))
		check(math.Float64frombits(rng.Uint64() &^ (1 << 62)))
		check(math.Nextafter(float64(rng.Int64N(1e9))/1e4, 0))
	}
}

func TestAppendUnix(t *testing.T) {
	check := func(at time.Duration, unit, want string) {
		t.Helper()
		if got := string(appendUnix(nil, int64(at), decimals[unit])); got != want {
			t.Errorf("%v in %s: %s, want %s", at, unit, got, want)
		}
	}
	check(1500*time.Millisecond, "ms", "1500")
	check(1500*time.Millisecond, "s", "1.5")
	check(-1500*time.Microsecond, "ms", "-1.5")
	check(1, "us", "0.001")
	check(7, "ns", "7")
	check(1000, "s", "0.000001")
}

func TestFormFaults(t *testing.T) {
	err := Form{TimeUnit: "min"}.Validate()
	if err == nil || !strings.Contains(err.Error(), "name the fields") || !strings.Contains(err.Error(), `"min"`) {
		t.Errorf("%v", err)
	}
}

func BenchmarkReading(b *testing.B) {
	block := &event.Block{Pipeline: "p", Topic: "in", Readings: event.Readings{Signals: []string{"seq", "s_1", "s_2", "s_3", "s_4", "s_5", "s_6", "s_7", "s_8", "s_5_f"}}}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 10_000 {
		row := event.Row{Offset: int64(i), Asset: "pump-station-0001", Time: 1577836800_123000000, Values: []float64{float64(100_000_000 + i)}}
		for range 8 {
			row.Values = append(row.Values, float64(1_000_000+rng.IntN(9_000_000))/10_000)
		}
		block.Readings.Append(&event.Row{Offset: row.Offset, Asset: row.Asset, Time: row.Time, Values: append(row.Values, 1.8*row.Values[5]+32)}, event.StatusOK)
	}
	b.ReportAllocs()
	var r *readings
	for i := 0; b.Loop(); i++ {
		if i%10_000 == 0 {
			r = newReadings("out", Form{"asset", "time", "ms"}, block)
		}
		r.record(i % 10_000)
	}
}
