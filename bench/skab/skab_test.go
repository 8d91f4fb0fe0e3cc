package main

import (
	"compress/gzip"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOutliers(t *testing.T) {
	var c counts
	c.add([]bool{true, true, true, false}, []bool{true, true, false, true})
	c.add([]bool{false, false, false}, []bool{false, false, false}) // sums over files, not means of them
	if c != (counts{tp: 2, fp: 1, tn: 3, fn: 1}) || math.Abs(c.f1()-2.0/3) > 1e-12 || c.far() != 25 || math.Abs(c.mar()-100.0/3) > 1e-12 {
		t.Errorf("%+v: F1 %v, FAR %v, MAR %v; want 2/3, 25, 33.3", c, c.f1(), c.far(), c.mar())
	}
}

// Worked by hand: what is said at once is worth 1, at the end of a minute what a false one costs, in its middle the mean of both but for the table's step; each of two neighbouring windows has its own.
func TestChanges(t *testing.T) {
	rows := func(n int, at ...int) []bool {
		said := make([]bool, n)
		for _, i := range at {
			said[i] = true
		}
		return said
	}
	const n = 300
	times := make([]time.Time, n)
	for i := range times {
		times[i] = time.Unix(int64(i), 0)
	}
	check := func(what string, truth, said []int, missed, falsely int, want [3]float64) {
		t.Helper()
		var c changes
		c.add(times, rows(n, truth...), rows(n, said...))
		if c.missed != missed || c.falsely != falsely {
			t.Errorf("%s: %d missed, %d false; want %d, %d", what, c.missed, c.falsely, missed, falsely)
		}
		for i, p := range profiles {
			if got := c.nab(p); math.Abs(got-want[i]) > 0.06 {
				t.Errorf("%s: %.2f by profile %d, want %.2f", what, got, i, want[i])
			}
		}
	}
	one := []int{100}
	check("nothing", one, nil, 1, 0, [3]float64{0, 0, 0})
	check("at once", one, []int{100}, 0, 0, [3]float64{100, 100, 100})
	check("at once and again within a minute", one, []int{100, 101, 130, 160}, 0, 0, [3]float64{100, 100, 100})
	check("after half a minute", one, []int{130}, 0, 0, [3]float64{(0.445 + 1) / 2 * 100, (0.39 + 1) / 2 * 100, (0.445 + 2) / 3 * 100})
	check("after a minute", one, []int{160}, 0, 0, [3]float64{(1 - 0.11) / 2 * 100, (1 - 0.22) / 2 * 100, (2 - 0.11) / 3 * 100})
	check("too late", one, []int{161}, 1, 1, [3]float64{-5.5, -11, -11.0 / 3})
	check("a second too early", one, []int{99, 100}, 0, 1, [3]float64{100 - 5.5, 100 - 11, 100 - 11.0/3})
	two := []int{100, 140} // the second window is from 160 to 200
	check("two, one found", two, []int{140, 200}, 0, 0, [3]float64{(worth(2.0/3, 0.11) - 0.11 + 2) / 4 * 100, (worth(2.0/3, 0.22) - 0.22 + 2) / 4 * 100, (worth(2.0/3, 0.11) - 0.11 + 4) / 6 * 100})
	check("two, where they meet", two, []int{160}, 0, 0, [3]float64{(-0.11 + 1 + 2) / 4 * 100, (-0.22 + 1 + 2) / 4 * 100, (-0.11 + 1 + 4) / 6 * 100})
	check("two, the first found", two, []int{100}, 1, 0, [3]float64{50, 50, 50})
	// A quarter of the way, tanh(pi/4) over tanh(pi/2) is 0.6558/0.9172.
	if got, want := worth(0.25, 0.11), 0.555*0.6558/0.9172+0.445; math.Abs(got-want) > 0.002 {
		t.Errorf("after a quarter: %.4f, want %.4f", got, want)
	}
}

// Files are read in the order of their names, halves by their number, and what is no file of the benchmark is refused.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		z := gzip.NewWriter(f)
		if _, err := z.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := load(dir); err == nil || !strings.Contains(err.Error(), "-data") {
		t.Errorf("an empty folder: %v", err)
	}
	table := func(n int) string {
		var b strings.Builder
		b.WriteString("datetime;Current;Pressure;anomaly;changepoint\r\n")
		for i := range n {
			mark := 0.0
			if i == training+1 {
				mark = 1
			}
			fmt.Fprintf(&b, "%s;%d;0.5;%.1f;%.1f\r\n", time.Unix(int64(i), 0).UTC().Format(time.DateTime), i, mark, mark)
		}
		return b.String()
	}
	write("valve1/3.csv.gz", table(training+5))
	write("valve1/12.csv.gz", table(training+5))
	write("anomaly-free/anomaly-free.csv.gz", "not read")
	all, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].name != "valve1/12" || !all[0].first || all[1].first {
		t.Fatalf("%+v", all)
	}
	f := all[0]
	if len(f.rows) != training+5 || len(f.rows[0]) != 2 || f.rows[7][0] != 7 || !f.outlier[training+1] || !f.changes[training+1] || f.outlier[training] || f.times[9].Sub(f.times[0]) != 9*time.Second {
		t.Errorf("%d rows, %v, %v, %v", len(f.rows), f.rows[7], f.outlier[training:], f.times[9])
	}
	if outlier, change, err := residual(&f); err != nil || len(outlier) != len(f.rows) || len(change) != len(f.rows) {
		t.Error(err)
	}
	write("valve1/5.csv.gz", table(training))
	if _, err := load(dir); err == nil || !strings.Contains(err.Error(), "5.csv.gz: 400 rows") {
		t.Errorf("too few rows: %v", err)
	}
	write("valve1/5.csv.gz", strings.Replace(table(training+5), ";0.5;", ";x;", 1))
	if _, err := load(dir); err == nil || !strings.Contains(err.Error(), "row 0") {
		t.Errorf("no number: %v", err)
	}
}
