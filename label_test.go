package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"andon/console"
	"andon/event"
)

// What is told is checked whole before anything is sent, keyed by asset, and answered with its place.
func TestLabeller(t *testing.T) {
	type sent struct{ key, value string }
	var all []sent
	l := &labeller{topic: "labels", pipelines: []string{"pumps", "gate"}, place: func(_ context.Context, topic string, key, value []byte, _ []event.Header) (event.Position, error) {
		if len(all) == 3 {
			return event.Position{}, errors.New("no broker")
		}
		all = append(all, sent{string(key), string(value)})
		return event.Position{Topic: topic, Partition: 1, Offset: int64(len(all))}, nil
	}}
	good := console.Label{Pipeline: "pumps", Asset: "p1", Time: "2026-01-31T05:00:00Z", Label: "failure"}
	bad := good
	bad.Time = "soon"
	strange := good
	strange.Pipeline = "fans"
	if _, err := l.tell(t.Context(), []console.Label{good, bad, strange}); !errors.Is(err, console.ErrAsk) || !strings.Contains(err.Error(), "label 2: ") || !strings.Contains(err.Error(), `label 3: there is no pipeline "fans"`) ||
		len(all) != 0 {
		t.Errorf("%v, %d sent", err, len(all))
	}
	box := console.Label{Pipeline: "gate", Of: "frames/0@7", Label: "helmet", Weight: 2}
	at, err := l.tell(t.Context(), []console.Label{good, box})
	if err != nil || fmt.Sprint(at) != "[labels/1@1 labels/1@2]" || all[0].key != "p1" || all[1].key != "frames/0@7" ||
		all[0].value != `{"pipeline":"pumps","asset":"p1","time":"2026-01-31T05:00:00Z","label":"failure"}` {
		t.Errorf("%v, %v, %+v", at, err, all)
	}
	if at, err := l.tell(t.Context(), []console.Label{good, good}); err == nil || len(at) != 1 || !strings.Contains(err.Error(), "of which 1 were told") {
		t.Errorf("%v, %v", at, err)
	}
}

// The command tells what its flags say, or what comes on standard input, with the flags for what that leaves out.
func TestLabelCommand(t *testing.T) {
	var asked []console.LabelsAsk
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ask console.LabelsAsk
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
			t.Error(err)
		}
		asked = append(asked, ask)
		_ = json.NewEncoder(w).Encode(console.LabelsAnswer{At: make([]string, len(ask.Labels))})
	}))
	defer server.Close()
	told := func(c labelCommand, in string) (string, error) {
		asked = nil
		c.URL, c.in = server.URL, strings.NewReader(in)
		if c.Who == "" {
			c.Who = "mia"
		}
		var out, said strings.Builder
		err := c.Run(&talk{t.Context(), &out, &said})
		js, _ := json.Marshal(asked)
		return string(js), err
	}
	check := func(what, got string, err error, want string) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s: %v\n got %s\nwant %s", what, err, got, want)
		}
	}
	got, err := told(labelCommand{Pipeline: "pumps", Asset: "p1", Time: "2026-01-31T05:00:00Z", Missed: true, Note: "leak"}, "")
	check("missed", got, err, `[{"pipeline":"","label":"","labels":[{"pipeline":"pumps","asset":"p1","time":"2026-01-31T05:00:00Z","label":"","who":"mia","note":"leak"}],"missed":true}]`)
	got, err = told(labelCommand{Pipeline: "gate", From: "csv"}, "asset,time,label,x0,y0,x1,y1,golden\ncam-1,2026-01-31T05:00:00Z,helmet,0.1,0.2,0.3,0.4,true\ncam-2,2026-01-31T05:00:00Z,clear,,,,,\n")
	check("csv", got, err, `[{"pipeline":"","label":"","labels":[{"pipeline":"gate","asset":"cam-1","time":"2026-01-31T05:00:00Z","label":"helmet","box":[0.1,0.2,0.3,0.4],"golden":true,"who":"mia"},`+
		`{"pipeline":"gate","asset":"cam-2","time":"2026-01-31T05:00:00Z","label":"clear","who":"mia"}]}]`)
	got, err = told(labelCommand{From: "jsonl", Withdraw: true}, `{"pipeline":"pumps","of":"t/0@1","label":"missed","who":"tom"}`+"\n\n")
	check("jsonl", got, err, `[{"pipeline":"","label":"","labels":[{"pipeline":"pumps","label":"missed","of":"t/0@1","withdrawn":true,"who":"tom"}]}]`)
	if _, err := told(labelCommand{From: "csv"}, strings.Repeat("x", 3)); exitCode(err) != exitUsage || !strings.Contains(err.Error(), `names "xxx"`) {
		t.Errorf("a column that is none: %v", err)
	}
	if _, err := told(labelCommand{From: "jsonl"}, `{"asset":"a","kind":"failure"}`); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a field that is none: %v", err)
	}
	if _, err := told(labelCommand{Pipeline: "pumps", Kind: "failure", Asset: "a"}, ""); exitCode(err) != exitUsage {
		t.Errorf("without a time: %v", err)
	}
	rows := "label,pipeline,asset,time\n" + strings.Repeat("failure,pumps,a,2026-01-31T05:00:00Z\n", labelCall+1)
	if _, err := told(labelCommand{From: "csv"}, rows); err != nil || len(asked) != 2 || len(asked[1].Labels) != 1 {
		t.Errorf("%d calls, %v", len(asked), err)
	}
}

// A defect that a person marks is among what the next model learns from and is examined on as soon as it is stored, and a person's asking again changes nothing.
func TestMissedDefect(t *testing.T) {
	needLibraries(t)
	p := launch(t, t.TempDir(), `
pipelines:
  - name: pumps
    source: {topic: plant.pumps, signals: [a]}
    window: {grid: 1m, length: 4}
`, "--kafka-listen", "127.0.0.1:0")
	begin := time.Now()
	for range 2 {
		if code, out, talk := ask(t, "label", "--data", p.data, "--pipeline", "pumps", "--asset", "p1", "--time", "2026-01-31T05:00:00Z", "--missed", "--note", "leak"); code != exitOK || !strings.HasPrefix(out, "andon.labels/0@") {
			t.Fatalf("exit code %d: %s%s", code, out, talk)
		}
	}
	p.await(t, "the label", func() bool { return p.number(t, "SELECT count() FROM andon.labels") == 2 })
	if rows := p.sql(t, "SELECT pipeline, asset, label, weight, note, who != '' FROM andon.golden"); fmt.Sprint(rows) != "[[pumps p1 missed 5 leak 1]]" && fmt.Sprint(rows) != "[[pumps p1 missed 5 leak true]]" {
		t.Errorf("golden: %v", rows)
	}
	t.Logf("golden after %v, with a second mark", time.Since(begin).Round(time.Millisecond))
	// The training set is made of these.
	if labels, err := learned(t, p.data).Labels(t.Context(), "pumps", ""); err != nil || len(labels) != 1 || labels[0].Kind != event.KindMissed || labels[0].Weight != 5 || !labels[0].Golden || labels[0].Asset != "p1" {
		t.Errorf("learned from: %+v, %v", labels, err)
	}
	a, err := readAddresses(p.data)
	if err != nil {
		t.Fatal(err)
	}
	var truth console.Truth
	if err := call(t.Context(), "GET", "http://"+a.Console+"/api/v1/truth?pipeline=pumps", nil, &truth); err != nil || len(truth.Lag) != 1 || truth.Lag[0].Label != "missed" || truth.Lag[0].Labels != 1 || len(truth.Queue) != 0 {
		t.Errorf("%+v, %v", truth, err)
	}
	if err := call(t.Context(), "GET", "http://"+a.Console+"/api/v1/truth?pipeline=fans", nil, nil); err == nil || !strings.Contains(err.Error(), "fans") {
		t.Errorf("of no pipeline: %v", err)
	}
	if code, _, talk := ask(t, "label", "--data", p.data, "--pipeline", "fans", "--asset", "p1", "--time", "2026-01-31T05:00:00Z", "--missed"); code == exitOK || !strings.Contains(talk, "no pipeline") {
		t.Errorf("exit code %d: %s", code, talk)
	}
}
