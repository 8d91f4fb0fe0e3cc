package clickhouse

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSorted(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 300 {
		n, words, times := rng.IntN(60), 1+rng.IntN(8), 1+rng.IntN(20)
		word, time := make([]string, n), make([]int64, n)
		want := make([]int32, n)
		for i := range n {
			word[i], time[i], want[i] = fmt.Sprint(rng.IntN(words)), int64(rng.IntN(times)), int32(i)
			if rng.IntN(3) == 0 { // often in order already
				time[i] = int64(i)
			}
		}
		slices.SortStableFunc(want, func(a, b int32) int {
			if word[a] != word[b] {
				if word[a] < word[b] {
					return -1
				}
				return 1
			}
			return int(time[a] - time[b])
		})
		got := sorted(n, func(i int) string { return word[i] }, func(i int) int64 { return time[i] })
		if got == nil {
			got = make([]int32, n)
			for i := range got {
				got[i] = int32(i)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v %v: %v, want %v", word, time, got, want)
		}
	}
}
