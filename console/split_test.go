package console

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// withModels adds a model server to a console: REST that says what it was asked, and an rpc that answers each connection with all it read.
func (a *appliance) withModels() {
	a.Models(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "models "+r.Method+" "+r.URL.Path)
	}), func(ctx context.Context, l net.Listener) error {
		stop := context.AfterFunc(ctx, func() { l.Close() })
		defer stop()
		var open sync.WaitGroup
		defer open.Wait()
		for {
			c, err := l.Accept()
			if err != nil {
				return nil
			}
			open.Add(1)
			go func() {
				defer open.Done()
				defer c.Close()
				b := make([]byte, len(preface)+4)
				if _, err := io.ReadFull(c, b); err == nil {
					_, _ = c.Write(append([]byte("rpc "), b...))
				}
			}()
		}
	})
}

func TestOnePortForBoth(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 0)
	a.withModels()
	a.start(t)
	for path, want := range map[string]string{"/v2": "models GET /v2", "/v2/models/x/ready": "models GET /v2/models/x/ready"} {
		if code, body, h := a.ask(t, "GET", path, ""); code != 200 || body != want || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	// Clients of models are programs; a page of another site is refused as anywhere.
	if code, body, _ := a.ask(t, "POST", "/v2/models/x/infer", "{}"); code != 200 || body != "models POST /v2/models/x/infer" {
		t.Errorf("%d %q", code, body)
	}
	if code, _, _ := a.ask(t, "POST", "/v2/models/x/infer", "{}", "Origin", "https://evil.example"); code != 403 {
		t.Errorf("a foreign page: %d", code)
	}
	if code, _, _ := a.ask(t, "GET", "/v2", "", "Host", "evil.example"); code != 421 {
		t.Errorf("a foreign name: %d", code)
	}

	// However the first bytes come, they are all there.
	for _, cut := range []int{0, 1, 3, len(preface) - 1, len(preface)} {
		c, err := net.Dial("tcp", a.addr)
		if err != nil {
			t.Fatal(err)
		}
		text := preface + "more"
		_, _ = io.WriteString(c, text[:cut])
		time.Sleep(5 * time.Millisecond)
		_, _ = io.WriteString(c, text[cut:])
		b, err := io.ReadAll(c)
		c.Close()
		if err != nil || string(b) != "rpc "+text {
			t.Errorf("cut at %d: %q %v", cut, b, err)
		}
	}
	c, err := net.Dial("tcp", a.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "P")
	time.Sleep(5 * time.Millisecond)
	_, _ = io.WriteString(c, "OST /v2/x HTTP/1.1\r\nHost: "+a.addr+"\r\nContent-Length: 0\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(res.Body); string(b) != "models POST /v2/x" {
		t.Errorf("%q", b)
	}
	// One that says nothing does not hold up the end: start's cleanup waits for all goroutines.
	silent, err := net.Dial("tcp", a.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	time.Sleep(5 * time.Millisecond)
}

// Without an rpc the preface is the web server's to refuse.
func TestNoRPC(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 0)
	a.start(t)
	c, err := net.Dial("tcp", a.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, preface)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	b, _ := io.ReadAll(c)
	if !bytes.HasPrefix(b, []byte("HTTP/1.1 ")) && len(b) != 0 || strings.Contains(string(b), "200 OK") {
		t.Errorf("%q", b)
	}
	if code, _, _ := a.ask(t, "GET", "/v2", ""); code != 404 {
		t.Errorf("/v2 without models: %d", code)
	}
}
