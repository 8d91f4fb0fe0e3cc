package evaluate

import (
	"andon/event"
	"andon/model"
)

// Rows are the table's cells, as they are stored.
func (t *Table) Rows() []event.Evaluation {
	var out []event.Evaluation
	for i := range t.Scenarios {
		s := &t.Scenarios[i]
		for k := range t.Versions {
			v := &t.Versions[k]
			c := t.Cell(s.Name, v.Version)
			if c == nil {
				continue
			}
			out = append(out, event.Evaluation{ID: t.ID, Pipeline: t.Pipeline, Task: string(t.Task), Time: t.Time, Digest: t.Digest, Metric: t.Metric, Unit: t.Unit, Level: t.Level,
				Place: i, Column: k, Scenario: s.Name, Detail: s.Detail, Judged: s.Judged, Windows: s.Windows, Assets: s.Assets, Version: v.Version, Network: v.Network,
				Value: float64(c.Value), Low: float64(c.Low), High: float64(c.High), Loss: float64(c.Loss), P50: v.P50, P99: v.P99, CPUSeconds: float64(v.CPUSeconds), Joules: float64(v.Joules),
				Bytes: v.Bytes, TrainingSeconds: float64(v.TrainingSeconds), TrainingCPUSeconds: float64(v.TrainingCPUSeconds), TrainingJoules: float64(v.TrainingJoules), Retrainings: float64(v.Retrainings), Alarms: float64(v.Alarms),
				Who: t.Who, Why: t.Why})
		}
	}
	return out
}

// Tables puts stored cells together again, table by table in the order of their first cells. Their gate slices are gone.
func Tables(rows []event.Evaluation) []Table {
	var out []Table
	for i := range rows {
		r := &rows[i]
		if n := len(out); n == 0 || out[n-1].ID != r.ID || out[n-1].Pipeline != r.Pipeline {
			out = append(out, Table{ID: r.ID, Pipeline: r.Pipeline, Task: model.Task(r.Task), Time: r.Time, Digest: r.Digest, Metric: r.Metric, Unit: r.Unit, Level: r.Level, Who: r.Who, Why: r.Why})
		}
		t := &out[len(out)-1]
		if n := len(t.Scenarios); n == 0 || t.Scenarios[n-1].Name != r.Scenario {
			t.Scenarios = append(t.Scenarios, Shown{r.Scenario, r.Judged, r.Detail, r.Windows, r.Assets})
		}
		if len(t.Scenarios) == 1 {
			t.Versions = append(t.Versions, Cost{r.Version, r.Network, r.P50, r.P99, Number(r.CPUSeconds), Number(r.Joules), r.Bytes, Number(r.TrainingSeconds), Number(r.TrainingCPUSeconds),
				Number(r.TrainingJoules), Number(r.Retrainings), Number(r.Alarms)})
		}
		t.Cells = append(t.Cells, Cell{Scenario: r.Scenario, Version: r.Version, Value: Number(r.Value), Low: Number(r.Low), High: Number(r.High), Loss: Number(r.Loss)})
	}
	return out
}
