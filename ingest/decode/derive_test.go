package decode

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"andon/event"
)

func num(f float64) *float64 { return &f }

func TestDeriveAndWhere(t *testing.T) {
	no := math.NaN()
	check := func(s Spec, value string, filtered bool, want ...float64) {
		t.Helper()
		var b event.Batch
		if err := mustNew(t, s).Decode(record("", value), &b); err != nil || len(b.Rows) != 1 {
			t.Fatalf("%s: %v, %d rows", value, err, len(b.Rows))
		}
		r := b.Rows[0]
		same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
		if r.Filtered != filtered || !slices.EqualFunc(r.Values, want, same) {
			t.Errorf("%s: values %v, filtered %v; want %v, %v", value, r.Values, r.Filtered, want, filtered)
		}
	}
	wide := func(rest string) string { return `{"asset":"p","time":"2026-01-31T05:00:00Z",` + rest + `}` }
	s := Spec{Signals: []string{"c", "k"}, Derive: []Derive{{Signal: "f", Of: "c", Scale: 1.8, Offset: 32}, {Signal: "k", Of: "k", Offset: -273.15}, {Signal: "ff", Of: "f", Scale: 2}},
		Where: []Where{{Signal: "f", From: num(0), Below: num(212)}, {Signal: "k", Below: num(100)}}}
	if got := fmt.Sprint(s.Columns()); got != "[c k f ff]" {
		t.Errorf("columns %s", got)
	}
	check(s, wide(`"c":100,"k":273.15`), true, 100, 0, 212, 424) // below is exclusive
	check(s, wide(`"c":99.5,"k":273.15`), false, 99.5, 0, 211.1, 422.2)
	check(s, wide(`"c":-20,"k":300.15`), true, -20, 27, -4, -8)
	check(s, wide(`"c":10,"k":400.15`), true, 10, 127, 50, 100)
	check(s, wide(`"c":null,"k":300.15`), false, no, 27, no, no) // nothing to judge
	check(s, wide(`"c":1.7e308,"k":0`), false, 1.7e308, -273.15, no, no)
	s.Where[0].Required = true
	check(s, wide(`"c":null,"k":300.15`), true, no, 27, no, no)

	edge := Spec{Signals: []string{"a"}, Where: []Where{{Signal: "a", From: num(1)}}}
	check(edge, wide(`"a":1`), false, 1)
	check(edge, wide(`"a":0.999999`), true, 0.999999)

	n := Spec{Shape: ShapeNarrow, Signals: []string{"c", "k"}, Derive: []Derive{{Signal: "f", Of: "c", Scale: 1.8, Offset: 32}}, Where: []Where{{Signal: "c", Below: num(50)}}}
	check(n, wide(`"signal":"c","value":10`), false, 10, no, 50)
	check(n, wide(`"signal":"c","value":50`), true, 50, no, 122)
	check(n, wide(`"signal":"k","value":500`), false, no, 500, no)
}

func TestRulesAreChecked(t *testing.T) {
	bad := func(s Spec, want ...string) {
		t.Helper()
		if s.Shape != ShapeLabels {
			s.Signals = []string{"a", "b"}
		}
		_, err := New(s)
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%+v: %v, want %q", s, err, w)
			}
		}
	}
	bad(Spec{Derive: []Derive{{Of: "a"}, {Signal: "x,y", Of: "a"}}}, "derive[0].signal", "derive[1].signal")
	bad(Spec{Derive: []Derive{{Signal: "b", Of: "a"}}}, `derive[0].signal: "b" is there already`)
	bad(Spec{Derive: []Derive{{Signal: "f", Of: "a"}, {Signal: "f", Of: "b"}}}, `derive[1].signal: "f" is there already`)
	bad(Spec{Derive: []Derive{{Signal: "f", Of: "g"}, {Signal: "g", Of: "a"}}}, `derive[0].of: "g" is not one of signals`)
	bad(Spec{Derive: []Derive{{Signal: "f", Of: "a", Scale: math.Inf(1)}}}, "derive[0]: scale and offset")
	bad(Spec{Where: []Where{{Signal: "z", From: num(1)}, {Signal: "a"}}}, "where[0].signal", "where[1]: set from, below or required")
	bad(Spec{Where: []Where{{Signal: "a", From: num(2), Below: num(2)}, {Signal: "a", Below: num(math.NaN())}}}, "where[0]: no number", "where[1].below")
	bad(Spec{Shape: ShapeLabels, Where: []Where{{Signal: "a", From: num(1)}}}, "derive, where: the shape labels")
}

// The text of a spec tells a restarted pipeline whether it forms the same rows: it must not hold addresses.
func TestSpecTextIsStable(t *testing.T) {
	spec := func() string {
		return fmt.Sprintf("%+v", Spec{Where: []Where{{Signal: "a", From: num(1.5)}}})
	}
	if a, b := spec(), spec(); a != b || !strings.Contains(a, "1.5") {
		t.Errorf("%s\n%s", a, b)
	}
}
