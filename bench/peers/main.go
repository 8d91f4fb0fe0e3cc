// Peers measures other stream processors, and any program that is entered in its table, on the same jobs, side by side with one Apache Kafka broker.
//
//	go run ./bench/peers                            # all peers and jobs, 10 million records
//	go run ./bench/peers -records 500000 -peers flink,streams -cases tumbling/exactly-once
//
// It prints one line a run on standard output and talks on standard error. It exits 1 if any output was incomplete, wrong or doubled.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// Config is one run of the harness.
type Config struct {
	Input       Input         `json:"input"`
	Partitions  int32         `json:"partitions"`
	Parallelism int           `json:"parallelism"` // threads that a peer may set its work on
	Interval    time.Duration `json:"interval_ns"` // between two commits, checkpoints or flushes of a peer
	Lateness    time.Duration `json:"lateness_ns"`
	Rounds      int           `json:"rounds"`
	Timeout     time.Duration `json:"timeout_ns"` // for one peer on one case
	Stall       time.Duration `json:"stall_ns"`   // a peer whose output does not grow for so long is given up
	Heap        string        `json:"broker_heap"`
	CPUs        string        `json:"cpus"`
	Keep        bool          `json:"-"`
	Peers       string        `json:"-"`
	Cases       string        `json:"-"`
	Dir         string        `json:"-"`
	JSON        string        `json:"-"`
	Against     string        `json:"-"`
}

// Default returns the configuration of the published numbers.
func Default() Config {
	return Config{
		// Ten million records of 186 B take the fastest peer some 10 s: a JVM's start is then a tenth of it.
		Input:      Input{Records: 10_000_000, Keys: 1000},
		Partitions: 4,
		// One thread a core; more made no peer faster.
		Parallelism: 2,
		// Flink's documentation calls a second a short checkpoint interval. Kafka Streams would take 100 ms exactly once and 30 s otherwise: one for all is
		// fairer, and longer than 100 ms favours it.
		Interval: time.Second,
		Lateness: 2 * Disorder,
		Rounds:   1,
		// The slowest, Kafka Streams on sliding windows, takes some ten minutes.
		Timeout: 20 * time.Minute,
		// Longer than a window by the clock on the wall, and than Flink SQL takes to its first output on a busy machine: a minute was seen.
		Stall: 3 * time.Minute,
		Heap:  "512m",
		CPUs:  "0,1",
	}
}

// Validate reports every fault with its flag.
func (c Config) Validate() error {
	var errs []error
	want := func(ok bool, text string) {
		if !ok {
			errs = append(errs, errors.New(text))
		}
	}
	want(c.Input.Records >= 1000 && c.Input.Records <= 200_000_000, "-records: want 1000 to 200 million")
	want(c.Input.Keys >= 1 && c.Input.Keys <= 10_000, "-keys: want 1 to 10000")
	want(c.Partitions >= 1 && c.Partitions <= 64, "-partitions: want 1 to 64")
	want(c.Parallelism >= 1 && c.Parallelism <= 64, "-parallelism: want 1 to 64")
	want(c.Interval >= 10*time.Millisecond && c.Interval <= 10*time.Second, "-interval: want 10ms to 10s")
	want(c.Lateness >= Disorder, fmt.Sprintf("-lateness: the input is up to %s out of order", Disorder))
	want(c.Rounds >= 1 && c.Rounds <= 20, "-rounds: want 1 to 20")
	want(c.Timeout >= time.Second && c.Timeout <= time.Hour, "-timeout: want 1s to 1h")
	return errors.Join(errs...)
}

func main() {
	c := Default()
	flag.Int64Var(&c.Input.Records, "records", c.Input.Records, "input records")
	flag.Int64Var(&c.Input.Keys, "keys", c.Input.Keys, "assets")
	partitions := flag.Int("partitions", int(c.Partitions), "partitions of every topic")
	flag.IntVar(&c.Parallelism, "parallelism", c.Parallelism, "threads that a peer may set its work on")
	flag.DurationVar(&c.Interval, "interval", c.Interval, "time between two commits, checkpoints or flushes of a peer")
	flag.DurationVar(&c.Lateness, "lateness", c.Lateness, "how far out of order a peer must expect records")
	flag.IntVar(&c.Rounds, "rounds", c.Rounds, "times that everything is run; peers take turns")
	flag.DurationVar(&c.Timeout, "timeout", c.Timeout, "longest that one peer may take for one case")
	flag.StringVar(&c.Heap, "heap", c.Heap, "the broker's heap")
	flag.StringVar(&c.CPUs, "cpus", c.CPUs, "cores that everything shares; empty for all")
	flag.StringVar(&c.Peers, "peers", "", "comma-separated names; empty for all but the optional ones")
	flag.StringVar(&c.Cases, "cases", "", "comma-separated jobs (tumbling, sliding, map) or job/guarantee; empty for all")
	flag.StringVar(&c.Dir, "dir", "", "folder for data and logs; empty for a new one under the system's")
	flag.StringVar(&c.JSON, "json", "", "file for the results as JSON")
	flag.StringVar(&c.Against, "against", "", "a peer to set against all others")
	flag.BoolVar(&c.Keep, "keep", false, "leave the folder with the logs behind")
	flag.Parse()
	c.Partitions = int32(*partitions)

	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := pin(c.CPUs); err != nil {
		log.Error("pin to cores", "cpus", c.CPUs, "err", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := run(ctx, c, log)
	switch {
	case err != nil:
		log.Error("peers", "err", err)
		os.Exit(2)
	case !ok:
		os.Exit(1)
	}
}

// pin starts this program again under taskset where the machine has more cores than the run may use: children inherit it, and JVMs count their cores by it.
func pin(cpus string) error {
	if cpus == "" || os.Getenv("PEERS_PINNED") != "" || runtime.NumCPU() <= 2 {
		return nil
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(taskset, append([]string{"taskset", "-c", cpus, self}, os.Args[1:]...), append(os.Environ(), "PEERS_PINNED=1"))
}

// run does everything and says whether all output was right.
func run(ctx context.Context, c Config, log *slog.Logger) (ok bool, err error) {
	if err := c.Validate(); err != nil {
		return false, err
	}
	cases, err := selectCases(c.Cases)
	if err != nil {
		return false, err
	}
	peers, err := selectPeers(Peers(), c.Peers)
	if err != nil {
		return false, err
	}
	root, err := findRoot()
	if err != nil {
		return false, err
	}
	if err := build(ctx, root, peers, log); err != nil {
		return false, err
	}
	dir := c.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "andon-peers-"); err != nil {
			return false, err
		}
	} else if dir, err = filepath.Abs(dir); err != nil {
		return false, err
	}
	if !c.Keep && c.Dir == "" {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	} else {
		log.Info("data and logs stay", "dir", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, err
	}
	broker, err := startBroker(ctx, root, dir, c.Heap, log)
	if err != nil {
		return false, err
	}
	defer broker.Close()
	b := &Bench{cfg: c, root: root, dir: dir, input: "peers.input", broker: broker, log: log}
	if err := b.load(ctx); err != nil {
		return false, err
	}
	defer b.loader.Close()
	return b.all(ctx, peers, cases)
}

// load makes the input topic and fills it.
func (b *Bench) load(ctx context.Context) error {
	if err := b.broker.createTopic(ctx, b.input, b.cfg.Partitions); err != nil {
		return err
	}
	loader, err := NewLoader(b.broker, b.cfg.Input, b.input, b.cfg.Partitions)
	if err != nil {
		return err
	}
	started := time.Now()
	if err := loader.Load(ctx); err != nil {
		loader.Close()
		return err
	}
	b.loader = loader
	b.log.Info("loaded", "records", b.cfg.Input.Records, "bytes", b.cfg.Input.Records*RecordBytes, "took", time.Since(started).Round(time.Millisecond))
	return nil
}

// all runs every peer on every case, one after the other, and reports.
func (b *Bench) all(ctx context.Context, peers []Peer, cases []Case) (bool, error) {
	report := Report{Date: time.Now().UTC(), Machine: about(), Config: b.cfg}
	good := true
	for round := 1; round <= b.cfg.Rounds; round++ {
		for _, c := range cases {
			for _, p := range peers {
				if !p.Does(c) {
					continue
				}
				if ctx.Err() != nil {
					return false, ctx.Err()
				}
				r := b.measure(ctx, p, c, round)
				good = good && r.OK()
				report.Results = append(report.Results, r)
				b.log.Info("done", "case", c.Name(), "peer", p.Name, "round", round, "ok", r.OK(), "rec/s", int64(r.PerSecond()), "rec/cpu_s", int64(r.PerCPUSecond()),
					"wall_s", r.WallS, "cpu_s", r.CPUS, "idle_before", fmt.Sprintf("%.0f%%", 100*r.IdleBefore))
				if !r.OK() {
					b.log.Error("not right", "err", r.Error, "fault", r.Fault)
				}
				if b.cfg.JSON != "" {
					if err := report.write(b.cfg.JSON); err != nil {
						return false, err
					}
				}
			}
		}
	}
	if err := table(os.Stdout, report.Results, b.cfg.Rounds); err != nil {
		return false, err
	}
	if b.cfg.Against != "" {
		return good, compare(os.Stdout, report.Results, b.cfg.Against)
	}
	return good, nil
}
