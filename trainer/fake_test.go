package trainer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon/event"
	"andon/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hour = int64(time.Hour)

// warehouse is a store in memory.
type warehouse struct {
	mu        sync.Mutex
	rows      map[string][]event.Row
	labels    []event.Label
	trainings []event.Training
	broken    error
}

func (w *warehouse) Labels(_ context.Context, pipeline, kind string) ([]event.Label, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return nil, w.broken
	}
	var out []event.Label
	for _, l := range w.labels {
		if l.Pipeline == pipeline && (kind == "" || l.Kind == kind) {
			out = append(out, l)
		}
	}
	return out, nil
}

func (w *warehouse) Readings(_ context.Context, _ string, signals, assets []string, _, _ int64, f func(string, []event.Row) error) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return "", w.broken
	}
	var names []string
	for a := range w.rows {
		if assets == nil || slices.Contains(assets, a) {
			names = append(names, a)
		}
	}
	slices.Sort(names)
	for _, a := range names {
		// The rows are the callee's only until f returns.
		rows := clone(w.rows[a])
		if err := f(a, rows); err != nil {
			return "", err
		}
		for i := range rows {
			for j := range rows[i].Values {
				rows[i].Values[j] = math.NaN()
			}
		}
	}
	return fmt.Sprintf("select %v", signals), nil
}

func (w *warehouse) Count(context.Context, string) (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, r := range w.rows {
		n += len(r)
	}
	return uint64(n), w.broken
}

func (w *warehouse) WriteTraining(ctx context.Context, t event.Training) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trainings = append(w.trainings, t)
	return nil
}

func (w *warehouse) put(asset string, rows []event.Row) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rows == nil {
		w.rows = map[string][]event.Row{}
	}
	w.rows[asset] = append(w.rows[asset], rows...)
}

func (w *warehouse) fail(asset string, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.labels = append(w.labels, event.Label{Pipeline: "pumps", Asset: asset, Time: at, Kind: event.KindFailure})
}

func (w *warehouse) states() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var s []string
	for _, t := range w.trainings {
		s = append(s, t.State)
	}
	return s
}

func (w *warehouse) Spans(_ context.Context, _ string, assets []string, from, until int64) ([]event.Span, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return nil, w.broken
	}
	n := int64(0)
	for _, a := range assets {
		for _, r := range w.rows[a] {
			if r.Time >= from && r.Time < until {
				n++
			}
		}
	}
	return []event.Span{{Topic: "t", Next: n}}, nil
}

// shelf is a registry in memory.
type shelf struct {
	mu     sync.Mutex
	added  map[string]*model.Model
	live   map[string]*model.Model
	why    []string
	refuse error
}

func (s *shelf) Register(_ context.Context, m *model.Model, _ model.Registration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return s.refuse
	}
	if s.added == nil {
		s.added = map[string]*model.Model{}
	}
	s.added[m.Version] = m
	return nil
}

func (s *shelf) Promote(pipeline, version, who, why string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.added[version] == nil {
		return errors.New("no such model")
	}
	if s.live == nil {
		s.live = map[string]*model.Model{}
	}
	s.live[pipeline] = s.added[version]
	s.why = append(s.why, who+": "+why)
	return nil
}

func (s *shelf) Live(pipeline string) *model.Model {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[pipeline]
}

// plain makes windows of rows that stand one a slot, without smoothing or other channels.
func plain(r *model.Recipe, rows []event.Row, emit func(int64, []float32)) error {
	window := make([]float32, r.Length*r.Width())
	for i := r.Length - 1; i < len(rows); i++ {
		first := rows[i-r.Length+1 : i+1]
		if first[r.Length-1].Time-first[0].Time != int64(r.Length-1)*int64(r.Grid) {
			continue // a gap
		}
		for j, row := range first {
			for c, v := range row.Values {
				x := float32(v)
				if len(r.Scale) > 0 {
					x = float32((v - r.Scale[c].Mean) / r.Scale[c].Std)
				}
				window[j*r.Width()+c] = x
			}
		}
		emit((floorDiv(rows[i].Time, int64(r.Grid))+1)*int64(r.Grid), window)
	}
	return nil
}

// pumps is a pipeline whose signal rises as a pump nears its end.
func pumps() Pipeline {
	s := DefaultSpec(model.RemainingLife)
	s.Layers = 1
	s.Hidden, s.Epochs, s.Batch, s.Cap, s.Horizon, s.MinAssets, s.Validation = 8, 8, 32, 40, 10, 6, 0.3
	s.LearningRate, s.Unit = 0.02, "hours"
	s.Holdout = 0
	return Pipeline{Name: "pumps", Spec: s, Featurize: plain,
		Recipe: model.Recipe{Signals: []string{"vibration", "constant"}, Grid: time.Hour, Length: 5, Smooth: 1}}
}

// wear makes a pump's rows from a start on; its last row is its end.
func wear(seed uint64, hours int, start int64) []event.Row {
	rng := rand.New(rand.NewPCG(seed, 1))
	var rows []event.Row
	for i := range hours {
		left := float64(hours - 1 - i)
		rows = append(rows, event.Row{Asset: "", Time: start + int64(i)*hour, Values: []float64{100 + 20*math.Exp(-left/20) + rng.NormFloat64()*0.3, 7}})
	}
	return rows
}

// fill puts n failed pumps into a store.
func fill(w *warehouse, n int) {
	for i := range n {
		asset := fmt.Sprintf("pump-%02d", i)
		rows := wear(uint64(i), 50+3*i, 1000*hour)
		w.put(asset, rows)
		w.fail(asset, rows[len(rows)-1].Time)
	}
}
