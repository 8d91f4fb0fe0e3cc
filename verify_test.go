package main

import (
	"fmt"
	"strings"
	"testing"

	"andon/sinks/clickhouse/audit"
)

func TestEachRecord(t *testing.T) {
	check := func(what string, ranges []audit.Range, holds func(int64) bool, reads, want string) {
		t.Helper()
		var read []audit.Range
		var got []int64
		if err := eachRecord(ranges, func(r audit.Range, f func(int64)) error {
			read = append(read, r)
			for o := r.First; o < r.Next; o++ {
				if holds(o) {
					f(o)
				}
			}
			return nil
		}, func(o int64) { got = append(got, o) }); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(read) != reads || fmt.Sprint(got) != want {
			t.Errorf("%s: read %v and got %v; want %s and %s", what, read, got, reads, want)
		}
	}
	all := func(int64) bool { return true }
	odd := func(o int64) bool { return o%2 == 1 }
	check("none", nil, all, "[]", "[]")
	check("near ranges are read at once", []audit.Range{{First: 3, Next: 5}, {First: 9, Next: 10}, {First: 20, Next: 23}}, all, "[{3 23}]", "[3 4 9 20 21 22]")
	check("what holds no record is left out", []audit.Range{{First: 3, Next: 5}, {First: 8, Next: 10}}, odd, "[{3 10}]", "[3 9]")
	check("distant ones are not", []audit.Range{{First: 0, Next: 2}, {First: 2 + apart, Next: 3 + apart}}, all, "[{0 2} {50002 50003}]", "[0 1 50002]")
}

func TestVerdicts(t *testing.T) {
	parts := []*audit.Partition{
		{Pipeline: "p", Topic: "in", First: 0, Last: 9, OK: 7, Duplicate: 1, Dead: map[string]uint64{"late": 1, "malformed": 1}, Scores: 6},
		{Pipeline: "p", Topic: "in", Partition: 1, First: -1, Last: -1, Missing: 3, Gaps: []audit.Range{{First: 4, Next: 7}}, Log: &audit.Extent{Start: 4, End: 9, Committed: 7}},
		{Pipeline: "p", Topic: "in", Partition: 2, First: 0, Last: 1, Doubles: 1, Twice: []audit.Double{{Offset: 1, What: "2 scores"}}},
	}
	var b strings.Builder
	if err := printTable(&b, verdicts(parts)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"late=1 malformed=1", "gap @4-7: 3", "4-9", "double @1: 2 scores"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in:\n%s", want, b.String())
		}
	}
	if first := audit.First(parts); first != "gap: p in/1@4-7: 3 offsets are in none of readings, frames, labels and deadletters" {
		t.Errorf("first fault %q", first)
	}
}
