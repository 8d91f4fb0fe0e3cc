package console

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"andon/event"
)

func valueOf(m prometheus.Metric) float64 {
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		panic(err)
	}
	return d.GetCounter().GetValue() + d.GetGauge().GetValue()
}

func tell(pipeline string, rows []event.Row, scores []event.Score) *watched {
	w := new(watched)
	w.fill(pipeline, rows, scores)
	return w
}

func scoreOf(asset string, end int64, risk float32) event.Score {
	return event.Score{Asset: asset, Verdict: event.Verdict{Risk: risk, Value: 10 * risk}, End: end, Version: "v1", Position: event.Position{Topic: "t", Offset: end}}
}

func TestBoardKeepsTheNewest(t *testing.T) {
	b := newBoard(10)
	b.apply(tell("p", []event.Row{{Asset: "a", Time: 20, Values: []float64{1, 2}}, {Asset: "a", Time: 10, Values: []float64{3, 4}}},
		[]event.Score{scoreOf("a", 20, 0.5), scoreOf("a", 10, 0.9)}))
	s, ok := b.asset("p", "a")
	if !ok || s.Time != 20 || !slices.Equal(s.Values, []float32{1, 2}) || s.Score.Risk != 0.5 || len(s.Trend) != 1 {
		t.Fatalf("the older row or score won: %+v", s)
	}
	for i := range 100 {
		b.apply(tell("p", nil, []event.Score{scoreOf("a", int64(30+i), float32(i))}))
	}
	s, _ = b.asset("p", "a")
	if len(s.Trend) != trendPoints || s.Trend[0] != 100-trendPoints || s.Trend[trendPoints-1] != 99 {
		t.Fatalf("trend %v", s.Trend)
	}
}

// The list by recency, the map and the versions must agree, whatever comes.
func TestBoardSince(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	b := newBoard(50)
	changed := map[string]uint64{}
	var order []string
	for step := range 2000 {
		name := fmt.Sprint("asset-", rnd.IntN(80))
		b.apply(tell("p", nil, []event.Score{scoreOf(name, int64(step), 0.1)}))
		order = append(slices.DeleteFunc(order, func(s string) bool { return s == name }), name)
		if len(order) > 50 {
			order = order[1:]
		}
		changed[name] = uint64(step + 1)
		from := uint64(max(0, step-rnd.IntN(60)))
		list, now := b.since("p", from, false)
		if now != uint64(step+1) {
			t.Fatalf("version %d after %d changes", now, step+1)
		}
		var want []string
		for _, s := range slices.Backward(order) {
			if changed[s] > from {
				want = append(want, s)
			}
		}
		var got []string
		for _, s := range list {
			got = append(got, s.Asset)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("step %d since %d: got %v, want %v", step, from, got, want)
		}
	}
	if n := len(b.fleets["p"].assets); n != 50 {
		t.Fatalf("%d assets kept, want 50", n)
	}
}

func TestBoardRestore(t *testing.T) {
	b := newBoard(2)
	b.apply(tell("p", nil, []event.Score{scoreOf("live", 100, 0.7)}))
	b.restore("p", []event.Score{scoreOf("live", 10, 0.1), scoreOf("old", 10, 0.2), scoreOf("old", 11, 0.3), scoreOf("more", 12, 0.4)})
	if s, _ := b.asset("p", "live"); s.Score.Risk != 0.7 || len(s.Trend) != 1 {
		t.Errorf("what was watched gave way to the store: %+v", s)
	}
	if s, _ := b.asset("p", "old"); s.Score.Risk != 0.3 || len(s.Trend) != 2 {
		t.Errorf("not restored: %+v", s)
	}
	if _, ok := b.asset("p", "more"); ok {
		t.Error("restoring pushed another asset out")
	}
}

func TestWatchKeepsNothing(t *testing.T) {
	w := newWatch(1000, newMetrics(prometheus.NewRegistry()))
	rows := []event.Row{{Asset: "a", Time: 1, Values: []float64{1}}}
	w.observe("p", rows, nil)
	rows[0].Values[0], rows[0].Asset = 99, "b"
	got := <-w.queue
	if got.values[0] != 1 || string(got.asset(got.rows[0].asset)) != "a" {
		t.Fatalf("the copy changed with the original: %+v", got)
	}
}

// What exceeds the budget or the queue is dropped, counted, and the newest are kept.
func TestWatchDrops(t *testing.T) {
	m := newMetrics(prometheus.NewRegistry())
	w := newWatch(100, m) // 10 a tick
	dropped := func(kind string) float64 { return valueOf(m.drops.WithLabelValues(kind)) }
	rows := make([]event.Row, 25)
	for i := range rows {
		rows[i] = event.Row{Asset: "a", Time: int64(i)}
	}
	w.observe("p", rows, nil)
	if got := <-w.queue; len(got.rows) != 10 || got.rows[9].time != 24 || dropped(kindRows) != 15 {
		t.Fatalf("took %d rows up to %d, dropped %v", len(got.rows), got.rows[len(got.rows)-1].time, dropped(kindRows))
	}
	w.observe("p", rows, nil)
	if len(w.queue) != 0 || dropped(kindRows) != 40 {
		t.Fatalf("the budget was spent, yet %d are queued, %v dropped", len(w.queue), dropped(kindRows))
	}
	// No one takes from the queue: it must still return.
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2000 {
			w.refill()
			w.observe("p", nil, []event.Score{{Asset: "a"}})
		}
		for range 1000 {
			w.training(event.Training{Run: "r"})
		}
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("observe blocks on a full queue")
	}
	if got, want := dropped(kindScores), float64(2000-cap(w.queue)); got != want {
		t.Errorf("%v scores dropped, want %v", got, want)
	}
	if got, want := dropped(kindTrainings), float64(1000-cap(w.trainings)); got != want {
		t.Errorf("%v trainings dropped, want %v", got, want)
	}
}

func TestRecentIsBounded(t *testing.T) {
	var r recent
	put, freed := 0, 0
	for i := range 5000 {
		w := tell("p", make([]event.Row, 1+i%20), nil)
		put += len(w.rows)
		for _, o := range r.add(w) {
			freed += len(o.rows)
		}
		kept := 0
		for _, o := range r.kept() {
			kept += len(o.rows)
		}
		if kept+freed != put || kept != r.held || kept > recentPoints || len(r.list) > 2*len(r.kept())+65 {
			t.Fatalf("after %d: put %d, kept %d, freed %d, list %d", i, put, kept, freed, len(r.list))
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	for _, assets := range []int{1, 100} {
		b.Run(fmt.Sprintf("assets=%d", assets), func(b *testing.B) {
			h := newHub(Config{WatchRows: 1 << 40, MaxAssets: 1000, History: time.Minute, SampleEvery: time.Second}, newMetrics(prometheus.NewRegistry()))
			rows, scores := make([]event.Row, 500), make([]event.Score, 500)
			for i := range rows {
				name := fmt.Sprintf("asset-%03d", i%assets)
				rows[i] = event.Row{Asset: name, Time: int64(i), Values: make([]float64, 14)}
				scores[i] = scoreOf(name, int64(i), 0.5)
			}
			b.ReportAllocs()
			for b.Loop() {
				h.watch.observe("p", rows, scores)
				h.apply(<-h.watch.queue)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/row")
		})
	}
}
