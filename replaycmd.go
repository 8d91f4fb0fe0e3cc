package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"strings"
	"time"

	"andon/deploy"
	"andon/event"
	"andon/ingest"
	"andon/ingest/replay"
	"andon/ingest/video"
)

type replayCommand struct {
	ConfigFlags
	Kafka    []string      `help:"Brokers; without them those of the running appliance, or the configuration's." placeholder:"HOST:PORT,…"`
	File     string        `help:"CSV file with a header line, or one compressed with gzip." type:"path"`
	Demo     string        `help:"Play this part of the demo instead of a file; its name in the configuration's demo section."`
	Topic    string        `help:"Topic to send to."`
	Asset    string        `help:"Asset of a row: text with columns in braces, as compressor-{unit:03d}."`
	Time     string        `help:"Column with the event time, or to count with --step." placeholder:"COLUMN"`
	Format   string        `help:"Form of the time: rfc3339, datetime, unix, unix_ms, unix_us, unix_ns or a layout." default:"rfc3339"`
	Start    time.Time     `help:"Event time of count 0." placeholder:"TIME"`
	Step     time.Duration `help:"Event time a count; the column then counts steps from --start."`
	Signals  []string      `help:"Columns to send, name=column renames; without it all that are numbers."`
	Speed    *float64      `help:"Seconds of event time a second; 0 is as fast as the broker takes it, as without the flag for rows; a video plays at 1."`
	MaxRate  float64       `help:"Rows a second at most; 0 is no bound."`
	MaxRows  int           `help:"Rows at most; 0 is all."`
	Loop     bool          `help:"Let each asset start again after --gap, for ever."`
	Gap      time.Duration `help:"Event time between an asset's last row and its next first." default:"72h"`
	Cursor   string        `help:"File that remembers how far it is, to go on there." type:"path"`
	Failures string        `help:"Tell the topic of labels that each asset of this pipeline failed at its last row." placeholder:"PIPELINE"`

	Video      string      `help:"Send a video file's frames instead of rows, through ffmpeg; --start is when the first was taken." type:"path" group:"Frames of a video"`
	Camera     string      `help:"The camera that the frames are of." placeholder:"NAME" group:"Frames of a video"`
	FPS        float64     `name:"fps" help:"Frames a second of video." default:"5" group:"Frames of a video"`
	MaxMessage event.Bytes `help:"Bytes of the largest frame; a larger one ends the replay." default:"1000000" group:"Frames of a video"`
	Labels     string      `help:"CSV of what is in the video (from,to,label,x0,y0,x1,y1: seconds, and a box in 0 to 1 where there is one; the label clear: nothing), told to the topic of labels behind each frame." type:"path" group:"Frames of a video"`
	LabelsOf   string      `name:"labels-of" help:"The pipeline whose frames the labels are of." placeholder:"PIPELINE" group:"Frames of a video"`

	Pipeline   string  `help:"Instead of sending anything: give windows of this pipeline's past new scores." group:"Scores of the past" placeholder:"PIPELINE"`
	From       string  `help:"Windows that end from here on: an event time (2020-01-05T00:00:00Z), or a duration before the newest (24h); or the offsets from which records complete them: 1500, or 0:1500,3:200 for some partitions." group:"Scores of the past" placeholder:"TIME|OFFSETS"`
	To         string  `help:"Where it ends, itself left out; without it, the log's end as it is now." group:"Scores of the past" placeholder:"TIME|OFFSETS"`
	Model      string  `help:"Version, its first digits, or an alias; without it the champion." group:"Scores of the past" placeholder:"VERSION"`
	RunName    string  `name:"run" help:"Name of the run, also to go on with one; without it one is made." group:"Scores of the past" placeholder:"NAME"`
	Rate       float64 `help:"Rows a second that are read at most, those before --from included; 0 is no bound." group:"Scores of the past"`
	Nice       int     `help:"How much the live line is preferred by the system, 0 to 19." default:"10" group:"Scores of the past"`
	Workers    int     `help:"Runs of the model at a time." default:"1" group:"Scores of the past"`
	ClickHouse string  `name:"clickhouse" help:"ClickHouse server, where neither the appliance nor the configuration tells it." placeholder:"DSN" env:"ANDON_CLICKHOUSE" group:"Scores of the past"`
	JSON       bool    `name:"json" help:"Print the summary as JSON." group:"Scores of the past"`
}

// Help is what --help says beyond the flags.
func (replayCommand) Help() string {
	return `With --file or --demo it sends recorded rows to Kafka, with --video the frames of a video. With --pipeline it scores a past range anew, beside the live line, into andon.replay_scores:
the log is read from its begin, so that each asset's state is what it was, and windows within --from and --to are scored by --model. The views
andon.replay_comparison and andon.replay_summary set old and new side by side. Started again with the same --run it goes on where it was; nothing is
stored twice.`
}

func (c *replayCommand) Run(t *talk) error {
	if err := c.check(); err != nil {
		return usage(err)
	}
	if c.Pipeline != "" {
		return c.rescore(t)
	}
	cfg, err := c.load(nil)
	if err != nil {
		return err
	}
	at, err := cfg.target(c.Kafka)
	if err != nil {
		return err
	}
	log := newLogger(cfg.Log, t.err)
	if c.Video != "" {
		feed := video.Feed{Source: video.Source{Input: c.Video, FPS: c.FPS, Loop: c.Loop, Limit: c.MaxMessage}, Camera: c.Camera, Topic: c.Topic, Speed: 1, Start: c.Start}
		if c.Speed != nil {
			feed.Speed = *c.Speed
		}
		if c.Labels != "" {
			text, err := os.Open(c.Labels)
			if err != nil {
				return usage(fmt.Errorf("--labels: %w", err))
			}
			defer text.Close()
			told, err := video.ReadLabels(text)
			if err != nil {
				return usage(fmt.Errorf("--labels: %s: %w", c.Labels, err))
			}
			feed.Truth = &video.Truth{Pipeline: c.LabelsOf, Topic: cfg.Topics.Labels, Who: "replay", Told: told}
		}
		return sendFrames(t, feed, at, at.CreateTopics || cfg.embeddedBroker() && len(c.Kafka) == 0, cfg, log)
	}
	def, files, err := c.definition(cfg)
	if err != nil {
		return usage(err)
	}
	look := at
	look.ConnectTimeout = min(at.ConnectTimeout, 10*time.Second)
	if err := ingest.EnsureTopics(t.ctx, look, nil, slog.New(slog.DiscardHandler)); err != nil { // one clear error where there is no broker
		return environment(err)
	}
	player, err := newPlayer(def, at, files, c.Cursor, func(p replay.Progress) {
		fmt.Fprintf(t.err, "replay %s: %d rows, event time %s, %.0f rows/s\n", p.Name, p.Rows, p.Event.UTC().Format(time.RFC3339), p.RowsPerSecond)
	}, log)
	if err != nil {
		return usage(err)
	}
	return player.Run(t.ctx)
}

// check finds flags that do not go together.
func (c *replayCommand) check() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	sends := c.File != "" || c.Demo != "" || c.Topic != "" || c.Video != ""
	fault(c.Video != "" && (c.File != "" || c.Demo != ""), "--video sends frames, and --file and --demo send rows: give one of them")
	fault(c.Video != "" && (c.Asset != "" || c.Time != "" || len(c.Signals) > 0 || c.Step != 0 || c.Cursor != "" || c.Failures != "" || c.MaxRate != 0 || c.MaxRows != 0),
		"--asset, --time, --signals, --step, --cursor, --failures, --max-rate and --max-rows are for rows: leave them out with --video")
	fault(c.Labels != "" && (c.Video == "" || c.LabelsOf == ""), "--labels are of a --video, and --labels-of names the pipeline of its frames")
	fault(c.LabelsOf != "" && c.Labels == "", "--labels-of is for --labels: give both")
	fault(c.Video == "" && c.Camera != "", "--camera names whose frames a video has: name the --video, or see andon camera")
	fault(c.Pipeline != "" && sends, "--pipeline scores the past anew, and --file, --demo, --video and --topic send: give one or the other")
	fault(c.Pipeline == "" && (c.From != "" || c.To != "" || c.Model != "" || c.RunName != "" || c.Rate != 0 || c.JSON),
		"--from, --to, --model, --run, --rate and --json are for scoring the past anew: name the --pipeline")
	fault(c.Rate < 0 || math.IsNaN(c.Rate), "--rate: %v is not a number of rows a second; 0 is no bound", c.Rate)
	fault(c.Nice < 0 || c.Nice > 19, "--nice: %d is not between 0 and 19", c.Nice)
	fault(c.Workers < 1 || c.Workers > 1024, "--workers: %d is not between 1 and 1024", c.Workers)
	return errors.Join(errs...)
}

// definition is what the flags ask for; files is where it is, nil for the disk.
func (c *replayCommand) definition(cfg *Config) (replay.Replay, fs.FS, error) {
	if c.Demo != "" {
		for _, d := range cfg.Demo {
			if d.Name == c.Demo {
				return d, deploy.Demo(), nil
			}
		}
		var names []string
		for _, d := range cfg.Demo {
			names = append(names, d.Name)
		}
		return replay.Replay{}, nil, fmt.Errorf("the demo has no part %q; it has %s", c.Demo, strings.Join(names, ", "))
	}
	def := replay.Replay{Name: "cli", File: c.File, Topic: c.Topic, Asset: c.Asset, Signals: c.Signals, MaxRate: c.MaxRate, MaxRows: c.MaxRows,
		Loop: c.Loop, Time: replay.Time{Column: c.Time, Format: c.Format}}
	if c.Speed != nil {
		def.Speed = *c.Speed
	}
	if c.Loop {
		def.Gap = c.Gap
	}
	if c.Step > 0 {
		def.Time = replay.Time{Column: c.Time, Start: c.Start, Step: c.Step}
	}
	if c.Failures != "" {
		def.Label = &replay.Label{Topic: cfg.Topics.Labels, Pipeline: c.Failures, Kind: "failure"}
	}
	return def, nil, def.Validate()
}

func newPlayer(def replay.Replay, at ingest.Config, files fs.FS, cursor string, tell func(replay.Progress), log *slog.Logger) (*replay.Player, error) {
	return replay.New(def, replay.Surroundings{Brokers: at.Brokers, Security: security(at), Files: files, Cursor: cursor, Progress: tell}, log)
}

// startDemo plays every part of the demo beside the line. A part that ends has had its say; one that fails is told and does not stop the line.
func startDemo(team *crew, cfg *Config, at ingest.Config, log *slog.Logger) error {
	for _, def := range cfg.Demo {
		cursor := cfg.path("run", "replay-"+def.Name+".json")
		player, err := newPlayer(def, at, deploy.Demo(), cursor, nil, log)
		if err != nil {
			return fmt.Errorf("demo %s: %w", def.Name, err)
		}
		team.run(0, "demo "+def.Name, func(ctx context.Context) error {
			if err := player.Run(ctx); err != nil && ctx.Err() == nil {
				log.Error("a part of the demo stopped", "replay", def.Name, "error", err)
			}
			return nil
		})
	}
	return nil
}

// target returns the cluster that a command sends to: the brokers that were named, those of the running appliance, or the configuration's.
func (c *Config) target(named []string) (ingest.Config, error) {
	at := c.Kafka
	if len(named) > 0 {
		at.Brokers = named
	} else if a, err := readAddresses(c.Data); err == nil {
		at.Brokers = []string{a.Kafka}
	}
	if len(at.Brokers) == 0 {
		return at, usage(fmt.Errorf("name the brokers with --kafka, or the data folder of a running appliance with --data"))
	}
	return at, nil
}
