package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"syscall"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Ports that port 0 is chosen from: below the ephemeral range of Linux, above what services commonly take.
const (
	lowestPort  = 20000
	highestPort = 32767
	maxRequest  = 100 << 20 // as Kafka's socket.request.max.bytes
)

// listen binds address; its errors say what to do.
func listen(address string) (net.Listener, error) {
	host, port, err := splitAddress(address)
	if err != nil {
		return nil, err
	}
	if port != 0 {
		l, err := net.Listen("tcp", address)
		return l, explain(address, err)
	}
	for range 64 {
		port := lowestPort + rand.IntN(highestPort-lowestPort+1)
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
			return l, explain(address, err)
		}
	}
	return nil, fmt.Errorf("listen on %s: 64 ports between %d and %d were all taken: name one with --kafka-listen", address, lowestPort, highestPort)
}

func explain(address string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listen on %s: another program has this port: stop it, or choose another with --kafka-listen (port 0 picks a free one)", address)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("listen on %s: not allowed: choose a port from 1024 to 32767 with --kafka-listen", address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listen on %s: this machine has no such address: use 127.0.0.1 with --kafka-listen", address)
	}
	return fmt.Errorf("listen on %s: %w", address, err)
}

// door is the listener that kfake gets: it tells clients the advertised address and lets only well-formed requests in.
type door struct {
	net.Listener
	advertised address
	known      *[256]bool
	ready      chan struct{} // closed when clients may come in
	closed     chan struct{}
	closeOnce  *sync.Once
	log        *slog.Logger
}

// address is a host:port as text.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

func newDoor(l net.Listener, advertised string, log *slog.Logger) *door {
	if advertised == "" {
		advertised = l.Addr().String()
	}
	var known [256]bool
	for key := range known {
		known[key] = kmsg.RequestForKey(int16(key)) != nil
	}
	return &door{l, address(advertised), &known, make(chan struct{}), make(chan struct{}), new(sync.Once), log}
}

// open lets clients in. Until then they wait, so that none is answered before the rules are in place.
func (d *door) open() { close(d.ready) }

func (d *door) Close() error {
	d.closeOnce.Do(func() { close(d.closed) })
	return d.Listener.Close()
}

func (d *door) Addr() net.Addr { return d.advertised }

func (d *door) Accept() (net.Conn, error) {
	select {
	case <-d.ready:
	case <-d.closed:
		return nil, net.ErrClosed
	}
	c, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guarded{Conn: c, door: d}, nil
}

// guarded checks each request's frame before kfake sees it. Without it an unknown API key is a nil pointer in kfake, and the first bytes of an HTTP or TLS
// client are taken for the size of a request of a gigabyte.
type guarded struct {
	net.Conn
	door *door
	head [8]byte // size, key and version of the request being read
	give int     // bytes of head that are still to be handed on; they are its last
	body int     // bytes of the request after head that are still to come
}

var errNotKafka = errors.New("not a Kafka request")

func (g *guarded) Read(p []byte) (int, error) {
	if g.give == 0 && g.body == 0 {
		if _, err := io.ReadFull(g.Conn, g.head[:]); err != nil {
			return 0, err
		}
		size, key := binary.BigEndian.Uint32(g.head[:4]), binary.BigEndian.Uint16(g.head[4:6])
		if size < 8 || size > maxRequest || key > 255 || !g.door.known[key] {
			g.door.log.Debug("connection closed: it does not speak Kafka", "from", g.RemoteAddr().String(), "size", size, "key", key)
			return 0, errNotKafka
		}
		g.give, g.body = len(g.head), int(size)-4
	}
	if g.give > 0 {
		n := copy(p, g.head[len(g.head)-g.give:])
		g.give -= n
		return n, nil
	}
	n, err := g.Conn.Read(p[:min(len(p), g.body)])
	g.body -= n
	return n, err
}
