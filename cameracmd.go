package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	neturl "net/url"
	"strconv"
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
	return sendFrames(t, video.Feed{Source: video.Source{Input: c.URL, FPS: c.FPS, Limit: c.MaxMessage}, Camera: c.Camera, Topic: c.Topic}, at, own || at.CreateTopics, cfg, newLogger(cfg.Log, t.err))
}

// sendFrames runs a feed and tells how far it is. With makeTopic the topic is made where it is missing.
func sendFrames(t *talk, feed video.Feed, at ingest.Config, makeTopic bool, cfg *Config, log *slog.Logger) error {
	if feed.Topic == "" {
		feed.Topic = video.DefaultTopic
	}
	with := video.Surroundings{}
	if a, err := readAddresses(cfg.Data); err == nil && a.Console != "" { // the appliance of the data folder keeps what is too large
		with.Large, with.Inline = uploader("http://"+a.Console, feed.Topic), int(min(feed.Source.Limit, cfg.Evidence.MaxInline))
		feed.Source.Limit = max(feed.Source.Limit, largestPicture)
	}
	f, err := video.New(feed, video.Surroundings{Large: with.Large, Inline: with.Inline, Brokers: at.Brokers, Security: security(at), Progress: func(p video.Progress) {
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

// largestPicture is what a frame that does not go into a record may take.
const largestPicture = 16 << 20

// uploader gives pictures that are too large for a record to the appliance's evidence store.
func uploader(url, topic string) func(ctx context.Context, f *video.Frame) (string, error) {
	return func(ctx context.Context, f *video.Frame) (string, error) {
		q := neturl.Values{"source": {topic}, "camera": {f.Camera}, "captured": {strconv.FormatInt(f.Captured.UnixNano(), 10)}}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/v1/evidence?"+q.Encode(), bytes.NewReader(f.JPEG))
		if err != nil {
			return "", err
		}
		req.Header.Set("Content-Type", video.ContentType)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		var answer struct{ Ref, Error string }
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusCreated {
			return "", fmt.Errorf("%s: %s", res.Status, answer.Error)
		}
		return answer.Ref, nil
	}
}
