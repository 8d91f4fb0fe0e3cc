package trainer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"andon/event"
	"andon/model"
	"andon/trainer/fit"
)

// leastSteps is how many steps an epoch has at least: of few frames it sees each several times.
const leastSteps = 16

// studyPictures is study for a task of pictures.
func studyPictures(ctx context.Context, src Source, p *Pipeline, memory event.Bytes, run string, o order, champion *model.Model, w Watcher) (*Lesson, error) {
	s := &p.Spec
	warm, begun := warmPictures(s, champion)
	if warm != nil {
		o.start = warm.digest
	}
	g, err := collectFrames(ctx, src, p, memory, false)
	if err != nil {
		return nil, err
	}
	parts := g.part(s)
	if err := g.enough(s, parts); err != nil {
		return nil, err
	}
	g.balance(s, &o, parts)
	if w.Ready != nil {
		if err := w.Ready(Data{Windows: len(parts.train), Assets: g.cameras}); err != nil {
			return nil, err
		}
	}
	c := s.fit()
	times := max(1, leastSteps*c.Batch/max(len(parts.train), 1))
	c.Epochs, c.Patience = c.Epochs*times, c.Patience*times
	tell := func(q fit.Progress) {
		if q.Epoch%times == 0 {
			q.Epoch, q.Epochs = q.Epoch/times, q.Epochs/times
			w.epoch(&o)(q)
		}
	}
	d := drawn{g: g, spec: s, parts: parts, warm: warm}
	if warm != nil {
		c.Start = warm.params
	}
	learn := d.classifier
	if s.Task == model.Detection {
		learn = d.detector
	}
	if err := learn(ctx, c, tell); err != nil {
		return nil, err
	}
	picture := model.Picture{Width: s.Picture.Width, Height: s.Picture.Height, Std: [3]float32{1, 1, 1}, Labels: s.Picture.Labels, Form: d.form, Normal: s.Picture.Normal,
		Threshold: s.Picture.Threshold, Overlap: s.Picture.Overlap}
	meta := model.Meta{Pipeline: p.Name, Task: s.Task, Picture: &picture, Unit: s.Unit, Network: fmt.Sprintf("%s %s", s.Network, dashed(s.Picture.Stages)),
		Metrics: map[string]float64{"epoch": float64(d.outcome.Epoch / times), "epochs": float64(d.outcome.Epochs / times), "steps": float64(d.outcome.Steps), "validation_loss": d.outcome.ValLoss,
			"training_frames": float64(len(parts.train)), "validation_frames": float64(len(parts.val))},
		Lineage: model.Lineage{Run: run, Query: g.query, Digest: g.digest, Windows: len(parts.train) + len(parts.val), Assets: g.cameras, Seed: s.Seed, Offsets: g.spans}}
	d.tell(meta.Metrics)
	summary, err := d.measure(&p.Sight, &meta)
	if err != nil {
		return nil, err
	}
	summary += begun + g.unknownTo(s, parts)
	if d.outcome.Fallback != nil {
		summary += fmt.Sprintf("; trained on the CPU, CUDA does not work here: %v", d.outcome.Fallback)
	}
	file, err := d.refer(p, &meta)
	if err != nil {
		return nil, err
	}
	m, err := o.seal(p, s, file, meta)
	if err != nil {
		return nil, err
	}
	return &Lesson{Model: m, Loss: d.outcome.ValLoss, Summary: summary}, nil
}

func dashed(v []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(v), "[]"), " ", "-")
}

// enough says what keeps a network from being trained.
func (g *gallery) enough(s *Spec, parts division) error {
	why := ""
	if g.torn > 0 {
		why += fmt.Sprintf("; %d could not be decoded", g.torn)
	}
	if g.unknown > 0 {
		why += fmt.Sprintf("; of %d more no label is one of %s, or none says by a box in which zone it is", g.unknown, strings.Join(s.Picture.Labels, ", "))
	}
	if len(parts.train) == 0 || len(parts.val) == 0 {
		return fmt.Errorf("%d frames with labels give %d to learn from and %d to stop by, in blocks of %v (picture.block)%s", len(g.all), len(parts.train), len(parts.val), s.Picture.Block, why)
	}
	shown := g.classes(parts.train)
	for i, name := range s.Picture.Labels {
		if !shown[i] && !slices.Contains(s.Picture.Unseen, name) {
			return fmt.Errorf("no frame to learn from shows %s: label some, name it in picture.unseen until there are, or take it from picture.labels%s", name, why)
		}
	}
	return nil
}

// unknownTo names what a network cannot know, since no frame to learn from shows it.
func (g *gallery) unknownTo(s *Spec, parts division) string {
	shown, none := g.classes(parts.train), []string(nil)
	for i, name := range s.Picture.Labels {
		if !shown[i] {
			none = append(none, name)
		}
	}
	if none == nil {
		return ""
	}
	return fmt.Sprintf("; it knows nothing of %s, which no frame to learn from shows", strings.Join(none, ", "))
}

// drawn is a gallery on its way to become a model.
type drawn struct {
	g       *gallery
	spec    *Spec
	parts   division
	warm    *beginning // nil: from scratch
	outcome *fit.Outcome
	file    []byte
	form    string

	center, spread, width, height float64
}

// tell notes what a later training needs to go on from this one.
func (d *drawn) tell(metrics map[string]float64) {
	metrics[pixelsMean], metrics[pixelsSpread] = d.center, d.spread
	if d.spec.Task == model.Detection {
		metrics[typicalWidth], metrics[typicalHeight] = d.width, d.height
	}
}

func (p *PictureSpec) classifier() fit.Classifier {
	return fit.Classifier{Channels: 3, Height: p.Height, Width: p.Width, Classes: p.Labels, Stages: p.Stages, Blocks: p.Blocks}
}

func (p *PictureSpec) detector() fit.Detector {
	return fit.Detector{Height: p.Height, Width: p.Width, Classes: p.Labels, Stages: p.Stages, Blocks: p.Blocks}
}

// crops makes a classifier's set.
func (d *drawn) crops(rows []int) *fit.Crops {
	p := d.spec.Picture
	out := &fit.Crops{Channels: 3, Height: p.Height, Width: p.Width}
	for _, i := range rows {
		e := &d.g.all[i]
		out.Pixels, out.Labels, out.RowWeights = append(out.Pixels, e.pixels...), append(out.Labels, e.class), append(out.RowWeights, e.weight)
	}
	level(out.Labels, out.RowWeights)
	return out
}

// level makes the mean weight of each class 1: weights say which frames of a class count more than its others. Without it a new class, all of whose frames are recent and were missed, would drown the others.
func level(labels []int, weights []float32) {
	sum, count := map[int]float64{}, map[int]float64{}
	for i, c := range labels {
		sum[c] += float64(weights[i])
		count[c]++
	}
	for i, c := range labels {
		weights[i] = float32(float64(weights[i]) * count[c] / sum[c])
	}
}

func (d *drawn) classifier(ctx context.Context, c fit.Config, tell func(fit.Progress)) error {
	p := d.spec.Picture
	train, val := d.crops(d.parts.train), d.crops(d.parts.val)
	train.Balance, train.Augment = true, p.augment()
	net := p.classifier()
	if net.Center, net.Spread = train.Scale(); d.warm != nil {
		net.Center, net.Spread = d.warm.center, d.warm.spread
	}
	d.center, d.spread = net.Center, net.Spread
	t, err := fit.TrainClassifier(ctx, net, c, train, val, tell)
	if err != nil {
		return err
	}
	d.outcome, d.form = &t.Outcome, model.FormProbabilities
	d.file, err = t.Export()
	return err
}

// scenes makes a detector's set.
func (d *drawn) scenes(rows []int) *fit.Scenes {
	p := d.spec.Picture
	out := &fit.Scenes{Height: p.Height, Width: p.Width}
	for _, i := range rows {
		e := &d.g.all[i]
		out.Pixels, out.Marks, out.Weights = append(out.Pixels, e.pixels...), append(out.Marks, e.marks), append(out.Weights, e.weight)
	}
	return out
}

func (d *drawn) detector(ctx context.Context, c fit.Config, tell func(fit.Progress)) error {
	p := d.spec.Picture
	train, val := d.scenes(d.parts.train), d.scenes(d.parts.val)
	train.Balance, train.Augment = true, p.augment()
	net := p.detector()
	net.Center, net.Spread = train.Scale()
	if net.TypicalWidth, net.TypicalHeight = train.Typical(); d.warm != nil {
		net.Center, net.Spread, net.TypicalWidth, net.TypicalHeight = d.warm.center, d.warm.spread, d.warm.width, d.warm.height
	}
	d.center, d.spread, d.width, d.height = net.Center, net.Spread, net.TypicalWidth, net.TypicalHeight
	t, err := fit.TrainDetector(ctx, net, c, train, val, tell)
	if err != nil {
		return err
	}
	d.outcome, d.form, d.file = &t.Outcome, model.FormYOLOv8, t.Export()
	return nil
}

// faint is the least confidence of a box that counts in an average precision.
const faint = 0.02

// measure judges the exported file by the code that serves: on the part that stopped the training, which flatters it, and on what is kept, where there is any.
func (d *drawn) measure(sight *Sight, meta *model.Meta) (summary string, err error) {
	p, parts := meta.Picture, []struct {
		name string
		rows []int
	}{{"validation", d.parts.val}, {"holdout", d.parts.held}}
	for _, part := range parts {
		if len(part.rows) == 0 {
			continue
		}
		blocks := fmt.Sprintf("%d frames that it did not learn from (%s, in blocks of %v)", len(part.rows), part.name, d.spec.Picture.Block)
		key := func(k string) string { return part.name + "_" + k }
		meta.Metrics[key("frames")] = float64(len(part.rows))
		least := float32(0)
		if d.spec.Task == model.Detection {
			least = faint
		}
		boxes, labels, err := d.g.sights(d.file, *p, sight, part.rows, least)
		if err != nil {
			return "", fmt.Errorf("judge what was trained: %w", err)
		}
		if d.spec.Task == model.Classification {
			accuracy, each := d.g.recalls(p.Labels, part.rows, labels)
			meta.Metrics[key("accuracy")] = accuracy
			for c, v := range each {
				meta.Metrics[key("recall_"+c)] = v
			}
			summary = fmt.Sprintf("right on %.1f %% of %s", 100*accuracy, blocks)
			continue
		}
		shots, there := d.g.shoot(d.spec.Picture, part.rows, boxes)
		sum, classes := 0.0, 0.0
		for c, name := range p.Labels {
			if there[c] > 0 {
				ap := averagePrecision(shots[c], there[c])
				meta.Metrics[key("ap50_"+name)] = ap
				sum, classes = sum+ap, classes+1
			}
		}
		if p.Threshold == 0 {
			p.Threshold, _ = bestThreshold(shots, there)
		}
		found, said, all := 0, 0, 0
		for c := range shots {
			all += there[c]
			for _, s := range shots[c] {
				if s.score >= p.Threshold {
					said++
					if s.hit {
						found++
					}
				}
			}
		}
		if classes > 0 {
			meta.Metrics[key("map50")] = sum / classes
		}
		meta.Metrics[key("recall")], meta.Metrics[key("precision")] = float64(found)/float64(max(all, 1)), float64(found)/float64(max(said, 1))
		meta.Metrics["threshold"] = float64(p.Threshold)
		summary = fmt.Sprintf("found %d of %d things with %d boxes at a confidence of %.2f, mean average precision %.3f at an overlap of 0.5, in %s", found, all, said, p.Threshold, sum/max(classes, 1), blocks)
	}
	return summary, nil
}
