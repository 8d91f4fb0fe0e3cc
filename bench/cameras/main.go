// Command cameras measures the line of frames: several cameras on one machine, from the capture of a frame to what its rules tell, and how many frames a second the line takes at most, beside a bare loop of
// decoding and running the same model in the same run.
//
//	go run ./bench/cameras -cameras 9 -fps 5 -duration 10m
//
// It builds the program, starts it with an embedded broker and ClickHouse in a folder of its own, and plays frames of a clip of the data folder (ffmpeg). The model is a small network of random weights: it costs what
// a model costs and finds nothing; the rules look at each frame all the same.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"andon/event"
	"andon/ingest/video"
	"andon/model"
	"andon/model/ort"
	"andon/model/ort/orttest"
)

const side = 128 // pixels of the model's input

var (
	cameras  = flag.Int("cameras", 9, "cameras")
	fps      = flag.Float64("fps", 5, "frames a second of each")
	duration = flag.Duration("duration", time.Minute, "of the live part")
	flood    = flag.Int("flood", 3000, "frames of the part that fills the line; 0: none")
	clip     = flag.String("clip", "../shared/data/video/bottles.mp4", "video whose frames are sent, scaled to 640x360")
	library  = flag.String("libraries", "lib", "folder of the native libraries")
)

func main() {
	flag.Parse()
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "cameras:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	pictures, err := frames(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "andon-cameras")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	m, err := detector("live")
	if err != nil {
		return err
	}
	h, err := open(ctx, dir, m)
	if err != nil {
		return err
	}
	defer h.close()
	size := 0
	for _, p := range pictures {
		size += len(p)
	}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%d cameras x %g frames/s for %v; %d pictures of 640x360, %d KB on average; model: 3 convolutions on %dx%d; load %s", *cameras, *fps, *duration, len(pictures), size/len(pictures)/1000, side, side, load)
	if err := h.live(ctx, pictures); err != nil {
		return err
	}
	if *flood == 0 {
		return nil
	}
	line, err := h.flooded(ctx, pictures)
	if err != nil {
		return err
	}
	h.close()
	bare, err := alone(pictures, m)
	if err != nil {
		return err
	}
	fmt.Printf("saturation: the line %.0f frames/s, bare decoding and session %.0f frames/s: %.0f %%\n", line, bare, 100*line/bare)
	return nil
}

// frames reads the clip's pictures.
func frames(ctx context.Context) (all [][]byte, err error) {
	scaled := filepath.Join(os.TempDir(), fmt.Sprintf("andon-cameras-%d.mp4", os.Getpid()))
	defer os.Remove(scaled)
	if out, err := exec.CommandContext(ctx, "ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-i", *clip, "-vf", "scale=640:360", "-an", "-t", "20", scaled).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("scale %s: %w: %s", *clip, err, out)
	}
	for jpeg, err := range (video.Source{Input: scaled, FPS: 10, Limit: 1 << 20}).Frames(ctx) {
		if err != nil {
			return nil, err
		}
		all = append(all, jpeg)
	}
	if len(all) == 0 {
		return nil, errors.New("the clip has no pictures")
	}
	return all, nil
}

// detector is a model that costs and finds nothing.
func detector(pipeline string) (*model.Model, error) {
	return model.Seal(orttest.Convolutions(side, 6, 16, 32, 64), model.Meta{Pipeline: pipeline, Task: model.Detection,
		Picture: &model.Picture{Width: side, Height: side, Labels: []string{"helmet", "vest"}, Form: model.FormYOLOv8, Threshold: 1, Overlap: 0.5}})
}

// house is the program that runs.
type house struct {
	dir     string
	cmd     *exec.Cmd
	console string
	kafka   string
	once    sync.Once
}

const config = `
libraries: %q
log: {level: WARN}
pipelines:
  - name: live
    partitions: 4
    source: {topic: live.frames}
    vision: &look
      max_age: 2s
      keep: {every: 10s}
      zones: [{name: half, polygon: [[0, 0.5], [1, 0.5], [1, 1], [0, 1]]}]
      lines: [{name: middle, from: [0, 0.5], to: [1, 0.5]}]
      rules:
        - {name: in-half, zone: half, without: [helmet]}
        - {name: over, line: middle}
  - name: flood
    partitions: 4
    source: {topic: flood.frames}
    vision: {max_age: 0s, newest: false, keep: {every: 0s}}
`

func open(ctx context.Context, dir string, m *model.Model) (*house, error) {
	h := &house{dir: filepath.Join(dir, "data")}
	models, err := model.Open(filepath.Join(h.dir, "models"))
	if err != nil {
		return nil, err
	}
	other, err := detector("flood")
	if err != nil {
		return nil, err
	}
	for _, m := range []*model.Model{m, other} {
		if err := models.Add(m); err != nil {
			return nil, err
		}
		if err := models.Promote(m.Pipeline, m.Version, "bench", "bench"); err != nil {
			return nil, err
		}
	}
	lib, err := filepath.Abs(*library)
	if err != nil {
		return nil, err
	}
	file, program := filepath.Join(dir, "andon.yaml"), filepath.Join(dir, "andon")
	if err := os.WriteFile(file, fmt.Appendf(nil, config, lib), 0o644); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the program: %w: %s", err, out)
	}
	h.cmd = exec.CommandContext(ctx, program, "up", "--config", file, "--data", h.dir, "--listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0")
	h.cmd.Stderr = os.Stderr
	if err := h.cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		var at struct{ Console, Kafka string }
		text, err := os.ReadFile(filepath.Join(h.dir, "run", "addresses.json"))
		if err == nil && json.Unmarshal(text, &at) == nil && at.Console != "" {
			h.console, h.kafka = "http://"+at.Console, at.Kafka
			return h, nil
		}
		if time.Now().After(deadline) {
			h.close()
			return nil, errors.New("the program is not up after two minutes")
		}
	}
}

func (h *house) close() {
	h.once.Do(func() {
		_ = h.cmd.Process.Signal(os.Interrupt)
		_ = h.cmd.Wait()
	})
}

// sql asks for one row.
func (h *house) sql(query string) ([]any, error) {
	res, err := http.Post(h.console+"/api/v1/sql", "application/json", strings.NewReader(fmt.Sprintf(`{"sql":%q,"limit":10}`, query)))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	var table event.Table
	if err := json.Unmarshal(body, &table); err != nil || len(table.Rows) == 0 {
		return nil, fmt.Errorf("%s: %s", query, body)
	}
	return table.Rows[0], nil
}

func (h *house) client() (*kgo.Client, error) {
	return kgo.NewClient(kgo.SeedBrokers(h.kafka), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(256))
}

func record(topic, camera string, n int64, jpeg []byte) (*kgo.Record, error) {
	f := video.Frame{Camera: camera, Captured: time.Now(), Sequence: n, JPEG: jpeg}
	r, err := f.Record()
	if err != nil {
		return nil, err
	}
	out := &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value}
	for _, x := range r.Headers {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: x.Key, Value: x.Value})
	}
	return out, nil
}

// live plays the cameras at their pace, each a little after the other, as they come from different clocks.
func (h *house) live(ctx context.Context, pictures [][]byte) error {
	client, err := h.client()
	if err != nil {
		return err
	}
	defer client.Close()
	var sent, failed atomic.Int64
	var all sync.WaitGroup
	step := time.Duration(float64(time.Second) / *fps)
	for c := range *cameras {
		all.Go(func() {
			begun := time.Now().Add(step * time.Duration(c) / time.Duration(*cameras))
			for n := int64(0); ; n++ {
				at := begun.Add(time.Duration(n) * step)
				if at.Sub(begun) >= *duration {
					return
				}
				time.Sleep(time.Until(at))
				r, err := record("live.frames", fmt.Sprint("camera-", c+1), n, pictures[(int(n)+7*c)%len(pictures)])
				if err != nil {
					failed.Add(1)
					continue
				}
				client.Produce(ctx, r, func(_ *kgo.Record, err error) {
					if err != nil {
						failed.Add(1)
						return
					}
					sent.Add(1)
				})
			}
		})
	}
	all.Wait()
	if err := client.Flush(ctx); err != nil {
		return err
	}
	if err := h.await("live", sent.Load()); err != nil {
		return err
	}
	row, err := h.sql(`SELECT count(), countIf(status = 'scored'), countIf(status = 'busy'), countIf(status = 'late'), countIf(status NOT IN ('scored', 'busy', 'late')),
		round(quantileExactIf(0.5)(age_ns, status = 'scored') / 1e6, 1), round(quantileExactIf(0.99)(age_ns, status = 'scored') / 1e6, 1), round(maxIf(age_ns, status = 'scored') / 1e6, 1),
		round(quantileExactIf(0.99)(latency_ns, status = 'scored') / 1e6, 1) FROM andon.frames WHERE pipeline = 'live'`)
	if err != nil {
		return err
	}
	fmt.Printf("sent %d (%d failed): in %v, scored %v, skipped as busy %v, late %v, other %v\n", sent.Load(), failed.Load(), row[0], row[1], row[2], row[3], row[4])
	fmt.Printf("capture to action: p50 %v ms, p99 %v ms, longest %v ms; of it since the arrival p99 %v ms\n", row[5], row[6], row[7], row[8])
	return nil
}

func (h *house) await(pipeline string, n int64) error {
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(300 * time.Millisecond) {
		row, err := h.sql("SELECT count() FROM andon.frames WHERE pipeline = '" + pipeline + "'")
		if err == nil && fmt.Sprint(row[0]) == fmt.Sprint(n) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after three minutes %v of %d frames are there (%w)", row, n, err)
		}
	}
}

// flooded sends frames as fast as the broker takes them to a pipeline that scores each, and returns how many a second it scored.
func (h *house) flooded(ctx context.Context, pictures [][]byte) (float64, error) {
	client, err := h.client()
	if err != nil {
		return 0, err
	}
	defer client.Close()
	for n := range *flood {
		r, err := record("flood.frames", fmt.Sprint("camera-", n%*cameras+1), int64(n / *cameras), pictures[n%len(pictures)])
		if err != nil {
			return 0, err
		}
		client.Produce(ctx, r, nil)
	}
	if err := client.Flush(ctx); err != nil {
		return 0, err
	}
	if err := h.await("flood", int64(*flood)); err != nil {
		return 0, err
	}
	row, err := h.sql("SELECT countIf(status = 'scored') / (max(toUnixTimestamp64Micro(scored_at)) - min(toUnixTimestamp64Micro(scored_at))) * 1e6 FROM andon.frames WHERE pipeline = 'flood'")
	if err != nil {
		return 0, err
	}
	var rate float64
	_, err = fmt.Sscan(fmt.Sprint(row[0]), &rate)
	return rate, err
}

// alone decodes and runs the model in a bare loop on as many goroutines as there are cores.
func alone(pictures [][]byte, m *model.Model) (float64, error) {
	if err := ort.Open(filepath.Join(*library, "libonnxruntime.so")); err != nil {
		return 0, err
	}
	turbo, err := video.OpenTurbo("")
	if err != nil {
		return 0, err
	}
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make(chan error, 8)
	begun := time.Now()
	for range 2 {
		group.Go(func() {
			if err := loop(pictures, m, turbo, &next); err != nil {
				errs <- err
			}
		})
	}
	group.Wait()
	close(errs)
	return float64(*flood) / time.Since(begun).Seconds(), <-errs
}

func loop(pictures [][]byte, m *model.Model, turbo *video.Turbo, next *atomic.Int64) error {
	session, err := ort.NewSession(m.ONNX, ort.Options{Threads: 1})
	if err != nil {
		return err
	}
	defer session.Close()
	decoder, err := video.NewDecoder(video.DefaultDecoding(), turbo)
	if err != nil {
		return err
	}
	defer decoder.Close()
	plan := video.Plan{Width: side, Height: side}
	planes := make([]float32, 0, 3*side*side)
	for {
		n := next.Add(1) - 1
		if n >= int64(*flood) {
			return nil
		}
		if planes, err = decoder.Append(planes[:0], pictures[int(n)%len(pictures)], plan); err != nil {
			return err
		}
		in, err := ort.Wrap(planes, 1, 3, side, side)
		if err != nil {
			return err
		}
		if _, err := session.Compute([]ort.Value{in}); err != nil {
			return err
		}
		in.Close()
	}
}
