package alerts

import (
	"context"
	"strings"
	"sync"
	"time"

	"andon/event"
)

// saver writes the newest state of what has changed to the journal. What changes again before it is written is written once.
type saver struct {
	mu      sync.Mutex
	unsaved map[string]struct{} // keys of matters and silences
	asked   map[string][]byte   // requests to the replica that leads, by key
	mark    string              // of the lead that is asked for
	marked  []byte              // its record, until it is written
	wake    chan struct{}
}

func (s *saver) init() {
	if s.wake == nil {
		s.wake = make(chan struct{}, 1)
	}
}

func (s *saver) pokeLocked() {
	s.init()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *saver) put(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsaved[key] = struct{}{}
	s.pokeLocked()
}

// askMost bounds the requests that wait while the brokers are away; each is about another matter.
const askMost = 10_000

func (s *saver) ask(key string, js []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked = map[string][]byte{}
	}
	if _, ok := s.asked[key]; ok || len(s.asked) < askMost {
		s.asked[key] = js
	}
	s.pokeLocked()
}

func (s *saver) lead(mark string, js []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark, s.marked = mark, js
	s.pokeLocked()
}

func (s *saver) waitsFor() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mark
}

// next takes one thing that is to be written: requests before states, for somebody waits for them, and the mark of a lead when nothing else is left.
func (s *saver) next() (key string, js []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	for key, js := range s.asked {
		delete(s.asked, key)
		return key, js, true
	}
	if s.marked != nil {
		js, s.marked = s.marked, nil
		return leadKey, js, true
	}
	for key := range s.unsaved {
		delete(s.unsaved, key)
		return key, nil, true
	}
	return "", nil, false
}

func (s *saver) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.unsaved) + len(s.asked)
}

// again takes back what could not be written, unless it was asked for anew.
func (s *saver) again(key string, js []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case key == leadKey:
		if s.marked == nil {
			s.marked = js
		}
	case js != nil:
		if _, ok := s.asked[key]; !ok {
			s.asked[key] = js
		}
	default:
		s.unsaved[key] = struct{}{}
	}
}

// write writes one thing.
func (s *saver) write(ctx context.Context, d *Desk, key string, js []byte) error {
	body := js
	if body == nil {
		body = d.snapshot(key)
	}
	if err := d.deps.Journal.Append(ctx, key, body); err != nil {
		s.again(key, js)
		return err
	}
	return nil
}

// saveAll writes what is to be written until ctx ends. While the brokers are away it tries again, with what is newest then.
func (d *Desk) saveAll(ctx context.Context) {
	s := &d.saver
	s.mu.Lock()
	s.init()
	s.mu.Unlock()
	const within, askWithin = 30 * time.Second, 3 * time.Second // somebody waits for what is asked
	wait, told := time.Duration(0), false
	for {
		if wait > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
		key, js, ok := s.next()
		d.metrics.unsaved.Set(float64(s.left()))
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-s.wake:
			}
			continue
		}
		if d.deps.Journal == nil {
			continue
		}
		patience := within
		if js != nil {
			patience = askWithin
		}
		limited, cancel := context.WithTimeout(ctx, patience)
		err := s.write(limited, d, key, js)
		cancel()
		switch {
		case err == nil:
			wait, told = 0, false
		case ctx.Err() != nil:
			return
		default:
			if !told {
				d.log.Warn("the journal of alerts cannot be written now: alerts are delivered all the same", "error", err)
			}
			if id, ok := strings.CutPrefix(key, requestKey); ok && js != nil {
				d.alone(id)
			}
			wait, told = min(max(2*wait, 250*time.Millisecond), 10*time.Second), true
		}
	}
}

// drain writes what is left, once.
func (s *saver) drain(ctx context.Context, d *Desk) error {
	for d.deps.Journal != nil {
		key, js, ok := s.next()
		if !ok {
			return nil
		}
		if err := s.write(ctx, d, key, js); err != nil {
			return err
		}
	}
	return nil
}

// alone delivers something critical though another replica leads: that one cannot be asked, and twice is better than never.
func (d *Desk) alone(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m := d.matters[id]; m != nil && !d.leads && m.Severity == event.SeverityCritical {
		d.spread(m, time.Now(), true)
		d.poke()
	}
}
