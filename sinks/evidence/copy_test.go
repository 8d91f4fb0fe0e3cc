package evidence

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pail is a bucket that may be away.
type pail struct {
	mu   sync.Mutex
	has  map[string]string
	puts int
	away bool
}

var errAway = errors.New("away")

func (p *pail) Put(_ context.Context, name string, data []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return errAway
	}
	p.puts++
	p.has[name] = string(data)
	return nil
}

func (p *pail) Get(_ context.Context, name string) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return nil, errAway
	}
	if data, ok := p.has[name]; ok {
		return []byte(data), nil
	}
	return nil, fs.ErrNotExist
}

func (p *pail) Names(_ context.Context, _ string, tell func(string)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return errAway
	}
	for name := range p.has {
		tell(name)
	}
	return nil
}

func (p *pail) set(away bool) {
	p.mu.Lock()
	p.away = away
	p.mu.Unlock()
}

func (p *pail) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.puts
}

func (p *pail) names() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(p.has)), " ")
}

func TestCopies(t *testing.T) {
	dir := t.TempDir()
	bucket := &pail{has: map[string]string{"gate/x/9.jpg": "other", "gate/x/9.fired.json": `"theirs"`, "stray": ""}}
	put := func(s *Store, at int64, kind string) string {
		ref, err := s.Put(t.Context(), &Item{Pipeline: "gate", Camera: "c", Captured: at, Kind: kind, JPEG: []byte("picture"), Note: kind})
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	runs := func(f func(s *Store)) {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, dir, nil)
			s.CopyTo(bucket)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.RunCopies(ctx) }()
			f(s)
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	const theirs = " gate/x/9.fired.json gate/x/9.jpg stray"
	runs(func(s *Store) {
		put(s, 1, Fired)
		put(s, 2, Sampled)
		time.Sleep(3 * time.Second)
		if got := bucket.names(); got != "gate/c/1.fired.json gate/c/1.jpg"+theirs {
			t.Error(got)
		}
		// A bucket that is away is waited for; what was raised meanwhile comes as it is then.
		bucket.set(true)
		put(s, 3, Labelled)
		if ok, err := s.Raise(Ref("gate", "c", 2), Fired); !ok || err != nil {
			t.Error(ok, err)
		}
		time.Sleep(5 * time.Minute)
		if _, _, err := s.Get(t.Context(), "gate/x/9.jpg"); !errors.Is(err, errAway) {
			t.Error(err)
		}
		bucket.set(false)
		time.Sleep(2 * copyRest)
		if got := bucket.names(); got != "gate/c/1.fired.json gate/c/1.jpg gate/c/2.fired.json gate/c/2.jpg gate/c/3.jpg gate/c/3.labelled.json"+theirs {
			t.Error(got)
		}
		// Of another replica, and what was removed here.
		if jpg, note, err := s.Get(t.Context(), "gate/x/9.jpg"); err != nil || string(jpg) != "other" || string(note) != `"theirs"` {
			t.Errorf("%s %s %v", jpg, note, err)
		}
		s.mu.Lock()
		s.remove(s.entries["gate/c/1.jpg"], "room")
		s.mu.Unlock()
		if jpg, note, err := s.Get(t.Context(), "gate/c/1.jpg"); err != nil || string(jpg) != "picture" || string(note) != `"fired"` {
			t.Errorf("%s %s %v", jpg, note, err)
		}
		for _, ref := range []string{"gate/c/77.jpg", "../secret", "stray"} {
			if _, _, err := s.Get(t.Context(), ref); !errors.Is(err, ErrNotKept) {
				t.Errorf("%s: %v", ref, err)
			}
		}
	})
	before := bucket.count()
	runs(func(s *Store) {
		time.Sleep(5 * time.Second)
		if bucket.count() != before {
			t.Errorf("%d copies were made anew after a restart", bucket.count()-before)
		}
		if ok, err := s.Raise(Ref("gate", "c", 3), Fired); !ok || err != nil {
			t.Error(ok, err)
		}
		time.Sleep(5 * time.Second)
		if bucket.count() != before+1 { // the note alone
			t.Errorf("%d were put for a frame that was raised", bucket.count()-before)
		}
	})
}
