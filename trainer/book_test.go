package trainer

import (
	"testing"
	"time"

	"andon/event"
)

// A life is one number, however many rounds it is settled in; the next life of the asset is another.
func TestBookOfLives(t *testing.T) {
	p := pumps()
	b := newBook(&campaign{Champion: "a", Challenger: "b"}, &p, 0)
	into := newProgress(.05, 0)
	settle := func(asset string, from, to, end int64, round int64) {
		t.Helper()
		for at := from; at <= to; at++ {
			for i, version := range []string{"a", "b"} {
				o := event.Outcome{Asset: asset, End: at * hour, Version: version, Truth: min(float64(end-at), float64(p.Spec.Cap)), Loss: .5 - .1*float64(i), Settled: round}
				if err := b.take(&o, into); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := b.ends(into, round); err != nil {
			t.Fatal(err)
		}
	}
	numbers := func(want int) {
		t.Helper()
		if into.Numbers != want || into.Numbers > 0 && (into.Mean < .0999 || into.Mean > .1001) {
			t.Fatalf("%+v, want %d numbers", into, want)
		}
	}
	settle("pump", 1, 70, 100, 1)
	numbers(1)
	settle("pump", 71, 100, 100, 2) // what was stored later is of the same life
	numbers(1)
	settle("pump", 101, 180, 200, 3)
	numbers(2)
	settle("other", 1, 30, 30, 4)
	settle("other", 31, 60, 60, 4+int64(time.Second))
	numbers(4)
	// Two lives that are settled at once.
	for _, life := range [][3]int64{{1, 50, 50}, {51, 90, 90}} {
		for at := life[0]; at <= life[1]; at++ {
			for i, version := range []string{"a", "b"} {
				o := event.Outcome{Asset: "third", End: at * hour, Version: version, Truth: min(float64(life[2]-at), float64(p.Spec.Cap)), Loss: .5 - .1*float64(i), Settled: 9}
				if err := b.take(&o, into); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := b.ends(into, 9); err != nil {
		t.Fatal(err)
	}
	numbers(6)
	if len(b.until) != 3 {
		t.Errorf("%d assets", len(b.until))
	}
}
