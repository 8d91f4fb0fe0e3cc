package main

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"andon/ingest/broker"
	"andon/ingest/video"
)

// A video goes out as frames by the command that users type, and what does not go together is told.
func TestReplayVideo(t *testing.T) {
	check := func(code int, want string, args ...string) {
		t.Helper()
		var out, talk strings.Builder
		if got := run(append(args, "--data", t.TempDir()), &out, &talk); got != code || !strings.Contains(talk.String(), want) {
			t.Errorf("andon %s: exit %d, %s, want %d and %q", strings.Join(args, " "), got, talk.String(), code, want)
		}
	}
	check(exitUsage, "camera: is empty", "replay", "--video", "a.mp4", "--kafka", "127.0.0.1:1")
	check(exitUsage, "give one of them", "replay", "--video", "a.mp4", "--camera", "a", "--file", "a.csv")
	check(exitUsage, "are for rows", "replay", "--video", "a.mp4", "--camera", "a", "--asset", "b")
	check(exitUsage, "a loop as fast as possible", "replay", "--video", "a.mp4", "--camera", "a", "--loop", "--speed", "0", "--kafka", "127.0.0.1:1")
	check(exitUsage, "name the --video", "replay", "--camera", "a", "--file", "a.csv")
	check(exitUsage, "not a camera's URL", "camera", "a.mp4", "--camera", "a")
	check(exitUsage, "fps: 0 is not", "camera", "rtsp://a", "--camera", "a", "--fps", "0", "--kafka", "127.0.0.1:1")

	if _, err := exec.LookPath("ffmpeg"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("ffmpeg is not installed: make deps-video")
		}
		t.Skip("ffmpeg is not installed: make deps-video")
	}
	clip := filepath.Join(t.TempDir(), "clip.mp4")
	if out, err := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=20", "-t", "2", "-c:v", "mpeg4", clip).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cfg := broker.Default()
	cfg.Listen, cfg.Dir, cfg.MinFree = "127.0.0.1:0", t.TempDir(), 1<<20
	b, err := broker.Open(cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	args := []string{"replay", "--video", clip, "--camera", "dock-1", "--speed", "0", "--kafka", b.Addr()}
	check(exitFailed, "the topic does not exist", args...)
	if err := b.EnsureTopics(t.Context(), broker.Topic{Name: video.DefaultTopic, Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	check(exitOK, "camera dock-1: 10 frames", args...)
	check(exitFailed, "max_message is 2000", append(args, "--max-message", "2000")...)
}
