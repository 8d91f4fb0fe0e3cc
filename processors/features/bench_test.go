package features

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"andon/event"
	"andon/model"
)

// fleet makes rows of many assets, one a slot and asset, in order of time.
func fleet(assets, slots, signals int, grid time.Duration) []event.Row {
	rng := rand.New(rand.NewPCG(1, 2))
	names := make([]string, assets)
	for i := range names {
		names[i] = fmt.Sprintf("compressor-%03d", i)
	}
	var rows []event.Row
	for k := range slots {
		for _, name := range names {
			values := make([]float64, signals)
			for s := range values {
				values[s] = 600 + 10*rng.Float64()
			}
			rows = append(rows, event.Row{Offset: int64(len(rows)), Asset: name, Time: int64(k) * int64(grid), Values: values})
		}
	}
	return rows
}

func compressors() (Config, []string) {
	c := Default()
	c.Recipe.Grid = time.Hour
	c.Recipe.Smooth = 0.1
	c.Recipe.Baseline = 20
	c.Recipe.Age = true
	var signals []string
	for s := range 14 {
		signals = append(signals, fmt.Sprintf("s_%d", s))
	}
	return c, signals
}

func scaled(r model.Recipe) *Scaler {
	for range r.Width() {
		r.Scale = append(r.Scale, model.Scale{Mean: 600, Std: 3})
	}
	return NewScaler(&r)
}

// BenchmarkRow is one row of 14 signals with baseline and age. windows=none makes no windows, windows=scaled copies each, 30 x 29, scaled.
func BenchmarkRow(b *testing.B) {
	for _, assets := range []int{100, 10000} {
		for _, windows := range []string{"none", "plain", "scaled"} {
			for _, close := range []Close{Complete, Watermark} {
				b.Run(fmt.Sprintf("assets=%d/windows=%s/close=%s", assets, windows, close), func(b *testing.B) {
					cfg, signals := compressors()
					cfg.Close = close
					p, err := New(cfg, signals)
					if err != nil {
						b.Fatal(err)
					}
					scaler := scaled(*p.Recipe())
					if windows == "plain" {
						scaler = nil
					}
					flat := make([]float32, 0, 256*p.recipe.Length*p.width)
					var emit Emit
					made := 0
					if windows != "none" {
						emit = func(w *Window) error {
							if len(flat) == cap(flat) {
								flat = flat[:0]
							}
							flat = w.Append(flat, scaler)
							made++
							return nil
						}
					}
					const slots = 40
					rows := fleet(assets, slots, 14, time.Hour)
					for i := range rows {
						if out, err := p.Row(&rows[i], emit); out != Taken || err != nil {
							b.Fatal(out, err)
						}
					}
					b.ReportAllocs()
					b.ResetTimer()
					i, shift := 0, int64(slots)*int64(time.Hour)
					made = 0
					used := cpu()
					for b.Loop() {
						row := rows[i]
						row.Time += shift
						if out, _ := p.Row(&row, emit); out != Taken {
							b.Fatal(out)
						}
						if i++; i == len(rows) {
							i, shift = 0, shift+int64(slots)*int64(time.Hour)
						}
					}
					b.ReportMetric(float64(cpu()-used)/float64(b.N), "cpu-ns/row")
					b.ReportMetric(float64(made)/float64(b.N), "windows/row")
				})
			}
		}
	}
}

// cpu is the process's CPU time in nanoseconds, which says more than the clock on a busy machine.
func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func BenchmarkSnapshot(b *testing.B) {
	cfg, signals := compressors()
	p, err := New(cfg, signals)
	if err != nil {
		b.Fatal(err)
	}
	rows := fleet(100, 40, 14, time.Hour)
	for i := range rows {
		if _, err := p.Row(&rows[i], nil); err != nil {
			b.Fatal(err)
		}
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = p.Snapshot(buf[:0])
	}
	b.ReportMetric(float64(len(buf))/100, "B/asset")
}

// BenchmarkAggregate is one row, ten a second and asset, with what closes by it. every=2s slides windows of 60 s: one of 30 panes closes for 20 rows.
func BenchmarkAggregate(b *testing.B) {
	kinds := map[string]Aggregate{"mean": {Functions: []Function{Mean}}, "all": {}}
	for _, assets := range []int{100, 10000} {
		for _, signals := range []int{1, 14} {
			for _, functions := range []string{"mean", "all"} {
				for _, every := range []time.Duration{0, 2 * time.Second} {
					for _, remember := range []int{0, 64} {
						b.Run(fmt.Sprintf("assets=%d/signals=%d/functions=%s/every=%v/remember=%d", assets, signals, functions, every, remember), func(b *testing.B) {
							c := kinds[functions]
							c.Size, c.Every, c.Horizon, c.Remember = 10*time.Second, every, time.Hour, remember
							if every > 0 {
								c.Size = time.Minute
							}
							names := make([]string, signals)
							for i := range names {
								names[i] = fmt.Sprint("s_", i)
							}
							p, err := NewAggregates(c, names)
							if err != nil {
								b.Fatal(err)
							}
							const slots, step = 100, 100 * time.Millisecond
							rows := fleet(assets, slots, signals, step)
							into := event.Features{Names: p.Names()}
							shift, made := int64(0), 0
							next := func(i int) {
								row := &rows[i]
								row.Time += shift
								if out, err := p.Row(row, &into); out != Taken || err != nil {
									b.Fatal(out, err)
								}
								row.Time -= shift
								if into.Len() > 1000 {
									made += into.Len()
									into.Reset()
								}
							}
							for ; shift < int64(80*time.Second); shift += slots * int64(step) {
								for i := range rows {
									next(i)
								}
							}
							made = 0
							b.ReportAllocs()
							b.ResetTimer()
							i, used := 0, cpu()
							for b.Loop() {
								next(i)
								if i++; i == len(rows) {
									i, shift = 0, shift+slots*int64(step)
								}
							}
							b.ReportMetric(float64(cpu()-used)/float64(b.N), "cpu-ns/row")
							b.ReportMetric(float64(made+into.Len())/float64(b.N), "windows/row")
						})
					}
				}
			}
		}
	}
}
