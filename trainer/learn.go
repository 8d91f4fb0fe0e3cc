package trainer

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"syscall"
	"time"

	"andon/event"
	"andon/model"
	"andon/trainer/fit"
)

// Lesson is a finished training: the model and what it took.
type Lesson struct {
	Model *model.Model
	// Loss is the validation loss by which lessons of one job are ranked, the smaller the better.
	Loss float64
	// Summary is the outcome in words.
	Summary string
}

// Watcher is told how a lesson goes; either field may be nil.
type Watcher struct {
	// Ready is called once, when the data is there; an error ends the lesson with it.
	Ready func(d Data) error
	Epoch func(p fit.Progress)
}

// Data says what a lesson learns from.
type Data struct {
	// Windows is the number of training windows, Assets how many assets they and the validation windows come from.
	Windows, Assets int
	// Incomplete is how many assets have a failure label and no rows up to it.
	Incomplete int
}

// Learn makes a model of what a pipeline has stored: data set, training, calibration, scoring graph. It registers nothing. memory bounds the windows. For
// the same rows, labels and Spec the model's parameters are the same to the bit on the same machine. run names it in the lineage.
func Learn(ctx context.Context, src Source, p *Pipeline, memory event.Bytes, run string, w Watcher) (*Lesson, error) {
	return study(ctx, src, p, memory, run, order{}, w)
}

func study(ctx context.Context, src Source, p *Pipeline, memory event.Bytes, run string, o order, w Watcher) (*Lesson, error) {
	began, spent := time.Now(), cpuTime()
	d, err := collect(ctx, src, p, memory, o)
	if err != nil {
		return nil, err
	}
	if w.Ready != nil {
		if err := w.Ready(Data{Windows: d.train.Len(), Assets: d.assets, Incomplete: d.incomplete}); err != nil {
			return nil, err
		}
	}
	s := &p.Spec
	net := fit.Network{Length: d.recipe.Length, Width: d.recipe.Width(), Hidden: s.Hidden, Layers: s.Layers, Forecast: s.Task == model.Anomaly}
	trained, err := fit.Train(ctx, net, s.fit(), &d.train, &d.val, w.Epoch)
	if err != nil {
		return nil, err
	}
	meta := model.Meta{Pipeline: p.Name, Task: s.Task, Recipe: d.recipe, Unit: s.Unit, Network: fmt.Sprintf("%s %dx%d", s.Network, s.Layers, s.Hidden),
		Metrics: map[string]float64{"epoch": float64(trained.Epoch), "epochs": float64(trained.Epochs), "validation_loss": trained.ValLoss},
		Lineage: model.Lineage{Run: run, Query: d.query, Digest: d.digest, Windows: d.train.Len() + d.val.Len(), Assets: d.assets, Seed: s.Seed,
			Offsets: d.spans, Code: code(), Trained: time.Now().UTC()}}
	file, summary, err := finish(d, s, trained, &meta)
	if err != nil {
		return nil, err
	}
	if trained.Fallback != nil {
		summary += fmt.Sprintf("; trained on the CPU, CUDA does not work here: %v", trained.Fallback)
	}
	if file, err = refer(p, d, o.again, file); err != nil {
		return nil, err
	}
	meta.Lineage.Seconds, meta.Lineage.CPUSeconds = time.Since(began).Seconds(), (cpuTime() - spent).Seconds()
	m, err := model.Seal(file, meta)
	if err != nil {
		return nil, err
	}
	return &Lesson{Model: m, Loss: trained.ValLoss, Summary: summary}, nil
}

// finish calibrates a trained network on the validation part and writes its scoring graph.
func finish(d *dataset, s *Spec, trained *fit.Trained, meta *model.Meta) (file []byte, summary string, err error) {
	said, err := trained.Predict(&d.val)
	if err != nil {
		return nil, "", err
	}
	if s.Task == model.RemainingLife {
		file, summary = finishLife(d, s, trained, said, meta)
		return file, summary, nil
	}
	before, err := trained.Predict(&d.train)
	if err != nil {
		return nil, "", err
	}
	file, summary = finishAnomaly(d, trained, before, said, meta)
	return file, summary, nil
}

func finishLife(d *dataset, s *Spec, trained *fit.Trained, said []float32, meta *model.Meta) ([]byte, string) {
	value, fails := make([]float64, len(said)), make([]bool, len(said))
	for i, y := range said {
		value[i] = math.Max(float64(y)*float64(s.Cap), 0)
		fails[i] = d.remaining[i] <= float64(s.Horizon)
	}
	risk, ok := fit.Platt(value, fails)
	if !ok {
		// Nothing in the validation part to calibrate by: even odds at the horizon, falling to one in fifty at twice that.
		risk = fit.Logistic{Slope: -4 / float64(s.Horizon), Offset: 4}
	}
	brier := 0.0
	for i, v := range value {
		miss := risk.At(v)
		if fails[i] {
			miss--
		}
		brier += miss * miss / float64(len(value))
	}
	rmse := math.Sqrt(trained.ValLoss) * float64(s.Cap)
	meta.Horizon = s.Horizon
	meta.Metrics["validation_rmse"], meta.Metrics["validation_brier"] = rmse, brier
	return trained.RemainingLife(float64(s.Cap), risk), fmt.Sprintf("validation error %.1f %s (targets capped at %d), Brier score of failure within %d: %.3f",
		rmse, s.Unit, s.Cap, s.Horizon, brier)
}

// The risk of an anomaly is one half where the value is alarmMargin times what all but one in a thousand validation windows stay below.
const (
	alarmQuantile = 0.999
	alarmMargin   = 2
	alarmSteep    = 4 // twice the half-way value is a risk of 0.94, half of it one of 0.06
)

func finishAnomaly(d *dataset, trained *fit.Trained, before, said []float32, meta *model.Meta) ([]byte, string) {
	errs := func(set *fit.Set, said []float32) []float64 {
		e := make([]float64, len(said))
		for i, y := range said {
			e[i] = float64(set.Targets[i]) - float64(y)
		}
		return e
	}
	s := fit.Surprise{Steep: alarmSteep}
	s.Center, s.Spread = fit.Robust(errs(&d.train, before))
	// A signal that stands still most of the time has errors of zero; then the scale of the signal itself says what is much.
	s.Spread = math.Max(s.Spread, 1e-3)
	sizes := errs(&d.val, said)
	for i, e := range sizes {
		sizes[i] = math.Abs(e-s.Center) / s.Spread
	}
	s.Half = math.Max(alarmMargin*fit.Quantile(sizes, alarmQuantile), 1)

	lazy := 0.0
	n := d.val.Length
	for i, y := range d.val.Targets {
		e := float64(y - d.val.Window(i)[(n-2)*d.val.Width])
		lazy += e * e / float64(d.val.Len())
	}
	gain := 1 - trained.ValLoss/math.Max(lazy, 1e-12)
	meta.Metrics["validation_rmse"] = math.Sqrt(trained.ValLoss)
	meta.Metrics["validation_gain"], meta.Metrics["half_risk_value"] = gain, s.Half
	return trained.Anomaly(s), fmt.Sprintf("forecast error %.3g of the signal's deviation, %.0f %% less variance than the last value's; risk 0.5 at %.1f sd",
		math.Sqrt(trained.ValLoss), 100*gain, s.Half)
}

// cpuTime returns what the process has spent on all its threads; 0 where the system does not tell.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// code names the program's version, as far as the build knows it.
func code() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return info.Main.Version
}
