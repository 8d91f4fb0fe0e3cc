package clickhouse

import (
	"fmt"
	"math"
	"testing"

	"andon/event"
)

func TestEvaluations(t *testing.T) {
	s, _ := openStore(t, ownEngine(t))
	cell := func(id, pipeline string, at int64, place, column int) event.Evaluation {
		return event.Evaluation{ID: id, Pipeline: pipeline, Task: "remaining-life", Time: at * 1e9, Digest: "d", Metric: "rmse", Unit: "hours", Level: 0.95, Place: place, Column: column,
			Scenario: fmt.Sprint("s", place), Detail: "noise", Judged: place == 0, Windows: 7, Assets: 3, Version: fmt.Sprint("v", column), Network: "gru 2x32", Value: 12.5, Low: 11, High: 14,
			Loss: 0.1, P50: 50, P99: 90, CPUSeconds: 27, Joules: -1, Bytes: 1000, TrainingSeconds: 3, TrainingCPUSeconds: 4, Retrainings: 0.5, Alarms: 2, Who: "loop", Why: "drift"}
	}
	write := func(all ...event.Evaluation) {
		t.Helper()
		if err := s.WriteEvaluations(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	write()
	write(cell("a", "p", 1, 0, 0), cell("a", "p", 1, 0, 1), cell("a", "p", 1, 1, 0), cell("a", "p", 1, 1, 1))
	write(cell("b", "p", 2, 0, 0))
	write(cell("c", "q", 3, 0, 0))
	read := func(pipeline string, limit int) (ids string) {
		t.Helper()
		all, err := s.Evaluations(t.Context(), pipeline, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if want := cell(e.ID, e.Pipeline, e.Time/1e9, e.Place, e.Column); e != want {
				t.Errorf("read %+v, want %+v", e, want)
			}
			ids += fmt.Sprintf("%s%d%d ", e.ID, e.Place, e.Column)
		}
		return ids
	}
	equal(t, "all", read("", 10), "c00 b00 a00 a01 a10 a11 ")
	equal(t, "the newest of one", read("p", 1), "b00 ")
	for _, a := range []event.Alarm{{ID: "1", Pipeline: "p", Version: "v0"}, {ID: "1", Pipeline: "p", Version: "v0", Over: true}, {ID: "2", Pipeline: "p", Version: "v0"}, {ID: "3", Pipeline: "p", Version: "v1"}} {
		if err := s.WriteAlarm(t.Context(), &a); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.AlarmsOf(t.Context(), "p", "v0"); err != nil || n != 2 {
		t.Errorf("%d alarms, %v", n, err)
	}
	none := cell("d", "r", 4, 0, 0)
	none.Value, none.Alarms = math.NaN(), math.NaN()
	write(none)
	if all, err := s.Evaluations(t.Context(), "r", 1); err != nil || len(all) != 1 || !math.IsNaN(all[0].Value) || !math.IsNaN(all[0].Alarms) {
		t.Errorf("what is not known comes back as %+v, %v", all, err)
	}
}
