// Command gpu runs scoring and training on the CPU and on a CUDA device of the same machine, in turns, and prints the ratios:
//
//	make deps-gpu && go run ./bench/gpu
//
// It ends with 3 and says why where CUDA does not work; -cpu then prints the CPU's numbers alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/model"
	"andon/model/ort"
	"andon/model/ort/orttest"
	"andon/scorer/gpu"
	"andon/trainer/fit"
)

var errNoCUDA = errors.New("CUDA does not work here")

func main() {
	lib := flag.String("lib", filepath.Join("lib", "gpu", "libonnxruntime.so"), "ONNX Runtime for CUDA; make deps-gpu fetches it")
	device := flag.Int("device", 0, "number of the device")
	rounds := flag.Int("rounds", 3, "rounds; the median of each number is printed")
	turn := flag.Duration("turn", time.Second, "length of a turn of scoring")
	epochs := flag.Int("epochs", 3, "epochs of a turn of training, the first not counted")
	cpu := flag.Bool("cpu", false, "the CPU alone, with any build of ONNX Runtime")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := bench{device: *device, rounds: *rounds, turn: *turn, epochs: *epochs, cpu: *cpu}
	if err := b.run(ctx, *lib); err != nil {
		fmt.Fprintln(os.Stderr, "gpu:", err)
		if errors.Is(err, errNoCUDA) {
			os.Exit(3)
		}
		os.Exit(1)
	}
}

type bench struct {
	device, rounds, epochs int
	turn                   time.Duration
	cpu                    bool
	watch                  *gpu.Watcher
}

func (b *bench) run(ctx context.Context, lib string) error {
	if err := ort.Open(lib); err != nil {
		return err
	}
	if !b.cpu {
		if err := ort.Probe(ort.Options{Provider: ort.CUDA, Device: b.device}); err != nil {
			return fmt.Errorf("%w: %w; -cpu prints the CPU's numbers alone", errNoCUDA, err)
		}
		w, err := gpu.Open(gpu.Library(), func() float64 { return 0 }, 200*time.Millisecond, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err == nil {
			b.watch = w
			done := make(chan error, 1)
			ctx, cancel := context.WithCancel(ctx)
			go func() { done <- w.Run(ctx) }()
			defer func() { cancel(); <-done; w.Close() }()
			for _, d := range w.Devices() {
				fmt.Printf("device %d: %s, %.0f GiB\n", d.Index, d.Name, d.MemoryTotal/(1<<30))
			}
		}
	}
	fmt.Printf("ONNX Runtime %s; a score is one window; CPU: one thread and one run at a time\n\n", ort.Version())
	if err := b.scoring(ctx); err != nil {
		return err
	}
	return b.training(ctx)
}

// providers are what is compared; the CPU first.
func (b *bench) providers() []ort.Provider {
	if b.cpu {
		return []ort.Provider{ort.CPU}
	}
	return []ort.Provider{ort.CPU, ort.CUDA}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// energy returns what the device has drawn, joules; NaN if it does not tell.
func (b *bench) energy() float64 {
	if b.watch != nil {
		for _, d := range b.watch.Devices() {
			if d.Index == b.device && d.Energy >= 0 {
				return d.Energy
			}
		}
	}
	return math.NaN()
}

// scoring runs the networks that the trainer makes, in batches.
func (b *bench) scoring(ctx context.Context) error {
	fmt.Println("| network, window | batch | CPU windows/s | CUDA windows/s | CUDA/CPU | CUDA J per 1,000 | largest difference |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, n := range []struct{ length, width, hidden, layers int }{{64, 16, 64, 1}, {30, 29, 32, 2}, {64, 16, 256, 2}} {
		file := orttest.GRU(n.length, n.width, n.hidden, n.layers, 1)
		for _, batch := range []int{1, 8, 32, 256, 2048} {
			rate, said := map[ort.Provider][]float64{}, map[ort.Provider][]float32{}
			joules := []float64{}
			for range b.rounds {
				for _, p := range b.providers() {
					windows, seconds, drawn, out, err := b.score(ctx, file, p, n.length, n.width, batch)
					if err != nil {
						return err
					}
					rate[p], said[p] = append(rate[p], windows/seconds), out
					if p == ort.CUDA {
						joules = append(joules, drawn/windows*1000)
					}
				}
			}
			line := fmt.Sprintf("| GRU %dx%d, %dx%d | %d | %.0f |", n.layers, n.hidden, n.length, n.width, batch, median(rate[ort.CPU]))
			if b.cpu {
				line += " - | - | - | - |"
			} else {
				worst := 0.0
				for i, v := range said[ort.CPU] {
					worst = math.Max(worst, math.Abs(float64(v-said[ort.CUDA][i])))
				}
				line += fmt.Sprintf(" %.0f | %.2f | %.3g | %.1e |", median(rate[ort.CUDA]), median(rate[ort.CUDA])/median(rate[ort.CPU]), median(joules), worst)
			}
			fmt.Println(line)
		}
	}
	return nil
}

// score runs one model for a turn and returns the windows scored, the time, the device's energy and the last values.
func (b *bench) score(ctx context.Context, file []byte, p ort.Provider, length, width, batch int) (windows, seconds, joules float64, out []float32, err error) {
	x, err := ort.NewTensor[float32](int64(batch), int64(length), int64(width))
	if err != nil {
		return 0, 0, 0, nil, err
	}
	defer x.Close()
	value, err := ort.NewTensor[float32](int64(batch), 1)
	if err != nil {
		return 0, 0, 0, nil, err
	}
	defer value.Close()
	rng := rand.New(rand.NewPCG(7, uint64(batch)))
	for i := range x.Data() {
		x.Data()[i] = float32(rng.NormFloat64())
	}
	s, err := ort.NewSession(file, ort.Options{Provider: p, Device: b.device, Inputs: []string{model.Input}, Outputs: []string{model.Value},
		Warm: func(s *ort.Session) error { return s.Run([]ort.Value{x}, []ort.Value{value}) }})
	if err != nil {
		return 0, 0, 0, nil, err
	}
	defer s.Close()
	if s.Fallback() != nil {
		return 0, 0, 0, nil, fmt.Errorf("%w: %w", errNoCUDA, s.Fallback())
	}
	for range 3 {
		if err := s.Run([]ort.Value{x}, []ort.Value{value}); err != nil {
			return 0, 0, 0, nil, err
		}
	}
	began, before, n := time.Now(), b.energy(), 0
	for time.Since(began) < b.turn {
		if ctx.Err() != nil {
			return 0, 0, 0, nil, ctx.Err()
		}
		if err := s.Run([]ort.Value{x}, []ort.Value{value}); err != nil {
			return 0, 0, 0, nil, err
		}
		n += batch
	}
	seconds = time.Since(began).Seconds()
	return float64(n), seconds, b.energy() - before, slices.Clone(value.Data()), nil
}

// training runs the trainer's own step: forward, backward and Adam as ONNX graphs.
func (b *bench) training(ctx context.Context) error {
	fmt.Println("\n| training step, batch | CPU windows/s | CUDA windows/s | CUDA/CPU | loss after, CPU and CUDA |")
	fmt.Println("|---|---|---|---|---|")
	for _, n := range []struct{ length, width, hidden, layers, batch int }{{64, 16, 64, 1, 32}, {30, 29, 32, 2, 64}, {64, 16, 256, 2, 256}} {
		rate, loss := map[ort.Provider][]float64{}, map[ort.Provider]float64{}
		for range b.rounds {
			for _, p := range b.providers() {
				speed, last, err := b.train(ctx, p, n.length, n.width, n.hidden, n.layers, n.batch)
				if err != nil {
					return err
				}
				rate[p], loss[p] = append(rate[p], speed), last
			}
		}
		line := fmt.Sprintf("| GRU %dx%d, %dx%d, %d | %.0f |", n.layers, n.hidden, n.length, n.width, n.batch, median(rate[ort.CPU]))
		if b.cpu {
			line += fmt.Sprintf(" - | - | %.5f |", loss[ort.CPU])
		} else {
			line += fmt.Sprintf(" %.0f | %.2f | %.5f %.5f |", median(rate[ort.CUDA]), median(rate[ort.CUDA])/median(rate[ort.CPU]), loss[ort.CPU], loss[ort.CUDA])
		}
		fmt.Println(line)
	}
	return nil
}

// train fits a network to made-up windows and returns the speed of all epochs but the first, and the last loss.
func (b *bench) train(ctx context.Context, p ort.Provider, length, width, hidden, layers, batch int) (rate, loss float64, err error) {
	rng := rand.New(rand.NewPCG(3, 3))
	set := func(n int) *fit.Set {
		s := &fit.Set{Length: length, Width: width, Windows: make([]float32, n*length*width), Targets: make([]float32, n)}
		for i := range n {
			w := s.Windows[i*length*width : (i+1)*length*width]
			for j := range w {
				w[j] = float32(rng.NormFloat64())
			}
			s.Targets[i] = (w[len(w)-1] + w[len(w)-width]) / 2
		}
		return s
	}
	var rates []float64
	trained, err := fit.Train(ctx, fit.Network{Length: length, Width: width, Hidden: hidden, Layers: layers}, fit.Config{Epochs: b.epochs, Batch: batch, LearningRate: 1e-3, Clip: 1,
		Patience: b.epochs, Shards: 1, Seed: 1, Provider: p, Device: b.device}, set(40*batch), set(batch), func(e fit.Progress) {
		if e.Epoch > 1 {
			rates = append(rates, e.RowsPerSecond)
		}
		loss = e.Loss
	})
	if err != nil {
		return 0, 0, err
	}
	if trained.Fallback != nil {
		return 0, 0, fmt.Errorf("%w: %w", errNoCUDA, trained.Fallback)
	}
	if len(rates) == 0 {
		return 0, 0, errors.New("no epoch after the first: -epochs wants at least 2")
	}
	return median(rates), loss, nil
}
