package truth

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	outcomes *prometheus.CounterVec
	failed   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		outcomes: f.NewCounterVec(prometheus.CounterOpts{Name: "andon_truth_outcomes_total", Help: "Outcomes that were settled, those that were settled anew or taken back among them."}, []string{"pipeline"}),
		failed:   f.NewCounter(prometheus.CounterOpts{Name: "andon_truth_failed_rounds_total", Help: "Rounds in which the truth could not be settled; they are tried again."}),
	}
}
