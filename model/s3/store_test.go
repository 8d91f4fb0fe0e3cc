package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"andon/model"
	"andon/model/ort/orttest"
)

// server is a bucket server in the process that holds the bucket andon-models.
func server(t *testing.T) (Config, *s3mem.Backend) {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("andon-models"); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(s.Close)
	return Config{Endpoint: strings.TrimPrefix(s.URL, "http://"), Bucket: "andon-models", Prefix: "plant-7", Region: "us-east-1", AccessKey: "key", SecretKey: "secret"}, backend
}

func open(t *testing.T, cfg Config) *Store {
	t.Helper()
	s, err := New(cfg, 1<<20)
	if err == nil {
		err = s.Check(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sample(t *testing.T, n int) *model.Model {
	t.Helper()
	m, err := model.Seal(orttest.Sum(3, 1, float32(n)), model.Meta{Pipeline: "pumps", Task: model.Score,
		Recipe: model.Recipe{Signals: []string{"a"}, Grid: time.Hour, Length: 3, Smooth: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestStore(t *testing.T) {
	cfg, backend := server(t)
	s := open(t, cfg)
	if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("an empty bucket lists %v, %v", list, err)
	}
	one := sample(t, 1)
	for range 2 {
		if err := s.Put(t.Context(), "pumps", one.Version, one.ONNX); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Get(t.Context(), "pumps", one.Version)
	if err != nil || string(got) != string(one.ONNX) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	if _, err := s.Get(t.Context(), "pumps", "000000000000"); !errors.Is(err, model.ErrUnknown) {
		t.Errorf("what is not there: %v", err)
	}
	for i := range 1200 { // more than one page
		if _, err := backend.PutObject("andon-models", fmt.Sprintf("plant-7/fans/%012x/model.onnx", i), nil, strings.NewReader("x"), 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, other := range []string{"plant-7/readme.txt", "plant-8/pumps/1/model.onnx", "plant-7/pumps/2/notes.txt"} {
		if _, err := backend.PutObject("andon-models", other, nil, strings.NewReader("x"), 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.List(t.Context())
	if err != nil || len(list) != 1201 || list[1200].Pipeline != "pumps" || list[1200].Version != one.Version || list[1200].Modified.IsZero() {
		t.Errorf("%d are listed, %v", len(list), err)
	}
	large := open(t, cfg)
	large.max = 10
	if _, err := large.Get(t.Context(), "pumps", one.Version); err == nil || !strings.Contains(err.Error(), "models.max_bytes") {
		t.Errorf("a large file: %v", err)
	}
}

// Two registries in different folders share what is in the bucket.
func TestRegistriesShareABucket(t *testing.T) {
	cfg, _ := server(t)
	store := open(t, cfg)
	a, err := model.OpenWith(t.Context(), t.TempDir(), store)
	if err != nil {
		t.Fatal(err)
	}
	one, two := sample(t, 1), sample(t, 2)
	if err := a.Add(one); err != nil {
		t.Fatal(err)
	}
	b, err := model.OpenWith(t.Context(), t.TempDir(), store)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := b.Get("pumps", one.Version); err != nil || string(m.ONNX) != string(one.ONNX) {
		t.Errorf("the other's model: %v", err)
	}
	if err := a.Add(two); err != nil {
		t.Fatal(err)
	}
	if err := b.Promote("pumps", two.Version, "test", "it came later"); err != nil || b.Live("pumps").Version != two.Version {
		t.Errorf("promotion of what the other added since: %v", err)
	}
}

func TestFaults(t *testing.T) {
	cfg, _ := server(t)
	fault := func(says string, away bool, change func(*Config)) {
		t.Helper()
		c := cfg
		change(&c)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		s, err := New(c, 1)
		if err == nil {
			err = s.Check(ctx)
		}
		if err == nil || errors.Is(err, ErrAway) != away || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v, want %q", err, says)
		}
	}
	fault("no such bucket", false, func(c *Config) { c.Bucket = "elsewhere" })
	fault("ANDON_TEST_NOWHERE is not set", false, func(c *Config) { c.SecretKey = "${ANDON_TEST_NOWHERE}" })
	fault("tls.ca", false, func(c *Config) { c.TLS = TLS{Enabled: true, CA: "/nowhere"} })
	fault("the bucket andon-models at 127.0.0.1:1", true, func(c *Config) { c.Endpoint, c.SecretKey = "127.0.0.1:1", "hunter2" })
	denies := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer denies.Close()
	fault("s3:GetObject", false, func(c *Config) { c.Endpoint = strings.TrimPrefix(denies.URL, "http://") })
	fault("tls.enabled: false", false, func(c *Config) { c.TLS.Enabled = true })
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer broken.Close()
	fault("does not answer", true, func(c *Config) { c.Endpoint = strings.TrimPrefix(broken.URL, "http://") })
	t.Setenv("ANDON_TEST_KEY", "secret")
	ok := cfg
	ok.SecretKey = "${ANDON_TEST_KEY}"
	open(t, ok)
}

func TestConfig(t *testing.T) {
	off := Default()
	if err := off.Validate(); err != nil {
		t.Error(err)
	}
	bad := func(c Config, key string) {
		t.Helper()
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), key+":") {
			t.Errorf("%+v: %v, want %s", c, err, key)
		}
	}
	bad(Config{Bucket: "models"}, "endpoint")
	bad(Config{Endpoint: "https://s3.example.org", Bucket: "models"}, "endpoint")
	bad(Config{Endpoint: "s3:9000", Bucket: "My Models"}, "bucket")
	bad(Config{Endpoint: "s3:9000", Bucket: "models", Prefix: "/a"}, "prefix")
	bad(Config{Endpoint: "s3:9000", Bucket: "models", AccessKey: "a"}, "access_key")
	bad(Config{Endpoint: "s3:9000", Bucket: "models", TLS: TLS{CA: "a"}}, "tls.ca")
	shown, err := Secret("hunter2").MarshalText()
	if err != nil || string(shown) != "(hidden)" || fmt.Sprintf("%v %+v %#v", Secret("hunter2"), Config{SecretKey: "hunter2"}, Secret("hunter2")) == "" ||
		strings.Contains(fmt.Sprintf("%v %+v %#v", Secret("hunter2"), Config{SecretKey: "hunter2"}, Config{SecretKey: "hunter2"}), "hunter2") {
		t.Errorf("the secret is shown: %s", shown)
	}
	if shown, _ := Secret("${KEY}").MarshalText(); string(shown) != "${KEY}" {
		t.Errorf("the variable's name is hidden: %s", shown)
	}
}
