package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"andon/event"
	"andon/model"
	"andon/model/onnx"
	"andon/sinks/clickhouse"
)

// modelTable is the table of models in memory; it refuses the first writes.
type modelTable struct {
	rows    []clickhouse.Model
	refuses int
}

func (m *modelTable) QueryParams(context.Context, string, map[string]string, int) (*event.Table, error) {
	t := &event.Table{}
	for _, r := range m.rows {
		t.Rows = append(t.Rows, []any{r.Pipeline, r.Version, r.Alias, strconv.FormatInt(r.Time/1000, 10)})
	}
	return t, nil
}

func (m *modelTable) WriteModel(_ context.Context, r clickhouse.Model) error {
	if m.refuses > 0 {
		m.refuses--
		return errors.New("not now")
	}
	m.rows = append(m.rows, r)
	return nil
}

func sealed(t *testing.T, pipeline string, seed uint64) *model.Model {
	t.Helper()
	g := onnx.NewGraph("test")
	x := g.Input(model.Input, onnx.Float, append([]onnx.Dim{{Name: "batch"}}, onnx.Fixed(2, 1)...)...)
	g.Node("Identity", []string{x}, []string{model.Value})
	g.Output(model.Value, onnx.Float, onnx.Dim{Name: "batch"}, onnx.Dim{Size: 1})
	m, err := model.Seal(g.Model(), model.Meta{Pipeline: pipeline, Task: model.Anomaly, Lineage: model.Lineage{Seed: seed},
		Recipe: model.Recipe{Signals: []string{"a"}, Grid: time.Hour, Length: 2, Smooth: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Registrations and moves reach the table once each, also when ClickHouse was away and when the appliance starts again.
func TestModelLog(t *testing.T) {
	dir, table := t.TempDir(), &modelTable{}
	versions := []string{sealed(t, "pumps", 0).Version, sealed(t, "pumps", 1).Version}
	for round := range 2 {
		reg, err := model.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		l := newModelLog(reg, nil, slog.New(slog.DiscardHandler))
		l.store = table
		if round == 0 {
			for i := range versions {
				if err := reg.Add(sealed(t, "pumps", uint64(i))); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, v := range versions {
			if err := reg.Promote("pumps", v, "test", "a turn"); err != nil {
				t.Fatal(err)
			}
		}
		if len(l.moved) != 1 {
			t.Error("nobody was woken")
		}
		table.refuses = 1
		if err := l.write(t.Context()); err == nil {
			t.Error("a refused row was not told")
		}
		for range 2 {
			if err := l.write(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	count := map[string]int{}
	for _, r := range table.rows {
		if r.Pipeline != "pumps" || r.Task != "anomaly" || r.Time <= 0 || r.Lineage == "" || r.Who == "" {
			t.Errorf("row %+v", r)
		}
		count[r.Version+" "+r.Alias]++
	}
	want := map[string]int{versions[0] + " ": 1, versions[1] + " ": 1, versions[0] + " champion": 2, versions[1] + " champion": 2}
	if !maps.Equal(count, want) {
		t.Errorf("rows %v, want %v", count, want)
	}
}

func TestModelLogTriesAgain(t *testing.T) {
	reg, err := model.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := reg.Add(sealed(t, "pumps", 1)); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		table := &modelTable{refuses: 2}
		l := newModelLog(reg, nil, slog.New(slog.DiscardHandler))
		l.store = table
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		time.Sleep(3 * l.again)
		cancel()
		if err := <-ended; err != nil || len(table.rows) != 1 {
			t.Errorf("%d rows, %v; want one", len(table.rows), err)
		}
	})
}
