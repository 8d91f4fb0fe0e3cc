package processors

import (
	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/processors/features"
)

// Metrics are those of all pipelines.
type Metrics struct {
	rows     *prometheus.CounterVec
	surplus  *prometheus.CounterVec
	windows  *prometheus.CounterVec
	assets   *prometheus.GaugeVec
	learning *prometheus.GaugeVec
	said     *prometheus.CounterVec
	folded   *prometheus.CounterVec
	unfit    *prometheus.CounterVec
	refused  *prometheus.CounterVec
	letters  *prometheus.CounterVec
	kept     *prometheus.CounterVec
	shadows  *prometheus.CounterVec
	pieces   *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	flushing *prometheus.HistogramVec
}

// NewMetrics registers the metrics named in the package comment.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	pipeline := []string{"pipeline"}
	m := &Metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_features_rows_total",
			Help: "Rows handled, by what became of them."}, []string{"pipeline", "status"}),
		surplus: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_features_surplus_rows_total",
			Help: "Rows stored but in no window, since their slot was complete before they came."}, pipeline),
		windows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_features_windows_total",
			Help: "Windows made."}, pipeline),
		assets: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "andon_features_assets",
			Help: "Assets with state."}, []string{"pipeline", "partition"}),
		learning: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "andon_detector_learning_assets",
			Help: "Assets without scores yet because the pipeline's detector learns from their first rows."}, []string{"pipeline", "partition"}),
		said: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_detector_scores_total",
			Help: "Scores that detectors gave in a model's place."}, pipeline),
		folded: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_pipeline_folded_rows_total",
			Help: "Rows read again after a start to get the state back."}, pipeline),
		unfit: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_pipeline_unfit_windows_total",
			Help: "Windows not scored because the live model's recipe makes other windows."}, pipeline),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_pipeline_refused_rows_total",
			Help: "Records set aside because ClickHouse refuses their rows."}, pipeline),
		letters: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_pipeline_dead_letters_total",
			Help: "Records set aside as dead letters, by reason; counted when they are stored."}, []string{"pipeline", "reason"}),
		kept: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_pipeline_snapshots_total",
			Help: "Snapshots of partitions' states: saved, or failed; at a start restored, lost and so read back from the log, or of other settings (changed)."}, []string{"pipeline", "outcome"}),
		shadows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_pipeline_shadow_windows_total",
			Help: "Windows that a shadow should have scored: scored, shed because there was no time for it, or failed."}, []string{"pipeline", "outcome"}),
		pieces: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_drift_pieces_total",
			Help: "Pieces of windows, of each asset group, that were counted beside the model's reference."}, pipeline),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "andon_pipeline_latency_seconds",
			Help:    "From the arrival of a record to the score of the window that it completed.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}}, pipeline),
		flushing: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "andon_pipeline_flush_seconds",
			Help:    "Time to store a block: intent, dead letters and scores to Kafka, rows to the store, commit.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}}, pipeline),
	}
	reg.MustRegister(m.rows, m.surplus, m.windows, m.assets, m.learning, m.said, m.folded, m.unfit, m.refused, m.letters, m.kept, m.shadows, m.pieces, m.latency, m.flushing)
	return m
}

// filtered is the outcome of rows that the source's rules leave out, beside those of the features, and outcomes how many there are.
const (
	filtered = features.Late + 1
	outcomes = filtered + 1
)

// meters are one pipeline's metrics, looked up once.
type meters struct {
	rows                            [outcomes]prometheus.Counter
	surplus, windows, folded, unfit prometheus.Counter
	refused, pieces, said           prometheus.Counter
	latency, flushing               prometheus.Observer
	snapshots                       map[string]prometheus.Counter // by outcome
	shadows                         [3]prometheus.Counter
}

// What becomes of a shadow's windows.
const (
	shadowScored = iota
	shadowShed
	shadowFailed
)

func (m *Metrics) of(pipeline string) meters {
	ok := m.rows.WithLabelValues(pipeline, "ok")
	snapshots := map[string]prometheus.Counter{}
	for _, outcome := range []string{"saved", "failed", "restored", "lost", "changed"} {
		snapshots[outcome] = m.kept.WithLabelValues(pipeline, outcome)
	}
	for _, reason := range []string{event.ReasonMalformed, event.ReasonLate, event.ReasonFuture, event.ReasonAncient, event.ReasonRefused} {
		m.letters.WithLabelValues(pipeline, reason) // a rate needs the zero before the first
	}
	return meters{
		rows: [...]prometheus.Counter{
			features.Taken:     ok,
			features.Surplus:   ok, // stored like any other; counted apart, too
			features.Duplicate: m.rows.WithLabelValues(pipeline, "duplicate"),
			features.Late:      m.rows.WithLabelValues(pipeline, "late"),
			filtered:           m.rows.WithLabelValues(pipeline, "filtered"),
		},
		surplus: m.surplus.WithLabelValues(pipeline), windows: m.windows.WithLabelValues(pipeline),
		folded: m.folded.WithLabelValues(pipeline), unfit: m.unfit.WithLabelValues(pipeline), refused: m.refused.WithLabelValues(pipeline),
		latency: m.latency.WithLabelValues(pipeline), flushing: m.flushing.WithLabelValues(pipeline),
		snapshots: snapshots, pieces: m.pieces.WithLabelValues(pipeline), said: m.said.WithLabelValues(pipeline),
		shadows: [...]prometheus.Counter{shadowScored: m.shadows.WithLabelValues(pipeline, "scored"), shadowShed: m.shadows.WithLabelValues(pipeline, "shed"),
			shadowFailed: m.shadows.WithLabelValues(pipeline, "failed")},
	}
}
