package broker

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	disk    prometheus.Gauge
	free    prometheus.Gauge
	refused *prometheus.CounterVec
}

// Why requests are refused.
const (
	refusedSpace       = "space"
	refusedTransaction = "transaction"
	refusedPolicy      = "policy"
)

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		disk: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "andon_broker_disk_bytes", Help: "Bytes that the embedded broker's folder holds.",
		}),
		free: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "andon_broker_free_bytes", Help: "Bytes free on the file system of the embedded broker.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_broker_refused_total", Help: "Requests that the embedded broker refused, by reason.",
		}, []string{"reason"}),
	}
	for _, r := range []string{refusedSpace, refusedTransaction, refusedPolicy} {
		m.refused.WithLabelValues(r)
	}
	if reg != nil {
		reg.MustRegister(m.disk, m.free, m.refused)
	}
	return m
}
