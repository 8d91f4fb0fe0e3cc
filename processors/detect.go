package processors

import (
	"strconv"

	"andon/event"
	"andon/processors/features"
)

// detect takes the verdict of a detector on a window that row completed into the block. The detector stands in the place of a model: there is no canary, no shadow and no watch of it, and nothing waits for a scorer.
func (p *Pipeline) detect(b *event.Batch, row *event.Row, w *features.Window, d *detected) {
	now := p.line.now().UnixNano()
	s := event.Score{
		Verdict: d.said, Pipeline: p.block.Pipeline, Asset: w.Asset, Start: w.Start, End: w.End, Version: d.Version(),
		Position: event.Position{Topic: p.block.Topic, Partition: p.block.Partition, Offset: row.Offset},
		Latency:  max(now-b.Received, 0), ScoredAt: now,
	}
	p.block.Scores = append(p.block.Scores, s)
	p.version = s.Version
	p.line.meters.said.Inc()
	p.line.meters.latency.Observe(float64(s.Latency) / 1e9)
}

// learns tells how many assets have no scores yet because their detector learns.
func (p *Pipeline) learns() {
	d, ok := p.state.(*detected)
	if !ok {
		return
	}
	was, n := p.learning, d.Learning()
	if p.learning = n; was == n {
		return
	}
	p.line.learning.Add(int64(n - was))
	p.line.all.learning.WithLabelValues(p.block.Pipeline, strconv.Itoa(int(p.block.Partition))).Set(float64(n))
	switch {
	case was == 0:
		p.log.Info("assets are new to the detector: it learns from their first rows and says nothing of them until then", "assets", n, "rows", p.line.cfg.Detector.Rows())
	case n == 0:
		p.log.Info("the detector has learned all assets that it knows", "assets", d.Assets())
	}
}

// Learning returns how many assets of the partitions that are here have no scores yet because their detector learns.
func (l *Line) Learning() int { return int(l.learning.Load()) }

// Version names the detector that scores in a model's place, empty where models do.
func (l *Line) Version() string { return l.version }
