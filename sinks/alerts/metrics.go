package alerts

import "github.com/prometheus/client_golang/prometheus"

// Why an alert is dropped.
const (
	dropInvalid = "invalid" // it has no ID
	dropInbox   = "inbox"   // too many wait
	dropMost    = "most"    // Config.Most matters are open
)

// metrics are listed in the package comment.
type metrics struct {
	raised, dropped, tries, lost *prometheus.CounterVec
	coalesced                    prometheus.Counter
	open, failing                *prometheus.GaugeVec
	seconds                      *prometheus.HistogramVec
	unsaved, leads               prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		raised:    counter("andon_alerts_raised_total", "Alerts that were raised, those of one matter told again included.", "kind"),
		dropped:   counter("andon_alerts_dropped_total", "Alerts that were not taken.", "reason"),
		tries:     counter("andon_alerts_tries_total", "Tries to tell a receiver, by what came of them.", "receiver", "outcome"),
		lost:      counter("andon_alerts_log_dropped_total", "Rows of the alerts' tables that ClickHouse did not take for so long that they were dropped.", "table"),
		coalesced: prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_alerts_coalesced_total", Help: "Alerts that a newer one with the same ID replaced before they were looked at."}),
		open:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "andon_alerts_open", Help: "Open matters."}, []string{"severity"}),
		failing:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "andon_alerts_failing", Help: "1 while a receiver takes nothing."}, []string{"receiver"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "andon_alerts_delivery_seconds", Help: "From when a change was told to the desk to when the receiver had it.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 10)}, []string{"receiver"}),
		unsaved: prometheus.NewGauge(prometheus.GaugeOpts{Name: "andon_alerts_unsaved", Help: "Matters whose newest state is not in the journal yet."}),
		leads:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "andon_alerts_leads", Help: "1 where this replica delivers."}),
	}
	if reg != nil {
		reg.MustRegister(m.raised, m.dropped, m.tries, m.lost, m.coalesced, m.open, m.failing, m.seconds, m.unsaved, m.leads)
	}
	return m
}
