package clickhouse

import (
	"context"
	"fmt"
	"strings"

	"andon/event"
)

// driftTable holds a row for each feature of each sketch.
var driftTable = &table{
	name: "drift",
	rows: func(b *event.Block) (n int) {
		for i := range b.Sketches {
			n += len(b.Sketches[i].Features)
		}
		return n
	},
	offset: func(b *event.Block, i int) int64 {
		s, _ := sketchOf(b, i)
		return s.Offset
	},
	times: func(b *event.Block, i int, f func(ns int64)) {
		s, _ := sketchOf(b, i)
		f(s.Start)
		f(s.End)
	},
	pick: func(b *event.Block, keep func(i int) bool) *event.Block {
		out, i := bare(b), 0
		for _, s := range b.Sketches {
			kept := s
			kept.Features = nil
			for _, f := range s.Features {
				if keep(i) {
					kept.Features = append(kept.Features, f)
				}
				i++
			}
			if len(kept.Features) > 0 {
				out.Sketches = append(out.Sketches, kept)
			}
		}
		return out
	},
	frame: driftFrame,
}

// sketchOf returns the sketch and the feature of a row.
func sketchOf(b *event.Block, i int) (*event.Sketch, *event.SketchFeature) {
	for k := range b.Sketches {
		s := &b.Sketches[k]
		if i < len(s.Features) {
			return s, &s.Features[i]
		}
		i -= len(s.Features)
	}
	panic("there is no such row of a sketch")
}

func driftFrame(b *event.Block) *frame {
	type row struct {
		*event.Sketch
		f *event.SketchFeature
	}
	var rows []row
	for k := range b.Sketches {
		for j := range b.Sketches[k].Features {
			rows = append(rows, row{&b.Sketches[k], &b.Sketches[k].Features[j]})
		}
	}
	f := &frame{rows: len(rows)}
	f.word("pipeline", b.Pipeline)
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
	f.word("_topic", b.Topic)
	same(f, "_partition", "Int32", b.Partition)
	each(f, "_offset", "Int64", func(i int) int64 { return rows[i].Offset })
	return f
}

// lists adds a column of lists of numbers, of any length.
func lists[T number](f *frame, name, typ string, at func(row int) []T) {
	arrays(f, name, typ, at, func(x *T) T { return *x })
}

// WriteRound stores what the panel says of a round. A round that is told again is stored once.
func (s *Store) WriteRound(ctx context.Context, r *event.Round) error {
	token := fmt.Sprintf("round %s %s %s/%d@%d %d", r.Pipeline, r.Version, r.Topic, r.Partition, r.Offset, r.Number)
	if len(r.Findings) > 0 {
		if _, err := s.insert(ctx, "drift_findings", len(r.Findings), s.insertSettings(token), func() *frame { return findingsFrame(r) }); err != nil {
			return fmt.Errorf("insert into drift_findings: %w", explain(err))
		}
	}
	if len(r.Estimates) == 0 {
		return nil
	}
	if _, err := s.insert(ctx, "estimates", len(r.Estimates), s.insertSettings(token), func() *frame { return estimatesFrame(r) }); err != nil {
		return fmt.Errorf("insert into estimates: %w", explain(err))
	}
	return nil
}

func findingsFrame(r *event.Round) *frame {
	all := r.Findings
	f := &frame{rows: len(all)}
	number := func(name string, at func(x *event.Finding) float64) {
		each(f, name, "Float64", func(i int) float64 { return at(&all[i]) })
	}
	f.word("pipeline", r.Pipeline)
	f.word("version", r.Version)
	f.word("reference", r.Reference)
	same(f, "round", "Int64", r.Number)
	f.micros("start", func(int) int64 { return r.Start })
	f.micros("end", func(int) int64 { return r.End })
	f.words("feature", func(i int) string { return all[i].Feature })
	f.words("role", func(i int) string { return all[i].Role })
	f.words("group", func(i int) string { return all[i].Group })
	each(f, "windows", "UInt32", func(i int) uint32 { return uint32(all[i].Windows) })
	each(f, "assets", "UInt32", func(i int) uint32 { return uint32(all[i].Assets) })
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
	f.words("measure", func(i int) string { return all[i].Measure })
	each(f, "votes", "UInt8", func(i int) uint8 { return uint8(all[i].Votes) })
	each(f, "drifted", "Bool", func(i int) byte { return boolean(all[i].Drifted) })
	each(f, "streak", "UInt32", func(i int) uint32 { return uint32(all[i].Streak) })
	f.wordLists("furthest", func(i int) []string { return all[i].Furthest })
	lists(f, "counts", "Array(UInt32)", func(i int) []uint32 { return all[i].Counts })
	lists(f, "expected", "Array(Float32)", func(i int) []float32 { return all[i].Expected })
	return f
}

func estimatesFrame(r *event.Round) *frame {
	all := r.Estimates
	f := &frame{rows: len(all)}
	f.word("pipeline", r.Pipeline)
	f.word("version", r.Version)
	same(f, "round", "Int64", r.Number)
	f.micros("start", func(int) int64 { return r.Start })
	f.micros("end", func(int) int64 { return r.End })
	f.words("metric", func(i int) string { return all[i].Metric })
	each(f, "windows", "UInt32", func(i int) uint32 { return uint32(all[i].Windows) })
	each(f, "value", "Float64", func(i int) float64 { return all[i].Value })
	each(f, "before", "Float64", func(i int) float64 { return all[i].Before })
	each(f, "error", "Float64", func(i int) float64 { return all[i].Error })
	each(f, "p", "Float64", func(i int) float64 { return all[i].P })
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
