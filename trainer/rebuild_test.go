package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"andon/event"
	"andon/model"
	"andon/model/ort/orttest"
)

// archive is a warehouse that can be read as it was. A mark of rows is an asset's.
type archive struct{ *warehouse }

func (a archive) Marks(context.Context, string) (m event.Marks, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for asset, rows := range a.rows {
		m.Rows = append(m.Rows, event.Span{Topic: asset, Next: int64(len(rows))})
	}
	slices.SortFunc(m.Rows, func(a, b event.Span) int { return strings.Compare(a.Topic, b.Topic) })
	m.Labels = []event.Span{{Topic: "labels", Next: int64(len(a.labels))}}
	return m, a.broken
}

func (a archive) At(m event.Marks) Source {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := &warehouse{labels: a.labels[:min(m.Labels[0].Next, int64(len(a.labels)))], rows: map[string][]event.Row{}, broken: a.broken}
	for _, s := range m.Rows {
		if rows := a.rows[s.Topic]; rows != nil {
			old.rows[s.Topic] = rows[:min(s.Next, int64(len(rows)))]
		}
	}
	return old
}

// written is a pipeline that writes its settings down.
func written(p Pipeline) *Pipeline {
	p.Section = func(s *Spec) ([]byte, error) { return json.Marshal(s) }
	return &p
}

// A model is made again to the byte from what its lineage says, whatever came to the data meanwhile; what cannot be the same is named.
func TestRebuild(t *testing.T) {
	orttest.Open(t)
	store := archive{&warehouse{}}
	fill(store.warehouse, 14)
	p := written(pumps())
	p.Spec.Epochs, p.Spec.Dropout, p.Spec.Holdout, p.Spec.Recent = 2, 0.1, 0.2, 40*time.Hour
	p.Spec.Search = Search{Trials: 3, Keep: 2}
	p.Spec.Warm = false
	models := map[string]*model.Model{}
	local := &Local{Source: store, Pipelines: []Pipeline{*p}, Memory: Default().Memory, Worker: "here",
		Get: func(_, version string) (*model.Model, error) {
			if m := models[version]; m != nil {
				return m, nil
			}
			return nil, model.ErrUnknown
		},
		Meters: Meters{Processors: func() (float64, bool) { return 5, true }, Devices: func() (float64, float64, bool) { return 0, 0, false }}}
	first, err := local.Make(t.Context(), Job{ID: "run-1", Pipeline: "pumps"})
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != 2 {
		t.Fatalf("%d lessons", len(first))
	}
	// What comes later: more rows of an old asset, whole new lives, a label that is told anew.
	fill(store.warehouse, 18)
	store.put("pump-00", wear(77, 60, 3000*hour))
	again := func(m *model.Model) (*Rebuilt, error) {
		t.Helper()
		var s Spec
		if err := json.Unmarshal([]byte(m.Lineage.Section), &s); err != nil {
			t.Fatal(err)
		}
		q := *written(pumps())
		q.Spec = s
		return local.Rebuild(t.Context(), &q, m, Watcher{})
	}
	same := func(what string, m *model.Model) {
		t.Helper()
		r, err := again(m)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if r.Model.Version != m.Version || len(r.Differs)+len(r.Notes) > 0 {
			t.Errorf("%s: %s became %s: %q, %q", what, m.Version, r.Model.Version, r.Differs, r.Notes)
		}
	}
	same("the best of a search", first[0].Model)
	same("the next", first[1].Model)
	if l := first[0].Model.Lineage; l.Worker != "here" || l.Energy != "processors" || l.Joules != 0 || l.Runtime == "" || l.Machine == "" || len(l.Marks.Rows) != 14 {
		t.Errorf("lineage %+v", l)
	}

	// From a champion's parameters.
	champion := first[0].Model
	models[champion.Version] = champion
	p.Spec.Search, p.Spec.Warm = Search{}, true
	var settings Spec
	if err := json.Unmarshal([]byte(champion.Lineage.Section), &settings); err != nil {
		t.Fatal(err)
	}
	p.Spec.Hidden, p.Spec.Layers, p.Spec.Network = settings.Hidden, settings.Layers, settings.Network
	local.Pipelines[0] = *p
	warm, err := local.Make(t.Context(), Job{ID: "run-2", Pipeline: "pumps", Champion: champion.Version, Since: 1040 * hour})
	if err != nil {
		t.Fatal(err)
	}
	m := warm[0].Model
	if m.Lineage.Start != digest(champion.ONNX) || m.Lineage.Champion != champion.Version {
		t.Errorf("lineage of a warm start: %+v", m.Lineage)
	}
	fill(store.warehouse, 20)
	same("a warm start", m)
	delete(models, champion.Version)
	if _, err := again(m); !errors.Is(err, model.ErrUnknown) {
		t.Errorf("without the champion: %v", err)
	}
	models[champion.Version] = m
	if _, err := again(m); err == nil || !strings.Contains(err.Error(), "not the one that was begun with") {
		t.Errorf("with another champion: %v", err)
	}

	// Data that was changed or is gone, and models that say too little.
	store.mu.Lock()
	store.rows["pump-03"][10].Values[0]++
	delete(store.rows, "pump-05")
	store.mu.Unlock()
	r, err := again(champion)
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(r.Differs, "\n"); r.Model.Version == champion.Version || !strings.Contains(text, "the data's digest") || !strings.Contains(text, "assets:") {
		t.Errorf("changed data: %q", r.Differs)
	}
	if !slices.Contains(r.Notes, "the rows of pump-05/0 are gone, of the offsets 0 to 64") {
		t.Errorf("notes: %q", r.Notes)
	}
	pushed := *champion
	pushed.Lineage.Source = "abc"
	if _, err := local.Rebuild(t.Context(), p, &pushed, Watcher{}); err == nil || !strings.Contains(err.Error(), "was pushed") {
		t.Errorf("a pushed model: %v", err)
	}
	old := *champion
	old.Lineage.Marks = nil
	if _, err := local.Rebuild(t.Context(), p, &old, Watcher{}); err == nil || !strings.Contains(err.Error(), "did not write down") {
		t.Errorf("an old model: %v", err)
	}
}
