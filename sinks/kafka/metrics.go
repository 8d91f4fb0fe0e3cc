package kafka

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	published *prometheus.CounterVec
	truncated prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		published: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_kafka_published_total", Help: "Records published and acknowledged, by topic.",
		}, []string{"topic"}),
		truncated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "andon_kafka_truncated_total", Help: "Dead letters published without the end of their value, because they were larger than max_record.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.published, m.truncated)
	}
	return m
}
