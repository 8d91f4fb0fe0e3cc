// Command steps sets a training's optimiser steps beside PyTorch's, one thread each, in turns.
//
//	go run ./bench/steps                     some two minutes
//	go run ./bench/steps -python PYTHON      with a Python that has PyTorch, in place of the environment that it makes
//
// A step is forward, backward and Adam on a batch of made-up rows, without dropout, decay and clipping; CPU time counts, by the median of the rounds' ratios. PyTorch is measured as it comes and at its own fastest
// (fused Adam, pictures channels last). It is installed from PyPI in .cache/torch the first time (5.5 GB, for its Linux wheel brings CUDA along); where that cannot be only our own speed is told.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"andon/model/ort"
	"andon/trainer/fit"
)

//go:embed steps.py
var script string

func main() {
	rounds := flag.Int("rounds", 9, "turns of each; the median counts")
	turn := flag.Float64("turn", 0.5, "CPU seconds of a turn")
	python := flag.String("python", "", "a Python that has PyTorch")
	lib := flag.String("lib", "lib/libonnxruntime.so", "ONNX Runtime")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *rounds, *turn, *python, *lib)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "steps:", err)
		os.Exit(1)
	}
}

// work is one kind of training.
type work struct {
	kind, name string
	goal       float64 // of PyTorch's speed; 0: none
	begin      func() (*fit.Steps, error)
}

func works() []work {
	recurrent := func(kind string, length, width, hidden, layers, batch int) func() (*fit.Steps, error) {
		return func() (*fit.Steps, error) {
			set := &fit.Set{Length: length, Width: width, Windows: noise(batch * length * width), Targets: noise(batch)}
			return fit.NewSteps(fit.Network{Kind: kind, Length: length, Width: width, Hidden: hidden, Layers: layers}, set, config(batch))
		}
	}
	return []work{
		{"gru64", "GRU 64, windows 64x16, batch 32", 2, recurrent(fit.GRU, 64, 16, 64, 1, 32)},
		{"gru32", "GRU 2x32, windows 30x29, batch 64", 2, recurrent(fit.GRU, 30, 29, 32, 2, 64)},
		{"lstm64", "LSTM 64, windows 64x16, batch 32", 0, recurrent(fit.LSTM, 64, 16, 64, 1, 32)},
		{"lstm32", "LSTM 2x32, windows 30x29, batch 64", 0, recurrent(fit.LSTM, 30, 29, 32, 2, 64)},
		{"cnn", "CNN 16-32-64-128, crops 3x64x64, batch 32", 1, func() (*fit.Steps, error) {
			set := &fit.Crops{Channels: 3, Height: 64, Width: 64}
			rng := rand.New(rand.NewPCG(1, 1))
			for i := range 32 {
				for range 3 * 64 * 64 {
					set.Pixels = append(set.Pixels, byte(rng.IntN(256)))
				}
				set.Labels = append(set.Labels, i%10)
			}
			net := fit.Classifier{Channels: 3, Height: 64, Width: 64, Classes: make([]string, 10), Stages: []int{16, 32, 64, 128}, Center: 0.5, Spread: 0.2}
			return fit.NewSteps(net, set, config(32))
		}},
	}
}

func config(batch int) fit.Config {
	return fit.Config{Epochs: 1, Batch: batch, LearningRate: 1e-3, Patience: 1, Shards: 1, Seed: 1}
}

func noise(n int) []float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	out := make([]float32, n)
	for i := range out {
		out[i] = rng.Float32()
	}
	return out
}

func run(ctx context.Context, rounds int, turn float64, python, lib string) error {
	if err := ort.Open(lib); err != nil {
		return err
	}
	torch, err := startTorch(ctx, python)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fmt.Fprintf(os.Stderr, "steps: PyTorch is left out: %v\n", err)
	} else {
		defer torch.close()
		fmt.Printf("PyTorch %s, ONNX Runtime %s, one thread each, %d turns of %.1f s of CPU time\n\n", torch.version, ort.Version(), rounds, turn)
	}
	fmt.Println("| training | CPU ms a step | PyTorch, as it comes | PyTorch, at its best | speed beside as it comes (rounds) | beside its best (rounds) | goal |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, w := range works() {
		if err := w.measure(ctx, rounds, turn, torch); err != nil {
			return fmt.Errorf("%s: %w", w.kind, err)
		}
	}
	return nil
}

func (w *work) measure(ctx context.Context, rounds int, turn float64, torch *torch) error {
	steps, err := w.begin()
	if err != nil {
		return err
	}
	defer steps.Close()
	var ours, plain, best, byPlain, byBest []float64
	for round := range rounds + 1 { // the first warms up
		our, err := own(ctx, steps, turn)
		if err != nil {
			return err
		}
		var p, b float64
		if torch != nil {
			if p, err = torch.turn(w.kind, "plain", turn); err != nil {
				return err
			}
			if b, err = torch.turn(w.kind, "best", turn); err != nil {
				return err
			}
		}
		if round > 0 {
			ours, plain, best, byPlain, byBest = append(ours, our), append(plain, p), append(best, b), append(byPlain, p/our), append(byBest, b/our)
		}
	}
	goal := "-"
	if w.goal > 0 {
		goal = fmt.Sprintf("%.0fx", w.goal)
	}
	if torch == nil {
		fmt.Printf("| %s | %.2f | - | - | - | - | %s |\n", w.name, median(ours), goal)
		return nil
	}
	if w.goal > 0 && min(median(byPlain), median(byBest)) < w.goal {
		goal += ", missed"
	}
	ratio := func(v []float64) string {
		return fmt.Sprintf("**%.2f** (%.2f-%.2f)", median(v), slices.Min(v), slices.Max(v))
	}
	fmt.Printf("| %s | %.2f | %.2f | %.2f | %s | %s | %s |\n", w.name, median(ours), median(plain), median(best), ratio(byPlain), ratio(byBest), goal)
	return nil
}

// own returns the CPU milliseconds of one of our steps.
func own(ctx context.Context, steps *fit.Steps, turn float64) (float64, error) {
	n, began := 0, cpuSeconds()
	for cpuSeconds()-began < turn {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if _, err := steps.Step(); err != nil {
			return 0, err
		}
		n++
	}
	return (cpuSeconds() - began) * 1e3 / float64(n), nil
}

func cpuSeconds() float64 {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // fails for a bad pointer only
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// torch is a process with PyTorch, which waits while we have our turn.
type torch struct {
	cmd     *exec.Cmd
	ask     *json.Encoder
	answers *json.Decoder
	close   func()
	version string
}

type answer struct {
	Version        string
	Steps, Seconds float64
}

// startTorch makes the environment, if need be and no python is named.
func startTorch(ctx context.Context, python string) (*torch, error) {
	if python == "" {
		made := exec.CommandContext(ctx, "sh", filepath.Join("python", "venv.sh"), filepath.Join("bench", "steps", "requirements.txt"), filepath.Join(".cache", "torch"))
		made.Stderr = os.Stderr
		bin, err := made.Output()
		if err != nil {
			return nil, fmt.Errorf("its environment cannot be made (run this at the repository's root, with Python 3.11 or newer, PyPI and 6 GB of disk): %w", err)
		}
		python = strings.TrimSpace(string(bin))
	}
	t := &torch{cmd: exec.CommandContext(ctx, python, "-c", script)}
	t.cmd.Stderr, t.cmd.SysProcAttr = os.Stderr, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	t.cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "MKL_NUM_THREADS=1")
	in, err := t.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	t.ask, t.answers = json.NewEncoder(in), json.NewDecoder(out)
	t.close = func() {
		_ = in.Close()
		_ = t.cmd.Wait()
	}
	var hello answer
	if err := t.answers.Decode(&hello); err != nil {
		t.close()
		return nil, fmt.Errorf("%s cannot import it: %w", python, err)
	}
	t.version = hello.Version
	return t, nil
}

// turn returns the CPU milliseconds of one of its steps.
func (t *torch) turn(kind, way string, seconds float64) (float64, error) {
	var a answer
	err := t.ask.Encode(map[string]any{"kind": kind, "way": way, "seconds": seconds})
	if err == nil {
		err = t.answers.Decode(&a)
	}
	if err != nil {
		return 0, fmt.Errorf("ask PyTorch for steps of %s: %w", kind, err)
	}
	return a.Seconds * 1e3 / a.Steps, nil
}
