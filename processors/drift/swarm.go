package drift

import (
	"errors"
	"hash/fnv"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"andon/event"
)

// swarm sums up the features of embeddings less what is expected of them, as clusters does numbers: by asset and by part of time.
type swarm struct {
	whole   []float64
	assets  map[string]*vector
	blocks  [parts]vector
	within  float64
	noise   float64
	vectors []*vector // that are let go
}

type vector struct {
	n   float64
	sum []float64
}

func newSwarm() *swarm {
	s := &swarm{whole: make([]float64, kernelFeatures), assets: map[string]*vector{}}
	for b := range s.blocks {
		s.blocks[b].sum = make([]float64, kernelFeatures)
	}
	return s
}

func (s *swarm) reset() {
	clear(s.whole)
	for _, v := range s.assets {
		v.n = 0
		clear(v.sum)
		s.vectors = append(s.vectors, v)
	}
	clear(s.assets)
	for b := range s.blocks {
		s.blocks[b].n = 0
		clear(s.blocks[b].sum)
	}
	s.within, s.noise = 0, 0
}

func (s *swarm) asset(name string) *vector {
	if v := s.assets[name]; v != nil {
		return v
	}
	if len(s.assets) >= mostClusters { // shared, as clusters are
		h := fnv.New32a()
		_, _ = h.Write([]byte(name))
		names := slices.Sorted(maps.Keys(s.assets))
		return s.assets[names[h.Sum32()%mostClusters]]
	}
	v := &vector{sum: make([]float64, kernelFeatures)}
	if last := len(s.vectors) - 1; last >= 0 {
		v, s.vectors = s.vectors[last], s.vectors[:last]
	}
	s.assets[name] = v
	return v
}

// add counts a row's features, of which expected is the mean.
func (s *swarm) add(asset string, part int, features, expected []float64) {
	a, b := s.asset(asset), &s.blocks[part]
	a.n++
	b.n++
	for i, x := range features {
		r := x - expected[i]
		s.whole[i] += r
		a.sum[i] += r
		b.sum[i] += r
	}
}

func (s *swarm) squares() (sum float64) {
	for _, v := range s.assets {
		sum += v.n * v.n
	}
	return sum
}

func (s *swarm) blockSquares() (sum float64) {
	for b := range s.blocks {
		sum += s.blocks[b].n * s.blocks[b].n
	}
	return sum
}

// embedded is an event.SketchVector in calculation.
type embedded struct {
	sum, clusters, blocks []float64
	t                     event.Sums
	n                     float64
}

// sums tells of n rows.
func (s *swarm) sums(n float64) *embedded {
	e := &embedded{sum: slices.Clone(s.whole), clusters: make([]float64, kernelFeatures), blocks: make([]float64, kernelFeatures), n: n}
	for _, name := range sortedKeys(s.assets) { // in an order, so that sums are the same to the bit
		v := s.assets[name]
		e.t.ClusterSquare += dotOf(v.sum, v.sum)
		plusTo(e.clusters, v.sum, v.n)
	}
	for b := range s.blocks {
		v := &s.blocks[b]
		e.t.BlockSquare += dotOf(v.sum, v.sum)
		plusTo(e.blocks, v.sum, v.n)
	}
	return e
}

// far is how far the mean of the rows' features is from what was expected: the root of the squared discrepancy.
func (e *embedded) far() float64 { return math.Sqrt(dotOf(e.sum, e.sum)) / e.n }

// traces are the sums as if they were of numbers: along the line from what was expected to what there is, and in their squares in all directions.
func (e *embedded) traces() *event.Sums {
	t := e.t
	if t.Sum = math.Sqrt(dotOf(e.sum, e.sum)); t.Sum > 0 {
		t.ClusterCross, t.BlockCross = dotOf(e.sum, e.clusters)/t.Sum, dotOf(e.sum, e.blocks)/t.Sum
	}
	return &t
}

// Swarms counts what one partition's embeddings are like, piece by piece, beside the Monitor that counts their numbers and says when a piece is over. The same rows give the same sums, however they come in batches.
type Swarms struct {
	kernel *Kernel
	groups map[string]*swarm
	buf    []float64
}

// NewSwarms begins a piece.
func NewSwarms(k *Kernel) *Swarms { return &Swarms{kernel: k, groups: map[string]*swarm{}} }

// Unlike tells how far an embedding is from what its kind's are on average; Add counts the same row then.
func (s *Swarms) Unlike(kind int, embedding []float32) float64 {
	s.buf = s.kernel.Features(s.buf[:0], embedding)
	return s.kernel.Unlike(kind, s.buf)
}

// Add counts the row that Unlike was asked of, as the Monitor will count its numbers next.
func (s *Swarms) Add(m *Monitor, asset string, kind int) {
	name := m.groupName(m.group(asset))
	w := s.groups[name]
	if w == nil {
		w = newSwarm()
		s.groups[name] = w
	}
	w.add(asset, m.n*parts/m.piece, s.buf, s.kernel.Means[kind])
	w.within += s.kernel.Within[kind]
	w.noise += s.kernel.Noise[kind]
}

// Tell puts what was counted into the sketches of a piece, as a part of the feature of that name, and begins the next.
func (s *Swarms) Tell(sketches []event.Sketch, feature string) {
	for i := range sketches {
		o := &sketches[i]
		w := s.groups[o.Group]
		j := slices.IndexFunc(o.Features, func(f event.SketchFeature) bool { return f.Name == feature })
		if w == nil || j < 0 {
			continue
		}
		n, k := float64(o.Windows), s.kernel
		e := w.sums(n)
		v := &event.SketchVector{Sum: short32(e.sum), ClusterCross: short32(e.clusters), BlockCross: short32(e.blocks), Within: w.within, Freedom: k.Freedom * n, Sums: e.t}
		v.Noise, v.Drift, v.References = w.noise, k.Drift*n, referenceParts*n
		if o.Stranger {
			kinds := float64(k.Known)
			// As Profile.estranged has it.
			v.Noise, v.Drift, v.References = 0, 0, kinds*n
			v.Between = k.Strange*(1+1/math.Max(kinds, 1))*o.Squares + k.Drift*n*n
			if k.Known < leastKinds {
				v = nil
			}
		}
		o.Features[j].Vector = v
	}
	s.Reset()
}

// Reset forgets the piece.
func (s *Swarms) Reset() {
	for _, w := range s.groups {
		w.reset()
	}
	clear(s.groups)
}

func short32(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

func long(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// discrepancy tests the embeddings of a sketch: how far their mean is, in what one of the reference is from its own on average, and the P value.
func discrepancy(s *event.Sketch, v *event.SketchVector) (size, p float64) {
	n := float64(s.Windows)
	if n == 0 || v.Within <= 0 {
		return 0, 1
	}
	e := embedded{sum: long(v.Sum), clusters: long(v.ClusterCross), blocks: long(v.BlockCross), t: v.Sums, n: n}
	far := e.far()
	trace, freedom := spreadOf(s, e.traces())
	size = far / math.Sqrt(v.Within/n)
	if trace <= 0 {
		return size, 1
	}
	h := v.Freedom / n
	return size, distuv.F{D1: h, D2: h * freedom}.Survival(far * far / trace)
}

// addVector adds the embeddings of another sketch; of both or of none.
func addVector(a, b *event.SketchVector) *event.SketchVector {
	if a == nil || b == nil || len(a.Sum) != len(b.Sum) {
		return nil
	}
	sum := func(x, y []float32) []float32 {
		out := slices.Clone(x)
		for i := range out {
			out[i] += y[i]
		}
		return out
	}
	return &event.SketchVector{Sum: sum(a.Sum, b.Sum), ClusterCross: sum(a.ClusterCross, b.ClusterCross), BlockCross: sum(a.BlockCross, b.BlockCross), Within: a.Within + b.Within, Freedom: a.Freedom + b.Freedom,
		Sums: plus(a.Sums, b.Sums)}
}

var errSwarms = errors.New("restore what was counted of embeddings: the state is of another kind, cut short or damaged")

// AppendState appends the piece that is not done yet.
func (s *Swarms) AppendState(dst []byte) []byte {
	dst = append(dst, stateVersion, 'E')
	for _, name := range sortedKeys(s.groups) {
		w := s.groups[name]
		dst = floats(appendText(dst, name), []float64{w.within, w.noise, float64(len(w.assets))})
		dst = floats(dst, w.whole)
		for _, asset := range sortedKeys(w.assets) {
			v := w.assets[asset]
			dst = floats(floats(appendText(dst, asset), []float64{v.n}), v.sum)
		}
		for b := range w.blocks {
			dst = floats(floats(dst, []float64{w.blocks[b].n}), w.blocks[b].sum)
		}
	}
	return dst
}

// Restore goes on from a state. After an error there is nothing.
func (s *Swarms) Restore(state []byte) error {
	s.Reset()
	if len(state) < 2 || state[0] != stateVersion || state[1] != 'E' {
		return errSwarms
	}
	r := reader{rest: state[2:]}
	for len(r.rest) > 0 {
		name, w, head, n := r.text(), newSwarm(), make([]float64, 3), make([]float64, 1)
		r.floats(head)
		r.floats(w.whole)
		if !(head[2] >= 0 && head[2] <= mostClusters) {
			r.failed = true
		}
		for i := 0; i < int(head[2]) && !r.failed; i++ {
			v := w.asset(r.text())
			r.floats(n)
			r.floats(v.sum)
			v.n = n[0]
		}
		for b := range w.blocks {
			r.floats(n)
			r.floats(w.blocks[b].sum)
			w.blocks[b].n = n[0]
		}
		if r.failed {
			s.Reset()
			return errSwarms
		}
		w.within, w.noise = head[0], head[1]
		s.groups[name] = w
	}
	return nil
}
