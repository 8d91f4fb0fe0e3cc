package main

import (
	"io"
	"net"
	"sync"
)

// proxy leads to the cluster, until it is cut: then all connections end, and new ones as they come.
type proxy struct {
	listener net.Listener
	behind   string
	work     sync.WaitGroup

	mu    sync.Mutex
	away  bool
	conns map[net.Conn]bool
}

func newProxy(listen, behind string) (*proxy, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, behind: behind, conns: map[net.Conn]bool{}}
	p.work.Go(p.accept)
	return p, nil
}

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		away := p.away
		p.mu.Unlock()
		if away {
			in.Close()
			continue
		}
		out, err := net.Dial("tcp", p.behind)
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		p.conns[in], p.conns[out] = true, true
		p.mu.Unlock()
		pass := func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			to.Close()
			from.Close()
			p.mu.Lock()
			delete(p.conns, to)
			delete(p.conns, from)
			p.mu.Unlock()
		}
		p.work.Go(func() { pass(in, out) })
		p.work.Go(func() { pass(out, in) })
	}
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = true
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = false
}

func (p *proxy) close() {
	p.cut()
	p.listener.Close()
	p.work.Wait()
}
