package processors

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"andon/event"
)

// crowd is many assets that each have one row, and a last row that forgets them all.
func crowd(assets int64) *world {
	w := newWorld()
	for i := range assets {
		w.log = append(w.log, entry{offset: i, row: &event.Row{Offset: i, Asset: fmt.Sprint("x", i), Time: i, Values: []float64{1, 2}}})
	}
	w.log = append(w.log, entry{offset: assets, row: &event.Row{Offset: assets, Asset: "last", Time: int64(time.Hour), Values: []float64{1, 2}}})
	for i := range int64(5) {
		w.log = append(w.log, entry{offset: assets + 1 + i, row: &event.Row{Offset: assets + 1 + i, Asset: "last", Time: int64(time.Hour) + 1 + i, Values: []float64{1, 2}}})
	}
	w.end = assets + 6
	return w
}

// A row that closes the windows of many assets ends its block where that is large, and all of its windows are in that block.
func TestValuesFillABlock(t *testing.T) {
	w := crowd(1000)
	cfg := aggregated(small(), time.Minute, time.Minute)
	cfg.Flush.Bytes = 64 << 10 // less than 1000 windows of 14 values
	p, _, err := w.line(t, cfg).Open(t.Context(), w.assignment())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Handle(t.Context(), w.batch(0, w.end)), p.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	for at, rows := range w.tables["features"] {
		if len(rows) != 1000 || at.next != 1001 {
			t.Errorf("the block [%d,%d) has %d windows, want [..,1001) with 1000", at.first, at.next, len(rows))
		}
	}
	if len(w.tables["features"]) != 1 || w.committed != w.end {
		t.Errorf("%d blocks with windows, committed %d of %d", len(w.tables["features"]), w.committed, w.end)
	}
}

// A row whose windows are all closed is a dead letter that says so.
func TestLateForItsWindows(t *testing.T) {
	w := newWorld()
	for i, second := range []int64{0, 100, 30} {
		w.log = append(w.log, entry{offset: int64(i), row: &event.Row{Offset: int64(i), Asset: "x", Time: second * 1e9, Values: []float64{1, 2}}})
	}
	w.end = 3
	p, _, err := w.line(t, aggregated(small(), time.Minute, time.Minute)).Open(t.Context(), w.assignment())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Handle(t.Context(), w.batch(0, 3)), p.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	letters := w.tables["deadletters"][token{0, 3}]
	if len(letters) != 1 || !strings.Contains(letters[0], "is 1m10s behind its newest row, and its windows are closed; the pipeline allows a lateness of 20s") {
		t.Errorf("dead letters %q", letters)
	}
	if windows := w.tables["features"][token{0, 3}]; len(windows) != 1 || !strings.HasPrefix(windows[0], "@1 x [0,60) a_count=1:") {
		t.Errorf("windows %q", windows)
	}
}

// What is held of a block under other settings stays, and only that is taken out.
func TestWithoutWindowsThatAreHeld(t *testing.T) {
	b := &event.Block{Next: 4, Features: event.Features{Names: []string{"a_mean", "a_max"}}}
	for i := range int64(4) {
		copy(b.Features.Append(fmt.Sprint("x", i), i, i+1, i), []float64{float64(i), float64(10 * i)})
	}
	without(b, nil, map[int64]bool{0: true, 2: true})
	f := &b.Features
	if got := fmt.Sprint(f.Asset, f.Start, f.End, f.Offset, f.Values); got != "[x1 x3] [1 3] [2 4] [1 3] [1 10 3 30]" {
		t.Error(got)
	}
}

func TestAggregateExcludesFeatures(t *testing.T) {
	cfg := aggregated(small(), time.Minute, time.Minute)
	cfg.Features = small().Features
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "aggregate: the pipeline has features, too") {
		t.Error(err)
	}
}
