package processors

import (
	"context"
	"fmt"
	"slices"

	"andon/event"
	"andon/processors/features"
)

// choose reads which model scores from here on. It is called while no window waits.
func (p *Pipeline) choose() {
	m := p.line.judge.Live()
	if m == p.model {
		return
	}
	p.model, p.scaler, p.fits = m, nil, false
	if m == nil || p.line.recipe == nil {
		return
	}
	if p.fits = m.Recipe.SameShape(p.line.recipe); !p.fits {
		p.log.Error("the live model makes other windows than this pipeline, so nothing is scored: promote a model trained with the pipeline's features",
			"model", m.Version)
		return
	}
	p.scaler = features.NewScaler(&m.Recipe)
	p.log.Info("model in use", "model", m.Version)
}

// window takes a window that row completed into the chunk, and scores the chunk if it is full.
func (p *Pipeline) window(ctx context.Context, b *event.Batch, row *event.Row, w *features.Window) error {
	if !p.line.cfg.Rescore.wants(w.End) {
		return nil
	}
	if !p.fits {
		if p.model != nil {
			p.line.meters.unfit.Inc()
		}
		return nil
	}
	p.windows = w.Append(p.windows, p.scaler)
	p.block.Scores = append(p.block.Scores, event.Score{
		Pipeline: p.block.Pipeline, Asset: w.Asset, Start: w.Start, End: w.End, Version: p.model.Version,
		Position: event.Position{Topic: p.block.Topic, Partition: p.block.Partition, Offset: row.Offset},
	})
	if p.waiting++; p.waiting < p.line.cfg.ScoreChunk {
		return nil
	}
	if err := p.score(ctx, b); err != nil {
		return err
	}
	p.choose()
	return nil
}

// score gets the verdicts of the windows that wait.
func (p *Pipeline) score(ctx context.Context, b *event.Batch) error {
	n := p.waiting
	if n == 0 {
		return nil
	}
	p.verdicts = slices.Grow(p.verdicts[:0], n)[:n]
	if err := p.line.judge.Scorer.Score(ctx, p.model, p.windows, p.verdicts); err != nil {
		return fmt.Errorf("%d windows by model %s: %w", n, p.model.Version, err)
	}
	now := p.line.now().UnixNano()
	latency := max(now-b.Received, 0)
	scores := p.block.Scores[len(p.block.Scores)-n:]
	for i := range scores {
		scores[i].Verdict, scores[i].Latency, scores[i].ScoredAt = p.verdicts[i], latency, now
		p.line.meters.latency.Observe(float64(latency) / 1e9)
	}
	p.version, p.windows, p.waiting = p.model.Version, p.windows[:0], 0
	return nil
}
