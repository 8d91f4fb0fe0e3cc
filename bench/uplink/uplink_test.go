package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"andon/deploy/kafka/brokertest"
)

// The whole bench in small: the line is cut for some seconds, and both sides verify clean.
func TestRun(t *testing.T) {
	if !brokertest.Wanted() {
		t.Skip("needs Apache Kafka: run make test-kafka")
	}
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	o := options{before: 3 * time.Second, cut: 6 * time.Second, after: 3 * time.Second, rate: 100, assets: 20, lib: filepath.Join(root, "lib"), dir: t.TempDir(), bandwidth: "0"}
	if _, err := os.Stat(filepath.Join(o.lib, "libchdb.so")); err != nil {
		t.Skipf("%v: run make deps", err)
	}
	if err := run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// A cut ends what is open and what comes; mended, it leads there again.
func TestProxy(t *testing.T) {
	behind, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer behind.Close()
	go func() {
		for {
			c, err := behind.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	}()
	p, err := newProxy("127.0.0.1:0", behind.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	echo := func(c net.Conn) error {
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := c.Read(make([]byte, 1))
		return err
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", p.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	first := dial()
	if err := echo(first); err != nil {
		t.Fatal(err)
	}
	p.cut()
	if echo(first) == nil {
		t.Error("an open connection outlives the cut")
	}
	if echo(dial()) == nil {
		t.Error("a new connection passes the cut")
	}
	p.mend()
	if err := echo(dial()); err != nil {
		t.Errorf("after mending: %v", err)
	}
}
