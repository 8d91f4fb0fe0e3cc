package engine

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.uber.org/goleak"
)

// The test program is also the program that hosts the server, and others that a test needs killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "engine":
			os.Exit(Child(os.Args[2:]))
		case "panicking-engine":
			os.Exit(panickingChild(os.Args[2:]))
		case "parent":
			os.Exit(parentToKill(os.Args[2], os.Args[3]))
		}
	}
	goleak.VerifyTestMain(m)
}

func testLibrary(t testing.TB) string {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	lib := filepath.Join(filepath.Dir(file), "../../../lib", libraryName)
	if _, err := os.Stat(lib); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: run make deps", err)
		}
		t.Skipf("%v: run make deps", err)
	}
	return lib
}

func testConfig(t testing.TB) Config {
	cfg := Default()
	cfg.Library = testLibrary(t)
	cfg.HealthEvery = 200 * time.Millisecond
	return cfg
}

func testEngine(t testing.TB, cfg Config, dir, sub string) *Engine {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return New(cfg, dir, []string{exe, sub}, slog.New(slog.DiscardHandler), nil)
}

// running starts an engine that is stopped at the test's end.
func running(t testing.TB, cfg Config, dir string) *Engine {
	t.Helper()
	e := testEngine(t, cfg, dir, "engine")
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e
}

func connect(t testing.TB, e *Engine, l Login) clickhouse.Conn {
	t.Helper()
	c, err := clickhouse.Open(&clickhouse.Options{Addr: []string{e.Endpoint().Native}, DialTimeout: 5 * time.Second,
		Auth: clickhouse.Auth{Username: l.User, Password: l.Password}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func do(t testing.TB, c clickhouse.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := c.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func number(t testing.TB, c clickhouse.Conn, query string) uint64 {
	t.Helper()
	var n uint64
	if err := c.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}
