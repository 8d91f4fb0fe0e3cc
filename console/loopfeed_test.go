package console

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// The board changes with what the loop says, with what the registry holds, and when it is told to; it asks once a second at most.
func TestLoopBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &loopBoard{}
		if js, version := b.at(); string(js) != "[]" || version != 0 {
			t.Errorf("%s %d", js, version)
		}
		status, held, asked := any([]string{"one"}), "v1 champion", 0
		b.follow(func() any { asked++; return status }, func() []byte { return []byte(held) })
		want := func(wantJS string, wantVersion uint64) {
			t.Helper()
			if js, version := b.at(); string(js) != wantJS || version != wantVersion {
				t.Errorf("%s %d, want %s %d", js, version, wantJS, wantVersion)
			}
		}
		want(`["one"]`, 1)
		status = []string{"two"}
		want(`["one"]`, 1)
		time.Sleep(loopEvery)
		want(`["two"]`, 2)
		held = "v2 champion"
		time.Sleep(loopEvery)
		want(`["two"]`, 3)
		time.Sleep(loopEvery)
		want(`["two"]`, 3)
		b.told()
		want(`["two"]`, 4)
		status = math.NaN() // which JSON cannot hold: the last one stays
		time.Sleep(loopEvery)
		want(`["two"]`, 4)
		if asked != 5 {
			t.Errorf("it was asked %d times", asked)
		}
	})
}
