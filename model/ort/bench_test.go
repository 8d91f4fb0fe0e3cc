package ort_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"andon/model/ort"
	"andon/model/ort/orttest"
)

// BenchmarkSession is the bare limit: runs on ready windows, one goroutine or two, by layers of GRU-64 and batch size.
func BenchmarkSession(b *testing.B) {
	orttest.Open(b)
	const length, width = 30, 29
	for _, layers := range []int{1, 2} {
		s := session(b, orttest.GRU(length, width, 64, layers, 1), ort.Options{})
		for _, batch := range []int{1, 8, 16, 24, 32, 48, 64, 256} {
			for _, goroutines := range []int{1, 2} {
				b.Run(fmt.Sprintf("layers=%d/batch=%d/goroutines=%d", layers, batch, goroutines), func(b *testing.B) {
					var left atomic.Int64
					left.Store(int64(b.N))
					var bs []*ort.Binding
					for range goroutines {
						x, value, risk := tensor[float32](b, int64(batch), length, width), tensor[float32](b, int64(batch), 1), tensor[float32](b, int64(batch), 1)
						for i := range x.Data() {
							x.Data()[i] = float32(i%17)/8 - 1
						}
						bind, err := s.Bind([]ort.Value{x}, []ort.Value{value, risk})
						if err != nil {
							b.Fatal(err)
						}
						defer bind.Close()
						if err := bind.Run(); err != nil {
							b.Fatal(err)
						}
						bs = append(bs, bind)
					}
					b.ResetTimer()
					start := cpu()
					var wg sync.WaitGroup
					for _, bind := range bs {
						wg.Go(func() {
							for left.Add(int64(-batch)) > int64(-batch) {
								if err := bind.Run(); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					wg.Wait()
					b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/score")
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "scores/s")
				})
			}
		}
	}
}

// cpu returns the process's CPU time, nanoseconds.
func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
