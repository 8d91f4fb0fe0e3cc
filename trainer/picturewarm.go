package trainer

import (
	"fmt"
	"math"
	"slices"

	"andon/model"
)

// Names of metrics that a network of pictures needs beside its parameters to go on from: how its pixels are scaled, and what size things usually have.
const (
	pixelsMean    = "pixels_mean"
	pixelsSpread  = "pixels_spread"
	typicalWidth  = "typical_width"
	typicalHeight = "typical_height"
)

// beginning is a champion's parameters, and what belongs to them.
type beginning struct {
	params         []float32
	center, spread float64
	width, height  float64 // of a detector's things
	digest         string
}

// warmPictures is warmth for a task of pictures.
func warmPictures(s *Spec, champion *model.Model) (b *beginning, why string) {
	if !s.Warm || champion == nil {
		return nil, ""
	}
	p, m := s.Picture, champion.Metrics
	b = &beginning{center: m[pixelsMean], spread: m[pixelsSpread], width: m[typicalWidth], height: m[typicalHeight], digest: digest(champion.ONNX)}
	var err error
	switch {
	case champion.Picture == nil || champion.Task != s.Task:
		err = fmt.Errorf("it is of another task")
	case !slices.Equal(champion.Picture.Labels, p.Labels):
		err = fmt.Errorf("it tells %v, and picture.labels are %v", champion.Picture.Labels, p.Labels)
	case b.spread <= 0 || s.Task == model.Detection && (b.width <= 0 || b.height <= 0):
		err = fmt.Errorf("it does not say how its pixels are scaled")
	case s.Task == model.Detection:
		b.params, err = p.detector().Start(champion.ONNX)
	default:
		b.params, err = p.classifier().Start(champion.ONNX)
	}
	if err != nil {
		return nil, fmt.Sprintf("; from scratch, since the champion gives no start: %v", err)
	}
	return b, "; begun with the champion's parameters"
}

// since is the event time from which on frames are recent, as of windows.
func (g *gallery) since(s *Spec, o *order) int64 {
	if o.since != 0 {
		return o.since
	}
	newest := int64(math.MinInt64)
	for i := range g.all {
		newest = max(newest, g.all[i].captured)
	}
	if !o.again || newest == math.MinInt64 || s.Recent == 0 {
		return math.MinInt64 // all are
	}
	return newest - int64(s.Recent)
}

// balance gives the frames that are older than recent ones the share replay of the weight, as balance does for windows.
func (g *gallery) balance(s *Spec, o *order, parts division) {
	since := g.since(s, o)
	rows := slices.Concat(parts.train, parts.val)
	recent := 0
	for _, i := range rows {
		if g.all[i].captured >= since {
			recent++
		}
	}
	share := balance(len(rows)-recent, recent, len(rows), s.Replay)
	for _, i := range rows {
		e := &g.all[i]
		e.weight *= float32(share.of(e.captured >= since).weight)
	}
	g.sum()
}
