package clickhouse

import (
	"testing"
	"time"

	"andon/event"
)

// What shadows say is kept apart from the scores. A block that is formed again with other windows shed adds what the first lacks and doubles nothing.
func TestShadowScores(t *testing.T) {
	s := sharedStore(t)
	const pipeline = "shadowed"
	score := func(offset int64, version string, risk float32) event.Score {
		return event.Score{Verdict: event.Verdict{Value: 10 * risk, Risk: risk, Run: event.Run{Batch: 4, Queue: 5, Compute: 6}}, Pipeline: pipeline, Asset: "x",
			Start: origin + offset*hour, End: origin + (offset+1)*hour, Version: version, ScoredAt: time.Now().UnixNano(), Latency: 7,
			Position: event.Position{Topic: "t", Partition: 3, Offset: offset}}
	}
	block := func(shadows ...event.Score) *event.Block {
		b := &event.Block{Pipeline: pipeline, Topic: "t", Partition: 3, Next: 10, Shadows: shadows}
		for o := range int64(5) {
			b.Scores = append(b.Scores, score(o, "one", 0.5))
		}
		return b
	}
	first := block(score(0, "two", 0.75), score(1, "two", 0.25))
	for _, b := range []*event.Block{first, first, block(score(1, "two", 0.25), score(3, "two", 0.5)), block(), block(score(3, "two", 0.5))} {
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "shadows", ask(t, s, "SELECT _offset, version, value, risk, batch, queue_ns, compute_ns, latency_ns, end - start FROM shadow_scores WHERE pipeline = 'shadowed' ORDER BY _offset"),
		"0 two 7.5 0.75 4 5 6 7 3600\n1 two 2.5 0.25 4 5 6 7 3600\n3 two 5 0.5 4 5 6 7 3600")
	equal(t, "scores", ask(t, s, "SELECT count(), uniqExact(_offset), any(version) FROM scores WHERE pipeline = 'shadowed'"), "5 5 one")
	equal(t, "beside", ask(t, s, "SELECT version, shadow, windows, risk_difference, round(risk_distance, 4), round(value_distance, 4) FROM shadows_beside WHERE pipeline = 'shadowed'"),
		"one two 3 0 0.1667 1.6667")
	if err := s.Write(t.Context(), &event.Block{Pipeline: pipeline, Topic: "t", Partition: 3, First: 10, Next: 20, Scores: []event.Score{score(12, "one", 1)}, Shadows: []event.Score{score(25, "two", 1)}}); err == nil {
		t.Error("a shadow outside of its block was taken")
	}
}
