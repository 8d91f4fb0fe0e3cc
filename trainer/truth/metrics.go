package truth

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	outcomes *prometheus.CounterVec
	failed   prometheus.Counter

	lag, coverage, conflicts, loss *prometheus.GaugeVec
}

// reset forgets what is known of labels and losses: somebody else tells it now.
func (m *metrics) reset() {
	for _, g := range []*prometheus.GaugeVec{m.lag, m.coverage, m.conflicts, m.loss} {
		g.Reset()
	}
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, append([]string{"pipeline"}, labels...))
	}
	return &metrics{
		lag:       gauge("andon_truth_label_lag_seconds", "How long after it happened, by event time, labels are told: the median, and what all but one in twenty stay below.", "quantile"),
		coverage:  gauge("andon_truth_coverage_ratio", "Share of the predictions that counted whose truth is settled."),
		conflicts: gauge("andon_truth_conflicts", "Labels that somebody contradicts: they count for nothing until one is withdrawn."),
		loss:      gauge("andon_truth_loss", "Realised loss of a version, from 0 to 1, over about its last thousand outcomes.", "version"),
		outcomes:  f.NewCounterVec(prometheus.CounterOpts{Name: "andon_truth_outcomes_total", Help: "Outcomes that were settled, those that were settled anew or taken back among them."}, []string{"pipeline"}),
		failed:    f.NewCounter(prometheus.CounterOpts{Name: "andon_truth_failed_rounds_total", Help: "Rounds in which the truth could not be settled; they are tried again."}),
	}
}
