package processors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
	"andon/processors/drift"
)

// hall is what outlives the panel: its topic, commit, store and vault, and a fuse that makes a call fail.
type hall struct {
	sketches  []event.SketchAt
	committed int64
	note      string
	ranges    map[string]string // what was stored, by where it begins: the same range again is the same
	rounds    map[string]string
	counted   map[string]int // how often each sketch was stored, but for ranges that were told again
	alarms    map[string]string
	raised    map[string]int
	vault     map[string][]byte
	saves     int
	fuse      int
	rng       *rand.Rand
}

func (h *hall) step(effect func()) error {
	if h.fuse--; h.fuse == 0 {
		if h.rng.IntN(2) == 0 {
			effect()
		}
		return errCrash
	}
	effect()
	return nil
}

// write keeps one text for a key, and fails where the same key has another: what is told again must be the same.
func (h *hall) write(all map[string]string, key, text string, more func()) error {
	return h.step(func() {
		if old, ok := all[key]; ok && old != text {
			panic(fmt.Sprintf("%s was %s and is %s", key, old, text))
		}
		all[key] = text
		more()
	})
}

func (h *hall) WriteJudged(_ context.Context, j *event.Judged) error {
	key, text := fmt.Sprint(j.Topic, j.Partition, "@", j.First), fmt.Sprintf("%+v", *j)
	_, again := h.ranges[key]
	return h.write(h.ranges, key, text, func() {
		for i := range j.Rounds {
			r := &j.Rounds[i]
			key := fmt.Sprint(r.Pipeline, r.Version, r.Number)
			if _, ok := h.rounds[key]; ok && !again {
				panic(key + " is stored in two ranges")
			}
			h.rounds[key] = fmt.Sprintf("%+v", *r)
		}
		for i := range j.Sketches {
			if s := &j.Sketches[i]; !again {
				h.counted[fmt.Sprint(s.Topic, s.Partition, s.Piece, s.Group)]++
			}
		}
	})
}

func (h *hall) WriteAlarm(_ context.Context, a *event.Alarm) error {
	return h.write(h.alarms, fmt.Sprint(a.ID, a.At, a.Over), fmt.Sprintf("%+v", *a), func() {})
}

func (h *hall) Save(_ context.Context, key string, _ int32, data []byte) (string, error) {
	h.saves++
	ref := fmt.Sprint(key, "@", h.saves)
	return ref, h.step(func() {
		for old := range h.vault {
			if strings.HasPrefix(old, key+"@") {
				delete(h.vault, old)
			}
		}
		h.vault[ref] = data
	})
}

func (h *hall) Load(_ context.Context, ref string) ([]byte, error) {
	if d, ok := h.vault[ref]; ok {
		return d, nil
	}
	return nil, errors.New("gone")
}

// sit opens the panel and hands it the topic up to its end, in batches of any size, until that is done or a call fails.
func (h *hall) sit(t *testing.T) error {
	panel := NewPanel(func(string) (drift.Config, bool) { c := drift.Default(); c.Windows = pieceWindows; return c, true },
		PanelOutlets{Store: h, Vault: h, Raise: func(a event.Alarm) { h.raised[fmt.Sprint(a.ID, a.At, a.Over)]++ }}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	panel.every = 40
	s, at, err := panel.Open(t.Context(), Assignment{Topic: "andon.drift", Committed: h.committed, Note: h.note, Commit: func(_ context.Context, next int64, note string) error {
		return h.step(func() { h.committed, h.note = next, note })
	}})
	if err != nil {
		return err
	}
	for end := int64(len(h.sketches)); at < end; {
		next := min(at+1+h.rng.Int64N(20), end)
		b := &event.Batch{First: at, Next: next, Sketches: h.sketches[at:next]}
		if err := s.Handle(t.Context(), b); err != nil {
			return err
		}
		at = next
		if h.rng.IntN(3) == 0 {
			if err := s.Flush(t.Context()); err != nil {
				return err
			}
		}
	}
	return s.Flush(t.Context())
}

// What the panel stores and raises is the same, and all of it is there, however often it is killed and wherever.
func TestPanelExactlyOnce(t *testing.T) {
	recipe := &model.Recipe{Signals: []string{"a", "b", "c"}, Grid: 1, Length: 1, Smooth: 1}
	profile, err := drift.ReadProfile(reference(recipe))
	if err != nil {
		t.Fatal(err)
	}
	crashes, alarms := 0, 0
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var all []event.SketchAt
		pieces := 0
		monitors := []*drift.Monitor{drift.NewMonitor(profile, pieceWindows, nil), drift.NewMonitor(profile, pieceWindows, nil)}
		for i := range 4000 {
			row := make([]float64, len(profile.Inputs))
			for j := range row {
				row[j] = math.Round(100 * rng.Float64())
			}
			if i > 1000 && i < 3000 {
				row[1] = 60 + row[1]/3
			}
			k := rng.IntN(2)
			for _, s := range monitors[k].Add(fmt.Sprint(k, rng.IntN(9)), int64(i)*1e9, event.Position{Topic: "t", Partition: int32(k), Offset: int64(i)}, row) {
				s.Pipeline, s.Version = "p", "v"
				all = append(all, event.SketchAt{Offset: int64(len(all)), Sketch: s})
				if rng.IntN(4) == 0 { // its line is killed, and tells it again
					all = append(all, event.SketchAt{Offset: int64(len(all)), Sketch: s})
				}
				pieces++
			}
		}
		fresh := func() *hall {
			return &hall{sketches: all, ranges: map[string]string{}, rounds: map[string]string{}, counted: map[string]int{}, alarms: map[string]string{}, raised: map[string]int{}, vault: map[string][]byte{}, fuse: -1, rng: rng}
		}
		calm, w := fresh(), fresh()
		if err := calm.sit(t); err != nil {
			t.Fatal(err)
		}
		for w.committed < int64(len(all)) {
			w.fuse = 1 + rng.IntN(9)
			if err := w.sit(t); err != nil {
				if crashes++; !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
			}
		}
		same := func(what string, a, b map[string]string) {
			if len(a) != len(b) {
				t.Fatalf("seed %d: %d %s, want %d", seed, len(b), what, len(a))
			}
			for k, v := range a {
				if b[k] != v {
					t.Fatalf("seed %d: %s\n%s\nwant\n%s", seed, what, b[k], v)
				}
			}
		}
		same("rounds", calm.rounds, w.rounds)
		same("alarms", calm.alarms, w.alarms)
		for _, h := range []*hall{calm, w} {
			if len(h.counted) != pieces {
				t.Fatalf("seed %d: %d sketches are stored, want %d", seed, len(h.counted), pieces)
			}
			for key, n := range h.counted {
				if n != 1 {
					t.Fatalf("seed %d: the sketch %s is stored %d times", seed, key, n)
				}
			}
		}
		for k := range calm.raised {
			if w.raised[k] == 0 {
				t.Fatalf("seed %d: %s was not raised", seed, k)
			}
		}
		alarms += len(calm.alarms)
	}
	if crashes < 100 || alarms < 80 {
		t.Fatalf("too easy: %d crashes, %d alarms", crashes, alarms)
	}
	// A state that is gone is told, and the panel begins anew.
	h := &hall{note: `{"v":1,"at":3,"ref":"x"}`, committed: 5, fuse: -1, rng: rand.New(rand.NewPCG(1, 1)), vault: map[string][]byte{}}
	panel := NewPanel(func(string) (drift.Config, bool) { return drift.Default(), true }, PanelOutlets{Store: h, Vault: h}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if _, at, err := panel.Open(t.Context(), Assignment{Committed: 5, Note: h.note}); err != nil || at != 5 {
		t.Errorf("opened at %d, %v", at, err)
	}
}
