package clickhouse

import (
	"math"
	"testing"
	"time"

	"andon/event"
)

func TestDecisions(t *testing.T) {
	s, _ := openStore(t, ownEngine(t))
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	put := func(pipeline, campaign, stage, verdict, reason string, after time.Duration) event.Decision {
		t.Helper()
		d := event.Decision{Campaign: campaign, Pipeline: pipeline, Stage: stage, Verdict: verdict, Reason: reason, Champion: "a", Challenger: "b", Facts: `{"id":"` + campaign + `"}`,
			Who: "loop", Time: at.Add(after).UnixNano()}
		for range 2 { // the second is dropped
			if err := s.WriteDecision(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		return d
	}
	put("pumps", "", event.StageTrigger, event.DecidedNo, "the cooldown", 0)
	put("pumps", "c1", event.StageTrigger, event.DecidedGo, "drift of 'flow'", time.Second)
	last := put("pumps", "c1", event.StageGate, event.DecidedNo, "worse", 2*time.Second)
	put("fans", "c2", event.StageWatch, event.DecidedWait, "", 3*time.Second)
	got, err := s.Decisions(t.Context(), "pumps", 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Reason != "drift of 'flow'" || got[1] != last {
		t.Errorf("%+v", got)
	}
	if all, err := s.Decisions(t.Context(), "", 10); err != nil || len(all) != 4 || all[3].Pipeline != "fans" {
		t.Errorf("%+v, %v", all, err)
	}
	equal(t, "campaigns", ask(t, s, "SELECT campaign, stage, verdict, why, over FROM campaigns ORDER BY campaign"), "c1 gate no drift of 'flow' 1\nc2 watch wait  0")
}

func TestService(t *testing.T) {
	s, _ := openStore(t, ownEngine(t))
	since := time.Now().Add(-time.Minute)
	if v, err := s.Service(t.Context(), "p", "old", since); err != nil || v.Windows != 0 || !math.IsNaN(v.Compute) || !math.IsNaN(v.Distance) {
		t.Fatalf("%+v, %v", v, err)
	}
	b := &event.Block{Pipeline: "p", Topic: "t", First: 0, Next: 10}
	for i := range int64(10) {
		score := event.Score{Pipeline: "p", Asset: string(rune('a' + i%2)), Start: i, End: i + 1, Version: "old", Verdict: event.Verdict{Risk: .5, Run: event.Run{Batch: 4, Compute: 4000}},
			Position: event.Position{Topic: "t", Offset: i}, Latency: 1e6, ScoredAt: time.Now().UnixNano()}
		if i == 0 {
			score.ScoredAt = since.Add(-time.Hour).UnixNano()
		}
		b.Scores = append(b.Scores, score)
		score.Version, score.Risk, score.Compute = "new", .75, 8000
		b.Shadows = append(b.Shadows, score)
	}
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Service(t.Context(), "p", "old", since); err != nil || v.Windows != 9 || v.Assets != 2 || v.Compute != 1000 || v.Latency != 1e6 || !math.IsNaN(v.Distance) {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := s.Service(t.Context(), "p", "new", since); err != nil || v.Windows != 9 || v.Compute != 2000 || math.Abs(v.Distance-.25) > 1e-6 {
		t.Errorf("%+v, %v", v, err)
	}

	b = &event.Block{Pipeline: "gate", Topic: "f", First: 0, Next: 6}
	for i := range int64(6) {
		sight := event.Sight{Pipeline: "gate", Camera: string(rune('a' + i%3)), Captured: i * 1e9, Status: event.SightScored, Version: "old", Risk: .5, Run: event.Run{Batch: 2, Compute: 2000},
			Position: event.Position{Topic: "f", Offset: i}, Latency: 1e6, ScoredAt: time.Now().UnixNano()}
		if i == 5 {
			sight.Status, sight.Version = event.SightBusy, ""
		}
		b.Sights = append(b.Sights, sight)
		if i < 4 {
			sight.Version, sight.Risk, sight.Compute = "new", .25, 4000
			b.ShadowSights = append(b.ShadowSights, sight)
		}
	}
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Service(t.Context(), "gate", "old", since); err != nil || v.Windows != 5 || v.Assets != 3 || v.Compute != 1000 || v.Latency != 1e6 || !math.IsNaN(v.Distance) {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := s.Service(t.Context(), "gate", "new", since); err != nil || v.Windows != 4 || v.Assets != 3 || v.Compute != 2000 || math.Abs(v.Distance-.25) > 1e-6 {
		t.Errorf("%+v, %v", v, err)
	}

	b = &event.Block{Pipeline: "labels", Topic: "l", First: 0, Next: 3}
	for i, kind := range []string{event.KindFailure, event.KindFailure, event.KindMissed} {
		b.Labels = append(b.Labels, event.Label{Position: event.Position{Topic: "l", Offset: int64(i)}, Pipeline: "p", Asset: "a", Time: int64(i+1) * 1e6, Kind: kind, Value: math.NaN()})
	}
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string]uint64{"": 3, event.KindFailure: 1} {
		if n, err := s.Fresh(t.Context(), "p", kind, since, 0, 0); err != nil || n != want {
			t.Errorf("%q: %d, %v; want %d", kind, n, err, want)
		}
	}
	if n, err := s.Fresh(t.Context(), "p", "", time.Now().Add(time.Minute), 0, 0); err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
}

// What failed after a life that was the old one mostly is not fresh for a change that began later; what lived on for long after it is.
func TestFreshSince(t *testing.T) {
	s, _ := openStore(t, ownEngine(t))
	from := time.Now().Add(-time.Minute)
	hour := int64(time.Hour)
	b := &event.Block{Pipeline: "lives", Topic: "r", First: 0, Next: 8}
	b.Readings.Signals = []string{"x"}
	for i, r := range []struct {
		asset string
		at    int64
	}{{"long", 0}, {"long", 119}, {"old", 50}, {"old", 109}, {"young", 80}, {"young", 119}, {"again", 0}, {"again", 119}} {
		b.Readings.Append(&event.Row{Offset: int64(i), Asset: r.asset, Time: r.at * hour, Values: []float64{1}}, event.StatusOK)
	}
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	b = &event.Block{Pipeline: "labels", Topic: "l", First: 0, Next: 6}
	for i, l := range []struct {
		asset string
		at    int64
	}{{"long", 120}, {"old", 110}, {"young", 120}, {"again", 90}, {"again", 120}, {"early", 60}} {
		b.Labels = append(b.Labels, event.Label{Position: event.Position{Topic: "l", Offset: int64(i)}, Pipeline: "lives", Asset: l.asset, Time: l.at * hour, Kind: event.KindFailure, Value: math.NaN()})
	}
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kind          string
		since, enough int64
		want          uint64
	}{
		{event.KindFailure, 0, 0, 5}, {event.KindFailure, 100, 1000, 2}, // young lived 20 of 40 since, again 20 of 30 since its first failure
		{event.KindFailure, 100, 20, 3}, // long lived on for 20
		{event.KindFailure, 100, 10, 4}, {event.KindFailure, 115, 1000, 0}, {"", 100, 0, 4},
	} {
		if n, err := s.Fresh(t.Context(), "lives", c.kind, from, c.since*hour, time.Duration(c.enough*hour)); err != nil || n != c.want {
			t.Errorf("%q since %d, enough %d: %d, %v; want %d", c.kind, c.since, c.enough, n, err, c.want)
		}
	}
}
