package brokertest

import (
	"net"
	"sync"
	"testing"
)

// Proxy leads from Proxied to the broker, until it is frozen: then connections stay open and nothing passes, as with a process that was stopped or a cable that
// was pulled.
type Proxy struct {
	listener net.Listener
	behind   string
	work     sync.WaitGroup

	mu     sync.Mutex
	thawed *sync.Cond
	frozen bool
	cut    bool
	closed bool
	conns  []net.Conn
}

// Proxy starts a proxy that ends with the test. There is one at a time.
func (b *Broker) Proxy(t testing.TB) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", b.Proxied)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, behind: b.behind}
	p.thawed = sync.NewCond(&p.mu)
	p.work.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Freeze holds back all that is sent in either direction; Thaw lets it go on its way.
func (p *Proxy) Freeze() { p.set(true) }

// Thaw ends Freeze.
func (p *Proxy) Thaw() { p.set(false) }

// Cut ends all connections, and new ones as they come, until Mend.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// Mend ends Cut.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

func (p *Proxy) set(frozen bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = frozen
	p.thawed.Broadcast()
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.thawed.Broadcast()
	for _, c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.listener.Close()
	p.work.Wait()
}

func (p *Proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.behind)
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, in, out)
		if p.closed || p.cut {
			in.Close()
			out.Close()
		}
		p.mu.Unlock()
		p.work.Go(func() { p.pass(in, out) })
		p.work.Go(func() { p.pass(out, in) })
	}
}

func (p *Proxy) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		for p.frozen && !p.closed {
			p.thawed.Wait()
		}
		p.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
