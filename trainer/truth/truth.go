// Package truth says what predictions came to. A prediction of a window is right or wrong only once its truth is settled, which may take long: that an asset does not fail within the next
// H steps is known when H steps have gone by. What is not settled is not counted.
//
// The rules are here, pure, for one prediction at a time. Whole pipelines are settled in ClickHouse by the same rules, which a test holds equal.
//
// Metrics: andon_truth_outcomes_total, andon_truth_label_lag_seconds, andon_truth_coverage_ratio, andon_truth_conflicts, andon_truth_loss (by pipeline, the lag by quantile and the loss by
// version), andon_truth_failed_rounds_total.
package truth

import (
	"context"
	"fmt"

	"andon/event"
)

// Outcome is what a prediction came to.
type Outcome = event.Outcome

// Pair is what two versions said of one window, and what it came to.
type Pair struct {
	Champion, Challenger Outcome
}

// Gain is the champion's loss less the challenger's, between -1 and 1: above 0 the challenger is better. It is NaN where the truth of the value is not known.
func (p *Pair) Gain() float64 { return p.Champion.Loss - p.Challenger.Loss }

// RiskGain is the same of the Brier score, which is always known.
func (p *Pair) RiskGain() float64 { return p.Champion.RiskLoss - p.Challenger.RiskLoss }

// Source has outcomes.
type Source interface {
	// Outcomes returns outcomes of some versions, or of all for none, that were settled after since, in the order in which they were settled: at most about limit of them, but all that
	// were settled at the same time as the last, which is watermark; since where there are none.
	Outcomes(ctx context.Context, pipeline string, versions []string, since int64, limit int) (all []Outcome, watermark int64, err error)
}

// limit bounds one answer: 40 MiB.
const limit = 200_000

// Mature returns the outcomes of some versions, or of all for none, that were settled after since (Unix nanoseconds by the wall clock, 0 for all), and the watermark to give as since to go
// on. A long past comes in parts: it is done when the watermark stays. One whose label was corrected is settled anew and comes again.
func Mature(ctx context.Context, src Source, pipeline string, versions []string, since int64) (all []Outcome, watermark int64, err error) {
	all, watermark, err = src.Outcomes(ctx, pipeline, versions, since, limit)
	if err != nil {
		return nil, since, fmt.Errorf("outcomes of %s: %w", pipeline, err)
	}
	return all, watermark, nil
}

// window names what two versions both speak of.
type window struct {
	asset string
	end   int64
}

// Pairs joins the outcomes of two versions on asset and end, in the order in which the second of each two comes; of one that comes again the last counts. Others are left out.
func Pairs(all []Outcome, champion, challenger string) []Pair {
	type halves struct{ pair, a, b int } // indices plus 1
	seen := make(map[window]halves, len(all))
	var pairs []Pair
	for i := range all {
		o := &all[i]
		if o.Version != champion && o.Version != challenger {
			continue
		}
		w := window{o.Asset, o.End}
		h := seen[w]
		if o.Version == champion {
			h.a = i + 1
		} else {
			h.b = i + 1
		}
		if h.a > 0 && h.b > 0 {
			p := Pair{all[h.a-1], all[h.b-1]}
			if h.pair == 0 {
				pairs = append(pairs, p)
				h.pair = len(pairs)
			} else {
				pairs[h.pair-1] = p
			}
		}
		seen[w] = h
	}
	return pairs
}
