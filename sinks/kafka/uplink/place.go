package uplink

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
)

// place is how far a local partition is up. It is the note of the commit, and with where that was, a mark.
type place struct {
	// Log is the local topic's id: another one is another log, whose offsets mean other records.
	Log string `json:"log"`
	// Next is the first offset that is not up; the commit's offset.
	Next int64 `json:"-"`
	// Last is the offset of the last record that is up, -1 for none.
	Last int64 `json:"last"`
	// Lost counts the offsets that the local log let go of before they were up.
	Lost int64 `json:"lost,omitempty"`
}

func (p place) note() string {
	js, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return string(js)
}

// placeOf reads a commit.
func placeOf(next int64, note string) (place, error) {
	p := place{Last: -1}
	if err := json.Unmarshal([]byte(note), &p); err != nil {
		return p, fmt.Errorf("the note %q of the position is not ours: %w", note, err)
	}
	p.Next = next
	return p, nil
}

// logID writes a topic's id as headers and notes have it.
func logID(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// marks remember on this side what the cluster was last told. The cluster's own commits count; marks are for what it cannot tell: which records the local log may let
// go of while it is away, and where to look for our records after it has forgotten a commit (offsets.retention.minutes, a week of outage by default).
type marks struct {
	file string
	log  *slog.Logger

	mu    sync.Mutex
	all   map[string]mark
	dirty bool
}

type mark struct {
	place
	Next int64  `json:"next"`
	To   string `json:"to"`
	// Central holds, for each partition of To that got records, the offset after the last.
	Central map[int32]int64 `json:"central,omitempty"`
}

func openMarks(file string, log *slog.Logger) *marks {
	m := &marks{file: file, log: log, all: map[string]mark{}}
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &m.all)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("what was noted of the uplink cannot be read: the cluster's own positions are there still", "file", file, "error", err)
		m.all = map[string]mark{}
	}
	return m
}

func (k key) String() string { return fmt.Sprintf("%s/%d", k.topic, k.partition) }

func (m *marks) get(k key) (mark, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	x, ok := m.all[k.String()]
	x.place.Next = x.Next
	return x, ok
}

// set notes a place, and which offsets of the central topic hold its last records.
func (m *marks) set(k key, to string, p place, central map[int32]int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	x := m.all[k.String()]
	if x.To != to || x.Log != p.Log {
		x = mark{To: to}
	}
	at := make(map[int32]int64, len(x.Central)+1)
	for id, next := range x.Central {
		at[id] = next
	}
	for id, next := range central {
		at[id] = max(at[id], next)
	}
	x.place, x.Next, x.Central = p, p.Next, at
	m.all[k.String()] = x
	m.dirty = true
}

// write puts the file in place whole, if anything has changed.
func (m *marks) write() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dirty {
		return
	}
	js, err := json.Marshal(m.all)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(m.file), 0o755)
	}
	if err == nil {
		err = os.WriteFile(m.file+".tmp", js, 0o644)
	}
	if err == nil {
		err = os.Rename(m.file+".tmp", m.file)
	}
	if err != nil {
		m.log.Warn("note how far records are up", "file", m.file, "error", err)
		return
	}
	m.dirty = false
}
