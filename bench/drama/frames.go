package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"andon/deploy"
	"andon/ingest/video"
)

// The clip as the counters show it: so many frames a second of event time, which runs so many times as fast as the clock.
const (
	clip       = "one_by_one_person"
	clipRate   = 2
	clipSpeed  = 6
	framesFrom = "counter.frames"
)

// gloom is what becomes of the light when most lamps go out: a fifth is left.
const gloom = "lutrgb=r='val*0.2':g='val*0.2':b='val*0.2'"

// counters are cameras that show the same clip, each from another moment on, and every second one mirrored.
var counters = []string{"counter-1", "counter-2", "counter-3", "counter-4"}

// said is a stretch of the clip in which it is known what it shows, in seconds.
type said struct {
	from, to float64
	kind     string
}

// reel is the clip in one light: its frames, as they are and mirrored.
type reel [2][][]byte

// develop takes the clip's frames out through ffmpeg.
func develop(ctx context.Context, dir, filter string) (r reel, err error) {
	input := filepath.Join(dir, clip+".mp4")
	data, err := deploy.Demo().Open(clip + ".mp4")
	if err != nil {
		return r, err
	}
	defer data.Close()
	file, err := os.Create(input)
	if err != nil {
		return r, err
	}
	_, err = io.Copy(file, data)
	if err := firstError(err, file.Close()); err != nil {
		return r, err
	}
	args := []string{"-v", "error", "-i", input}
	var to [2]string
	for i, mirror := range []string{"", ",hflip"} {
		if to[i], err = os.MkdirTemp(dir, "reel-"); err != nil {
			return r, err
		}
		defer os.RemoveAll(to[i])
		chain := fmt.Sprintf("fps=%v,scale=320:-2%s", clipRate, mirror)
		if filter != "" {
			chain += "," + filter
		}
		args = append(args, "-vf", chain, "-q:v", "4", filepath.Join(to[i], "%05d.jpg"))
	}
	if out, err := exec.CommandContext(ctx, "ffmpeg", args...).CombinedOutput(); err != nil {
		return r, fmt.Errorf("ffmpeg, which takes the clip apart (make deps-video installs it): %w: %s", err, out)
	}
	for i := range r {
		names, err := filepath.Glob(filepath.Join(to[i], "*.jpg"))
		if err != nil {
			return r, err
		}
		for _, name := range names {
			jpeg, err := os.ReadFile(name)
			if err != nil {
				return r, err
			}
			r[i] = append(r[i], jpeg)
		}
	}
	if len(r[0]) < 250 || len(r[0]) != len(r[1]) {
		return r, fmt.Errorf("the clip gives %d and %d frames", len(r[0]), len(r[1]))
	}
	return r, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// readSaid reads what the clip shows.
func readSaid() (all []said, err error) {
	f, err := deploy.Demo().Open(clip + "_labels.csv")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, row := range rows[1:] {
		s := said{kind: row[2]}
		if s.from, err = strconv.ParseFloat(row[0], 64); err == nil {
			s.to, err = strconv.ParseFloat(row[1], 64)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// crew plays the cameras, and is the people who say what they show.
type crew struct {
	client *kgo.Client
	day    reel
	night  reel
	said   []said
	origin time.Time // the event time of step 0

	mu sync.Mutex
	// step counts frames of each camera; dark is from which on it is dark, spoken up to which people have said what there is, or -1 where they say nothing.
	step, dark, spoken int
	err                error
}

func newCrew(broker string, day, night reel, all []said) (*crew, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ProducerLinger(5*time.Millisecond), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		return nil, err
	}
	return &crew{client: c, day: day, night: night, said: all, origin: time.Now().Add(-6 * time.Hour).UTC().Truncate(time.Second), dark: -1, spoken: -1}, nil
}

func (c *crew) fault() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// at is when a step is captured.
func (c *crew) at(step int) time.Time {
	return c.origin.Add(time.Duration(float64(step) / clipRate * float64(time.Second)))
}

// offset is where a camera's first frame lies in the clip.
func (c *crew) offset(camera int) int { return camera * len(c.day[0]) / len(counters) }

// frame is what a camera shows at a step.
func (c *crew) frame(camera, step int) (*kgo.Record, error) {
	light := &c.day
	if c.dark >= 0 && step >= c.dark {
		light = &c.night
	}
	reel := light[camera%2]
	f := video.Frame{Camera: counters[camera], Captured: c.at(step), Sequence: int64(step), JPEG: reel[(step+c.offset(camera))%len(reel)]}
	r, err := f.Record()
	if err != nil {
		return nil, err
	}
	out := &kgo.Record{Topic: framesFrom, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return out, nil
}

// kind is what a camera shows at a step; empty where somebody is just coming or going.
func (c *crew) kind(camera, step int) string {
	at := float64((step+c.offset(camera))%len(c.day[0])) / clipRate
	for _, s := range c.said {
		if at >= s.from && at < s.to {
			return s.kind
		}
	}
	return ""
}

// speak says what all cameras showed in steps, as stretches of time no longer than a block.
func (c *crew) speak(from, until int) (all []*kgo.Record) {
	const most = int(clipBlock * clipRate)
	for camera, name := range counters {
		for step := from; step < until; {
			kind, next := c.kind(camera, step), step+1
			for next < until && next-step < most && c.kind(camera, next) == kind {
				next++
			}
			if kind != "" {
				value := fmt.Sprintf(`{"pipeline":%q,"asset":%q,"time":%q,"until":%q,"label":%q,"who":"guard"}`, framesPipeline, name, c.at(step).Format(time.RFC3339Nano), c.at(next).Format(time.RFC3339Nano), kind)
				all = append(all, &kgo.Record{Topic: labelsTopic, Key: []byte(name), Value: []byte(value)})
			}
			step = next
		}
	}
	return all
}

// history sends frames, as fast as the appliance keeps samples of them; what they show is told later.
func (c *crew) history(ctx context.Context, steps int) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for step := range steps {
		if err := c.shoot(ctx, step); err != nil {
			return err
		}
		<-tick.C
	}
	c.step = steps
	return nil
}

// tell has people say what all cameras showed in steps.
func (c *crew) tell(ctx context.Context, from, until int) error {
	return c.client.ProduceSync(ctx, c.speak(from, until)...).FirstErr()
}

func (c *crew) shoot(ctx context.Context, step int) error {
	var all []*kgo.Record
	for camera := range counters {
		r, err := c.frame(camera, step)
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	if err := c.client.ProduceSync(ctx, all...).FirstErr(); err != nil {
		return fmt.Errorf("send frames: %w", err)
	}
	return nil
}

// behind is how far what people say is behind what cameras show, in steps.
const behind = int(30 * clipRate)

// run lets the cameras run until ctx ends.
func (c *crew) run(ctx context.Context) {
	rate := float64(clipRate * clipSpeed)
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.mu.Lock()
		step := c.step
		c.step++
		c.mu.Unlock()
		err := c.shoot(ctx, step)
		c.mu.Lock()
		if err == nil && c.spoken >= 0 && step-behind-c.spoken >= int(clipBlock*clipRate) {
			err = c.tell(ctx, c.spoken, step-behind)
			c.spoken = step - behind
		}
		if err != nil && ctx.Err() == nil {
			c.err = err
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
	}
}

// fall lets the light fall, and returns the step from which on it is dark.
func (c *crew) fall() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dark = c.step
	return c.dark
}

// listen has people say what the cameras show from a step on.
func (c *crew) listen(from int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spoken = from
}

// truthSQL is what a frame shows, by its camera and sequence: 'person', 'clear', or ” where somebody is just coming or going.
func (c *crew) truthSQL() string {
	var offsets, kinds []string
	for camera, name := range counters {
		offsets = append(offsets, fmt.Sprintf("camera = '%s', %d", name, c.offset(camera)))
	}
	at := fmt.Sprintf("((sequence + multiIf(%s, 0)) %% %d) / %v", strings.Join(offsets, ", "), len(c.day[0]), clipRate)
	for _, s := range c.said {
		kinds = append(kinds, fmt.Sprintf("at >= %v AND at < %v, '%s'", s.from, s.to, s.kind))
	}
	return fmt.Sprintf("%s AS at, multiIf(%s, '') AS truth", at, strings.Join(kinds, ", "))
}
