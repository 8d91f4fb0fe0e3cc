package scorer

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	scores   *prometheus.CounterVec
	failures *prometheus.CounterVec
	batch    prometheus.Histogram
	queue    prometheus.Histogram
	compute  prometheus.Histogram
	models   prometheus.Gauge
	onCPU    prometheus.Counter
	busy     *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		scores: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_scorer_scores_total",
			Help: "Windows and pictures scored."}, []string{"pipeline"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_scorer_failures_total",
			Help: "Calls that ended with an error of the model; cancelled calls are not counted."}, []string{"pipeline"}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "andon_scorer_batch_size",
			Help: "Windows or pictures in one run.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256}}),
		queue: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "andon_scorer_queue_seconds",
			Help: "Time from a call to the start of the run that takes its first window.", Buckets: prometheus.ExponentialBuckets(1e-6, 4, 12)}),
		compute: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "andon_scorer_compute_seconds",
			Help: "Time of one run.", Buckets: prometheus.ExponentialBuckets(1e-5, 3, 12)}),
		models: prometheus.NewGauge(prometheus.GaugeOpts{Name: "andon_scorer_models",
			Help: "Models loaded."}),
		onCPU: prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_scorer_cpu_fallbacks_total",
			Help: "Models that run on the CPU though the configuration asks for CUDA."}),
		busy: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_scorer_busy_total",
			Help: "Requests that were not taken, or given up before they ran, because their verdict would have come too late."}, []string{"pipeline"}),
	}
	reg.MustRegister(m.scores, m.failures, m.batch, m.queue, m.compute, m.models, m.onCPU, m.busy)
	return m
}
