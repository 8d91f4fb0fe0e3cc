package drift

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
)

// Kernel is what the embeddings of a reference were like, so that pieces of a line can be held against them: the maximum mean discrepancy of a Gaussian kernel whose width is the median distance (Gretton, Borgwardt, Rasch,
// Schölkopf and Smola 2012, A Kernel Two-Sample Test, JMLR 13), by random Fourier features (Rahimi and Recht 2007, NIPS 20; for this test Zhao and Meng 2015, FastMMD, Neural Computation 27). An embedding becomes 64
// features; the discrepancy of two samples is the distance of their features' means, which costs as much as there are rows, takes no memory for them, and adds up.
//
// What it may be by chance is not asked of permuted rows, since neighbouring frames are nearly the same: it is the sum of what the features' means vary by as assets' and parts of time's sums tell, and of what the reference
// does not know and its own pieces differ by, as for one number (see Profile), with each variance the trace of a matrix. The discrepancy over that follows an F distribution, as many dimensions on either side as
// the reference's features have effectively (Satterthwaite 1946; Box 1954, Annals of Mathematical Statistics 25).
//
// Rows are of kinds (see Rows.Kinds), and a stranger is held against the mean of all kinds, from which it may be as far as they are. It never changes and may be shared.
type Kernel struct {
	// Dim is of an embedding; Width is the median of the squared distances, Seed starts the lots of the features' directions.
	Dim   int
	Width float64
	Seed  uint64
	Kinds int
	// Means are the features' by kind, the last of strangers; Within the mean squared distance of a row's features from them.
	Means  [][]float64
	Within []float64
	// Noise is by kind what its mean is uncertain by; Drift what pieces differ by, Strange what kinds do, Known of how many that is.
	Noise          []float64
	Drift, Strange float64
	Known          int
	// Freedom is of how many dimensions the features effectively are.
	Freedom float64

	once       sync.Once
	directions []float64 // row-major [kernelFeatures/2, Dim]
}

const (
	// kernelFeatures are cosines and sines of half as many directions: the discrepancy is known to about a tenth of the features' variance.
	kernelFeatures = 64
	// widthRows are looked at for the median distance.
	widthRows = 300
	// mostEmbedding bounds what one embedding has.
	mostEmbedding = 4096
)

// normals draws from the standard normal distribution by Box and Muller 1958: the same on every machine and with every version of Go.
func normals(dst []float64, seed uint64) {
	rng := rand.NewPCG(seed, 0x6d6d64)
	unit := func() float64 { return (float64(rng.Uint64()>>11) + 0.5) / (1 << 53) }
	for i := range dst {
		dst[i] = math.Sqrt(-2*math.Log(unit())) * math.Cos(2*math.Pi*unit())
	}
}

// Features appends the features of an embedding to dst. Their squares sum to 1.
func (k *Kernel) Features(dst []float64, embedding []float32) []float64 {
	k.once.Do(func() {
		d := make([]float64, kernelFeatures/2*k.Dim)
		normals(d, k.Seed)
		scale := math.Sqrt(2 / k.Width) // of exp(-distance²/width)
		for i := range d {
			d[i] *= scale
		}
		k.directions = d
	})
	const norm = 1 / 5.656854249492380195206754896838 // the root of 32
	for row := k.directions; len(row) > 0; row = row[k.Dim:] {
		dot := 0.0
		for i, w := range row[:k.Dim] {
			dot += float64(w * float64(embedding[i]))
		}
		sin, cos := math.Sincos(dot)
		dst = append(dst, cos*norm, sin*norm)
	}
	return dst
}

// Unlike tells how far features are from what their kind's are on average, between 0 and 2.
func (k *Kernel) Unlike(kind int, features []float64) float64 {
	return apartBy(k.Means[kind], features)
}

func apartBy(mean, features []float64) float64 {
	sum := 0.0
	for i, m := range mean {
		gap := features[i] - m
		sum += float64(gap * gap)
	}
	return math.Sqrt(sum)
}

// KernelRows is what a Kernel is made of: embeddings row-major [n, Dim], each of a kind below Kinds and in order of time. A piece of the line has so many rows.
type KernelRows struct {
	Embeddings []float32
	Dim, Kinds int
	Kind       []int
	Piece      int
	Seed       uint64
}

// ErrSame tells of embeddings that are all the same, as of a network that knows one answer.
var ErrSame = errors.New("they are all the same")

// NewKernel learns a kernel; unlike tells of each row how far it is from the others of its kind, those of its own part of time left out, since it resembles them; NaN where its kind has too few.
func NewKernel(r KernelRows) (k *Kernel, unlike []float64, err error) {
	n := len(r.Kind)
	switch {
	case r.Dim < 1 || r.Dim > mostEmbedding || r.Kinds < 1 || len(r.Embeddings) != n*r.Dim:
		return nil, nil, fmt.Errorf("learn embeddings: %d numbers of %d rows are not embeddings of %d", len(r.Embeddings), n, r.Dim)
	case n < leastKind:
		return nil, nil, fmt.Errorf("learn embeddings: %d rows: %w", n, ErrFewRows)
	}
	for i, v := range r.Embeddings {
		if v*0 != 0 {
			return nil, nil, fmt.Errorf("learn embeddings: row %d has %v", i/r.Dim, v)
		}
	}
	k = &Kernel{Dim: r.Dim, Kinds: r.Kinds, Seed: r.Seed, Width: medianDistance(r.Embeddings, r.Dim)}
	if k.Width == 0 {
		return nil, nil, fmt.Errorf("learn embeddings: %w", ErrSame)
	}
	features := make([]float64, 0, n*kernelFeatures)
	own := make([][]int, r.Kinds)
	for i := range n {
		features = k.Features(features, r.Embeddings[i*r.Dim:(i+1)*r.Dim])
		own[r.Kind[i]] = append(own[r.Kind[i]], i)
	}
	row := func(i int) []float64 { return features[i*kernelFeatures : (i+1)*kernelFeatures] }
	k.Means, k.Within, k.Noise = make([][]float64, r.Kinds+1), make([]float64, r.Kinds+1), make([]float64, r.Kinds+1)
	unlike = make([]float64, n)
	all := make([]float64, kernelFeatures)
	var blocks [][]float64
	for s, rows := range own {
		if len(rows) < leastKind {
			continue
		}
		k.Known++
		groups := min(referenceParts, len(rows)/2)
		sums, counts, whole := make([][]float64, groups), make([]float64, groups), make([]float64, kernelFeatures)
		for at, i := range rows {
			g := at * groups / len(rows)
			if sums[g] == nil {
				sums[g] = make([]float64, kernelFeatures)
			}
			counts[g]++
			plusTo(sums[g], row(i), 1)
			plusTo(whole, row(i), 1)
		}
		mean := scaled(whole, 1/float64(len(rows)))
		k.Means[s] = mean
		for g := range sums {
			plusTo(sums[g], mean, -counts[g])
			k.Noise[s] += dotOf(sums[g], sums[g])
			blocks = append(blocks, scaled(sums[g], 1/math.Sqrt(counts[g])))
		}
		k.Noise[s] = math.Sqrt(k.Noise[s]*float64(groups)/float64(groups-1)) / float64(len(rows))
		for at, i := range rows {
			g := at * groups / len(rows)
			// sums are about the mean now.
			rest := scaled(sums[g], -1/(float64(len(rows))-counts[g]))
			plusTo(rest, mean, 1)
			unlike[i] = apartBy(rest, row(i))
			k.Within[s] += apartBy(mean, row(i)) * apartBy(mean, row(i)) / float64(len(rows))
		}
		plusTo(all, mean, 1)
	}
	if k.Known == 0 {
		return nil, nil, fmt.Errorf("learn embeddings: no camera has %d: %w", leastKind, ErrFewRows)
	}
	last := r.Kinds
	k.Means[last] = scaled(all, 1/float64(k.Known))
	k.Within[last] = 1 - dotOf(k.Means[last], k.Means[last])
	for s, rows := range own {
		if len(rows) >= leastKind {
			if gap := apartBy(k.Means[last], k.Means[s]); k.Known > 1 {
				k.Strange += gap * gap / float64(k.Known-1)
			}
			continue
		}
		k.Means[s], k.Within[s], k.Noise[s] = k.Means[last], k.Within[last], 1 // of which nothing is known
		for _, i := range rows {
			unlike[i] = math.NaN()
		}
	}
	k.Freedom = freedomOf(blocks)
	k.drift(r, own, row)
	return k, unlike, nil
}

// drift learns what pieces' means stray by beyond what their assets and parts of time explain: of all together, and of each kind alone.
func (k *Kernel) drift(r KernelRows, own [][]int, row func(i int) []float64) {
	n := len(r.Kind)
	look := func(rows []int, piece int) {
		piece = max(min(piece, len(rows)/6), 2*parts)
		excess, pieces := 0.0, 0.0
		s := newSwarm()
		for from := 0; from+piece <= len(rows); from += piece {
			s.reset()
			for at, i := range rows[from : from+piece] {
				s.add(fmt.Sprint(r.Kind[i]), at*parts/piece, row(i), k.Means[r.Kind[i]])
			}
			v := s.sums(float64(piece))
			excess += v.far()*v.far() - variance(v.traces(), float64(piece), s.squares(), s.blockSquares(), len(s.assets), parts)
			pieces++
		}
		k.Drift = math.Max(k.Drift, excess/math.Max(pieces, 1))
	}
	var whole []int
	for i := range n {
		if len(own[r.Kind[i]]) >= leastKind {
			whole = append(whole, i)
		}
	}
	look(whole, r.Piece)
	for _, rows := range own {
		if len(rows) >= max(leastKind, 6*parts) {
			look(rows, r.Piece*len(rows)/n)
		}
	}
}

// freedomOf tells of how many dimensions vectors about 0 effectively are: the square of their covariance's trace over the trace of its square.
func freedomOf(v [][]float64) float64 {
	trace, square := 0.0, 0.0
	for i, a := range v {
		trace += dotOf(a, a)
		for _, b := range v[:i+1] {
			d := dotOf(a, b)
			square += 2 * d * d
		}
		square -= dotOf(a, a) * dotOf(a, a)
	}
	if square == 0 {
		return 1
	}
	return math.Max(trace*trace/square, 1)
}

// medianDistance is the median squared distance of those pairs of some rows that differ by more than rounding, 0 where all are the same: a camera may show the same still picture most of the time.
func medianDistance(e []float32, d int) float64 {
	n := len(e) / d
	step := max(n/widthRows, 1)
	squares := 0.0
	for _, v := range e {
		squares += float64(v) * float64(v)
	}
	const rounding = 1e-10 // of the squared length of a row: five digits of a float32
	least := rounding * squares / float64(max(n, 1))
	var all []float64
	for i := 0; i < n; i += step {
		for j := 0; j < i; j += step {
			sum := 0.0
			for k := range d {
				gap := float64(e[i*d+k]) - float64(e[j*d+k])
				sum += float64(gap * gap)
			}
			if sum > least {
				all = append(all, sum)
			}
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func plusTo(dst, v []float64, by float64) {
	for i, x := range v {
		dst[i] += float64(by * x)
	}
}

func scaled(v []float64, by float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = x * by
	}
	return out
}

func dotOf(a, b []float64) (sum float64) {
	for i, x := range a {
		sum += float64(x * b[i])
	}
	return sum
}

// whole checks a kernel that was read from a file.
func (k *Kernel) whole() bool {
	ok := k.Dim >= 1 && k.Dim <= mostEmbedding && k.Width > 0 && k.Kinds >= 1 && len(k.Means) == k.Kinds+1 && len(k.Within) == k.Kinds+1 && len(k.Noise) == k.Kinds+1 && k.Freedom >= 1
	for _, m := range k.Means {
		ok = ok && len(m) == kernelFeatures
	}
	return ok
}
