package console

import "github.com/prometheus/client_golang/prometheus"

// What the watch may drop.
const (
	kindRows      = "rows"
	kindScores    = "scores"
	kindTrainings = "trainings"
)

// metrics are the console's own:
//
//	andon_console_clients                    live feeds that are open
//	andon_console_clients_refused_total      by reason: origin, full, protocol
//	andon_console_watch_dropped_total        by kind: rows, scores, trainings that were not shown
//	andon_console_gap_points_total           points left out for clients that read too slowly
//	andon_console_messages_total             messages written to live feeds
//	andon_console_bytes_total                bytes written to live feeds
//	andon_console_queries_total              by result: ok, error
type metrics struct {
	clients  prometheus.Gauge
	refused  *prometheus.CounterVec
	drops    *prometheus.CounterVec
	gaps     prometheus.Counter
	messages prometheus.Counter
	bytes    prometheus.Counter
	queries  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		clients:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "andon_console_clients", Help: "Live feeds that are open."}),
		refused:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_console_clients_refused_total", Help: "Live feeds that were refused, by reason."}, []string{"reason"}),
		drops:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_console_watch_dropped_total", Help: "What the line told and the console did not take, by kind."}, []string{"kind"}),
		gaps:     prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_console_gap_points_total", Help: "Points left out for clients that read too slowly."}),
		messages: prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_console_messages_total", Help: "Messages written to live feeds."}),
		bytes:    prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_console_bytes_total", Help: "Bytes written to live feeds."}),
		queries:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_console_queries_total", Help: "Queries put to the store, by result."}, []string{"result"}),
	}
	for _, k := range []string{kindRows, kindScores, kindTrainings} {
		m.drops.WithLabelValues(k)
	}
	reg.MustRegister(m.clients, m.refused, m.drops, m.gaps, m.messages, m.bytes, m.queries)
	return m
}

func (m *metrics) dropped(kind string, n int) {
	if n > 0 {
		m.drops.WithLabelValues(kind).Add(float64(n))
	}
}

func (m *metrics) query(err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.queries.WithLabelValues(result).Inc()
}
