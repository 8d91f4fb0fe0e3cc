// Package evidence keeps frames of cameras as files: those at which a rule fired, those that people labelled, and samples for training. It is bounded by bytes and by age, and what is worth more outlives
// what is worth less.
//
// A picture is DIR/<pipeline>/<camera>/<instant>.jpg, and beside it <instant>.<kind>.json says what was seen. Names are escaped as in URLs. A picture counts once its note is there; what a crash left of
// others is removed at the next start.
//
// With a bucket (CopyTo) what is worth most is copied there, too, and found there when it is no longer here.
//
// Metrics: andon_evidence_bytes, andon_evidence_frames{kind}, andon_evidence_removed_total{kind,why} (age, room), andon_evidence_puts_total{kind}, andon_evidence_failures_total,
// andon_evidence_copies_total, andon_evidence_copy_failures_total, andon_evidence_copies_waiting.
package evidence

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Why a frame is kept, what is worth least first.
const (
	Sampled  = "sampled"
	Labelled = "labelled"
	Fired    = "fired"
)

var kinds = []string{Sampled, Labelled, Fired}

func worth(kind string) int { return slices.Index(kinds, kind) }

// ErrNotKept is the error of a frame that is not, or no longer, in the store; it is fs.ErrNotExist, too.
var ErrNotKept = fmt.Errorf("the frame is not kept: %w", fs.ErrNotExist)

// Item is a frame to be kept.
type Item struct {
	Pipeline, Camera string
	// Captured is event time, Unix nanoseconds.
	Captured int64
	Kind     string
	JPEG     []byte
	// Note becomes JSON.
	Note any
}

// Entry is a frame that is kept.
type Entry struct {
	Ref      string `json:"ref"`
	Pipeline string `json:"pipeline"`
	Camera   string `json:"camera"`
	Captured int64  `json:"captured"`
	Kind     string `json:"kind"`
	Bytes    int64  `json:"bytes"` // of picture and note
	stored   time.Time
	gone     bool
	copied   string // the kind as which the bucket has it; empty: it has not
}

// Store is a folder of frames. It is safe for concurrent use; one process has it.
type Store struct {
	cfg     Config
	dir     string
	log     *slog.Logger
	metrics *metrics
	now     func() time.Time
	looking bool // another process has it
	bucket  Bucket

	// writing holds one lock for some of the names, so that two who write one frame take turns; it comes before mu.
	writing [16]sync.Mutex

	mu      sync.Mutex
	entries map[string]*Entry
	// cameras holds each camera's entries in the order of their capture.
	cameras map[camera][]*Entry
	oldest  [3]queue // by kind, the first stored first
	bytes   int64
}

type camera struct{ pipeline, name string }

// Open takes a folder, which is made, and finds what is kept in it.
func Open(cfg Config, dir string, log *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open the evidence store: %w", err)
	}
	s := &Store{cfg: cfg, dir: dir, log: log, metrics: newMetrics(reg), now: time.Now, entries: map[string]*Entry{}, cameras: map[camera][]*Entry{}}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open the evidence store: %w: name another folder in evidence.dir", err)
	}
	if err := s.find(); err != nil {
		return nil, fmt.Errorf("open the evidence store %s: %w", dir, err)
	}
	s.mu.Lock()
	s.trim()
	s.mu.Unlock()
	return s, nil
}

// Look opens a store that another process keeps, as it is now, to List and Get. It changes nothing on disk, and what the other removes later is ErrNotKept.
func Look(dir string) (*Store, error) {
	s := &Store{dir: dir, looking: true, metrics: newMetrics(nil), entries: map[string]*Entry{}, cameras: map[camera][]*Entry{}}
	if err := s.find(); err != nil {
		return nil, fmt.Errorf("look into the evidence store %s: %w", dir, err)
	}
	return s, nil
}

// Ref names a frame, whether it is kept or not.
func Ref(pipeline, camera string, captured int64) string {
	return escape(pipeline) + "/" + escape(camera) + "/" + strconv.FormatInt(captured, 10) + ".jpg"
}

// escape makes one path element of a name.
func escape(name string) string {
	e := url.PathEscape(name)
	if strings.HasPrefix(e, ".") {
		e = "%2E" + e[1:]
	}
	return e
}

// parse reads what Ref wrote; anything else names nothing that is kept.
func parse(ref string) (e Entry, ok bool) {
	parts := strings.Split(ref, "/")
	if len(parts) != 3 {
		return e, false
	}
	digits, jpg := strings.CutSuffix(parts[2], ".jpg")
	at, err := strconv.ParseInt(digits, 10, 64)
	pipeline, err1 := url.PathUnescape(parts[0])
	cam, err2 := url.PathUnescape(parts[1])
	if !jpg || err != nil || err1 != nil || err2 != nil || Ref(pipeline, cam, at) != ref {
		return e, false
	}
	return Entry{Ref: ref, Pipeline: pipeline, Camera: cam, Captured: at}, true
}

func (s *Store) picture(ref string) string { return filepath.Join(s.dir, filepath.FromSlash(ref)) }

func (s *Store) note(ref, kind string) string {
	return strings.TrimSuffix(s.picture(ref), ".jpg") + "." + kind + ".json"
}

// Put keeps a frame and returns its name. One that is kept already gets the new note, and the greater worth of the two kinds. A frame at which a rule fired is on the disk when Put returns; others are as soon as
// the system writes them.
func (s *Store) Put(_ context.Context, i *Item) (ref string, err error) {
	ref = Ref(i.Pipeline, i.Camera, i.Captured)
	defer func() {
		if err != nil {
			s.metrics.failures.Inc()
			err = fmt.Errorf("keep the frame %s: %w", ref, err)
		}
	}()
	if worth(i.Kind) < 0 {
		return ref, fmt.Errorf("%q is no kind of evidence", i.Kind)
	}
	if i.Pipeline == "" || i.Camera == "" || len(i.JPEG) == 0 {
		return ref, errors.New("it has no pipeline, camera or picture")
	}
	note, err := json.Marshal(i.Note)
	if err != nil {
		return ref, err
	}
	if err := os.MkdirAll(filepath.Dir(s.picture(ref)), 0o755); err != nil {
		return ref, err
	}
	lock := s.lock(ref)
	lock.Lock()
	defer lock.Unlock()
	for {
		if done, err := s.put(i, ref, note); done || err != nil {
			return ref, err
		}
	}
}

// put is Put for whoever holds the name's lock; it is not done if the frame was removed meanwhile.
func (s *Store) put(i *Item, ref string, note []byte) (done bool, err error) {
	kind := i.Kind
	s.mu.Lock()
	had := s.entries[ref]
	s.mu.Unlock()
	if had != nil && worth(had.Kind) > worth(kind) {
		kind = had.Kind
	}
	sync := kind == Fired
	if had == nil {
		if err := write(s.picture(ref), i.JPEG, sync); err != nil {
			return false, err
		}
	}
	if err := write(s.note(ref, kind), note, sync); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[ref] != had {
		return false, nil
	}
	if had != nil {
		if had.Kind != kind {
			_ = os.Remove(s.note(ref, had.Kind))
		}
		s.forget(had)
	}
	s.add(&Entry{Ref: ref, Pipeline: i.Pipeline, Camera: i.Camera, Captured: i.Captured, Kind: kind, Bytes: int64(len(i.JPEG) + len(note)), stored: s.now()})
	s.metrics.puts.WithLabelValues(kind).Inc()
	s.trim()
	return true, nil
}

func (s *Store) lock(ref string) *sync.Mutex {
	h := fnv.New32a()
	h.Write([]byte(ref))
	return &s.writing[h.Sum32()%uint32(len(s.writing))]
}

// Raise gives a kept frame another kind, if that is worth more, and tells whether it is kept.
func (s *Store) Raise(ref, kind string) (bool, error) {
	lock := s.lock(ref)
	lock.Lock()
	defer lock.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[ref]
	if e == nil || worth(kind) <= worth(e.Kind) {
		return e != nil, nil
	}
	if err := os.Rename(s.note(ref, e.Kind), s.note(ref, kind)); err != nil {
		return true, fmt.Errorf("keep the frame %s as %s: %w", ref, kind, err)
	}
	better := *e
	better.Kind = kind
	s.forget(e)
	s.add(&better)
	return true, nil
}

// Get returns a frame and its note. The error is ErrNotKept where there is none.
func (s *Store) Get(ctx context.Context, ref string) (jpeg, note []byte, err error) {
	s.mu.Lock()
	e := s.entries[ref]
	var kind string
	if e != nil {
		kind = e.Kind
	}
	s.mu.Unlock()
	if e == nil {
		return s.fetch(ctx, ref)
	}
	if jpeg, err = os.ReadFile(s.picture(ref)); err == nil {
		note, err = os.ReadFile(s.note(ref, kind))
	}
	if errors.Is(err, fs.ErrNotExist) { // removed, or raised, meanwhile
		return nil, nil, fmt.Errorf("%s: %w", ref, ErrNotKept)
	}
	return jpeg, note, err
}

// Filter chooses kept frames.
type Filter struct {
	Pipeline string
	Camera   string // empty: all
	Kind     string // empty: all
	// From and To bound the capture, [From, To); a To of 0 is no bound.
	From, To int64
	// Limit is how many of the newest; 0: all.
	Limit int
}

// List returns the frames that a filter chooses, the newest capture first.
func (s *Store) List(f Filter) []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Entry
	for of, all := range s.cameras {
		if of.pipeline != f.Pipeline || f.Camera != "" && of.name != f.Camera {
			continue
		}
		taken := 0
		for i := len(all) - 1; i >= 0 && all[i].Captured >= f.From && (f.Limit == 0 || taken < f.Limit); i-- {
			if e := all[i]; (f.To == 0 || e.Captured < f.To) && (f.Kind == "" || e.Kind == f.Kind) {
				out = append(out, *e)
				taken++
			}
		}
	}
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(b.Captured, a.Captured), cmp.Compare(a.Camera, b.Camera))
	})
	if f.Limit > 0 && len(out) > f.Limit {
		out = out[:f.Limit]
	}
	return out
}

// Run removes what is too old, until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.mu.Lock()
			s.trim()
			s.mu.Unlock()
		}
	}
}

// add takes in an entry; mu is held.
func (s *Store) add(e *Entry) {
	s.entries[e.Ref] = e
	of := camera{e.Pipeline, e.Camera}
	all := s.cameras[of]
	at, _ := slices.BinarySearchFunc(all, e.Captured, func(x *Entry, captured int64) int { return cmp.Compare(x.Captured, captured) })
	s.cameras[of] = slices.Insert(all, at, e)
	heap.Push(&s.oldest[worth(e.Kind)], e)
	s.bytes += e.Bytes
	s.metrics.bytes.Set(float64(s.bytes))
	s.metrics.frames.WithLabelValues(e.Kind).Inc()
}

// forget takes an entry out, and leaves its files; mu is held.
func (s *Store) forget(e *Entry) {
	e.gone = true
	delete(s.entries, e.Ref)
	of := camera{e.Pipeline, e.Camera}
	all := s.cameras[of]
	if at, ok := slices.BinarySearchFunc(all, e.Captured, func(x *Entry, captured int64) int { return cmp.Compare(x.Captured, captured) }); ok {
		if all = slices.Delete(all, at, at+1); len(all) == 0 {
			delete(s.cameras, of)
		} else {
			s.cameras[of] = all
		}
	}
	s.bytes -= e.Bytes
	s.metrics.bytes.Set(float64(s.bytes))
	s.metrics.frames.WithLabelValues(e.Kind).Dec()
}

// trim removes what is older than its kind may get, and then, while there is no room, the oldest of the kind that is worth least; mu is held.
func (s *Store) trim() {
	now := s.now()
	for k, kind := range kinds {
		keep := s.cfg.Keep.of(kind)
		for keep > 0 {
			e := s.oldest[k].first()
			if e == nil || now.Sub(e.stored) < keep {
				break
			}
			s.remove(e, "age")
		}
	}
	for k := 0; s.bytes > int64(s.cfg.MaxBytes) && k < len(kinds); {
		if e := s.oldest[k].first(); e != nil {
			s.remove(e, "room")
		} else {
			k++
		}
	}
}

// remove forgets an entry and its files: the note first, so that a crash leaves no note without a picture; mu is held.
func (s *Store) remove(e *Entry, why string) {
	err := os.Remove(s.note(e.Ref, e.Kind))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.Remove(s.picture(e.Ref))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("a kept frame cannot be removed", "frame", e.Ref, "error", err)
	}
	s.forget(e)
	s.metrics.removed.WithLabelValues(e.Kind, why).Inc()
}

// queue is a heap of entries by when they were stored; those that are gone are skipped.
type queue []*Entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].stored.Before(q[j].stored) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*Entry)) }
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return e
}

// first returns the one stored first, nil without one.
func (q *queue) first() *Entry {
	for len(*q) > 0 && (*q)[0].gone {
		heap.Pop(q)
	}
	if len(*q) == 0 {
		return nil
	}
	return (*q)[0]
}
