package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"andon/console"
	"andon/event"
	"andon/model"
	"andon/model/ort"
	"andon/scorer"
	"andon/scorer/oip"
)

// server is one process that is asked.
type server struct {
	name, model string
	rest, rpc   string // host:port
	cmd         *exec.Cmd
	ended       chan struct{}
}

// start runs the process and waits until its model is ready.
func (s *server) start(ctx context.Context, cmd *exec.Cmd) error {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.ended = cmd, make(chan struct{})
	go func() { _ = cmd.Wait(); close(s.ended) }()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		res, err := http.Get("http://" + s.rest + "/v2/models/" + s.model + "/ready")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.ended:
			return fmt.Errorf("it ended: %s", said.String())
		case <-ctx.Done():
			s.stop()
			return ctx.Err()
		default:
		}
	}
	s.stop()
	return fmt.Errorf("it was not ready after two minutes: %s", said.String())
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
}

// cpu returns the processor time of the process and its children so far, in nanoseconds: the kernel's own count (clock_getcpuclockid), not the 10 ms ticks of /proc.
func (s *server) cpu() (ns int64) {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range all {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		parent, _ := strconv.Atoi(f[1])
		if pid == s.cmd.Process.Pid || parent == s.cmd.Process.Pid {
			const ofProcess = 2 // CPUCLOCK_SCHED of the kernel's posix-timers.h
			var t unix.Timespec
			if unix.ClockGettime(int32(^pid<<3|ofProcess), &t) == nil { // else it has just ended
				ns += t.Nano()
			}
		}
	}
	return ns
}

// startOurs starts this program as the server.
func startOurs(ctx context.Context, file, lib string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	s := &server{name: "andon", model: "pumps", rest: ports[0], rpc: ports[0]}
	cmd := exec.Command(self, "-serve", file, "-lib", lib)
	cmd.Env = append(os.Environ(), "SERVING_LISTEN="+ports[0])
	return s, s.start(ctx, cmd)
}

// house is what of the appliance answers: console, scorer and registry, wired as it wires them, without the line.
func house(ctx context.Context, file, lib string) error {
	if err := ort.Open(lib); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "serving")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	r := model.Recipe{Grid: time.Hour, Length: length, Smooth: 1}
	for i := range width {
		r.Signals = append(r.Signals, "s"+strconv.Itoa(i))
	}
	m, err := model.Seal(raw, model.Meta{Pipeline: "pumps", Task: model.RemainingLife, Recipe: r})
	if err != nil {
		return err
	}
	models, err := model.Open(dir)
	if err != nil {
		return err
	}
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	judge := scorer.New(scorer.Default(), log, reg)
	defer judge.Close()
	models.Prepare(judge.Load)
	if err := models.Add(m); err != nil {
		return err
	}
	if err := models.Promote("pumps", m.Version, "bench", "the only one"); err != nil {
		return err
	}
	cfg := console.Default()
	cfg.Listen = os.Getenv("SERVING_LISTEN")
	screen := console.New(cfg, console.Deps{Store: noStore{}, Metrics: reg, Register: reg, Status: func() console.Status { return console.Status{} },
		Ready: func() error { return nil }}, log)
	asked := oip.New(oip.Default(), oip.Deps{Judge: judge, Models: models, Ready: func() error { return nil }}, log, reg)
	screen.Models(asked, asked.ServeRPC)
	return screen.Run(ctx)
}

// noStore holds nothing.
type noStore struct{}

func (noStore) QueryParams(context.Context, string, map[string]string, int) (*event.Table, error) {
	return &event.Table{}, nil
}

// freePorts returns addresses that nobody listens on now.
func freePorts(n int) (list []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		list = append(list, l.Addr().String())
	}
	return list, nil
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}
