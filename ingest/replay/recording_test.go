package replay

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

var counted = Time{Column: "cycle", Start: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), Step: time.Hour}

// text lists a recording as records, each asset's in order.
func (r *recording) text() string {
	var b strings.Builder
	for _, a := range r.assets {
		fmt.Fprintf(&b, "%s whole=%v\n", a.name, a.whole)
		for _, w := range a.rows {
			fmt.Fprintf(&b, "  %s\n", r.appendRecord(nil, a, w, 0))
		}
	}
	return b.String()
}

func TestRead(t *testing.T) {
	const file = "unit,cycle,s_1,note,s_2\n1,1,0.10,x,-5\n2,1,.5,y,\n1,3,7,z,1e3\n1,2,NaN,w,+2\n"
	check := func(name, file string, change func(*Replay), want string) {
		t.Helper()
		r := Replay{Name: "x", File: "f.csv", Topic: "t", Asset: "m-{unit:02d}", Time: counted}
		if change != nil {
			change(&r)
		}
		if err := r.Validate(); err != nil {
			t.Fatal(name, err)
		}
		got := ""
		rec, err := read(r, strings.NewReader(file))
		if err != nil {
			got = err.Error()
		} else {
			got = rec.text()
		}
		if want = strings.TrimLeft(want, "\n"); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
	}
	all := `
m-01 whole=true
  {"asset":"m-01","time":"2020-01-01T01:00:00Z","s_1":0.10,"s_2":-5}
  {"asset":"m-01","time":"2020-01-01T02:00:00Z","s_2":2}
  {"asset":"m-01","time":"2020-01-01T03:00:00Z","s_1":7,"s_2":1000}
m-02 whole=true
  {"asset":"m-02","time":"2020-01-01T01:00:00Z","s_1":0.5}
`
	// The first row decides which columns are signals; units and cycles are used already, notes are no numbers.
	check("all numbers", file, nil, all)
	check("byte order mark", "\xef\xbb\xbf"+file, nil, all)
	check("no newline at the end", strings.TrimSuffix(file, "\n"), nil, all)
	check("semicolons", strings.ReplaceAll(file, ",", ";"), func(r *Replay) { r.Separator = ";" }, all)
	check("named columns", strings.SplitN(file, "\n", 2)[1], func(r *Replay) { r.Columns = []string{"unit", "cycle", "s_1", "note", "s_2"} }, all)
	check("a header to skip", file, func(r *Replay) { r.Columns, r.SkipRows = []string{"unit", "cycle", "s_1", "note", "s_2"}, 1 }, all)
	check("chosen and renamed", file, func(r *Replay) { r.Signals = []string{"speed=s_2"} }, `
m-01 whole=true
  {"asset":"m-01","time":"2020-01-01T01:00:00Z","speed":-5}
  {"asset":"m-01","time":"2020-01-01T02:00:00Z","speed":2}
  {"asset":"m-01","time":"2020-01-01T03:00:00Z","speed":1000}
m-02 whole=true
  {"asset":"m-02","time":"2020-01-01T01:00:00Z"}
`)
	check("cut by time", file, func(r *Replay) { r.Signals, r.To = []string{"s_1"}, counted.Start.Add(3*time.Hour) }, `
m-01 whole=true
  {"asset":"m-01","time":"2020-01-01T01:00:00Z","s_1":0.10}
  {"asset":"m-01","time":"2020-01-01T02:00:00Z"}
m-02 whole=true
  {"asset":"m-02","time":"2020-01-01T01:00:00Z","s_1":0.5}
`)
	check("cut by rows", file, func(r *Replay) { r.Signals, r.SkipRows, r.MaxRows = []string{"s_1"}, 1, 1 }, `
m-02 whole=true
  {"asset":"m-02","time":"2020-01-01T01:00:00Z","s_1":0.5}
`)
	check("cut short", file, func(r *Replay) { r.Signals, r.MaxRows = []string{"s_1"}, 3 }, `
m-01 whole=false
  {"asset":"m-01","time":"2020-01-01T01:00:00Z","s_1":0.10}
  {"asset":"m-01","time":"2020-01-01T03:00:00Z","s_1":7}
m-02 whole=true
  {"asset":"m-02","time":"2020-01-01T01:00:00Z","s_1":0.5}
`)
	check("from", file, func(r *Replay) { r.Signals, r.From = []string{"s_1"}, counted.Start.Add(3*time.Hour) }, `
m-01 whole=true
  {"asset":"m-01","time":"2020-01-01T03:00:00Z","s_1":7}
`)
	check("counted rows", "v\n1\n2\n", func(r *Replay) { r.Asset, r.Time.Column = `say "hi"`, "" }, `
say "hi" whole=true
  {"asset":"say \"hi\"","time":"2020-01-01T00:00:00Z","v":1}
  {"asset":"say \"hi\"","time":"2020-01-01T01:00:00Z","v":2}
`)

	check("a bad number", "unit,cycle,s_1\n1,1,2\n1,2,abc\n", nil, `f.csv: line 3, column s_1: "abc" is not a number`)
	check("a bad time", "unit,cycle,s_1\n1,one,2\n", nil, `f.csv: line 2, column cycle: "one" is not a number to count by`)
	check("a bad unit", "unit,cycle,s_1\n1,1,1\nx,1,2\n", nil, `f.csv: line 3, column unit: "x" is not a whole number, which the asset's name needs`)
	check("a short line", "unit,cycle,s_1\n1,1\n", nil, `f.csv: line 2: wrong number of fields`)
	check("a broken quote", "unit,cycle,s_1\n1,1,\"2\n", nil, `f.csv: line 2: extraneous or missing " in quoted-field`)
	check("a missing column", "unit,s_1\n1,1\n", nil, `f.csv: time names the column "cycle", but the file has unit, s_1`)
	check("a doubled column", "unit,cycle,unit\n", nil, `f.csv: two columns are named "unit": name them with columns, and skip_rows: 1`)
	check("no number", "unit,cycle,s_1\n1,1,x\n", nil, `f.csv: no column of the first row is a number: name the columns in signals`)
	check("nothing", "", nil, `f.csv: is empty: the first line must name the columns`)
	check("a header only", "unit,cycle,s_1\n", nil, `f.csv: no row is within from, to, skip_rows and max_rows`)
	check("too large", file, func(r *Replay) { r.MaxMemory = 40 }, `f.csv: line 3: the recording does not fit into max_memory (0 MiB): raise it, or play parts with skip_rows and max_rows`)
}

func TestLoad(t *testing.T) {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	fmt.Fprint(w, "unit,cycle,s\n1,1,5\n")
	w.Close()
	r := Replay{Name: "x", File: "f.csv.gz", Topic: "t", Asset: "{unit}", Time: counted}
	files := fstest.MapFS{"f.csv.gz": {Data: z.Bytes()}, "torn.gz": {Data: z.Bytes()[:z.Len()-9]}}
	rec, err := load(r, files)
	if err != nil || rec.rows != 1 {
		t.Fatal(rec, err)
	}
	r.File = "torn.gz"
	if _, err := load(r, files); err == nil || !strings.HasPrefix(err.Error(), "torn.gz: ") {
		t.Errorf("a torn file: %v", err)
	}
	r.File = "none.csv"
	if _, err := load(r, files); err == nil || !strings.Contains(err.Error(), "none.csv") {
		t.Errorf("no file: %v", err)
	}
	if _, err := load(r, nil); err == nil || !strings.Contains(err.Error(), "none.csv") {
		t.Errorf("no file on the disk: %v", err)
	}
}

// The demo's recordings are read whole: the data sets' own numbers of rows and units.
func TestDemoRecordings(t *testing.T) {
	fd001 := []string{"s_2", "s_3", "s_4", "s_7", "s_8", "s_9", "s_11", "s_12", "s_13", "s_14", "s_15", "s_17", "s_20", "s_21"}
	check := func(r Replay, assets int, rows int64, first, last string) {
		t.Helper()
		rec, err := load(r, os.DirFS("../../deploy/demo"))
		if err != nil {
			t.Fatal(err)
		}
		if len(rec.assets) != assets || rec.rows != rows {
			t.Errorf("%s: %d assets, %d rows", r.File, len(rec.assets), rec.rows)
		}
		o := newOrder(rec, false, 0)
		var got []string
		var before mark
		for m, ok := o.pop(); ok; m, ok = o.pop() {
			if m.time < before.time {
				t.Fatalf("%s: time runs back at %+v", r.File, m)
			}
			before = m
			w, shift, _ := o.row(m.asset, m.pos)
			record := rec.appendRecord(nil, rec.assets[m.asset], w, shift)
			if len(got)%20 == 0 && !json.Valid(record) {
				t.Fatalf("%s is not JSON", record)
			}
			got = append(got, string(record))
		}
		if int64(len(got)) != rows || got[0] != first || got[len(got)-1] != last {
			t.Errorf("%s: %d rows,\nfirst %s\nlast  %s", r.File, len(got), got[0], got[len(got)-1])
		}
	}
	check(Replay{File: "fd001_train.csv.gz", Asset: "retired-{unit:03d}", Time: counted, Signals: fd001}, 100, 20631,
		`{"asset":"retired-001","time":"2020-01-01T01:00:00Z","s_2":641.82,"s_3":1589.70,"s_4":1400.60,"s_7":554.36,"s_8":2388.06,"s_9":9046.19,"s_11":47.47,"s_12":521.66,"s_13":2388.02,"s_14":8138.62,"s_15":8.4195,"s_17":392,"s_20":39.06,"s_21":23.4190}`,
		`{"asset":"retired-069","time":"2020-01-16T02:00:00Z","s_2":643.75,"s_3":1598.16,"s_4":1428.28,"s_7":551.55,"s_8":2388.31,"s_9":9054.19,"s_11":48.02,"s_12":519.12,"s_13":2388.33,"s_14":8124.27,"s_15":8.5126,"s_17":397,"s_20":38.42,"s_21":22.9782}`)
	check(Replay{File: "fd001_test.csv.gz", Asset: "compressor-{unit:03d}", Time: counted, Signals: []string{"s_2"}}, 100, 13096,
		`{"asset":"compressor-001","time":"2020-01-01T01:00:00Z","s_2":643.02}`, `{"asset":"compressor-049","time":"2020-01-13T15:00:00Z","s_2":643.21}`)
	check(Replay{File: "machine_temperature.csv.gz", Asset: "machine-1", Time: Time{Column: "timestamp", Format: "datetime"}, Signals: []string{"temperature=value"}},
		1, 22695, `{"asset":"machine-1","time":"2013-12-02T21:15:00Z","temperature":73.96732207}`,
		`{"asset":"machine-1","time":"2014-02-19T15:25:00Z","temperature":96.90386085}`)
}
