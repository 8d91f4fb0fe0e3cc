package model

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tape is a journal in memory, and a store of files.
type tape struct {
	mu     sync.Mutex
	keys   map[string]bool
	events [][]byte
	more   chan struct{} // closed and made anew with each event
	files  map[string][]byte
	broken error
}

func newTape() *tape {
	return &tape{keys: map[string]bool{}, more: make(chan struct{}), files: map[string][]byte{}}
}

func (l *tape) Append(_ context.Context, key string, event []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return l.broken
	}
	l.keys[key] = true
	l.events = append(l.events, slices.Clone(event))
	close(l.more)
	l.more = make(chan struct{})
	return nil
}

func (l *tape) past() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

func (l *tape) Put(_ context.Context, pipeline, version string, file []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return l.broken
	}
	l.files[pipeline+"/"+version] = file
	return nil
}

func (l *tape) Get(_ context.Context, pipeline, version string) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, ok := l.files[pipeline+"/"+version]
	if !ok {
		return nil, ErrUnknown
	}
	return f, nil
}

func (l *tape) List(context.Context) (list []Artifact, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.files {
		p, v, _ := strings.Cut(key, "/")
		list = append(list, Artifact{Pipeline: p, Version: v, Modified: time.Unix(1, 0)})
	}
	return list, l.broken
}

// replica is a registry that follows a tape until the test ends.
type replica struct {
	*Registry
	next int
	stop func()
}

func (l *tape) replica(t *testing.T, dir string, store bool) *replica {
	t.Helper()
	var artifacts Artifacts
	if store {
		artifacts = l
	}
	r, err := OpenWith(t.Context(), dir, artifacts)
	if err != nil {
		t.Fatal(err)
	}
	past := l.past()
	if _, err := r.Lead(t.Context(), l, past); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	rep := &replica{Registry: r, next: len(past)}
	var ended sync.WaitGroup
	ended.Go(func() { rep.follow(ctx, l) })
	rep.stop = func() { cancel(); ended.Wait() }
	t.Cleanup(rep.stop)
	return rep
}

func (r *replica) follow(ctx context.Context, l *tape) {
	for {
		l.mu.Lock()
		events, more := l.events[r.next:], l.more
		l.mu.Unlock()
		for _, e := range events {
			_ = r.Apply(ctx, e)
			r.mu.Lock()
			r.next++
			r.mu.Unlock()
		}
		if len(events) > 0 {
			continue
		}
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}

// caughtUp waits until the replicas have done all that is on the tape.
func (l *tape) caughtUp(t *testing.T, replicas ...*replica) {
	t.Helper()
	for _, r := range replicas {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			r.mu.Lock()
			n := r.next
			r.mu.Unlock()
			if n >= len(l.past()) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("a replica does not catch up")
			}
		}
	}
}

func state(r *replica) string {
	var b strings.Builder
	for _, p := range r.Pipelines() {
		for _, a := range aliases {
			mv, _ := r.Marker(p, a)
			if mv.To == "" { // cleared, or never set: the same to everybody but the history
				continue
			}
			fmt.Fprintf(&b, "%s %s %s %v %v\n", p, a, mv.To, mv.Percent, mv.Time.UnixNano())
		}
	}
	return b.String()
}

// Moves that several replicas make at once end with the same aliases everywhere, also in a replica that comes later with an empty folder.
func TestReplicasAgree(t *testing.T) {
	l := newTape()
	a, b := l.replica(t, t.TempDir(), true), l.replica(t, t.TempDir(), true)
	var models []*Model
	for i := range 4 {
		models = append(models, add(t, a.Registry, sample(t, "p", i)))
	}
	l.caughtUp(t, b)
	if i, err := b.Find("p", models[3].Version); err != nil || i.Who != "registry" {
		t.Fatalf("the other replica has not heard of a version: %v", err)
	}
	var movers sync.WaitGroup
	for i, r := range []*replica{a, b} {
		movers.Go(func() {
			for n := range 25 {
				m := models[(n*(i+1)+i)%4]
				var err error
				switch n % 5 {
				case 3:
					err = r.MoveCanary(t.Context(), "p", m.Version, float64(n), "test", "turn")
				case 4:
					err = r.Clear("p", Canary, "test", "turn")
				default:
					err = r.Promote("p", m.Version, "test", "turn")
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	movers.Wait()
	l.caughtUp(t, a, b)
	c := l.replica(t, t.TempDir(), true)
	if sa, sb, sc := state(a), state(b), state(c); sa != sb || sa != sc {
		t.Errorf("the replicas differ:\n%s\n%s\n%s", sa, sb, sc)
	}
	ha, _ := a.History("p")
	hc, _ := c.History("p")
	if len(hc) < len(ha) {
		t.Errorf("the late replica knows %d moves, the first %d", len(hc), len(ha))
	}
	if a.Live("p").Version != c.Live("p").Version || c.Faults() != nil {
		t.Errorf("champion %v, faults %v", c.Live("p"), c.Faults())
	}
	// A rollback goes by the journal, too.
	mv, err := c.Rollback(t.Context(), "p", Champion, "anna", "worse")
	if err != nil {
		t.Fatal(err)
	}
	l.caughtUp(t, a, b)
	if a.Live("p").Version != mv.To || b.Live("p").Version != mv.To {
		t.Errorf("after the rollback: %s, %s, want %s", a.Live("p").Version, b.Live("p").Version, mv.To)
	}
	// A start reads all again, and nothing moves.
	told := 0
	before, dir := state(a), a.dir
	a.stop()
	again, err := OpenWith(t.Context(), dir, l)
	if err != nil {
		t.Fatal(err)
	}
	again.OnChange(func(Move) { told++ })
	events := len(l.past())
	if faults, err := again.Lead(t.Context(), l, l.past()); err != nil || len(faults) != 0 || len(l.past()) != events {
		t.Errorf("start: %v, %v; %d events, were %d", faults, err, len(l.past()), events)
	}
	for _, e := range l.past() { // as if the log's offsets were lost
		if err := again.Apply(t.Context(), e); err != nil {
			t.Error(err)
		}
	}
	if after := state(&replica{Registry: again}); after != before || told != 0 {
		t.Errorf("reading the journal again made %d moves, to\n%s\nfrom\n%s", told, after, before)
	}
}

// A folder of before there was a journal tells it what it has; one that was away does what the journal says.
func TestLead(t *testing.T) {
	dir := t.TempDir()
	plain := open(t, dir)
	one, two := add(t, plain, sample(t, "p", 1)), add(t, plain, sample(t, "p", 2))
	promote(t, plain, one, "first")
	l := newTape()
	a := l.replica(t, dir, true)
	if n := len(l.past()); n != 3 {
		t.Fatalf("%d events, want two versions and a champion", n)
	}
	for key := range l.keys {
		if !strings.HasPrefix(key, "p/") {
			t.Errorf("key %s", key)
		}
	}
	promote(t, a.Registry, two, "better")
	// Another folder, on another machine, that missed it: it has moved an alias before that.
	other := t.TempDir()
	late := open(t, other)
	add(t, late, sample(t, "p", 1))
	add(t, late, sample(t, "p", 2))
	b := l.replica(t, other, false)
	if m := b.Live("p"); m == nil || m.Version != two.Version {
		t.Errorf("champion %v, want %s", m, two.Version)
	}
	if h, err := b.History("p"); err != nil || len(h) != 2 || h[0].Why != "first" || h[1].Why != "better" {
		t.Errorf("history %+v, %v", h, err)
	}

	// A replica without the file cannot follow; once it is there, it does.
	files := t.TempDir()
	r := open(t, files)
	faults, err := r.Lead(t.Context(), l, l.past())
	if err != nil || len(faults) != 1 || !errors.Is(faults[0], ErrUnknown) {
		t.Errorf("faults %v, %v", faults, err)
	}
	if err := r.Retry(t.Context()); !errors.Is(err, ErrUnknown) {
		t.Errorf("retry: %v", err)
	}
	r.journal = nil
	add(t, r, sample(t, "p", 2))
	if err := r.Retry(t.Context()); err != nil || r.Live("p") == nil || r.Live("p").Version != two.Version {
		t.Errorf("retry with the file: %v, champion %v", err, r.Live("p"))
	}
	if err := r.Retry(t.Context()); err != nil || len(r.behind) != 0 {
		t.Errorf("retry once more: %v", err)
	}

	// What is no event is skipped; a journal that is away leaves the alias where it is.
	for _, e := range []string{"", "{", `{"event":"dreamt","pipeline":"p"}`, `{"event":"moved","pipeline":"../p","alias":"champion","to":"x"}`,
		`{"event":"moved","pipeline":"p","alias":"boss","to":"x"}`, `{"event":"moved","pipeline":"p","alias":"champion","to":"../../etc"}`} {
		if err := a.Apply(t.Context(), []byte(e)); err != nil {
			t.Errorf("%s: %v", e, err)
		}
	}
	l.mu.Lock()
	l.broken = errors.New("no brokers")
	l.mu.Unlock()
	if err := a.Promote("p", one.Version, "test", "back"); err == nil || !strings.Contains(err.Error(), "no brokers") || a.Live("p").Version != two.Version {
		t.Errorf("move without a journal: %v, champion %s", err, a.Live("p").Version)
	}
	if err := a.Add(sample(t, "p", 9)); err == nil || len(a.List("p")) != 2 {
		t.Errorf("a version that the store did not take: %v, %d versions", err, len(a.List("p")))
	}
	if r, err := OpenWith(t.Context(), dir, l); err != nil || len(r.Faults()) != 1 || r.Live("p") == nil {
		t.Errorf("with a store that is away: %v", err)
	}
}

// What a store holds and the folder lacks is there after Open; what is damaged in the store is told and skipped.
func TestStoreFillsFolder(t *testing.T) {
	l := newTape()
	a := l.replica(t, t.TempDir(), true)
	one := add(t, a.Registry, sample(t, "p", 1))
	l.files["p/"+strings.Repeat("0", 12)] = []byte("damaged")
	l.files["../evil"] = []byte("x")
	r, err := OpenWith(t.Context(), t.TempDir(), l)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := r.Get("p", one.Version); err != nil || string(m.ONNX) != string(one.ONNX) {
		t.Errorf("get: %v", err)
	}
	if f := r.Faults(); len(f) != 1 || !strings.Contains(f[0].Error(), "was changed") {
		t.Errorf("faults %v", f)
	}
	two := sample(t, "p", 2)
	l.files["p/"+two.Version] = two.ONNX
	if err := r.Promote("p", two.Version, "test", "it came later"); err != nil || r.Live("p").Version != two.Version {
		t.Errorf("promotion of a version that only the store holds: %v", err)
	}
	if again := open(t, r.dir); again.Live("p") == nil {
		t.Error("it was not kept in the folder")
	}
	if list, _ := filepath.Glob(filepath.Join(filepath.Dir(r.dir), "evil*")); list != nil {
		t.Errorf("the store led out of the folder: %v", list)
	}
}
