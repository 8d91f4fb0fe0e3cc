package clickhouse

import (
	"context"
	"fmt"
	"strings"

	"andon/event"
)

// WriteJudged stores sketches, a row for each feature of each, and rounds: one insert a table and pipeline. A range that is told again is stored once.
func (s *Store) WriteJudged(ctx context.Context, j *event.Judged) error {
	var names []string
	sketches, rounds := map[string][]event.Sketch{}, map[string][]event.Round{}
	add := func(name string) {
		if sketches[name] == nil && rounds[name] == nil {
			names = append(names, name)
		}
	}
	for i := range j.Sketches {
		x := &j.Sketches[i]
		if x.Start < earliest {
			s.log.Error("a sketch cannot be stored: its time is before 1900, the first year that ClickHouse holds", "pipeline", x.Pipeline, "offset", x.Offset)
			continue
		}
		add(x.Pipeline)
		sketches[x.Pipeline] = append(sketches[x.Pipeline], *x)
	}
	for _, r := range j.Rounds {
		if r.Start >= earliest {
			add(r.Pipeline)
			rounds[r.Pipeline] = append(rounds[r.Pipeline], r)
		}
	}
	for _, name := range names {
		for _, f := range []struct {
			table string
			frame *frame
		}{{"drift", driftFrame(sketches[name])}, {"drift_findings", findingsFrame(rounds[name])}, {"estimates", estimatesFrame(rounds[name])}} {
			if f.frame.rows == 0 {
				continue
			}
			token := fmt.Sprintf("judged %s %s/%d@%d-%d", name, j.Topic, j.Partition, j.First, j.Next)
			if _, err := s.insert(ctx, f.table, f.frame.rows, s.insertSettings(token), func() *frame { return f.frame }); err != nil {
				return fmt.Errorf("insert into %s: %w", f.table, explain(err))
			}
		}
	}
	return nil
}

func driftFrame(sketches []event.Sketch) *frame {
	type row struct {
		*event.Sketch
		f *event.SketchFeature
	}
	var rows []row
	for k := range sketches {
		for j := range sketches[k].Features {
			rows = append(rows, row{&sketches[k], &sketches[k].Features[j]})
		}
	}
	f := &frame{rows: len(rows)}
	f.words("pipeline", func(i int) string { return rows[i].Pipeline })
	f.words("version", func(i int) string { return rows[i].Version })
	f.words("group", func(i int) string { return rows[i].Group })
	each(f, "piece", "Int64", func(i int) int64 { return rows[i].Piece })
	f.words("feature", func(i int) string { return rows[i].f.Name })
	f.words("role", func(i int) string { return rows[i].f.Role })
	f.words("reference", func(i int) string { return rows[i].Reference })
	f.micros("start", func(i int) int64 { return rows[i].Start })
	f.micros("end", func(i int) int64 { return rows[i].End })
	each(f, "windows", "UInt32", func(i int) uint32 { return uint32(rows[i].Windows) })
	each(f, "assets", "UInt32", func(i int) uint32 { return uint32(rows[i].Clusters) })
	lists(f, "counts", "Array(UInt32)", func(i int) []uint32 { return rows[i].f.Counts })
	lists(f, "expected", "Array(Float32)", func(i int) []float32 { return rows[i].f.Expected })
	each(f, "missing", "UInt32", func(i int) uint32 { return rows[i].f.Missing })
	each(f, "sum", "Float64", func(i int) float64 { return rows[i].f.Sum })
	each(f, "expected_sum", "Float64", func(i int) float64 { return rows[i].f.ExpectedSum })
	each(f, "squared_sum", "Float64", func(i int) float64 { return rows[i].f.SquaredSum })
	each(f, "place_sum", "Float64", func(i int) float64 { return rows[i].f.Tests[0].Sum })
	each(f, "spread_sum", "Float64", func(i int) float64 { return rows[i].f.Tests[1].Sum })
	f.words("_topic", func(i int) string { return rows[i].Topic })
	each(f, "_partition", "Int32", func(i int) int32 { return rows[i].Partition })
	each(f, "_offset", "Int64", func(i int) int64 { return rows[i].Offset })
	return f
}

// lists adds a column of lists of numbers, of any length.
func lists[T number](f *frame, name, typ string, at func(row int) []T) {
	arrays(f, name, typ, at, func(x *T) T { return *x })
}

func findingsFrame(rounds []event.Round) *frame {
	type row struct {
		*event.Round
		f *event.Finding
	}
	var all []row
	for k := range rounds {
		for j := range rounds[k].Findings {
			all = append(all, row{&rounds[k], &rounds[k].Findings[j]})
		}
	}
	f := &frame{rows: len(all)}
	number := func(name string, at func(x *event.Finding) float64) {
		each(f, name, "Float64", func(i int) float64 { return at(all[i].f) })
	}
	f.words("pipeline", func(i int) string { return all[i].Pipeline })
	f.words("version", func(i int) string { return all[i].Version })
	f.words("reference", func(i int) string { return all[i].Reference })
	each(f, "round", "Int64", func(i int) int64 { return all[i].Number })
	f.micros("start", func(i int) int64 { return all[i].Start })
	f.micros("end", func(i int) int64 { return all[i].End })
	f.words("feature", func(i int) string { return all[i].f.Feature })
	f.words("role", func(i int) string { return all[i].f.Role })
	f.words("group", func(i int) string { return all[i].f.Group })
	each(f, "windows", "UInt32", func(i int) uint32 { return uint32(all[i].f.Windows) })
	each(f, "assets", "UInt32", func(i int) uint32 { return uint32(all[i].f.Assets) })
	number("effective", func(x *event.Finding) float64 { return x.Effective })
	number("before", func(x *event.Finding) float64 { return x.Before })
	number("now", func(x *event.Finding) float64 { return x.Now })
	number("deviation", func(x *event.Finding) float64 { return x.Deviation })
	number("place", func(x *event.Finding) float64 { return x.Place })
	number("ks", func(x *event.Finding) float64 { return x.KS })
	number("psi", func(x *event.Finding) float64 { return x.PSI })
	number("js", func(x *event.Finding) float64 { return x.JS })
	number("hellinger", func(x *event.Finding) float64 { return x.Hellinger })
	number("missing", func(x *event.Finding) float64 { return x.Missing })
	number("p", func(x *event.Finding) float64 { return x.P })
	number("q", func(x *event.Finding) float64 { return x.Q })
	f.words("measure", func(i int) string { return all[i].f.Measure })
	each(f, "votes", "UInt8", func(i int) uint8 { return uint8(all[i].f.Votes) })
	each(f, "drifted", "Bool", func(i int) byte { return boolean(all[i].f.Drifted) })
	each(f, "streak", "UInt32", func(i int) uint32 { return uint32(all[i].f.Streak) })
	f.wordLists("furthest", func(i int) []string { return all[i].f.Furthest })
	lists(f, "counts", "Array(UInt32)", func(i int) []uint32 { return all[i].f.Counts })
	lists(f, "expected", "Array(Float32)", func(i int) []float32 { return all[i].f.Expected })
	return f
}

func estimatesFrame(rounds []event.Round) *frame {
	type row struct {
		*event.Round
		e *event.Estimate
	}
	var all []row
	for k := range rounds {
		for j := range rounds[k].Estimates {
			all = append(all, row{&rounds[k], &rounds[k].Estimates[j]})
		}
	}
	f := &frame{rows: len(all)}
	f.words("pipeline", func(i int) string { return all[i].Pipeline })
	f.words("version", func(i int) string { return all[i].Version })
	each(f, "round", "Int64", func(i int) int64 { return all[i].Number })
	f.micros("start", func(i int) int64 { return all[i].Start })
	f.micros("end", func(i int) int64 { return all[i].End })
	f.words("metric", func(i int) string { return all[i].e.Metric })
	each(f, "windows", "UInt32", func(i int) uint32 { return uint32(all[i].e.Windows) })
	each(f, "value", "Float64", func(i int) float64 { return all[i].e.Value })
	each(f, "before", "Float64", func(i int) float64 { return all[i].e.Before })
	each(f, "error", "Float64", func(i int) float64 { return all[i].e.Error })
	each(f, "p", "Float64", func(i int) float64 { return all[i].e.P })
	return f
}

// WriteAlarm stores an alarm as it begins, grows or ends. One that is told again is stored once.
func (s *Store) WriteAlarm(ctx context.Context, a *event.Alarm) error {
	token := fmt.Sprintf("alarm %s %d %t", a.ID, a.At, a.Over)
	if _, err := s.insert(ctx, "alarms", 1, s.insertSettings(token), func() *frame { return alarmFrame(a) }); err != nil {
		return fmt.Errorf("insert into alarms: %w", explain(err))
	}
	return nil
}

func alarmFrame(a *event.Alarm) *frame {
	f := &frame{rows: 1}
	f.texts("id", func(int) string { return a.ID })
	f.word("pipeline", a.Pipeline)
	f.word("kind", a.Kind)
	f.word("version", a.Version)
	f.micros("since", func(int) int64 { return a.Since })
	f.micros("at", func(int) int64 { return a.At })
	same(f, "over", "Bool", boolean(a.Over))
	f.word("metric", a.Metric)
	same(f, "loss", "Float64", a.Loss)
	same(f, "before", "Float64", a.Before)
	causes := func(int) []event.Cause { return a.Causes }
	text := func(name string, at func(c *event.Cause) string) {
		f.textLists("causes."+name, func(_ int, put func(string)) {
			for i := range a.Causes {
				put(at(&a.Causes[i]))
			}
		})
	}
	number := func(name string, at func(c *event.Cause) float64) {
		arrays(f, "causes."+name, "Array(Float64)", causes, at)
	}
	text("feature", func(c *event.Cause) string { return c.Feature })
	text("group", func(c *event.Cause) string { return c.Group })
	text("assets", func(c *event.Cause) string { return strings.Join(c.Assets, ",") })
	text("measure", func(c *event.Cause) string { return c.Measure })
	number("size", func(c *event.Cause) float64 { return c.Size })
	number("p", func(c *event.Cause) float64 { return c.P })
	number("before", func(c *event.Cause) float64 { return c.Before })
	number("now", func(c *event.Cause) float64 { return c.Now })
	f.texts("detail", func(int) string { return a.Detail })
	return f
}
