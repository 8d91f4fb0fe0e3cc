package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"andon/event"
	"andon/processors/drift"
)

// guard is a contender of the watch: it sees the windows of a stream and says at the end of some that they are no longer what they were.
type guard interface {
	// see takes a window's row, and tells whether something is called changed as of now, and by which name, where a verdict is due.
	see(asset string, at int64, row []float64) (due, changed bool, cause string)
}

// roundWindows are held against the reference at once: a piece of each of four partitions.
const (
	partitions   = 4
	roundWindows = partitions * 500
)

// andonGuard are the monitors of four partitions and the panel, as in the appliance.
type andonGuard struct {
	monitors []*drift.Monitor
	panel    *drift.Panel
	n        int64
	standing map[string]bool
	cause    string
}

func newAndon(p *drift.Profile, groups map[string]string) *andonGuard {
	c := drift.Default()
	c.Groups = groups
	g := &andonGuard{panel: drift.NewPanel(func(string) (drift.Config, bool) { return c, true }), standing: map[string]bool{}}
	for range partitions {
		g.monitors = append(g.monitors, drift.NewMonitor(p, c.Windows, c.Compile()))
	}
	return g
}

func (g *andonGuard) see(asset string, at int64, row []float64) (due, changed bool, cause string) {
	h := 0
	for _, c := range []byte(asset) {
		h = h*31 + int(c)
	}
	k := h % partitions
	if k < 0 {
		k += partitions
	}
	g.n++
	for _, s := range g.monitors[k].Add(asset, at, event.Position{Topic: "t", Partition: int32(k), Offset: g.n}, row) {
		s.Pipeline, s.Version = "p", "v"
		rounds, alarms := g.panel.Add(&s)
		due = due || len(rounds) > 0
		for _, a := range alarms {
			g.standing[a.Kind] = !a.Over
			if !a.Over && a.Kind == event.AlarmInput {
				g.cause = a.Causes[0].Feature
			}
		}
	}
	for _, on := range g.standing {
		changed = changed || on
	}
	return due, changed, g.cause
}

// chunkGuard holds each chunk of windows against all rows of the reference, feature by feature, as a report of a batch does.
type chunkGuard struct {
	names []string
	of    []int       // columns
	past  [][]float64 // sorted, by column
	rows  [][]float64
	// says judges a column's sorted values; share of the columns must be called changed, at least one.
	says  func(past, now []float64) bool
	share float64
}

func newChunks(r *drift.Rows, share float64, says func(past, now []float64) bool) *chunkGuard {
	g := &chunkGuard{names: r.Names, share: share, says: says}
	d := len(r.Names)
	for j := range r.Names {
		if j == r.Condition {
			continue
		}
		var v []float64
		for i := range r.At {
			if x := r.Values[i*d+j]; x == x {
				v = append(v, x)
			}
		}
		slices.Sort(v)
		g.of, g.past = append(g.of, j), append(g.past, v)
	}
	return g
}

func (g *chunkGuard) see(_ string, _ int64, row []float64) (due, changed bool, cause string) {
	g.rows = append(g.rows, row)
	if len(g.rows) < roundWindows {
		return false, false, ""
	}
	n, now := 0, make([]float64, 0, len(g.rows))
	for k, j := range g.of {
		now = now[:0]
		for _, r := range g.rows {
			if r[j] == r[j] {
				now = append(now, r[j])
			}
		}
		slices.Sort(now)
		if len(now) == 0 || g.says(g.past[k], now) {
			if n++; n == 1 {
				cause = g.names[j]
			}
		}
	}
	g.rows = g.rows[:0]
	return true, float64(n) >= math.Max(g.share*float64(len(g.of)), 1), cause
}

// ksBelow says changed where the P value of the two-sample test of Kolmogorov and Smirnov is below alpha, as if rows were independent.
func ksBelow(alpha float64) func(past, now []float64) bool {
	return func(past, now []float64) bool {
		i, d := 0, 0.0
		for k := 0; k < len(now); {
			v := now[k]
			i, _ = slices.BinarySearch(past, v)
			d = math.Max(d, math.Abs(float64(i)/float64(len(past))-float64(k)/float64(len(now))))
			for k < len(now) && now[k] == v {
				k++
			}
			for i < len(past) && past[i] == v {
				i++
			}
			d = math.Max(d, math.Abs(float64(i)/float64(len(past))-float64(k)/float64(len(now))))
		}
		x := d * math.Sqrt(float64(len(past))*float64(len(now))/float64(len(past)+len(now)))
		p := 0.0
		for k := 1; k <= 100; k++ {
			term := 2 * math.Exp(-2*float64(k*k)*x*x)
			if k%2 == 0 {
				term = -term
			}
			p += term
		}
		return x > 0.2 && p < alpha
	}
}

// earthBeyond says changed where the earth mover's distance is limit standard deviations of the past or more.
func earthBeyond(limit float64) func(past, now []float64) bool {
	return func(past, now []float64) bool {
		mean, squares := 0.0, 0.0
		for i, v := range past {
			before := mean
			mean += (v - mean) / float64(i+1)
			squares += (v - before) * (v - mean)
		}
		sd := math.Sqrt(squares / float64(len(past)))
		// Between quantiles, of which there are as many as new values.
		sum := 0.0
		for k, v := range now {
			sum += math.Abs(v-past[min(int((float64(k)+.5)/float64(len(now))*float64(len(past))), len(past)-1)]) / float64(len(now))
		}
		return sum >= limit*math.Max(sd, 1e-12)
	}
}

// always and never say the same of each chunk.
type constant struct {
	n   int
	say bool
}

func (c *constant) see(string, int64, []float64) (due, changed bool, cause string) {
	c.n++
	return c.n%roundWindows == 0, c.say, ""
}

// guards are the contenders on one stream.
var guardNames = []string{"**Andon's watch**", "KS p < 0.05, a feature", "KS p < 0.05 / features, a feature", "Wasserstein > 0.1 sd, a feature", "Wasserstein > 0.1 sd, half the features", "always", "never"}

func guardsOf(r *drift.Rows, p *drift.Profile, groups map[string]string) []guard {
	return []guard{newAndon(p, groups), newChunks(r, 0, ksBelow(.05)), newChunks(r, 0, ksBelow(.05/float64(len(r.Names)))), newChunks(r, 0, earthBeyond(.1)), newChunks(r, .5, earthBeyond(.1)),
		&constant{say: true}, &constant{}}
}

// scene is a kind of stream: its reference, and what comes then, with something planted from a window on.
type scene interface {
	reference(seed uint64) drift.Rows
	play(seed uint64, windows int, p *planted, from int, see func(asset string, at int64, row []float64))
}

// planted is a change.
type planted struct {
	name string
	// pull changes the readings of an asset in place; sd are the deviations of the reference, last what they were before.
	pull   func(seed uint64, asset int, x, sd, last []float64)
	blame  func(seed uint64) int // the reading that is to blame, -1 for none
	groups map[string]string
}

// verdicts adds up what a guard said.
type verdicts struct {
	windows, rounds, said, began int
	streams, found, blamed       int
	delays                       []float64
}

func (v *verdicts) rate() float64 { return 1000 * float64(v.began) / float64(v.windows) }

// past is the reference of one stream.
type past struct {
	rows    drift.Rows
	profile *drift.Profile
}

func pastOf(s scene, seed uint64) (past, error) {
	rows := s.reference(seed)
	profile, err := drift.NewProfile(rows)
	return past{rows, profile}, err
}

// trial lets all guards watch one stream.
func trial(s scene, of past, seed uint64, windows int, p *planted, from int, sums []*verdicts) {
	rows, profile := of.rows, of.profile
	var groups map[string]string
	if p != nil {
		groups = p.groups
	}
	guards := guardsOf(&rows, profile, groups)
	type state struct {
		on, found bool
	}
	states, n := make([]state, len(guards)), 0
	s.play(seed, windows, p, from, func(asset string, at int64, row []float64) {
		n++
		for k, g := range guards {
			due, changed, cause := g.see(asset, at, row)
			if !due {
				continue
			}
			v, st := sums[k], &states[k]
			if p == nil {
				v.rounds++
				if changed {
					v.said++
				}
				if changed && !st.on {
					v.began++
				}
			}
			st.on = changed
			// A round that ends just after the change has hardly any of it: what stood before, or has nothing to do with it, is no find, and counts as one all the same for those who say so always.
			if p != nil && n > from && changed && !st.found {
				st.found = true
				v.found++
				v.delays = append(v.delays, float64(n-from))
				if b := p.blame(seed); b >= 0 && (cause == rows.Names[b] || strings.HasPrefix(cause, rows.Names[b]+" ")) {
					v.blamed++
				}
			}
		}
	})
	for _, v := range sums {
		v.streams, v.windows = v.streams+1, v.windows+n
	}
}

func newSums() (sums []*verdicts) {
	for range guardNames {
		sums = append(sums, &verdicts{})
	}
	return sums
}

const (
	// quietMost is the goal: false alarms in 1,000 windows.
	quietMost = 0.05
	// calm windows come before a planted change, changed ones after.
	calm, changed = 6_000, 12_000
)

// watchPart prints how often each guard cries wolf on streams that stay what they were, and how soon it finds what was planted.
func watchPart(from uint64, streams int) error {
	engines, err := readEngines()
	if err != nil {
		return err
	}
	scenes := []struct {
		name    string
		scene   scene
		windows int
		planted []planted
	}{{"plants", plants{}, 20_000, plantChanges}, {"C-MAPSS FD001", engines, 24_000, engines.changes()}}
	var errs []error
	for _, s := range scenes {
		sums, pasts := newSums(), make([]past, streams)
		for k := range pasts {
			if pasts[k], err = pastOf(s.scene, from+uint64(k)); err != nil {
				return err
			}
			trial(s.scene, pasts[k], from+uint64(k), s.windows, nil, 0, sums)
			fmt.Fprintf(os.Stderr, "%s, stationary, seed %d\n", s.name, from+uint64(k))
		}
		fmt.Printf("\n%s, nothing changes: %d streams, %d windows\n\n| | rounds in which something is called changed | the same in 1,000 windows | alarms that begin, in 1,000 windows |\n|---|---|---|---|\n", s.name, streams, sums[0].windows)
		for k, v := range sums {
			fmt.Printf("| %s | %.1f %% of %d | %.3f | %.3f |\n", guardNames[k], 100*float64(v.said)/math.Max(float64(v.rounds), 1), v.rounds, 1000*float64(v.said)/float64(v.windows), v.rate())
		}
		if r := sums[0].rate(); r >= quietMost {
			errs = append(errs, fmt.Errorf("%s: %.3f false alarms in 1,000 windows", s.name, r))
		}
		fmt.Printf("\n%s, changed after %d windows: streams in which it is found within %d, median windows until then (the reading to blame is named first)\n\n| change |", s.name, calm, changed)
		for _, name := range guardNames[:5] {
			fmt.Printf(" %s |", name)
		}
		fmt.Printf("\n|---|%s\n", strings.Repeat("---|", 5))
		for _, p := range s.planted {
			sums := newSums()
			for k := range streams {
				trial(s.scene, pasts[k], from+uint64(k), calm+changed, &p, calm, sums)
			}
			fmt.Fprintf(os.Stderr, "%s, %s\n", s.name, p.name)
			fmt.Printf("| %s |", p.name)
			for _, v := range sums[:5] {
				fmt.Printf(" %s |", v)
			}
			fmt.Println()
			if strings.Contains(p.name, "+1 sd of all") && sums[0].found < streams {
				errs = append(errs, fmt.Errorf("%s: %s is found in %d of %d streams", s.name, p.name, sums[0].found, streams))
			}
		}
	}
	return errors.Join(errs...)
}

func (v *verdicts) String() string {
	if v.found == 0 {
		return fmt.Sprintf("0 of %d", v.streams)
	}
	slices.Sort(v.delays)
	return fmt.Sprintf("%d of %d, %.0f (%d)", v.found, v.streams, v.delays[len(v.delays)/2], v.blamed)
}
