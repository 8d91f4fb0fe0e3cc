package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestCrewStopsRankByRank(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := newCrew(ctx, 3)
	var mu sync.Mutex
	var ended []string
	part := func(name string) func(context.Context) error {
		return func(ctx context.Context) error {
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			ended = append(ended, name)
			return ctx.Err()
		}
	}
	c.run(2, "store", part("store"))
	c.run(0, "intake", part("intake"))
	c.run(1, "broker", part("broker"))
	cancel()
	if err := c.wait(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"intake", "broker", "store"}; !slices.Equal(ended, want) {
		t.Fatalf("ended %v, want %v", ended, want)
	}
}

func TestCrewFirstErrorStopsAll(t *testing.T) {
	c := newCrew(context.Background(), 2)
	boom := errors.New("boom")
	c.run(0, "waits", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	c.run(1, "fails", func(context.Context) error { return boom })
	err := c.wait()
	if !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), "fails: ") {
		t.Fatalf("got %v", err)
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{{nil, exitOK}, {errors.New("x"), exitFailed}, {usage(errors.New("x")), exitUsage}, {environment(errors.New("x")), exitEnvironment}} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}
