package scorer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"andon/event"
	"andon/model"
	"andon/model/ort"
	"andon/model/ort/orttest"
)

// cpu returns the process's CPU time.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// bare returns a run of the session itself on n ready windows.
func bare(b *testing.B, m *model.Model, n int) func() {
	s, err := ort.NewSession(m.ONNX, ort.Options{})
	if err != nil {
		b.Fatal(err)
	}
	x, err1 := ort.NewTensor[float32](int64(n), int64(m.Recipe.Length), int64(m.Recipe.Width()))
	value, err2 := ort.NewTensor[float32](int64(n), 1)
	risk, err3 := ort.NewTensor[float32](int64(n), 1)
	if err1 != nil || err2 != nil || err3 != nil {
		b.Fatal(err1, err2, err3)
	}
	copy(x.Data(), fill(len(x.Data())))
	bind, err := s.Bind([]ort.Value{x}, []ort.Value{value, risk})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		bind.Close()
		x.Close()
		value.Close()
		risk.Close()
		s.Close()
	})
	return func() {
		if err := bind.Run(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScore compares calls of n windows with a bare loop over the same model at the same batch size, in turns of a few milliseconds, so that whatever else the
// machine does falls on both. share is the bare loop's CPU time by ours.
func BenchmarkScore(b *testing.B) {
	orttest.Open(b)
	for _, c := range []struct{ layers, windows, maxBatch int }{{1, 1, 32}, {1, 8, 32}, {1, 32, 32}, {1, 256, 256}, {1, 256, 32}, {2, 32, 32}} {
		b.Run(fmt.Sprintf("layers=%d/windows=%d/max_batch=%d", c.layers, c.windows, c.maxBatch), func(b *testing.B) {
			m := seal(b, orttest.GRU(30, 29, 64, c.layers, 1), 30, 29)
			s := start(b, func(cfg *Config) { cfg.MaxBatch, cfg.Workers = c.maxBatch, 1 })
			windows, out := fill(c.windows*30*29), make([]event.Verdict, c.windows)
			run := bare(b, m, min(c.windows, c.maxBatch))
			score := func() {
				if err := s.Score(context.Background(), m, windows, out); err != nil {
					b.Fatal(err)
				}
			}
			run()
			score()
			const turn = 256
			var ours, theirs time.Duration
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; done += turn {
				c0 := cpu()
				for i := 0; i < turn; i += c.windows {
					score()
				}
				c1 := cpu()
				for i := 0; i < turn; i += min(c.windows, c.maxBatch) {
					run()
				}
				ours, theirs = ours+c1-c0, theirs+cpu()-c1
			}
			n := float64((b.N + turn - 1) / turn * turn)
			b.ReportMetric(float64(ours)/n, "cpu-ns/score")
			b.ReportMetric(float64(theirs)/n, "bare-cpu-ns/score")
			b.ReportMetric(100*float64(theirs)/float64(ours), "%bare")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkSee compares calls of n pictures with a bare loop over the same model in runs of the same size, in turns, as BenchmarkScore does.
func BenchmarkSee(b *testing.B) {
	orttest.Open(b)
	for _, c := range []struct{ side, pictures int }{{64, 1}, {64, 8}, {224, 1}, {224, 4}} {
		b.Run(fmt.Sprintf("side=%d/pictures=%d", c.side, c.pictures), func(b *testing.B) {
			m := sealPicture(b, orttest.Convolutions(c.side, 6, 16, 32, 64), model.FormYOLOv8, c.side)
			s := start(b, func(cfg *Config) { cfg.Workers = 1 })
			direct, err := ort.NewSession(m.ONNX, ort.Options{})
			if err != nil {
				b.Fatal(err)
			}
			places := (c.side / 8) * (c.side / 8)
			x, err1 := ort.NewTensor[float32](int64(c.pictures), 3, int64(c.side), int64(c.side))
			y, err2 := ort.NewTensor[float32](int64(c.pictures), 6, int64(places))
			if err := errors.Join(err1, err2); err != nil {
				b.Fatal(err)
			}
			bind, err := direct.Bind([]ort.Value{x}, []ort.Value{y})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { bind.Close(); x.Close(); y.Close(); direct.Close() })
			pictures := fill(c.pictures * 3 * c.side * c.side)
			copy(x.Data(), pictures)
			var dst []model.Tensor
			var ours, theirs time.Duration
			turn := max(1, 64/c.pictures)
			b.ReportAllocs()
			for done := 0; done < b.N; done += turn * c.pictures {
				c0 := cpu()
				for range turn {
					if dst, err = s.See(b.Context(), m, pictures, c.pictures, dst); err != nil {
						b.Fatal(err)
					}
				}
				c1 := cpu()
				for range turn {
					if err := bind.Run(); err != nil {
						b.Fatal(err)
					}
				}
				if done > 0 { // the first turn warms both
					ours, theirs = ours+c1-c0, theirs+cpu()-c1
				}
			}
			b.ReportMetric(100*float64(theirs)/float64(max(ours, 1)), "%bare")
			b.ReportMetric(float64(ours.Microseconds())/float64(b.N), "cpu-us/picture")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkCallers has callers that score one window at a time, each as soon as its last is scored: without batches, and with batches that wait and that do
// not, in turns, so that whatever else the machine does falls on all.
func BenchmarkCallers(b *testing.B) {
	orttest.Open(b)
	m := seal(b, orttest.GRU(30, 29, 64, 1, 1), 30, 29)
	for _, callers := range []int{1, 2, 8, 32} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			variants := []struct {
				name   string
				change func(*Config)
				s      *Scorer
				loop
			}{
				{name: "single", change: func(c *Config) { c.MaxBatch = 1 }},
				{name: "nodelay", change: func(c *Config) { c.MaxDelay = 0 }},
				{name: "default", change: func(*Config) {}},
			}
			for i := range variants {
				v := &variants[i]
				v.s = start(b, v.change)
				if err := v.s.Load(b.Context(), m); err != nil {
					b.Fatal(err)
				}
			}
			const turn = 1000
			b.ResetTimer()
			for done := 0; done < b.N; done += turn {
				for i := range variants {
					variants[i].run(b, variants[i].s, m, callers, turn)
				}
			}
			for i := range variants {
				v := &variants[i]
				slices.Sort(v.times)
				b.ReportMetric(float64(v.cpu)/float64(len(v.times)), v.name+"-cpu-ns/score")
				b.ReportMetric(float64(len(v.times))/v.wall.Seconds(), v.name+"-scores/s")
				for _, p := range []int{50, 95, 99} {
					b.ReportMetric(float64(v.times[len(v.times)*p/100].Microseconds()), fmt.Sprintf("%s-p%d-us", v.name, p))
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// loop adds up what a closed loop of callers took.
type loop struct {
	cpu, wall time.Duration
	times     []time.Duration
}

func (l *loop) run(b *testing.B, s *Scorer, m *model.Model, callers, n int) {
	var left atomic.Int64
	left.Store(int64(n))
	times := make([][]time.Duration, callers)
	var wg sync.WaitGroup
	c0, t0 := cpu(), time.Now()
	for g := range callers {
		wg.Go(func() {
			windows, out := fill(30*29), make([]event.Verdict, 1)
			for left.Add(-1) >= 0 {
				t := time.Now()
				if err := s.Score(context.Background(), m, windows, out); err != nil {
					b.Error(err)
					return
				}
				times[g] = append(times[g], time.Since(t))
			}
		})
	}
	wg.Wait()
	l.cpu, l.wall, l.times = l.cpu+cpu()-c0, l.wall+time.Since(t0), append(l.times, slices.Concat(times...)...)
}
