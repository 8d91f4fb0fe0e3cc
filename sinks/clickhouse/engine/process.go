package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// child is one life of the server's process.
type child struct {
	cmd  *exec.Cmd
	life io.WriteCloser
	done chan struct{} // closed when the process was waited for; err is set before
	err  error
}

func (e *Engine) spawn() (*child, error) {
	lib, err := e.cfg.library()
	if err != nil {
		return nil, err
	}
	if err := os.Rename(e.Log(), e.Log()+".1"); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	log, err := os.OpenFile(e.Log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	args := append(append([]string{}, e.command[1:]...), "--library="+lib, "--run="+e.run, "--store="+filepath.Join(e.dir, "store"),
		"--grace="+e.cfg.StopTimeout.String())
	c := &child{cmd: exec.Command(e.command[0], args...), done: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.cmd.Dir = e.run
	// Not our own environment, which may hold secrets: a query can read /proc/self/environ.
	c.cmd.Env = []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "TZ=UTC"}
	c.cmd.ExtraFiles = []*os.File{e.lock}
	// Its own group: a ^C is for the parent, who stops it when the line is drained.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.life, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// ready waits until the child listens. A server that cannot open a port or its folder stays at its prompt, or ends with code 0, so the log is
// read for what is known to be fatal.
func (e *Engine) ready(ctx context.Context, c *child) error {
	deadline := time.After(e.cfg.StartTimeout)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		if _, _, ok := e.readPorts(); ok {
			return nil
		}
		var err error
		select {
		case <-c.done:
			return c.ended(e.Log())
		case <-ctx.Done():
			err = ctx.Err()
		case <-deadline:
			err = fmt.Errorf("the server does not listen after %v: raise clickhouse.engine.start_timeout if the disk is slow", e.cfg.StartTimeout)
		case <-poll.C:
			err = fatal(e.Log())
		}
		if err != nil {
			c.kill()
			return fmt.Errorf("%w%s", err, tail(e.Log()))
		}
	}
}

// fatal tells whether the server's log holds a fault that no waiting cures.
func fatal(log string) error {
	b, err := os.ReadFile(log)
	if err != nil || !bytes.Contains(b, []byte("DB::")) {
		return nil
	}
	for code, text := range map[string]string{
		"Code: 76.":  "the data folder is in use by another server, or cannot be written to",
		"Code: 210.": "a port could not be opened",
		"Code: 243.": "the disk is full",
	} {
		if bytes.Contains(b, []byte(code)) {
			return errors.New(text)
		}
	}
	return nil
}

// stop ends the child: by its prompt, and after the timeout by SIGKILL. Only the second is an error.
func (c *child) stop(timeout time.Duration) error {
	_, _ = c.life.Write([]byte("\n"))
	select {
	case <-c.done:
		_ = c.life.Close()
		return nil
	case <-time.After(timeout):
	}
	c.kill()
	return fmt.Errorf("stop the embedded ClickHouse: it did not end within %v and was killed", timeout)
}

func (c *child) kill() {
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	<-c.done
	_ = c.life.Close()
}

// ended says how a child that was not told to end came to its end.
func (c *child) ended(log string) error {
	how := "the server ended by itself"
	if c.err != nil {
		how = "the server ended: " + c.err.Error()
	}
	return errors.New(how + tail(log))
}

// tail returns the end of the server's log, to be put after an error.
func tail(log string) string {
	const most = 1500
	b, err := os.ReadFile(log)
	if err != nil {
		return ""
	}
	b = bytes.TrimSpace(b)
	cut := len(b) > most
	b = b[max(0, len(b)-most):]
	if _, rest, ok := bytes.Cut(b, []byte("\n")); ok && cut {
		b = rest
	}
	if len(b) == 0 {
		return " (its log is empty: " + log + ")"
	}
	return "; the end of " + log + ":\n" + strings.ToValidUTF8(string(b), "?")
}

// trimLog keeps the log of a long life small: past 16 MiB its content moves to log.1. The child appends, so it goes on at the start.
func trimLog(log string) {
	const most = 16 << 20
	if info, err := os.Stat(log); err != nil || info.Size() < most {
		return
	}
	if b, err := os.ReadFile(log); err == nil && os.WriteFile(log+".1", b, 0o600) == nil {
		_ = os.Truncate(log, 0)
	}
}
