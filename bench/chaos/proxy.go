package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// proxy passes on TCP connections to one place, until the network between is cut.
type proxy struct {
	listener net.Listener
	to       string
	// kafka makes it tell clients its own address where the broker tells its own, or they would go there directly.
	kafka bool

	mu    sync.Mutex
	state network
	heal  *sync.Cond
	conns map[net.Conn]bool
	wait  sync.WaitGroup
}

// network is the state of the network between.
type network int

// The states.
const (
	whole   network = iota
	refused         // connections are broken and refused, as by a process that died
	silent          // nothing passes and nobody is told, as by a cable that is out
)

func newProxy(to string, kafka bool) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, to: to, kafka: kafka, conns: map[net.Conn]bool{}}
	p.heal = sync.NewCond(&p.mu)
	p.wait.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// cut sets the state of the network.
func (p *proxy) cut(n network) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = n
	if n == refused {
		for c := range p.conns {
			_ = c.Close()
		}
	}
	p.heal.Broadcast()
}

// pass waits while nothing passes; false when the connection is to be given up.
func (p *proxy) pass() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.state == silent {
		p.heal.Wait()
	}
	return p.state == whole
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.cut(refused)
	p.wait.Wait()
}

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wait.Go(func() {
			if p.pass() {
				p.join(in)
			}
			_ = in.Close()
		})
	}
}

func (p *proxy) join(in net.Conn) {
	out, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	p.mu.Lock()
	if p.state == refused {
		p.mu.Unlock()
		_ = out.Close()
		return
	}
	p.conns[in], p.conns[out] = true, true
	p.mu.Unlock()
	forth, back := io.Writer(guard{p, out}), io.Writer(guard{p, in})
	var both sync.WaitGroup
	asked := &questions{of: map[int32][2]int16{}}
	both.Go(func() {
		if p.kafka {
			_ = p.requests(in, forth, asked)
		} else {
			_, _ = io.Copy(forth, in)
		}
		_, _ = in.Close(), out.Close()
	})
	both.Go(func() {
		if p.kafka {
			_ = p.responses(out, back, asked)
		} else {
			_, _ = io.Copy(back, out)
		}
		_, _ = in.Close(), out.Close()
	})
	both.Wait()
	p.mu.Lock()
	delete(p.conns, in)
	delete(p.conns, out)
	p.mu.Unlock()
}

// guard writes only while the network is whole.
type guard struct {
	p *proxy
	w io.Writer
}

var errCut = errors.New("the network is cut")

func (g guard) Write(b []byte) (int, error) {
	if !g.p.pass() {
		return 0, errCut
	}
	return g.w.Write(b)
}

// questions remembers which requests' answers hold addresses: key and version by correlation id.
type questions struct {
	mu sync.Mutex
	of map[int32][2]int16
}

// frame reads one message of the Kafka protocol, without its size.
func frame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > 256<<20 {
		return nil, fmt.Errorf("a message of %d bytes is none of Kafka's", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

func send(w io.Writer, b []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

func (p *proxy) requests(in io.Reader, out io.Writer, asked *questions) error {
	for {
		b, err := frame(in)
		if err != nil {
			return err
		}
		if len(b) >= 8 {
			key, version := int16(binary.BigEndian.Uint16(b)), int16(binary.BigEndian.Uint16(b[2:]))
			switch kmsg.Key(key) {
			case kmsg.Metadata, kmsg.FindCoordinator, kmsg.DescribeCluster:
				asked.mu.Lock()
				asked.of[int32(binary.BigEndian.Uint32(b[4:]))] = [2]int16{key, version}
				asked.mu.Unlock()
			}
		}
		if err := send(out, b); err != nil {
			return err
		}
	}
}

func (p *proxy) responses(in io.Reader, out io.Writer, asked *questions) error {
	for {
		b, err := frame(in)
		if err != nil {
			return err
		}
		if len(b) >= 4 {
			id := int32(binary.BigEndian.Uint32(b))
			asked.mu.Lock()
			what, ok := asked.of[id]
			delete(asked.of, id)
			asked.mu.Unlock()
			if ok {
				if b, err = p.rewrite(b, what[0], what[1]); err != nil {
					return err
				}
			}
		}
		if err := send(out, b); err != nil {
			return err
		}
	}
}

// rewrite puts our address for the brokers' in an answer.
func (p *proxy) rewrite(b []byte, key, version int16) ([]byte, error) {
	host, text, _ := net.SplitHostPort(p.addr())
	n, _ := strconv.Atoi(text)
	port := int32(n)
	resp := kmsg.ResponseForKey(key)
	resp.SetVersion(version)
	head := 4
	if resp.IsFlexible() { // a header of its own with tags, of which there are none yet
		r := kbin.Reader{Src: b[4:]}
		if r.Uvarint() != 0 {
			return nil, errors.New("the answer's header has tags")
		}
		head = len(b) - len(r.Src)
	}
	if err := resp.ReadFrom(b[head:]); err != nil {
		return nil, err
	}
	switch r := resp.(type) {
	case *kmsg.MetadataResponse:
		for i := range r.Brokers {
			r.Brokers[i].Host, r.Brokers[i].Port = host, port
		}
	case *kmsg.FindCoordinatorResponse:
		r.Host, r.Port = host, port
		for i := range r.Coordinators {
			r.Coordinators[i].Host, r.Coordinators[i].Port = host, port
		}
	case *kmsg.DescribeClusterResponse:
		for i := range r.Brokers {
			r.Brokers[i].Host, r.Brokers[i].Port = host, port
		}
	}
	return resp.AppendTo(b[:head:head]), nil
}
