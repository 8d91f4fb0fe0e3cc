package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"andon/ingest/video"
	"andon/model"
	"andon/model/onnx"
)

// brightness is a classifier whose verdict a test can see: a bright picture has a person in it.
func brightness(t *testing.T, pipeline string) *model.Model {
	t.Helper()
	g := onnx.NewGraph("brightness")
	n := onnx.Dim{Name: "n"}
	g.Input(model.Frame, onnx.Float, append([]onnx.Dim{n}, onnx.Fixed(3, 4, 4)...)...)
	mean := g.Op("ReduceMean", []string{model.Frame}, onnx.Ints("axes", 1, 2, 3), onnx.Int("keepdims", 0))
	over := g.Op("Mul", []string{g.Op("Sub", []string{mean, g.Floats("half", nil, []float32{0.5})}), g.Floats("ten", nil, []float32{10})})
	person := g.Op("Unsqueeze", []string{g.Op("Sigmoid", []string{over}), g.Ints("one", 1)})
	clear := g.Op("Sub", []string{g.Floats("unit", nil, []float32{1}), person})
	g.Node("Concat", []string{clear, person}, []string{"probabilities"}, onnx.Int("axis", 1))
	g.Output("probabilities", onnx.Float, n, onnx.Dim{Size: 2})
	m, err := model.Seal(g.Model(), model.Meta{Pipeline: pipeline, Task: model.Classification,
		Picture: &model.Picture{Width: 4, Height: 4, Labels: []string{"clear", "person"}, Form: model.FormProbabilities, Threshold: 0.5, Normal: "clear"}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// shade is a picture of one grey.
func shade(t *testing.T, level uint8) []byte {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, 64, 36))
	for i := range m.Pix {
		m.Pix[i] = color.Gray{Y: level}.Y
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const visionConfig = `
pipelines:
  - name: gate
    partitions: 2
    source: {topic: gate.frames}
    vision:
      max_age: 10s
      rules:
        - {name: somebody, labels: [person], inertia: 2, cooldown: 0s, severity: critical}
        - {name: press-runs, labels: [person], inertia: 2, cooldown: 0s, while: {pipeline: press, asset: press-1, signal: running, above: 0.5, max_age: 1h}}
  - name: press
    partitions: 1
    source: {topic: press, signals: [running]}
`

// Cameras on the whole line: each frame is scored or says why not, what fires is there, and the audit finds all of them.
func TestVision(t *testing.T) {
	needLibraries(t)
	data := filepath.Join(t.TempDir(), "data")
	models, err := model.Open(filepath.Join(data, "models"))
	if err != nil {
		t.Fatal(err)
	}
	m := brightness(t, "gate")
	if err := models.Add(m); err != nil {
		t.Fatal(err)
	}
	if err := models.Promote("gate", m.Version, "test", "it is the first"); err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- string(body)
	}))
	t.Cleanup(hook.Close)
	config := visionConfig + "alerts: {group_wait: 0s, receivers: [{name: hook, webhook: {url: " + hook.URL + "}}]}\n"
	p := launch(t, data, config, "--kafka-listen", "127.0.0.1:0")
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
	send := func(records ...*kgo.Record) {
		t.Helper()
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	sequence := int64(0)
	frame := func(camera string, picture []byte) *kgo.Record {
		t.Helper()
		f := video.Frame{Camera: camera, Captured: time.Now(), Sequence: sequence, JPEG: picture}
		sequence++
		r, err := f.Record()
		if err != nil {
			t.Fatal(err)
		}
		out := &kgo.Record{Topic: "gate.frames", Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		return out
	}
	send(&kgo.Record{Topic: "press", Value: fmt.Appendf(nil, `{"asset":"press-1","time":%q,"running":1}`, time.Now().UTC().Format(time.RFC3339Nano))})
	p.await(t, "the press", func() bool { return p.number(t, "SELECT count() FROM andon.readings WHERE pipeline = 'press'") == 1 })
	bright, dark := shade(t, 240), shade(t, 10)
	for range 3 { // one after the other, so that each is the newest
		send(frame("dock", bright), frame("desk", dark))
		time.Sleep(150 * time.Millisecond)
	}
	torn := bright[:len(bright)-len(bright)/3]
	send(frame("dock", bright), frame("dock", torn))
	bad := frame("dock", dark)
	bad.Value = []byte("GIF89a")
	send(bad)
	old := frame("desk", dark)
	old.Headers[1].Value = time.Now().Add(-time.Minute).UTC().AppendFormat(nil, time.RFC3339Nano)
	send(old)

	p.await(t, "all frames", func() bool { return p.number(t, "SELECT count() FROM andon.frames WHERE pipeline = 'gate'") == 9 })
	if n := p.number(t, "SELECT count() FROM andon.frames WHERE status = 'scored' AND version = '"+m.Version+"' AND ((camera = 'dock') = (label = 'person')) AND age_ns BETWEEN 1 AND 10e9"); n < 6 {
		t.Errorf("%v frames are scored well: %v", n, p.sql(t, "SELECT camera, sequence, status, label, risk, age_ns FROM andon.frames"))
	}
	if n := p.number(t, "SELECT count() FROM andon.frames WHERE status = 'late' AND camera = 'desk'"); n != 1 {
		t.Errorf("%v late frames", n)
	}
	for _, rule := range []string{"somebody", "press-runs"} {
		if n := p.number(t, "SELECT count() FROM andon.frames_fired WHERE camera = 'dock' AND rule = '"+rule+"'"); n != 1 {
			t.Errorf("%s fired %v times", rule, n)
		}
	}
	if got := fmt.Sprint(p.sql(t, "SELECT reason, count() FROM andon.deadletters WHERE pipeline = 'gate' GROUP BY reason ORDER BY reason")); !strings.Contains(got, "malformed") {
		t.Errorf("dead letters: %s", got)
	}
	if code, out, talk := ask(t, "verify", "--data", data, "--kafka", "auto"); code != exitOK {
		t.Errorf("verify: %s %s", out, talk)
	}
	// The action reached whoever waits for it, with the frame that caused it.
	var body string
	for deadline := time.After(time.Minute); !strings.Contains(body, "press-runs: person at dock"); {
		select {
		case more := <-told:
			body += more
		case <-deadline:
			t.Fatalf("the webhook was told %s", body)
		}
	}
	evidence := fmt.Sprint(p.sql(t, "SELECT evidence FROM andon.frames_fired WHERE rule = 'press-runs'")[0][0])
	if !strings.Contains(body, "/api/v1/evidence/"+evidence) {
		t.Errorf("the webhook was told nothing of %s: %s", evidence, body)
	}
	res, err := http.Get("http://" + a.Console + "/api/v1/evidence/" + evidence)
	if err != nil {
		t.Fatal(err)
	}
	picture, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != http.StatusOK || !bytes.Equal(picture, bright) {
		t.Errorf("the evidence %s: %s, %d bytes", evidence, res.Status, len(picture))
	}
	// A kill in the middle loses none and doubles none.
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	p = launch(t, data, config, "--kafka-listen", "127.0.0.1:0")
	if a, err = readAddresses(data); err != nil {
		t.Fatal(err)
	}
	again, err := kgo.NewClient(kgo.SeedBrokers(a.Kafka))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := again.ProduceSync(ctx, frame("dock", dark), frame("desk", dark)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	p.await(t, "frames after the kill", func() bool { return p.number(t, "SELECT count() FROM andon.frames WHERE pipeline = 'gate'") == 11 })
	if code, out, talk := ask(t, "verify", "--data", data, "--kafka", "auto"); code != exitOK {
		t.Errorf("verify after a kill: %s %s", out, talk)
	}
}
