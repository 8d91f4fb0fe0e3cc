package replay

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"andon/deploy/kafka/brokertest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		brokertest.Stop()
		os.Exit(code)
	}))
}

func TestValidate(t *testing.T) {
	good := Replay{Name: "x", File: "f.csv", Topic: "t", Asset: "a", Time: Time{Column: "t", Format: "rfc3339"}, Speed: 1}
	check := func(change func(*Replay), want string) {
		t.Helper()
		r := good
		change(&r)
		err := r.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	check(func(*Replay) {}, "")
	check(func(r *Replay) { r.Name = "a/b" }, `name: "a/b" is not a name`)
	check(func(r *Replay) { r.Name = "" }, "name: ")
	check(func(r *Replay) { r.File = "" }, "file: is empty")
	check(func(r *Replay) { r.Separator = ",," }, "separator: ")
	check(func(r *Replay) { r.Separator = "tab" }, "")
	check(func(r *Replay) { r.Topic = "" }, "topic: ")
	check(func(r *Replay) { r.Asset = "a-{unit:3d}" }, `asset: "{unit:3d}": the format`)
	check(func(r *Replay) { r.Asset = "" }, "asset: is empty")
	check(func(r *Replay) { r.Time.Format = "" }, "time: format is empty")
	check(func(r *Replay) { r.Time.Format = "yyyy" }, `time: format "yyyy"`)
	check(func(r *Replay) { r.Time.Zone = "Mars" }, "time: zone")
	check(func(r *Replay) { r.Time = Time{} }, "time: step is missing")
	check(func(r *Replay) { r.Time = Time{Step: time.Hour} }, "time: start is missing")
	check(func(r *Replay) { r.Time = Time{Step: time.Hour, Start: time.Now()} }, "")
	check(func(r *Replay) { r.Time = Time{Step: time.Hour, Start: time.Now(), Format: "unix"} }, "time: format and zone")
	check(func(r *Replay) { r.Time.Start = time.Now() }, "time: start is for counting")
	check(func(r *Replay) { r.Signals = []string{"a", "b=c", "a=d"} }, `signals: "a" is there twice`)
	check(func(r *Replay) { r.Signals = []string{"time"} }, "signals: ")
	check(func(r *Replay) { r.Signals = []string{"=x"} }, "signals: ")
	check(func(r *Replay) { r.From, r.To = time.Unix(2, 0), time.Unix(2, 0) }, "to: ")
	check(func(r *Replay) { r.MaxRows = -1 }, "skip_rows: ")
	check(func(r *Replay) { r.Speed = -1 }, "speed: ")
	check(func(r *Replay) { r.MaxRate = -1 }, "max_rate: ")
	check(func(r *Replay) { r.Loop = true }, "gap: ")
	check(func(r *Replay) { r.Loop, r.Gap, r.Speed = true, time.Hour, 0 }, "speed: a loop")
	check(func(r *Replay) { r.Loop, r.Gap, r.Speed, r.MaxRate = true, time.Hour, 0, 5 }, "")
	check(func(r *Replay) { r.Label = &Label{Topic: "l"} }, "label: ")
	check(func(r *Replay) { r.Compression = "zip" }, "compression: ")
	check(func(r *Replay) { r.Timeout = -1 }, "timeout: ")
	if err := (Replay{}).Validate(); err == nil || strings.Count(err.Error(), "\n") < 4 {
		t.Errorf("not all faults at once: %v", err)
	}
}

func TestYAML(t *testing.T) {
	text := `
name: live
file: x.csv
topic: t
asset: compressor-{unit:03d}
time: {column: cycle, start: 2020-01-01T00:00:00Z, step: 1h}
speed: 3600
loop: true
gap: 72h
max_memory: 64MiB
label: {topic: andon.labels, pipeline: compressors, kind: failure}
`
	var r Replay
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&r); err != nil {
		t.Fatal(err)
	}
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	if r.Gap != 72*time.Hour || !r.Time.Start.Equal(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)) || r.Label.Kind != "failure" || r.MaxMemory != 64<<20 {
		t.Errorf("%+v", r)
	}
}

func TestTemplate(t *testing.T) {
	row := map[string]string{"unit": " 7 ", "line": "a/b", "none": "", "big": "123456", "text": "x7"}
	check := func(template, want, fault string) {
		t.Helper()
		p, err := parseTemplate(template)
		if err != nil {
			if fault == "" || !strings.Contains(err.Error(), fault) {
				t.Errorf("%s: %v, want %q", template, err, fault)
			}
			return
		}
		got, _, err := p.append(nil, func(c string) string { return row[c] })
		if fault != "" && (err == nil || !strings.Contains(err.Error(), fault)) || fault == "" && (err != nil || string(got) != want) {
			t.Errorf("%s: %q, %v; want %q, %q", template, got, err, want, fault)
		}
	}
	check("machine-1", "machine-1", "")
	check("{unit}", "7", "")
	check("compressor-{unit:03d}", "compressor-007", "")
	check("{line}.{unit:02d}.x", "a/b.07.x", "")
	check("{big:03d}", "123456", "")
	check("{none}", "", "is empty")
	check("{text:03d}", "", "not a whole number")
	check("{unit", "", "do not match")
	check("unit}", "", "do not match")
	check("a}{b", "", "do not match")
	check("{a{b}}", "", "do not match")
	check("{}", "", "names no column")
	check("{unit:03x}", "", "0Nd")
	check("{unit:}", "", "0Nd")
}

func TestTimes(t *testing.T) {
	start := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	check := func(spec Time, cell string, count int64, want string) {
		t.Helper()
		read, err := spec.reader()
		if err != nil {
			t.Fatal(err)
		}
		at, err := read(cell, count)
		got := fmt.Sprint(err)
		if err == nil {
			got = time.Unix(0, at).UTC().Format(time.RFC3339Nano)
		}
		if want == "" && err == nil || want != "" && got != want {
			t.Errorf("%+v of %q: %s, want %q", spec, cell, got, want)
		}
	}
	check(Time{Column: "t", Format: "rfc3339"}, "2020-03-01T10:00:00.5+02:00", 0, "2020-03-01T08:00:00.5Z")
	check(Time{Column: "t", Format: "rfc3339"}, "2020-03-01", 0, "")
	check(Time{Column: "t", Format: "datetime"}, " 2013-12-02 21:15:00 ", 0, "2013-12-02T21:15:00Z")
	check(Time{Column: "t", Format: "datetime", Zone: "Europe/Berlin"}, "2013-07-02 21:15:00", 0, "2013-07-02T19:15:00Z")
	check(Time{Column: "t", Format: "02.01.2006 15:04"}, "03.04.2021 05:06", 0, "2021-04-03T05:06:00Z")
	check(Time{Column: "t", Format: "datetime"}, "0013-07-02 21:15:00", 0, "")
	check(Time{Column: "t", Format: "unix"}, "1600000000", 0, "2020-09-13T12:26:40Z")
	check(Time{Column: "t", Format: "unix"}, "1600000000.25", 0, "2020-09-13T12:26:40.25Z")
	check(Time{Column: "t", Format: "unix_ms"}, "1600000000001", 0, "2020-09-13T12:26:40.001Z")
	check(Time{Column: "t", Format: "unix_us"}, "1600000000000001", 0, "2020-09-13T12:26:40.000001Z")
	check(Time{Column: "t", Format: "unix_ns"}, "1600000000000000001", 0, "2020-09-13T12:26:40.000000001Z")
	check(Time{Column: "t", Format: "unix"}, "1600000000000001", 0, "")
	check(Time{Column: "t", Format: "unix"}, "NaN", 0, "")
	check(Time{Column: "c", Start: start, Step: time.Hour}, "5", 9, "2020-01-01T05:00:00Z")
	check(Time{Column: "c", Start: start, Step: time.Second}, "0.04", 9, "2020-01-01T00:00:00.04Z")
	check(Time{Column: "c", Start: start, Step: time.Hour}, "-1", 9, "2019-12-31T23:00:00Z")
	check(Time{Column: "c", Start: start, Step: time.Hour}, "1e300", 9, "")
	check(Time{Column: "c", Start: start, Step: time.Hour}, "x", 9, "")
	check(Time{Start: start, Step: time.Minute}, "", 9, "2020-01-01T00:09:00Z")
}

func TestNumbers(t *testing.T) {
	check := func(cell, want string, bad bool) {
		t.Helper()
		got, err := appendNumber(nil, cell)
		if string(got) != want || (err != nil) != bad {
			t.Errorf("%q: %q, %v", cell, got, err)
		}
	}
	for _, same := range []string{"0", "-0", "1", "-1.50", "641.82", "0.001", "123456789012345678901234567890"} {
		check(same, same, false)
	}
	check(" 5 ", "5", false)
	check("+5", "5", false)
	check(".5", "0.5", false)
	check("5.", "5", false)
	check("007", "7", false)
	check("1e3", "1000", false)
	check("0x10", "", true)
	for _, none := range []string{"", " ", "NaN", "null", "N/A", "-"} {
		check(none, "", false)
	}
	for _, bad := range []string{"x", "1,5", "inf", "-Infinity", "1e999", "1 2", "--1"} {
		check(bad, "", true)
	}
}

// Whatever a cell holds, what is sent is a JSON number of the same value.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"1", "-0.5e7", "0x1p3", "1_000", "٣", "", "nan", "00", "1e-400"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, cell string) {
		got, err := appendNumber(nil, cell)
		if err != nil || len(got) == 0 {
			return
		}
		var v float64
		if err := json.Unmarshal(got, &v); err != nil {
			t.Fatalf("%q became %q: %v", cell, got, err)
		}
		if want, err := strconv.ParseFloat(strings.TrimSpace(cell), 64); err != nil || want != v {
			t.Fatalf("%q became %q", cell, got)
		}
	})
}
