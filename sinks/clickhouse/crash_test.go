package clickhouse

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"andon/sinks/clickhouse/engine"
)

// serverPID finds the child by its command line.
func serverPID(t testing.TB, e *engine.Engine) int {
	t.Helper()
	folders, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		pid, err := strconv.Atoi(f.Name())
		if err != nil {
			continue
		}
		line, _ := os.ReadFile("/proc/" + f.Name() + "/cmdline")
		if strings.Contains(string(line), "\x00--run="+strings.TrimSuffix(e.Log(), "/engine.log")+"\x00") {
			return pid
		}
	}
	return 0
}

// Whatever was acknowledged is there once, and whatever was in flight too, when the server is killed again and again under several writers.
func TestServerKilledWhileWriting(t *testing.T) {
	rounds, blocks := 2, int64(6)
	if testing.Short() {
		rounds = 1
	}
	e := ownEngine(t)
	s, _ := openStore(t, e)
	do(t, s, "CREATE TABLE sums (partition Int32, n UInt64) ENGINE = SummingMergeTree ORDER BY partition SETTINGS non_replicated_deduplication_window = 1000",
		"CREATE MATERIALIZED VIEW counting TO sums AS SELECT _partition AS partition, count() AS n FROM readings GROUP BY partition")
	rng := rand.New(rand.NewPCG(1, 2))

	for round := range rounds {
		var wg sync.WaitGroup
		for p := range int32(3) {
			wg.Go(func() {
				for k := range blocks {
					b := makeBlock("killed", p, (int64(round)*blocks+k)*2000, 2000, 50, "a", "b", "c")
					for range 1 + k%2 {
						if err := s.Write(t.Context(), b); err != nil {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		written := make(chan struct{})
		go func() { wg.Wait(); close(written) }()
		for kills := 0; ; kills++ {
			select {
			case <-written:
			case <-time.After(time.Duration(rng.IntN(400)) * time.Millisecond):
				if pid := serverPID(t, e); pid > 0 && kills < 3 {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
				continue
			}
			break
		}
	}
	n := int64(rounds) * blocks * 3 * 2000
	want := fmt.Sprintf("deadletters %d %d\nlabels %d %d\nreadings %d %d\nscores %d %d", n/100, n/100, n/2000, n/2000, n*99/100, n*99/100, n*99/100, n*99/100)
	equal(t, "rows and different offsets", ask(t, s, fmt.Sprintf(copies, "killed")), want)
	equal(t, "in the materialized view", ask(t, s, "SELECT sum(n) FROM sums"), fmt.Sprint(n*99/100))
	equal(t, "by the projection", ask(t, s, "SELECT sum(rows) FROM rows_per_minute WHERE pipeline = 'killed'"), fmt.Sprint(n*99/100))
}

// forward passes connections on to an address until it is closed.
func forward(t testing.TB, to string) (from string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			mu.Lock()
			open = append(open, in, out)
			mu.Unlock()
			wg.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
			wg.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
		}
	})
	return l.Addr().String(), func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	}
}

// After a restart the server may listen elsewhere; the store follows, and what was in flight is sent again.
func TestServerMoves(t *testing.T) {
	e := sharedEngine(t)
	var now atomic.Pointer[string]
	var stop func()
	move := func() {
		var to string
		to, stop = forward(t, e.Endpoint().Native)
		now.Store(&to)
	}
	move()
	at := func() engine.Endpoint {
		to := e.Endpoint()
		to.Native = *now.Load()
		return to
	}
	s, err := Open(t.Context(), Default(), at, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n := range int64(4) {
		done := make(chan error, 1)
		go func() { done <- s.Write(t.Context(), makeBlock("moves", 0, n*1000, 1000, 10, "a")) }()
		stop()
		move()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		equal(t, "rows", ask(t, s, "SELECT count(), uniqExact(_offset) FROM readings WHERE pipeline = 'moves'"), fmt.Sprint(990*(n+1), 990*(n+1)))
	}
	stop()
}
