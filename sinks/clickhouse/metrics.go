package clickhouse

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	rows     *prometheus.CounterVec
	refused  *prometheus.CounterVec
	repeated *prometheus.CounterVec
	seconds  prometheus.Histogram
	errors   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_clickhouse_rows_total",
			Help: "Rows that ClickHouse acknowledged, those that it had already included."}, []string{"table"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_clickhouse_refused_rows_total",
			Help: "Rows that ClickHouse refused for good."}, []string{"table"}),
		repeated: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_clickhouse_repeated_inserts_total",
			Help: "Inserts that ClickHouse had, all or in part, and dropped: sent again after a crash or a lost answer."}, []string{"table"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "andon_clickhouse_insert_seconds",
			Help: "Time of an insert that was acknowledged, with all its attempts.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 15)}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_clickhouse_insert_errors_total", Help: "Attempts of inserts that failed."}),
	}
	if reg != nil {
		reg.MustRegister(m.rows, m.refused, m.repeated, m.seconds, m.errors)
	}
	return m
}
