package broker

import (
	"fmt"
	"sync"
	"time"
)

// space decides whether there is room for more. It asks the file system at most every look, and in between counts what was let in.
type space struct {
	limit   int64 // bytes that the log's folder may hold
	minFree int64
	look    time.Duration
	ask     func() (int64, error)
	now     func() time.Time

	mu      sync.Mutex
	used    int64 // bytes in the folder at the last measurement, when arrived was at usedAt
	usedAt  int64
	free    int64
	freeAt  int64
	asked   time.Time
	askFail error
}

// measured records how many bytes the folder holds, as of when arrived bytes had come in.
func (s *space) measured(used, arrived int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used, s.usedAt = used, arrived
}

// room returns "" when n more bytes fit while floor bytes stay free, arrived having come in so far; or else what is lacking.
func (s *space) room(n, arrived, floor int64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); s.asked.IsZero() || now.Sub(s.asked) >= s.look {
		s.free, s.askFail = s.ask()
		s.freeAt, s.asked = arrived, now
	}
	if s.askFail != nil {
		return s.askFail.Error()
	}
	if free := s.free - (arrived - s.freeAt) - n; free < floor {
		return fmt.Sprintf("the disk has %d MiB free and min_free is %d MiB", max(free, 0)>>20, s.minFree>>20)
	}
	if used := s.used + (arrived - s.usedAt) + n; used > s.limit {
		return fmt.Sprintf("the log holds %d MiB and max_bytes is %d MiB", used>>20, s.limit>>20)
	}
	return ""
}
