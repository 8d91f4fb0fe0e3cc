package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"andon/deploy"
	"andon/processors/anomaly"
	"andon/processors/surprise"
)

// The reference file must say the defaults, all of them.
func TestReferenceConfigIsTheDefaults(t *testing.T) {
	c, err := parseConfig(deploy.Config)
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	c.Pipelines, c.Demo, c.DemoCameras = nil, nil, nil
	a, b := asYAML(t, *c), asYAML(t, want)
	if a != b {
		t.Errorf("deploy/andon.yaml is not the defaults:\n%s\nwant\n%s", a, b)
	}
	var file, all map[string]any
	if err := yaml.Unmarshal(deploy.Config, &file); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(b), &all); err != nil {
		t.Fatal(err)
	}
	delete(all, "pipelines")
	delete(all, "demo")
	delete(all, "demo_cameras")
	for _, key := range missing("", file, all) {
		t.Errorf("deploy/andon.yaml does not show the key %s", key)
	}
}

// The keys of detectors that deploy/andon.yaml shows, in a pipeline and in a comment, are all that there are, with their defaults.
func TestDetectorsAreShown(t *testing.T) {
	c, err := parseConfig(deploy.Config)
	if err != nil {
		t.Fatal(err)
	}
	p := c.pipeline("machine-surprise")
	if p == nil || p.Detector == nil || p.Detector.Surprise == nil || !reflect.DeepEqual(*p.Detector.Surprise, surprise.Default()) {
		t.Fatalf("machine-surprise: %+v is not the defaults", p)
	}
	line := regexp.MustCompile(`#\s+detector: (\{baseline: .*\})`).FindSubmatch(deploy.Config)
	if line == nil {
		t.Fatal("no comment shows the baseline")
	}
	var shown anomaly.Config
	d := yaml.NewDecoder(bytes.NewReader(line[1]))
	d.KnownFields(true)
	if err := d.Decode(&shown); err != nil || !reflect.DeepEqual(*shown.Baseline, anomaly.DefaultBaseline()) {
		t.Errorf("%v: %+v is not the defaults", err, shown.Baseline)
	}
	for part, of := range map[string]any{string(line[1]): anomaly.DefaultBaseline(), string(deploy.Config): surprise.Default()} {
		text, err := yaml.Marshal(of)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			if key, _, named := strings.Cut(l, ":"); named && !strings.Contains(part, key+": ") {
				t.Errorf("the key %s is not shown", key)
			}
		}
	}
}

func asYAML(t *testing.T, c Config) string {
	t.Helper()
	text, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// missing lists the keys of all that file lacks.
func missing(prefix string, file, all map[string]any) []string {
	var out []string
	for k, v := range all {
		f, ok := file[k]
		if !ok {
			out = append(out, prefix+k)
			continue
		}
		if sub, ok := v.(map[string]any); ok {
			inner, _ := f.(map[string]any)
			out = append(out, missing(prefix+k+".", inner, sub)...)
		}
	}
	return out
}

// Each file in testdata/config says in its first comment what must be said of it: good, or a line of the message a piece.
func TestConfigFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/config/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for line := range strings.Lines(string(text)) {
			said, ok := strings.CutPrefix(line, "# says: ")
			if !ok {
				break
			}
			want = append(want, strings.TrimSpace(said))
		}
		flags := ConfigFlags{Config: name, Data: t.TempDir()}
		_, err = flags.load(nil)
		if len(want) == 0 {
			t.Errorf("%s: says nothing of what it must give", name)
			continue
		}
		if want[0] == "good" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if exitCode(err) != exitUsage {
			t.Errorf("%s: exit code %d (%v), want %d", name, exitCode(err), err, exitUsage)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: the message lacks %q:\n%v", name, w, err)
			}
		}
		if strings.Contains(err.Error(), "main.") || strings.Contains(err.Error(), "struct") {
			t.Errorf("%s: the message speaks Go: %v", name, err)
		}
	}
}

// What is printed can be read again, and no secret is in it.
func TestConfigPrintReadsBack(t *testing.T) {
	var out strings.Builder
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	if err := os.WriteFile(file, []byte("clickhouse: {dsn: 'clickhouse://u:topsecret@h:9000/andon'}\nkafka: {brokers: ['k:9092'], sasl: {mechanism: plain, user: u, password: topsecret}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code := run([]string{"config", "print", "--config", file, "--data", dir}, &out, &out)
	if code != exitOK || strings.Contains(out.String(), "topsecret") {
		t.Fatalf("exit code %d:\n%s", code, out.String())
	}
	again, err := parseConfig([]byte(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(again.Console), fmt.Sprint(defaultConfig().Console); got != want || again.Kafka.Brokers[0] != "k:9092" {
		t.Errorf("read back: %v, %v; want %v", again.Kafka.Brokers, got, want)
	}
}
