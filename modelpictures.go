package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"andon/model"
	"andon/processors/vision/boxes"
	"andon/scorer"
)

// shapeFrame is the shape of a source whose records are frames.
const shapeFrame = "frame"

// takesFrames reports whether a pipeline's records are frames, and its models of pictures.
func takesFrames(p *Pipeline) bool { return p.Source.Shape == shapeFrame }

// fitsFrames tells why a model cannot be used by its pipeline where one of the two is of pictures. A model whose labels are others than those of the pipeline's own is let in: what is asked for by
// name is checked where it is asked for.
func fitsFrames(p *Pipeline, m *model.Model) error {
	switch {
	case !takesFrames(p):
		return fmt.Errorf("the records of pipelines.%s are readings (source.shape %s), and the model is of frames", p.Name, p.Source.Shape)
	case m.Picture == nil:
		return fmt.Errorf("the records of pipelines.%s are frames, and the model makes windows of readings", p.Name)
	case p.Model != nil && p.Model.Task != m.Task:
		return fmt.Errorf("the model is a %s, and pipelines.%s.model.task is %s", m.Task, p.Name, p.Model.Task)
	}
	return nil
}

// takes says in a few words what a model looks at: 60 x 10s, or 640x640 of helmet, vest.
func takes(m *model.Meta) string {
	if p := m.Picture; p != nil {
		const most = 5
		labels := strings.Join(p.Labels[:min(len(p.Labels), most)], ", ")
		if n := len(p.Labels) - most; n > 0 {
			labels += fmt.Sprintf(" and %d more", n)
		}
		return fmt.Sprintf("%dx%d of %s", p.Width, p.Height, labels)
	}
	return fmt.Sprintf("%d x %v", m.Recipe.Length, m.Recipe.Grid)
}

// trySeeing runs a model on dark, bright and noisy pictures, alone and together, reads what it says as the line would, and measures how long a picture takes.
func trySeeing(ctx context.Context, judge *scorer.Scorer, m *model.Model, measured map[string]float64) error {
	p := m.Picture
	size := 3 * p.Width * p.Height
	rng := rand.New(rand.NewPCG(1, 2))
	const most = 4
	var dst []model.Tensor
	for _, n := range []int{1, most} {
		pictures := make([]float32, n*size)
		for _, light := range []string{"dark", "bright", "noisy"} {
			for i := range pictures {
				v := float32(0)
				switch light {
				case "bright":
					v = 1
				case "noisy":
					v = rng.Float32()
				}
				c := i / (p.Width * p.Height) % 3
				std := p.Std[c]
				if std == 0 {
					std = 1
				}
				pictures[i] = (v - p.Mean[c]) / std
			}
			var took []time.Duration
			for range 3 {
				began := time.Now()
				var err error
				if dst, err = judge.See(ctx, m, pictures, n, dst); err != nil {
					return fmt.Errorf("%d %s pictures: %w", n, light, err)
				}
				took = append(took, time.Since(began))
			}
			measured[fmt.Sprintf("trial_seconds_pictures_%d", n)] = slices.Min(took).Seconds()
			for i := range n {
				if _, _, _, err := boxes.Read(p, dst, i, nil); err != nil {
					return fmt.Errorf("%s pictures: %w", light, err)
				}
			}
		}
	}
	return nil
}
