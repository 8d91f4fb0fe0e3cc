package brokertest

import (
	"os"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	Stop()
	os.Exit(code)
}

// The broker comes up with all its listeners and leaves nothing behind.
func TestStart(t *testing.T) {
	b := Need(t)
	pid, dir := b.cmd.Process.Pid, b.dir
	Stop()
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is still there", dir)
	}
	if syscall.Kill(pid, 0) == nil {
		t.Errorf("process %d still runs", pid)
	}
}
