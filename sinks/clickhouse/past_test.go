package clickhouse

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"andon/event"
)

// What is read at marks stays the same, whatever rows and labels come later.
func TestPast(t *testing.T) {
	s := sharedStore(t)
	const pipeline = "bygone"
	offset := int64(0)
	tell := func(labels ...event.Label) {
		t.Helper()
		b := &event.Block{Pipeline: "labels", Topic: "bygone.labels", First: offset}
		for _, l := range labels {
			l.Pipeline, l.Position, l.Told, l.Value = pipeline, event.Position{Topic: "bygone.labels", Offset: offset}, origin+offset*hour, math.NaN()
			b.Labels = append(b.Labels, l)
			offset++
		}
		b.Next = offset
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	write := func(partition int32, first int64, n int, signals ...string) {
		t.Helper()
		b := makeBlock(pipeline, partition, first, n, 4, signals...)
		b.Labels = nil
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := s.Marks(t.Context(), pipeline); err != nil || len(m.Rows)+len(m.Frames)+len(m.Labels)+len(m.Scores) != 0 {
		t.Errorf("of nothing: %+v, %v", m, err)
	}
	write(0, 0, 50, "a", "b")
	write(1, 0, 30, "a", "b")
	tell(event.Label{Asset: "asset-000", Time: origin + 5*hour, Kind: event.KindFailure, Who: "mia"}, event.Label{Asset: "asset-001", Time: origin + 6*hour, Kind: event.KindFailure, Who: "mia"},
		event.Label{Of: "fleet/0@8", Kind: event.KindAnomaly, Who: "mia"}, event.Label{Of: "fleet/0@60", Kind: event.KindAnomaly, Who: "mia"})
	marks, err := s.Marks(t.Context(), pipeline)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "marks", fmt.Sprint(marks), "{[{fleet 0 0 50} {fleet 1 0 30}] [] [{bygone.labels 0 0 4}] [{fleet 0 0 50} {fleet 1 0 30}]}")
	past := s.At(marks)
	state := func() string {
		t.Helper()
		var b strings.Builder
		labels, err := past.Labels(t.Context(), pipeline, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range labels {
			fmt.Fprintln(&b, l.Asset, l.Time, l.Kind, l.Who, l.Weight)
		}
		query, err := past.Readings(t.Context(), pipeline, []string{"b"}, nil, 0, 0, func(asset string, rows []event.Row) error {
			for _, r := range rows {
				fmt.Fprintln(&b, asset, r.Time, r.Offset, r.Values)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		spans, err := past.Spans(t.Context(), pipeline, nil, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, query, spans)
		return b.String()
	}
	before := state()
	if n := strings.Count(before, "\n"); n != 3+80+1 {
		t.Errorf("%d lines:\n%s", n, before)
	}
	// More rows, of other columns too and in a new partition, a correction, a contradiction, a withdrawal, and the score that a label spoke of.
	write(0, 50, 40, "b", "c")
	write(1, 30, 10, "a", "b")
	write(2, 0, 10, "a", "b")
	tell(event.Label{Asset: "asset-000", Time: origin + 5*hour, Kind: event.KindFailure, Who: "mia", Weight: 7}, event.Label{Asset: "asset-001", Time: origin + 6*hour, Kind: event.KindNormal, Who: "tom"},
		event.Label{Asset: "asset-002", Time: origin + 6*hour, Kind: event.KindFailure, Who: "tom"}, event.Label{Of: "fleet/0@8", Kind: event.KindAnomaly, Who: "mia", Withdrawn: true})
	equal(t, "what was", state(), before)
	if now, err := s.Labels(t.Context(), pipeline, ""); err != nil || len(now) != 3 {
		t.Errorf("what is: %v, %v", now, err)
	}
}
