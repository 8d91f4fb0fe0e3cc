package scorer

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"andon/event"
	"andon/model/ort/orttest"
)

func TestServe(t *testing.T) {
	orttest.Open(t)
	m := seal(t, orttest.Sum(1, 1, 0), 1, 1)
	s := start(t, func(c *Config) { c.Workers, c.MaxBatch, c.Queue, c.Deadline = 1, 4, 3, 50*time.Millisecond })
	serve := func(ctx context.Context, n int) error {
		out := make([]event.Verdict, n)
		windows := fill(n)
		err := s.Serve(ctx, m, windows, out)
		if err == nil && out[n-1].Value != windows[n-1] {
			t.Errorf("window %d is %v", n-1, out[n-1])
		}
		return err
	}
	if err := serve(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	q := s.queues[m.Version]
	if q.perWindow <= 0 {
		t.Error("nothing was learned of the pace")
	}
	busy := func(what, want string, err error) {
		t.Helper()
		if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), m.Version) {
			t.Errorf("%s: %v, want busy with %q", what, err, want)
		}
	}
	pace := func(d time.Duration) {
		s.mu.Lock()
		defer s.mu.Unlock()
		q.perWindow = d
	}
	// A deadline that the pace of late does not meet.
	pace(10 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	busy("short of time", "10 windows need about 100ms, and the call has", serve(ctx, 10))
	if err := serve(t.Context(), 10); err != nil {
		t.Errorf("the same without a deadline: %v", err)
	}
	// Nobody runs: the call waits for as long as is allowed.
	pace(time.Microsecond)
	release := hold(s)
	began := time.Now()
	busy("nobody runs", "no run has taken it within 50ms", serve(t.Context(), 1))
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("given up after %v", took)
	}
	queued(t, s, 0)
	// Much waits.
	line := make(chan error)
	go func() { line <- s.Score(t.Context(), m, fill(100), make([]event.Verdict, 100)) }()
	queued(t, s, 100)
	pace(time.Millisecond)
	busy("a long queue", "its first run would begin in about 100ms, and 50ms is the most", serve(t.Context(), 1))
	pace(time.Microsecond)
	// The door is shut.
	for range 2 {
		go func() { line <- s.Score(t.Context(), m, fill(1), make([]event.Verdict, 1)) }()
	}
	queued(t, s, 102)
	busy("full", "3 calls are inside", serve(t.Context(), 1))
	if n := number(t, s.metrics.busy.WithLabelValues("p")); n != 4 {
		t.Errorf("%v counted", n)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := serve(ended, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	release()
	for range 3 { // the line's own windows waited through it all
		if err := <-line; err != nil {
			t.Error(err)
		}
	}
	if n := number(t, s.metrics.failures.WithLabelValues("p")); n != 0 {
		t.Errorf("%v failures counted", n)
	}
}
