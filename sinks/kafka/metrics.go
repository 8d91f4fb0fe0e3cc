package kafka

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	published *prometheus.CounterVec
	truncated prometheus.Counter
	replayed  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		published: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_kafka_published_total", Help: "Records published and acknowledged, by topic.",
		}, []string{"topic"}),
		truncated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "andon_kafka_truncated_total", Help: "Dead letters published without the end of their value, because they were larger than max_record.",
		}),
		replayed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_kafka_replayed_total", Help: "Dead letters sent again, by the pipelines that could not use them and by outcome: sent, failed, doubtful (not acknowledged in time).",
		}, []string{"pipeline", "outcome"}),
	}
	if reg != nil {
		reg.MustRegister(m.published, m.truncated, m.replayed)
	}
	return m
}
