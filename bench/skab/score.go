package main

import (
	"math"
	"time"
)

// counts are of rows, for the outliers.
type counts struct{ tp, fp, tn, fn int }

func (c *counts) add(truth, said []bool) {
	for i, t := range truth {
		switch {
		case t && said[i]:
			c.tp++
		case t:
			c.fn++
		case said[i]:
			c.fp++
		default:
			c.tn++
		}
	}
}

// f1, far and mar are the score, the share of usual rows that are said to be outliers and that of outliers which are not, both in per cent; NaN where there are none.
func (c *counts) f1() float64  { return float64(c.tp) / (float64(c.tp) + float64(c.fn+c.fp)/2) }
func (c *counts) far() float64 { return 100 * float64(c.fp) / float64(c.fp+c.tn) }
func (c *counts) mar() float64 { return 100 * float64(c.fn) / float64(c.fn+c.tp) }

// width is how long after a true change it may be said.
const width = time.Minute

// profile is what a changepoint costs that is said outside of all windows, and one that is missed; one that is said at once brings 1.
type profile struct{ falsely, missed float64 }

var profiles = []profile{{0.11, 1}, {0.22, 1}, {0.11, 2}} // standard, low FP, low FN

// changes sums what was said of changes, over files.
type changes struct {
	windows, missed, falsely int
	// at is how far into its window each found change was said first, from 0 to 1.
	at []float64
}

// add counts a file. A window begins at its change, or where the one before ends, and both ends belong to it; what is said again within a window is free.
func (c *changes) add(times []time.Time, truth, said []bool) {
	type window struct{ from, to time.Time }
	var all []window
	for i, t := range truth {
		if !t {
			continue
		}
		w := window{times[i], times[i].Add(width)}
		if n := len(all); n > 0 && !all[n-1].to.Before(w.from) {
			w.from = all[n-1].to
		}
		all = append(all, w)
	}
	found := make([]bool, len(all))
	for i, s := range said {
		if !s {
			continue
		}
		inside := false
		for k, w := range all {
			if times[i].Before(w.from) || times[i].After(w.to) {
				continue
			}
			inside = true
			if !found[k] {
				found[k] = true
				c.at = append(c.at, times[i].Sub(w.from).Seconds()/max(w.to.Sub(w.from).Seconds(), 1e-9))
			}
		}
		if !inside {
			c.falsely++
		}
	}
	c.windows += len(all)
	for _, f := range found {
		if !f {
			c.missed++
		}
	}
}

// worth is what a found change brings: 1 at the begin of its window, what a false one costs at its end, and a hyperbolic tangent between.
func worth(at, falsely float64) float64 {
	const steps = 1000 // the benchmark looks it up in a table of so many
	k := math.Min(math.Floor(at*steps), steps-1)
	x := -math.Pi/2 + math.Pi*k/(steps-1)
	half := (1 + falsely) / 2
	return -half*math.Tanh(x)/math.Tanh(math.Pi/2) + half - falsely
}

// nab is 0 if nothing is said, and 100 if every change is at once and nothing else.
func (c *changes) nab(p profile) float64 {
	sum := -p.falsely*float64(c.falsely) - p.missed*float64(c.missed)
	for _, at := range c.at {
		sum += worth(at, p.falsely)
	}
	n := float64(c.windows)
	return 100 * (sum + p.missed*n) / (n * (1 + p.missed))
}
