package evaluate

import (
	"fmt"
	"time"

	"andon/event"
)

// Text is the one table for people: a row a scenario, a column a version, then what each costs.
func (t *Table) Text() *event.Table {
	name := t.Metric
	if t.Unit != "" {
		name += ", " + t.Unit
	}
	out := &event.Table{Columns: []string{"scenario (" + name + ")", "windows", "assets"}}
	if t.Metric == "error" || t.Metric == "1-f1" {
		out.Columns[1], out.Columns[2] = "frames", "cameras"
	}
	for _, v := range t.Versions {
		out.Columns = append(out.Columns, v.Version)
	}
	for _, s := range t.Scenarios {
		label := s.Name
		if s.Detail != "" {
			label += " (" + s.Detail + ")"
		}
		if !s.Judged {
			label += ", told only"
		}
		row := []any{label, s.Windows, s.Assets}
		for _, v := range t.Versions {
			row = append(row, t.Cell(s.Name, v.Version).text())
		}
		out.Rows = append(out.Rows, row)
	}
	costs := func(label string, of func(c *Cost) string) {
		row, any := []any{label, "", ""}, false
		for i := range t.Versions {
			s := of(&t.Versions[i])
			any = any || s != ""
			row = append(row, s)
		}
		if any {
			out.Rows = append(out.Rows, row)
		}
	}
	// Where nobody can read a meter that is said, so that an empty field is not taken for nothing.
	energy := func(label string, of func(c *Cost) Number) {
		row := []any{label, "", ""}
		for i := range t.Versions {
			s := "not measured"
			if n := of(&t.Versions[i]); n.Known() {
				s = fmt.Sprintf("%.3g", float64(n))
			}
			row = append(row, s)
		}
		out.Rows = append(out.Rows, row)
	}
	number := func(format string, n Number) string {
		if !n.Known() {
			return ""
		}
		return fmt.Sprintf(format, float64(n))
	}
	took := func(ns int64) string {
		if ns == 0 {
			return ""
		}
		return time.Duration(ns).Round(time.Microsecond).String()
	}
	costs("network", func(c *Cost) string { return c.Network })
	costs("p50 of one", func(c *Cost) string { return took(c.P50) })
	costs("p99 of one", func(c *Cost) string { return took(c.P99) })
	costs("CPU-seconds a million", func(c *Cost) string { return number("%.3g", c.CPUSeconds) })
	energy("joules a million", func(c *Cost) Number { return c.Joules })
	costs("bytes", func(c *Cost) string { return fmt.Sprint(c.Bytes) })
	costs("training, s", func(c *Cost) string { return number("%.3g", c.TrainingSeconds) })
	costs("training, CPU-s", func(c *Cost) string { return number("%.3g", c.TrainingCPUSeconds) })
	energy("training, joules", func(c *Cost) Number { return c.TrainingJoules })
	costs("retrainings a week", func(c *Cost) string { return number("%.3g", c.Retrainings) })
	costs("alarms a week", func(c *Cost) string { return number("%.3g", c.Alarms) })
	return out
}

func (c *Cell) text() string {
	switch {
	case c == nil || !c.Value.Known():
		return "-"
	case !c.Low.Known():
		return fmt.Sprintf("%.4g", float64(c.Value))
	}
	return fmt.Sprintf("%.4g [%.4g, %.4g]", float64(c.Value), float64(c.Low), float64(c.High))
}
