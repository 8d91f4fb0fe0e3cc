package model

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Journal is the log of moves and registrations that all replicas of the appliance follow, in one order. With it a move is first told to the journal and made,
// here as everywhere, when it comes back: any replica can be lost, and all end up with the same aliases.
type Journal interface {
	// Append returns once the log holds the event for good. No two events have the same key.
	Append(ctx context.Context, key string, event []byte) error
}

// journalWait is how long a move waits for the journal: a broker that moves its leader is back before.
const journalWait = time.Minute

// journalEvent is the JSON of an event: a move, or a version that is new.
type journalEvent struct {
	ID       string `json:"id"`
	Event    string `json:"event"` // moved or registered
	Pipeline string `json:"pipeline"`

	Alias    Alias   `json:"alias,omitempty"`
	From     string  `json:"from,omitempty"`
	To       string  `json:"to,omitempty"`
	Percent  float64 `json:"percent,omitempty"`
	Rollback bool    `json:"rollback,omitempty"`

	Version  string             `json:"version,omitempty"`
	Bytes    int64              `json:"bytes,omitempty"`
	Task     Task               `json:"task,omitempty"`
	Network  string             `json:"network,omitempty"`
	Metrics  map[string]float64 `json:"metrics,omitempty"`
	Measured map[string]float64 `json:"measured,omitempty"`
	Lineage  *Lineage           `json:"lineage,omitempty"`

	Who  string    `json:"who"`
	Why  string    `json:"why"`
	Time time.Time `json:"time"`
}

// The kinds of events.
const (
	eventMoved      = "moved"
	eventRegistered = "registered"
)

func moved(mv Move) journalEvent {
	return journalEvent{ID: rand.Text(), Event: eventMoved, Pipeline: mv.Pipeline, Alias: mv.Alias, From: mv.From, To: mv.To, Percent: mv.Percent, Rollback: mv.Rollback,
		Who: mv.Who, Why: mv.Why, Time: mv.Time}
}

func registered(i Info) journalEvent {
	return journalEvent{ID: rand.Text(), Event: eventRegistered, Pipeline: i.Pipeline, Version: i.Version, Bytes: i.Bytes, Task: i.Task, Network: i.Network, Metrics: i.Metrics,
		Measured: i.Measured, Lineage: &i.Lineage, Who: i.Who, Why: i.Why, Time: i.Added}
}

func (e *journalEvent) move() Move {
	return Move{Pipeline: e.Pipeline, Alias: e.Alias, From: e.From, To: e.To, Percent: e.Percent, Rollback: e.Rollback, Who: e.Who, Why: e.Why, Time: e.Time}
}

// readEvent decodes an event; ok is false for what a newer version may write, or anybody else.
func readEvent(data []byte) (e journalEvent, ok bool) {
	if json.Unmarshal(data, &e) != nil || !pipelineName.MatchString(e.Pipeline) {
		return e, false
	}
	switch e.Event {
	case eventMoved:
		mv := e.move()
		return e, mv.check() == nil && (e.To == "" || pipelineName.MatchString(e.To)) && !e.Time.IsZero()
	case eventRegistered:
		return e, pipelineName.MatchString(e.Version)
	}
	return e, false
}

// appendEvent tells the journal. The key holds the event's identity, so that compaction keeps all of them.
func appendEvent(ctx context.Context, j Journal, e journalEvent) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	key := e.Pipeline + "/" + e.Version
	if e.Event == eventMoved {
		key = fmt.Sprintf("%s/%s/%s", e.Pipeline, e.Alias, e.ID)
	}
	return j.Append(ctx, key, data)
}

// moveByJournal prepares a move here, tells the journal, and waits until it has come back. It unlocks moving.
func (r *Registry) moveByJournal(ctx context.Context, mv Move) error {
	_, already, err := r.readyLocked(ctx, &mv)
	journal := r.journal
	r.moving.Unlock()
	if err != nil || already {
		return err
	}
	canary, _ := r.Marker(mv.Pipeline, Canary)
	if err := r.propose(ctx, journal, mv); err != nil {
		return err
	}
	if mv.Alias == Champion && canary.To == mv.To {
		return r.propose(ctx, journal, canaryEnds(mv))
	}
	return nil
}

func (r *Registry) propose(ctx context.Context, j Journal, mv Move) error {
	ctx, cancel := context.WithTimeout(ctx, journalWait)
	defer cancel()
	mv.Time = time.Now().UTC().Round(0)
	e, done := moved(mv), make(chan error, 1)
	r.mu.Lock()
	r.waiters[e.ID] = done
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.waiters, e.ID)
		r.mu.Unlock()
	}()
	if err := appendEvent(ctx, j, e); err != nil {
		return fmt.Errorf("tell the journal of models: %w", err)
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the journal of models holds the move, and this replica has not made it yet: %w", ctx.Err())
	}
}

// Apply does what an event of the journal says; it is called with one event after the other, in the journal's order. An error tells what this replica cannot do now, and
// Retry tries again. What is done already, or is no event, is nothing.
func (r *Registry) Apply(ctx context.Context, event []byte) error {
	e, ok := readEvent(event)
	if !ok {
		return nil
	}
	r.moving.Lock()
	defer r.moving.Unlock()
	if e.Event == eventRegistered {
		return r.hearLocked(ctx, &e)
	}
	mv := e.move()
	err := r.applyLocked(ctx, mv, false)
	r.mu.Lock()
	if done := r.waiters[e.ID]; done != nil {
		done <- err
		delete(r.waiters, e.ID)
	}
	r.mu.Unlock()
	return err
}

// Retry tries again what events said and could not be done, and returns what still cannot.
func (r *Registry) Retry(ctx context.Context) error {
	r.moving.Lock()
	defer r.moving.Unlock()
	var errs []error
	for _, mv := range r.behind {
		errs = append(errs, r.applyLocked(ctx, mv, true))
	}
	return errors.Join(errs...)
}

// hearLocked notes a version that another replica has registered: its file is fetched where there is a store.
func (r *Registry) hearLocked(ctx context.Context, e *journalEvent) error {
	r.mu.Lock()
	_, known := r.infos[e.Pipeline][e.Version]
	r.mu.Unlock()
	if known || r.artifacts == nil {
		return nil
	}
	m, err := r.download(ctx, e.Pipeline, e.Version)
	if err == nil {
		err = r.keep(m, Registration{Who: e.Who, Why: e.Why, Time: e.Time, Measured: e.Measured})
	}
	if err != nil {
		return fmt.Errorf("fetch model %s of %s: %w", e.Version, e.Pipeline, err)
	}
	return nil
}

// applyLocked makes a move of the journal; again tells that it is known to be the alias's last.
func (r *Registry) applyLocked(ctx context.Context, mv Move, again bool) error {
	key := aliasKey{mv.Pipeline, mv.Alias}
	if marker, _ := r.Marker(mv.Pipeline, mv.Alias); marker.same(mv) && (mv.To == "" || r.Named(mv.Pipeline, mv.Alias) != nil) {
		delete(r.behind, key)
		return nil
	}
	if !again { // a journal that is read again from its begin must not take the aliases through their past
		if history, err := r.History(mv.Pipeline); err == nil && slices.ContainsFunc(history, mv.same) {
			return nil
		}
	}
	at := mv.Time
	m, already, err := r.readyLocked(ctx, &mv)
	if err == nil && !already {
		mv.Time = at
		err = r.settleLocked(mv, m)
	}
	if err != nil && !errors.Is(err, errHistory) {
		r.behind[key] = mv
		return named(mv, func(Move) error { return err })
	}
	delete(r.behind, key)
	return err
}

// Lead makes the registry follow a journal from now on. past is all that the journal holds: the aliases become what it says, what it lacks of this folder's versions
// and moves is told to it, and its history joins the folder's. What cannot be done, as where a model's file is on another machine, is among faults and is tried again by
// Retry. An error means that the registry goes on without the journal.
func (r *Registry) Lead(ctx context.Context, j Journal, past [][]byte) (faults []error, err error) {
	r.moving.Lock()
	defer r.moving.Unlock()
	told := map[string]bool{}
	moves := map[string][]Move{}
	last := map[aliasKey]Move{}
	for _, data := range past {
		e, ok := readEvent(data)
		if !ok {
			continue
		}
		if e.Event == eventRegistered {
			told[e.Pipeline+"/"+e.Version] = true
			if err := r.hearLocked(ctx, &e); err != nil {
				faults = append(faults, err)
			}
			continue
		}
		mv := e.move()
		moves[e.Pipeline] = append(moves[e.Pipeline], mv)
		last[aliasKey{e.Pipeline, e.Alias}] = mv
	}
	var tell []journalEvent
	for _, p := range r.Pipelines() {
		for _, i := range r.List(p) {
			if !told[p+"/"+i.Version] {
				tell = append(tell, registered(i))
			}
		}
	}
	r.mu.Lock()
	markers := make(map[aliasKey]Move, len(r.markers))
	for key, mv := range r.markers {
		markers[key] = mv
	}
	r.mu.Unlock()
	var apply []Move
	for key, mv := range markers {
		l, ok := last[key]
		// A move that the journal never heard of counts if it is newer than all that it has: it was made without a journal.
		if !ok || !slices.ContainsFunc(moves[key.pipeline], mv.same) && mv.Time.After(l.Time) {
			tell = append(tell, moved(mv))
			delete(last, key)
		}
	}
	for _, mv := range last {
		apply = append(apply, mv)
	}
	slices.SortFunc(apply, func(a, b Move) int { return a.Time.Compare(b.Time) })
	slices.SortFunc(tell, func(a, b journalEvent) int {
		return cmp.Or(cmp.Compare(b.Event, a.Event), a.Time.Compare(b.Time)) // registrations first
	})
	for _, e := range tell {
		if err := appendEvent(ctx, j, e); err != nil {
			return nil, fmt.Errorf("tell the journal of models what it lacks: %w", err)
		}
	}
	for _, mv := range apply {
		if err := r.applyLocked(ctx, mv, true); err != nil {
			faults = append(faults, err)
		}
	}
	for p, list := range moves {
		if err := r.joinHistory(p, list); err != nil {
			faults = append(faults, fmt.Errorf("join the history of %s: %w", p, err))
		}
	}
	r.journal = j
	return faults, nil
}

// joinHistory adds to a pipeline's history what it lacks, in order of time.
func (r *Registry) joinHistory(pipeline string, moves []Move) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.mendLocked(pipeline); err != nil {
		return err
	}
	history, err := r.readHistory(pipeline)
	if err != nil {
		return err
	}
	had := len(history)
	for _, mv := range moves {
		if !slices.ContainsFunc(history, mv.same) {
			history = append(history, mv)
		}
	}
	if len(history) == had {
		return nil
	}
	slices.SortStableFunc(history, func(a, b Move) int { return a.Time.Compare(b.Time) })
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for _, mv := range history {
		if err := e.Encode(mv); err != nil {
			return err
		}
	}
	path := filepath.Join(r.dir, pipeline, historyFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return replace(path, b.Bytes())
}
