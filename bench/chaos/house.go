package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// appliance is one data folder and the process that runs on it, if one does.
type appliance struct {
	name   string
	binary string
	dir    string
	config string
	args   []string

	mu    sync.Mutex
	env   []string
	cmd   *exec.Cmd
	ended chan struct{}
	// meant tells that the process was told to end.
	meant       bool
	at          addresses
	begun, over time.Time
	// unmeant lists ends of the process that nobody caused. One that has just started may end when it finds nothing to stand on, as its supervisor starts it
	// again; such ends are counted in early.
	unmeant []error
	early   int
	// lenient allows early ends; excused allows those of the process that runs, whose ClickHouse was killed while it started; pardoned allows any end of it,
	// because the password that it has is void.
	lenient, excused, pardoned bool
}

// addresses is what the appliance tells in run/addresses.json.
type addresses struct {
	Console     string `json:"console"`
	Kafka       string `json:"kafka"`
	Native      string `json:"clickhouse_native"`
	Credentials string `json:"credentials"`
	PID         int    `json:"pid"`
}

// login is a user of the embedded ClickHouse.
type login struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// configuration is what both processes run on. The session is short, so that a zombie does not take half a minute to make; blocks are small, so that a
// crash falls between their steps often.
func configuration(nativePort int) string {
	return fmt.Sprintf(`
log: {level: INFO}
kafka: {session_timeout: %v, heartbeat: 500ms, rebalance_timeout: 15s, create_topics: true}
broker: {partitions: %d, topic_bytes: 64MiB}
clickhouse:
  engine: {native_port: %d, memory: 1GiB, health_every: 1s}
flush: {rows: 200, interval: 250ms}
pipelines:
  - name: %s
    partitions: %d
    source: {topic: %s, signals: [v]}
    window: {grid: 1s, length: %d, lateness: 10s, horizon: 1m}
`, session, partitions, nativePort, pipeline, partitions, topic, length)
}

// startup is the time in which a process may find that it cannot start.
const startup = 10 * time.Second

// session is the group's session time-out, the least that the embedded broker accepts; who is silent for longer has lost its partitions.
const session = 6 * time.Second

// start runs the process; it returns at once.
func (a *appliance) start() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running() {
		return nil
	}
	log, err := os.OpenFile(filepath.Join(a.dir, "..", a.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	fmt.Fprintf(log, "---- started at %s\n", time.Now().UTC().Format(time.RFC3339Nano))
	cmd := exec.Command(a.binary, append([]string{"up", "--config", a.config, "--data", a.dir, "--listen", "127.0.0.1:0"}, a.args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), a.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a harness that is killed leaves nothing behind
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	a.cmd, a.ended, a.at, a.begun = cmd, ended, addresses{}, time.Now()
	a.meant, a.excused, a.pardoned = false, false, false
	go func() {
		err := cmd.Wait()
		a.mu.Lock()
		a.over = time.Now()
		switch {
		case a.meant, a.pardoned:
		case (a.lenient || a.excused) && time.Since(a.begun) < startup:
			a.early++
		default:
			a.unmeant = append(a.unmeant, fmt.Errorf("%s (process %d) ended by itself: %v", a.name, cmd.Process.Pid, err))
		}
		a.mu.Unlock()
		close(ended)
	}()
	return nil
}

// running needs mu.
func (a *appliance) running() bool {
	if a.cmd == nil {
		return false
	}
	select {
	case <-a.ended:
		return false
	default:
		return true
	}
}

func (a *appliance) up() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.running()
}

// endedFor returns for how long no process has been running.
func (a *appliance) endedFor() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running() {
		return 0
	}
	return time.Since(a.over)
}

// ready waits until the process has told its addresses. A file of a process before it does not count.
func (a *appliance) ready(ctx context.Context) (addresses, error) {
	for {
		a.mu.Lock()
		cmd, ended, known := a.cmd, a.ended, a.at
		a.mu.Unlock()
		if cmd == nil {
			return addresses{}, fmt.Errorf("%s is not started", a.name)
		}
		if known.PID == cmd.Process.Pid {
			return known, nil
		}
		var at addresses
		if js, err := os.ReadFile(filepath.Join(a.dir, "run", "addresses.json")); err == nil && json.Unmarshal(js, &at) == nil && at.PID == cmd.Process.Pid {
			a.mu.Lock()
			a.at = at
			a.mu.Unlock()
			return at, nil
		}
		select {
		case <-ended:
			return addresses{}, fmt.Errorf("%s %w: %s", a.name, errStillborn, tail(filepath.Join(a.dir, "..", a.name+".log")))
		case <-ctx.Done():
			return addresses{}, fmt.Errorf("%s is not ready: %w", a.name, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// errStillborn is the end of a process before it was ready.
var errStillborn = errors.New("ended before it was ready")

// excuse allows the process, if it is not ready yet, to end.
func (a *appliance) excuse() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.excused = a.excused || a.at.PID == 0
}

// pardon allows the process to end.
func (a *appliance) pardon() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pardoned = true
}

// end sends a signal that ends the process, and waits for that.
func (a *appliance) end(sig syscall.Signal, within time.Duration) error {
	a.mu.Lock()
	if !a.running() {
		a.mu.Unlock()
		return nil
	}
	a.meant = true
	cmd, ended := a.cmd, a.ended
	a.mu.Unlock()
	_ = cmd.Process.Signal(sig)
	select {
	case <-ended:
		return nil
	case <-time.After(within):
		_ = cmd.Process.Kill()
		<-ended
		return fmt.Errorf("%s did not end within %v of %v", a.name, within, sig)
	}
}

// signal sends a signal that does not end the process; it returns false when there is none.
func (a *appliance) signal(sig syscall.Signal) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.running() && a.cmd.Process.Signal(sig) == nil
}

// restless tells whether the process ends by itself again and again.
func (a *appliance) restless() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.unmeant) < 5 && a.early < 20 {
		return nil
	}
	return fmt.Errorf("%s ends by itself again and again: %s", a.name, tail(filepath.Join(a.dir, "..", a.name+".log")))
}

// surprises returns the ends of the process that nobody caused, once.
func (a *appliance) surprises() []error {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.unmeant
	a.unmeant, a.early = nil, 0
	return all
}

// owner returns how to log in to the embedded ClickHouse as its owner.
func (at addresses) owner() (login, error) {
	var all struct {
		Owner login `json:"owner"`
	}
	js, err := os.ReadFile(at.Credentials)
	if err == nil {
		err = json.Unmarshal(js, &all)
	}
	return all.Owner, err
}

// engines returns the processes that host a ClickHouse on the data folder.
func (a *appliance) engines() (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range names {
		line, err := os.ReadFile(name)
		args := strings.Split(string(line), "\x00")
		if err != nil || len(args) < 2 || args[1] != "engine" || !strings.Contains(string(line), a.dir+"/") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// orphans waits until at most one ClickHouse runs on the data folder, none if no appliance does, and says which do that should not.
func (a *appliance) orphans(within time.Duration) error {
	for deadline := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		want, have := 0, a.engines()
		if a.up() {
			want = 1
		}
		if len(have) <= want {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d ClickHouse processes run on the folder of %s, not %d: %v", len(have), a.name, want, have)
		}
	}
}

func tail(name string) string {
	b, _ := os.ReadFile(name)
	b = b[max(0, len(b)-1500):]
	return strings.TrimSpace(string(b))
}

// freePort returns a port that is free now, below those that the kernel gives to clients.
func freePort() (int, error) { return freePortAfter(20000 + os.Getpid()%5000) }

func freePortAfter(port int) (int, error) {
	for port++; port < 32000; port += 7 {
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no port between 20000 and 32000 is free")
}
