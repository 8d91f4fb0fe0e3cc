package features

import "andon/model"

// Window is one window of one asset at the moment its last slot closed. It is valid during the call that tells of it.
type Window struct {
	Asset string
	// Start and End bound it in event time, Unix nanoseconds: the first slot's begin and the last slot's end.
	Start, End int64

	// The rows from head to the end, then those before head.
	ring  []float32
	head  int
	width int
}

// Append appends the window to dst, row-major [Length, Width], oldest slot first; a nil scaler leaves the channels as they are.
func (w *Window) Append(dst []float32, s *Scaler) []float32 {
	cut := w.head * w.width
	if s == nil {
		dst = append(dst, w.ring[cut:]...)
		return append(dst, w.ring[:cut]...)
	}
	at := len(dst)
	if n := at + len(w.ring); n > cap(dst) {
		dst = append(dst, w.ring...)
	} else {
		dst = dst[:n]
	}
	out := dst[at:]
	s.scale(out, w.ring[cut:])
	s.scale(out[len(w.ring)-cut:], w.ring[:cut])
	return dst
}

// Scaler applies a recipe's Scale to windows.
type Scaler struct {
	mean, inverse []float32
}

// NewScaler returns the scaler of a trained recipe, nil for one without Scale.
func NewScaler(r *model.Recipe) *Scaler {
	if len(r.Scale) == 0 {
		return nil
	}
	s := &Scaler{mean: make([]float32, len(r.Scale)), inverse: make([]float32, len(r.Scale))}
	for i, c := range r.Scale {
		s.mean[i], s.inverse[i] = float32(c.Mean), float32(1/c.Std)
	}
	return s
}

// scale writes whole rows of in, scaled, to out. Three rows at a time share the loads of their scales: 1.7 times as fast as one (BenchmarkRow).
func (s *Scaler) scale(out, in []float32) {
	n := len(s.mean)
	mean, inverse := s.mean, s.inverse[:n]
	for len(in) >= 3*n && len(out) >= 3*n {
		a, b, c := in[:n], in[n : 2*n][:n], in[2*n : 3*n][:n]
		x, y, z := out[:n], out[n : 2*n][:n], out[2*n : 3*n][:n]
		for i, m := range mean {
			v := inverse[i]
			x[i] = (a[i] - m) * v
			y[i] = (b[i] - m) * v
			z[i] = (c[i] - m) * v
		}
		in, out = in[3*n:], out[3*n:]
	}
	for len(in) >= n {
		a, x := in[:n], out[:n]
		for i, m := range mean {
			x[i] = (a[i] - m) * inverse[i]
		}
		in, out = in[n:], out[n:]
	}
}
