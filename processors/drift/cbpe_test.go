package drift

import (
	"math"
	"testing"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: %v, want %v within %v", what, got, want, tolerance)
	}
}

// Four rows by hand: of the rows that are said to be yes, .9 + .6 are; of the others .2 + .4.
func TestCBPE(t *testing.T) {
	p, err := CBPE([]float64{.9, .6, .2, .4}, []float64{.9, .6, .2, .4}, .5)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "accuracy", p.Accuracy, (.9+.6+.8+.6)/4, 1e-12)
	near(t, "F1", p.F1, 1.5/(1.5+(.5+.6)/2), 1e-12)
	near(t, "Brier", p.Brier, (.09+.24+.16+.24)/4, 1e-12)
	near(t, "error", p.AccuracyError, math.Sqrt(.09+.24+.16+.24)/4, 1e-12)
	// Pairs of a yes above a no, from the lowest: .2 | .4 | .6 | .9 as shares of yes; a row is not above itself, but half of its own pairs are ties.
	pairs := .2*.8/2 + .4*(.8+.3) + .6*(.8+.6+.2) + .9*(.8+.6+.4+.05)
	near(t, "ROC AUC", p.ROCAUC, pairs/(2.1*1.9), 1e-12)
	if p, _ := CBPE([]float64{1, 1}, []float64{1, 1}, .5); p.Accuracy != 1 || !math.IsNaN(p.ROCAUC) {
		t.Errorf("rows that are all yes: %+v", p)
	}
	for _, bad := range [][2][]float64{{{}, {}}, {{1}, {1, 1}}, {{math.NaN()}, {1}}, {{1}, {1.5}}, {{1}, {math.NaN()}}} {
		if _, err := CBPE(bad[0], bad[1], .5); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

// Where the probabilities hold, the estimate is what comes true, also on rows of another mix than before.
func TestCBPEComesTrue(t *testing.T) {
	r := lots(7)
	for _, shape := range []float64{.5, 1, 3} {
		var scores []float64
		var right, tp, wrong float64
		var all, yes int
		type row struct {
			s   float64
			yes bool
		}
		var rows []row
		for range 20_000 {
			s := math.Pow(r.float(), shape)
			is := r.float() < s
			scores = append(scores, s)
			rows = append(rows, row{s, is})
			all++
			if is {
				yes++
			}
			switch said := s >= .5; {
			case said && is:
				tp++
				right++
			case !said && !is:
				right++
			default:
				wrong++
			}
		}
		p, err := CBPE(scores, scores, .5)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "accuracy", p.Accuracy, right/float64(all), 4*p.AccuracyError)
		near(t, "F1", p.F1, tp/(tp+wrong/2), .02)
		above, pairs := 0.0, 0.0
		for i := 0; i < len(rows); i += 20 {
			for j := 10; j < len(rows); j += 20 {
				if a, b := rows[i], rows[j]; a.yes && !b.yes {
					pairs++
					if a.s > b.s {
						above++
					}
				}
			}
		}
		near(t, "ROC AUC", p.ROCAUC, above/pairs, .03)
	}
}

// The pools are scikit-learn's: sklearn.isotonic.IsotonicRegression(out_of_bounds="clip").fit([1,2,3,4,5,6], [0,1,0,0,1,1]).
func TestIsotonic(t *testing.T) {
	c, err := FitIsotonic([]float64{3, 1, 2, 6, 5, 4}, []bool{false, false, true, true, true, false}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for x, want := range map[float64]float64{0: 0, 1: 0, 1.5: 1. / 6, 2: 1. / 3, 4: 1. / 3, 4.5: 2. / 3, 5: 1, 9: 1} {
		near(t, "isotonic", c.At(x), want, 1e-12)
	}
	if _, err := FitIsotonic([]float64{1, 2}, []bool{true, true}, 0); err == nil {
		t.Error("answers that are all the same were taken")
	}
	var none Isotonic
	if none.At(.3) != .3 || none.At(2) != 1 {
		t.Error("the zero calibration changes scores")
	}
	// Scores whose probability is their square are mended; those that are probabilities stay as they are.
	r := lots(3)
	var scores []float64
	var bent, straight []bool
	for range 5000 {
		s := r.float()
		scores = append(scores, s)
		bent = append(bent, r.float() < s*s)
		straight = append(straight, r.float() < s)
	}
	c = Calibrate(scores, bent, 32)
	if len(c.Score) == 0 || len(c.Score) > 32 {
		t.Fatalf("%d knots", len(c.Score))
	}
	for _, s := range []float64{.2, .5, .8} {
		near(t, "calibrated", c.At(s), s*s, .06)
	}
	if c := Calibrate(scores, straight, 32); len(c.Score) != 0 {
		near(t, "a calibration of what was calibrated", c.At(.5), .5, .05)
	}
}
