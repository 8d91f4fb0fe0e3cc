// Package engine runs ClickHouse's own server code, from one library, in a child process of the same program.
//
// The parent writes a configuration and a fresh password, starts the child with the lock of the data folder and one end of a pipe (the life line),
// and reads the ports that the server took from a file. A child that dies or no longer listens is started again, on the same ports if they are
// still free, with the same password.
//
// Metrics: andon_clickhouse_engine_starts_total, andon_clickhouse_engine_up.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Engine is the embedded server. Its methods may be called from any goroutine, Start and Run once.
type Engine struct {
	cfg     Config
	dir     string
	run     string
	command []string
	log     *slog.Logger
	metrics *metrics

	started bool
	lock    *os.File
	quit    chan struct{} // closed by Close
	quitted sync.Once

	mu    sync.Mutex
	at    Endpoint
	child *child
	ran   chan struct{} // closed when Run has returned; nil before it is called
}

// New makes an engine with its tables in dir/store. command is the program that runs Child, and the arguments before Child's own. Nothing is
// started.
func New(cfg Config, dir string, command []string, log *slog.Logger, reg prometheus.Registerer) *Engine {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return &Engine{cfg: cfg, dir: dir, run: filepath.Join(dir, "run"), command: command, log: log, metrics: newMetrics(reg),
		quit: make(chan struct{})}
}

// Endpoint tells where the server listens now; it stays when the child restarts, unless another process took a port.
func (e *Engine) Endpoint() Endpoint {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.at
}

// Credentials returns the path of the file, readable by its owner only, that holds the Endpoint as JSON while the engine runs.
func (e *Engine) Credentials() string { return filepath.Join(e.dir, credentialsFile) }

// Log returns the path of the server's own log.
func (e *Engine) Log() string { return filepath.Join(e.run, logFile) }

// Start starts the server and returns when it listens. The error of a start that failed ends with the end of the server's log.
func (e *Engine) Start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start the embedded ClickHouse: %w", err), e.end())
		}
	}()
	if _, err := e.cfg.library(); err != nil {
		return err
	}
	for _, d := range []string{filepath.Join(e.dir, "store"), filepath.Join(e.run, "user_files")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("%w: choose a folder that can be written to with --data", err)
		}
	}
	if e.lock, err = lock(ctx, filepath.Join(e.run, lockFile), e.cfg.StopTimeout+5*time.Second); err != nil {
		return err
	}
	for _, p := range []struct {
		key  string
		port int
	}{{"native_port", e.cfg.NativePort}, {"http_port", e.cfg.HTTPPort}} {
		if p.port != 0 && !free(p.port) {
			return fmt.Errorf("clickhouse.engine.%s: port %d of 127.0.0.1 is taken: free it, or set 0 to take any", p.key, p.port)
		}
	}
	e.mu.Lock()
	e.at.Owner = Login{User: "andon", Password: password()}
	e.at.Reader = Login{User: "reader", Password: password()}
	e.mu.Unlock()
	e.started = true
	return e.launch(ctx)
}

// Run keeps the server up until ctx ends or Close is called, then stops it: what was acknowledged is on disk. It starts the server if Start was not
// called.
func (e *Engine) Run(ctx context.Context) error {
	ran := make(chan struct{})
	defer close(ran)
	e.mu.Lock()
	e.ran = ran
	e.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() {
		select {
		case <-e.quit:
			cancel()
		case <-ctx.Done():
		}
	})
	defer cancel()
	if !e.started {
		if err := e.Start(ctx); err != nil {
			return err
		}
	}
	// A server that was up for calm was well, and is missed: only one that dies soon after its start is started ever more seldom.
	const calm, longest = 10 * time.Second, 10 * time.Second
	pause := 100 * time.Millisecond
	for ctx.Err() == nil {
		up := time.Now()
		why := e.watch(ctx)
		if time.Since(up) > calm {
			pause = 100 * time.Millisecond
		}
		for why != nil && ctx.Err() == nil {
			e.log.Error("embedded ClickHouse is down, starting it again", "error", why, "pause", pause)
			select {
			case <-ctx.Done():
			case <-time.After(pause/2 + rand.N(pause)):
				pause = min(2*pause, longest)
				why = e.launch(ctx)
			}
		}
	}
	return e.end()
}

// Close stops the server, and Run: the server's prompt is told to exit; after StopTimeout it is killed. It may be called again, and without Start.
func (e *Engine) Close() error {
	e.quitted.Do(func() { close(e.quit) })
	e.mu.Lock()
	ran := e.ran
	e.mu.Unlock()
	if ran != nil {
		<-ran
	}
	return e.end()
}

func (e *Engine) end() error {
	e.mu.Lock()
	c := e.child
	e.child = nil
	e.mu.Unlock()
	var err error
	if c != nil {
		err = c.stop(e.cfg.StopTimeout)
		e.metrics.up.Set(0)
		e.log.Info("embedded ClickHouse stopped", "pid", c.cmd.Process.Pid)
	}
	if e.lock != nil {
		_ = os.Remove(e.Credentials())
		_ = e.lock.Close()
		e.lock = nil
	}
	return err
}

// watch returns why the child is not usable any more, or nil when ctx ended.
func (e *Engine) watch(ctx context.Context) error {
	e.mu.Lock()
	c, address := e.child, e.at.HTTP
	e.mu.Unlock()
	client := &http.Client{Timeout: e.cfg.HealthEvery, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(e.cfg.HealthEvery)
	defer tick.Stop()
	for missed := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-c.done:
			return c.ended(e.Log())
		case <-tick.C:
		}
		trimLog(e.Log())
		answer, err := client.Get("http://" + address + "/ping")
		if err == nil {
			_ = answer.Body.Close()
		}
		var slow net.Error
		if !(errors.As(err, &slow) && slow.Timeout()) && !errors.Is(err, syscall.ECONNREFUSED) {
			missed = 0 // also where it sent us away: it is busy, not hung
		} else if missed++; missed == deaf {
			c.kill()
			return fmt.Errorf("the server did not answer %d times: %w", missed, err)
		}
	}
}

// deaf is how many times in a row the server may not answer: at the default pace it is a minute, so that a machine out of breath does not lose
// its server too.
const deaf = 10

// launch starts a child and waits until it listens.
func (e *Engine) launch(ctx context.Context) error {
	e.metrics.up.Set(0)
	native, web := e.cfg.NativePort, e.cfg.HTTPPort
	if native == 0 {
		native = keep(e.at.Native)
	}
	if web == 0 {
		web = keep(e.at.HTTP)
	}
	if err := e.writeFiles(native, web); err != nil {
		return err
	}
	begin := time.Now()
	c, err := e.spawn()
	if err != nil {
		return err
	}
	e.metrics.starts.Inc()
	if err := e.ready(ctx, c); err != nil {
		return err
	}
	at := e.at
	at.Native, at.HTTP, _ = e.readPorts()
	if err := writeCredentials(e.Credentials(), at); err != nil {
		return errors.Join(err, c.stop(e.cfg.StopTimeout))
	}
	e.mu.Lock()
	e.at, e.child = at, c
	e.mu.Unlock()
	e.metrics.up.Set(1)
	e.log.Info("embedded ClickHouse listens", "native", at.Native, "http", at.HTTP, "pid", c.cmd.Process.Pid, "took", time.Since(begin).Round(time.Millisecond))
	return nil
}

// keep returns the port of an address where it is still free, or 0.
func keep(address string) int {
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	port, err := strconv.Atoi(text)
	if err != nil || !free(port) {
		return 0
	}
	return port
}

func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
