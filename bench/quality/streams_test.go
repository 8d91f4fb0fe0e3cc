package main

import (
	"math/rand/v2"
	"testing"
)

// A drift's first alarm within its time is a hit; all other alarms are false.
func TestTally(t *testing.T) {
	var sum tally
	sum.add(course{rows: 10_000, accuracy: .9, alarms: []int{100, 2050, 2060, 5999, 7000}}, []int{2000, 5000, 8000}, 0)
	if sum.hit != 2 || sum.false_ != 3 || sum.f1 != 2*2./8 || sum.delay != 50+999 || sum.far() != .3 {
		t.Errorf("%+v", sum)
	}
	sum = tally{}
	sum.add(course{rows: 10_000, alarms: []int{6500}}, []int{5000}, 1000)
	if sum.hit != 1 || sum.f1 != 1 {
		t.Errorf("within a ramp: %+v", sum)
	}
}

// Both learners come to know what is there to know.
func TestLearners(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var rows table
	for range 20_000 {
		x := []float64{r.NormFloat64(), r.NormFloat64(), r.Float64()}
		y := 0
		if x[0] > 0.5 != (x[1] > 0) { // naive Bayes cannot tell that, a tree can
			y = 1
		}
		rows.x, rows.y = append(rows.x, x), append(rows.y, y)
	}
	tree, _ := watched(rows, func() learner { return newHoeffding(2, 3) }, &every{})
	bayes, _ := watched(rows, func() learner { return newBayes(2, 3) }, &every{})
	if tree.accuracy < .8 || bayes.accuracy > .75 {
		t.Errorf("the tree is right in %.2f, naive Bayes in %.2f", tree.accuracy, bayes.accuracy)
	}
	for i := range rows.y {
		rows.y[i] = 0
		if rows.x[i][2] > .5 {
			rows.y[i] = 1
		}
	}
	if bayes, _ = watched(rows, func() learner { return newBayes(2, 3) }, &every{}); bayes.accuracy < .95 {
		t.Errorf("naive Bayes is right in %.2f", bayes.accuracy)
	}
}
