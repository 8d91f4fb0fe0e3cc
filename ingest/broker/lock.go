package broker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lock is one process's claim on a data folder. The kernel lets go of it when the process ends, however it ends.
type lock struct{ f *os.File }

// takeLock claims dir, or says which process has it.
func takeLock(dir string) (*lock, error) {
	name := filepath.Join(dir, "lock")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		held, _ := io.ReadAll(io.LimitReader(f, 32))
		return nil, fmt.Errorf("%s is in use by process %s: stop it, or choose another folder with --data", dir, strings.TrimSpace(string(held)))
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
	}
	return &lock{f}, nil
}

// release lets go. The file stays: removing it could take it from under another process's claim.
func (l *lock) release() error { return l.f.Close() }
