package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"andon/ingest/video"
	"andon/trainer/evaluate"
)

const trainingConfig = `
evidence: {max_bytes: 64MiB}
pipelines:
  - name: gate
    partitions: 1
    source: {topic: gate.frames}
    vision: {max_age: 0s, newest: false, keep: {every: 1ms}}
    drift: {every: 0s, windows: 50}
    model:
      task: classification
      settle: 2s
      epochs: 5
      picture: {width: 32, height: 18, labels: [clear, person], normal: clear, stages: [8, 8], min_frames: 160, block: 200ms, augment: {brightness: 0, contrast: 0}}
`

// Frames that people labelled become a model that scores the next ones.
func TestFramesTrainAModel(t *testing.T) {
	needLibraries(t)
	data := filepath.Join(t.TempDir(), "data")
	p := launch(t, data, trainingConfig, "--kafka-listen", "127.0.0.1:0")
	a, err := readAddresses(data)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(a.Kafka))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	began := time.Now().Add(-time.Hour)
	bright, dark := shade(t, 220), shade(t, 40)
	sequence := 0
	frame := func() (r *kgo.Record, captured time.Time, person bool) {
		t.Helper()
		picture := dark
		if person = sequence/7%2 == 1; person {
			picture = bright
		}
		f := video.Frame{Camera: "dock", Captured: began.Add(time.Duration(sequence) * 66666666), Sequence: int64(sequence), JPEG: picture}
		sequence++
		out, err := f.Record()
		if err != nil {
			t.Fatal(err)
		}
		r = &kgo.Record{Topic: "gate.frames", Key: out.Key, Value: out.Value}
		for _, h := range out.Headers {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		return r, f.Captured, person
	}
	var frames, labels []*kgo.Record
	for range 200 {
		r, captured, person := frame()
		frames = append(frames, r)
		kind := "clear"
		if person {
			kind = "person"
		}
		js, err := json.Marshal(map[string]any{"pipeline": "gate", "asset": "dock", "time": captured.UTC().Format(time.RFC3339Nano), "label": kind})
		if err != nil {
			t.Fatal(err)
		}
		labels = append(labels, &kgo.Record{Topic: "andon.labels", Key: []byte("dock"), Value: js})
	}
	if err := client.ProduceSync(ctx, append(frames, labels...)...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	p.await(t, "a training", func() bool {
		return p.number(t, "SELECT count() FROM andon.trainings WHERE state IN ('finished', 'failed')") > 0
	})
	if got := fmt.Sprint(p.sql(t, "SELECT state, detail FROM andon.trainings WHERE state IN ('finished', 'failed')")); p.number(t, "SELECT count() FROM andon.trainings WHERE state = 'finished'") != 1 {
		t.Fatalf("the training ended with %s", got)
	}
	var next []*kgo.Record
	for range 58 {
		r, _, _ := frame()
		next = append(next, r)
	}
	if err := client.ProduceSync(ctx, next...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	p.await(t, "scored frames", func() bool {
		return p.number(t, "SELECT count() FROM andon.frames WHERE status = 'scored' AND sequence >= 200") == 58
	})
	if n := p.number(t, "SELECT count() FROM andon.frames WHERE status = 'scored' AND sequence >= 200 AND (label = 'person') = (intDiv(sequence, 7) % 2 = 1) AND (risk > 0.5) = (label = 'person')"); n < 56 {
		t.Errorf("%v of 58 frames are right: %v", n, p.sql(t, "SELECT sequence, label, risk FROM andon.frames WHERE sequence >= 200 ORDER BY sequence"))
	}
	code, out, talk := ask(t, "model", "list", "--data", data, "--json")
	var list []shownModel
	if err := json.Unmarshal([]byte(out), &list); code != exitOK || err != nil || len(list) != 1 {
		t.Fatalf("%d %s %s %v", code, out, talk, err)
	}
	m := list[0]
	l := m.Lineage
	if m.Picture == nil || m.Picture.Normal != "clear" || m.Metrics["validation_accuracy"] < 0.9 || len(l.Digest) != 64 || l.Query == "" || len(l.Offsets) != 1 || l.Offsets[0].Topic != "gate.frames" || l.Offsets[0].Next < 160 || l.Offsets[0].Next > 200 {
		t.Errorf("%+v", m.Meta)
	}
	// The model carries what its frames were like, what it is expected to lose, and what its embeddings were, and the line holds the next frames against that at once.
	p.await(t, "a piece held against the model's reference", func() bool {
		return p.number(t, "SELECT count() FROM andon.drift WHERE pipeline = 'gate' AND reference = 'model' AND group = 'dock'") > 0
	})
	if got := fmt.Sprint(p.sql(t, "SELECT groupArray(feature) FROM (SELECT DISTINCT feature FROM andon.drift ORDER BY feature)")); got != "[[[P(clear) P(person) blue brightness contrast embedding loss red risk saturation sharpness together]]]" {
		t.Errorf("watched: %s", got)
	}
	// What it did not learn from judges it in every scenario, on the page and on the command line.
	var table evaluate.Table
	if err := call(ctx, "POST", "http://"+a.Console+"/api/v1/evaluations", map[string]any{"pipeline": "gate", "versions": []string{"champion"}, "who": "tester"}, &table); err != nil {
		t.Fatal(err)
	}
	names := map[string]int{}
	for _, s := range table.Scenarios {
		names[s.Name] = s.Windows
	}
	if all := table.Cell(evaluate.All, m.Version); table.Metric != "error" || all == nil || all.Value > 0.1 || names[evaluate.All] < 5 || names["class clear"]+names["class person"] != names[evaluate.All] || names["dark"] != names[evaluate.All] {
		t.Errorf("%+v", table)
	}
	if n := p.number(t, "SELECT uniqExact(scenario) FROM andon.evaluations WHERE pipeline = 'gate'"); int(n) != len(table.Scenarios) {
		t.Errorf("%v of %d scenarios are kept", n, len(table.Scenarios))
	}
	code, out, talk = ask(t, "model", "compare", "--data", data, "--pipeline", "gate", "champion", m.Version)
	if code == exitOK || !strings.Contains(talk, "is named twice") {
		t.Errorf("the champion beside itself: exit code %d: %s %s", code, out, talk)
	}
	// Made again although frames came, and one of those that it learned from is told to be something else.
	labels[3].Value = []byte(strings.Replace(string(labels[3].Value), "clear", "person", 1))
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: "andon.labels", Key: []byte("dock"), Value: labels[3].Value}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	p.await(t, "the label", func() bool { return p.number(t, "SELECT count() FROM andon.labels") > 200 })
	p.rebuilds(t, "gate")
}
