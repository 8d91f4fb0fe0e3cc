package truth

import (
	"math"
	"slices"

	"andon/event"
	"andon/model"
)

// Accuracy sums up outcomes. What cannot be told of them is NaN.
type Accuracy struct {
	// N is how many outcomes, Valued those of which the value's truth is known, Happened those in which what the risk speaks of happened.
	N, Valued, Happened int
	// Loss and Brier are means, of Loss and RiskLoss.
	Loss, Brier float64
	// RMSE and MAE are of the value, capped, in its unit; of remaining life.
	RMSE, MAE float64
	// Accuracy is the share that was right: of classes the class, of others a risk of at least one half where it happened, and below where it did not. Precision, Recall and F1 are of
	// what happened; AUC is the chance that the risk was higher where it happened than where it did not.
	Accuracy, Precision, Recall, F1, AUC float64
}

// Measure sums up outcomes of one version.
func (r *Rule) Measure(all []Outcome) Accuracy {
	nan := math.NaN()
	a := Accuracy{N: len(all), Loss: nan, Brier: nan, RMSE: nan, MAE: nan, Accuracy: nan, Precision: nan, Recall: nan, F1: nan, AUC: nan}
	if len(all) == 0 {
		return a
	}
	var loss, brier, squares, distance float64
	var right, said, hits int
	for i := range all {
		o := &all[i]
		brier += o.RiskLoss
		if !math.IsNaN(o.Loss) {
			a.Valued++
			loss += o.Loss
			d := math.Min(math.Max(o.Value, 0), float64(r.Cap)) - o.Truth
			squares += d * d
			distance += math.Abs(d)
		}
		happened, positive := o.Happened == 1, r.positive(o)
		correct := happened == positive
		if r.Task == model.Classification {
			correct = o.Truth == 1
		}
		if happened {
			a.Happened++
		}
		if positive {
			said++
		}
		if correct {
			right++
		}
		if happened && positive {
			hits++
		}
	}
	n := float64(a.N)
	a.Brier, a.Accuracy = brier/n, float64(right)/n
	if a.Valued > 0 {
		a.Loss = loss / float64(a.Valued)
		if r.Task == model.RemainingLife {
			a.RMSE, a.MAE = math.Sqrt(squares/float64(a.Valued)), distance/float64(a.Valued)
		}
	}
	a.Precision, a.Recall = ratio(hits, said), ratio(hits, a.Happened)
	a.F1 = ratio(2*hits, said+a.Happened)
	a.AUC = auc(all)
	return a
}

// positive tells whether a prediction said that something would happen, or was there.
func (r *Rule) positive(o *Outcome) bool {
	if r.Task == model.Classification {
		return o.Class != event.KindClear && o.Class != event.KindNormal
	}
	return o.Risk >= 0.5
}

func ratio(a, b int) float64 {
	if b == 0 {
		return math.NaN()
	}
	return float64(a) / float64(b)
}

// auc is the area under the receiver's curve by the rank sum, ties counting half (Hanley and McNeil 1982).
func auc(all []Outcome) float64 {
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case all[a].Risk < all[b].Risk:
			return -1
		case all[a].Risk > all[b].Risk:
			return 1
		}
		return 0
	})
	var sum, happened float64
	for from := 0; from < len(order); {
		to := from
		for to < len(order) && all[order[to]].Risk == all[order[from]].Risk {
			to++
		}
		for _, i := range order[from:to] {
			if all[i].Happened == 1 {
				sum += float64(from+to+1) / 2
				happened++
			}
		}
		from = to
	}
	not := float64(len(all)) - happened
	if happened == 0 || not == 0 {
		return math.NaN()
	}
	return (sum - happened*(happened+1)/2) / (happened * not)
}
