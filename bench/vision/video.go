package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"andon/event"
	"andon/ingest/video"
	"andon/model"
	"andon/processors/vision/boxes"
	"andon/trainer"
	"andon/trainer/fit"
)

// clip is a labelled video as a source of frames to learn from.
type clip struct {
	trainer.Source
	frames []trainer.Frame
}

func (c *clip) LabelledFrames(_ context.Context, _ string, f func(trainer.Frame) error) (string, error) {
	for _, frame := range c.frames {
		if err := f(frame); err != nil {
			return "", err
		}
	}
	return "a video", nil
}

func (c *clip) CountLabelledFrames(context.Context, string) (int, error) { return len(c.frames), nil }

// open takes a video's frames out through ffmpeg; rate is its frames a second.
func open(ctx context.Context, file string, rate int) (*clip, error) {
	dir, err := os.MkdirTemp("", "andon-vision")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if out, err := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-i", file, "-q:v", "3", filepath.Join(dir, "%06d.jpg")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("ffmpeg %s: %w: %s", file, err, out)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.jpg"))
	if err != nil {
		return nil, err
	}
	c := &clip{}
	for i, name := range names {
		jpeg, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		c.frames = append(c.frames, trainer.Frame{Position: event.Position{Topic: "frames", Offset: int64(i)}, Camera: filepath.Base(file),
			Captured: time.Unix(1_700_000_000, 0).Add(time.Duration(i) * time.Second / time.Duration(rate)).UnixNano(), JPEG: jpeg})
	}
	return c, nil
}

// rows reads a CSV's numbers by their columns' names.
func rows(file string) (all []map[string]float64, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, line := range lines[1:] {
		row := map[string]float64{}
		for i, name := range lines[0] {
			if v, err := strconv.ParseFloat(line[i], 64); err == nil {
				row[name] = v
			}
		}
		all = append(all, row)
	}
	return all, nil
}

// worker is a worker with a helmet and a vest, 71 frames.
func worker(ctx context.Context, data string) (*clip, trainer.Spec, error) {
	s := trainer.DefaultSpec(model.Detection)
	s.Picture.Labels = []string{"helmet", "vest"}
	c, err := open(ctx, filepath.Join(data, "video", "worker_zone.mp4"), 15)
	if err != nil {
		return nil, s, err
	}
	all, err := rows(filepath.Join(data, "video", "worker_zone_boxes.csv"))
	if err != nil {
		return nil, s, err
	}
	const w, h = 480, 270
	for _, row := range all {
		f := &c.frames[int(row["frame"])]
		for _, kind := range s.Picture.Labels {
			if row[kind+"_w"] == 0 {
				continue
			}
			x, y := row[kind+"_x"], row[kind+"_y"]
			f.Labels = append(f.Labels, event.Label{Asset: f.Camera, Time: f.Captured, Kind: kind,
				Box: event.Box{X0: float32(x / w), Y0: float32(y / h), X1: float32((x + row[kind+"_w"]) / w), Y1: float32((y + row[kind+"_h"]) / h)}})
		}
	}
	return c, s, nil
}

// visitors is whether somebody is there, 1,394 frames. Of the frames around a coming and going nobody can say, and those are left out.
func visitors(ctx context.Context, data string) (*clip, trainer.Spec, error) {
	s := trainer.DefaultSpec(model.Classification)
	s.Picture.Labels, s.Picture.Normal = []string{"clear", "person"}, "clear"
	c, err := open(ctx, filepath.Join(data, "video", "one_by_one_person.mp4"), 10)
	if err != nil {
		return nil, s, err
	}
	all, err := rows(filepath.Join(data, "video", "one_by_one_person_events.csv"))
	if err != nil {
		return nil, s, err
	}
	const doubt = 3
	var kept []trainer.Frame
	for i := range c.frames {
		kind, sure := event.KindClear, true
		for _, row := range all {
			first, last := int(row["first_frame"]), int(row["last_frame"])
			if i >= first && i <= last {
				kind = "person"
			}
			sure = sure && (i < first-doubt || i > first+doubt) && (i < last-doubt || i > last+doubt)
		}
		if sure {
			f := c.frames[i]
			f.Labels = []event.Label{{Asset: f.Camera, Time: f.Captured, Kind: kind}}
			kept = append(kept, f)
		}
	}
	c.frames = kept
	return c, s, nil
}

// film trains on a clip as a pipeline does, and prints what the held-out part gives.
func (b *bench) film(ctx context.Context, data, set string) error {
	read := map[string]func(context.Context, string) (*clip, trainer.Spec, error){"worker": worker, "visitors": visitors}[set]
	c, spec, err := read(ctx, data)
	if err != nil {
		return err
	}
	turbo, err := video.OpenTurbo("")
	if err != nil {
		return err
	}
	decoder, err := video.NewDecoder(video.DefaultDecoding(), turbo)
	if err != nil {
		return err
	}
	defer decoder.Close()
	var planes []float32
	p := trainer.Pipeline{Name: set, Spec: spec, Sight: trainer.Sight{Read: boxes.Read, Planes: func(dst, jpeg []byte, _ trainer.Crop, width, height int) ([]byte, error) {
		const level = 1.0 / 255 // so that a pixel stays what it was
		var err error
		if planes, err = decoder.Append(planes[:0], jpeg, video.Plan{Width: width, Height: height, Std: [3]float32{level, level, level}}); err != nil {
			return dst, err
		}
		for _, v := range planes {
			dst = append(dst, byte(v+0.5))
		}
		return dst, nil
	}}}
	began := time.Now()
	lesson, err := trainer.Learn(ctx, c, &p, trainer.Default().Memory, set, trainer.Watcher{Epoch: func(q fit.Progress) {
		if b.verbose {
			fmt.Printf("  epoch %d: loss %.4f, validation %.4f, %.0f frames/s, %v\n", q.Epoch, q.Loss, q.ValLoss, q.RowsPerSecond, time.Since(began).Round(time.Second))
		}
	}})
	if err != nil {
		return err
	}
	m := lesson.Model
	fmt.Printf("%s: %d frames; %s; %.1f s, CPU %.1f s; %s\n", set, len(c.frames), lesson.Summary, m.Lineage.Seconds, m.Lineage.CPUSeconds, load())
	for _, k := range slices.Sorted(maps.Keys(m.Metrics)) {
		fmt.Printf("  %s: %.4g\n", k, m.Metrics[k])
	}
	return nil
}
