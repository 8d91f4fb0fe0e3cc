package ingest

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the counters of all Intakes of a process; the package comment lists their names.
type Metrics struct {
	records, bytes, expired *prometheus.CounterVec
	rejected, rebalances    *prometheus.CounterVec
	lag                     *prometheus.GaugeVec
	inflight                prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"pipeline"}, labels...))
		reg.MustRegister(c)
		return c
	}
	m := &Metrics{
		records:    counter("andon_ingest_records_total", "Records handled, also those read again to rebuild state."),
		bytes:      counter("andon_ingest_bytes_total", "Bytes of keys, values and headers of the records handled."),
		rejected:   counter("andon_ingest_rejected_total", "Records that became dead letters in decoding.", "reason"),
		expired:    counter("andon_ingest_expired_total", "Offsets that the log had dropped before they were read."),
		rebalances: counter("andon_ingest_rebalances_total", "Partitions assigned, revoked and lost.", "kind"),
		lag:        prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "andon_ingest_lag_records", Help: "Offsets between the log's end and the next to handle."}, []string{"pipeline", "partition"}),
		inflight:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "andon_ingest_inflight_bytes", Help: "Bytes fetched and not yet handled, of all pipelines."}),
	}
	reg.MustRegister(m.lag, m.inflight)
	return m
}

// lagOf returns the gauge of one partition and a function that removes it.
func (m *Metrics) lagOf(pipeline string, partition int32) (prometheus.Gauge, func()) {
	name := strconv.Itoa(int(partition))
	return m.lag.WithLabelValues(pipeline, name), func() { m.lag.DeleteLabelValues(pipeline, name) }
}
