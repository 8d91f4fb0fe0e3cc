package broker

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kfake"
)

// ears takes kfake's log lines. kfake tells of a failed append in no other way than this.
type ears struct {
	log     *slog.Logger
	dir     string
	unsaved *atomic.Bool // set when the state could not be written at a stop
}

// Logf runs on kfake's own goroutine, between the failed write and the next one.
func (e ears) Logf(level kfake.LogLevel, format string, args ...any) {
	switch {
	case strings.HasPrefix(format, "persist group entry write"):
		e.mend("groups.log")
	case strings.HasPrefix(format, "persist pid entry write"):
		e.mend("pids.log")
	}
	to := slog.LevelDebug
	switch level {
	case kfake.LogLevelError:
		to = slog.LevelError
		e.unsaved.Store(true)
	case kfake.LogLevelWarn:
		to = slog.LevelWarn
	case kfake.LogLevelDebug, kfake.LogLevelNone:
		return
	}
	if e.log.Enabled(context.Background(), to) {
		e.log.Log(context.Background(), to, "kafka log", "message", fmt.Sprintf(format, args...))
	}
}

// mend cuts off an entry that was written in part, so that those after it can be read.
func (e ears) mend(name string) {
	n, err := cutTorn(filepath.Join(e.dir, name))
	if err != nil || n > 0 {
		e.log.Error("an entry was written in part and cut off", "file", name, "bytes", n, "error", err)
	}
}
