package trainer

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	epoch, loss, rate *prometheus.GaugeVec
	runs              *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	gauge := func(name, help string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"pipeline"})
	}
	return &metrics{
		epoch: gauge("andon_trainer_epoch", "Epochs done in the current or last training run."),
		loss:  gauge("andon_trainer_loss", "Validation loss of the last epoch, a mean squared error of the scaled target."),
		rate:  gauge("andon_trainer_rows_per_second", "Windows learned from a second in the last epoch."),
		runs: f.NewCounterVec(prometheus.CounterOpts{Name: "andon_trainer_runs_total", Help: "Training runs by how they ended."},
			[]string{"pipeline", "state"}),
	}
}
