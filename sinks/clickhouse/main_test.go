package clickhouse

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon/event"
	"andon/sinks/clickhouse/engine"
)

// The test program is also the program that hosts the server.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "engine" {
		os.Exit(engine.Child(os.Args[2:]))
	}
	code := m.Run()
	if shared.stop != nil {
		shared.stop()
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// shared is the server of the tests that do no harm to it; they keep out of each other's way by pipeline.
var shared struct {
	once  sync.Once
	e     *engine.Engine
	stop  func()
	err   error
	store sync.Once
}

func engineConfig(t testing.TB) engine.Config {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	cfg := engine.Default()
	cfg.Library = filepath.Join(filepath.Dir(file), "../../lib/libchdb.so")
	if _, err := os.Stat(cfg.Library); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: run make deps", err)
		}
		t.Skipf("%v: run make deps", err)
	}
	return cfg
}

func startEngine(cfg engine.Config, dir string) (*engine.Engine, func(), error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	e := engine.New(cfg, dir, []string{exe, "engine"}, slog.New(slog.DiscardHandler), nil)
	if err := e.Start(context.Background()); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = e.Run(ctx)
	}()
	return e, func() { cancel(); <-done }, nil
}

// sharedEngine returns the engine that most tests use.
func sharedEngine(t testing.TB) *engine.Engine {
	t.Helper()
	cfg := engineConfig(t)
	shared.once.Do(func() {
		dir, err := os.MkdirTemp("", "andon-clickhouse-test")
		if err != nil {
			shared.err = err
			return
		}
		var stop func()
		shared.e, stop, shared.err = startEngine(cfg, dir)
		shared.stop = func() {
			if stop != nil {
				stop()
			}
			_ = os.RemoveAll(dir)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.e
}

// ownEngine returns an engine that the test may kill.
func ownEngine(t testing.TB) *engine.Engine {
	t.Helper()
	e, stop, err := startEngine(engineConfig(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return e
}

// logs keeps what a store logged.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func openStore(t testing.TB, e *engine.Engine) (*Store, *logs) {
	t.Helper()
	l := &logs{}
	s, err := Open(t.Context(), Default(), e.Endpoint, slog.New(slog.NewTextHandler(l, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, l
}

func sharedStore(t testing.TB) *Store {
	t.Helper()
	s, _ := openStore(t, sharedEngine(t))
	return s
}

func do(t testing.TB, s *Store, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if err := s.owner.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// ask returns the answer's rows as text, one a line.
func ask(t testing.TB, s *Store, sql string) string {
	t.Helper()
	table, err := s.Query(t.Context(), sql, 0)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var b bytes.Buffer
	for i, row := range table.Rows {
		if i > 0 {
			b.WriteByte('\n')
		}
		for j, v := range row {
			if j > 0 {
				b.WriteByte(' ')
			}
			if at, ok := v.(time.Time); ok {
				v = at.UTC().Format(time.RFC3339Nano)
			}
			fmt.Fprint(&b, v)
		}
	}
	return b.String()
}

func equal(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
	}
}

var origin = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()

const hour = int64(time.Hour)

// makeBlock fills offsets [first, first+n) with readings of assets in turn, one an hour, and a score for each; every hundredth record is a dead letter,
// and a label comes at the end.
func makeBlock(pipeline string, partition int32, first int64, n, assets int, signals ...string) *event.Block {
	rng := rand.New(rand.NewPCG(uint64(first), uint64(partition)))
	b := &event.Block{Pipeline: pipeline, Topic: "fleet", Partition: partition, First: first, Next: first + int64(n)}
	b.Readings.Signals = signals
	values := make([]float64, len(signals))
	for o := first; o < b.Next; o++ {
		pos := event.Position{Topic: b.Topic, Partition: partition, Offset: o}
		asset := fmt.Sprintf("asset-%03d", int(o)%assets)
		at := origin + o/int64(assets)*hour
		if o%100 == 99 {
			b.DeadLetters = append(b.DeadLetters, event.DeadLetter{Pipeline: pipeline, Reason: event.ReasonMalformed, Detail: "no time",
				Record: event.Record{Position: pos, Time: at, Key: []byte(asset), Value: []byte("{"), Headers: []event.Header{{Key: "h", Value: []byte{0, 255}}}}})
			continue
		}
		for i := range values {
			values[i] = math.Round(100*(float64(i)*10+rng.NormFloat64())) / 100
		}
		b.Readings.Append(&event.Row{Asset: asset, Time: at, Offset: o, Values: values}, event.StatusOK)
		b.Scores = append(b.Scores, event.Score{Verdict: event.Verdict{Value: float32(n), Risk: float32(o%1000) / 1000, Run: event.Run{Batch: 32, Queue: 2e4 + o%1000, Compute: 8e5}}, Pipeline: pipeline, Asset: asset,
			Start: at - 29*hour, End: at + hour, Version: "0123456789ab", Position: pos, Latency: 1e6, ScoredAt: time.Now().UnixNano()})
	}
	last := event.Position{Topic: b.Topic, Partition: partition, Offset: b.Next - 1}
	b.Labels = append(b.Labels, event.Label{Position: last, Pipeline: pipeline, Asset: "asset-000", Time: origin, Kind: event.KindFailure, Value: math.NaN()})
	return b
}

var fourteen = []string{"s_2", "s_3", "s_4", "s_7", "s_8", "s_9", "s_11", "s_12", "s_13", "s_14", "s_15", "s_17", "s_20", "s_21"}
