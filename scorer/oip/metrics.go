package oip

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// protocol is one of the two ways in.
type protocol string

const (
	rest protocol = "rest"
	rpc  protocol = "grpc"
)

// What became of a call.
const (
	resultOK       = "ok"
	resultWrong    = "wrong"    // the caller's fault
	resultBusy     = "busy"     // not in time
	resultBroken   = "broken"   // ours
	resultCanceled = "canceled" // the caller gave up
)

type metrics struct {
	requests *prometheus.CounterVec
	refusals *prometheus.CounterVec
	seconds  map[protocol]prometheus.Observer
	ok       map[protocol]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, inside func() float64) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_inference_requests_total",
			Help: "Inference calls by protocol and result: ok, wrong, busy, broken, canceled."}, []string{"protocol", "result"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_inference_refused_total",
			Help: "Calls that came to no model: too many in progress, or a model that is unknown or not loaded."}, []string{"protocol"}),
		seconds: map[protocol]prometheus.Observer{}, ok: map[protocol]prometheus.Counter{},
	}
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "andon_inference_seconds",
		Help: "Time of a call, from its first byte in our hands to its answer.", Buckets: prometheus.ExponentialBuckets(5e-5, 3, 12)}, []string{"protocol"})
	for _, p := range []protocol{rest, rpc} {
		m.seconds[p] = seconds.WithLabelValues(string(p))
		m.ok[p] = m.requests.WithLabelValues(string(p), resultOK)
		m.refusals.WithLabelValues(string(p))
	}
	reg.MustRegister(m.requests, m.refusals, seconds, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "andon_inference_calls",
		Help: "Calls in progress."}, inside))
	return m
}

func (m *metrics) refused(p protocol) { m.refusals.WithLabelValues(string(p)).Inc() }

func (m *metrics) done(p protocol, f *fault, took time.Duration) {
	if f == nil {
		m.ok[p].Inc()
		m.seconds[p].Observe(took.Seconds())
		return
	}
	result := resultWrong
	switch f.code {
	case codes.Unavailable, codes.DeadlineExceeded:
		result = resultBusy
	case codes.Internal:
		result = resultBroken
	case codes.Canceled:
		result = resultCanceled
	}
	m.requests.WithLabelValues(string(p), result).Inc()
}
