package processors

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"andon/processors/features"
)

func read(text string) (Config, error) {
	var c Config
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	return c, d.Decode(&c)
}

func TestConfigFile(t *testing.T) {
	var c Config
	d := yaml.NewDecoder(strings.NewReader("features:\n  grid: 1h\n  smooth: 0.1\n  baseline: 20\n  age: true\n  close: watermark\nflush:\n  bytes: 1MiB\n"))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Flush.Bytes = 1 << 20
	f := features.Default()
	f.Recipe.Grid, f.Recipe.Smooth, f.Recipe.Baseline, f.Recipe.Age, f.Close = time.Hour, 0.1, 20, true, features.Watermark
	if c.Flush != want.Flush || c.ScoreChunk != want.ScoreChunk || c.Features == nil || !c.Features.Recipe.SameShape(&f.Recipe) || c.Features.Lateness != f.Lateness ||
		c.Features.Close != f.Close || c.Features.Remember != f.Remember {
		t.Errorf("read %+v, features %+v", c, c.Features)
	}
	c.Signals = []string{"a"}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"flush:\n  row: 5\n", "features:\n  gird: 1h\n", "speed: 5\n"} {
		if c, err := read(bad); err == nil || !strings.Contains(err.Error(), "not found") {
			t.Errorf("%q was read as %+v, %v", bad, c, err)
		}
	}
}

func TestConfigFaults(t *testing.T) {
	c := small()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	c.Signals, c.Flush, c.Snapshot.Records, c.ScoreChunk = nil, Flush{}, -1, 0
	c.Features.Stride, c.Features.Recipe.Grid, c.Features.Recipe.Smooth = 0, 0, 2
	err := c.Validate()
	var got []string
	for _, line := range strings.Split(err.Error(), "\n") {
		key, _, _ := strings.Cut(line, ":")
		got = append(got, key)
	}
	want := "features.grid features.smooth features.stride features flush.rows flush.bytes flush.interval snapshot.records score_chunk"
	if strings.Join(got, " ") != want {
		t.Errorf("faults of %q, want %q:\n%v", got, want, err)
	}
	if _, err := New(c, Judge{}, Outlets{}, NewMetrics(prometheus.NewRegistry()), slog.New(slog.NewTextHandler(io.Discard, nil))); err == nil {
		t.Error("a pipeline with faults was made")
	}
}
