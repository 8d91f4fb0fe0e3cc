package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"andon/console"
	"andon/event"
	"andon/trainer/evaluate"
)

type modelCompare struct {
	appliance
	Pipeline  string   `help:"The pipeline, where several have a version that begins so."`
	Scenarios []string `help:"Only these of the pipeline's scenarios; or FILE.yaml with others, as in the model section." placeholder:"NAME,…"`
	Facts     bool     `help:"Tell what is known of the models, not how they do."`
	JSON      bool     `name:"json" help:"Print JSON."`
	A         string   `arg:"" help:"A version, or its first digits, or an alias."`
	B         string   `arg:"" help:"Another."`
	More      []string `arg:"" optional:"" help:"And others."`
}

// Help is what --help says beyond the flags.
func (modelCompare) Help() string {
	return `Puts models side by side on what none was trained on (model.holdout): one table of scenarios by models, each number with its interval, and what each model costs. The appliance makes it
and keeps it in ClickHouse (evaluations). Where that cannot be, as without an appliance, what is known of two models is told instead, and why.`
}

// seen is what ClickHouse knows of a version's scores.
type seen struct {
	Scores      string `json:"scores"`
	First, Last string
	MeanRisk    string
}

func (c *modelCompare) Run(t *talk) error {
	versions := append([]string{c.A, c.B}, c.More...)
	if !c.Facts {
		table, err := c.evaluate(t, versions)
		switch {
		case err == nil && c.JSON:
			return json.NewEncoder(t.out).Encode(table)
		case err == nil:
			return printTable(t.out, table.Text())
		case len(c.More) > 0 || len(c.Scenarios) > 0:
			return err
		}
		fmt.Fprintf(t.err, "andon: they are not judged, since %v; what is known of them:\n", err)
	}
	if len(c.More) > 0 {
		return usage(errors.New("facts are told of two models at a time"))
	}
	a, err := c.show(t, c.Pipeline, c.A)
	if err != nil {
		return err
	}
	b, err := c.show(t, c.Pipeline, c.B)
	if err != nil {
		return err
	}
	scores := [2]seen{}
	if at, ok := c.running(); ok {
		for i, s := range []shownModel{a, b} {
			if scores[i], err = c.scores(t, at, s); err != nil {
				return err
			}
		}
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(map[string]any{"a": a, "b": b, "scores_a": scores[0], "scores_b": scores[1]})
	}
	return printTable(t.out, sideBySide(a, b, scores))
}

// evaluate has the appliance put them side by side.
func (c *modelCompare) evaluate(t *talk, versions []string) (table evaluate.Table, err error) {
	at, ok := c.running()
	if !ok {
		return table, errors.New("no appliance runs here")
	}
	ask := console.EvaluationAsk{Pipeline: c.Pipeline, Versions: versions, Only: c.Scenarios, Who: whoami(), Why: "andon model compare"}
	if n := len(c.Scenarios); n == 1 && strings.HasSuffix(c.Scenarios[0], ".yaml") {
		text, err := os.ReadFile(c.Scenarios[0])
		if err != nil {
			return table, usage(err)
		}
		ask.Only, ask.Scenarios = nil, string(text)
	}
	return table, call(t.ctx, "POST", at+"/api/v1/evaluations", ask, &table)
}

// scores counts what a version has said; ClickHouse keeps the counts by minute, so it is cheap.
func (c *modelCompare) scores(t *talk, at string, s shownModel) (seen, error) {
	var table event.Table
	ask := map[string]any{"sql": `SELECT toString(count()), toString(min(scored_at)), toString(max(scored_at)), toString(round(avg(risk), 4)) FROM scores
		WHERE pipeline = {pipeline:String} AND version = {version:String}`, "params": map[string]string{"pipeline": s.Pipeline, "version": s.Version}}
	if err := call(t.ctx, "POST", at+"/api/v1/sql", ask, &table); err != nil {
		return seen{}, err
	}
	if len(table.Rows) == 0 || len(table.Rows[0]) < 4 || fmt.Sprint(table.Rows[0][0]) == "0" {
		return seen{Scores: "0"}, nil
	}
	r := table.Rows[0]
	return seen{fmt.Sprint(r[0]), fmt.Sprint(r[1]), fmt.Sprint(r[2]), fmt.Sprint(r[3])}, nil
}

// sideBySide is the table for people: a line where the two differ is marked.
func sideBySide(a, b shownModel, scores [2]seen) *event.Table {
	table := &event.Table{Columns: []string{"", "differs", a.Version, b.Version}}
	row := func(name string, va, vb any) {
		x, y := fmt.Sprint(va), fmt.Sprint(vb)
		if x == "" && y == "" {
			return
		}
		mark := ""
		if x != y {
			mark = "*"
		}
		table.Rows = append(table.Rows, []any{name, mark, x, y})
	}
	day := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.DateTime)
	}
	row("pipeline", a.Pipeline, b.Pipeline)
	row("alias", aliases(a.Info), aliases(b.Info))
	row("task", a.Task, b.Task)
	row("unit", a.Unit, b.Unit)
	row("horizon", a.Horizon, b.Horizon)
	row("network", a.Network, b.Network)
	row("bytes", a.Bytes, b.Bytes)
	row("nodes", a.Nodes, b.Nodes)
	row("takes", takes(&a.Meta), takes(&b.Meta))
	if a.Picture != nil && b.Picture != nil {
		x, y := a.Picture, b.Picture
		row("form", x.Form, y.Form)
		row("threshold", x.Threshold, y.Threshold)
		row("overlap", x.Overlap, y.Overlap)
		row("normal", x.Normal, y.Normal)
		row("mean", x.Mean, y.Mean)
		row("std", x.Std, y.Std)
	}
	row("channels", strings.Join(a.Recipe.Channels(), " "), strings.Join(b.Recipe.Channels(), " "))
	row("scaled", len(a.Recipe.Scale) > 0, len(b.Recipe.Scale) > 0)
	row("inputs", strings.Join(a.Inputs, ", "), strings.Join(b.Inputs, ", "))
	row("outputs", strings.Join(a.Outputs, ", "), strings.Join(b.Outputs, ", "))
	numbers := func(kind string, x, y map[string]float64) {
		names := map[string]bool{}
		for n := range x {
			names[n] = true
		}
		for n := range y {
			names[n] = true
		}
		of := func(m map[string]float64, n string) string {
			if v, ok := m[n]; ok {
				return fmt.Sprintf("%.6g", v)
			}
			return ""
		}
		for _, n := range slices.Sorted(maps.Keys(names)) {
			row(kind+n, of(x, n), of(y, n))
		}
	}
	numbers("", a.Metrics, b.Metrics)
	numbers("", a.Measured, b.Measured)
	la, lb := a.Lineage, b.Lineage
	row("run", la.Run, lb.Run)
	row("windows", la.Windows, lb.Windows)
	row("assets", la.Assets, lb.Assets)
	row("data digest", la.Digest, lb.Digest)
	row("seed", la.Seed, lb.Seed)
	row("code", la.Code, lb.Code)
	row("source", la.Source, lb.Source)
	row("trained", day(la.Trained), day(lb.Trained))
	row("seconds", la.Seconds, lb.Seconds)
	row("cpu seconds", la.CPUSeconds, lb.CPUSeconds)
	row("added", day(a.Added), day(b.Added))
	row("who", a.Who, b.Who)
	row("scores", scores[0].Scores, scores[1].Scores)
	row("mean risk", scores[0].MeanRisk, scores[1].MeanRisk)
	row("first score", scores[0].First, scores[1].First)
	row("last score", scores[0].Last, scores[1].Last)
	return table
}
