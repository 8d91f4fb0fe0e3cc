package processors

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"andon/event"
	"andon/model"
	"andon/processors/anomaly"
	"andon/processors/drift"
	"andon/processors/features"
	"andon/processors/internal/cases"
	"andon/processors/surprise"
)

var update = cases.Flag()

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what outlives a crash: one partition's log, the group's commit, the store; and a fuse that makes a call to it fail.
type world struct {
	log        []entry // in offset order, with gaps
	end        int64
	committed  int64
	note       string
	generation int

	tables    map[string]map[token][]string // by table, one insert a token
	sent      map[int64]int                 // offset of a dead letter or score: how often it was published
	read      map[int64]int                 // offset of a reading: how often it was published, where the pipeline does that
	publishes bool
	// atomic gives the line transactions. seen is sent as a reader of committed records sees it; undone counts transactions that a crash left open.
	atomic bool
	seen   map[int64]int
	undone int
	order  []string // of the calls

	// vault holds snapshots by ref, of which no key has more than one; trimmed is where the log begins.
	vault   map[string]saved
	saves   int
	losses  int
	longest int64
	largest int // bytes of a snapshot
	written int // bytes of all
	trimmed int64
	bounded bool // what a restart reads back must be

	turn  sync.Mutex // of those who call; a block of frames is stored beside the line
	fuse  int        // calls until one fails; negative for never
	dead  bool
	rng   *rand.Rand
	model *model.Model
	// canary scores a share of the assets, shadow beside the others; busy tells how a shadow's chunk fares, nil for well.
	canary, shadow *model.Model
	percent        float64
	busy           func() fate
	trace          func(format string, args ...any)
	// held answers Settler when set; before runs before a write has an effect.
	before func()
}

type token struct{ first, next int64 }

type saved struct {
	key     string
	data    []byte
	damaged bool
}

// entry is one record: a row, a reject or a label.
type entry struct {
	offset int64
	row    *event.Row
	reject *event.DeadLetter
	label  *event.Label
	frame  *event.Frame
}

func newWorld() *world {
	w := &world{tables: map[string]map[token][]string{}, sent: map[int64]int{}, read: map[int64]int{}, seen: map[int64]int{}, vault: map[string]saved{}, fuse: -1, rng: rand.New(rand.NewPCG(1, 1)), trace: func(string, ...any) {}}
	for _, table := range []string{"readings", "features", "scores", "frames", "labels", "deadletters", "handled", "shadow_scores", "drift"} {
		w.tables[table] = map[token][]string{}
	}
	return w
}

var errCrash = errors.New("crash")

// step is one call to the world: it may fail before its effect, or after.
func (w *world) step(effect func()) error {
	w.turn.Lock()
	defer w.turn.Unlock()
	if w.dead {
		return errCrash
	}
	if w.fuse >= 0 {
		w.fuse--
		if w.fuse < 0 {
			if w.rng.IntN(2) == 0 {
				effect()
			}
			return errCrash
		}
	}
	effect()
	return nil
}

func (w *world) assignment() Assignment {
	w.turn.Lock()
	defer w.turn.Unlock()
	w.generation++
	w.dead = false
	mine := w.generation
	a := Assignment{Topic: "t", Partition: 1, Committed: w.committed, Note: w.note, Commit: func(_ context.Context, next int64, note string) error {
		if mine != w.generation {
			return errors.New("fenced: generation is over")
		}
		if len(note) > 1000 {
			return fmt.Errorf("the note has %d bytes", len(note))
		}
		return w.step(func() {
			w.trace("commit %d %s", next, note)
			w.order = append(w.order, "commit")
			w.committed, w.note = next, note
		})
	}}
	if w.atomic {
		a.Fence = &deal{w: w, generation: mine}
		a.Transact = func(ctx context.Context, send func(context.Context, func() (event.Member, error)) error) error {
			identity := func() (event.Member, error) { return event.Member{Generation: int32(mine)}, nil }
			if w.rng.IntN(5) == 0 { // the group has a newer generation
				if err := send(ctx, func() (event.Member, error) { return event.Member{}, event.ErrStale }); !errors.Is(err, event.ErrStale) {
					return err
				}
			}
			return send(ctx, identity)
		}
	}
	return a
}

// deal is the world's Transactor: what a transaction holds is seen once it has ended.
type deal struct {
	w          *world
	generation int
}

func (d *deal) Close() error { return nil }

func (d *deal) Publishes(b *event.Block) bool { return len(b.Scores)+len(b.DeadLetters) > 0 }

func (d *deal) Publish(_ context.Context, b *event.Block, note string, identity func() (event.Member, error)) error {
	w, open := d.w, false
	if err := w.step(func() { open = true }); err != nil { // send
		if open {
			w.undone++
		}
		return err
	}
	m, err := identity()
	if err != nil {
		return err
	}
	if int(m.Generation) != w.generation {
		return event.ErrFenced
	}
	if err := w.step(func() {}); err != nil { // the group's commit, which waits for the end
		w.undone++
		return err
	}
	ended := false
	err = w.step(func() {
		w.trace("transaction of %d scores, %d dead letters, commit %d %s", len(b.Scores), len(b.DeadLetters), b.Next, note)
		w.order = append(w.order, "transaction")
		for _, s := range b.Scores {
			w.seen[s.Offset]++
		}
		for _, l := range b.DeadLetters {
			w.seen[l.Offset]++
		}
		w.committed, w.note, ended = b.Next, note, true
	})
	if !ended {
		w.undone++
	}
	return err
}

func (w *world) Write(_ context.Context, b *event.Block) error {
	w.trace("write [%d,%d)", b.First, b.Next)
	if w.before != nil {
		w.before()
	}
	at := token{b.First, b.Next}
	for _, table := range []string{"readings", "features", "frames", "labels", "deadletters", "scores", "drift", "handled", "shadow_scores"} {
		rows := lines(b, table)
		if len(rows) == 0 {
			continue
		}
		err := w.step(func() {
			if _, ok := w.tables[table][at]; ok {
				w.trace("  %s: had this block", table)
				return
			}
			for _, r := range rows {
				w.trace("  %s %s", table, r)
			}
			w.tables[table][at] = rows
			w.order = append(w.order, table)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lines shows a block's rows, without what depends on the wall clock.
func lines(b *event.Block, table string) (rows []string) {
	switch table {
	case "readings":
		r := &b.Readings
		if b.Counted {
			return nil
		}
		for i := range r.Asset {
			n := len(r.Signals)
			rows = append(rows, fmt.Sprintf("@%d %s %g status=%d %v", r.Offset[i], r.Asset[i], float64(r.Time[i])/1e9, r.Status[i], r.Values[i*n:(i+1)*n]))
		}
	case "handled":
		if b.Counted {
			rows = append(rows, fmt.Sprintf("@%d-%d ok=%d duplicate=%d filtered=%d dead=%d", b.First, b.Next, b.Tally.OK, b.Tally.Duplicate, b.Tally.Filtered, len(b.DeadLetters)))
		}
	case "scores", "shadow_scores":
		scores := b.Scores
		if table == "shadow_scores" {
			scores = b.Shadows
		}
		for _, s := range scores {
			rows = append(rows, fmt.Sprintf("@%d %s [%g,%g) value=%g risk=%g model=%s", s.Offset, s.Asset, float64(s.Start)/1e9, float64(s.End)/1e9, s.Value, s.Risk, s.Version))
		}
	case "drift":
		for _, s := range b.Sketches {
			for _, f := range s.Features { // to the bit
				rows = append(rows, fmt.Sprintf("@%d %s piece %d of %s [%d,%d] %d windows of %d: %+v", s.Offset, s.Version, s.Piece, s.Group, s.Start, s.End, s.Windows, s.Clusters, f))
			}
		}
	case "features":
		f := &b.Features
		for i := range f.Asset {
			line := fmt.Sprintf("@%d %s [%g,%g)", f.Offset[i], f.Asset[i], float64(f.Start[i])/1e9, float64(f.End[i])/1e9)
			for s, v := range f.Row(i) { // to the bit
				line += fmt.Sprintf(" %s=%g:%x", f.Names[s], v, math.Float64bits(v))
			}
			rows = append(rows, line)
		}
	case "frames":
		for _, v := range b.Sights {
			rows = append(rows, fmt.Sprintf("@%d %s %s %s %s boxes=%d zones=%v fired=%v", v.Offset, v.Camera, v.Status, v.Version, v.Label, len(v.Boxes), v.Zones, v.Fired))
		}
	case "labels":
		for _, l := range b.Labels {
			rows = append(rows, fmt.Sprintf("@%d %s %s", l.Offset, l.Asset, l.Kind))
		}
	case "deadletters":
		for _, d := range b.DeadLetters {
			rows = append(rows, fmt.Sprintf("@%d %s %q: %s", d.Offset, d.Reason, d.Value, d.Detail))
		}
	}
	return rows
}

func (w *world) Publish(_ context.Context, b *event.Block) error {
	return w.step(func() {
		w.order = append(w.order, "publish")
		w.trace("publish %d scores, %d dead letters", len(b.Scores), len(b.DeadLetters))
		for i, s := range b.Readings.Status {
			if s == event.StatusOK && w.publishes {
				w.read[b.Readings.Offset[i]]++
			}
		}
		for _, s := range b.Scores {
			w.sent[s.Offset]++
		}
		for _, offset := range b.Features.Offset {
			w.sent[offset]++
		}
		for _, d := range b.DeadLetters {
			w.sent[d.Offset]++
		}
	})
}

// Save keeps one snapshot a key, as a compacted topic does. The line goes on after an error of it, so that a crash in it is made one.
func (w *world) Save(_ context.Context, key string, partition int32, data []byte) (string, error) {
	if partition != 1 {
		return "", fmt.Errorf("partition %d", partition)
	}
	w.saves++
	ref := fmt.Sprint("1@", w.saves)
	err := w.step(func() {
		w.trace("save %s as %s", key, ref)
		maps.DeleteFunc(w.vault, func(_ string, s saved) bool { return s.key == key })
		w.vault[ref] = saved{key, data, false}
		w.largest = max(w.largest, len(data))
		w.written += len(data)
	})
	w.turn.Lock()
	w.dead = err != nil
	w.turn.Unlock()
	return ref, err
}

func (w *world) Load(_ context.Context, ref string) ([]byte, error) {
	if s, ok := w.vault[ref]; ok {
		return s.data, nil
	}
	return nil, fmt.Errorf("there is no %s", ref)
}

func (w *world) Observe(_ string, rows []event.Row, scores []event.Score) {
	var offsets []int64
	for _, r := range rows {
		offsets = append(offsets, r.Offset)
	}
	w.trace("observe rows %v, %d scores", offsets, len(scores))
}

// Score gives a verdict that depends on every bit of the window.
func (w *world) Score(_ context.Context, m *model.Model, windows []float32, out []event.Verdict) error {
	size := m.Recipe.Length * m.Recipe.Width()
	if len(windows) != size*len(out) {
		return fmt.Errorf("%d values for %d windows of %d", len(windows), len(out), size)
	}
	return w.step(func() {
		for i := range out {
			h := fnv.New32a()
			for _, v := range windows[i*size : (i+1)*size] {
				bits := math.Float32bits(v)
				h.Write([]byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)})
			}
			out[i] = event.Verdict{Value: float32(h.Sum32() % 1000), Risk: windows[(i+1)*size-1]}
		}
	})
}

// fate is what becomes of a chunk of a shadow.
type fate int

const (
	fateNow    fate = iota // done at once
	fateFull               // not taken
	fateNever              // given up at last
	fateInTime             // done when it is given up
	fateFails
)

var errShed = errors.New("shed")

// Shadow answers as Score does, in time or not.
func (w *world) Shadow(m *model.Model, windows []float32, out []event.Verdict) (<-chan error, func(), bool) {
	done, f := make(chan error, 1), fateNow
	if w.busy != nil {
		f = w.busy()
	}
	free := &world{fuse: -1}
	run := func() { done <- free.Score(context.Background(), m, windows, out) }
	switch f {
	case fateFull:
		return nil, nil, false
	case fateNow:
		run()
		return done, func() {}, true
	case fateFails:
		done <- errors.New("value NaN")
		return done, func() {}, true
	}
	return done, func() {
		if f == fateInTime {
			run()
			return
		}
		for i := range windows {
			windows[i] = -1 // nobody may look at them any more
		}
		done <- errShed
	}, true
}

func (w *world) judge() Judge {
	return Judge{Scorer: w, Live: func() *model.Model { return w.model }, Canary: func() (*model.Model, float64) { return w.canary, w.percent },
		Shadow: func() *model.Model { return w.shadow }, Shadower: w, Shed: errShed}
}

func (w *world) line(t testing.TB, cfg Config) *Line {
	t.Helper()
	l, err := New(cfg, w.judge(), Outlets{w, w, w, w}, NewMetrics(prometheus.NewRegistry()), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	l.patience = 0
	return l
}

// batch is what ingest makes of the records in [first, next).
func (w *world) batch(first, next int64) *event.Batch {
	b := &event.Batch{Topic: "t", Partition: 1, First: first, Next: next, Received: time.Now().UnixNano()}
	for _, e := range w.log {
		switch {
		case e.offset < max(first, w.trimmed) || e.offset >= next:
		case e.row != nil:
			b.Rows = append(b.Rows, *e.row)
		case e.reject != nil:
			b.Rejects = append(b.Rejects, *e.reject)
		case e.label != nil:
			b.Labels = append(b.Labels, *e.label)
		case e.frame != nil:
			b.Frames = append(b.Frames, *e.frame)
		}
	}
	b.Raw = func(offset int64) event.Record {
		return event.Record{Position: event.Position{Topic: "t", Partition: 1, Offset: offset}, Value: fmt.Appendf(nil, "record %d", offset)}
	}
	return b
}

// aggregated makes a pipeline end at the values of its windows.
func aggregated(c Config, size, every time.Duration) Config {
	a := features.DefaultAggregate()
	a.Size, a.Every, a.Lateness, a.Horizon = size, every, c.Features.Lateness, c.Features.Horizon
	c.Features, c.Aggregate = nil, &a
	return c
}

// detecting makes a detector score a pipeline, one that learns as fast as it can.
func detecting(c Config, surprised bool) Config {
	c.Detector = &anomaly.Config{}
	if surprised {
		s := surprise.Default()
		s.Warm, s.Lengths, s.Slow, s.Past, s.Long, s.Rest = 50, []int{1, 2}, 4, 12, []int{50, 60}, 5
		c.Detector.Surprise = &s
		return c
	}
	b := anomaly.DefaultBaseline()
	b.Learn, b.Smooth, b.Steps, b.Rest, b.Limit, b.Jump = 16, 3, []int{1, 2}, 4, 0.5, 0.5
	c.Detector.Baseline = &b
	return c
}

// fits is a model for the line's recipe.
func fits(l *Line, version string) *model.Model {
	m := &model.Model{Meta: model.Meta{Recipe: *l.Recipe()}, Version: version}
	if l.cfg.Drift.Windows == pieceWindows {
		m.Reference = reference(&m.Recipe)
	}
	return m
}

// pieceWindows is the size of pieces in tests that watch.
const pieceWindows = 50

// reference is one of numbers like those of randomLog.
func reference(r *model.Recipe) []byte {
	rng := rand.New(rand.NewPCG(3, 4))
	rows := WatchRows(r, pieceWindows)
	for i := range 500 {
		for range rows.Names {
			rows.Values = append(rows.Values, math.Round(100*rng.Float64()))
		}
		rows.Asset, rows.At = append(rows.Asset, int32(i%7)), append(rows.At, int64(i))
	}
	p, err := drift.NewProfile(rows)
	if err != nil {
		panic(err)
	}
	data, err := p.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return data
}

// scaled is such a model with a scale of its own, so that its windows are others.
func scaled(l *Line, version string, mean float64) *model.Model {
	m := fits(l, version)
	for range m.Recipe.Width() {
		m.Recipe.Scale = append(m.Recipe.Scale, model.Scale{Mean: mean, Std: 2})
	}
	return m
}

func small() Config {
	c := Default()
	c.Pipeline, c.Signals = "p", []string{"a", "b"}
	f := features.Default()
	f.Recipe = model.Recipe{Grid: 10 * time.Second, Length: 2, MaxGap: 1, Smooth: 0.5, Baseline: 2, Age: true}
	f.Lateness, f.Horizon = 20*time.Second, 5*time.Minute
	c.Features = &f
	return c
}
