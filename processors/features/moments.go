package features

import (
	"math"
	"slices"
)

// moments says how what the functions need is kept of one signal's values, as so many numbers: how many values, and as the functions need them mean and sum
// of squared differences from it; least and greatest; last and its time; mean of the times, sum of their squared differences from it, and of the products of
// both differences. Times are nanoseconds since the accumulator's base. Zeros are no values.
//
// Values are added by Welford's update (B. P. Welford, "Note on a method for calculating corrected sums of squares and products", Technometrics 4(3), 1962) and
// accumulators merged by the formulas of T. F. Chan, G. H. Golub and R. J. LeVeque ("Updating formulae and a pairwise algorithm for computing sample
// variances", 1979), which lose nothing where the values lie far from 0 and close together. Products are rounded by conversion before they are added, so that no
// machine fuses the two into another result.
type moments struct {
	functions              []Function
	width                  int
	mean, square           bool
	span, last, slope      bool
	spanAt, lastAt, slope0 int
}

func newMoments(functions []Function) moments {
	has := func(f Function) bool { return slices.Contains(functions, f) }
	m := moments{functions: functions, width: 1, square: has(Deviation), span: has(Min) || has(Max), last: has(Last), slope: has(Slope)}
	m.mean = has(Mean) || m.square || m.slope
	if m.mean {
		m.width++
	}
	if m.square {
		m.width++
	}
	if m.span {
		m.spanAt, m.width = m.width, m.width+2
	}
	if m.last {
		m.lastAt, m.width = m.width, m.width+2
	}
	if m.slope {
		m.slope0, m.width = m.width, m.width+3
	}
	return m
}

// add takes a value, at nanoseconds after the base, into an accumulator.
func (m *moments) add(acc []float64, x, at float64) {
	n := acc[0] + 1
	acc[0] = n
	if m.mean {
		d := x - acc[1]
		mean := acc[1] + d/n
		acc[1] = mean
		if m.square {
			acc[2] += float64(d * (x - mean))
		}
		if m.slope {
			s := acc[m.slope0 : m.slope0+3 : m.slope0+3]
			dt := at - s[0]
			s[0] += dt / n
			s[1] += float64(dt * (at - s[0]))
			s[2] += float64(dt * (x - mean))
		}
	}
	if m.span {
		s := acc[m.spanAt : m.spanAt+2 : m.spanAt+2]
		if n == 1 {
			s[0], s[1] = x, x
		} else if x < s[0] {
			s[0] = x
		} else if x > s[1] {
			s[1] = x
		}
	}
	if m.last {
		s := acc[m.lastAt : m.lastAt+2 : m.lastAt+2]
		if n == 1 || at > s[1] {
			s[0], s[1] = x, at
		}
	}
}

// merge sets dst to what a and b hold together, with the base of a, which lies shift nanoseconds before that of b. All of b's times lie after a's. dst may be a.
func (m *moments) merge(dst, a, b []float64, shift float64) {
	dst, a, b = dst[:m.width:m.width], a[:m.width:m.width], b[:m.width:m.width]
	na, nb := a[0], b[0]
	if nb == 0 {
		copy(dst, a)
		return
	}
	if na == 0 {
		copy(dst, b)
		if m.last {
			dst[m.lastAt+1] += shift
		}
		if m.slope {
			dst[m.slope0] += shift
		}
		return
	}
	n := na + nb
	if m.mean {
		part := nb / n
		d := b[1] - a[1]
		if m.square {
			dst[2] = a[2] + b[2] + float64(float64(d*d)*float64(na*part))
		}
		if m.slope {
			s, u, v := dst[m.slope0:m.slope0+3:m.slope0+3], a[m.slope0:m.slope0+3:m.slope0+3], b[m.slope0:m.slope0+3:m.slope0+3]
			dt, weight := v[0]+shift-u[0], float64(na*part)
			s[1] = u[1] + v[1] + float64(float64(dt*dt)*weight)
			s[2] = u[2] + v[2] + float64(float64(dt*d)*weight)
			s[0] = u[0] + float64(dt*part)
		}
		dst[1] = a[1] + float64(d*part)
	}
	if m.span {
		dst[m.spanAt], dst[m.spanAt+1] = min(a[m.spanAt], b[m.spanAt]), max(a[m.spanAt+1], b[m.spanAt+1])
	}
	if m.last {
		dst[m.lastAt], dst[m.lastAt+1] = b[m.lastAt], b[m.lastAt+1]+shift
	}
	dst[0] = n
}

// tell sets out to what the functions say of an accumulator.
func (m *moments) tell(out, acc []float64) {
	n := acc[0]
	for i, f := range m.functions {
		v := math.NaN()
		switch {
		case f == Count:
			v = n
		case n == 0:
		case f == Mean:
			v = acc[1]
		case f == Deviation:
			if n > 1 {
				v = math.Sqrt(acc[2] / (n - 1))
			}
		case f == Min:
			v = acc[m.spanAt]
		case f == Max:
			v = acc[m.spanAt+1]
		case f == Last:
			v = acc[m.lastAt]
		case acc[m.slope0+1] > 0:
			v = acc[m.slope0+2] / acc[m.slope0+1] * 1e9
		}
		out[i] = v
	}
}
