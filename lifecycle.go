package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// The exit codes, as README.md documents them.
const (
	exitOK          = 0
	exitFailed      = 1 // it ran and failed, or a check found faults
	exitUsage       = 2 // wrong flags, or a configuration that does not hold
	exitEnvironment = 3 // a port taken, a folder not writable, a library missing: mend the machine and start again
	exitKilled      = 130
)

// fault is an error with the exit code it deserves.
type fault struct {
	code int
	err  error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// environment marks err as a fault of the machine rather than of the program.
func environment(err error) error {
	if err == nil {
		return nil
	}
	return &fault{exitEnvironment, err}
}

// usage marks err as a fault of what was asked.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &fault{exitUsage, err}
}

func exitCode(err error) int {
	var f *fault
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &f):
		return f.code
	}
	return exitFailed
}

// untilSignal returns a context that ends at the first SIGINT or SIGTERM; a second one ends the process at once.
func untilSignal(talk io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		fmt.Fprintln(talk, "stopping: the line drains and commits (a second signal ends at once)")
		cancel()
		<-signals
		os.Exit(exitKilled)
	}()
	return ctx, cancel
}

// crew runs the parts of the house together: the first error stops them all, and all are awaited. Parts in later ranks stop after those before them, so
// that a store outlives its writers.
type crew struct {
	mu    sync.Mutex
	first error
	ranks []*rank
	stop  context.CancelFunc
}

type rank struct {
	ctx    context.Context
	cancel context.CancelFunc
	wait   sync.WaitGroup
}

// newCrew makes a crew of n ranks. It ends when ctx does or a part fails: rank 0 first, and each rank only when the one before has ended.
func newCrew(ctx context.Context, n int) *crew {
	c := &crew{}
	var outer context.Context
	outer, c.stop = context.WithCancel(ctx)
	for i := range n {
		r := &rank{}
		if i == 0 {
			r.ctx, r.cancel = context.WithCancel(outer)
		} else {
			// Only Wait ends a later rank.
			r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
		}
		c.ranks = append(c.ranks, r)
	}
	return c
}

// run starts one part in a rank; run(ctx) returns when ctx ends. Its error is told with the name, unless that is empty.
func (c *crew) run(rank int, name string, run func(context.Context) error) {
	r := c.ranks[rank]
	r.wait.Add(1)
	go func() {
		defer r.wait.Done()
		err := run(r.ctx)
		if r.ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = nil
		}
		if err != nil && name != "" {
			err = fmt.Errorf("%s: %w", name, err)
		}
		if err != nil {
			c.fail(err)
		}
	}()
}

func (c *crew) fail(err error) {
	c.mu.Lock()
	if c.first == nil {
		c.first = err
	}
	c.mu.Unlock()
	c.stop()
}

// wait blocks until every part has ended, rank by rank, and returns the first error.
func (c *crew) wait() error {
	<-c.ranks[0].ctx.Done()
	for _, r := range c.ranks {
		r.cancel()
		r.wait.Wait()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first
}
