package clickhouse

import (
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestConfig(t *testing.T) {
	def := Default()
	if err := def.Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	text, err := yaml.Marshal(def)
	if err != nil {
		t.Fatal(err)
	}
	var back Config
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	d.KnownFields(true)
	if err := d.Decode(&back); err != nil || back != def {
		t.Errorf("written and read: %v\n%s", err, text)
	}
	bad := func(yml string, want ...string) {
		t.Helper()
		cfg := Default()
		if err := yaml.Unmarshal([]byte(yml), &cfg); err != nil {
			t.Fatal(err)
		}
		err := cfg.Validate()
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q", yml, err, w)
			}
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows the password: %v", yml, err)
		}
	}
	bad("writers: 0\nquery_timeout: 1h\nretention: {readings: 5m}\nengine: {memory: 1MiB, threads: 0, http_port: 70000}",
		"writers: 0", "query_timeout: 1h", "retention.readings: 5m", "engine.memory: 1MiB", "engine.threads: 0", "engine.http_port: 70000")
	bad("dsn: http://u:hunter2@h:8123", "dsn:", "native port")
	bad("dsn: 'u:hunter2@h'", "dsn:", "not a DSN")
	bad("reader_dsn: clickhouse://u:hunter2@h:9000", "reader_dsn:", "set dsn too")
}

func TestSecret(t *testing.T) {
	for s, want := range map[Secret]string{
		"": "",
		"clickhouse://u:hunter2@h:9000/andon?secure=true": "clickhouse://u:xxxxx@h:9000/andon?secure=true",
		"clickhouse://h:9000?username=u&password=hunter2": "clickhouse://h:9000?password=xxxxx&username=u",
		"clickhouse://u@h:9000":                           "clickhouse://u@h:9000",
		"clickhouse://u:hunter2":                          "xxxxx",
		"hunter2":                                         "xxxxx",
		"clickhouse://u:hunt%er2@h":                       "xxxxx",
	} {
		yml, err := yaml.Marshal(map[string]Secret{"dsn": s})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{s.String(), fmt.Sprint(s), fmt.Sprintf("%v %+v %#v", s, s, struct{ S Secret }{s}), string(yml)} {
			if strings.Contains(text, "hunter2") {
				t.Errorf("shown: %s", text)
			}
		}
		equal(t, "as text", s.String(), want)
	}
}
