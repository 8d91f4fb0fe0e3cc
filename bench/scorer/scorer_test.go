package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"andon/model/ort/orttest"
)

// All parts but Python's, as small as they go: every table has a row for each case, and no call fails.
func TestSmall(t *testing.T) {
	var out bytes.Buffer
	o := options{rounds: 1, turn: 16, swaps: 4, every: 20 * time.Millisecond}
	if err := measure(t.Context(), &out, []string{"batches", "callers", "swaps", "equal"}, orttest.Library(t), "", "", o); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	// A head and a line below it, five sizes, three numbers of callers, one row of swaps; of two networks.
	if rows, want := strings.Count("\n"+out.String(), "\n| "), 3+2*(5+3+1); rows != want || !strings.Contains(out.String(), "Not held to Python's") {
		t.Errorf("%d rows, want %d:\n%s", rows, want, &out)
	}
	if err := measure(t.Context(), &out, []string{"batch"}, orttest.Library(t), "", "", o); err == nil || !strings.Contains(err.Error(), `"batch" is not`) {
		t.Errorf("got %v", err)
	}
}

func TestStats(t *testing.T) {
	v := []int{5, 1, 4, 2, 3}
	for p, want := range map[int]int{0: 1, 50: 3, 95: 5, 99: 5, 100: 5} {
		if got := percentile(v, p); got != want {
			t.Errorf("%d of 100: %d, want %d", p, got, want)
		}
	}
	if percentile([]int{}, 50) != 0 || len(together(make([]time.Duration, 17), 8)) != 2 {
		t.Error("of none, or of what is left over")
	}
}

// A caller that is told another model's verdict is counted, and the first such call told of.
func TestTally(t *testing.T) {
	m, err := networks[1].seal(1)
	if err != nil {
		t.Fatal(err)
	}
	var c tally
	c.add(0, time.Millisecond, nil, m, 0.5, 0.5)
	c.add(1, time.Millisecond, nil, m, 0.5, 0.6)
	if c.calls != 2 || c.wrong != 1 || c.failed != 0 || c.err == nil || len(c.take()[0]) != 1 || len(c.take()[0]) != 0 {
		t.Errorf("%+v", &c)
	}
}
