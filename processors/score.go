package processors

import (
	"context"
	"fmt"
	"slices"

	"andon/event"
	"andon/model"
	"andon/processors/features"
)

// lane is one model's part of a chunk: the windows that it scores, scaled by its own recipe, in the order of the log.
type lane struct {
	model  *model.Model
	scaler *features.Scaler
	// fits tells that there is a model and that its windows are this pipeline's.
	fits    bool
	windows []float32
	// rows are the windows' places in the block's scores.
	rows     []int
	verdicts []event.Verdict
}

// use gives the lane a model, nil for none, and reports whether that is another one than before.
func (l *lane) use(m *model.Model, recipe *model.Recipe) bool {
	if m == l.model {
		return false
	}
	l.model, l.scaler, l.fits = m, nil, false
	if m != nil && recipe != nil && m.Recipe.SameShape(recipe) {
		l.scaler, l.fits = features.NewScaler(&m.Recipe), true
	}
	return true
}

// same reports whether two models are one version.
func same(a, b *model.Model) bool {
	return a == b || a != nil && b != nil && a.Version == b.Version
}

// choose reads which models score from here on. It is called while no window waits.
func (p *Pipeline) choose() {
	judge := &p.line.judge
	if p.champion.use(judge.Live(), p.line.recipe) && p.champion.model != nil && p.line.recipe != nil {
		if !p.champion.fits {
			p.log.Error("the live model makes other windows than this pipeline, so nothing is scored: promote a model trained with the pipeline's features",
				"model", p.champion.model.Version)
		} else {
			p.log.Info("model in use", "model", p.champion.model.Version)
		}
	}
	var canary *model.Model
	if judge.Canary != nil {
		canary, p.percent = judge.Canary()
	}
	if same(canary, p.champion.model) {
		canary = nil // its share of the assets is the champion's anyway
	}
	p.watch.turn(p, p.champion.watched())
	switch was := p.canary.fits; {
	case !p.canary.use(canary, p.line.recipe) || p.line.recipe == nil:
	case canary == nil && was:
		p.log.Info("canary ended")
	case p.canary.fits:
		p.log.Info("canary in use", "model", canary.Version, "percent", p.percent)
	case canary != nil:
		p.log.Error("the canary makes other windows than this pipeline, so the champion scores all assets", "model", canary.Version)
	}
	p.trial.turn(p, p.canary.watched())
	p.cast()
}

// window takes a window that row completed into the chunk, and scores the chunk if it is full.
func (p *Pipeline) window(ctx context.Context, b *event.Batch, row *event.Row, w *features.Window) error {
	if !p.line.cfg.Rescore.wants(w.End) {
		return nil
	}
	if d, ok := p.state.(*detected); ok {
		p.detect(b, row, w, d)
		return nil
	}
	l := &p.champion
	if p.canary.fits && model.InShare(w.Asset, p.percent) {
		l = &p.canary
	}
	if !l.fits {
		if l.model != nil {
			p.line.meters.unfit.Inc()
		}
		return nil
	}
	l.windows = w.Append(l.windows, l.scaler)
	l.rows = append(l.rows, len(p.block.Scores))
	p.block.Scores = append(p.block.Scores, event.Score{
		Pipeline: p.block.Pipeline, Asset: w.Asset, Start: w.Start, End: w.End, Version: l.model.Version,
		Position: event.Position{Topic: p.block.Topic, Partition: p.block.Partition, Offset: row.Offset},
	})
	for i := range p.shades {
		p.shades[i].take(w, l.model, &p.block.Scores[len(p.block.Scores)-1])
	}
	if p.waiting++; p.waiting < p.line.cfg.ScoreChunk {
		return nil
	}
	if err := p.score(ctx, b); err != nil {
		return err
	}
	p.choose()
	return nil
}

// score gets the verdicts of the windows that wait, and hands the same windows to the shadows.
func (p *Pipeline) score(ctx context.Context, b *event.Batch) error {
	if p.waiting == 0 {
		return nil
	}
	for _, l := range []*lane{&p.champion, &p.canary} {
		if err := p.judged(ctx, l, b); err != nil {
			return err
		}
	}
	p.waiting = 0
	for i := range p.shades {
		p.shades[i].submit(p, b.Received)
	}
	return nil
}

// judged gets the verdicts of one model's windows.
func (p *Pipeline) judged(ctx context.Context, l *lane, b *event.Batch) error {
	n := len(l.rows)
	if n == 0 {
		return nil
	}
	l.verdicts = slices.Grow(l.verdicts[:0], n)[:n]
	if err := p.line.judge.Scorer.Score(ctx, l.model, l.windows, l.verdicts); err != nil {
		return fmt.Errorf("%d windows by model %s: %w", n, l.model.Version, err)
	}
	now := p.line.now().UnixNano()
	latency := max(now-b.Received, 0)
	for i, row := range l.rows {
		s := &p.block.Scores[row]
		s.Verdict, s.Latency, s.ScoredAt = l.verdicts[i], latency, now
		p.line.meters.latency.Observe(float64(latency) / 1e9)
	}
	if l == &p.champion && p.watch != nil {
		size, width := l.model.Recipe.Length*l.model.Recipe.Width(), l.model.Recipe.Width()
		for i, row := range l.rows {
			p.watch.see(p, &p.block.Scores[row], l.windows[(i+1)*size-width:(i+1)*size])
		}
	}
	if l == &p.canary && p.trial != nil {
		size, width := l.model.Recipe.Length*l.model.Recipe.Width(), l.model.Recipe.Width()
		for i, row := range l.rows {
			p.trial.see(p, &p.block.Scores[row], l.windows[(i+1)*size-width:(i+1)*size])
		}
	}
	p.version = l.model.Version
	if l == &p.canary && p.champion.fits {
		p.version = p.champion.model.Version + "+" + p.version
	}
	l.windows, l.rows = l.windows[:0], l.rows[:0]
	return nil
}
