package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// cursor is what is kept of a replay's progress: all rows up to and with this one are acknowledged.
type cursor struct {
	Recording string    `json:"recording"` // the fingerprint
	Asset     string    `json:"asset"`
	Position  int64     `json:"position"`
	Time      time.Time `json:"time"` // event time, for people too
	Rows      int64     `json:"rows"` // sent since the very beginning
	Done      bool      `json:"done"`
}

// readCursor returns nil when there is none.
func readCursor(name string) (*cursor, error) {
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var c cursor
	if err := json.Unmarshal(raw, &c); err != nil || c.Recording == "" {
		return nil, fmt.Errorf("%s is not a cursor: delete it to begin again", name)
	}
	return &c, nil
}

// write replaces the file whole or not at all.
func (c *cursor) write(name string) error {
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(raw, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	return err
}

// tally follows which rows are acknowledged. Rows are gathered into stretches, because acknowledgements of different partitions come in any order.
type tally struct {
	mu        sync.Mutex
	open      *stretch
	closed    []*stretch
	done      place // all up to here is acknowledged
	unsettled int64 // records sent and not acknowledged
	settled   time.Time
}

// place is how far the replay is.
type place struct {
	mark mark
	rows int64
}

type stretch struct {
	left int64
	end  place
}

// sent notes a record that belongs to a row; the stretch is given back with its acknowledgement.
func (t *tally) sent(at place) *stretch {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = &stretch{}
	}
	if t.unsettled == 0 {
		t.settled = time.Now()
	}
	t.open.left++
	t.open.end = at
	t.unsettled++
	return t.open
}

func (t *tally) acknowledged(s *stretch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.left--
	t.unsettled--
	t.settled = time.Now()
}

// advance closes the stretch in hand and returns the place up to which all is acknowledged, and how long the broker has been silent on what is not.
func (t *tally) advance() (place, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open != nil {
		t.closed = append(t.closed, t.open)
		t.open = nil
	}
	for len(t.closed) > 0 && t.closed[0].left == 0 {
		t.done = t.closed[0].end
		t.closed = t.closed[1:]
	}
	if t.unsettled == 0 {
		return t.done, 0
	}
	return t.done, time.Since(t.settled)
}

// settledAll tells that nothing is under way.
func (t *tally) settledAll() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unsettled == 0
}
