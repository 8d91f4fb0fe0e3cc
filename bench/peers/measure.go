package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// quiet is how long an output must not have grown before it is read.
const quiet = 700 * time.Millisecond

// Bench is one run of the harness: a broker with the input on it.
type Bench struct {
	cfg    Config
	root   string
	dir    string // everything that the run writes
	input  string
	broker *Broker
	loader *Loader
	log    *slog.Logger
}

// measure runs one peer on one case and checks what it wrote.
func (b *Bench) measure(ctx context.Context, peer Peer, c Case, round int) Result {
	r := Result{Peer: peer.Name, Version: peer.Version, Note: peer.Note, Case: c, Round: round, Records: b.cfg.Input.Records}
	if err := b.run(ctx, peer, &r); err != nil {
		r.Error = err.Error()
	}
	return r
}

func (b *Bench) run(ctx context.Context, peer Peer, r *Result) (err error) {
	group := fmt.Sprintf("peers-%s-%s-%s-%d", peer.Name, r.Job, r.Guarantee, r.Round)
	output := group + ".out"
	dir := filepath.Join(b.dir, group)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := b.broker.createTopic(ctx, output, b.cfg.Partitions); err != nil {
		return err
	}
	defer func() {
		// Also when the run was interrupted; a broker of our own is thrown away whole.
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		err = errors.Join(err, b.broker.forget(clean, group))
		if !b.cfg.Keep {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	port, err := freePort(23092, 2)
	if err != nil {
		return err
	}
	size, slide := r.Job.Window()
	args, err := peer.prepare(Params{
		Brokers: b.broker.Addr, Input: b.input, Output: output, Group: group, Job: string(r.Job), Guarantee: string(r.Guarantee),
		Root: b.root, Dir: dir, Partitions: b.cfg.Partitions, Parallelism: b.cfg.Parallelism, Port: port,
		SizeMS: size.Milliseconds(), SlideMS: slide.Milliseconds(), LatenessMS: b.cfg.Lateness.Milliseconds(), IntervalMS: b.cfg.Interval.Milliseconds(),
		Keys: b.cfg.Input.Keys, Field: "s_5", AddedField: "s_5_f", Limit: limit,
	})
	if err != nil {
		return err
	}
	check, known := b.checker(peer, r.Job)
	reader := newReader(b.broker.Addr, output, b.cfg.Partitions, check)
	defer reader.Close()

	before := machineTime()
	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	r.IdleBefore = idleShare(before, machineTime())

	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	started := time.Now()
	proc, err := startProcess(cmd, filepath.Join(dir, "output.log"))
	if err != nil {
		return fmt.Errorf("start %s: %w", peer.Name, err)
	}
	watch := newWatch(b, proc.cmd.Process.Pid, output, started)
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	var side sync.WaitGroup
	side.Go(func() { watch.Run(ctx) })
	if r.Job != Map {
		side.Go(func() { b.keepTimeMoving(ctx) })
	}
	err = b.follow(ctx, proc, watch, reader, known)
	cancel()
	side.Wait()
	proc.stop()

	r.Tally = check.Tally()
	r.fill(watch, reader, proc)
	if err == nil && r.Missing() > 0 {
		err = fmt.Errorf("output stopped growing, %d results are missing", r.Missing())
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, proc.said())
	}
	return nil
}

// checker returns what checks the job's output, and how many records the output must have at least (0 when that is open).
func (b *Bench) checker(peer Peer, job Job) (Checker, int64) {
	decode := peer.Decode
	if decode == nil {
		decode = decodeWindow
	}
	switch {
	case job == Map:
		m := newMaps(b.cfg.Input)
		return m, m.tally.Expected
	case peer.WallClock:
		return newSums(b.cfg.Input, decode), 0
	}
	w := newWindows(b.cfg.Input, job, decode)
	return w, w.tally.Expected
}

// keepTimeMoving appends records that move event time on, as a live stream would: some peers look at the clock of their stream only when a record comes.
func (b *Bench) keepTimeMoving(ctx context.Context) {
	for pause(ctx, 500*time.Millisecond) == nil {
		if err := b.loader.Flush(ctx); err != nil && ctx.Err() == nil {
			b.log.Warn("flush record", "err", err)
		}
	}
}

// follow waits until the output is complete, or will not be. The output is read only once it is long enough and at rest, so that reading takes no time from
// the peer.
func (b *Bench) follow(ctx context.Context, proc *process, watch *watch, reader *reader, known int64) error {
	var sum int64
	moved := time.Now()
	read := int64(0)
	for {
		ended := proc.exited()
		ends := watch.latest()
		if now := total(ends); now != sum {
			sum, moved = now, time.Now()
		}
		rest := time.Since(moved)
		if sum > read && (sum >= known && rest > quiet || rest > b.cfg.Stall || ended) {
			if err := reader.ReadTo(ctx, ends); err != nil {
				return err
			}
			read = sum
			if reader.check.Tally().Missing() <= 0 {
				return nil
			}
		}
		switch {
		case ended:
			return errors.New("the peer ended by itself")
		case rest > b.cfg.Stall:
			return nil
		}
		if err := pause(ctx, sampleEvery); err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("not done within %s", b.cfg.Timeout)
			}
			return err
		}
	}
}
