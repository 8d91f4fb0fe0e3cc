package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// loopBoard is where each pipeline's loop is, as JSON, with a count of changes. It is asked anew when somebody looks, once a second at most, and changes with what the registry holds, with decisions and with
// comparisons, too: whoever shows those asks for them again then.
type loopBoard struct {
	status func() any    // nil where nothing leads models
	held   func() []byte // what the registry holds, in short

	mu      sync.Mutex
	asked   time.Time
	js, had []byte
	version uint64
}

// loopEvery is how often the loop is asked at most.
const loopEvery = time.Second

// follow says whom to ask.
func (b *loopBoard) follow(status func() any, held func() []byte) {
	b.mu.Lock()
	b.status, b.held = status, held
	b.mu.Unlock()
}

// told tells that something was decided or measured.
func (b *loopBoard) told() {
	b.mu.Lock()
	b.version++
	b.mu.Unlock()
}

// at returns the newest, and how many changes there have been.
func (b *loopBoard) at() (js []byte, version uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.status != nil && time.Since(b.asked) >= loopEvery {
		b.asked = time.Now()
		js, err := json.Marshal(b.status())
		if held := b.held(); err == nil && (!bytes.Equal(js, b.js) || !bytes.Equal(held, b.had)) {
			b.js, b.had = js, held
			b.version++
		}
	}
	if b.js == nil {
		return []byte("[]"), b.version
	}
	return b.js, b.version
}

// held is the versions of all pipelines with their aliases.
func (c *Console) held() []byte {
	if c.deps.Models == nil {
		return nil
	}
	list, err := c.deps.Models.Models("")
	if err != nil {
		return nil
	}
	lines := make([]string, len(list))
	for i := range list {
		lines[i] = fmt.Sprint(list[i].Version, list[i].Aliases)
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, "\n"))
}

// Decided tells that something was decided about models. It never blocks.
func (c *Console) Decided() { c.hub.loops.told() }

// loopFeed tells where the loops are, whole each time something has changed.
type loopFeed struct {
	board   *loopBoard
	version uint64
}

func (f *loopFeed) load() func(context.Context) *fault { return nil }
func (f *loopFeed) close()                             {}

func (f *loopFeed) dirty() bool {
	_, version := f.board.at()
	return version != f.version
}

func (f *loopFeed) snapshot(w *writer) error { return f.send(w, "snapshot") }
func (f *loopFeed) delta(w *writer) error    { return f.send(w, "delta") }

func (f *loopFeed) send(w *writer, kind string) error {
	js, version := f.board.at()
	f.version = version
	out := openMessage(w.head(kind))
	out = append(out, `,"turn":`...)
	out = append(out, mustJSON(version)...)
	out = append(out, `,"loops":`...)
	out = append(out, js...)
	return w.text(append(out, '}'))
}
