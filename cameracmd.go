package main

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"andon/event"
	"andon/ingest"
	"andon/ingest/video"
)

type cameraCommand struct {
	ConfigFlags
	URL        string      `arg:"" help:"The camera's stream, as rtsp://user:password@host/stream." env:"ANDON_CAMERA_URL"`
	Camera     string      `help:"The camera's name." placeholder:"NAME" required:""`
	FPS        float64     `name:"fps" help:"Frames a second." default:"5"`
	Topic      string      `help:"Topic to send to; andon.frames.in without it."`
	Kafka      []string    `help:"Brokers; without them those of the running appliance, or the configuration's." placeholder:"HOST:PORT,…"`
	MaxMessage event.Bytes `help:"Bytes of the largest frame; larger ones are left out and counted." default:"1000000"`
}

// Help is what --help says beyond the flags.
func (cameraCommand) Help() string {
	return `It reads the stream through ffmpeg and sends its frames to Kafka until it is stopped. A camera that goes away is tried again, after 1 s to 30 s. Frames that come while the broker
does not keep up are dropped, and counted. Other users of this machine can see a URL among ffmpeg's arguments; no log has its password.`
}

func (c *cameraCommand) Run(t *talk) error {
	if !strings.Contains(c.URL, "://") {
		return usage(fmt.Errorf("%s is not a camera's URL: write rtsp://…, or send a file by andon replay --video", c.URL))
	}
	cfg, err := c.load(nil)
	if err != nil {
		return err
	}
	at, err := cfg.target(c.Kafka)
	if err != nil {
		return err
	}
	own := cfg.embeddedBroker() && len(c.Kafka) == 0
	return sendFrames(t, video.Feed{Source: video.Source{Input: c.URL, FPS: c.FPS, Limit: c.MaxMessage}, Camera: c.Camera, Topic: c.Topic}, at, own || at.CreateTopics, newLogger(cfg.Log, t.err))
}

// sendFrames runs a feed and tells how far it is. With makeTopic the topic is made where it is missing.
func sendFrames(t *talk, feed video.Feed, at ingest.Config, makeTopic bool, log *slog.Logger) error {
	if feed.Topic == "" {
		feed.Topic = video.DefaultTopic
	}
	f, err := video.New(feed, video.Surroundings{Brokers: at.Brokers, Security: security(at), Progress: func(p video.Progress) {
		fmt.Fprintf(t.err, "camera %s: %d frames, %d bytes, captured %s, %.1f frames/s, %d dropped, %d too large, %d reconnects\n", p.Camera, p.Sent, p.Bytes,
			p.Captured.Format(time.RFC3339), p.FramesPerSecond, p.Dropped, p.TooLarge, p.Reconnects)
	}}, log)
	if err != nil {
		return usage(err)
	}
	look := at
	look.ConnectTimeout = min(at.ConnectTimeout, 10*time.Second)
	var topics []ingest.Topic
	if makeTopic {
		topics = []ingest.Topic{{Name: feed.Topic, Partitions: 4}}
	}
	if err := ingest.EnsureTopics(t.ctx, look, topics, slog.New(slog.DiscardHandler)); err != nil { // one clear error where there is no broker
		return environment(err)
	}
	return f.Run(t.ctx)
}
