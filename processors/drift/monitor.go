package drift

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"regexp"
	"slices"

	"andon/event"
)

// Fleet is the group of the assets that no other takes, and the name of all groups together.
const Fleet = "fleet"

// Group names assets by a pattern. Strangers are of a kind that the profile does not know; their group is not part of the fleet.
type Group struct {
	Name     string
	Match    *regexp.Regexp
	Stranger bool
}

// Monitor counts what one partition's models see and say into sketches, piece by piece. What a value is it does not care: a row is a vector of the profile's inputs, of a window or of a frame. The
// same rows give the same sketches, however they come in batches. It is not safe for concurrent use; after warm-up a row allocates nothing but the names of new assets.
type Monitor struct {
	profile *Profile
	piece   int
	groups  []Group
	known   map[string]int // the group of an asset

	n      int   // rows of this piece
	pieces int64 // that are done
	parts  []*portion
	last   event.Position
	scratch
}

// portion is what one group has of a piece.
type portion struct {
	windows      int
	start, end   int64
	confusion    Confusion
	counts       [][]float64
	strata       []float64 // rows of each
	weights      []float64 // of the risk's bins
	missing, sum []float64
	clusters     *clusters
	assets       map[string]int
	names        []string // of clusters, empty where several assets share one
	// block holds rows that are in windows, start and end, but not yet in what is counted.
	block block
}

const (
	// mostClusters bounds the memory of a piece: beyond, assets share a cluster, which is no less independent of the others.
	mostClusters = 64
	mostKnown    = 1 << 16
	mostFurthest = 3
)

// NewMonitor makes a monitor of a partition, whose pieces have so many windows. The first group that matches takes an asset.
func NewMonitor(p *Profile, piece int, groups []Group) *Monitor {
	return &Monitor{profile: p, piece: piece, groups: groups, known: map[string]int{}, parts: make([]*portion, len(groups)+1), scratch: scratch{row: make([]float64, len(p.of))}}
}

// Profile returns what it compares with.
func (m *Monitor) Profile() *Profile { return m.profile }

// Pending returns how many rows of a piece that is not done yet it holds.
func (m *Monitor) Pending() int { return m.n }

// Pieces returns how many are done.
func (m *Monitor) Pieces() int64 { return m.pieces }

// Resume begins a piece anew, after so many.
func (m *Monitor) Resume(pieces int64) {
	m.forget()
	m.pieces = pieces
}

func (m *Monitor) group(asset string) int {
	if len(m.groups) == 0 {
		return 0
	}
	if g, ok := m.known[asset]; ok {
		return g
	}
	if len(m.known) >= mostKnown {
		clear(m.known)
	}
	g := 0
	for ; g < len(m.groups) && !m.groups[g].Match.MatchString(asset); g++ {
	}
	m.known[asset] = g
	return g
}

func (m *Monitor) portion(g int) *portion {
	if m.parts[g] != nil {
		return m.parts[g]
	}
	f := len(m.profile.Features)
	p := &portion{clusters: newClusters(f), assets: map[string]int{}, counts: make([][]float64, f), strata: make([]float64, m.profile.strata()),
		missing: make([]float64, f), sum: make([]float64, f)}
	for j := range m.profile.Features {
		bins := len(m.profile.Features[j].Edges) + 1
		p.counts[j] = make([]float64, bins)
		if m.profile.Risk >= 0 && m.profile.Features[j].Input == m.profile.Risk {
			p.weights = make([]float64, bins)
		}
	}
	m.parts[g] = p
	return p
}

// cluster returns the number of an asset within the piece.
func (p *portion) cluster(asset string) int {
	if c, ok := p.assets[asset]; ok {
		return c
	}
	c := len(p.assets)
	if c >= mostClusters {
		h := fnv.New32a()
		_, _ = h.Write([]byte(asset))
		c = int(h.Sum32() % mostClusters)
		p.names[c] = ""
	} else {
		p.names = append(p.names, asset)
	}
	p.assets[asset] = c
	return c
}

// Add counts a row: values are of the profile's inputs, at is its event time and pos the record that made it. It returns the sketches of a piece that is full, one a group, else none.
func (m *Monitor) Add(asset string, at int64, pos event.Position, values []float64) []event.Sketch {
	p := m.profile
	if len(values) != len(p.Inputs) {
		panic(fmt.Sprintf("a row of %d values for a profile of %d", len(values), len(p.Inputs)))
	}
	s := 0
	if p.Condition >= 0 {
		s = p.stratumOf(values[p.Condition])
	}
	part := m.portion(m.group(asset))
	if part.windows == 0 || at < part.start {
		part.start = at
	}
	if part.windows == 0 || at > part.end {
		part.end = at
	}
	part.windows++
	b := &part.block
	if t := m.n * parts / m.piece; t != b.part {
		m.count(part)
		b.part = t
	}
	b.assets[b.n], b.strata[b.n], b.values = int32(part.cluster(asset)), int32(s), append(b.values, values...)
	if b.n++; b.n == blockRows {
		m.count(part)
	}
	m.last = pos
	if m.n++; m.n < m.piece {
		return nil
	}
	return m.Cut()
}

// Cut ends the piece before it is full, as where another model takes over. Without rows there is nothing to end.
func (m *Monitor) Cut() []event.Sketch {
	var out []event.Sketch
	for g, part := range m.parts {
		if part != nil && part.windows > 0 {
			m.count(part)
			out = append(out, m.sketch(g, part))
		}
	}
	if len(out) > 0 {
		out[len(out)-1].Last = true
	}
	if m.n > 0 {
		m.pieces++
	}
	m.forget()
	return out
}

// forget empties the piece.
func (m *Monitor) forget() {
	for _, part := range m.parts {
		if part != nil {
			part.reset()
		}
	}
	m.n = 0
}

// Reset begins anew, as before the first row.
func (m *Monitor) Reset() {
	m.forget()
	m.pieces = 0
}

func (p *portion) reset() {
	p.windows, p.start, p.end, p.confusion = 0, 0, 0, Confusion{}
	for j := range p.counts {
		clear(p.counts[j])
	}
	p.block.n, p.block.part, p.block.values = 0, 0, p.block.values[:0]
	for _, x := range [][]float64{p.strata, p.weights, p.missing, p.sum} {
		clear(x)
	}
	p.clusters.reset()
	clear(p.assets)
	clear(p.names)
	p.names = p.names[:0]
}

func (m *Monitor) groupName(g int) string {
	if g < len(m.groups) {
		return m.groups[g].Name
	}
	return Fleet
}

// sketch tells of one group's part of the piece.
func (m *Monitor) sketch(g int, part *portion) event.Sketch {
	p, c := m.profile, part.clusters
	name := m.groupName(g)
	c.total()
	n := float64(part.windows)
	stranger := g < len(m.groups) && m.groups[g].Stranger
	out := event.Sketch{Stranger: stranger, Position: m.last, Group: name, Piece: m.pieces, Reference: p.From, Start: part.start, End: part.end, Windows: part.windows, Clusters: len(c.n), Blocks: c.counted(),
		Squares: c.squares, BlockSquares: c.blockSquares, TP: part.confusion.TP, FP: part.confusion.FP, FN: part.confusion.FN, TN: part.confusion.TN, Brier: part.confusion.Squares,
		Features: make([]event.SketchFeature, len(p.Features))}
	for j := range p.Features {
		f, o := &p.Features[j], &out.Features[j]
		*o = event.SketchFeature{Name: f.Name, Role: f.Role, Missing: uint32(part.missing[j]), Counts: make([]uint32, len(part.counts[j])), Expected: make([]float32, len(part.counts[j]))}
		for b, k := range part.counts[j] {
			o.Counts[b] = uint32(k)
		}
		values, sum := n-part.missing[j], 0.0
		for s, k := range part.strata { // rows of the stratum
			o.ExpectedMissing += float64(k * f.Missing[s])
			share := k * values / n
			for b, q := range f.P[s] {
				o.Expected[b] += float32(share * q)
			}
			sum += float64(share * f.Means[s])
			o.SquaredSum += float64(share * f.Deviations[s] * f.Deviations[s] * f.Std * f.Std)
			for t := range tests {
				o.Tests[t].Noise += float64(k * f.Noise[t][s])
			}
		}
		o.Sum, o.ExpectedSum = float64(part.sum[j]*f.Std)+values*f.Mean, float64(sum*f.Std)+values*f.Mean
		if part.weights != nil && f.Input == p.Risk {
			o.Weights = slices.Clone(part.weights)
		}
		for t := range tests {
			sums := c.sums(j, t)
			sums.Noise, sums.Between, sums.Drift, sums.References = o.Tests[t].Noise, f.Between[t]*c.squares, f.Drift[t]*n, float64(f.References)*n
			if out.Stranger {
				p.estranged(f, t, &sums, n, c.squares)
			}
			o.Tests[t] = sums
		}
		o.Furthest = part.furthest(j)
	}
	return out
}

// furthest names the assets whose ranks are furthest off in a feature, on the side to which the whole group has gone.
func (p *portion) furthest(j int) []string {
	c := p.clusters
	width, at := c.features*tests, j*tests+testPlace
	side := c.whole[at]
	if math.Abs(side) < 0.1*float64(p.windows) {
		side = 0
	}
	type far struct {
		name string
		by   float64
	}
	var all []far
	for a, n := range c.n {
		if name := p.names[a]; name != "" {
			by := c.assets[a*width+at] / n
			if side < 0 {
				by = -by
			} else if side == 0 {
				by = math.Abs(by)
			}
			if by > 0.25 { // half of all that a rank can be off
				all = append(all, far{name, by})
			}
		}
	}
	slices.SortStableFunc(all, func(x, y far) int { return cmp.Or(cmp.Compare(y.by, x.by), cmp.Compare(x.name, y.name)) })
	var names []string
	for _, f := range all[:min(len(all), mostFurthest)] {
		names = append(names, f.name)
	}
	return names
}

// sortedKeys returns a map's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
