package video

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"andon/event"
	"andon/ingest/broker"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func openBroker(t *testing.T, topics ...string) string {
	t.Helper()
	cfg := broker.Default()
	cfg.Listen, cfg.Dir, cfg.MinFree = "127.0.0.1:0", t.TempDir(), 1<<20
	b, err := broker.Open(cfg, quiet(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	for _, name := range topics {
		if err := b.EnsureTopics(t.Context(), broker.Topic{Name: name, Partitions: 2}); err != nil {
			t.Fatal(err)
		}
	}
	return b.Addr()
}

// frames reads n frames back as those who take them will.
func frames(t *testing.T, address string, n int) []Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(DefaultTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(20*time.Millisecond),
		kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var out []Frame
	for len(out) < n {
		fetched := c.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			t.Fatalf("%v after %d frames of %d", err, len(out), n)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			in := event.Record{Key: r.Key, Value: r.Value}
			for _, h := range r.Headers {
				in.Headers = append(in.Headers, event.Header{Key: h.Key, Value: h.Value})
			}
			f, err := Parse(&in)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, f)
		})
	}
	return out
}

func TestFeedFile(t *testing.T) {
	addr, start := openBroker(t, DefaultTopic), time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	var last Progress
	f, err := New(Feed{Source: Source{Input: clip(t), FPS: 5, Limit: 1 << 20}, Camera: "dock-1", Topic: DefaultTopic, Start: start},
		Surroundings{Brokers: []string{addr}, Progress: func(p Progress) { last = p }}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, got := range frames(t, addr, 10) {
		if got.Camera != "dock-1" || got.Sequence != int64(i) || !got.Captured.Equal(start.Add(time.Duration(i)*200*time.Millisecond)) || got.Width != 160 {
			t.Errorf("frame %d is %s %d %v %d", i, got.Camera, got.Sequence, got.Captured, got.Width)
		}
	}
	if last.Sent != 10 || !last.Done || last.Bytes == 0 || last.Dropped+last.TooLarge != 0 {
		t.Errorf("%+v", last)
	}
}

func TestFeedErrors(t *testing.T) {
	addr := openBroker(t, DefaultTopic)
	pic := filepath.Join(t.TempDir(), "a.jpg")
	if err := os.WriteFile(pic, encode(t, picture(640, 360)), 0o644); err != nil {
		t.Fatal(err)
	}
	check := func(def Feed, want string) {
		t.Helper()
		def.Source.Input, def.Source.FPS, def.Camera = "x.mp4", 5, "dock-1"
		def.Source.FFmpeg = program(t, "cat "+pic)
		f, err := New(def, Surroundings{Brokers: []string{addr}}, quiet())
		if err == nil {
			err = f.Run(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	check(Feed{Topic: DefaultTopic, Source: Source{Limit: 2 << 10}}, "max_message is 2048")
	check(Feed{Topic: "nowhere", Source: Source{Limit: 1 << 20}}, "the topic does not exist")
	check(Feed{Source: Source{Limit: 1}}, "topic: is empty")
	check(Feed{Source: Source{Limit: 1}}, "max_message: 1 is not")
	check(Feed{Topic: "a", Source: Source{Limit: 1 << 20, Loop: true}}, "a loop as fast as possible")
}

// A camera that goes away is tried again, its sequence goes on, and pictures over the limit are counted and leave a gap.
func TestFeedCamera(t *testing.T) {
	addr, dir := openBroker(t, DefaultTopic), t.TempDir()
	for name, size := range map[string]int{"small": 64, "large": 1200} {
		if err := os.WriteFile(filepath.Join(dir, name), encode(t, picture(size, size)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var tries atomic.Int64
	log := &strings.Builder{}
	f, err := New(Feed{Source: Source{Input: "rtsp://me:secret@cam/1", FPS: 5, Limit: 8 << 10, FFmpeg: program(t, fmt.Sprintf("cd %s; cat small large small; echo gone >&2; exit 1", dir))},
		Camera: "dock-1", Topic: DefaultTopic}, Surroundings{Brokers: []string{addr}}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	f.backoff = func(int) time.Duration {
		if tries.Add(1) == 6 { // asked twice a try: for the log, and to wait
			cancel()
		}
		return time.Millisecond
	}
	if err := f.Run(ctx); err != nil {
		t.Fatal(err)
	}
	got := frames(t, addr, 6)
	var seq []int64
	for _, g := range got {
		seq = append(seq, g.Sequence)
	}
	if fmt.Sprint(seq) != "[0 2 3 5 6 8]" || f.large.Load() != 3 || f.reconnects.Load() != 2 || f.dropped.Load() != 0 {
		t.Errorf("frames %v, %d too large, %d reconnects, %d dropped", seq, f.large.Load(), f.reconnects.Load(), f.dropped.Load())
	}
	if strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "gone") {
		t.Error(log.String())
	}
}
