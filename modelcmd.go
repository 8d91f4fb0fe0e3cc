package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"andon/event"
	"andon/model"
)

type modelCommand struct {
	List     modelList     `cmd:"" help:"List the models and their aliases."`
	Show     modelShow     `cmd:"" help:"Show one model: task, recipe, metrics, lineage, what its file declares."`
	History  modelHistory  `cmd:"" help:"Show who or what moved a pipeline's aliases, and why."`
	Push     modelPush     `cmd:"" help:"Bring a model: an ONNX file, with a YAML or MLflow's folder that says what its inputs and outputs are."`
	Pull     modelPull     `cmd:"" help:"Fetch a model's file."`
	Compare  modelCompare  `cmd:"" help:"Put two models side by side."`
	Rebuild  modelRebuild  `cmd:"" help:"Train a model again by its lineage, and tell whether it comes out the same to the byte."`
	Promote  modelPromote  `cmd:"" help:"Point an alias at a version; champion is the one whose scores count."`
	Clear    modelClear    `cmd:"" help:"End a canary or a shadow: let the alias point at nothing."`
	Rollback modelRollback `cmd:"" help:"Point an alias at the version it had before."`
}

// shownModel is a version as the API tells of it.
type shownModel struct {
	model.Info
	Inputs  []string         `json:"inputs,omitempty"`
	Outputs []string         `json:"outputs,omitempty"`
	Nodes   int              `json:"nodes,omitempty"`
	Opsets  map[string]int64 `json:"opsets,omitempty"`
	Known   bool             `json:"known,omitempty"`
}

// folder opens the models of a data folder to look at them, where no appliance runs.
func (a *appliance) folder() (*model.Registry, error) {
	dir := filepath.Join(a.Data, "models")
	if _, err := os.Stat(dir); err != nil {
		return nil, environment(fmt.Errorf("no appliance runs on %s, and %w: name the data folder with --data, or the appliance with --url", a.Data, err))
	}
	r, err := model.Open(dir)
	return r, environment(err)
}

// running reports whether there is an appliance to ask, and where. One that was killed leaves its addresses behind: it must answer, unless it was named.
func (a *appliance) running() (at string, ok bool) {
	at, err := findAppliance(a.Data, a.URL)
	if err != nil || a.URL != "" {
		return at, err == nil
	}
	client := http.Client{Timeout: 2 * time.Second}
	res, err := client.Get(at + "/healthz")
	if err != nil {
		return "", false
	}
	return at, res.Body.Close() == nil
}

type modelList struct {
	appliance
	JSON     bool   `name:"json" help:"Print JSON."`
	Pipeline string `arg:"" optional:"" help:"Only this pipeline's."`
}

func (c *modelList) Run(t *talk) error {
	infos := []model.Info{}
	if at, ok := c.running(); ok {
		if err := call(t.ctx, "GET", at+"/api/v1/models?pipeline="+url.QueryEscape(c.Pipeline), nil, &infos); err != nil {
			return err
		}
	} else {
		r, err := c.folder()
		if err != nil {
			return err
		}
		for _, p := range r.Pipelines() {
			if c.Pipeline == "" || c.Pipeline == p {
				infos = append(infos, r.List(p)...)
			}
		}
		for _, f := range r.Faults() {
			fmt.Fprintln(t.err, "andon:", f)
		}
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(infos)
	}
	table := &event.Table{Columns: []string{"pipeline", "version", "alias", "task", "network", "takes", "added", "windows", "bytes"}}
	for _, i := range infos {
		table.Rows = append(table.Rows, []any{i.Pipeline, i.Version, aliases(i), string(i.Task), i.Network, takes(&i.Meta), i.Added.UTC().Format(time.DateTime), i.Lineage.Windows, i.Bytes})
	}
	return printTable(t.out, table)
}

func aliases(i model.Info) string {
	var all []string
	for _, a := range i.Aliases {
		all = append(all, string(a))
	}
	return strings.Join(all, " ")
}

type modelShow struct {
	appliance
	Pipeline string `help:"The pipeline, where several have a version that begins so."`
	Version  string `arg:"" help:"The version, or its first digits."`
}

func (c *modelShow) Run(t *talk) error {
	s, err := c.show(t, c.Pipeline, c.Version)
	if err != nil {
		return err
	}
	e := json.NewEncoder(t.out)
	e.SetIndent("", "  ")
	return e.Encode(s)
}

// show asks the appliance, or looks into the data folder where none runs.
func (a *appliance) show(t *talk, pipeline, version string) (s shownModel, err error) {
	if at, ok := a.running(); ok {
		if pipeline == "" {
			pipeline = "-"
		}
		return s, call(t.ctx, "GET", at+"/api/v1/models/"+url.PathEscape(pipeline)+"/"+url.PathEscape(version), nil, &s)
	}
	r, err := a.folder()
	if err != nil {
		return s, err
	}
	if s.Info, err = r.Find(pipeline, version); err != nil {
		return s, fmt.Errorf("%w: andon model list shows those there are", err)
	}
	return s, nil
}

type modelHistory struct {
	appliance
	JSON     bool   `name:"json" help:"Print JSON."`
	Pipeline string `arg:"" help:"The pipeline."`
}

func (c *modelHistory) Run(t *talk) error {
	moves := []model.Move{}
	if at, ok := c.running(); ok {
		if err := call(t.ctx, "GET", at+"/api/v1/models/"+url.PathEscape(c.Pipeline)+"/moves", nil, &moves); err != nil {
			return err
		}
	} else {
		r, err := c.folder()
		if err != nil {
			return err
		}
		if moves, err = r.History(c.Pipeline); err != nil {
			return err
		}
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(moves)
	}
	table := &event.Table{Columns: []string{"time", "alias", "from", "to", "who", "why"}}
	for _, m := range moves {
		table.Rows = append(table.Rows, []any{m.Time.UTC().Format(time.DateTime), string(m.Alias), m.From, m.To, m.Who, m.Why})
	}
	return printTable(t.out, table)
}

type trainCommand struct {
	appliance
	Pipeline string `arg:"" help:"The pipeline."`
}

func (c *trainCommand) Run(t *talk) error {
	at, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	if err := call(t.ctx, "POST", at+"/api/v1/trainings", map[string]string{"pipeline": c.Pipeline}, nil); err != nil {
		return err
	}
	fmt.Fprintln(t.err, "the training run was asked for; the console and 'andon sql \"select * from andon.trainings\"' show it")
	return nil
}
