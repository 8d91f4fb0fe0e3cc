package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"andon/event"
	"andon/model"
)

type modelCommand struct {
	List modelList `cmd:"" help:"List the models of the data folder."`
	Show modelShow `cmd:"" help:"Show one model: task, recipe, metrics, lineage."`
}

// registry opens the models of a data folder to look at them.
func registry(data string) (*model.Registry, error) {
	dir := filepath.Join(data, "models")
	if _, err := os.Stat(dir); err != nil {
		return nil, environment(fmt.Errorf("%w: name the data folder with --data", err))
	}
	r, err := model.Open(dir)
	return r, environment(err)
}

type modelList struct {
	Data     string `help:"Data folder." default:"andon-data" env:"ANDON_DATA" placeholder:"DIR"`
	JSON     bool   `name:"json" help:"Print JSON."`
	Pipeline string `arg:"" optional:"" help:"Only this pipeline's."`
}

func (c *modelList) Run(t *talk) error {
	r, err := registry(c.Data)
	if err != nil {
		return err
	}
	infos := []model.Info{}
	for _, p := range r.Pipelines() {
		if c.Pipeline == "" || c.Pipeline == p {
			infos = append(infos, r.List(p)...)
		}
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(infos)
	}
	table := &event.Table{Columns: []string{"pipeline", "version", "alias", "task", "trained", "windows", "bytes"}}
	for _, i := range infos {
		var aliases []string
		for _, a := range i.Aliases {
			aliases = append(aliases, string(a))
		}
		table.Rows = append(table.Rows, []any{i.Pipeline, i.Version, strings.Join(aliases, " "), string(i.Task), i.Lineage.Trained.Format(time.DateTime), i.Lineage.Windows, i.Bytes})
	}
	for _, f := range r.Faults() {
		fmt.Fprintln(t.err, "andon:", f)
	}
	return printTable(t.out, table)
}

type modelShow struct {
	Data    string `help:"Data folder." default:"andon-data" env:"ANDON_DATA" placeholder:"DIR"`
	Version string `arg:"" help:"The version, or its first digits."`
}

func (c *modelShow) Run(t *talk) error {
	r, err := registry(c.Data)
	if err != nil {
		return err
	}
	for _, p := range r.Pipelines() {
		for _, i := range r.List(p) {
			if strings.HasPrefix(i.Version, c.Version) {
				e := json.NewEncoder(t.out)
				e.SetIndent("", "  ")
				return errors.Join(e.Encode(i))
			}
		}
	}
	return fmt.Errorf("no model %s in %s: andon model list shows those there are", c.Version, c.Data)
}

type trainCommand struct {
	appliance
	Pipeline string `arg:"" help:"The pipeline."`
}

func (c *trainCommand) Run(t *talk) error {
	url, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	if err := call(t.ctx, "POST", url+"/api/v1/trainings", map[string]string{"pipeline": c.Pipeline}, nil); err != nil {
		return err
	}
	fmt.Fprintln(t.err, "the training run was asked for; the console and 'andon sql \"select * from andon.trainings\"' show it")
	return nil
}
