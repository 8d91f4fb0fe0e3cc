package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/console"
	"andon/event"
	"andon/ingest/video"
	"andon/model"
	"andon/sinks/clickhouse"
	"andon/sinks/evidence"
	"andon/trainer"
)

// learned opens what a training of a running appliance reads.
func learned(t *testing.T, data string) *lessons {
	t.Helper()
	cfg := defaultConfig()
	cfg.Data = data
	cfg.settle()
	at, err := cfg.beside()
	if err != nil {
		t.Fatal(err)
	}
	store, err := clickhouse.Open(t.Context(), cfg.ClickHouse, at, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return &lessons{Store: store, look: func() (*evidence.Store, error) { return evidence.Look(cfg.evidenceDir()) }}
}

// The queue shows the frames that tell most, with their pictures. A mark on one of them is in the golden and the next training set as soon as it is stored, and takes it out of the queue.
func TestLabelQueueOfFrames(t *testing.T) {
	needLibraries(t)
	data := filepath.Join(t.TempDir(), "data")
	models, err := model.Open(filepath.Join(data, "models"))
	if err != nil {
		t.Fatal(err)
	}
	m := brightness(t, "gate")
	if err := errors.Join(models.Add(m), models.Promote("gate", m.Version, "test", "it is the first")); err != nil {
		t.Fatal(err)
	}
	p := launch(t, data, `
pipelines:
  - name: gate
    partitions: 1
    source: {topic: gate.frames}
    vision:
      max_age: 0s
      newest: false
      keep: {every: 1ms}
      rules: [{name: somebody, labels: [person], cooldown: 0s}]
`, "--kafka-listen", "127.0.0.1:0")
	a, err := readAddresses(data)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(a.Kafka))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now().Add(-time.Hour)
	var captured []time.Time
	for i, level := range []uint8{10, 240, 12, 240, 120, 14, 15, 16, 17} { // the third is dark between two that are bright
		at := began.Add(time.Duration(i) * 500 * time.Millisecond)
		captured = append(captured, at)
		f := video.Frame{Camera: "dock", Captured: at, Sequence: int64(i), JPEG: shade(t, level)}
		r, err := f.Record()
		if err != nil {
			t.Fatal(err)
		}
		out := &kgo.Record{Topic: "gate.frames", Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		if err := client.ProduceSync(ctx, out).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	p.await(t, "all frames", func() bool {
		return p.number(t, "SELECT count() FROM andon.frames WHERE pipeline = 'gate' AND status = 'scored'") == float64(len(captured))
	})
	base := "http://" + a.Console
	ask := func() (out console.Truth) {
		t.Helper()
		if err := call(t.Context(), "GET", base+"/api/v1/truth?pipeline=gate&days=3", nil, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	why := func(of console.Truth, i int) string {
		name := fmt.Sprint(captured[i].UnixNano())
		if at := slices.IndexFunc(of.Queue, func(u console.Unlabelled) bool { return u.Captured == name }); at >= 0 {
			return of.Queue[at].Why
		}
		return "none"
	}
	was := ask()
	if len(was.Queue) < 4 || was.Queue[0].Why != "missed" || why(was, 2) != "missed" || why(was, 4) != "uncertain" || why(was, 1) != "fired" || why(was, 7) != "uncertain" ||
		was.Queue[0].Class != "clear" || was.Queue[0].Asset != "dock" || !slices.Equal(was.Labels, []string{"clear", "person"}) {
		t.Fatalf("the queue is %+v, of %v", was.Queue, was.Labels)
	}
	least := slices.IndexFunc(was.Queue, func(u console.Unlabelled) bool { return u.Why == "uncertain" })
	if was.Queue[least].Captured != fmt.Sprint(captured[4].UnixNano()) {
		t.Errorf("the least sure one is %+v", was.Queue[least])
	}
	res, err := http.Get(base + "/api/v1/evidence/" + was.Queue[0].Evidence)
	if err != nil {
		t.Fatal(err)
	}
	picture, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != http.StatusOK || !bytes.Equal(picture, shade(t, 12)) {
		t.Errorf("the picture of the first: %s, %d bytes", res.Status, len(picture))
	}
	// Marked as the page does.
	school := learned(t, data)
	begin := time.Now()
	at := was.Queue[0].Start.Format(time.RFC3339Nano)
	label := console.Label{Pipeline: "gate", Asset: "dock", Time: at, Label: "person", Golden: true, Weight: 5, Who: "mia"}
	missed := label
	missed.Label = event.KindMissed
	if err := call(t.Context(), "POST", base+"/api/v1/labels", &console.LabelsAsk{Labels: []console.Label{label, missed}}, nil); err != nil {
		t.Fatal(err)
	}
	p.await(t, "the mark", func() bool {
		return p.number(t, "SELECT count() FROM andon.golden WHERE pipeline = 'gate' AND weight = 5") == 2
	})
	stored := time.Since(begin)
	var frames []trainer.Frame
	if _, err := school.LabelledFrames(t.Context(), "gate", func(f trainer.Frame) error { frames = append(frames, f); return nil }); err != nil {
		t.Fatal(err)
	}
	t.Logf("golden after %v, in the training set after %v", stored.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
	if len(frames) != 1 || frames[0].Captured != captured[2].UnixNano() || len(frames[0].Labels) != 2 || !frames[0].Labels[0].Golden || frames[0].Labels[0].Weight != 5 || !bytes.Equal(frames[0].JPEG, picture) {
		t.Errorf("the training set is %+v", frames)
	}
	if n, err := school.CountLabelledFrames(t.Context(), "gate"); err != nil || n != 1 {
		t.Errorf("%d frames count, %v", n, err)
	}
	p.await(t, "the queue goes on", func() bool { return why(ask(), 2) == "none" })
	p.await(t, "what came true", func() bool {
		return p.number(t, "SELECT count() FROM andon.outcomes FINAL WHERE pipeline = 'gate' AND label = 'person' AND loss = 1") == 1
	})
	if err := call(t.Context(), "GET", base+"/api/v1/truth?pipeline=gate&days=0", nil, nil); err == nil {
		t.Error("no days are taken")
	}
}
