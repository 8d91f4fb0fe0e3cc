package main

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A client that comes through the proxy stays there: also for the coordinator, and when it looks for the cluster again.
func TestProxyKafka(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, topic))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := newProxy(c.ListenAddrs()[0], true)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.addr()), kgo.ConsumerGroup("g"), kgo.ConsumeTopics(topic), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != p.addr() {
				t.Errorf("the client goes to %s, past the proxy", address)
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	exchange := func() {
		t.Helper()
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		for got := 0; got == 0; {
			f := cl.PollFetches(t.Context())
			if t.Context().Err() != nil {
				t.Fatal("nothing comes")
			}
			got = f.NumRecords()
		}
		if err := cl.CommitUncommittedOffsets(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	exchange()
	if _, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	for _, state := range []network{refused, silent} {
		p.cut(state)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if err := cl.Ping(ctx); err == nil {
			t.Errorf("state %d: the broker answers across the cut", state)
		}
		cancel()
		p.cut(whole)
		exchange()
	}
}

func TestProxyPlain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	p, err := newProxy(l.Addr().String(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	c, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echo := func() error {
		if _, err := c.Write([]byte("ping")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 4))
		return err
	}
	if err := echo(); err != nil {
		t.Fatal(err)
	}
	p.cut(silent)
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	var timeout net.Error
	if err := echo(); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("through a silent network: %v", err)
	}
	_ = c.SetReadDeadline(time.Time{})
	p.cut(whole)
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil { // what was written into the silence arrives late
		t.Fatal(err)
	}
	if err := echo(); err != nil {
		t.Fatal(err)
	}
	p.cut(refused)
	if err := echo(); err == nil {
		t.Error("a broken connection answers")
	}
}
