package processors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/processors/drift"
)

// DriftStore keeps what lines count and what the panel says of it. It may be told again of what it has: of the same range, or the same alarm.
type DriftStore interface {
	WriteJudged(ctx context.Context, j *event.Judged) error
	WriteAlarm(ctx context.Context, a *event.Alarm) error
}

// PanelOutlets is where the panel's word goes. Watch and Raise must not block, and may be nil; they may be told again of what they know, after a crash.
type PanelOutlets struct {
	Store DriftStore
	Vault Vault
	Watch func(event.Round)
	Raise func(event.Alarm)
}

// Panel is the pipeline that reads what all lines count of their windows, from a topic of one partition, so that one replica decides for all. What it knows is kept with its commit.
//
// Metrics: andon_drift_rounds_total{pipeline}, andon_drift_alarms_total{pipeline,kind}, andon_drift_standing{pipeline,kind} (1 while an alarm stands), andon_drift_distance{pipeline,feature} (KS of the
// fleet in the last round), andon_drift_estimated{pipeline,metric}.
type Panel struct {
	config  func(pipeline string) (drift.Config, bool)
	out     PanelOutlets
	log     *slog.Logger
	metrics *panelMetrics
	// every is how many records may have to be read back.
	every int64
}

type panelMetrics struct {
	rounds, alarms                *prometheus.CounterVec
	standing, distance, estimated *prometheus.GaugeVec
}

// NewPanel makes a panel; config tells a pipeline's settings.
func NewPanel(config func(pipeline string) (drift.Config, bool), out PanelOutlets, log *slog.Logger, reg prometheus.Registerer) *Panel {
	m := &panelMetrics{
		rounds: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_drift_rounds_total", Help: "Rounds in which a pipeline was held against its model's reference."}, []string{"pipeline"}),
		alarms: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_drift_alarms_total", Help: "Alarms that began."}, []string{"pipeline", "kind"}),
		standing: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "andon_drift_standing", Help: "1 while an alarm stands."},
			[]string{"pipeline", "kind"}),
		distance: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "andon_drift_distance", Help: "Greatest difference of the distribution functions of the fleet in the last round."},
			[]string{"pipeline", "feature"}),
		estimated: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "andon_drift_estimated", Help: "What the model is expected to be worth in the last round, before the truth is known."},
			[]string{"pipeline", "metric"}),
	}
	reg.MustRegister(m.rounds, m.alarms, m.standing, m.distance, m.estimated)
	return &Panel{config: config, out: out, log: log, metrics: m, every: 256}
}

// panelNote is the note beside the panel's commit.
type panelNote struct {
	V int `json:"v"`
	// At is the offset that the state stands before, Ref by what it is found; without one the panel begins anew, Slot in turns as kept.Slot.
	At   int64  `json:"at"`
	Ref  string `json:"ref,omitempty"`
	Slot int    `json:"slot,omitempty"`
	// Until is up to where a range from the committed offset on is about to be stored, 0 where none is: who comes after a crash stores the same range.
	Until int64 `json:"until,omitempty"`
}

const (
	// panelWait is how long what is no alarm waits to be stored together: an insert costs ClickHouse as much as thousands of windows cost the line.
	panelWait = 10 * time.Second
	// panelRows are stored at once at the latest.
	panelRows = 20_000
)

// Seat is the panel at its partition. Its methods are called by one goroutine.
type Seat struct {
	p     *Panel
	a     Assignment
	panel *drift.Panel
	note  panelNote

	at, next int64
	until    int64 // of the range that must be stored first, 0 for none
	sketches []event.Sketch
	rounds   []event.Round
	rows     int
	alarms   []event.Alarm
	due      time.Time
}

// Open takes the partition, and says where to read from.
func (p *Panel) Open(ctx context.Context, a Assignment) (*Seat, int64, error) {
	s := &Seat{p: p, a: a, panel: drift.NewPanel(p.config), at: a.Committed, next: a.Committed, note: panelNote{V: 1, At: a.Committed}}
	var n panelNote
	if json.Unmarshal([]byte(a.Note), &n) != nil || n.V != 1 || n.At > a.Committed {
		n = s.note // of nobody, or of other tools: the panel begins anew here
	}
	if n.Ref != "" {
		data, err := []byte(nil), errors.New("nothing here keeps snapshots")
		if p.out.Vault != nil {
			data, err = p.out.Vault.Load(ctx, n.Ref)
		}
		if ctx.Err() != nil {
			return nil, 0, fmt.Errorf("load the drift panel's state %s: %w", n.Ref, context.Cause(ctx))
		}
		if err == nil {
			err = s.panel.Restore(data)
		}
		if err != nil {
			p.log.Error("the drift panel's state cannot be used: it begins anew, and an alarm that stood may be raised again", "ref", n.Ref, "error", err)
			n = s.note
		}
	}
	if n.Until > a.Committed {
		s.until = n.Until
	}
	n.Until = 0
	s.note = n
	s.at = n.At
	p.log.Info("drift panel opened", "committed", a.Committed, "from", s.at, "state", n.Ref != "")
	return s, s.at, nil
}

// Handle takes sketches. Those before the committed offset were decided on, and give no output.
func (s *Seat) Handle(ctx context.Context, b *event.Batch) error {
	if b.First != s.at {
		return fmt.Errorf("the drift panel's batch begins at %d, not at %d", b.First, s.at)
	}
	for i := range b.Sketches {
		at := &b.Sketches[i]
		if err := s.reach(ctx, at.Offset); err != nil {
			return err
		}
		if s.panel.Twice(&at.Sketch) { // its line was killed before it knew that it had told it
			continue
		}
		rounds, alarms := s.panel.Add(&at.Sketch)
		if at.Offset < s.a.Committed {
			continue
		}
		s.sketches, s.rows = append(s.sketches, at.Sketch), s.rows+len(at.Features)
		for k := range rounds {
			s.rows += len(rounds[k].Findings)
		}
		s.rounds, s.alarms = append(s.rounds, rounds...), append(s.alarms, alarms...)
	}
	for i := range b.Rejects {
		s.p.log.Warn("the drift panel leaves a record out", "offset", b.Rejects[i].Offset, "why", b.Rejects[i].Detail)
	}
	if err := s.reach(ctx, b.Next); err != nil {
		return err
	}
	if s.at = b.Next; s.at > s.a.Committed {
		s.next = s.at
	}
	switch {
	case s.until > 0:
		return nil // the range is stored whole
	case len(s.alarms) > 0 || s.rows >= panelRows:
		return s.Flush(ctx)
	case s.due.IsZero() && s.next > s.a.Committed:
		s.due = time.Now().Add(panelWait)
	}
	return nil
}

// reach stores the range that was about to be stored, if what comes lies beyond.
func (s *Seat) reach(ctx context.Context, offset int64) error {
	if s.until == 0 || offset < s.until {
		return nil
	}
	s.at, s.next = s.until, s.until
	return s.Flush(ctx)
}

// Flush stores and tells what was decided, then commits. A range that was about to be stored before a crash must be there whole.
func (s *Seat) Flush(ctx context.Context) error {
	if s.next <= s.a.Committed || s.until > s.next {
		return nil
	}
	if len(s.sketches)+len(s.rounds) > 0 {
		n := s.note
		if n.Until = s.next; s.until == 0 {
			if err := s.commit(ctx, s.a.Committed, n); err != nil {
				return err
			}
			s.until = s.next
		}
		j := event.Judged{Topic: s.a.Topic, Partition: s.a.Partition, First: s.a.Committed, Next: s.next, Sketches: s.sketches, Rounds: s.rounds}
		if err := s.p.out.Store.WriteJudged(ctx, &j); err != nil {
			return fmt.Errorf("store what lines counted of their windows, and what the drift panel says of it, %s/%d@%d-%d: %w", j.Topic, j.Partition, j.First, j.Next, err)
		}
	}
	for i := range s.rounds {
		s.p.saw(&s.rounds[i])
	}
	for i := range s.alarms {
		a := &s.alarms[i]
		if err := s.p.out.Store.WriteAlarm(ctx, a); err != nil {
			return fmt.Errorf("store the alarm %s: %w", a.ID, err)
		}
		s.p.raise(a)
	}
	n := s.note
	if s.p.out.Vault != nil && (len(s.alarms) > 0 || n.Ref == "" || s.next-n.At >= s.p.every) {
		data, err := s.panel.Snapshot()
		if err != nil {
			return err
		}
		slot := 1 - n.Slot
		ref, err := s.p.out.Vault.Save(ctx, fmt.Sprintf("drift/%s/%d/%d", s.a.Topic, s.a.Partition, slot), s.a.Partition, data)
		switch {
		case err == nil:
			n = panelNote{V: 1, At: s.next, Ref: ref, Slot: slot}
		case ctx.Err() != nil:
			return err
		default:
			s.p.log.Error("no snapshot of the drift panel: a restart reads back further", "from", n.At, "next", s.next, "error", err)
		}
	}
	if err := s.commit(ctx, s.next, n); err != nil {
		return err
	}
	s.note, s.a.Committed, s.until = n, s.next, 0
	clear(s.sketches)
	clear(s.rounds)
	s.sketches, s.rounds, s.rows, s.alarms, s.due = s.sketches[:0], s.rounds[:0], 0, s.alarms[:0], time.Time{}
	return nil
}

func (s *Seat) commit(ctx context.Context, next int64, n panelNote) error {
	note, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if err := s.a.Commit(ctx, next, string(note)); err != nil {
		return fmt.Errorf("commit the drift panel at %d: %w", next, err)
	}
	return nil
}

// Due is when what was decided must be stored.
func (s *Seat) Due() time.Time { return s.due }

// saw tells of a round.
func (p *Panel) saw(r *event.Round) {
	p.metrics.rounds.WithLabelValues(r.Pipeline).Inc()
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Group == drift.Fleet && f.Role != event.RoleLoss {
			p.metrics.distance.WithLabelValues(r.Pipeline, f.Feature).Set(f.KS)
		}
	}
	for _, e := range r.Estimates {
		p.metrics.estimated.WithLabelValues(r.Pipeline, e.Metric).Set(e.Value)
	}
	if p.out.Watch != nil {
		p.out.Watch(*r)
	}
}

// raise tells of an alarm.
func (p *Panel) raise(a *event.Alarm) {
	standing := p.metrics.standing.WithLabelValues(a.Pipeline, a.Kind)
	if a.Over {
		standing.Set(0)
		p.log.Info("drift alarm over", "alarm", a.ID, "detail", a.Detail)
	} else {
		standing.Set(1)
		p.metrics.alarms.WithLabelValues(a.Pipeline, a.Kind).Inc()
		p.log.Warn("drift alarm", "alarm", a.ID, "detail", a.Detail)
	}
	if p.out.Raise != nil {
		p.out.Raise(*a)
	}
}
