package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lock takes the data folder for this process. The child inherits the lock, so that a parent killed with SIGKILL leaves it taken until its child
// has ended too: such an orphan is waited for, a living owner is an error.
func lock(ctx context.Context, path string, patience time.Duration) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(patience)
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		b, _ := os.ReadFile(path)
		owner, _ := strconv.Atoi(strings.TrimSpace(string(b)))
		if owner > 0 && syscall.Kill(owner, 0) != syscall.ESRCH || time.Now().After(deadline) {
			_ = f.Close()
			return nil, fmt.Errorf("%s: the data folder is in use by process %d: stop it, or give this one another folder with --data", path, owner)
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(20 * time.Millisecond):
		}
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
