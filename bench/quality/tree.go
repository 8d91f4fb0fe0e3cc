package main

import (
	"math"
	"slices"
)

// hoeffding is River's HoeffdingTreeClassifier with its defaults (Hulten, Spencer and Domingos 2001, KDD): numeric features by a normal distribution a class, splits in two by information gain, leaves that
// say the majority or what naive Bayes says, whichever was right more often.
type hoeffding struct {
	classes, features int
	seen              []bool
	root              *branch
}

// branch is a node: a leaf while split is below 0.
type branch struct {
	split       int
	at          float64
	left, right *branch

	stats           []float64 // weight of each class
	order           []int     // classes as they were first seen
	tried           float64   // weight at the last try to split
	majority, bayes float64   // how often each was right
	idle            bool      // it was given up to split
	by              []spread  // by feature
}

// spread is what a leaf knows of a feature.
type spread struct {
	order []int
	n     []float64
	mean  []float64
	m2    []float64
	least []float64
	most  []float64
}

// Defaults of River's.
const (
	gracePeriod = 200
	splitDelta  = 1e-7
	splitTau    = 0.05
	splitPoints = 10
	shareMost   = 0.99
	shareLeast  = 0.01
)

func newHoeffding(classes, features int) *hoeffding {
	return &hoeffding{classes: classes, features: features, seen: make([]bool, classes)}
}

func (h *hoeffding) leaf(stats []float64, order []int) *branch {
	b := &branch{split: -1, stats: make([]float64, h.classes), order: slices.Clone(order), by: make([]spread, h.features)}
	copy(b.stats, stats)
	b.tried = b.weight()
	return b
}

func (b *branch) weight() (n float64) {
	for _, w := range b.stats {
		n += w
	}
	return n
}

// find returns the leaf of a row and its parent.
func (h *hoeffding) find(x []float64) (leaf, parent *branch) {
	for leaf = h.root; leaf != nil && leaf.split >= 0; {
		parent = leaf
		if x[leaf.split] <= leaf.at {
			leaf = leaf.left
		} else {
			leaf = leaf.right
		}
	}
	return leaf, parent
}

// largest returns the class with the largest vote, of equal ones the first in order.
func largest(votes []float64, order []int) int {
	best := -1
	for _, c := range order {
		if best < 0 || votes[c] > votes[best] {
			best = c
		}
	}
	return best
}

// naive returns the votes of naive Bayes; nil where nothing was seen.
func (b *branch) naive(x []float64) []float64 {
	total := b.weight()
	if total == 0 {
		return nil
	}
	votes := make([]float64, len(b.stats))
	for _, c := range b.order {
		if b.stats[c] <= 0 {
			continue
		}
		votes[c] = math.Log(b.stats[c] / total)
		for i, v := range x {
			s := &b.by[i]
			if s.n == nil || s.n[c] <= 1 {
				continue
			}
			if variance := s.m2[c] / (s.n[c] - 1); variance > 0 {
				d := v - s.mean[c]
				votes[c] += d*d/(-2*variance) - halfLogTau - 0.5*math.Log(variance)
			}
		}
	}
	return votes
}

// predict returns the likeliest class, -1 before the first row.
func (h *hoeffding) predict(x []float64) int {
	leaf, _ := h.find(x)
	if leaf == nil {
		return -1
	}
	votes := leaf.stats
	if !leaf.idle && leaf.bayes >= leaf.majority {
		votes = leaf.naive(x)
	}
	if votes == nil || len(leaf.order) == 0 { // a leaf that has seen nothing
		return slices.Index(h.seen, true)
	}
	best := -1
	for c := range votes {
		if slices.Contains(leaf.order, c) && (best < 0 || votes[c] > votes[best]) {
			best = c
		}
	}
	return best
}

func (h *hoeffding) learn(x []float64, class int) {
	h.seen[class] = true
	if h.root == nil {
		h.root = h.leaf(nil, nil)
	}
	leaf, parent := h.find(x)
	if !leaf.idle {
		if len(leaf.order) == 0 || largest(leaf.stats, leaf.order) == class {
			leaf.majority++
		}
		if votes := leaf.naive(x); votes != nil && largest(votes, leaf.order) == class {
			leaf.bayes++
		}
	}
	if !slices.Contains(leaf.order, class) {
		leaf.order = append(leaf.order, class)
	}
	leaf.stats[class]++
	if leaf.idle {
		return
	}
	for i, v := range x {
		leaf.by[i].add(v, class, h.classes)
	}
	if w := leaf.weight(); w-leaf.tried >= gracePeriod {
		if made := h.try(leaf); made != nil {
			switch {
			case parent == nil:
				h.root = made
			case parent.left == leaf:
				parent.left = made
			default:
				parent.right = made
			}
		}
		leaf.tried = w
	}
}

func (s *spread) add(v float64, class, classes int) {
	if s.n == nil {
		all := make([]float64, 5*classes)
		s.n, s.mean, s.m2, s.least, s.most = all[:classes], all[classes:2*classes], all[2*classes:3*classes], all[3*classes:4*classes], all[4*classes:]
	}
	if s.n[class] == 0 {
		s.order = append(s.order, class)
		s.least[class], s.most[class] = v, v
	}
	s.least[class], s.most[class] = min(s.least[class], v), max(s.most[class], v)
	s.n[class]++
	d := v - s.mean[class]
	s.mean[class] += d / s.n[class]
	s.m2[class] += d * (v - s.mean[class])
}

// offer is a split that a feature offers.
type offer struct {
	merit       float64
	feature     int // -1: none
	at          float64
	left, right []float64
	of, or      []int // the classes that each side knows of, be it with weight 0
}

// try returns the node that a leaf becomes, nil when it stays.
func (h *hoeffding) try(leaf *branch) *branch {
	kinds := 0
	for _, w := range leaf.stats {
		if w != 0 {
			kinds++
		}
	}
	if kinds < 2 {
		return nil
	}
	if slices.Max(leaf.stats)/leaf.weight() > shareMost {
		leaf.idle = true // the only suggestion is to leave it
		return nil
	}
	before := entropy(leaf.stats)
	best, second := offer{merit: math.Inf(-1), feature: -1}, math.Inf(-1)
	for i := range leaf.by {
		o := leaf.by[i].offer(i, before, h.classes)
		if o.merit >= best.merit {
			best, second = o, best.merit
		} else {
			second = max(second, o.merit)
		}
	}
	r := math.Log2(float64(max(len(leaf.order), 2)))
	bound := math.Sqrt(r * r * math.Log(1/splitDelta) / (2 * leaf.weight()))
	if !(best.merit-second > bound || bound < splitTau) {
		return nil
	}
	if best.feature < 0 {
		leaf.idle = true
		return nil
	}
	return &branch{split: best.feature, at: best.at, left: h.leaf(best.left, best.of), right: h.leaf(best.right, best.or)}
}

func (s *spread) offer(feature int, before float64, classes int) offer {
	best := offer{merit: math.Inf(-1), feature: -1}
	least, most := math.Inf(1), math.Inf(-1)
	for _, c := range s.order {
		least, most = min(least, s.least[c]), max(most, s.most[c])
	}
	step := (most - least) / (splitPoints + 1)
	for i := range splitPoints {
		at := least + step*float64(i+1)
		if !(least < at && at < most) {
			continue
		}
		left, right := make([]float64, classes), make([]float64, classes)
		var of, or []int
		for _, c := range s.order {
			switch {
			case at < s.least[c]:
				right[c], or = s.n[c], append(or, c)
			case at >= s.most[c]:
				left[c], of = s.n[c], append(of, c)
			default:
				left[c] = s.below(at, c) * s.n[c]
				right[c] = s.n[c] - left[c]
				of, or = append(of, c), append(or, c)
			}
		}
		l, r := sum(left), sum(right)
		if l/(l+r) <= shareLeast || r/(l+r) <= shareLeast {
			continue
		}
		if merit := before - (l*entropy(left)+r*entropy(right))/(l+r); merit > best.merit {
			best = offer{merit, feature, at, left, right, of, or}
		}
	}
	return best
}

// below is the share of a class's values below at, by the normal distribution; 0 where it has no width.
func (s *spread) below(at float64, class int) float64 {
	if s.n[class] <= 1 || s.m2[class] <= 0 {
		return 0
	}
	sigma := math.Sqrt(s.m2[class] / (s.n[class] - 1))
	return 0.5 * (1 + math.Erf((at-s.mean[class])/sigma/math.Sqrt2))
}

func sum(v []float64) (n float64) {
	for _, x := range v {
		n += x
	}
	return n
}

func entropy(dist []float64) float64 {
	e, n := 0.0, 0.0
	for _, d := range dist {
		if d > 0 {
			e -= d * math.Log2(d)
			n += d
		}
	}
	if n == 0 {
		return 0
	}
	return (e + n*math.Log2(n)) / n
}
