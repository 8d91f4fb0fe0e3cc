package processors

import (
	"errors"
	"fmt"
	"time"

	"andon/event"
	"andon/processors/anomaly"
	"andon/processors/drift"
	"andon/processors/features"
	"andon/processors/vision"
)

// Config is one pipeline's part of the configuration file, and what its source says of the rows.
type Config struct {
	// Pipeline is the pipeline's name.
	Pipeline string `yaml:"-"`
	// Signals names the values of its rows, in order. None for a pipeline that carries labels only.
	Signals []string `yaml:"-"`
	// Source tells by any text how records become rows. A changed text tells a restarted pipeline that it may not form the same rows again.
	Source string `yaml:"-"`

	// Features says how rows become windows. Without it rows are stored, and nothing more.
	Features *features.Config `yaml:"features"`
	// Detector scores the slots of the features in a model's place; nil where models do.
	Detector *anomaly.Config `yaml:"detector"`
	// Aggregate says what is told of the values in windows, instead.
	Aggregate *features.Aggregate `yaml:"aggregate"`
	Flush     Flush               `yaml:"flush"`
	Readings  Readings            `yaml:"readings"`
	Snapshot  Snapshot            `yaml:"snapshot"`
	// ScoreChunk is how many windows go to the scorer in one call.
	ScoreChunk int `yaml:"score_chunk"`
	// Drift says how windows are watched.
	Drift drift.Config `yaml:"drift"`
	// Vision looks at the frames of a pipeline that has these and no rows; nil for one of rows.
	Vision *vision.Line `yaml:"-"`
	// Rescore is for a line that runs beside the live one; nil for that.
	Rescore *Rescore `yaml:"-"`
}

// Flush says when a partition's block is stored: whichever comes first.
type Flush struct {
	// Rows is the number of readings, frames, labels and dead letters of a block.
	Rows int `yaml:"rows"`
	// Bytes is the size of a block in memory.
	Bytes event.Bytes `yaml:"bytes"`
	// Interval is the longest that a record waits.
	Interval time.Duration `yaml:"interval"`
}

// Readings says what becomes of the rows themselves, beside windows and scores.
type Readings struct {
	// Store keeps each row in the Sink. Without it a block's rows are counted, and the Sink keeps their number.
	Store bool `yaml:"store"`
	// Publish sends each row that was taken to the Publisher.
	Publish bool `yaml:"publish"`
	// Topic is where to, for the Publisher.
	Topic string `yaml:"topic"`
}

// UnmarshalYAML reads a section over the defaults.
func (r *Readings) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Readings
	*r = Default().Readings
	return unmarshal((*plain)(r))
}

// Default returns the settings of a pipeline without features.
func Default() Config {
	return Config{
		Flush: Flush{
			// ClickHouse writes one part a block and table: parts of 100,000 rows merge cheaply, and the insert takes well under a second.
			Rows: 100_000,
			// 100,000 rows of 14 signals with as many scores; wider rows make smaller blocks, so that a partition's memory has a bound.
			Bytes: 32 << 20,
			// People watch. Four partitions at this rate are a few hundred small parts a minute, which merges keep up with.
			Interval: time.Second,
		},
		Readings: Readings{Store: true}, // models are trained from them, and people look at them
		// Read back in a fifth of a second, at 1 to 2 µs a record (BenchmarkIntake, BenchmarkHandle). A hundred assets with windows of 30x29 make 400 KB, a fortieth of what as many records take.
		Snapshot: Snapshot{Records: 50_000},
		// Enough for a device that likes large batches, at 3.6 MB for windows of 30x29; the first of them waits about 20 ms of two cores for the last.
		ScoreChunk: 1024,
		Drift:      drift.Default(),
	}
}

// UnmarshalYAML reads a section over the defaults.
func (c *Config) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Config
	*c = Config(Default())
	return unmarshal((*plain)(c))
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	if c.Features != nil {
		errs = append(errs, under("features", c.Features.Validate())...)
		if len(c.Signals) == 0 {
			errs = append(errs, errors.New("features: the source names no signals to make windows of"))
		}
	}
	if c.Aggregate != nil {
		errs = append(errs, under("aggregate", c.Aggregate.Validate())...)
		if len(c.Signals) == 0 {
			errs = append(errs, errors.New("aggregate: the source names no signals to tell of"))
		}
		if c.Features != nil {
			errs = append(errs, errors.New("aggregate: the pipeline has features, too: choose one"))
		}
	}
	if c.Detector != nil {
		errs = append(errs, under("detector", c.Detector.Validate())...)
		if c.Features == nil {
			errs = append(errs, errors.New("detector: the pipeline makes no slots to look at: it needs features"))
		}
	}
	if c.Vision != nil && (c.Features != nil || c.Aggregate != nil || len(c.Signals) > 0) {
		errs = append(errs, errors.New("vision: a pipeline of frames has no signals, and no windows of them"))
	}
	if c.Flush.Rows < 1 {
		errs = append(errs, fmt.Errorf("flush.rows: %d is not a positive number", c.Flush.Rows))
	}
	if c.Flush.Bytes < 64<<10 {
		errs = append(errs, fmt.Errorf("flush.bytes: %v is less than 64KiB", c.Flush.Bytes))
	}
	if c.Flush.Interval <= 0 {
		errs = append(errs, fmt.Errorf("flush.interval: %v is not a positive duration", c.Flush.Interval))
	}
	errs = append(errs, under("snapshot", c.Snapshot.Validate())...)
	if c.ScoreChunk < 1 {
		errs = append(errs, fmt.Errorf("score_chunk: %d is not a positive number", c.ScoreChunk))
	}
	if c.Drift.Enabled {
		errs = append(errs, under("drift", c.Drift.Validate())...)
	}
	if c.Rescore != nil {
		errs = append(errs, c.Rescore.Validate())
		if c.Features == nil {
			errs = append(errs, errors.New("rescore: the pipeline makes no windows"))
		}
	}
	return errors.Join(errs...)
}

// under returns the faults within err, each with the key of the section before its own.
func under(key string, err error) []error {
	if err == nil {
		return nil
	}
	var all interface{ Unwrap() []error }
	if !errors.As(err, &all) {
		return []error{fmt.Errorf("%s.%w", key, err)}
	}
	var errs []error
	for _, e := range all.Unwrap() {
		errs = append(errs, under(key, e)...)
	}
	return errs
}
