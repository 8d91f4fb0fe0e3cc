package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"andon/deploy"
	"andon/event"
	"andon/ingest"
	"andon/ingest/video"
)

// DemoCamera is a video of the demo that plays a camera.
type DemoCamera struct {
	Name   string  `yaml:"name"`
	File   string  `yaml:"file"`
	Camera string  `yaml:"camera"`
	Topic  string  `yaml:"topic"`
	FPS    float64 `yaml:"fps"`
	Speed  float64 `yaml:"speed"`
	Loop   bool    `yaml:"loop"`
	// Labels is a file of what is in the video, told of Pipeline behind each frame. A video with labels is played at the first start only.
	Labels   string `yaml:"labels"`
	Pipeline string `yaml:"pipeline"`
}

// UnmarshalYAML reads a camera over its defaults.
func (d *DemoCamera) UnmarshalYAML(unmarshal func(any) error) error {
	type plain DemoCamera
	*d = DemoCamera{FPS: 5, Speed: 1}
	return unmarshal((*plain)(d))
}

// demoFrame is the largest frame of a demo's camera.
const demoFrame = event.Bytes(1_000_000)

func (d *DemoCamera) feed(input string) video.Feed {
	return video.Feed{Source: video.Source{Input: input, FPS: d.FPS, Loop: d.Loop, Limit: demoFrame}, Camera: d.Camera, Topic: d.Topic, Speed: d.Speed}
}

// Validate reports every fault with its key.
func (d *DemoCamera) Validate() error {
	f := d.feed(d.File)
	errs := flatten(f.Validate())
	if d.Name == "" {
		errs = append(errs, errors.New("name: is empty"))
	}
	if (d.Labels == "") != (d.Pipeline == "") || d.Labels != "" && d.Loop {
		errs = append(errs, errors.New("labels: name the pipeline that they are of, too; and a video with labels is played once, without loop"))
	}
	return errors.Join(errs...)
}

// startDemoCameras plays the demo's videos beside the line. Without ffmpeg it says so, and the rest of the demo goes on.
func startDemoCameras(team *crew, cfg *Config, at ingest.Config, log *slog.Logger) error {
	if len(cfg.DemoCameras) == 0 {
		return nil
	}
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		log.Warn("the demo has no cameras, since ffmpeg is not installed: install it (make deps-video) and start again")
		return nil
	}
	for i := range cfg.DemoCameras {
		d := &cfg.DemoCameras[i]
		done := cfg.path("run", "camera-"+d.Name+".done")
		if _, err := os.Stat(done); err == nil && d.Labels != "" {
			continue
		}
		input, err := unpack(d.File, cfg.path("run"))
		if err != nil {
			return fmt.Errorf("demo_cameras %s: %w", d.Name, err)
		}
		feed := d.feed(input)
		if d.Labels != "" {
			if feed.Truth, err = d.truth(cfg); err != nil {
				return fmt.Errorf("demo_cameras %s: %w", d.Name, err)
			}
		}
		f, err := video.New(feed, video.Surroundings{Brokers: at.Brokers, Security: security(at)}, log)
		if err != nil {
			return fmt.Errorf("demo_cameras %s: %w", d.Name, err)
		}
		team.run(0, "demo camera "+d.Name, func(ctx context.Context) error {
			err := f.Run(ctx)
			switch {
			case err != nil && ctx.Err() == nil:
				log.Error("a camera of the demo stopped", "camera", d.Camera, "error", err)
			case ctx.Err() == nil && d.Labels != "":
				if err := os.WriteFile(done, []byte(time.Now().UTC().Format(time.RFC3339)+"\n"), 0o644); err != nil {
					log.Error("the demo's video will be played again", "camera", d.Camera, "error", err)
				}
			}
			return nil
		})
	}
	return nil
}

func (d *DemoCamera) truth(cfg *Config) (*video.Truth, error) {
	text, err := deploy.Demo().Open(d.Labels)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	told, err := video.ReadLabels(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Labels, err)
	}
	return &video.Truth{Pipeline: d.Pipeline, Topic: cfg.Topics.Labels, Who: "demo", Told: told}, nil
}

// unpack writes a file that the program carries where ffmpeg can read it.
func unpack(name, dir string) (string, error) {
	data, err := fs.ReadFile(deploy.Demo(), name)
	if err != nil {
		return "", err
	}
	to := filepath.Join(dir, name)
	if had, err := os.Stat(to); err == nil && had.Size() == int64(len(data)) {
		return to, nil
	}
	if err := os.WriteFile(to+".partial", data, 0o644); err != nil {
		return "", err
	}
	return to, os.Rename(to+".partial", to)
}
