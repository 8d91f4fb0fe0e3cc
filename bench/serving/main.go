// Command serving measures the CPU that a request to a model costs the server, REST and gRPC, beside MLServer from PyPI with the same ONNX file and the same clients.
//
//	go run ./bench/serving -requests 4000 -rounds 5
//
// Both servers run one after the other in turns, each as a process of its own, on the same machine in one run; what counts is the ratio of their CPU time a request.
// MLServer runs without its worker processes, which cost it more, and with bench/serving/runtime.py, for it has no runtime for ONNX files.
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
	"runtime"
	"slices"
	"strings"
	"time"

	"andon/model/ort/orttest"
)

// The demo's windows and network.
const (
	length, width = 30, 29
	hidden        = 32
	layers        = 2
)

func main() {
	requests := flag.Int("requests", 2000, "requests of one turn")
	rounds := flag.Int("rounds", 3, "turns of each case; the median counts")
	clients := flag.Int("clients", 4, "clients at a time, each with a connection")
	windows := flag.Int("windows", 1, "windows a request")
	serve := flag.String("serve", "", "be the server, of this ONNX file")
	lib := flag.String("lib", "lib/libonnxruntime.so", "ONNX Runtime")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *serve != "" {
		err = house(ctx, *serve, *lib)
	} else {
		err = measure(ctx, *requests, *rounds, *clients, *windows, *lib)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "serving:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, requests, rounds, clients, windows int, lib string) error {
	dir, err := os.MkdirTemp("", "serving")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "model.onnx")
	if err := os.WriteFile(file, orttest.GRU(length, width, hidden, layers, 1), 0o600); err != nil {
		return err
	}
	ours, err := startOurs(ctx, file, lib)
	if err != nil {
		return err
	}
	defer ours.stop()
	theirs, err := startMLServer(ctx, dir, file)
	if err != nil {
		return fmt.Errorf("MLServer: %w", err)
	}
	defer theirs.stop()

	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%d windows of %dx%d a request, GRU %dx%d, %d clients, %d requests a turn, %d rounds, %d cores, load %.14s\n\n", windows, length, width, layers, hidden,
		clients, requests, rounds, runtime.NumCPU(), load)
	fmt.Println("| way | andon, CPU µs a request (least to most) | MLServer | of it, each round | requests/s, andon and MLServer |\n|---|---|---|---|---|")
	var refusals []string
	for _, w := range ways {
		servers := []*server{ours, theirs}
		if err := w.send(ctx, theirs, 1, windows); err != nil && w.mayRefuse {
			servers = servers[:1]
			refusals = append(refusals, fmt.Sprintf("MLServer does not take %s: %v", w.name, err))
		}
		var cpu, pace [2][]float64
		for round := range rounds + 1 {
			for i, s := range servers {
				n := requests
				if round == 0 {
					n = max(50, requests/20) // warms both up
				}
				c, p, err := turn(ctx, s, w, n, clients, windows)
				if err != nil {
					return fmt.Errorf("%s to %s: %w", w.name, s.name, err)
				}
				if round > 0 {
					cpu[i], pace[i] = append(cpu[i], c), append(pace[i], p)
				}
			}
		}
		if len(servers) == 1 {
			fmt.Printf("| %s | %s | - | - | %.0f |\n", w.name, spread("%.0f", cpu[0]), median(pace[0]))
			continue
		}
		var ratio []float64
		for i := range cpu[0] {
			ratio = append(ratio, cpu[1][i]/cpu[0][i])
		}
		fmt.Printf("| %s | %s | %s | 1/%s | %.0f, %.0f |\n", w.name, spread("%.0f", cpu[0]), spread("%.0f", cpu[1]), spread("%.1f", ratio), median(pace[0]), median(pace[1]))
	}
	for _, r := range refusals {
		fmt.Println("\n" + r)
	}
	return nil
}

// spread tells the median of values, and the least and the most.
func spread(format string, v []float64) string {
	return fmt.Sprintf(format+" ("+format+" to "+format+")", median(v), slices.Min(v), slices.Max(v))
}

// turn sends n requests and returns the server's CPU microseconds a request and the requests a second.
func turn(ctx context.Context, s *server, w way, n, clients, windows int) (cpu, pace float64, err error) {
	errs := make(chan error, clients)
	before, start := s.cpu(), time.Now()
	for range clients {
		go func() { errs <- w.send(ctx, s, n/clients, windows) }()
	}
	for range clients {
		err = errors.Join(err, <-errs)
	}
	took := time.Since(start)
	sent := float64(n / clients * clients)
	return float64(s.cpu()-before) / 1e3 / sent, sent / took.Seconds(), err
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// startMLServer makes its environment, if need be, and starts it.
func startMLServer(ctx context.Context, dir, file string) (*server, error) {
	here := filepath.Join("bench", "serving")
	made := exec.CommandContext(ctx, "sh", "python/venv.sh", filepath.Join(here, "requirements.txt"), ".cache/mlserver")
	made.Stderr = os.Stderr
	python, err := made.Output()
	if err != nil {
		return nil, fmt.Errorf("its environment cannot be made (run this at the repository's root, with Python 3.10 to 3.12 and PyPI): %w", err)
	}
	bin, err := filepath.Abs(filepath.Join(filepath.Dir(strings.TrimSpace(string(python))), "mlserver"))
	if err != nil {
		return nil, err
	}
	code, err := os.ReadFile(filepath.Join(here, "runtime.py"))
	if err != nil {
		return nil, err
	}
	s := &server{name: "MLServer", model: "pumps"}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	s.rest, s.rpc = ports[0], ports[1]
	for name, text := range map[string]string{
		"runtime.py": string(code),
		"settings.json": fmt.Sprintf(`{"debug": false, "host": "127.0.0.1", "http_port": %s, "grpc_port": %s, "metrics_port": %s, "parallel_workers": 0}`,
			port(ports[0]), port(ports[1]), port(ports[2])),
		"model-settings.json": fmt.Sprintf(`{"name": "pumps", "implementation": "runtime.Onnx", "parameters": {"uri": %q}}`, file),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(bin, "start", dir)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "PYTHONPATH="+dir)
	return s, s.start(ctx, cmd)
}
