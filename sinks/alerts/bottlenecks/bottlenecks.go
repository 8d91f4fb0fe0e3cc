// Package bottlenecks looks at the appliance's own metrics and raises an alert for each thing that holds it up: with what to do, after it has lasted, and resolved by itself
// when it has been well for as long.
package bottlenecks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"andon/event"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says from where on something is a bottleneck. A threshold of 0 is not looked at.
type Config struct {
	// Every is how often it looks; 0: never.
	Every time.Duration `yaml:"every"`
	// For is how long something must last until it is told, and be well until it is over.
	For time.Duration `yaml:"for"`
	// Lag is of a pipeline, in records, that does not shrink.
	Lag float64 `yaml:"lag"`
	// ScorerQueue is the 99th percentile of a window's wait for the scorer, Latency that from a record to its verdict.
	ScorerQueue time.Duration `yaml:"scorer_queue"`
	Latency     time.Duration `yaml:"latency"`
	// Throttled tells of devices whose clocks are held back by heat or power.
	Throttled bool `yaml:"throttled"`
	// DiskFree is of the data folder's disk.
	DiskFree event.Bytes `yaml:"disk_free"`
	// InsertErrors is of inserts into ClickHouse, a minute.
	InsertErrors float64 `yaml:"insert_errors"`
	// DeadLetters is the share of a pipeline's records that could not be used.
	DeadLetters float64 `yaml:"dead_letters"`
	// FramesLost is the share of a camera pipeline's frames that were not looked at although there was a model.
	FramesLost float64 `yaml:"frames_lost"`
	// WatchDropped is of rows and scores that the page was not shown, a second.
	WatchDropped float64 `yaml:"watch_dropped"`
}

// Default returns thresholds that a healthy appliance does not reach.
func Default() Config {
	return Config{
		Every:        10 * time.Second,
		For:          time.Minute, // a restart or a burst is over by then
		Lag:          100_000,     // a second or two of what one core reads
		ScorerQueue:  500 * time.Millisecond,
		Latency:      5 * time.Second, // the flush is a second
		Throttled:    true,
		DiskFree:     2 << 30, // eight times what the embedded broker needs to go on
		InsertErrors: 1,
		DeadLetters:  0.05,
		FramesLost:   0.5,
		WatchDropped: 10_000,
	}
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	fault := func(key string, v any, want string) {
		errs = append(errs, fmt.Errorf("%s: %v is not %s", key, v, want))
	}
	if c.Every != 0 && c.Every < time.Second {
		fault("every", c.Every, "0 or at least 1s")
	}
	if c.For < c.Every {
		fault("for", c.For, "at least every")
	}
	for key, v := range map[string]float64{"lag": c.Lag, "scorer_queue": float64(c.ScorerQueue), "latency": float64(c.Latency), "insert_errors": c.InsertErrors, "watch_dropped": c.WatchDropped, "disk_free": float64(c.DiskFree)} {
		if !(v >= 0) {
			fault(key, v, "positive, or 0 for not at all")
		}
	}
	for key, v := range map[string]float64{"dead_letters": c.DeadLetters, "frames_lost": c.FramesLost} {
		if !(v >= 0 && v <= 1) {
			fault(key, v, "a share from 0 to 1")
		}
	}
	return errors.Join(errs...)
}

// Watch looks at metrics. One goroutine runs it.
type Watch struct {
	cfg    Config
	from   prometheus.Gatherer
	free   func() (bytes uint64, err error)
	raise  func(event.Alert)
	firing func() []string
	where  string
	log    *slog.Logger

	before *sample
	causes map[string]*cause
}

// cause is one thing that may hold the appliance up.
type cause struct {
	since, well time.Time // when it began, and since when it has been well; zero: it is not so
	told        bool
}

// New makes a watch. free tells the room on the data folder's disk, firing the IDs of alerts of this kind that are open, as of an earlier process. where names this replica, for
// its metrics are its own; empty where there is but one.
func New(cfg Config, from prometheus.Gatherer, free func() (uint64, error), raise func(event.Alert), firing func() []string, where string, log *slog.Logger) *Watch {
	return &Watch{cfg: cfg, from: from, free: free, raise: raise, firing: firing, where: where, log: log, causes: map[string]*cause{}}
}

// Run looks until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	if w.cfg.Every == 0 {
		<-ctx.Done()
		return nil
	}
	for _, id := range w.firing() {
		w.causes[id] = &cause{told: true}
	}
	tick := time.NewTicker(w.cfg.Every)
	defer tick.Stop()
	for {
		if err := w.look(time.Now()); err != nil {
			w.log.Warn("the appliance's own metrics cannot be read", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// finding is a cause that is there now.
type finding struct {
	id, pipeline, severity string
	title, detail          string
}

// look takes one sample and tells what has lasted.
func (w *Watch) look(now time.Time) error {
	s, err := gather(w.from, now)
	if err != nil {
		return err
	}
	if w.free != nil {
		if s.free, err = w.free(); err != nil {
			return fmt.Errorf("the disk of the data folder: %w", err)
		}
	}
	found := map[string]finding{}
	if w.before != nil {
		for _, f := range w.find(s, w.before) {
			f.id = event.AlertBottleneck + "/" + f.id
			if w.where != "" {
				f.id += "/" + w.where
			}
			found[f.id] = f
		}
	}
	first := w.before == nil
	w.before = s
	if first {
		return nil
	}
	for id, f := range found {
		c := w.causes[id]
		if c == nil {
			c = &cause{since: now}
			w.causes[id] = c
		}
		c.well = time.Time{}
		if c.since.IsZero() {
			c.since = now
		}
		if !c.told && now.Sub(c.since) >= w.cfg.For {
			c.told = true
			w.raise(event.Alert{ID: id, Pipeline: f.pipeline, Kind: event.AlertBottleneck, Severity: f.severity, Title: f.title, Detail: f.detail, Since: c.since.UnixNano(), Time: now.UnixNano(), Evidence: "#/line",
				Labels: labels(w.where)})
		}
	}
	for id, c := range w.causes {
		if _, ok := found[id]; ok {
			continue
		}
		if c.well.IsZero() {
			c.well = now
		}
		switch {
		case !c.told:
			delete(w.causes, id) // it did not last
		case now.Sub(c.well) >= w.cfg.For:
			delete(w.causes, id)
			w.raise(event.Alert{ID: id, Kind: event.AlertBottleneck, Severity: event.SeverityWarning, Time: now.UnixNano(), Resolved: true})
		}
	}
	return nil
}

func labels(where string) map[string]string {
	if where == "" {
		return nil
	}
	return map[string]string{"replica": where}
}
