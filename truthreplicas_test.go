package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"andon/event"
	"andon/model"
	"andon/sinks/clickhouse"
	"andon/sinks/kafka"
	"andon/trainer/truth"
)

// shift is one replica's keeper of truth, with the lead that it asks for.
type shift struct {
	*truth.Keeper
	leads  atomic.Bool
	raised []event.Alarm
}

// newShift starts one; its rounds are the test's.
func newShift(t *testing.T, seeds []string, instance string, cfg *Config, models *model.Registry, store *clickhouse.Store) *shift {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	k := kafka.Default()
	k.Seeds, k.ClientID, k.DeadLetters = seeds, instance, "dead"
	p, err := kafka.Open(k, nil, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &shift{}
	s.Keeper = newTruth(cfg, models, store, func(a event.Alarm) { s.raised = append(s.raised, a) }, s.leads.Load, log, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Lead("andon.models", "andon.loop", instance, log)(ctx, s.leads.Store) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, p.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Of several replicas the one that leads the loop keeps the truth. Another that takes over after a kill, in the middle of a rise of the error, tells each alarm that one alone would have told.
func TestTruthReplicas(t *testing.T) {
	store := emptyStore(t)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "andon.models"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	var mu sync.Mutex
	dead := map[string]bool{}
	cluster.ControlKey(int16(kmsg.Heartbeat), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		if id := r.(*kmsg.HeartbeatRequest).InstanceID; id != nil && dead[*id] {
			return nil, errors.New("the process is gone"), true
		}
		return nil, nil, false
	})
	models, err := model.Open(filepath.Join(t.TempDir(), "models"))
	if err != nil {
		t.Fatal(err)
	}
	m := brightness(t, "gate")
	if err := errors.Join(models.Add(m), models.Promote("gate", m.Version, "test", "it is the first")); err != nil {
		t.Fatal(err)
	}
	cfg := new(defaultConfig())
	cfg.Pipelines = []Pipeline{{Name: "gate"}}

	rng := rand.New(rand.NewPCG(2, 3))
	offset := int64(0)
	see := func(frames int, wrong float64) {
		t.Helper()
		b := &event.Block{Pipeline: "gate", Topic: "gate", First: offset}
		l := &event.Block{Pipeline: "labels", Topic: "labels", First: offset}
		for range frames {
			at := truthOrigin + offset*slot
			said := "person"
			if rng.Float64() < wrong {
				said = "clear"
			}
			b.Sights = append(b.Sights, event.Sight{Pipeline: "gate", Camera: fmt.Sprint("dock-", offset%3), Captured: at, Width: 2, Height: 2, Status: event.SightScored, Version: m.Version, Label: said, Risk: .5,
				Position: event.Position{Topic: "gate", Offset: offset}, ScoredAt: at})
			l.Labels = append(l.Labels, event.Label{Pipeline: "gate", Asset: fmt.Sprint("dock-", offset%3), Time: at, Kind: "person", Value: math.NaN(), Told: at, Position: event.Position{Topic: "labels", Offset: offset}})
			offset++
		}
		b.Next, l.Next = offset, offset
		for _, b := range []*event.Block{b, l} {
			if err := store.Write(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
	}
	now := time.Now()
	round := func(k *shift) {
		t.Helper()
		now = now.Add(5 * time.Second)
		if err := k.Round(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	settled := func() int {
		all, _, err := truth.Mature(t.Context(), store, "gate", nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}

	a := newShift(t, cluster.ListenAddrs(), "a", cfg, models, store)
	eventually(t, "a leads", a.leads.Load)
	b := newShift(t, cluster.ListenAddrs(), "b", cfg, models, store)
	round(a)
	for range 15 {
		see(15, .1)
		round(a)
		if !b.leads.Load() {
			round(b)
		}
	}
	see(6, 1)
	round(a)
	round(a)
	if !a.leads.Load() || settled() == 0 || len(a.raised) > 0 {
		t.Fatalf("a leads %v, %d are settled, %d alarms", a.leads.Load(), settled(), len(a.raised))
	}
	mu.Lock()
	dead["andon.loop.a"] = true // and nothing more is asked of it
	mu.Unlock()
	eventually(t, "b leads", b.leads.Load)
	for range 8 {
		round(b)
		see(6, 1)
	}
	for range 3 {
		round(b)
	}
	if n := settled(); n != int(offset)-3 && n != int(offset) { // the newest of a camera may wait
		t.Errorf("%d of %d are settled", n, offset)
	}
	if len(b.raised) != 1 || b.raised[0].Kind != event.AlarmRealised || b.raised[0].Version != m.Version || b.raised[0].Causes[1].Feature != "class person" {
		t.Fatalf("b told %+v", b.raised)
	}
	// One alone, told the same outcomes, says the same.
	all, _, err := truth.Mature(t.Context(), store, "gate", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	alone := newErrorWatch("gate")
	alone.take(m.Version, &truth.Rule{Task: model.Classification}, 1, all)
	_, want := saidBy(alone)
	if got := b.raised[0]; len(want) != 1 || got.ID != want[0].ID || got.At != want[0].At || got.Loss != want[0].Loss || got.Detail != want[0].Detail {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	// And a third that takes over from it tells those who were not there that the alarm stands.
	c := &shift{}
	c.Keeper = newTruth(cfg, models, store, func(a event.Alarm) { c.raised = append(c.raised, a) }, nil, slog.New(slog.DiscardHandler), nil)
	round(c)
	if len(c.raised) != 1 || c.raised[0].ID != b.raised[0].ID {
		t.Errorf("c told %+v", c.raised)
	}
}
