package clickhouse

import (
	"errors"
	"testing"
	"time"

	"andon/event"
)

// Every frame has a row, with its boxes; a block that is written again, formed in another way, doubles none.
func TestFrames(t *testing.T) {
	s := sharedStore(t)
	const pipeline = "watched"
	sight := func(offset int64, camera, status string) event.Sight {
		return event.Sight{Pipeline: pipeline, Camera: camera, Captured: origin + offset*1e9, Sequence: offset, Width: 640, Height: 360, Bytes: 30_000, Status: status,
			Position: event.Position{Topic: "t", Partition: 2, Offset: offset}, Age: 40e6, Latency: 10e6, ScoredAt: time.Now().UnixNano()}
	}
	block := func() *event.Block {
		b := &event.Block{Pipeline: pipeline, Topic: "t", Partition: 2, Next: 6}
		for o, status := range []string{event.SightScored, event.SightBusy, event.SightScored, event.SightLate, event.SightBroken} {
			b.Sights = append(b.Sights, sight(int64(o), []string{"dock", "desk"}[o%2], status))
		}
		v := &b.Sights[0]
		v.Version, v.Label, v.Risk, v.Run = "one", "person", 0.75, event.Run{Batch: 3, Queue: 4, Compute: 5}
		v.Boxes = []event.Box{{Label: "helmet", Score: 0.5, X0: 0.25, Y0: 0.125, X1: 0.5, Y1: 0.75, Track: 7}, {Label: "vest", Score: 0.25, X1: 1, Y1: 1}}
		v.Zones, v.Fired, v.Evidence = []string{"gate", "stripe"}, []string{"nobody"}, "watched/dock/1.jpg"
		b.ShadowSights = append(b.ShadowSights, *v)
		b.ShadowSights[0].Version = "two"
		b.DeadLetters = append(b.DeadLetters, event.DeadLetter{Record: event.Record{Position: event.Position{Topic: "t", Partition: 2, Offset: 4}}, Pipeline: pipeline, Reason: event.ReasonBroken},
			event.DeadLetter{Record: event.Record{Position: event.Position{Topic: "t", Partition: 2, Offset: 5}}, Pipeline: pipeline, Reason: event.ReasonMalformed})
		return b
	}
	again := block() // formed again: other frames were late, the same offsets
	again.Sights[0], again.ShadowSights = sight(0, "dock", event.SightLate), nil
	for _, b := range []*event.Block{block(), block(), again} {
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "frames", ask(t, s, "SELECT _offset, camera, status, sequence, width, height, bytes, age_ns, latency_ns FROM frames WHERE pipeline = 'watched' ORDER BY _offset"),
		"0 dock scored 0 640 360 30000 40000000 10000000\n1 desk busy 1 640 360 30000 40000000 10000000\n2 dock scored 2 640 360 30000 40000000 10000000\n"+
			"3 desk late 3 640 360 30000 40000000 10000000\n4 dock broken 4 640 360 30000 40000000 10000000")
	equal(t, "what was seen", ask(t, s, `SELECT version, label, risk, boxes.label, boxes.score, boxes.x0, boxes.y1, boxes.track, zones, fired, evidence, batch, queue_ns, compute_ns, captured
		FROM frames WHERE pipeline = 'watched' AND _offset = 0`), "one person 0.75 [helmet vest] [0.5 0.25] [0.25 0] [0.75 1] [7 0] [gate stripe] [nobody] watched/dock/1.jpg 3 4 5 2020-01-01T00:00:00Z")
	equal(t, "shadow", ask(t, s, "SELECT _offset, camera, version, label, boxes.label, batch FROM shadow_frames WHERE pipeline = 'watched'"), "0 dock two person [helmet vest] 3")
	equal(t, "boxes", ask(t, s, "SELECT camera, label, score, x1, track FROM frame_boxes WHERE pipeline = 'watched' ORDER BY label"), "dock helmet 0.5 0.5 7\ndock vest 0.25 1 0")
	equal(t, "fired", ask(t, s, "SELECT camera, rule, evidence, age_ms FROM frames_fired WHERE pipeline = 'watched'"), "dock nobody watched/dock/1.jpg 40")
	equal(t, "per minute", ask(t, s, `SELECT camera, sum(frames), sum(scored), sum(dropped), sum(busy), sum(late), sum(broken), max(age_p99_ms) FROM frames_per_minute WHERE pipeline = 'watched'
		GROUP BY camera ORDER BY camera`), "desk 2 0 2 1 1 0 <nil>\ndock 3 2 1 0 0 1 40")
	held, err := s.HeldOffsets(t.Context(), "frames", pipeline, "t", 2, 1, 4)
	if err != nil || len(held) != 3 {
		t.Errorf("held %v, %v", held, err)
	}

	old := &event.Block{Pipeline: pipeline, Topic: "t", Partition: 2, First: 10, Next: 12, Sights: []event.Sight{sight(10, "dock", event.SightBusy), sight(11, "dock", event.SightBusy)}}
	old.Sights[0].Captured = -1 << 62 // no year that ClickHouse knows
	var refused *Refused
	if err := s.Write(t.Context(), old); !errors.As(err, &refused) || len(refused.Rows) != 1 || refused.Rows[0].Offset != 10 {
		t.Fatalf("refused %v, %v", refused, err)
	}
	refused.Remove(old)
	if len(old.Sights) != 1 || old.Sights[0].Offset != 11 {
		t.Errorf("the rest is %+v", old.Sights)
	}
}
