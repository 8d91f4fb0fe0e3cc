package vision

import (
	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
)

// Metrics are those of all pipelines of frames.
type Metrics struct {
	frames, kept, shadows *prometheus.CounterVec
	fired, unknown        *prometheus.CounterVec
	action, decode        *prometheus.HistogramVec
}

// NewMetrics registers the metrics named in the package comment.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	pipeline := []string{"pipeline"}
	m := &Metrics{
		frames: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_vision_frames_total",
			Help: "Frames handled: scored, or dropped and why."}, []string{"pipeline", "status"}),
		kept: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_vision_kept_total",
			Help: "Frames that were to be kept as evidence: kept, shed because the store did not keep up, or failed."}, []string{"pipeline", "outcome"}),
		shadows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_vision_shadow_frames_total",
			Help: "Frames that a shadow should have scored: scored, shed because there was no time for it, or failed."}, []string{"pipeline", "outcome"}),
		fired: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_vision_fired_total",
			Help: "Rules that fired."}, pipeline),
		unknown: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_vision_unknown_total",
			Help: "Frames at which a rule asked for a machine of which nothing recent was known."}, pipeline),
		action: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "andon_vision_action_seconds", Buckets: prometheus.ExponentialBuckets(0.001, 1.5, 24),
			Help: "From the capture of a frame to its verdict, with what its rules told."}, pipeline),
		decode: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "andon_vision_decode_seconds", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 12),
			Help: "Time to make a model's numbers of one frame."}, pipeline),
	}
	reg.MustRegister(m.frames, m.kept, m.shadows, m.fired, m.unknown, m.action, m.decode)
	return m
}

// meters are one pipeline's metrics, looked up once.
type meters struct {
	frames, kept, shadows map[string]prometheus.Counter
	fired, unknown        prometheus.Counter
	action, decode        prometheus.Observer
}

func (m *Metrics) of(pipeline string) meters {
	by := func(v *prometheus.CounterVec, names ...string) map[string]prometheus.Counter {
		all := map[string]prometheus.Counter{}
		for _, n := range names {
			all[n] = v.WithLabelValues(pipeline, n)
		}
		return all
	}
	return meters{
		frames: by(m.frames, event.SightScored, event.SightLate, event.SightBusy, event.SightNoJudge, event.SightBroken, event.SightLost, event.SightFailed),
		kept:   by(m.kept, "kept", "shed", "failed"), shadows: by(m.shadows, "scored", "shed", "failed"),
		fired: m.fired.WithLabelValues(pipeline), unknown: m.unknown.WithLabelValues(pipeline),
		action: m.action.WithLabelValues(pipeline), decode: m.decode.WithLabelValues(pipeline),
	}
}
