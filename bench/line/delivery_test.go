package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"andon/sinks/clickhouse/engine"
)

// TestMain is the two children of the benchmark, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "engine" {
		os.Exit(engine.Child(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "fill" {
		if err := fill(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// The short form: a turn of each way, each of which checks what came of every record. Into Kafka only where there is one.
func TestDelivery(t *testing.T) {
	lib := filepath.Join("..", "..", "lib")
	if _, err := os.Stat(filepath.Join(lib, "libchdb.so")); err != nil || testing.Short() {
		t.Skip("needs lib/libchdb.so: run make deps")
	}
	list := "store"
	if os.Getenv("ANDON_TEST_KAFKA") == "1" {
		list = "map,readings,windows,store"
	}
	demo, err := readDemo()
	if err != nil {
		t.Fatal(err)
	}
	c := config{demo: demo, lib: lib, dir: t.TempDir(), log: slog.New(slog.NewTextHandler(t.Output(), nil)), progress: io.Discard, compression: "lz4", deliveryRows: 20_000, deliveryRounds: 1}
	if c.deliveryJobs, err = findJobs(list); err != nil {
		t.Fatal(err)
	}
	all, err := c.delivery(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(c.deliveryJobs) {
		t.Fatalf("%d results", len(all))
	}
	for _, r := range all {
		if len(r.Rounds) != 1 || r.Speed <= 0 || r.Frugality <= 0 || r.Rounds[0].Once.Blocks == 0 || r.Rounds[0].Loose.Own == 0 {
			t.Errorf("%+v", r)
		}
		if kafka := r.Job != "store"; kafka != (r.Rounds[0].Once.Published > 0) || kafka != (r.Rounds[0].Loose.Broker > 0) {
			t.Errorf("%+v", r)
		}
		var text strings.Builder
		p := printer{out: &text}
		if r.print(&p); p.err != nil || !strings.Contains(text.String(), "| "+r.Job+" |") {
			t.Error(p.err, text.String())
		}
	}
}

func TestFindJobs(t *testing.T) {
	if all, err := findJobs("store,map"); err != nil || len(all) != 2 || all[0].name != "store" || all[1].name != "map" {
		t.Error(all, err)
	}
	if _, err := findJobs("map,nothing"); err == nil {
		t.Error("a job that there is not is taken")
	}
}

// All is committed when every partition is, empty ones included.
func TestProgress(t *testing.T) {
	p := newProgress(map[int32]int64{0: 10, 1: 0, 2: 5})
	ended := func() bool {
		select {
		case <-p.done:
			return true
		default:
			return false
		}
	}
	p.reached(0, 9)
	p.reached(2, 5)
	p.reached(2, 5)
	if ended() {
		t.Error("done at 9 of 10")
	}
	if p.told(`{"v":1,"fold":9}`) || !p.told(`{"v":1,"fold":9,"intent":{"next":10,"rows":1,"schema":"x"}}`) || p.intents != 1 {
		t.Error("intents are not told from other notes")
	}
	p.reached(0, 10)
	if !ended() {
		t.Error("not done")
	}
}

func TestOrigin(t *testing.T) {
	r := &kgo.Record{Key: []byte("a"), Headers: []kgo.RecordHeader{{Key: "andon.offset", Value: []byte("7")}, {Key: "andon.partition", Value: []byte("3")},
		{Key: "andon.offset", Value: []byte("8")}, {Key: "andon.end", Value: []byte("2020-01-01T00:00:00Z")}}}
	if o, err := originOf(r); err != nil || o != (origin{3, 8, "a", "2020-01-01T00:00:00Z"}) {
		t.Error(o, err)
	}
	for _, headers := range [][]kgo.RecordHeader{nil, r.Headers[:1], {{Key: "andon.offset", Value: []byte("x")}, r.Headers[1]}} {
		if _, err := originOf(&kgo.Record{Headers: headers}); err == nil {
			t.Errorf("%v is an origin", headers)
		}
	}
}

func TestPrice(t *testing.T) {
	r := deliveryResult{Job: "map", Rows: 1000, Speed: 0.5, Frugality: 0.95,
		Rounds: []deliveryRound{{Loose: deliveryCost{Wall: time.Second, Own: time.Second}, Once: deliveryCost{Wall: 2 * time.Second, Own: time.Second}, Speed: 0.5, Frugality: 0.95}}}
	var text strings.Builder
	r.print(&printer{out: &text})
	if !strings.Contains(text.String(), "0.500 (0.500–0.500)") || !strings.Contains(text.String(), "50.0 %, by CPU 5.0 %: missed") {
		t.Error(text.String())
	}
}
