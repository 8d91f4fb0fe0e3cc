package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	sampleEvery = 100 * time.Millisecond // the resolution of a wall time
	quiet       = 700 * time.Millisecond // output that has not grown for so long is read
	stall       = 45 * time.Second       // a peer whose output does not grow for so long is given up
)

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

// sample is what was seen at one moment of a peer's run.
type sample struct {
	at          time.Duration // since the peer's start
	cpu, broker time.Duration
	harness     time.Duration
	machine     machine
	ends        []int64
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
		err = errors.Join(err, b.broker.forget(clean, group, group))
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
	reader, err := newReader(b.broker.Addr, output, b.cfg.Partitions, check)
	if err != nil {
		return err
	}
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
		if sum > read && (sum >= known && rest > quiet || rest > stall || ended) {
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
		case rest > stall:
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

// watch samples a peer from outside while it runs.
type watch struct {
	b       *Bench
	pid     int
	topic   string
	started time.Time
	own     time.Duration // the harness's CPU time at the start
	broker0 time.Duration
	machine machine

	mu      sync.Mutex
	samples []sample
	peak    int64
	err     error
}

func newWatch(b *Bench, pid int, topic string, started time.Time) *watch {
	return &watch{
		b: b, pid: pid, topic: topic, started: started,
		own: cpuTime([]int{os.Getpid()}), broker0: brokerCPU(b.broker), machine: machineTime(),
	}
}

// Run samples until ctx ends.
func (w *watch) Run(ctx context.Context) {
	pids := family(w.pid)
	for n := 0; ; n++ {
		if n%10 == 0 {
			pids = family(w.pid)
		}
		ends, err := w.b.broker.ends(ctx, w.topic, w.b.cfg.Partitions)
		if err == nil {
			s := sample{
				at: time.Since(w.started), cpu: cpuTime(pids), broker: brokerCPU(w.b.broker) - w.broker0,
				harness: cpuTime([]int{os.Getpid()}) - w.own, machine: machineTime(), ends: ends,
			}
			rss := max(residentBytes(pids), peakBytes(w.pid))
			w.mu.Lock()
			w.samples = append(w.samples, s)
			w.peak = max(w.peak, rss)
			w.mu.Unlock()
		}
		if pause(ctx, sampleEvery) != nil {
			return
		}
	}
}

func (w *watch) latest() []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.samples) == 0 {
		return nil
	}
	return w.samples[len(w.samples)-1].ends
}

// reader is the independent consumer: read_committed, from the beginning, outside of any group.
type reader struct {
	cl    *kgo.Client
	addr  string
	topic string
	check Checker
	next  []int64
	last  []int64 // offset of the last record that was still missing, -1 for none
}

func newReader(addr, topic string, partitions int32, check Checker) (*reader, error) {
	r := &reader{addr: addr, topic: topic, check: check, next: make([]int64, partitions), last: make([]int64, partitions)}
	for p := range r.last {
		r.last[p] = -1
	}
	return r, nil
}

// ReadTo checks everything before the given ends.
func (r *reader) ReadTo(ctx context.Context, ends []int64) error {
	if r.cl == nil {
		from := make(map[int32]kgo.Offset)
		for p := range r.next {
			from[int32(p)] = kgo.NewOffset().At(0)
		}
		cl, err := kgo.NewClient(kgo.SeedBrokers(r.addr), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: from}))
		if err != nil {
			return err
		}
		r.cl = cl
	}
	for !reached(r.next, ends) {
		fetches := r.cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s: %w", r.topic, err)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			r.next[rec.Partition] = rec.Offset + 1
			if !rec.Attrs.IsControl() && r.check.Check(rec.Key, rec.Value) {
				r.last[rec.Partition] = rec.Offset
			}
		})
	}
	return nil
}

func (r *reader) Close() {
	if r.cl != nil {
		r.cl.Close()
	}
}

func reached(next, ends []int64) bool {
	for p, e := range ends {
		if next[p] < e {
			return false
		}
	}
	return true
}

func total(ends []int64) (sum int64) {
	for _, e := range ends {
		sum += e
	}
	return sum
}

func brokerCPU(b *Broker) time.Duration {
	if b.PID == 0 {
		return 0
	}
	return cpuTime([]int{b.PID})
}

func idleShare(from, to machine) float64 {
	idle, busy := to.idle-from.idle, to.busy-from.busy
	if idle+busy == 0 {
		return 0
	}
	return float64(idle) / float64(idle+busy)
}

// done returns the first sample at which every result was readable, or the last one if that never was.
func (w *watch) done(last []int64) (sample, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.samples) == 0 {
		return sample{}, false
	}
	need := make([]int64, len(last))
	for p, o := range last {
		need[p] = o + 1
	}
	i := slices.IndexFunc(w.samples, func(s sample) bool { return reached(s.ends, need) })
	if i < 0 {
		i = len(w.samples) - 1
	}
	return w.samples[i], true
}

// warm returns the share of the output that came between the first fifth of it and the end, and the CPU and wall time of that stretch: by then a JVM has
// started and compiled what is hot. It returns zeros where the output came in too few steps to tell.
func (w *watch) warm(end sample) (share float64, cpu, wall time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := total(end.ends)
	from, steps := -1, 0
	for i, s := range w.samples {
		sum := total(s.ends)
		switch {
		case s.at > end.at:
		case from < 0:
			if sum*5 >= all {
				from = i
			}
		case sum > total(w.samples[i-1].ends):
			steps++
		}
	}
	if from < 0 || steps < 5 || all == 0 {
		return 0, 0, 0
	}
	s := w.samples[from]
	return 1 - float64(total(s.ends))/float64(all), end.cpu - s.cpu, end.at - s.at
}

// firstOutput returns when the first output was readable.
func (w *watch) firstOutput() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.samples {
		if total(s.ends) > 0 {
			return s.at
		}
	}
	return 0
}
