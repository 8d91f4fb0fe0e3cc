package drift

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"andon/event"
)

// Profile is what the rows of a model's features used to be, so that pieces of a line can be held against it: like is compared with like, and what is usual is learned from the reference's own
// assets and pieces. It never changes and may be shared.
//
// Telemetry is no sample of independent rows: an asset's rows resemble each other, and what happens to a fleet happens to all of it for a while. A test that counts rows calls every shift of
// the weather a change. So the tests here are of means of residuals that are 0 where nothing has changed, and their variance is that of assets' sums and of parts of time's
// (Liang and Zeger 1986, Biometrika 73; two ways as in Cameron, Gelbach and Miller 2011, JBES 29), plus what the reference itself does not know, plus what its own pieces differ beyond
// that (a random effect as in DerSimonian and Laird 1986, Controlled Clinical Trials 7).
//
// And rows move without anything having changed, as an asset ages: each row is compared with the reference's rows of the same stratum of one feature, the condition, such as the
// age; what a piece is held against is the reference's strata in the piece's own mix (direct standardisation).
type Profile struct {
	// From is one of event's Reference constants.
	From string
	// Piece is how many windows make a piece.
	Piece int
	// Inputs names the values of a row. Condition is the one whose strata are compared apart, -1 for none; it is not watched itself.
	Inputs    []string
	Condition int
	// Cuts are the upper bounds of all strata but the last.
	Cuts []float64
	// Kinds is how many strata are of one kind each, as Rows.Kinds has it; the last stratum is then of strangers. 0: the condition is a quantity.
	Kinds    int `json:",omitempty"`
	Features []Feature

	// together is of the inputs that it names, nil where there are too few rows; loss is nil where the reference knows none.
	together *PCA
	of       []int
	loss     *additive
	// ranged is how many features have a Range.
	ranged int

	// Risk is which input is a probability, -1 for none; Calibration makes it one.
	Risk        int
	Calibration Isotonic
	// Threshold is the risk from which on the model says yes.
	Threshold float64
	// Measured is what the model was worth on rows that it was not trained on, by metric: loss, accuracy, f1, roc_auc, brier.
	Measured map[string]float64
	// Guess is Rows.Guess.
	Guess float64 `json:",omitempty"`
}

// Feature is the reference of one feature.
type Feature struct {
	Name, Role string
	// Input is the row's value, -1 for what is made of several.
	Input int
	// A value x is x*Std+Mean in the feature's unit.
	Mean, Std float64
	// Edges are the upper bounds of all bins but the last. P[s][b] is the share of bin b in stratum s.
	Edges []float64
	P     [][]float64
	// Means and Deviations are of the values, by stratum; Missing the share without one.
	Means, Deviations, Missing []float64
	// Noise[t][s] is the standard deviation of what test t's residual is on average in stratum s; Between and Drift are variances between assets and between pieces.
	Noise          [tests][]float64
	Between, Drift [tests]float64
	// Strange is the variance between the kinds' means in deviations of the stratum of strangers, 0 where there is but one kind and nothing is known of it.
	Strange float64 `json:",omitempty"`
	// Known is of how many kinds that is.
	Known int `json:",omitempty"`
	// Range bounds the values of an input, nil of what is none.
	Range []float64 `json:",omitempty"`
	// References is how many assets or parts of time the reference has.
	References int

	// grid is of Edges, residual by stratum, then bin. plain tells that residuals are those of the bin alone, and none is missing: no loss, no kinds.
	grid     *grid
	residual []residual
	plain    bool
	// kinds is the profile's.
	kinds int
}

// The tests: of place by ranks (or by means, of losses), of spread by ranks, of missing values.
const (
	testPlace = iota
	testSpread
	testMissing
	tests
)

// togetherName is the feature of how badly the inputs go together, EmbeddingName that of how unlike the reference's a model's embeddings are.
const (
	togetherName  = "together"
	EmbeddingName = "embedding"
)

// Rows is what a Profile is made of.
type Rows struct {
	From   string
	Names  []string
	Roles  []string
	Mean   []float64 // nil: 0
	Std    []float64 // nil: 1
	Values []float64 // row-major [n, len(Names)]; NaN for what is missing
	// Partial tells of which features a NaN says nothing, since not all rows have them.
	Partial []bool
	// Asset names each row's asset by a number, At is its event time.
	Asset []int32
	At    []int64
	// Condition is -1 for none. Kinds, if above 0, tells that it is a number from 0 that names one of so many kinds that differ by nature, as cameras do: each is a stratum.
	Condition int
	Kinds     int
	Piece     int
	// Least is how many rows make a reference, 0 for what is usual.
	Least int
	// Alone tells that assets are looked at one by one: what one differs by from piece to piece is more than what all of them do together, so it is learned of each alone, and the most counts.
	Alone bool
	// Loss is what the model lost by each row, between 0 and 1, and Yes whether what its risk speaks of came: 1, 0, or -1 where it is not known, as NaN of Loss. Either may be nil.
	Loss []float64
	Yes  []int8
	// Guess is what would be lost by guessing: by the model's own verdicts, given to rows at random; 0 where that is not known. So much is estimated of a row that is nowhere near the reference's.
	Guess float64
	// Risk is the feature that is a probability of yes, -1 for none.
	Risk      int
	Threshold float64
}

const (
	// profileBins resolve a difference of distribution functions to a thirtieth: a third of what counts as one.
	profileBins = 32
	// profileStrata cut a life into eighths; a stratum of fewer than strataRows rows says too little.
	profileStrata = 8
	strataRows    = 100
	// leastRows of a feature make a reference.
	leastRows = 100
	// mostTogether bounds the components' matrix, togetherRows the rows that it is learned from.
	mostTogether = 128
	togetherRows = 5000
	// parts are how many parts of time a piece has, referenceParts a reference.
	parts          = 8
	referenceParts = 10
)

func (r *Rows) least() int {
	if r.Least > 0 {
		return r.Least
	}
	return leastRows
}

// NewProfile learns a reference. It keeps nothing of the rows.
func NewProfile(r Rows) (*Profile, error) {
	d := len(r.Names)
	n := len(r.At)
	switch {
	case d == 0 || len(r.Roles) != d || len(r.Values) != n*d || len(r.Asset) != n:
		return nil, fmt.Errorf("make a profile: %d values, %d assets and %d times are not rows of %d", len(r.Values), len(r.Asset), n, d)
	case n < r.least():
		return nil, fmt.Errorf("make a profile: %d rows are fewer than %d: %w", n, r.least(), ErrFewRows)
	case r.Kinds > 0 && r.Condition < 0:
		return nil, errors.New("make a profile: nothing names the kinds")
	case r.Piece < parts:
		return nil, fmt.Errorf("make a profile: pieces of %d windows are smaller than %d", r.Piece, parts)
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(r.At[a], r.At[b]), cmp.Compare(r.Asset[a], r.Asset[b]))
	})
	p := &Profile{From: r.From, Piece: r.Piece, Inputs: r.Names, Condition: r.Condition, Kinds: r.Kinds, Risk: -1, Threshold: r.Threshold, Measured: map[string]float64{}}
	b := &profiler{Rows: r, d: d, order: order, stratum: make([]int, n), p: p}
	b.stratify()
	add := func(name, role string, input int, partial bool, x func(i int) float64) error {
		f := Feature{Name: name, Role: role, Input: input, Std: 1}
		if input >= 0 && r.Std != nil {
			f.Mean, f.Std = r.Mean[input], r.Std[input]
		}
		if err := b.feature(&f, partial, x); err != nil {
			return fmt.Errorf("make a profile of %s: %w", name, err)
		}
		p.Features = append(p.Features, f)
		return nil
	}
	for j, name := range r.Names {
		if j == r.Condition {
			continue
		}
		if err := add(name, r.Roles[j], j, r.Partial != nil && r.Partial[j], func(i int) float64 { return r.Values[i*d+j] }); errors.Is(err, ErrFewRows) {
			continue // of a model's value that no row has, for one
		} else if err != nil {
			return nil, err
		}
	}
	b.fitTogether()
	if p.together != nil {
		row := make([]float64, len(p.of))
		if err := add(togetherName, event.RoleTogether, -1, true, func(i int) float64 { return p.apart(r.Values[i*d:(i+1)*d], row) }); err != nil {
			return nil, err
		}
	}
	if r.Loss != nil {
		b.fitLoss()
	}
	if p.loss != nil && r.Guess > 0 {
		p.Guess = r.Guess
		b.ranges()
	}
	if p.loss != nil {
		if err := add("loss", event.RoleLoss, -1, true, func(i int) float64 {
			if r.Loss[i] != r.Loss[i] {
				return math.NaN()
			}
			return p.losses(r.Values[i*d : (i+1)*d])
		}); err != nil {
			return nil, err
		}
	}
	b.calibrate()
	return p, nil
}

// ErrFewRows tells that there are too few rows to say what is usual.
var ErrFewRows = errors.New("there are too few values")

// profiler makes a Profile.
type profiler struct {
	Rows
	d       int
	order   []int // rows in order of time
	stratum []int
	p       *Profile
}

// stratify cuts the condition into strata of as many rows each.
func (b *profiler) stratify() {
	if b.Condition < 0 {
		return
	}
	for s := range b.Kinds {
		b.p.Cuts = append(b.p.Cuts, float64(s))
	}
	x := make([]float64, len(b.order))
	for i := range x {
		x[i] = b.Values[i*b.d+b.Condition]
	}
	sorted := slices.Clone(x)
	slices.Sort(sorted)
	strata := min(profileStrata, len(x)/strataRows)
	for s := 1; s < strata && b.Kinds == 0; s++ {
		if cut := sorted[s*len(x)/strata]; len(b.p.Cuts) == 0 || cut > b.p.Cuts[len(b.p.Cuts)-1] {
			b.p.Cuts = append(b.p.Cuts, cut)
		}
	}
	for i, v := range x {
		b.stratum[i] = b.p.stratumOf(v)
	}
}

// stratumOf returns the stratum of the condition's value; a missing one is of the first.
func (p *Profile) stratumOf(x float64) int {
	s := 0
	for _, cut := range p.Cuts {
		s += one(x > cut)
	}
	return s
}

// strata returns how many there are.
func (p *Profile) strata() int { return len(p.Cuts) + 1 }

// feature learns the reference of one feature from the rows that have it.
func (b *profiler) feature(f *Feature, partial bool, x func(i int) float64) error {
	strata := b.p.strata()
	var rows []int
	var values []float64
	for _, i := range b.order {
		if v := x(i); v == v || !partial {
			rows, values = append(rows, i), append(values, v)
		}
	}
	if len(rows) < b.least() {
		return ErrFewRows
	}
	ref, err := NewReference(values, profileBins)
	if err != nil {
		return ErrFewRows
	}
	f.Edges, f.grid = ref.edges, gridOf(ref.edges)
	bins := len(f.Edges) + 1
	counts, pool := make([][]float64, strata), make([]float64, bins)
	n, have, missing := make([]float64, strata), make([]float64, strata), make([]float64, strata)
	moments := make([]mean, strata)
	squares := make([]float64, strata)
	for s := range counts {
		counts[s] = make([]float64, bins)
	}
	for k, i := range rows {
		s, v := b.stratum[i], values[k]
		if n[s]++; v != v {
			missing[s]++
			continue
		}
		have[s]++
		bin := f.grid.bin(v)
		counts[s][bin]++
		pool[bin]++
		before := moments[s].Mean
		moments[s].add(v)
		squares[s] += float64((v - before) * (v - moments[s].Mean))
	}
	total, all, deviation := 0.0, mean{}, 0.0
	for s := range n {
		total += have[s]
	}
	for _, v := range values {
		if v == v {
			before := all.Mean
			all.add(v)
			deviation += float64((v - before) * (v - all.Mean))
		}
	}
	f.P, f.Means, f.Deviations, f.Missing = make([][]float64, strata), make([]float64, strata), make([]float64, strata), make([]float64, strata)
	for s := range n {
		f.P[s] = make([]float64, bins)
		for k := range bins { // one row's weight of the whole keeps a bin from being impossible
			f.P[s][k] = (counts[s][k] + pool[k]/total) / (have[s] + 1)
		}
		f.Means[s] = (float64(have[s]*moments[s].Mean) + all.Mean) / (have[s] + 1)
		f.Deviations[s] = math.Sqrt((squares[s] + deviation/total) / (have[s] + 1))
		f.Missing[s] = missing[s] / math.Max(n[s], 1)
	}
	if b.Kinds > 0 {
		b.pool(f, have)
	}
	f.derive()
	b.variances(f, rows, values)
	return nil
}

// derive makes the residuals of the bins: the rank in the stratum less one half, rows of one bin sharing theirs, and its square less its mean.
func (f *Feature) derive() {
	f.grid, f.residual = gridOf(f.Edges), make([]residual, 0, len(f.P)*(len(f.Edges)+1))
	f.plain = f.Role != event.RoleLoss && f.kinds == 0
	for s, p := range f.P {
		f.plain = f.plain && f.Missing[s] == 0
		below, square := 0.0, 0.0
		own := len(f.residual)
		for _, share := range p {
			place := below + share/2 - .5
			below += share
			square += float64(share * place * place)
			f.residual = append(f.residual, residual{place: place})
		}
		for k := range f.residual[own:] {
			r := &f.residual[own+k]
			r.spread = float64(r.place*r.place) - square
		}
	}
}

// residuals are those of one value.
func (f *Feature) residuals(s, bin int, x float64) (place, spread, missing float64) {
	if x != x {
		return 0, 0, 1 - f.Missing[s]
	}
	r := f.residual[s*(len(f.Edges)+1)+bin]
	place, spread, missing = r.place, r.spread, -f.Missing[s]
	if f.Role == event.RoleLoss || f.strange(s) {
		place = (x - f.Means[s]) / math.Max(f.Deviations[s], 1e-12)
	}
	return place, spread, missing
}

// variances learns how far the residuals' means stray where nothing changes. rows are in order of time.
func (b *profiler) variances(f *Feature, rows []int, values []float64) {
	strata := b.p.strata()
	number := map[int32]int{}
	for _, i := range rows {
		if _, ok := number[b.Asset[i]]; !ok {
			number[b.Asset[i]] = len(number)
		}
	}
	assets := len(number)
	residual := make([][tests]float64, len(rows))
	for k, i := range rows {
		bin := 0
		if values[k] == values[k] {
			bin = f.grid.bin(values[k])
		}
		residual[k][testPlace], residual[k][testSpread], residual[k][testMissing] = f.residuals(b.stratum[i], bin, values[k])
	}
	// What the reference's own means are uncertain by, stratum by stratum.
	f.References = min(len(rows)/2, referenceParts)
	if assets >= parts {
		f.References = assets
	}
	noise := func(of func(k, i int) int, groups int) (sd [tests][]float64) {
		sums := make([][tests]float64, groups*strata)
		n := make([]float64, strata)
		for k, i := range rows {
			s := b.stratum[i]
			n[s]++
			for t, r := range residual[k] {
				sums[of(k, i)*strata+s][t] += r
			}
		}
		for t := range tests {
			sd[t] = make([]float64, strata)
			for s := range strata {
				sum := 0.0
				for g := range groups {
					v := sums[g*strata+s][t]
					sum += float64(v * v)
				}
				sd[t][s] = math.Sqrt(sum*float64(groups)/float64(groups-1)) / math.Max(n[s], 1)
			}
		}
		return sd
	}
	f.Noise = noise(func(k, _ int) int { return k * referenceParts / len(rows) }, referenceParts)
	if assets >= parts {
		f.Noise = noise(func(_, i int) int { return number[b.Asset[i]] }, assets)
	}
	// Between assets, of which those with few rows say little.
	if assets > 1 {
		sums, n := make([][tests]float64, assets), make([]float64, assets)
		for k, i := range rows {
			a := number[b.Asset[i]]
			n[a]++
			for t, r := range residual[k] {
				sums[a][t] += r
			}
		}
		for t := range tests {
			for a := range sums {
				f.Between[t] += float64(sums[a][t] * sums[a][t] / n[a] / float64(len(rows)))
			}
		}
	}
	all := make([]int, len(rows))
	for k := range all {
		all[k] = k
	}
	if b.Kinds > 0 {
		b.strangers(f, rows, residual)
	}
	f.Drift = b.between(all, b.Piece, func(k int) (asset int) { return number[b.Asset[rows[k]]] }, residual)
	if b.Alone && assets > 1 {
		of := make([][]int, assets)
		for k, i := range rows {
			of[number[b.Asset[i]]] = append(of[number[b.Asset[i]]], k)
		}
		for _, own := range of {
			if len(own) < b.least() {
				continue
			}
			alone := b.between(own, b.Piece*len(own)/len(rows), func(int) int { return 0 }, residual)
			for t, v := range alone {
				f.Drift[t] = math.Max(f.Drift[t], v)
			}
		}
	}
}

// between learns how far the residuals' means of pieces stray beyond what assets and parts of time explain. of are rows in order of time.
func (b *profiler) between(of []int, piece int, asset func(k int) int, residual [][tests]float64) (excess [tests]float64) {
	piece = max(min(piece, len(of)/6), 2*parts)
	pieces := 0
	for from := 0; from+piece <= len(of); from += piece {
		pieces++
		c := newClusters(1)
		for i, k := range of[from : from+piece] {
			c.add(asset(k), i*parts/piece, residual[k][:])
		}
		for t := range tests {
			sums := c.sums(0, t)
			m := sums.Sum / float64(piece)
			excess[t] += float64(m*m) - variance(&sums, float64(piece), c.squares, c.blockSquares, len(c.n), parts)
		}
	}
	for t := range tests {
		excess[t] = math.Max(excess[t]/float64(max(pieces, 1)), 0)
	}
	return excess
}

// fitTogether learns how the inputs go together.
func (b *profiler) fitTogether() {
	for _, f := range b.p.Features {
		if f.Role == event.RoleInput {
			b.p.of = append(b.p.of, f.Input)
		}
	}
	k := len(b.p.of)
	if k < 3 || k > mostTogether {
		return
	}
	step := max(len(b.order)/togetherRows, 1)
	var rows []float64
	for at := 0; at < len(b.order); at += step {
		row := b.Values[b.order[at]*b.d : (b.order[at]+1)*b.d]
		whole := true
		for _, j := range b.p.of {
			whole = whole && row[j] == row[j] && !math.IsInf(row[j], 0)
		}
		if whole {
			for _, j := range b.p.of {
				rows = append(rows, row[j])
			}
		}
	}
	if len(rows)/k < 2*max(k, DefaultChunks) {
		return
	}
	if p, err := FitPCA(rows, k, DefaultShare, DefaultChunks); err == nil {
		b.p.together = p
	}
}

// apart tells how badly a row's inputs go together; buf has room for them.
func (p *Profile) apart(row, buf []float64) float64 {
	for i, j := range p.of {
		buf[i] = row[j]
	}
	return p.together.Error(buf[:len(p.of)])
}

// calibrate makes the risk a probability, and tells what the model was worth.
func (b *profiler) calibrate() {
	if b.Loss != nil {
		var m mean
		for _, l := range b.Loss {
			if l == l {
				m.add(l)
			}
		}
		if m.N > 0 {
			b.p.Measured["loss"] = m.Mean
		}
	}
	if b.Rows.Risk < 0 || b.Yes == nil {
		return
	}
	var risk, probability []float64
	var yes []bool
	for _, i := range b.order {
		if v := b.Values[i*b.d+b.Rows.Risk]; b.Yes[i] >= 0 && v == v {
			risk, yes = append(risk, v), append(yes, b.Yes[i] == 1)
		}
	}
	if len(risk) < b.least() || !slices.Contains(yes, true) || !slices.Contains(yes, false) {
		return
	}
	b.p.Risk, b.p.Calibration = b.Rows.Risk, Calibrate(risk, yes, 64)
	for _, y := range yes {
		if y {
			probability = append(probability, 1)
		} else {
			probability = append(probability, 0)
		}
	}
	// With the truth for the probabilities the estimate is what was measured.
	if m, err := CBPE(risk, probability, b.Threshold); err == nil {
		b.p.Measured["accuracy"] = m.Accuracy
		if m.F1 == m.F1 {
			b.p.Measured["f1"] = m.F1
		}
		b.p.Measured["roc_auc"] = m.ROCAUC
	}
	brier := 0.0
	for i, v := range risk {
		miss := b.p.Calibration.At(v) - probability[i]
		brier += miss * miss / float64(len(risk))
	}
	b.p.Measured["brier"] = brier
}
