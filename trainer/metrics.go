package trainer

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	epoch, loss, rate *prometheus.GaugeVec
	runs              *prometheus.CounterVec
	cpu, gpu, joules  *prometheus.CounterVec

	decisions                                          *prometheus.CounterVec
	campaign, alarms, gain, low, high, outcomes, spent *prometheus.GaugeVec
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

		cpu:    f.NewCounterVec(prometheus.CounterOpts{Name: "andon_trainer_cpu_seconds_total", Help: "CPU time of the processes that trained, while they did."}, []string{"pipeline"}),
		gpu:    f.NewCounterVec(prometheus.CounterOpts{Name: "andon_trainer_gpu_seconds_total", Help: "Time in which kernels ran on the NVIDIA devices during trainings; none where nothing measures."}, []string{"pipeline"}),
		joules: f.NewCounterVec(prometheus.CounterOpts{Name: "andon_trainer_energy_joules_total", Help: "Energy that was drawn during trainings; none where nothing measures."}, []string{"pipeline"}),

		decisions: f.NewCounterVec(prometheus.CounterOpts{Name: "andon_loop_decisions_total", Help: "Decisions of the loop that were recorded."}, []string{"pipeline", "stage", "verdict"}),
		campaign:  gauge("andon_loop_campaign", "1 while a campaign goes on."),
		alarms:    gauge("andon_loop_alarms", "Alarms that nothing was done about yet."),
		gain:      gauge("andon_loop_gain", "Mean gain of the challenger over the champion, in the campaign's paired losses; in the watch, of the new champion over the old one."),
		low:       gauge("andon_loop_gain_low", "Lower bound of that gain, valid at every look."),
		high:      gauge("andon_loop_gain_high", "Upper bound of that gain, valid at every look."),
		outcomes:  gauge("andon_loop_outcomes", "Numbers that the bounds rest on."),
		spent:     gauge("andon_loop_spent_seconds", "CPU time of the trainings of the last 24 hours."),
	}
}
