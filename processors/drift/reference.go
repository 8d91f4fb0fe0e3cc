package drift

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Reference is what the values of one feature used to be, cut into bins of as many values each, so that a window of new values can be counted into the same bins and compared: in memory that
// does not grow, a few nanoseconds a value, and without the old values. It never changes and may be shared.
type Reference struct {
	// edges are between bins: bin i holds the values in (edges[i-1], edges[i]]. Values that come often are a bin of their own, which is then (v, v].
	edges []float64
	// means are of the bins' values, in the order of bins.
	means []float64
	// counts are of the bins; missing counts NaN.
	counts  []float64
	missing float64
	n       float64 // without the missing
}

// DefaultBins resolves a difference of distribution functions to 1/64 and takes 64 values of a new window to fill.
const DefaultBins = 64

// NewReference makes a reference of values, of which NaN is a missing one, with at most so many bins. It keeps nothing of them. There must be a value.
func NewReference(values []float64, bins int) (*Reference, error) {
	if bins < 2 {
		return nil, fmt.Errorf("make a reference: %d bins are less than 2", bins)
	}
	r := &Reference{}
	sorted := make([]float64, 0, len(values))
	for _, v := range values {
		if math.IsNaN(v) {
			r.missing++
		} else {
			sorted = append(sorted, v)
		}
	}
	if len(sorted) == 0 {
		return nil, errors.New("make a reference: there are no values")
	}
	slices.Sort(sorted)
	r.n = float64(len(sorted))
	add := func(from, to int) {
		sum := 0.0
		for _, v := range sorted[from:to] {
			sum += v / float64(to-from)
		}
		r.edges, r.means, r.counts = append(r.edges, sorted[to-1]), append(r.means, sum), append(r.counts, float64(to-from))
	}
	for at := 0; at < len(sorted); {
		left := bins - len(r.edges)
		want := max((len(sorted)-at+left-1)/max(left, 1), 1)
		if left <= 1 {
			want = len(sorted) - at
		}
		to := at + want
		// Equal values stay together: a bin ends after the last of them, or before the first where they would more than double it.
		v := sorted[to-1]
		first, _ := slices.BinarySearch(sorted, v)
		after, _ := slices.BinarySearchFunc(sorted, v, func(x, v float64) int {
			if x <= v {
				return -1
			}
			return 1
		})
		if to = after; after-at > 2*want && first > at && left > 1 {
			to = first
		}
		add(at, to)
		at = to
	}
	// Beyond the greatest value is one more bin, which was empty.
	r.means, r.counts = append(r.means, r.edges[len(r.edges)-1]), append(r.counts, 0)
	return r, nil
}

// bins returns how many bins there are.
func (r *Reference) bins() int { return len(r.counts) }

// Window counts new values into a Reference's bins.
type Window struct {
	ref     *Reference
	counts  []float64
	sums    []float64
	missing float64
	n       float64
}

// NewWindow returns an empty window.
func (r *Reference) NewWindow() *Window {
	return &Window{ref: r, counts: make([]float64, r.bins()), sums: make([]float64, r.bins())}
}

// Add counts a value; NaN is a missing one. It allocates nothing.
func (w *Window) Add(x float64) {
	if x != x {
		w.missing++
		return
	}
	// The first edge that is not less, without a branch to guess wrong.
	edges, lo := w.ref.edges, 0
	for n := len(edges); n > 0; {
		half := (n + 1) / 2
		lo += half * one(edges[lo+half-1] < x)
		n -= half
	}
	w.counts[lo]++
	w.sums[lo] += x
	w.n++
}

// N returns how many values there are, and how many were missing.
func (w *Window) N() (values, missing int) { return int(w.n), int(w.missing) }

// Merge adds what another window of the same Reference holds.
func (w *Window) Merge(o *Window) error {
	if o.ref != w.ref {
		return errors.New("merge windows: they are of different references")
	}
	for i := range w.counts {
		w.counts[i] += o.counts[i]
		w.sums[i] += o.sums[i]
	}
	w.n += o.n
	w.missing += o.missing
	return nil
}

// Reset empties the window.
func (w *Window) Reset() {
	clear(w.counts)
	clear(w.sums)
	w.n, w.missing = 0, 0
}

// AppendState appends what Restore needs.
func (w *Window) AppendState(dst []byte) []byte {
	dst = append(dst, stateVersion, 'W')
	return floats(floats(floats(dst, w.counts), w.sums), []float64{w.n, w.missing})
}

// Restore takes the state of a window of an equal Reference. After an error the window is empty.
func (w *Window) Restore(state []byte) error {
	w.Reset()
	if len(state) < 2 || state[0] != stateVersion || state[1] != 'W' {
		return errors.New("restore a window: the state is of another kind or version")
	}
	counts, rest, err := readFloats(state[2:], nil, len(w.counts))
	if err != nil {
		return err
	}
	sums, rest, err := readFloats(rest, nil, len(w.sums))
	if err != nil {
		return err
	}
	both, rest, err := readFloats(rest, nil, 2)
	if err := done(rest, err); err != nil {
		return err
	}
	if len(counts) != len(w.counts) || len(sums) != len(w.sums) || len(both) != 2 {
		return errors.New("restore a window: the state is of another reference")
	}
	copy(w.counts, counts)
	copy(w.sums, sums)
	w.n, w.missing = both[0], both[1]
	return nil
}

// AppendBinary appends the reference, so that it can be kept with a model.
func (r *Reference) AppendBinary(dst []byte) ([]byte, error) {
	dst = append(dst, stateVersion, 'R')
	dst = floats(floats(floats(dst, r.edges), r.means), r.counts)
	return binary.Append(dst, binary.LittleEndian, [2]float64{r.missing, r.n})
}

// ReadReference reads what AppendBinary wrote.
func ReadReference(data []byte) (*Reference, error) {
	const most = 1 << 16
	bad := errors.New("read a reference: the bytes are of another kind or damaged")
	if len(data) < 2 || data[0] != stateVersion || data[1] != 'R' {
		return nil, bad
	}
	r := &Reference{}
	var err error
	rest := data[2:]
	for _, to := range []*[]float64{&r.edges, &r.means, &r.counts} {
		if *to, rest, err = readFloats(rest, nil, most); err != nil {
			return nil, bad
		}
	}
	var both [2]float64
	if n, err := binary.Decode(rest, binary.LittleEndian, &both); err != nil || n != len(rest) {
		return nil, bad
	}
	r.missing, r.n = both[0], both[1]
	if len(r.edges) == 0 || len(r.means) != len(r.edges)+1 || len(r.counts) != len(r.means) || !slices.IsSorted(r.edges) || !(r.n > 0) {
		return nil, bad
	}
	return r, nil
}
