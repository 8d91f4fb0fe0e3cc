package evidence

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
)

// Config is the store's section of the configuration file.
type Config struct {
	// Dir is the folder; empty: evidence in the data folder.
	Dir string `yaml:"dir"`
	// MaxBytes bounds all that is kept.
	MaxBytes event.Bytes `yaml:"max_bytes"`
	// Keep says how long at most.
	Keep Keep `yaml:"keep"`
	// MaxInline is the largest frame that goes into a record of Kafka; producers on the appliance's machine put larger ones into the store, and send their name.
	MaxInline event.Bytes `yaml:"max_inline"`
	// Copy are the kinds that are copied into a bucket, where there is one.
	Copy []string `yaml:"copy"`
}

// Keep says how long frames of each kind are kept at most; 0: as long as there is room.
type Keep struct {
	Fired    time.Duration `yaml:"fired"`
	Labelled time.Duration `yaml:"labelled"`
	Sampled  time.Duration `yaml:"sampled"`
}

func (k Keep) of(kind string) time.Duration {
	switch kind {
	case Fired:
		return k.Fired
	case Labelled:
		return k.Labelled
	}
	return k.Sampled
}

// Default returns the settings of a small machine.
func Default() Config {
	const day = 24 * time.Hour
	return Config{
		MaxBytes: 2 << 30, // 60,000 frames of 640x360
		Keep: Keep{
			Fired:    365 * day, // what an insurer asks for
			Labelled: 0,         // labels are what people's time went into
			Sampled:  14 * day,  // a model of next week is trained from them
		},
		MaxInline: 900_000, // brokers take records of a mebibyte by default
		Copy:      []string{Fired, Labelled},
	}
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	if c.MaxBytes < 1<<20 {
		errs = append(errs, fmt.Errorf("max_bytes: %v is less than 1MiB", c.MaxBytes))
	}
	for key, d := range map[string]time.Duration{"fired": c.Keep.Fired, "labelled": c.Keep.Labelled, "sampled": c.Keep.Sampled} {
		if d < 0 || d > 0 && d < time.Minute {
			errs = append(errs, fmt.Errorf("keep.%s: %v is less than a minute; 0 keeps as long as there is room", key, d))
		}
	}
	if c.MaxInline < 1<<10 || c.MaxInline > 64<<20 {
		errs = append(errs, fmt.Errorf("max_inline: %v is not between 1KiB and 64MiB", c.MaxInline))
	}
	for _, k := range c.Copy {
		if worth(k) < 0 {
			errs = append(errs, fmt.Errorf("copy: %q is none of %q", k, kinds))
		}
	}
	return errors.Join(errs...)
}

type metrics struct {
	bytes         prometheus.Gauge
	frames        *prometheus.GaugeVec
	puts, removed *prometheus.CounterVec
	failures      prometheus.Counter

	copies, copyFailures prometheus.Counter
	copyWaiting          prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		bytes:        prometheus.NewGauge(prometheus.GaugeOpts{Name: "andon_evidence_bytes", Help: "Size of the frames that are kept, with their notes."}),
		frames:       prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "andon_evidence_frames", Help: "Frames that are kept, by why."}, []string{"kind"}),
		puts:         prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_evidence_puts_total", Help: "Frames that were put into the store."}, []string{"kind"}),
		removed:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_evidence_removed_total", Help: "Frames that were removed: too old, or to make room."}, []string{"kind", "why"}),
		failures:     prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_evidence_failures_total", Help: "Frames that could not be put into the store."}),
		copies:       prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_evidence_copies_total", Help: "Frames that were copied into the bucket."}),
		copyFailures: prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_evidence_copy_failures_total", Help: "Rounds of copies that the bucket did not take."}),
		copyWaiting:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "andon_evidence_copies_waiting", Help: "Frames that are to be copied into the bucket."}),
	}
	for _, k := range kinds {
		m.frames.WithLabelValues(k)
		m.puts.WithLabelValues(k)
	}
	if reg != nil {
		reg.MustRegister(m.bytes, m.frames, m.puts, m.removed, m.failures, m.copies, m.copyFailures, m.copyWaiting)
	}
	return m
}
