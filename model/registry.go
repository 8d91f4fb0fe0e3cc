package model

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Alias is a name that points at one version of a pipeline's model.
type Alias string

// The aliases.
const (
	Champion   Alias = "champion"   // its scores count
	Challenger Alias = "challenger" // made, and not yet judged
	Shadow     Alias = "shadow"     // scores the same windows and never acts
	Canary     Alias = "canary"     // scores a share of the assets in the champion's place, and there its scores count
)

// aliases are all of them.
var aliases = []Alias{Champion, Challenger, Shadow, Canary}

// ErrUnknown is returned for a pipeline's version that the registry does not hold.
var ErrUnknown = errors.New("no such model in the registry")

// Move is one change of an alias: who or what made it, and why.
type Move struct {
	Pipeline string    `json:"pipeline"`
	Alias    Alias     `json:"alias"`
	From     string    `json:"from,omitempty"` // the version before; empty for the first
	To       string    `json:"to"`             // empty: the alias points at nothing any more
	Who      string    `json:"who"`
	Why      string    `json:"why"`
	Time     time.Time `json:"time"`
	// Percent is a canary's share of the assets, more than 0 and at most 100; 0 for the other aliases.
	Percent float64 `json:"percent,omitempty"`
	// Rollback tells that the alias went back to where it was before.
	Rollback bool `json:"rollback,omitempty"`
}

// same reports whether two records are of one move.
func (m Move) same(o Move) bool { return m.Alias == o.Alias && m.To == o.To && m.Time.Equal(o.Time) }

// Registration says how a version came into the registry.
type Registration struct {
	Who  string    `json:"who"`
	Why  string    `json:"why"`
	Time time.Time `json:"time"`
	// Measured is what the model took when it was tried, as trial_seconds; it depends on the machine, so it is no part of the file.
	Measured map[string]float64 `json:"measured,omitempty"`
}

// Info describes one version without its file.
type Info struct {
	Meta
	Version string
	// Bytes is the size of the file.
	Bytes   int64
	Added   time.Time
	Aliases []Alias
	// Who, Why and Measured are of its registration.
	Who      string
	Why      string
	Measured map[string]float64 `json:",omitempty"`
}

type aliasKey struct {
	pipeline string
	alias    Alias
}

// pointed is what an alias points at.
type pointed struct {
	model   *Model
	percent float64
}

// Registry keeps models in a folder:
//
//	<dir>/<pipeline>/<version>/model.onnx   immutable; checked against the version, which is its digest
//	<dir>/<pipeline>/<version>/added.json   who registered it, when and why
//	<dir>/<pipeline>/aliases.json           which version each alias names, and the move that made it so; replaced whole
//	<dir>/<pipeline>/history.jsonl          every move, one a line, appended
//
// All methods are safe for concurrent use. One process at a time may write to the folder; others may open it and look.
type Registry struct {
	dir    string
	faults []error

	// live is replaced whole, so that readers need no lock.
	live atomic.Pointer[map[aliasKey]pointed]

	// artifacts and journal are nil where the folder is all there is; see artifacts.go and journal.go.
	artifacts Artifacts
	journal   Journal

	// moving orders whole moves, hooks included, and guards journal and behind; it comes before mu, which guards what follows.
	moving    sync.Mutex
	behind    map[aliasKey]Move // what the journal says and could not be done yet
	mu        sync.Mutex
	infos     map[string]map[string]Info // by pipeline and version, without Aliases
	markers   map[aliasKey]Move
	mended    map[string]bool // pipelines whose folder holds nothing that a crash left
	prepare   []func(context.Context, *Model) error
	onChanges []func(Move)
	onAdds    []func(pipeline, version string)
	waiters   map[string]chan error // by the event's ID: who asked for a move and waits for it to come back by the journal
}

// Open reads the registry's folder, or makes it, and changes nothing in it. What is torn, corrupted or missing is left as it lies, skipped, and told by Faults; an error is returned
// only when the folder itself cannot be used.
func Open(dir string) (*Registry, error) { return OpenWith(context.Background(), dir, nil) }

// OpenWith is Open with a store that other replicas use, too: versions that it holds and the folder lacks are fetched first. A store that cannot be read now is one of
// the Faults. Without a store it is Open.
func OpenWith(ctx context.Context, dir string, artifacts Artifacts) (*Registry, error) {
	r := &Registry{dir: dir, artifacts: artifacts, infos: map[string]map[string]Info{}, markers: map[aliasKey]Move{}, mended: map[string]bool{},
		behind: map[aliasKey]Move{}, waiters: map[string]chan error{}}
	if artifacts != nil {
		if err := r.fetchAll(ctx); err != nil {
			return nil, fmt.Errorf("open model registry %s: %w", dir, err)
		}
	}
	if err := r.read(); err != nil {
		return nil, fmt.Errorf("open model registry %s: %w", dir, err)
	}
	return r, nil
}

// Faults returns what Open had to skip, each naming the file and what to do.
func (r *Registry) Faults() []error { return r.faults }

// Prepare adds a hook that runs before an alias moves, outside of any lock but the one that orders moves: an error refuses the move, and the old version
// stays. The scorer loads the model here, so that the switch finds it warm. A hook must not move an alias itself.
func (r *Registry) Prepare(f func(ctx context.Context, m *Model) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.prepare = append(r.prepare, f)
}

// OnChange adds a function that is told of every move once it is made, in order. It must be short and must not move an alias itself.
func (r *Registry) OnChange(f func(Move)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onChanges = append(r.onChanges, f)
}

// OnAdd adds a function that is told of every version that is new here. It must be short and must not change the registry.
func (r *Registry) OnAdd(f func(pipeline, version string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onAdds = append(r.onAdds, f)
}

// Live returns the champion of a pipeline, or nil. It takes no lock.
func (r *Registry) Live(pipeline string) *Model { return r.Named(pipeline, Champion) }

// Named returns the model that an alias points at, or nil. It takes no lock.
func (r *Registry) Named(pipeline string, alias Alias) *Model {
	return (*r.live.Load())[aliasKey{pipeline, alias}].model
}

// Canary returns the canary of a pipeline and its share of the assets in percent (see InShare), or nil. It takes no lock.
func (r *Registry) Canary(pipeline string) (m *Model, percent float64) {
	c := (*r.live.Load())[aliasKey{pipeline, Canary}]
	return c.model, c.percent
}

// Add stores a new version durably. A version that is there already is left as it is; adding moves no alias.
func (r *Registry) Add(m *Model) error {
	return r.Register(context.Background(), m, Registration{Who: "registry", Why: "registered"})
}

// Register is Add with the record of who did it and why; a zero Time is now.
func (r *Registry) Register(ctx context.Context, m *Model, reg Registration) error {
	if err := r.register(ctx, m, reg); err != nil {
		return fmt.Errorf("add model %s of %s: %w", m.Version, m.Pipeline, err)
	}
	return nil
}

func (r *Registry) register(ctx context.Context, m *Model, reg Registration) error {
	if !pipelineName.MatchString(m.Pipeline) {
		return fmt.Errorf("%q is not a pipeline's name: use letters, digits, dots, dashes and underscores", m.Pipeline)
	}
	if v := versionOf(m.ONNX); v != m.Version {
		return fmt.Errorf("the file's digest gives version %s: the model was changed after it was parsed", v)
	}
	if reg.Time.IsZero() {
		reg.Time = time.Now().UTC().Round(0)
	}
	r.mu.Lock()
	_, known := r.infos[m.Pipeline][m.Version]
	r.mu.Unlock()
	if known {
		return nil
	}
	if r.artifacts != nil { // first, so that nobody hears of a version that only this machine has
		if err := r.artifacts.Put(ctx, m.Pipeline, m.Version, m.ONNX); err != nil {
			return fmt.Errorf("keep it: %w", err)
		}
	}
	if err := r.keep(m, reg); err != nil {
		return err
	}
	r.moving.Lock()
	journal := r.journal
	r.moving.Unlock()
	if journal == nil {
		return nil
	}
	info, err := r.Find(m.Pipeline, m.Version)
	if err == nil {
		err = appendEvent(ctx, journal, registered(info))
	}
	if err != nil { // a start tells the journal what it lacks
		return fmt.Errorf("it is registered here, and the other replicas are not told: %w", err)
	}
	return nil
}

// keep writes a version into the folder and tells of it.
func (r *Registry) keep(m *Model, reg Registration) error {
	r.mu.Lock()
	if _, ok := r.infos[m.Pipeline][m.Version]; ok {
		r.mu.Unlock()
		return nil
	}
	if err := r.writeModelLocked(m, reg); err != nil {
		r.mu.Unlock()
		return err
	}
	r.keepInfoLocked(m, reg)
	tell := slices.Clone(r.onAdds)
	r.mu.Unlock()
	for _, f := range tell {
		f(m.Pipeline, m.Version)
	}
	return nil
}

func (r *Registry) keepInfoLocked(m *Model, reg Registration) {
	if r.infos[m.Pipeline] == nil {
		r.infos[m.Pipeline] = map[string]Info{}
	}
	r.infos[m.Pipeline][m.Version] = Info{Meta: m.Meta, Version: m.Version, Bytes: int64(len(m.ONNX)), Added: reg.Time, Who: reg.Who, Why: reg.Why, Measured: reg.Measured}
}

// Get reads one version from disk, unless an alias holds it in memory. The error is ErrUnknown, or says what is wrong with the file.
func (r *Registry) Get(pipeline, version string) (*Model, error) {
	r.mu.Lock()
	_, ok := r.infos[pipeline][version]
	r.mu.Unlock()
	if !ok {
		return r.fetchMissing(context.Background(), pipeline, version)
	}
	for key, p := range *r.live.Load() {
		if key.pipeline == pipeline && p.model.Version == version {
			return p.model, nil
		}
	}
	m, _, err := r.readModel(pipeline, version)
	if err != nil {
		return nil, fmt.Errorf("get model %s of %s: %w", version, pipeline, err)
	}
	return m, nil
}

// List returns a pipeline's versions, newest first.
func (r *Registry) List(pipeline string) []Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := slices.Collect(maps.Values(r.infos[pipeline]))
	for i := range list {
		list[i].Aliases = r.aliasesLocked(pipeline, list[i].Version)
	}
	slices.SortFunc(list, func(a, b Info) int {
		if c := b.Added.Compare(a.Added); c != 0 {
			return c
		}
		return b.Lineage.Trained.Compare(a.Lineage.Trained)
	})
	return list
}

// Pipelines returns the names of the pipelines that have models, sorted.
func (r *Registry) Pipelines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.infos))
}

// Find returns the version that begins so, of one pipeline or, where that is empty, of any. The error is ErrUnknown, or tells that there are several.
func (r *Registry) Find(pipeline, version string) (Info, error) {
	var found []Info
	for _, p := range r.Pipelines() {
		if pipeline != "" && pipeline != p {
			continue
		}
		for _, i := range r.List(p) {
			if i.Version == version {
				return i, nil
			}
			if version != "" && strings.HasPrefix(i.Version, version) {
				found = append(found, i)
			}
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return Info{}, fmt.Errorf("%d models begin with %s: give more digits, or the pipeline", len(found), version)
	case pipeline == "":
		return Info{}, fmt.Errorf("model %s: %w", version, ErrUnknown)
	}
	return Info{}, fmt.Errorf("model %s of %s: %w", version, pipeline, ErrUnknown)
}

// Marker returns the move that made an alias what it is; false where it points at nothing.
func (r *Registry) Marker(pipeline string, alias Alias) (Move, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	mv, ok := r.markers[aliasKey{pipeline, alias}]
	return mv, ok
}

// Aliases returns the aliases that point at a version.
func (r *Registry) Aliases(pipeline, version string) []Alias {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.aliasesLocked(pipeline, version)
}

func (r *Registry) aliasesLocked(pipeline, version string) []Alias {
	var list []Alias
	for _, a := range aliases {
		if mv, ok := r.markers[aliasKey{pipeline, a}]; ok && mv.To == version {
			list = append(list, a)
		}
	}
	return list
}

// Promote makes a version the pipeline's champion: it is prepared, then the marker moves on disk, then Live returns it. A canary of the same version ends with that.
func (r *Registry) Promote(pipeline, version, who, why string) error {
	return r.Move(context.Background(), pipeline, Champion, version, who, why)
}

// Move points an alias at a version; a canary is made by MoveCanary. After an error the alias is where it was; only when the error comes from writing history is the move
// made and merely not yet in the history, which the next write mends. Moving an alias to where it is does nothing.
func (r *Registry) Move(ctx context.Context, pipeline string, alias Alias, version, who, why string) error {
	return named(Move{Pipeline: pipeline, Alias: alias, To: version, Who: who, Why: why}, func(mv Move) error { return r.move(ctx, mv) })
}

// MoveCanary lets a version score a share of the pipeline's assets, in percent; with the version that is the canary already, it changes the share. Otherwise as Move.
func (r *Registry) MoveCanary(ctx context.Context, pipeline, version string, percent float64, who, why string) error {
	return named(Move{Pipeline: pipeline, Alias: Canary, To: version, Who: who, Why: why, Percent: percent}, func(mv Move) error { return r.move(ctx, mv) })
}

// Clear lets an alias point at nothing: it ends a canary or a shadow. The champion cannot be cleared. An alias that points at nothing is left so. Otherwise as Move.
func (r *Registry) Clear(pipeline string, alias Alias, who, why string) error {
	return named(Move{Pipeline: pipeline, Alias: alias, Who: who, Why: why}, func(mv Move) error { return r.move(context.Background(), mv) })
}

// named adds to an error what was to be done.
func named(mv Move, do func(Move) error) error {
	err := do(mv)
	switch {
	case err == nil:
		return nil
	case mv.To == "":
		return fmt.Errorf("clear the %s of %s: %w", mv.Alias, mv.Pipeline, err)
	}
	return fmt.Errorf("make %s the %s of %s: %w", mv.To, mv.Alias, mv.Pipeline, err)
}

// check returns what is wrong with the form of a move.
func (mv *Move) check() error {
	switch {
	case !slices.Contains(aliases, mv.Alias):
		return fmt.Errorf("%q is not an alias: use champion, challenger, shadow or canary", mv.Alias)
	case mv.To == "" && mv.Alias == Champion:
		return errors.New("a pipeline cannot be without the champion it had: promote another version")
	case mv.Alias == Canary && mv.To != "" && !(mv.Percent > 0 && mv.Percent <= 100):
		return fmt.Errorf("a canary's share of %v %% is not more than 0 and at most 100", mv.Percent)
	}
	return nil
}

func (r *Registry) move(ctx context.Context, mv Move) error {
	if err := mv.check(); err != nil {
		return err
	}
	r.moving.Lock()
	if r.journal != nil {
		return r.moveByJournal(ctx, mv) // which unlocks
	}
	defer r.moving.Unlock()
	return r.moveLocked(ctx, mv)
}

// moveLocked needs moving.
func (r *Registry) moveLocked(ctx context.Context, mv Move) error {
	m, already, err := r.readyLocked(ctx, &mv)
	if err != nil || already {
		return err
	}
	mv.Time = time.Now().UTC().Round(0)
	canary, _ := r.Marker(mv.Pipeline, Canary)
	if err = r.settleLocked(mv, m); errors.Is(err, errMarker) {
		return err
	}
	if mv.Alias == Champion && canary.To == mv.To {
		err = errors.Join(err, r.moveLocked(ctx, canaryEnds(mv)))
	}
	return err
}

// canaryEnds is the move that follows when the canary's version becomes the champion.
func canaryEnds(mv Move) Move {
	return Move{Pipeline: mv.Pipeline, Alias: Canary, Who: mv.Who, Why: "it became the champion"}
}

// readyLocked fills in where the alias comes from and prepares the model where it goes; already tells that it is there. It needs moving.
func (r *Registry) readyLocked(ctx context.Context, mv *Move) (m *Model, already bool, err error) {
	if mv.To != "" {
		if m, err = r.Get(mv.Pipeline, mv.To); err != nil {
			return nil, false, err
		}
	}
	r.mu.Lock()
	old := r.markers[aliasKey{mv.Pipeline, mv.Alias}]
	mv.From = old.To
	prepare := slices.Clone(r.prepare)
	r.mu.Unlock()
	if mv.From == mv.To && mv.Percent == old.Percent && (m == nil || r.Named(mv.Pipeline, mv.Alias) != nil) {
		return m, true, nil
	}
	if m != nil {
		for _, f := range prepare {
			if err := f(ctx, m); err != nil {
				return nil, false, fmt.Errorf("prepare: %w", err)
			}
		}
	}
	return m, false, nil
}

// settleLocked makes a move that is ready, and tells of it. It needs moving.
func (r *Registry) settleLocked(mv Move, m *Model) error {
	r.mu.Lock()
	onChanges := slices.Clone(r.onChanges)
	r.mu.Unlock()
	err := r.commit(aliasKey{mv.Pipeline, mv.Alias}, mv, m)
	if errors.Is(err, errMarker) {
		return err
	}
	for _, f := range onChanges {
		f(mv)
	}
	return err
}

// commit moves the marker on disk, then in memory, then tells history. Without a model the alias goes.
func (r *Registry) commit(key aliasKey, mv Move, m *Model) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	markers := map[Alias]Move{key.alias: mv}
	for k, old := range r.markers {
		if k.pipeline == key.pipeline && k.alias != key.alias {
			markers[k.alias] = old
		}
	}
	if err := r.writeMarkersLocked(key.pipeline, markers); err != nil {
		return fmt.Errorf("%w: %w", errMarker, err)
	}
	r.markers[key] = mv
	live := maps.Clone(*r.live.Load())
	if delete(live, key); m != nil {
		live[key] = pointed{m, mv.Percent}
	}
	r.live.Store(&live)
	if err := r.appendHistory(mv); err != nil {
		r.mended[key.pipeline] = false
		return fmt.Errorf("%w: %w", errHistory, err)
	}
	return nil
}

// History returns a pipeline's moves, oldest first.
func (r *Registry) History(pipeline string) ([]Move, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	moves, err := r.readHistory(pipeline)
	if err != nil {
		return nil, fmt.Errorf("read history of %s: %w", pipeline, err)
	}
	return append(moves, r.unwrittenLocked(pipeline, moves)...), nil
}

// errMarker tells that a move was not made, errHistory that it was, and is not in the history.
var (
	errMarker  = errors.New("write aliases")
	errHistory = errors.New("write history")
)

// pipelineName keeps a name that came in a file from leading out of the registry's folder.
var pipelineName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
