package drift

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// PCA is what rows of several features used to look like together: the directions along which they varied. A row that keeps its features in their old bounds, and yet no longer together as they were, is
// reconstructed badly from them (principal components as in Jolliffe 2002; the mean error of a window as a measure of drift as in NannyML, https://nannyml.readthedocs.io). It never changes
// and may be shared.
type PCA struct {
	mean, inverse []float64 // of each feature; the inverse of its standard deviation, 0 where it stood still
	components    []float64 // row-major [K, D]
	k             int
	// fours are the components, four side by side, feature by feature, and 0 beyond the last: their sums do not wait for each other.
	fours [][4]float64
	// Mean and Deviation are of the mean errors of the reference's chunks.
	Mean, Deviation float64
}

// DefaultShare of the variance is explained by the components that are kept; DefaultChunks is into how many the reference is cut to learn what is usual.
const (
	DefaultShare  = 0.65
	DefaultChunks = 20
)

// FitPCA learns from rows, row-major [n, d], in the order in which they came. Components are kept until they explain share of the variance. There must be more rows than chunks, and no NaN.
func FitPCA(rows []float64, d int, share float64, chunks int) (*PCA, error) {
	n := 0
	if d > 0 {
		n = len(rows) / d
	}
	switch {
	case d < 1 || len(rows) != n*d:
		return nil, fmt.Errorf("fit principal components: %d numbers are not rows of %d", len(rows), d)
	case chunks < 2 || n < 2*chunks:
		return nil, fmt.Errorf("fit principal components: %d rows are too few for %d chunks", n, chunks)
	case !(share > 0 && share <= 1):
		return nil, fmt.Errorf("fit principal components: a share of %v is not between 0 and 1", share)
	}
	for i, v := range rows {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("fit principal components: row %d has %v for feature %d", i/d, v, i%d)
		}
	}
	p := &PCA{mean: make([]float64, d), inverse: make([]float64, d)}
	for j := range d {
		var m mean
		squares := 0.0
		for i := range n {
			x := rows[i*d+j]
			before := m.Mean
			m.add(x)
			squares += float64((x - before) * (x - m.Mean))
		}
		p.mean[j] = m.Mean
		if sd := math.Sqrt(squares / float64(n)); sd > 1e-12*math.Max(1, math.Abs(m.Mean)) {
			p.inverse[j] = 1 / sd
		}
	}
	// The correlations' eigenvectors are the components; d is small, n need not be.
	cov := mat.NewSymDense(d, nil)
	row := make([]float64, d)
	for i := range n {
		p.scale(row, rows[i*d:(i+1)*d])
		for a := range d {
			for b := a; b < d; b++ {
				cov.SetSym(a, b, cov.At(a, b)+float64(row[a]*row[b]/float64(n)))
			}
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(cov, true) {
		return nil, errors.New("fit principal components: the correlations have no eigenvectors")
	}
	values := eigen.Values(nil) // ascending
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	total, sum := 0.0, 0.0
	for _, v := range values {
		total += math.Max(v, 0)
	}
	for j := d - 1; j >= 0 && (p.k == 0 || sum < share*total); j-- {
		sum += math.Max(values[j], 0)
		p.components = append(p.components, mat.Col(nil, j, &vectors)...)
		p.k++
	}
	p.pack()
	var all mean
	squares := 0.0
	for c := range chunks {
		from, to := c*n/chunks, (c+1)*n/chunks
		var m mean
		for i := from; i < to; i++ {
			m.add(p.Error(rows[i*d : (i+1)*d]))
		}
		before := all.Mean
		all.add(m.Mean)
		squares += float64((m.Mean - before) * (m.Mean - all.Mean))
	}
	p.Mean, p.Deviation = all.Mean, math.Sqrt(squares/float64(chunks))
	return p, nil
}

// Components returns how many are kept.
func (p *PCA) Components() int { return p.k }

func (p *PCA) scale(dst, row []float64) {
	for j, v := range row {
		dst[j] = (v - p.mean[j]) * p.inverse[j]
	}
}

// Error returns how far a row is from what the components make of it, in standard deviations of the features; NaN if it has one. Rows have the features of the reference.
func (p *PCA) Error(row []float64) float64 {
	d := len(p.mean)
	if len(row) != d {
		panic(fmt.Sprintf("a row of %d features for components of %d", len(row), d))
	}
	// The components are orthonormal: what they do not explain is the rest of the square.
	whole, explained := 0.0, 0.0
	for from := 0; from < len(p.fours) || from == 0; from += d {
		var a, b, c, e float64
		whole = 0
		fours := p.fours[min(from, len(p.fours)):]
		for j, v := range row {
			x := (v - p.mean[j]) * p.inverse[j]
			whole += float64(x * x)
			if j < len(fours) {
				w := &fours[j]
				a += float64(w[0] * x)
				b += float64(w[1] * x)
				c += float64(w[2] * x)
				e += float64(w[3] * x)
			}
		}
		explained += float64(a*a) + float64(b*b) + float64(c*c) + float64(e*e)
	}
	return math.Sqrt(math.Max(whole-explained, 0))
}

// pack lays the components out for Error.
func (p *PCA) pack() {
	d := len(p.mean)
	p.fours = make([][4]float64, (p.k+3)/4*d)
	for c := range p.k {
		for j, w := range p.components[c*d : (c+1)*d] {
			p.fours[c/4*d+j][c%4] = w
		}
	}
}

// Unusual tells how many deviations the mean error of a window is from the usual one; beyond 3 counts as drift.
func (p *PCA) Unusual(meanError float64) float64 {
	return (meanError - p.Mean) / math.Max(p.Deviation, 1e-9)
}
