// Package processors holds the order of work on a partition's batches: features, scores, the block that is stored, the commit.
//
// Metrics: andon_features_rows_total{pipeline,status} (ok, duplicate, late, filtered), andon_features_surplus_rows_total{pipeline},
// andon_features_windows_total{pipeline}, andon_features_assets{pipeline,partition}, andon_detector_learning_assets{pipeline,partition}, andon_detector_scores_total{pipeline}, andon_pipeline_folded_rows_total{pipeline},
// andon_pipeline_unfit_windows_total{pipeline}, andon_pipeline_refused_rows_total{pipeline}, andon_pipeline_latency_seconds{pipeline}, andon_pipeline_flush_seconds{pipeline},
// andon_pipeline_dead_letters_total{pipeline,reason} (malformed, late, future, ancient, refused; every dead letter once, when it is stored),
// andon_drift_pieces_total{pipeline}, andon_pipeline_shadow_windows_total{pipeline,outcome} (scored, shed, failed), andon_pipeline_snapshots_total{pipeline,outcome} (saved, failed, restored, lost, changed).
package processors

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"andon/event"
	"andon/model"
	"andon/processors/drift"
)

// Scorer gives verdicts: windows holds len(out) windows, row-major [len(out), Length, Width], scaled by m's recipe; out[i] is the i-th's verdict.
// It keeps neither slice.
type Scorer interface {
	Score(ctx context.Context, m *model.Model, windows []float32, out []event.Verdict) error
}

// Live returns the model that scores, nil while there is none.
type Live func() *model.Model

// Judge gives the verdict on windows. The zero Judge gives none. All but Scorer and Live may be nil.
type Judge struct {
	Scorer Scorer
	Live   Live
	// Canary returns the model that scores a share of the assets in the live one's place, in percent by model.InShare; nil while there is none.
	Canary func() (m *model.Model, percent float64)
	// Shadow returns the model that scores the same windows and never acts; nil while there is none.
	Shadow Live
	// Shadower runs shadows; Shed is its error for windows that were given up.
	Shadower Shadower
	Shed     error
}

// Sink stores blocks for good. A block with the same pipeline, topic, partition, First and Next as one that it holds is dropped, table by table.
type Sink interface {
	Write(ctx context.Context, b *event.Block) error
}

// Refusal is the error of a Sink that stored all but some rows, which it will never take, and none of the block's dead letters yet.
type Refusal interface {
	error
	// RefusedOffsets returns the offsets of those rows, each with the server's words.
	RefusedOffsets() map[int64]string
	// Remove takes the rows out of the block.
	Remove(b *event.Block)
}

// Settler is a Sink that can tell what it holds of the offsets [first, next) of a partition: those handled (in readings or counted, frames, labels, dead
// letters) and those scored, or that closed windows.
type Settler interface {
	Held(ctx context.Context, pipeline, topic string, partition int32, first, next int64) (handled, scored []int64, err error)
}

// Publisher sends a block's scores, windows' values and dead letters to Kafka and returns when they are acknowledged. After a crash it may be told of a block again.
type Publisher interface {
	Publish(ctx context.Context, b *event.Block) error
}

// Transactor publishes the blocks of one partition, each in a transaction together with the group's commit. An Assignment whose Fence is one is delivered through it
// exactly once: it stands in for the Publisher, and for the commit that follows it.
type Transactor interface {
	// Publishes tells whether anything of the block is published.
	Publishes(b *event.Block) bool
	// Publish sends it and commits b.Next with the note, both or neither, in the name that identity tells. Errors are as Assignment.Transact says.
	Publish(ctx context.Context, b *event.Block, note string, identity func() (event.Member, error)) error
}

// Watch is shown rows that were taken and their scores. It never blocks, may miss some, and keeps neither slice.
type Watch interface {
	Observe(pipeline string, rows []event.Row, scores []event.Score)
}

// Outlets is where a pipeline's results go, and its state. All but the Sink may be nil.
type Outlets struct {
	Sink      Sink
	Publisher Publisher
	Watch     Watch
	Vault     Vault
}

// Line is one pipeline: what its partitions share. It is safe for concurrent use.
type Line struct {
	cfg    Config
	recipe *model.Recipe
	schema string
	judge  Judge
	out    Outlets
	all    *Metrics
	meters meters
	log    *slog.Logger
	now    func() time.Time
	// patience is shadePatience but in tests.
	patience time.Duration
	// groups and profiles are what partitions' watches share.
	groups   []drift.Group
	profiles profiles
	// version is of a detector, learning how many assets it learns in all partitions.
	version  string
	learning atomic.Int64
}

// New makes a pipeline. metrics are shared by all pipelines.
func New(cfg Config, judge Judge, out Outlets, metrics *Metrics, log *slog.Logger) (*Line, error) {
	l := &Line{cfg: cfg, judge: judge, out: out, all: metrics, meters: metrics.of(cfg.Pipeline), log: log, now: time.Now, patience: shadePatience}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("make pipeline %s: %w", cfg.Pipeline, err)
	}
	l.groups = cfg.Drift.Compile()
	if judge.Live == nil || judge.Scorer == nil || cfg.Detector != nil {
		l.judge = Judge{Live: func() *model.Model { return nil }}
	}
	settings := uint64(0)
	state, recipe, err := l.state(new(event.Features))
	if err != nil {
		return nil, fmt.Errorf("make pipeline %s: %w", cfg.Pipeline, err)
	}
	if l.recipe = recipe; state != nil {
		settings = state.Fingerprint()
	}
	if d, ok := state.(*detected); ok {
		l.version = d.Version()
	}
	if cfg.Vision != nil {
		settings = cfg.Vision.Fingerprint()
	}
	text := fmt.Appendf(nil, "%q %x %q", cfg.Signals, settings, cfg.Source)
	if !cfg.Readings.Store {
		text = append(text, " counted"...)
	}
	sum := sha256.Sum256(text)
	l.schema = hex.EncodeToString(sum[:6])
	return l, nil
}

// Recipe returns the recipe that models of this pipeline must have, nil for one that makes no windows for a model. It must not be changed.
func (l *Line) Recipe() *model.Recipe { return l.recipe }

// Schema names the settings that rows and windows are formed by; lines with the same one form the same.
func (l *Line) Schema() string { return l.schema }

// Assignment is one partition given to this process.
type Assignment struct {
	Topic     string
	Partition int32
	// Committed is the next offset to handle by the group's commit, and Note that commit's metadata.
	Committed int64
	Note      string
	// Commit commits an offset with a note, and fails when the partition has gone to another member.
	Commit func(ctx context.Context, next int64, note string) error
	// Transact calls send until the group takes the commit that send makes in a transaction, and fails when the partition has gone to another member.
	Transact func(ctx context.Context, send func(ctx context.Context, identity func() (event.Member, error)) error) error
	// Fence is what shuts out those who had the partition before; if it is a Transactor, results are delivered to Kafka exactly once.
	Fence io.Closer
	// Read reads records again by their offsets, which ascend; for rows that the Sink refuses.
	Read func(ctx context.Context, offsets []int64) ([]event.Record, error)
}

// Open makes the pipeline of one partition and says where to read from, at or before the committed offset: rows before that are only folded
// into the state.
func (l *Line) Open(ctx context.Context, a Assignment) (*Pipeline, int64, error) {
	p := &Pipeline{line: l, log: l.log.With("pipeline", l.cfg.Pipeline, "topic", a.Topic, "partition", a.Partition),
		commit: a.Commit, read: a.Read, committed: a.Committed}
	if t, ok := a.Fence.(Transactor); ok {
		p.transactor, p.transact = t, a.Transact
	}
	p.block = event.Block{Pipeline: l.cfg.Pipeline, Topic: a.Topic, Partition: a.Partition, Readings: event.Readings{Signals: l.cfg.Signals}}
	p.block.Reset(a.Committed)
	p.block.Counted = !l.cfg.Readings.Store
	n, err := parseNote(a.Note, a.Committed)
	if err != nil {
		return nil, 0, fmt.Errorf("open %s: %w", p.name(), err)
	}
	p.at, p.reform = n.Fold, n.Intent
	n.Intent = nil
	p.note = *n
	p.watch, p.trial = l.watch(), l.trial()
	p.watch.begin(n)
	if p.state, _, err = l.state(&p.block.Features); err != nil {
		return nil, 0, fmt.Errorf("open %s: %w", p.name(), err)
	}
	if l.cfg.Vision != nil {
		if p.eye, err = l.cfg.Vision.Open(a.Topic, a.Partition); err != nil {
			return nil, 0, fmt.Errorf("open %s: %w", p.name(), err)
		}
		if _, err := p.restore(ctx); err != nil {
			p.eye.Close()
			return nil, 0, fmt.Errorf("open %s: %w", p.name(), err)
		}
	}
	if p.state == nil {
		p.at = a.Committed
	} else {
		if n.Clock != nil {
			p.state.SetClock(*n.Clock)
		}
		restored, err := p.restore(ctx)
		if err != nil {
			return nil, 0, fmt.Errorf("open %s: %w", p.name(), err)
		}
		if restored {
			p.at = p.note.Kept.At
		}
	}
	p.from = p.at
	p.log.Info("partition opened", "committed", a.Committed, "fold", p.at, "snapshot", p.note.Kept != nil, "again", p.reform != nil)
	return p, p.at, nil
}
