package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"andon/deploy"
	"andon/model"
)

// rebuilds makes a pipeline's newest model again, to the byte, while the line goes on.
func (p *program) rebuilds(t *testing.T, pipeline string) {
	t.Helper()
	code, out, talk := ask(t, "model", "list", "--data", p.data, "--json", pipeline)
	var list []model.Info
	if err := json.Unmarshal([]byte(out), &list); code != exitOK || err != nil || len(list) == 0 {
		t.Fatalf("%d %s %s %v", code, out, talk, err)
	}
	l := list[0].Lineage
	if l.Marks == nil || len(l.Marks.Labels)+len(l.Marks.Rows)+len(l.Marks.Frames) == 0 || l.Runtime == "" || !strings.Contains(l.Section, "name: "+pipeline) {
		t.Errorf("lineage %+v", l)
	}
	code, out, talk = ask(t, "model", "rebuild", "--data", p.data, "--json", list[0].Version)
	var r rebuilt
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%d %s %s %v", code, out, talk, err)
	}
	if code != exitOK || !r.Same || r.Became != list[0].Version || len(r.Differs) > 0 {
		t.Errorf("%s is not the same again: exit code %d: %s %s", pipeline, code, out, talk)
	}
}

// What is written down of a pipeline makes the same pipeline again, and the same text.
func TestSection(t *testing.T) {
	c, err := parseConfig(deploy.Config)
	if err != nil {
		t.Fatal(err)
	}
	c.settle()
	seen := 0
	for i := range c.Pipelines {
		p := &c.Pipelines[i]
		if p.Model == nil {
			continue
		}
		seen++
		p.Model.LearningRate /= 3
		text, err := p.section(p.Model)
		if err != nil {
			t.Fatal(err)
		}
		q, err := readSection(text)
		if err != nil {
			t.Fatalf("%s: %v\n%s", p.Name, err, text)
		}
		if q.Spec.LearningRate != p.Model.LearningRate {
			t.Errorf("%s: settings %+v became %+v", p.Name, *p.Model, q.Spec)
		}
		if p.Vision == nil && !reflect.DeepEqual(q.Recipe, p.recipe()) || (q.Sight.Read != nil) != (p.Vision != nil) || (q.Refer == nil) != (p.refer() == nil) {
			t.Errorf("%s: %+v", p.Name, q)
		}
		again, err := q.Section(&q.Spec)
		if err != nil || string(again) != string(text) {
			t.Errorf("%s: written again: %v\n%s\nnot\n%s", p.Name, err, again, text)
		}
	}
	if seen < 3 {
		t.Errorf("%d pipelines have models", seen)
	}
	if _, err := readSection([]byte("name: pumps\nmodle: {}\n")); err == nil || !strings.Contains(err.Error(), "another version of andon") {
		t.Errorf("an unknown key: %v", err)
	}
}
