// Command scorer measures what the scorer costs, what its batches win, and what a change of models is felt like.
//
//	go run ./bench/scorer                    all parts, some three minutes
//	go run ./bench/scorer -run swaps         one of batches, callers, swaps and equal
//
// batches: calls of 1, 8, 32 and 256 windows beside a bare loop over ONNX Runtime in Go and in Python; callers: many callers of one window with dynamic batches and without;
// swaps: hot swaps and rollbacks under a constant load; equal: the verdicts beside those of Python's ONNX Runtime. Whoever is compared takes turns of some 50 ms, and the
// median of the rounds counts. Python and its ONNX Runtime are installed from PyPI in .cache/onnxruntime the first time; where that cannot be they are left out.
//
// It ends with 1 if a call failed or a verdict was not what it must be; a goal that was missed is only seen in the table.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"andon/model/ort"
)

type options struct {
	rounds, turn, swaps int
	every               time.Duration
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 21, "turns of each; the median counts")
	flag.IntVar(&o.turn, "turn", 1024, "windows of a turn")
	flag.IntVar(&o.swaps, "swaps", 200, "hot swaps of each network")
	flag.DurationVar(&o.every, "every", 100*time.Millisecond, "time from one swap to the next")
	parts := flag.String("run", "batches,callers,swaps,equal", "parts to run")
	lib := flag.String("lib", filepath.Join("lib", "libonnxruntime.so"), "ONNX Runtime")
	env := flag.String("python", filepath.Join(".cache", "onnxruntime"), "Python environment with ONNX Runtime; made if it is not there; empty: no Python")
	save := flag.String("record", "", "write what Python says to this file, for the scorer's test, and end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, os.Stdout, strings.Split(*parts, ","), *lib, *env, *save, o); err != nil {
		fmt.Fprintln(os.Stderr, "scorer:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, out io.Writer, parts []string, lib, env, save string, o options) error {
	for _, p := range parts {
		if !slices.Contains([]string{"batches", "callers", "swaps", "equal"}, p) {
			return fmt.Errorf("-run: %q is not batches, callers, swaps or equal", p)
		}
	}
	if o.rounds < 1 || o.turn < 1 || o.swaps < 2 || o.every < 10*time.Millisecond {
		return fmt.Errorf("-rounds %d, -turn %d, -swaps %d, -every %v: at least 1, 1, 2 and 10ms", o.rounds, o.turn, o.swaps, o.every)
	}
	if err := ort.Open(lib); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "scorer")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var nets []*loaded
	for _, n := range networks {
		l, err := n.load(dir)
		if err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
		nets = append(nets, l)
	}
	py, why := (*python)(nil), fmt.Errorf("-python is empty")
	if env != "" {
		py, why = startPython(ctx, env, nets)
	}
	if why != nil {
		if save != "" {
			return why
		}
		fmt.Fprintln(os.Stderr, "Python's ONNX Runtime is left out:", why)
	} else {
		defer py.close()
		if save != "" {
			return record(save, nets, py)
		}
	}
	fmt.Fprintf(out, "%s, %d × %s, %s, ONNX Runtime %s", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), processor(), runtime.Version(), ort.Version())
	if py != nil {
		fmt.Fprintf(out, ", in Python %s", py.version)
	}
	fmt.Fprintf(out, ", medians of %d rounds, load %s before\n", o.rounds, load())
	for _, p := range parts {
		fmt.Fprintln(out)
		switch p {
		case "batches":
			err = batches(ctx, out, nets, py, o)
		case "callers":
			err = callers(ctx, out, nets, o)
		case "swaps":
			err = swaps(ctx, out, nets, o)
		case "equal":
			if py == nil {
				fmt.Fprintln(out, "Not held to Python's ONNX Runtime: it is not here.")
			} else {
				err = equal(ctx, out, nets, py, o)
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	fmt.Fprintf(out, "\nload %s after\n", load())
	return nil
}

func load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(b) + " ? ? ?")
	return strings.Join(f[:3], " ")
}

// processor returns the name that the kernel has for the first core.
func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}
