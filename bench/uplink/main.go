// Command uplink cuts the line between an appliance and its central Kafka cluster in the middle of the flow, and tells what that does to the appliance: how late its verdicts and what acts on them
// are, before, during and after; what the outage costs in disk; how fast what waited goes up; and whether both sides verify clean.
//
//	go run ./bench/uplink                          two minutes, five minutes of outage, two minutes
//	go run ./bench/uplink -before 10s -cut 20s -after 10s
//
// The appliance is the program as it is built, with its embedded broker and ClickHouse; the cluster an Apache Kafka 4.3.1 (make deps-kafka), reached through a proxy of this process that ends all connections
// while the line is cut. It ends with 1 if a side does not verify, or records are not up in time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

type options struct {
	before, cut, after time.Duration
	rate, assets       int
	lib, dir           string
	bandwidth          string
}

func main() {
	var o options
	flag.DurationVar(&o.before, "before", 2*time.Minute, "flow before the line is cut")
	flag.DurationVar(&o.cut, "cut", 5*time.Minute, "how long the line is cut")
	flag.DurationVar(&o.after, "after", 2*time.Minute, "flow after everything is up again")
	flag.IntVar(&o.rate, "rate", 500, "rows a second; each completes a window, and each window is scored")
	flag.IntVar(&o.assets, "assets", 100, "assets")
	flag.StringVar(&o.lib, "lib", "lib", "folder of the native libraries and the broker's jars")
	flag.StringVar(&o.dir, "dir", "", "folder to work in; empty: a temporary one")
	flag.StringVar(&o.bandwidth, "bandwidth", "0", "uplink.bandwidth, as 256KiB")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "uplink:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "andon-uplink-"); err != nil {
			return err
		}
		defer os.RemoveAll(o.dir)
	}
	if o.lib, err = filepath.Abs(o.lib); err != nil {
		return err
	}
	h := &house{o: o, binary: filepath.Join(o.dir, "andon"), data: filepath.Join(o.dir, "data"), config: filepath.Join(o.dir, "andon.yaml")}
	if h.root, err = moduleRoot(); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", h.binary, ".")
	build.Dir = h.root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	defer h.close()
	if err := h.start(ctx); err != nil {
		return err
	}
	f, err := newFlow(h)
	if err != nil {
		return err
	}
	defer f.close()
	flow, end := context.WithCancel(ctx)
	defer end()
	go f.send(flow)
	go f.act(flow)
	go f.watchCentral(flow)

	var phases []phase
	measure := func(name string, d time.Duration, until func() bool) error {
		p, err := f.phase(ctx, name, d, until)
		phases = append(phases, p)
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, p)
		return err
	}
	if err := measure("warm-up", 5*time.Second, nil); err != nil {
		return err
	}
	phases = nil
	if err := measure("before", o.before, nil); err != nil {
		return err
	}
	h.proxy.cut()
	if err := measure("cut", o.cut, nil); err != nil {
		return err
	}
	waiting := h.uplink().Waiting
	h.proxy.mend()
	mended := time.Now()
	sent := f.count()
	limit := 10 * time.Minute
	err = measure("catching up", limit, func() bool { return h.uplink().Waiting < int64(2*o.rate) })
	took := time.Since(mended)
	if err == nil && took >= limit {
		err = fmt.Errorf("%d records still wait %v after the line was mended", h.uplink().Waiting, limit)
	}
	if err != nil {
		return err
	}
	came := f.count() - sent
	if err := measure("after", o.after, nil); err != nil {
		return err
	}
	end()
	time.Sleep(3 * time.Second)

	fmt.Printf("%d rows/s of %d assets, each scored; the line cut for %v; bandwidth %s\n\n", o.rate, o.assets, o.cut, o.bandwidth)
	fmt.Println("| | scores/s | record to verdict p50 / p99, ms | row sent to score read on the site p50 / p99, ms | to the central cluster p50 / p99, ms | CPU, cores | local log, MiB |\n|---|---|---|---|---|---|---|")
	for _, p := range phases {
		fmt.Println(p.row())
	}
	fmt.Printf("\nWaiting when the line was mended: %d records; up %.1f s later, with %d that came meanwhile: %.0f records/s\n", waiting, took.Seconds(), came, float64(waiting+came)/took.Seconds())
	var errs []error
	for _, args := range [][]string{{"verify", "--uplink", "--config", h.config, "--data", h.data}, {"verify", "--kafka", "auto", "--data", h.data}} {
		out, err := exec.CommandContext(ctx, h.binary, args...).CombinedOutput()
		fmt.Printf("\n$ andon %s\n%s", strings.Join(args, " "), out)
		if err != nil {
			errs = append(errs, fmt.Errorf("andon %s: %w", args[0]+" "+args[1], err))
		}
	}
	return errors.Join(errs...)
}
