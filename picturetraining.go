package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"andon/event"
	"andon/ingest/video"
	"andon/processors/vision/boxes"
	"andon/sinks/clickhouse"
	"andon/sinks/evidence"
	"andon/trainer"
)

// lessons is what the trainer learns from: rows and labels of ClickHouse, and the frames that are kept as evidence.
type lessons struct {
	*clickhouse.Store
	kept *evidence.Store
	past *event.Marks                    // how far all is stored that is read; nil: as far as it is
	look func() (*evidence.Store, error) // opens the frames that another process keeps, as they are now; nil: kept has them

	memory lessonMemory
}

// labelled is a kept frame with what labels say of it.
type labelled struct {
	evidence.Entry
	labels []event.Label
}

// labelledFrames returns the kept frames that labels speak of, by camera and time: labels of their very moment (ClickHouse keeps microseconds), and of a stretch that they lie in.
func (l *lessons) labelledFrames(ctx context.Context, pipeline string) ([]labelled, error) {
	labels, err := l.Labels(ctx, pipeline, "")
	if err != nil || len(labels) == 0 {
		return nil, err
	}
	type moment struct {
		camera string
		at     int64
	}
	of := map[moment][]event.Label{}
	lasting := map[string][]event.Label{}
	for _, x := range labels {
		if x.Until > x.Time {
			lasting[x.Asset] = append(lasting[x.Asset], x)
			continue
		}
		key := moment{x.Asset, x.Time / int64(time.Microsecond)}
		of[key] = append(of[key], x)
	}
	var out []labelled
	for _, e := range l.kept.List(evidence.Filter{Pipeline: pipeline}) {
		say := of[moment{e.Camera, e.Captured / int64(time.Microsecond)}]
		for _, x := range lasting[e.Camera] {
			if x.Time <= e.Captured && e.Captured < x.Until {
				say = append(say[:len(say):len(say)], x)
			}
		}
		if len(say) > 0 {
			out = append(out, labelled{e, say})
		}
	}
	slices.SortFunc(out, func(a, b labelled) int {
		return cmp.Or(cmp.Compare(a.Camera, b.Camera), cmp.Compare(a.Captured, b.Captured))
	})
	return out, nil
}

// LabelledFrames is of trainer.Frames. A frame that is removed meanwhile is left out.
func (l *lessons) LabelledFrames(ctx context.Context, pipeline string, f func(trainer.Frame) error) (string, error) {
	l, err := l.looking()
	if err != nil {
		return "", err
	}
	all, err := l.labelledFrames(ctx, pipeline)
	if err != nil {
		return "", err
	}
	n := 0
	for i := range all {
		e := &all[i]
		jpeg, note, err := l.kept.Get(ctx, e.Ref)
		if errors.Is(err, evidence.ErrNotKept) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("read the frame %s: %w", e.Ref, err)
		}
		frame := trainer.Frame{Camera: e.Camera, Captured: e.Captured, JPEG: jpeg, Labels: e.labels}
		var said struct {
			Position string `json:"position"`
		}
		if json.Unmarshal(note, &said) == nil {
			frame.Position, _ = event.ParsePosition(said.Position) // of what it does not know where it was, the lineage says nothing
		}
		if l.past != nil && frame.Topic != "" && !event.Holds(l.past.Frames, frame.Position) {
			continue
		}
		n++
		if err := f(frame); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("SELECT * FROM truth_labels WHERE pipeline = '%s', for %d frames of the evidence store", pipeline, n), nil
}

// sight is how the trainer sees a pipeline's frames: by the decoder and the reader that serve, and cut to the zones that models are shown.
func (p *Pipeline) sight() trainer.Sight {
	turbo := sync.OnceValue(func() *video.Turbo {
		t, _ := video.OpenTurbo("") // without it image/jpeg decodes
		return t
	})
	return trainer.Sight{Read: boxes.Read, Planes: func(dst, jpeg []byte, c trainer.Crop, width, height int) ([]byte, error) {
		d, err := video.NewDecoder(video.DefaultDecoding(), turbo())
		if err != nil {
			return dst, err
		}
		defer d.Close()
		const level = 1.0 / 255 // so that a pixel stays what it was
		planes, err := d.Append(nil, jpeg, video.Plan{Crop: video.Crop{X0: c.X0, Y0: c.Y0, X1: c.X1, Y1: c.Y1}, Width: width, Height: height, Std: [3]float32{level, level, level}})
		for _, v := range planes {
			dst = append(dst, byte(min(max(v+0.5, 0), 255)))
		}
		return dst, err
	}, Crops: func(camera string) (all []trainer.Crop) {
		for _, z := range p.Vision.Crops(camera) {
			x0, y0, x1, y1 := z.Bounds()
			all = append(all, trainer.Crop{Zone: z.Name, X0: float64(x0), Y0: float64(y0), X1: float64(x1), Y1: float64(y1)})
		}
		return all
	}}
}
