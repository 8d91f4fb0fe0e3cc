package video

import "math"

// axis says what each pixel of a scaled row or column is made of: source pixels in a row, and their weights, which sum to 1.
type axis struct {
	first   []int32 // of each target pixel
	weights []float32
	taps    int // weights a target pixel
}

// set makes the axis of n target pixels over the source's [from, to) of size pixels, in pixels of the source. Going down, a target pixel is the mean of the area that it covers;
// going up it lies between the two nearest pixels (bilinear, pixel centres at halves).
func (a *axis) set(from, to float64, size, n int) {
	step := (to - from) / float64(n)
	a.taps = 2
	if step > 1 {
		a.taps = int(math.Ceil(step)) + 1
	}
	a.taps = min(a.taps, size)
	a.first = grow(a.first, n)
	a.weights = grow(a.weights, n*a.taps)
	clear(a.weights)
	for i := range n {
		w := a.weights[i*a.taps : (i+1)*a.taps]
		if step <= 1 {
			at := min(max(from+(float64(i)+0.5)*step-0.5, 0), float64(size-1))
			k := min(int(at), size-len(w))
			a.first[i] = int32(k)
			f := float32(at - float64(k))
			w[0] = 1 - f
			if len(w) > 1 {
				w[1] = f
			}
			continue
		}
		lo, hi := from+float64(i)*step, from+float64(i+1)*step
		k := min(max(int(lo), 0), size-len(w))
		a.first[i] = int32(k)
		total := float32(0)
		for j := range w {
			covered := math.Min(hi, float64(k+j+1)) - math.Max(lo, float64(k+j))
			w[j] = float32(max(0, covered))
			total += w[j]
		}
		for j := range w {
			w[j] /= total
		}
	}
}

// scaler makes planes of a part of a packed RGB picture. It keeps its buffers and the axes of the last call.
type scaler struct {
	across, down axis
	made         scaling // what the axes are of
	ring         []float32
	rows         []int32 // the source row that lies in each place of the ring, -1: none
}

type scaling struct {
	x0, y0, x1, y1 float64 // in source pixels
	w, h           int     // the source
	outW, outH     int
}

// planes writes three planes of outW × outH: value × scale + shift of each channel, with values of 0 to 255.
func (s *scaler) planes(out []float32, rgb []byte, m scaling, scale, shift [3]float32) {
	if s.made != m {
		s.across.set(m.x0, m.x1, m.w, m.outW)
		s.down.set(m.y0, m.y1, m.h, m.outH)
		s.made = m
	}
	width := 3 * m.outW // of a row in the ring: its three channels, one after the other
	deep := s.down.taps
	s.ring = grow(s.ring, width*deep)
	s.rows = grow(s.rows, deep)
	for i := range s.rows {
		s.rows[i] = -1
	}
	plane := m.outW * m.outH
	for y := range m.outH {
		first := int(s.down.first[y])
		weights := s.down.weights[y*deep : (y+1)*deep]
		var o [3][]float32
		for c := range o {
			o[c] = out[c*plane+y*m.outW:][:m.outW]
			for x := range o[c] {
				o[c][x] = shift[c]
			}
		}
		for j, weight := range weights {
			if weight == 0 {
				continue
			}
			row, place := first+j, (first+j)%deep
			line := s.ring[place*width : (place+1)*width]
			if s.rows[place] != int32(row) {
				s.row(line, rgb[row*m.w*3:(row+1)*m.w*3], m.outW)
				s.rows[place] = int32(row)
			}
			for c := range o {
				f := weight * scale[c]
				dst, src := o[c], line[c*m.outW:][:m.outW]
				for x, v := range src[:len(dst)] {
					dst[x] += f * v
				}
			}
		}
	}
}

// row scales one source row across.
func (s *scaler) row(line []float32, rgb []byte, n int) {
	taps := s.across.taps
	r, g, b := line[:n], line[n:2*n], line[2*n:3*n]
	for x := range n {
		p := rgb[3*s.across.first[x]:][:3*taps]
		var vr, vg, vb float32
		for _, w := range s.across.weights[x*taps:][:taps] {
			vr += w * float32(p[0])
			vg += w * float32(p[1])
			vb += w * float32(p[2])
			p = p[3:]
		}
		r[x], g[x], b[x] = vr, vg, vb
	}
}

// grow returns a slice of n, s itself where it is large enough. What is in it is not kept.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
