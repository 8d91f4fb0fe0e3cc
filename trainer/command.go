package trainer

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"andon/event"
	"andon/model"
	"andon/trainer/exec"
	"andon/trainer/fit"
)

// Command is Spec.Network of a program of somebody's own; see trainer/exec.
const Command = "command"

// maxFolders is how many trainings of a pipeline keep their folders: manifest, metrics, model and log.
const maxFolders = 50

// command has a program train, and seals what it made.
func (l *Local) command(ctx context.Context, p *Pipeline, j Job, o order) (*Lesson, error) {
	if l.Dir == "" {
		return nil, fmt.Errorf("train %s: there is no folder for trainings by a command: set trainer.dir", p.Name)
	}
	src, err := o.begin(ctx, l.Source, p, l.Memory)
	if err != nil {
		return nil, err
	}
	d, err := collect(ctx, src, p, l.Memory, o)
	if err != nil {
		return nil, err
	}
	if j.Watch.Ready != nil {
		if err := j.Watch.Ready(Data{Windows: d.train.Len(), Assets: d.assets, Incomplete: d.incomplete}); err != nil {
			return nil, err
		}
	}
	dir := filepath.Join(l.Dir, p.Name, filepath.Base(j.ID))
	if err := prune(filepath.Dir(dir), maxFolders-1); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(dir); err != nil { // of the same job, which was broken off
		return nil, err
	}
	s := &p.Spec
	m := exec.Manifest{Run: j.ID, Pipeline: p.Name, Task: s.Task, Unit: s.Unit, Recipe: d.recipe, Cap: s.Cap, Horizon: s.Horizon, Seed: s.Seed, Digest: d.digest}
	epochs := exec.Progress{}
	tell := func(g exec.Progress) {
		epochs = g
		j.Watch.epoch(&o)(fit.Progress(g))
	}
	made, err := exec.Train(ctx, *s.Command, l.Limits, dir, m, d.rows(&d.train, d.trainOf), d.rows(&d.val, d.valOf), tell)
	if err != nil {
		return nil, err
	}
	metrics := map[string]float64{}
	for name, v := range made.Metrics {
		metrics[name] = v
	}
	loss := 0.0
	summary := fmt.Sprintf("made by %s", s.Command.Run[0])
	if s.Task == model.RemainingLife {
		for i, v := range made.Value {
			miss := math.Min(math.Max(float64(v), 0), float64(s.Cap))/float64(s.Cap) - float64(d.val.Targets[i])
			loss += miss * miss / float64(len(made.Value))
		}
		metrics["validation_loss"], metrics["validation_rmse"] = loss, math.Sqrt(loss)*float64(s.Cap)
		summary += fmt.Sprintf("; validation error %.1f %s (targets capped at %d)", metrics["validation_rmse"], s.Unit, s.Cap)
	}
	if epochs.Epochs > 0 {
		metrics["epoch"], metrics["epochs"] = float64(epochs.Epoch), float64(epochs.Epochs)
	}
	network := made.Network
	if network == "" {
		network = Command + " " + filepath.Base(s.Command.Run[0])
	}
	meta := model.Meta{Pipeline: p.Name, Task: s.Task, Recipe: d.recipe, Unit: s.Unit, Network: network, Metrics: metrics,
		Lineage: model.Lineage{Run: j.ID, Query: d.query, Digest: d.digest, Windows: d.train.Len() + d.val.Len(), Assets: d.assets, Seed: s.Seed, Offsets: d.spans}}
	if s.Task == model.RemainingLife {
		meta.Horizon = s.Horizon
	}
	file, err := refer(p, d, o.again, made.ONNX)
	if err != nil {
		return nil, err
	}
	o.clock.more += made.CPU
	sealed, err := o.seal(p, s, file, meta)
	if err != nil {
		return nil, err
	}
	return &Lesson{Model: sealed, Loss: loss, Summary: summary + "; its log is " + filepath.Join(dir, "log")}, nil
}

// rows gives a set the form in which programs get it.
func (d *dataset) rows(s *fit.Set, of []origin) *exec.Rows {
	r := &exec.Rows{Windows: s.Windows, Targets: s.Targets, Weights: s.Weights}
	for _, o := range of {
		r.Assets, r.Ends = append(r.Assets, d.names[o.asset]), append(r.Ends, o.end)
	}
	return r
}

// prune keeps the newest folders, whose names end with their time.
func prune(dir string, keep int) error {
	all, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b os.DirEntry) int {
		x, errX := a.Info()
		y, errY := b.Info()
		if errX != nil || errY != nil {
			return 0
		}
		return x.ModTime().Compare(y.ModTime())
	})
	for i := 0; i < len(all)-keep; i++ {
		if err := os.RemoveAll(filepath.Join(dir, all[i].Name())); err != nil {
			return err
		}
	}
	return nil
}

// defaultCommand is what a command section starts from.
func defaultCommand() exec.Config {
	return exec.Config{Timeout: 30 * time.Minute, Memory: event.Bytes(0)} // a small network on two cores; and its memory is the machine's matter
}
