package engine

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	starts prometheus.Counter
	up     prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		starts: prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_clickhouse_engine_starts_total", Help: "Starts of the embedded ClickHouse's process."}),
		up:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "andon_clickhouse_engine_up", Help: "1 while the embedded ClickHouse listens."}),
	}
	if reg != nil {
		reg.MustRegister(m.starts, m.up)
	}
	return m
}
