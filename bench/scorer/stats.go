package main

import (
	"cmp"
	"slices"
	"syscall"
	"time"
)

// cpu returns the process's CPU time.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// percentile returns the smallest value that p of 100 do not exceed, zero of none.
func percentile[T cmp.Ordered](v []T, p int) T {
	if len(v) == 0 {
		var zero T
		return zero
	}
	v = slices.Sorted(slices.Values(v))
	return v[min(len(v)-1, max(0, (len(v)*p+99)/100-1))]
}

func median[T cmp.Ordered](v []T) T { return percentile(v, 50) }

// ratios returns a by b, round by round.
func ratios(a, b []float64) []float64 {
	r := make([]float64, min(len(a), len(b)))
	for i := range r {
		r[i] = a[i] / b[i]
	}
	return r
}

func us(d time.Duration) float64 { return float64(d) / 1e3 }
