package trainer

import (
	"context"
	"fmt"
	"math"

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

// Watcher is told how a lesson goes; each field may be nil.
type Watcher struct {
	// Ready is called once, when the data is there; an error ends the lesson with it.
	Ready func(d Data) error
	Epoch func(p fit.Progress)
	// Took is told what the lesson has taken, before each call of Epoch, and now and then where a worker tells.
	Took func(u Usage)
	// Waits is told, where workers make the lesson, that it waits for one, and why.
	Waits func(why string)
}

// epoch is Epoch with what the lesson took before it.
func (w *Watcher) epoch(o *order) func(fit.Progress) {
	return func(p fit.Progress) {
		if w.Took != nil {
			w.Took(o.took())
		}
		if w.Epoch != nil {
			w.Epoch(p)
		}
	}
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
	lessons, err := studies(ctx, src, p, memory, run, o, nil, w)
	if err != nil {
		return nil, err
	}
	return lessons[0], nil
}

// studies makes the models that a pipeline's section asks for, of one data set, the best on its validation part first. champion may be nil.
func studies(ctx context.Context, src Source, p *Pipeline, memory event.Bytes, run string, o order, champion *model.Model, w Watcher) ([]*Lesson, error) {
	src, err := o.begin(ctx, src, p, memory)
	if err != nil {
		return nil, err
	}
	if pictured(p.Spec.Task) {
		lesson, err := studyPictures(ctx, src, p, memory, run, o, champion, w)
		if err != nil {
			return nil, err
		}
		return []*Lesson{lesson}, nil
	}
	warm, cold := warmth(&p.Spec, champion)
	if warm != nil {
		o.scale, o.start = champion.Recipe.Scale, digest(champion.ONNX)
	}
	d, err := collect(ctx, src, p, memory, o)
	if err != nil {
		return nil, err
	}
	if w.Ready != nil {
		if err := w.Ready(Data{Windows: d.train.Len(), Assets: d.assets, Incomplete: d.incomplete}); err != nil {
			return nil, err
		}
	}
	found, told, err := search(ctx, &p.Spec, d, warm, w.epoch(&o))
	if err != nil {
		return nil, err
	}
	var lessons []*Lesson
	for _, t := range found {
		l, err := t.lesson(p, d, run, o)
		if err != nil {
			return nil, err
		}
		l.Summary += told + cold
		lessons = append(lessons, l)
	}
	return lessons, nil
}

// warmth returns the parameters to begin with; why says why there are none though they are asked for.
func warmth(s *Spec, champion *model.Model) (start []float32, why string) {
	if !s.Warm || champion == nil {
		return nil, ""
	}
	var err error
	length, width := champion.Recipe.Length, champion.Recipe.Width()
	switch {
	case len(champion.Recipe.Scale) == 0:
		err = fmt.Errorf("it does not say how its channels are scaled")
	case s.Network == Autoencoder:
		start, err = s.autoencoder(length, width).Start(champion.ONNX)
	default:
		start, err = s.recurrent(length, width).Start(champion.ONNX)
	}
	if err != nil {
		return nil, fmt.Sprintf("; from scratch, since the champion gives no start: %v", err)
	}
	return start, ""
}

// Autoencoder is Spec.Network of one.
const Autoencoder = "autoencoder"

func (s *Spec) recurrent(length, width int) fit.Network {
	return fit.Network{Kind: s.Network, Length: length, Width: width, Hidden: s.Hidden, Layers: s.Layers, Forecast: s.Task == model.Anomaly}
}

func (s *Spec) autoencoder(length, width int) fit.Autoencoder {
	return fit.Autoencoder{Length: length, Width: width, Hidden: s.Hidden, Code: max(s.Hidden/4, 1)}
}

// trial is one network that was trained, with the settings that it was trained by.
type trial struct {
	spec Spec
	net  *fit.Trained            // of recurrent layers
	auto *fit.TrainedAutoencoder // instead
	fit.Outcome
}

// train trains a network by settings.
func (s *Spec) train(ctx context.Context, d *dataset, start []float32, progress func(fit.Progress)) (*trial, error) {
	t := &trial{spec: *s}
	c := s.fit()
	c.Start = start
	var err error
	if s.Network == Autoencoder {
		if t.auto, err = fit.TrainAutoencoder(ctx, s.autoencoder(d.recipe.Length, d.recipe.Width()), c, &d.train, &d.val, progress); err == nil {
			t.Outcome = t.auto.Outcome
		}
		return t, err
	}
	if t.net, err = fit.Train(ctx, s.recurrent(d.recipe.Length, d.recipe.Width()), c, &d.train, &d.val, progress); err == nil {
		t.Outcome = t.net.Outcome
	}
	return t, err
}

// shape names a network's form for people.
func (s *Spec) shape() string {
	if s.Network == Autoencoder {
		return fmt.Sprintf("%s %d-%d", s.Network, s.Hidden, max(s.Hidden/4, 1))
	}
	return fmt.Sprintf("%s %dx%d", s.Network, s.Layers, s.Hidden)
}

// lesson calibrates a trained network and seals it.
func (t *trial) lesson(p *Pipeline, d *dataset, run string, o order) (*Lesson, error) {
	s := &t.spec
	meta := model.Meta{Pipeline: p.Name, Task: s.Task, Recipe: d.recipe, Unit: s.Unit, Network: s.shape(),
		Metrics: map[string]float64{"epoch": float64(t.Epoch), "epochs": float64(t.Epochs), "validation_loss": t.ValLoss},
		Lineage: model.Lineage{Run: run, Query: d.query, Digest: d.digest, Windows: d.train.Len() + d.val.Len(), Assets: d.assets, Seed: s.Seed, Offsets: d.spans}}
	file, summary, err := t.finish(d, &meta)
	if err != nil {
		return nil, err
	}
	if t.Fallback != nil {
		summary += fmt.Sprintf("; trained on the CPU, CUDA does not work here: %v", t.Fallback)
	}
	if file, err = refer(p, d, o.again, file); err != nil {
		return nil, err
	}
	m, err := o.seal(p, s, file, meta)
	if err != nil {
		return nil, err
	}
	return &Lesson{Model: m, Loss: t.ValLoss, Summary: summary}, nil
}

// finish calibrates a trained network on the validation part and writes its scoring graph.
func (t *trial) finish(d *dataset, meta *model.Meta) (file []byte, summary string, err error) {
	if t.auto != nil {
		return finishAutoencoder(d, t.auto, meta)
	}
	said, err := t.net.Predict(&d.val)
	if err != nil {
		return nil, "", err
	}
	if t.spec.Task == model.RemainingLife {
		file, summary = finishLife(d, &t.spec, t.net, said, meta)
		return file, summary, nil
	}
	before, err := t.net.Predict(&d.train)
	if err != nil {
		return nil, "", err
	}
	file, summary = finishAnomaly(d, t.net, before, said, meta)
	return file, summary, nil
}

func finishAutoencoder(d *dataset, t *fit.TrainedAutoencoder, meta *model.Meta) ([]byte, string, error) {
	before, err := t.Errors(&d.train)
	if err != nil {
		return nil, "", err
	}
	said, err := t.Errors(&d.val)
	if err != nil {
		return nil, "", err
	}
	s := fit.Surprise{Steep: alarmSteep}
	s.Center, s.Spread = fit.Robust(before)
	s.Spread = math.Max(s.Spread, 1e-3)
	for i, e := range said {
		said[i] = math.Max((e-s.Center)/s.Spread, 0)
	}
	s.Half = math.Max(alarmMargin*fit.Quantile(said, alarmQuantile), 1)
	rmse := math.Sqrt(t.ValLoss)
	meta.Metrics["validation_rmse"], meta.Metrics["half_risk_value"] = rmse, s.Half
	return t.Anomaly(s), fmt.Sprintf("windows are read back to within %.3g of their signals' deviation; risk 0.5 at %.1f sd", rmse, s.Half), nil
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
