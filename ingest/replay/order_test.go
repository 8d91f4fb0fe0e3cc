package replay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// randomRecording has some assets with rows at coarse times, so that many times are equal.
func randomRecording(r *rand.Rand) *recording {
	rec := &recording{}
	for i := range 1 + r.IntN(5) {
		a := &asset{name: fmt.Sprint(i)}
		t := int64(r.IntN(5))
		for range 1 + r.IntN(6) {
			a.rows = append(a.rows, row{time: t})
			t += int64(r.IntN(3))
		}
		rec.assets = append(rec.assets, a)
		rec.rows += int64(len(a.rows))
	}
	return rec
}

// The order is that of sorting all lives' rows, and going on after any of them gives the same rest.
func TestOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	for range 200 {
		rec, loop, gap := randomRecording(r), r.IntN(2) == 0, time.Duration(1+r.IntN(4))
		const n = 60
		var want []mark
		for i, a := range rec.assets {
			shift := int64(0)
			for life := 0; life == 0 || loop && life < n; life++ {
				for j, w := range a.rows {
					want = append(want, mark{w.time + shift, i, int64(life*len(a.rows) + j)})
				}
				shift += a.last() - a.first() + int64(gap)
			}
		}
		slices.SortFunc(want, func(a, b mark) int {
			for _, d := range []int64{a.time - b.time, int64(a.asset - b.asset), a.pos - b.pos} {
				if d != 0 {
					return int(d)
				}
			}
			return 0
		})
		want = want[:min(n, len(want))]
		o := newOrder(rec, loop, gap)
		for i, m := range want {
			got, ok := o.pop()
			if !ok || got != m {
				t.Fatalf("row %d is %+v %v, want %+v", i, got, ok, m)
			}
			if wantEnd := int(m.pos)%len(rec.assets[m.asset].rows) == len(rec.assets[m.asset].rows)-1; o.ends(m) != wantEnd {
				t.Fatalf("%+v ends a life: %v", m, !wantEnd)
			}
		}
		if _, ok := o.pop(); ok != loop && len(want) < n {
			t.Fatal("it does not end where it should")
		}
		for i, m := range want[:len(want)-1] {
			o := newOrder(rec, loop, gap)
			o.seek(m)
			for _, w := range want[i+1:] {
				if got, ok := o.pop(); !ok || got != w {
					t.Fatalf("after %+v comes %+v, want %+v", m, got, w)
				}
			}
		}
	}
}

// sent runs the pace over event times (seconds) and returns when each row went, in milliseconds.
func sent(t *testing.T, p *pace, times []int64, slow func(i int)) []int64 {
	t.Helper()
	var out []int64
	start := time.Now()
	for i, s := range times {
		if err := p.wait(t.Context(), s*int64(time.Second)); err != nil {
			t.Fatal(err)
		}
		out = append(out, time.Since(start).Milliseconds())
		if slow != nil {
			slow(i)
		}
	}
	return out
}

func TestPace(t *testing.T) {
	check := func(name string, p pace, times []int64, slow func(int), want ...int64) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			if got := sent(t, &p, times, slow); !slices.Equal(got, want) {
				t.Errorf("%s: rows went at %v ms, want %v", name, got, want)
			}
		})
	}
	check("as recorded", pace{speed: 1}, []int64{100, 101, 101, 105}, nil, 0, 1000, 1000, 5000)
	check("an hour a second", pace{speed: 3600}, []int64{0, 3600, 7200, 7200 + 900}, nil, 0, 1000, 2000, 2250)
	check("slowed down", pace{speed: 0.5}, []int64{0, 1, 2}, nil, 0, 2000, 4000)
	check("as fast as possible", pace{}, []int64{0, 1000, 5}, nil, 0, 0, 0)
	check("the past first", pace{speed: 1, fast: 2}, []int64{0, 100, 200, 201}, nil, 0, 0, 0, 1000)
	check("ten a second", pace{rate: 10}, []int64{0, 0, 0, 0}, nil, 0, 0, 100, 200)
	check("rate over speed", pace{speed: 1, rate: 1}, []int64{0, 0, 0, 10}, nil, 0, 900, 1900, 10000)
	// A row that takes 3 s delays the next ones, which then catch up.
	check("a slow broker", pace{speed: 1}, []int64{0, 1, 2, 3, 4, 5}, func(i int) {
		if i == 1 {
			time.Sleep(3 * time.Second)
		}
	}, 0, 1000, 4000, 4000, 4000, 5000)
	// After a night's suspension the pace goes on from there.
	check("a suspended machine", pace{speed: 1}, []int64{0, 1, 2, 3, 4}, func(i int) {
		if i == 1 {
			time.Sleep(8 * time.Hour)
		}
	}, 0, 1000, 28801000, 28802000, 28803000)
}

func TestPaceStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := pace{speed: 1}
		if err := p.wait(ctx, 0); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, cancel)
		start := time.Now()
		if err := p.wait(ctx, int64(time.Hour)); err == nil || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// The cursor never passes a row that is not acknowledged, whatever the order of acknowledgements.
func TestTally(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for range 300 {
		var y tally
		var open []*stretch
		var rows []int64
		settled := map[int64]bool{}
		for i := int64(1); i <= 60; i++ {
			open, rows = append(open, y.sent(place{rows: i})), append(rows, i)
			for len(open) > 0 && r.IntN(3) > 0 {
				k := r.IntN(len(open))
				y.acknowledged(open[k])
				settled[rows[k]] = true
				open, rows = slices.Delete(open, k, k+1), slices.Delete(rows, k, k+1)
			}
			if r.IntN(4) == 0 {
				done, _ := y.advance()
				for j := int64(1); j <= done.rows; j++ {
					if !settled[j] {
						t.Fatalf("the cursor is at %d and row %d is not acknowledged", done.rows, j)
					}
				}
			}
		}
		for _, s := range open {
			y.acknowledged(s)
		}
		if done, silent := y.advance(); done.rows != 60 || silent != 0 || !y.settledAll() {
			t.Fatalf("at the end: %+v, silent %v", done, silent)
		}
	}
}

func TestTallyTellsSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var y tally
		time.Sleep(time.Hour)
		a, b := y.sent(place{rows: 1}), y.sent(place{rows: 2})
		time.Sleep(time.Minute)
		if _, silent := y.advance(); silent != time.Minute {
			t.Errorf("silent for %v", silent)
		}
		y.acknowledged(a)
		time.Sleep(time.Second)
		if _, silent := y.advance(); silent != time.Second {
			t.Errorf("silent for %v", silent)
		}
		y.acknowledged(b)
		time.Sleep(time.Hour)
		if done, silent := y.advance(); silent != 0 || done.rows != 2 {
			t.Errorf("silent for %v, done %v", silent, done)
		}
	})
}
