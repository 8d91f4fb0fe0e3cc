package clickhouse

import (
	"math"
	"testing"

	"andon/event"
)

// What lines count, and what the panel says of it, is stored once a range, alarms once each, however often they are told.
func TestDrift(t *testing.T) {
	s := sharedStore(t)
	pipeline := "drift-" + t.Name()
	hour := int64(3600e9)
	b := &event.Judged{Topic: "andon.drift", First: 10, Next: 30}
	feature := func(name string, counts ...uint32) event.SketchFeature {
		f := event.SketchFeature{Name: name, Role: event.RoleInput, Counts: counts, Sum: 7, ExpectedSum: 5, SquaredSum: 9}
		for range counts {
			f.Expected = append(f.Expected, 1.5)
		}
		f.Tests[0].Sum, f.Tests[1].Sum = .25, -.5
		return f
	}
	for i, group := range []string{"north", "fleet"} {
		b.Sketches = append(b.Sketches, event.Sketch{Position: event.Position{Topic: "t", Partition: 2, Offset: 20 + int64(i)}, Pipeline: pipeline, Version: "v1", Group: group, Piece: 3,
			Reference: event.ReferenceModel, Start: hour, End: 2 * hour, Windows: 6, Clusters: 2, Features: []event.SketchFeature{feature("s_2", 1, 2, 3), feature("s_3", 6, 0)}})
	}
	other := event.Sketch{Position: event.Position{Topic: "u", Offset: 7}, Pipeline: pipeline + "-2", Version: "v2", Group: "fleet", Start: hour, End: 2 * hour, Windows: 1, Clusters: 1, Features: []event.SketchFeature{feature("s_9", 1)}}
	b.Sketches = append(b.Sketches, other, event.Sketch{Pipeline: pipeline, Start: math.MinInt64, Features: []event.SketchFeature{feature("ancient", 1)}})
	for range 2 {
		if err := s.WriteJudged(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "another pipeline", ask(t, s, `SELECT feature, _topic, _partition, _offset FROM drift WHERE pipeline = '`+pipeline+`-2'`), "s_9 u 0 7")
	equal(t, "drift", ask(t, s, `SELECT group, feature, piece, windows, assets, counts, expected, sum, place_sum, spread_sum, _offset, toUnixTimestamp(end) FROM drift WHERE pipeline = '`+pipeline+`' ORDER BY group, feature`),
		"fleet s_2 3 6 2 [1 2 3] [1.5 1.5 1.5] 7 0.25 -0.5 21 7200\nfleet s_3 3 6 2 [6 0] [1.5 1.5] 7 0.25 -0.5 21 7200\n"+
			"north s_2 3 6 2 [1 2 3] [1.5 1.5 1.5] 7 0.25 -0.5 20 7200\nnorth s_3 3 6 2 [6 0] [1.5 1.5] 7 0.25 -0.5 20 7200")
	equal(t, "merged", ask(t, s, `SELECT feature, sumForEach(counts), sum(windows) FROM drift WHERE pipeline = '`+pipeline+`' GROUP BY feature ORDER BY feature`), "s_2 [2 4 6] 12\ns_3 [12 0] 12")
	r := event.Round{Position: b.Sketches[1].Position, Pipeline: pipeline, Version: "v1", Reference: event.ReferenceModel, Number: 4, Start: hour, End: 2 * hour, Windows: 12,
		Findings: []event.Finding{{Feature: "s_2", Role: event.RoleInput, Group: "fleet", Windows: 12, Assets: 4, Effective: 8, Before: 1, Now: 2, KS: .5, P: .001, Q: .01, Measure: "ks", Votes: 3,
			Drifted: true, Streak: 2, Furthest: []string{"a", "b"}, Counts: []uint32{2, 4, 6}, Expected: []float32{3, 3, 6}}},
		Estimates: []event.Estimate{{Metric: "accuracy", Windows: 12, Value: .9, Before: math.NaN(), Error: math.NaN(), P: math.NaN()}}}
	a := &event.Alarm{ID: pipeline + "/input-drift/v1/3600", Pipeline: pipeline, Kind: event.AlarmInput, Version: "v1", Since: hour, At: 2 * hour, Loss: math.NaN(), Before: math.NaN(), Detail: "s_2 went up",
		Causes: []event.Cause{{Feature: "s_2", Group: "fleet", Assets: []string{"a", "b"}, Measure: "ks", Size: .5, P: .01, Before: 1, Now: 2}}}
	over := *a
	over.Over, over.At, over.Detail, over.Causes = true, 3*hour, "it is as it used to be", nil
	next := r
	next.Number, next.Findings, next.Estimates = 5, nil, []event.Estimate{{Metric: "accuracy", Windows: 10, Value: .8}}
	for range 2 {
		if err := s.WriteJudged(t.Context(), &event.Judged{Topic: "andon.drift", First: 30, Next: 31, Rounds: []event.Round{r, next}}); err != nil {
			t.Fatal(err)
		}
		for _, a := range []*event.Alarm{a, &over} {
			if err := s.WriteAlarm(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
	}
	equal(t, "findings", ask(t, s, `SELECT round, feature, group, windows, effective, before, now, ks, q, measure, votes, drifted, streak, furthest, counts, expected FROM drift_findings WHERE pipeline = '`+pipeline+`'`),
		"4 s_2 fleet 12 8 1 2 0.5 0.01 ks 3 true 2 [a b] [2 4 6] [3 3 6]")
	equal(t, "estimates", ask(t, s, `SELECT round, metric, windows, value, isNaN(before) FROM estimates WHERE pipeline = '`+pipeline+`' ORDER BY round`), "4 accuracy 12 0.9 1\n5 accuracy 10 0.8 0")
	equal(t, "alarms", ask(t, s, `SELECT kind, over, causes.feature, causes.assets, causes.size, detail FROM alarms WHERE pipeline = '`+pipeline+`' ORDER BY at`),
		"input-drift false [s_2] [a,b] [0.5] s_2 went up\ninput-drift true [] [] [] it is as it used to be")
	equal(t, "alarms now", ask(t, s, `SELECT ended, last_detail FROM alarms_now WHERE pipeline = '`+pipeline+`'`), "true it is as it used to be")
}
