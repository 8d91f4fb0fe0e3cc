package uplink

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	connected                 prometheus.Gauge
	wire, evidenceBytes       prometheus.Counter
	records, bytes, lost, cut *prometheus.CounterVec
	refused, transactions     *prometheus.CounterVec
	evidence                  *prometheus.CounterVec
	lag, held                 *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_uplink_" + name, Help: help})
	}
	counters := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_uplink_" + name, Help: help}, []string{label})
	}
	gauges := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "andon_uplink_" + name, Help: help}, []string{"topic"})
	}
	m := &metrics{
		connected:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "andon_uplink_connected", Help: "1 while the central cluster answers and takes records."}),
		wire:          counter("wire_bytes_total", "Bytes written to the central cluster, packed, without TLS."),
		evidenceBytes: counter("evidence_bytes_total", "Bytes of evidence on their way up."),
		records:       counters("records_total", "Records that the central cluster has committed, by local topic.", "topic"),
		bytes:         counters("bytes_total", "Their bytes, and those of evidence with them, before they were packed.", "topic"),
		lost:          counters("lost_total", "Offsets that the local log let go of before they were up.", "topic"),
		cut:           counters("cut_total", "Records sent without the end of their value, because they were larger than max_record.", "topic"),
		refused:       counters("refused_total", "Records that the central cluster would not have and that are there without their value.", "topic"),
		transactions:  counters("transactions_total", "Transactions by outcome: committed, failed, renewed (of the position only).", "outcome"),
		evidence:      counters("evidence_total", "Pieces of evidence that alerts point at by outcome: sent, missing (not kept any more), large.", "outcome"),
		lag:           gauges("lag_records", "Offsets of the local log that are still to go up."),
		held:          gauges("held_ratio", "How much of what the embedded broker may hold of a partition waits to go up, of the fullest partition."),
	}
	for _, o := range []string{"committed", "failed", "renewed"} {
		m.transactions.WithLabelValues(o)
	}
	if reg != nil {
		reg.MustRegister(m.connected, m.wire, m.evidenceBytes, m.records, m.bytes, m.lost, m.cut, m.refused, m.transactions, m.evidence, m.lag, m.held)
	}
	return m
}
