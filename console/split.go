package console

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// preface is what a client of HTTP/2 sends first when it knows the server to speak it, as gRPC's clients do (RFC 9113, section 3.4). A browser never does.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// decideIn is how long a new connection may stay silent.
const decideIn = 5 * time.Second

// split shares one port between two servers, by what a connection sends first: HTTP/2 with prior knowledge goes to rpc, all else to web. A native gRPC server
// on its own connections costs half the CPU a call of one behind net/http.
type split struct {
	net.Listener
	web      *branch
	rpc      *branch // nil where nobody speaks gRPC
	deciding sync.WaitGroup
}

// branch is a listener for one of the two.
type branch struct {
	net.Listener // for Addr
	ready        chan net.Conn
	closed       chan struct{}
	once         sync.Once
}

func newSplit(l net.Listener, rpc bool) *split {
	to := func() *branch { return &branch{Listener: l, ready: make(chan net.Conn), closed: make(chan struct{})} }
	s := &split{Listener: l, web: to()}
	if rpc {
		s.rpc = to()
	}
	return s
}

// run accepts until ctx ends or the listener fails, and returns when every connection has been handed on or closed. The branches are closed by their servers.
func (s *split) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { _ = s.Listener.Close() })
	defer func() {
		cancel()
		stop()
		s.deciding.Wait()
	}()
	for wait := 5 * time.Millisecond; ; {
		c, err := s.Listener.Accept()
		if err != nil {
			var passing interface{ Temporary() bool }
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			} else if !errors.As(err, &passing) || !passing.Temporary() {
				return err
			}
			// Out of file descriptors, most likely: as net/http does, wait for some to be given back.
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
			wait = min(2*wait, time.Second)
			continue
		}
		wait = 5 * time.Millisecond
		s.deciding.Add(1)
		go func() {
			defer s.deciding.Done()
			end := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
			to, first, err := s.decide(c)
			if !end() || err != nil {
				c.Close()
				return
			}
			to.give(&begun{Conn: c, first: first})
		}()
	}
}

// decide reads as little as tells where a connection belongs.
func (s *split) decide(c net.Conn) (*branch, []byte, error) {
	if err := c.SetReadDeadline(time.Now().Add(decideIn)); err != nil {
		return nil, nil, err
	}
	first := make([]byte, 0, len(preface))
	for len(first) < len(preface) {
		n, err := c.Read(first[len(first):cap(first)])
		first = first[:len(first)+n]
		if s.rpc == nil || string(first) != preface[:len(first)] {
			return s.web, first, c.SetReadDeadline(time.Time{})
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return s.rpc, first, c.SetReadDeadline(time.Time{})
}

func (b *branch) give(c net.Conn) {
	select {
	case b.ready <- c:
	case <-b.closed:
		c.Close()
	}
}

func (b *branch) Accept() (net.Conn, error) {
	select {
	case c := <-b.ready:
		return c, nil
	case <-b.closed:
		return nil, net.ErrClosed
	}
}

// Close closes the branch only; the port is the splitter's.
func (b *branch) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

// begun is a connection of which the first bytes have been read.
type begun struct {
	net.Conn
	first []byte
}

func (c *begun) Read(p []byte) (int, error) {
	if len(c.first) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.first)
	c.first = c.first[n:]
	return n, nil
}
