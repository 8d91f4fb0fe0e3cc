package processors

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"andon/event"
	"andon/model"
	"andon/processors/drift"
	"andon/processors/features"
)

// watch holds what the champion is fed and what it says against the reference that came with the model. Windows overlap, so of each only the newest slot counts, and each slot of an asset
// once. What it finds is part of the block, like the scores that it is made from.
//
// Its state is one piece that is not full yet. The commit's note says how many windows that is: those are made again when the state is folded, and scored again by the same model; what lies before a
// snapshot of the state comes with it. Where the model has changed meanwhile, the piece is lost, and the next begins at the committed offset.
type watch struct {
	cfg   drift.Config
	line  *Line
	model *model.Model
	// monitor is nil while there is no reference; then rows are gathered for one.
	monitor *drift.Monitor
	learned bool // the monitor's profile is of the line
	rows    drift.Rows
	assets  map[string]int32
	values  []float64
	// saved is what a snapshot held, until it is known which model scores.
	saved *watched
	// again are windows made in the fold.
	again refold
	// floor is from where the piece that is not full can be made again, piece which one that is, before where the state could be read back from at the last flush.
	floor, before origin
	piece         int64
	held          bool
}

// origin is an offset to read a state back from, and the features' clock before it.
type origin struct{ offset, clock int64 }

// watched is a watch's state as a snapshot holds it.
type watched struct {
	version          string
	profile, monitor []byte // the profile only if it was learned from the line
}

// noteWatch is the note's word on the piece that is not full: so many windows of that model, after so many pieces.
type noteWatch struct {
	N int    `json:"n"`
	P int64  `json:"p"`
	V string `json:"v"`
}

// The names of what the model says among the profile's inputs, after the channels.
const (
	inputPrediction = "prediction"
	inputRisk       = "risk"
)

// watchInputs names the inputs of a profile of windows.
func watchInputs(r *model.Recipe) (names, roles []string) {
	names = append(r.Channels(), inputPrediction, inputRisk)
	for range r.Width() {
		roles = append(roles, event.RoleInput)
	}
	return names, append(roles, event.RolePrediction, event.RolePrediction)
}

// condition is the input by which like is compared with like: the age, where windows tell it.
func condition(r *model.Recipe) int {
	if r.Age {
		return r.Width() - 1
	}
	return -1
}

// WatchRows starts the rows of a reference of windows that follow a trained recipe: channels as the network sees them, value and risk. Scaled, since that is what the line has at hand; the profile
// knows the unit.
func WatchRows(r *model.Recipe, piece int) drift.Rows {
	names, roles := watchInputs(r)
	out := drift.Rows{From: event.ReferenceModel, Names: names, Roles: roles, Condition: condition(r), Piece: piece, Risk: -1, Threshold: 0.5}
	out.Mean, out.Std, out.Partial = make([]float64, len(names)), make([]float64, len(names)), make([]bool, len(names))
	for i := range names {
		out.Std[i], out.Partial[i] = 1, i >= r.Width()
		if i < len(r.Scale) {
			out.Mean[i], out.Std[i] = r.Scale[i].Mean, r.Scale[i].Std
		}
	}
	return out
}

// profiles keeps the references of the models that score, which all partitions share.
type profiles struct {
	mu  sync.Mutex
	all map[string]*drift.Profile
}

// of returns the reference of a model, nil where it has none that fits.
func (c *profiles) of(m *model.Model) (*drift.Profile, error) {
	if len(m.Reference) == 0 {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.all[m.Version]; ok {
		return p, nil
	}
	p, err := drift.ReadProfile(m.Reference)
	if err != nil {
		return nil, err
	}
	if names, _ := watchInputs(&m.Recipe); !slices.Equal(p.Inputs, names) {
		return nil, fmt.Errorf("its drift reference is of %q, not of the recipe's channels", p.Inputs)
	}
	if c.all == nil || len(c.all) > 4 {
		c.all = map[string]*drift.Profile{}
	}
	c.all[m.Version] = p
	return p, nil
}

// canary tells whether a canary scores a share of the assets in the model's place.
func (l *Line) canary(m *model.Model) (bool, float64) {
	if l.judge.Canary == nil {
		return false, 0
	}
	c, percent := l.judge.Canary()
	return c != nil && !same(c, m) && c.Recipe.SameShape(l.recipe), percent
}

// watch makes the watch of a partition, nil for a line that is not watched.
func (l *Line) watch() *watch {
	if !l.cfg.Drift.Enabled || l.recipe == nil || l.cfg.Rescore != nil {
		return nil
	}
	return &watch{cfg: l.cfg.Drift, line: l}
}

// turn goes over to another model, and ends the piece of the one before. The models are nil for none, or one that does not fit.
func (w *watch) turn(p *Pipeline, m *model.Model) {
	if w == nil || m == w.model || same(m, w.model) {
		return
	}
	p.sketched(w.cut())
	w.take(p, m)
}

// take begins with a model.
func (w *watch) take(p *Pipeline, m *model.Model) {
	saved := w.saved
	w.model, w.monitor, w.learned, w.saved, w.rows, w.assets = m, nil, false, nil, drift.Rows{}, nil
	if m == nil {
		return
	}
	profile, err := w.line.profiles.of(m)
	if err != nil {
		p.log.Error("the model's drift reference is of no use: one is learned from its first windows here", "model", m.Version, "error", err)
	}
	if saved != nil && saved.version != m.Version {
		saved = nil
	}
	if profile == nil && saved != nil && saved.profile != nil {
		if profile, err = drift.ReadProfile(saved.profile); err != nil {
			p.log.Error("the drift reference that was learned here is of no use: it is learned anew", "model", m.Version, "error", err)
		}
		w.learned = profile != nil
	}
	if profile == nil {
		w.rows = WatchRows(&m.Recipe, w.cfg.Windows)
		w.rows.From, w.rows.Partial, w.assets = event.ReferenceLine, nil, map[string]int32{}
		return
	}
	w.monitor = drift.NewMonitor(profile, w.cfg.Windows, w.line.groups)
	if saved != nil && len(saved.monitor) > 0 {
		if err := w.monitor.Restore(saved.monitor); err != nil {
			p.log.Warn("what was watched since the last piece is lost", "model", m.Version, "error", err)
		}
	}
}

// cut ends the piece.
func (w *watch) cut() []event.Sketch {
	if w.monitor == nil {
		return nil
	}
	return w.monitor.Cut()
}

// see takes a window that was scored: newest is its newest slot's channels.
func (w *watch) see(p *Pipeline, s *event.Score, newest []float32) {
	w.values = w.values[:0]
	for _, x := range newest {
		w.values = append(w.values, float64(x))
	}
	w.values = append(w.values, float64(s.Value), float64(s.Risk))
	if w.monitor != nil {
		p.sketched(w.monitor.Add(s.Asset, s.End, s.Position, w.values))
		return
	}
	asset, ok := w.assets[s.Asset]
	if !ok {
		asset = int32(len(w.assets))
		w.assets[s.Asset] = asset
	}
	r := &w.rows
	r.Values, r.Asset, r.At = append(r.Values, w.values...), append(r.Asset, asset), append(r.At, s.End)
	if len(r.At) < w.cfg.Learn {
		return
	}
	profile, err := drift.NewProfile(*r)
	w.rows.Values, w.rows.Asset, w.rows.At = nil, nil, nil
	if err != nil {
		p.log.Error("no drift reference could be learned: it is tried again with the next windows", "model", w.model.Version, "error", err)
		return
	}
	p.log.Info("drift reference learned from the first windows that the model scored here, since it has none of its own", "model", w.model.Version, "windows", w.cfg.Learn)
	w.monitor, w.learned, w.assets = drift.NewMonitor(profile, w.cfg.Windows, w.line.groups), true, nil
	p.keepSoon = true // it can be got back by nothing else
}

// sketched puts the champion's sketches into the block.
func (p *Pipeline) sketched(all []event.Sketch) { p.sketchedBy(p.watch.model, all) }

// sketchedBy puts a model's sketches into the block.
func (p *Pipeline) sketchedBy(m *model.Model, all []event.Sketch) {
	for i := range all {
		all[i].Pipeline, all[i].Version = p.block.Pipeline, m.Version
		all[i].Offset = max(all[i].Offset, p.block.First) // a piece that another model cuts short may have its last window in an earlier block
		p.line.meters.pieces.Inc()
	}
	p.block.Sketches = append(p.block.Sketches, all...)
}

// note is the note's word, nil where there is nothing to say.
func (w *watch) note() *noteWatch {
	if w == nil {
		return nil
	}
	if w.model == nil && w.again.want != nil {
		return w.again.want // nothing was worked since the fold
	}
	if w.monitor == nil || w.monitor.Pending() == 0 && w.monitor.Pieces() == 0 {
		return nil
	}
	return &noteWatch{N: w.monitor.Pending(), P: w.monitor.Pieces(), V: w.model.Version}
}

// refold is the fold's part of the watch: the newest windows that it made.
type refold struct {
	want   *noteWatch
	model  *model.Model
	scaler *features.Scaler
	// windows holds those of scores, oldest first; seen counts all.
	windows []float32
	scores  []event.Score
	seen    int
}

// begin says what the committed offset's note wants back.
func (w *watch) begin(n *note) {
	if w == nil {
		return
	}
	w.again.want, w.before = n.Watch, origin{n.Fold, features.NoClock}
	if n.Clock != nil {
		w.before.clock = *n.Clock
	}
	if n.Watch != nil && n.Watch.N > 0 {
		w.floor, w.piece, w.held = w.before, n.Watch.P, true
	}
}

// hold returns from where to read back so that the piece can be made again, too: its windows may be of assets that are forgotten since.
func (w *watch) hold(fold, clock int64) (int64, int64) {
	if w == nil {
		return fold, clock
	}
	now := origin{fold, clock}
	if w.monitor == nil || w.monitor.Pending() == 0 {
		w.before, w.held = now, false
		return fold, clock
	}
	if !w.held || w.piece != w.monitor.Pieces() {
		w.floor, w.piece, w.held = w.before, w.monitor.Pieces(), true
	}
	w.before = now
	if w.floor.offset < fold {
		return w.floor.offset, w.floor.clock
	}
	return fold, clock
}

// emit returns what takes the windows of a fold, nil where none are wanted.
func (w *watch) emit(p *Pipeline, row **event.Row) features.Emit {
	if w == nil || w.again.want == nil || w.again.want.N == 0 {
		return nil
	}
	a := &w.again
	if a.model == nil {
		m := w.line.judge.Live()
		if m == nil || m.Version != a.want.V || !m.Recipe.SameShape(w.line.recipe) {
			return nil
		}
		a.model, a.scaler = m, features.NewScaler(&m.Recipe)
	}
	canary, percent := w.line.canary(a.model)
	return func(win *features.Window) error {
		if canary && model.InShare(win.Asset, percent) {
			return nil
		}
		size := a.model.Recipe.Length * a.model.Recipe.Width()
		if n := a.want.N; len(a.scores) >= 2*n+1 {
			drop := len(a.scores) - n
			a.scores = append(a.scores[:0], a.scores[drop:]...)
			a.windows = append(a.windows[:0], a.windows[drop*size:]...)
		}
		a.seen++
		a.windows = win.Append(a.windows, a.scaler)
		a.scores = append(a.scores, event.Score{Asset: win.Asset, Start: win.Start, End: win.End, Version: a.model.Version,
			Position: event.Position{Topic: p.block.Topic, Partition: p.block.Partition, Offset: (*row).Offset}})
		return nil
	}
}

// folded ends the fold: the piece that was not full at the committed offset is made again.
func (w *watch) folded(ctx context.Context, p *Pipeline) error {
	if w == nil || w.again.want == nil {
		return nil
	}
	a := w.again
	w.again = refold{}
	live := w.line.judge.Live()
	if live == nil || live.Version != a.want.V || !live.Recipe.SameShape(w.line.recipe) {
		p.log.Info("another model scores than before: what was watched since the last piece is lost", "before", a.want.V, "windows", a.want.N)
		return nil
	}
	w.take(p, live)
	if w.monitor == nil {
		return nil
	}
	switch held := w.monitor.Pending(); {
	case a.want.N >= w.cfg.Windows, a.want.N > a.seen && held+a.seen != a.want.N:
		if a.want.N > 0 {
			p.log.Warn("what was watched since the last piece is lost: it cannot be made again", "windows", a.want.N, "made", a.seen, "held", held)
		}
		w.monitor.Resume(a.want.P)
		return nil
	case a.want.N <= a.seen:
		w.monitor.Resume(a.want.P)
	}
	take := min(a.want.N, a.seen)
	if take == 0 {
		return nil
	}
	size := live.Recipe.Length * live.Recipe.Width()
	scores, windows := a.scores[len(a.scores)-take:], a.windows[len(a.windows)-take*size:]
	verdicts := make([]event.Verdict, take)
	if err := w.line.judge.Scorer.Score(ctx, live, windows, verdicts); err != nil {
		return fmt.Errorf("score %d windows again by model %s: %w", take, live.Version, err)
	}
	for i := range scores {
		scores[i].Verdict = verdicts[i]
		w.see(p, &scores[i], windows[(i+1)*size-live.Recipe.Width():(i+1)*size])
	}
	return nil
}
