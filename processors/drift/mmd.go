package drift

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// MMD compares two samples of vectors, such as a network's embeddings of frames: the maximum mean discrepancy, unbiased, with a Gaussian kernel whose width is the median distance (Gretton, Borgwardt, Rasch, Schölkopf
// and Smola 2012, A Kernel Two-Sample Test, JMLR 13). a and b are row-major [n, d]. It returns the squared discrepancy and the P value of as large a one by chance, from draws
// permutations whose lots seed starts. Time and memory grow with the square of the rows: some hundreds of each are enough.
func MMD(a, b []float32, d, draws int, seed uint64) (squared, p float64, err error) {
	if d < 1 || len(a)%d != 0 || len(b)%d != 0 {
		return 0, 0, fmt.Errorf("compare samples: %d and %d numbers are not vectors of %d", len(a), len(b), d)
	}
	n, m := len(a)/d, len(b)/d
	if n < 2 || m < 2 {
		return 0, 0, errors.New("compare samples: each needs two vectors")
	}
	all := n + m
	row := func(i int) []float32 {
		if i < n {
			return a[i*d : (i+1)*d]
		}
		return b[(i-n)*d : (i-n+1)*d]
	}
	// kernel holds squared distances first.
	kernel := make([]float64, all*all)
	distances := make([]float64, 0, all*(all-1)/2)
	for i := range all {
		for j := range i {
			sum := 0.0
			x, y := row(i), row(j)
			for k, v := range x {
				gap := float64(v) - float64(y[k])
				sum += float64(gap * gap)
			}
			if math.IsNaN(sum) {
				return 0, 0, fmt.Errorf("compare samples: vector %d or %d holds a NaN", i, j)
			}
			kernel[i*all+j] = sum
			distances = append(distances, sum)
		}
	}
	slices.Sort(distances)
	width := distances[len(distances)/2]
	if width == 0 {
		width = 1 // all the same, but for less than half
	}
	for i := range all {
		for j := range i {
			k := math.Exp(-kernel[i*all+j] / width)
			kernel[i*all+j], kernel[j*all+i] = k, k
		}
	}
	order := make([]int, all)
	for i := range order {
		order[i] = i
	}
	// Of the first n rows of an order and the rest.
	discrepancy := func() float64 {
		var aa, bb, ab float64
		for i, x := range order {
			k := kernel[x*all : (x+1)*all]
			for _, y := range order[:i] {
				if i < n {
					aa += k[y]
				}
			}
			if i >= n {
				for _, y := range order[:n] {
					ab += k[y]
				}
				for _, y := range order[n:i] {
					bb += k[y]
				}
			}
		}
		return 2*aa/float64(n*(n-1)) + 2*bb/float64(m*(m-1)) - 2*ab/float64(n*m)
	}
	squared = discrepancy()
	rng := rand.New(rand.NewPCG(seed, 0x6d6d64)) //nolint:gosec // lots, not secrets
	as := 1
	for range draws {
		rng.Shuffle(all, func(i, j int) { order[i], order[j] = order[j], order[i] })
		if discrepancy() >= squared {
			as++
		}
	}
	return squared, float64(as) / float64(draws+1), nil
}
