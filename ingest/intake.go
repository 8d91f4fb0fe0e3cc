package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"andon/ingest/decode"
)

// Intake reads one pipeline's source as a member of its consumer group.
type Intake struct {
	cfg      Config
	pipeline string
	source   Source
	open     Open
	fencer   Fencer
	budget   *Budget
	metrics  *Metrics
	log      *slog.Logger

	until   map[int32]int64 // nil without an end
	reached bool            // the brokers have answered; Run's

	mu      sync.Mutex
	session *session // the one that runs
}

// New checks the config and the source; it does not connect. The budget and the metrics are shared by all Intakes of the process.
func New(cfg Config, pipeline string, source Source, open Open, budget *Budget, metrics *Metrics, log *slog.Logger) (*Intake, error) {
	source = source.WithDefaults()
	if source.Group == "" {
		source.Group = "andon." + pipeline
	}
	if err := errors.Join(cfg.Validate(), source.Validate()); err != nil {
		return nil, err
	}
	if _, err := decode.New(source.Spec); err != nil {
		return nil, err
	}
	return &Intake{cfg: cfg, pipeline: pipeline, source: source, open: open, budget: budget, metrics: metrics,
		log: log.With("pipeline", pipeline, "topic", source.Topic, "group", source.Group)}, nil
}

// FenceBy sets what is called for each partition before its commit is asked for. It must be set before Run.
func (in *Intake) FenceBy(f Fencer) { in.fencer = f }

// formerLife is how long a static member waits for the session of its former life, which was killed, where the brokers balance the group: the brokers' default is 45 s.
const formerLife = 60 * time.Second

// Run reads until ctx ends, then finishes the batches in hand, flushes under DrainTimeout, and leaves the group, unless the member is static. It returns nil then,
// and otherwise the error that stopped it, with the position.
func (in *Intake) Run(ctx context.Context) error {
	var taken time.Time // since when the group says that this static member is there already
	for {
		began := time.Now()
		err := in.run(ctx)
		again := errors.Is(err, errRejoin)
		if errors.Is(err, kerr.UnreleasedInstanceID) {
			if taken.IsZero() {
				taken = began
			}
			again = time.Since(taken) < formerLife
		} else {
			taken = time.Time{}
		}
		if again {
			in.log.Warn("joining the group again", "why", err)
			select {
			case <-time.After(in.cfg.Heartbeat):
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if err != nil {
			return fmt.Errorf("ingest %s: %w", in.pipeline, err)
		}
		return nil
	}
}

func (in *Intake) setSession(s *session) {
	in.mu.Lock()
	in.session = s
	in.mu.Unlock()
}

// Progress is how far one assigned partition is.
type Progress struct {
	Partition int32
	// Next is the next offset to handle, End the log's end as last seen.
	Next, End int64
	// Waiting is the bytes fetched and not yet handled.
	Waiting int64
}

// Progress returns the partitions that are assigned now, by number.
func (in *Intake) Progress() []Progress {
	in.mu.Lock()
	s := in.session
	in.mu.Unlock()
	if s == nil {
		return nil
	}
	var out []Progress
	for _, p := range s.assigned() {
		p.queue.mu.Lock()
		waiting := p.queue.bytes
		p.queue.mu.Unlock()
		next := p.next.Load()
		out = append(out, Progress{Partition: p.id, Next: next, End: max(p.end.Load(), next), Waiting: waiting})
	}
	slices.SortFunc(out, func(a, b Progress) int { return int(a.Partition) - int(b.Partition) })
	return out
}
