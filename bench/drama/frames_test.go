package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"andon/ingest/video"
)

// What people say of the cameras is what the clip shows, each camera from a moment of its own on, in stretches no longer than a block that do not overlap.
func TestCrewSpeaks(t *testing.T) {
	all, err := readSaid()
	if err != nil {
		t.Fatal(err)
	}
	c := &crew{day: reel{make([][]byte, 278)}, said: all, dark: -1, spoken: -1, origin: time.Unix(1_700_000_000, 0).UTC()}
	until, stretches := map[string]time.Time{}, map[string]int{}
	steps := map[string]map[string]int{}
	for _, r := range c.speak(0, 278) {
		var l struct {
			Asset, Label string
			Time, Until  time.Time
		}
		if err := json.Unmarshal(r.Value, &l); err != nil {
			t.Fatalf("%s: %v", r.Value, err)
		}
		if took := l.Until.Sub(l.Time); took <= 0 || took > clipBlock*time.Second || l.Time.Before(until[l.Asset]) {
			t.Fatalf("%s begins at %v, after one until %v, and takes %v", l.Asset, l.Time, until[l.Asset], took)
		}
		until[l.Asset] = l.Until
		stretches[l.Label]++
		if steps[l.Asset] == nil {
			steps[l.Asset] = map[string]int{}
		}
		steps[l.Asset][l.Label] += int(l.Until.Sub(l.Time).Seconds() * clipRate)
	}
	if len(steps) != len(counters) || stretches["clear"] < 20 || stretches["person"] < 40 {
		t.Errorf("%d cameras, %v", len(steps), stretches)
	}
	for camera, name := range counters {
		want := map[string]int{}
		for step := range 278 {
			want[c.kind(camera, step)]++
		}
		if got := steps[name]; got["clear"] != want["clear"] || got["person"] != want["person"] || want["clear"] < 40 || want["person"] < 190 {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if c.kind(0, 0) != "clear" || c.kind(1, 0) != "person" {
		t.Errorf("at the begin the first camera shows %q, the second %q", c.kind(0, 0), c.kind(1, 0))
	}
}

// The clip comes apart into as many frames in any light, and the fallen light is dark.
func TestDevelop(t *testing.T) {
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("ffmpeg is missing: run make deps-video")
		}
		t.Skip("ffmpeg is missing")
	}
	mean := func(jpeg []byte) (sum float64) {
		d, err := video.NewDecoder(video.DefaultDecoding(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		planes, err := d.Append(nil, jpeg, video.Plan{Width: 32, Height: 18, Std: [3]float32{1, 1, 1}})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range planes {
			sum += float64(v) / float64(len(planes))
		}
		return sum
	}
	day, err := develop(t.Context(), t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	night, err := develop(t.Context(), t.TempDir(), gloom)
	if err != nil {
		t.Fatal(err)
	}
	if len(day[0]) != len(night[0]) || len(day[0]) < 270 || len(day[0]) > 290 {
		t.Errorf("%d frames by day, %d in the dark", len(day[0]), len(night[0]))
	}
	for i := range 2 {
		if a, b := mean(day[i][100]), mean(night[i][100]); b > 0.25*a || b < 0.15*a {
			t.Errorf("the mean goes from %.3f to %.3f", a, b)
		}
	}
}
