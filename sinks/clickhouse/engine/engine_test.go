package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

func TestStartAndStop(t *testing.T) {
	dir := t.TempDir()
	e := testEngine(t, testConfig(t), dir, "engine")
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := e.Endpoint()
	read, err := ReadCredentials(e.Credentials())
	if err != nil || read != at {
		t.Errorf("credentials file says %+v, %v; want %+v", read, err, at)
	}
	if info, err := os.Stat(e.Credentials()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("credentials file: %v, %v", info.Mode(), err)
	}
	if len(at.Owner.Password) < 32 || at.Owner.Password == at.Reader.Password {
		t.Errorf("passwords %q, %q", at.Owner.Password, at.Reader.Password)
	}
	c := connect(t, e, at.Owner)
	do(t, c, "CREATE DATABASE andon", "CREATE TABLE andon.t (a UInt64) ENGINE=MergeTree ORDER BY a", "INSERT INTO andon.t SELECT number FROM numbers(1000)")
	_ = c.Close()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	if _, err := os.Stat(e.Credentials()); !os.IsNotExist(err) {
		t.Errorf("credentials file after Close: %v", err)
	}

	again := running(t, testConfig(t), dir)
	if again.Endpoint().Owner.Password == at.Owner.Password {
		t.Error("two starts have the same password")
	}
	if n := number(t, connect(t, again, again.Endpoint().Owner), "SELECT count() FROM andon.t"); n != 1000 {
		t.Errorf("%d rows after a restart, want 1000", n)
	}
}

// A clickhouse-local that is not interactive ends with the first client that resets its connection.
func TestClientResets(t *testing.T) {
	e := running(t, testConfig(t), t.TempDir())
	pid := e.child.cmd.Process.Pid
	for i := range 60 {
		conn, err := net.Dial("tcp", e.Endpoint().Native)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			_, _ = conn.Write([]byte("\x00\x05hello\x01\x02"))
		}
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	c := connect(t, e, e.Endpoint().Owner)
	ctx, cancel := context.WithCancel(t.Context())
	rows, err := c.Query(ctx, "SELECT number, toString(number) FROM system.numbers")
	if err != nil || !rows.Next() {
		t.Fatal(err)
	}
	cancel() // closes with unread data: a reset in the middle of an answer
	_ = rows.Close()
	if n := number(t, c, "SELECT count() FROM numbers(10)"); n != 10 || e.child.cmd.Process.Pid != pid {
		t.Errorf("%d rows from process %d, was %d", n, e.child.cmd.Process.Pid, pid)
	}
}

// panickingChild hosts the server, and recovers from nil dereferences beside it: with the library's signal handlers on, the first one hangs.
func panickingChild(args []string) int {
	if args[len(args)-1] == "--fenced" {
		go func() {
			run := ""
			for _, a := range args {
				if v, ok := strings.CutPrefix(a, "--run="); ok {
					run = v
				}
			}
			for {
				if _, err := os.Stat(filepath.Join(run, portsFile)); err == nil {
					break
				}
				time.Sleep(time.Millisecond)
			}
			for range 50 {
				func() {
					defer func() { _ = recover() }()
					var p *int
					*p = 1
				}()
			}
			_ = os.WriteFile(filepath.Join(run, "survived"), nil, 0o600)
		}()
	}
	return Child(args)
}

func TestNilDereferenceBesideTheServer(t *testing.T) {
	e := testEngine(t, testConfig(t), t.TempDir(), "panicking-engine")
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	until(t, "the child has recovered from its panics", func() bool {
		_, err := os.Stat(filepath.Join(e.run, "survived"))
		return err == nil
	})
	if n := number(t, connect(t, e, e.Endpoint().Owner), "SELECT count() FROM numbers(10)"); n != 10 {
		t.Errorf("%d rows", n)
	}
}

func TestStartErrors(t *testing.T) {
	fails := func(name string, cfg Config, dir string, want ...string) {
		t.Helper()
		e := testEngine(t, cfg, dir, "engine")
		err := e.Start(t.Context())
		if err == nil {
			_ = e.Close()
			t.Errorf("%s: started", name)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: the error is\n%v\nand does not say %q", name, err, w)
			}
		}
		if e.child != nil || e.lock != nil {
			t.Errorf("%s: something is left", name)
		}
	}
	cfg := testConfig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port

	taken := cfg
	taken.NativePort = port
	fails("native port taken", taken, t.TempDir(), "native_port", strconv.Itoa(port), "taken")
	taken = cfg
	taken.HTTPPort = port
	fails("HTTP port taken", taken, t.TempDir(), "http_port", strconv.Itoa(port), "taken")

	missing := cfg
	missing.Library = "/no/such/libchdb.so"
	fails("no library", missing, t.TempDir(), "/no/such/libchdb.so", "make deps")

	wrong := cfg
	wrong.Library = filepath.Join(t.TempDir(), libraryName)
	if err := os.WriteFile(wrong.Library, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails("not a library", wrong, t.TempDir(), wrong.Library, "make deps")

	other, err := filepath.Glob("/lib/*/libm.so.6")
	if err == nil && len(other) > 0 {
		wrong.Library = other[0]
		fails("another library", wrong, t.TempDir(), "chdb_", "make deps")
	}

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fails("folder that cannot be made", cfg, filepath.Join(file, "data"), file, "--data")

	slow := cfg
	slow.StartTimeout = time.Millisecond
	fails("too slow", slow, t.TempDir(), "start_timeout")

	dir := t.TempDir()
	e := running(t, cfg, dir)
	fails("folder in use", cfg, dir, dir, "in use", strconv.Itoa(os.Getpid()))
	if n := number(t, connect(t, e, e.Endpoint().Owner), "SELECT count() FROM numbers(10)"); n != 10 {
		t.Errorf("the first server answers %d", n)
	}
}

// A port that is taken after we looked: the server stays at its prompt, and only its log tells.
func TestPortTakenAtTheLastMoment(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e := testEngine(t, testConfig(t), t.TempDir(), "engine")
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.child.stop(e.cfg.StopTimeout); err != nil {
		t.Fatal(err)
	}
	if err := e.writeFiles(l.Addr().(*net.TCPAddr).Port, 0); err != nil {
		t.Fatal(err)
	}
	c, err := e.spawn()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := e.ready(t.Context(), c); err == nil || !strings.Contains(err.Error(), "210") || time.Since(begin) > e.cfg.StartTimeout/2 {
		t.Errorf("after %v: %v", time.Since(begin), err)
	}
}

func TestChildKilled(t *testing.T) {
	e := running(t, testConfig(t), t.TempDir())
	before := e.Endpoint()
	c := connect(t, e, before.Owner)
	do(t, c, "CREATE DATABASE andon", "CREATE TABLE andon.t (a UInt64) ENGINE=MergeTree ORDER BY a")
	for round := range 3 {
		do(t, c, fmt.Sprintf("INSERT INTO andon.t SELECT number FROM numbers(%d)", 1000))
		e.mu.Lock()
		pid := e.child.cmd.Process.Pid
		e.mu.Unlock()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		until(t, "the child is back", func() bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			return e.child != nil && e.child.cmd.Process.Pid != pid
		})
		if at := e.Endpoint(); at != before {
			t.Errorf("after the restart at %+v, was %+v", at, before)
		}
		if n := number(t, c, "SELECT count() FROM andon.t"); n != uint64(round+1)*1000 {
			t.Errorf("round %d: %d rows", round, n)
		}
	}
}

// A server that hangs is killed and started again.
func TestChildHangs(t *testing.T) {
	cfg := testConfig(t)
	cfg.HealthEvery = 50 * time.Millisecond
	e := running(t, cfg, t.TempDir())
	pid := e.child.cmd.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "another child answers", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.child != nil && e.child.cmd.Process.Pid != pid
	})
	if n := number(t, connect(t, e, e.Endpoint().Owner), "SELECT count() FROM numbers(10)"); n != 10 {
		t.Errorf("%d rows", n)
	}
}

// parentToKill starts an engine, makes a table, prints the child's process number and waits.
func parentToKill(library, dir string) int {
	cfg := Default()
	cfg.Library = library
	exe, _ := os.Executable()
	e := New(cfg, dir, []string{exe, "engine"}, slog.New(slog.DiscardHandler), nil)
	if err := e.Start(context.Background()); err != nil {
		fmt.Println("error", err)
		return 1
	}
	c, err := clickhouse.Open(&clickhouse.Options{Addr: []string{e.Endpoint().Native},
		Auth: clickhouse.Auth{Username: e.Endpoint().Owner.User, Password: e.Endpoint().Owner.Password}})
	for _, s := range []string{"CREATE DATABASE IF NOT EXISTS andon", "CREATE TABLE IF NOT EXISTS andon.t (a UInt64) ENGINE=MergeTree ORDER BY a",
		"INSERT INTO andon.t SELECT number FROM numbers(1000)"} {
		if err == nil {
			err = c.Exec(context.Background(), s)
		}
	}
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	fmt.Println("child", e.child.cmd.Process.Pid)
	select {}
}

func TestParentKilled(t *testing.T) {
	lib, dir := testLibrary(t), t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(exe, "parent", lib, dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	pid, convErr := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "child")))
	if err := errors.Join(err, convErr); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()

	// The next start does not wait for us to see the orphan gone: it waits itself.
	e := running(t, testConfig(t), dir)
	until(t, "the orphan is gone", func() bool { return gone(pid) })
	if n := number(t, connect(t, e, e.Endpoint().Owner), "SELECT count() FROM andon.t"); n != 1000 {
		t.Errorf("%d rows, want 1000", n)
	}
}

// gone tells whether a process has ended; one that nobody has waited for yet has.
func gone(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
