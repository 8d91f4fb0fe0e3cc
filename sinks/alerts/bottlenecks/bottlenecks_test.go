package bottlenecks

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"andon/event"

	"github.com/prometheus/client_golang/prometheus"
)

// plant is an appliance's metrics.
type plant struct {
	reg                             *prometheus.Registry
	lag                             *prometheus.GaugeVec
	records, letters, frames, watch *prometheus.CounterVec
	inserts                         prometheus.Counter
	queue                           prometheus.Histogram
	latency                         *prometheus.HistogramVec
	throttled                       *prometheus.GaugeVec
	free                            uint64
	said                            []string
	last                            map[string]event.Alert
	open                            []string
}

func newPlant() *plant {
	p := &plant{reg: prometheus.NewRegistry(), free: 1 << 40, last: map[string]event.Alert{}}
	counter := func(name string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name}, labels)
		p.reg.MustRegister(c)
		return c
	}
	p.lag = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "andon_ingest_lag_records"}, []string{"pipeline", "partition"})
	p.throttled = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "andon_gpu_throttled"}, []string{"device", "reason"})
	p.records, p.letters = counter("andon_ingest_records_total", "pipeline"), counter("andon_pipeline_dead_letters_total", "pipeline", "reason")
	p.frames, p.watch = counter("andon_vision_frames_total", "pipeline", "status"), counter("andon_console_watch_dropped_total", "kind")
	p.inserts = prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_clickhouse_insert_errors_total"})
	p.queue = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "andon_scorer_queue_seconds", Buckets: prometheus.ExponentialBuckets(1e-6, 4, 12)})
	p.latency = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "andon_pipeline_latency_seconds", Buckets: prometheus.ExponentialBuckets(1e-3, 2, 16)}, []string{"pipeline"})
	p.reg.MustRegister(p.lag, p.throttled, p.inserts, p.queue, p.latency)
	return p
}

func (p *plant) raise(a event.Alert) {
	state := "told"
	if a.Resolved {
		state = "over"
	}
	p.said = append(p.said, strings.TrimPrefix(a.ID, "bottleneck/")+" "+state)
	p.last[a.ID] = a
}

func TestBottlenecks(t *testing.T) {
	check := func(name, want string, cause func(p *plant, minute int)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			p := newPlant()
			w := New(Default(), p.reg, func() (uint64, error) { return p.free, nil }, p.raise, func() []string { return p.open }, "", slog.New(slog.DiscardHandler))
			for tick := range 60 { // ten minutes
				p.records.WithLabelValues("a").Add(1000)
				for range 100 {
					p.queue.Observe(0.001)
					p.latency.WithLabelValues("a").Observe(0.01)
				}
				cause(p, tick/6)
				if err := w.look(time.Now()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
			}
			if got := strings.Join(p.said, ", "); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
			for id, a := range p.last {
				if !a.Resolved && (a.Title == "" || a.Detail == "" || a.Kind != event.AlertBottleneck) {
					t.Errorf("%s says nothing: %+v", id, a)
				}
			}
		})
	}
	during := func(minute int) bool { return minute >= 2 && minute < 5 }
	check("nothing is wrong", "", func(*plant, int) {})
	check("lag that grows", "lag/a told, lag/a over", func(p *plant, m int) {
		g := p.lag.WithLabelValues("a", "0")
		if during(m) {
			g.Add(200_000)
		} else {
			g.Set(3)
		}
	})
	left := 50_000_000.0
	check("a lag that is worked off is no bottleneck", "", func(p *plant, _ int) {
		left -= 100_000
		p.lag.WithLabelValues("a", "0").Set(left)
	})
	bursts := 0
	check("a burst is over before it is told", "", func(p *plant, m int) {
		if m == 2 && bursts < 3 {
			bursts++
			p.inserts.Inc()
		}
	})
	check("inserts fail", "clickhouse told, clickhouse over", func(p *plant, m int) {
		if during(m) {
			p.inserts.Inc()
		}
	})
	check("dead letters", "dead-letters/a told, dead-letters/a over", func(p *plant, m int) {
		if during(m) {
			p.letters.WithLabelValues("a", "malformed").Add(100)
		}
	})
	check("a few dead letters", "", func(p *plant, _ int) { p.letters.WithLabelValues("a", "late").Add(10) })
	check("the scorer waits", "scorer told, scorer over", func(p *plant, m int) {
		for range 10 {
			if during(m) {
				p.queue.Observe(1)
			}
		}
	})
	check("late verdicts", "latency/a told, latency/a over", func(p *plant, m int) {
		for range 10 {
			if during(m) {
				p.latency.WithLabelValues("a").Observe(10)
			}
		}
	})
	check("a hot GPU", "gpu/0 told, gpu/0 over", func(p *plant, m int) {
		p.throttled.WithLabelValues("0", "idle").Set(1)
		hot := 0.0
		if during(m) {
			hot = 1
		}
		p.throttled.WithLabelValues("0", "thermal").Set(hot)
	})
	check("the disk fills, and is not well again at the edge", "disk told, disk over", func(p *plant, m int) {
		p.free = 1 << 40
		switch {
		case during(m):
			p.free = 1 << 30
		case m == 5 || m == 6:
			p.free = 2<<30 + 1<<20
		}
	})
	check("frames are dropped", "frames/a told, frames/a over", func(p *plant, m int) {
		p.frames.WithLabelValues("a", event.SightScored).Add(40)
		if during(m) {
			p.frames.WithLabelValues("a", event.SightBusy).Add(100)
		}
	})
	check("frames before there is a model", "", func(p *plant, m int) {
		p.frames.WithLabelValues("a", event.SightNoJudge).Add(100)
		p.frames.WithLabelValues("a", event.SightScored).Add(1)
	})
	check("the page drops", "watch told, watch over", func(p *plant, m int) {
		if during(m) {
			p.watch.WithLabelValues("rows").Add(1e6)
		}
	})
}

// What an earlier process told of is over when it is.
func TestResolvedAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		p.open = []string{"bottleneck/lag/a", "bottleneck/disk"}
		p.free = 1 << 30
		w := New(Default(), p.reg, func() (uint64, error) { return p.free, nil }, p.raise, func() []string { return p.open }, "", slog.New(slog.DiscardHandler))
		done := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- w.Run(ctx) }()
		time.Sleep(5 * time.Minute)
		cancel()
		<-done
		if got := fmt.Sprint(p.said); got != "[lag/a over]" {
			t.Error(got)
		}
	})
}

func TestValidate(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c = Config{Every: time.Millisecond, Lag: -1, DeadLetters: 2, FramesLost: -1}
	err := c.Validate()
	for _, key := range []string{"every: ", "for: ", "lag: ", "dead_letters: ", "frames_lost: "} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("no %s in %v", key, err)
		}
	}
}
