package ingest

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// hangupListener is a listener before a broker that can take connections and end them at once, as a proxy does whose broker is away.
type hangupListener struct {
	net.Listener
	away  atomic.Bool
	mu    sync.Mutex
	conns []net.Conn
}

func (h *hangupListener) Accept() (net.Conn, error) {
	for {
		c, err := h.Listener.Accept()
		if err != nil || !h.away.Load() {
			h.mu.Lock()
			h.conns = append(h.conns, c)
			h.mu.Unlock()
			return c, err
		}
		_ = c.Close()
	}
}

func (h *hangupListener) leave() {
	h.away.Store(true)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.conns {
		_ = c.Close()
	}
}

// A broker that has answered before and now ends connections before it says a word is away, not of another kind.
func TestBrokerHangsUp(t *testing.T) {
	h := &hangupListener{}
	c := broker(t, 2, kfake.ListenFn(func(network, address string) (net.Listener, error) {
		l, err := net.Listen(network, address)
		h.Listener = l
		return h, err
	}))
	p := producer(t, c)
	produce(t, p, 2, 100)
	l := newLedger(t)
	m := start(t, testConfig(c), testSource(), l.open("a", nil))
	eventually(t, "all stored", func() bool { return l.total() == 200 })
	h.leave()
	time.Sleep(1500 * time.Millisecond) // longer than the session
	h.away.Store(false)
	produce(t, producer(t, c), 2, 100)
	eventually(t, "all stored after the broker is back", func() bool { return l.total() == 400 })
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	l.check(2, 200)
}

// Before its first answer it is told as what it most often is.
func TestBrokerHangsUpAtStart(t *testing.T) {
	h := &hangupListener{}
	c := broker(t, 1, kfake.ListenFn(func(network, address string) (net.Listener, error) {
		l, err := net.Listen(network, address)
		h.Listener = l
		return h, err
	}))
	h.leave()
	m := start(t, testConfig(c), testSource(), newLedger(t).open("a", nil))
	if err := m.wait(); err == nil || !strings.Contains(err.Error(), "check kafka.tls and kafka.sasl") {
		t.Errorf("the intake ended with %v", err)
	}
}
