package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

// The test binary is a peer too, so that the harness is tested with a process to start, watch and stop.
func TestMain(m *testing.M) {
	if how := os.Getenv("PEERS_TEST_PEER"); how != "" {
		if err := testPeer(how, os.Args[1], os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// testPeer does the map job on a backlog: "good", or with one record lost or doubled, or it gives up half-way.
func testPeer(how, brokers, input, output string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.ConsumeTopics(input), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DefaultProduceTopic(output))
	if err != nil {
		return err
	}
	defer cl.Close()
	seen := 0
	for ctx.Err() == nil {
		var out []*kgo.Record
		fault := error(nil)
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			seq, _ := number(r.Value, `"seq":`)
			value, _ := number(r.Value, `"s_5":`)
			if value >= limit || fault != nil {
				return
			}
			seen++
			switch {
			case how == "dies" && seen == 500:
				fault = fmt.Errorf("died of old age")
			case how == "loses" && int64(seq)-seqBase == 7:
				return
			}
			o := &kgo.Record{Key: r.Key, Value: fmt.Appendf(r.Value[:len(r.Value)-1:len(r.Value)-1], `,"s_5_f":%v}`, value*1.8+32)}
			out = append(out, o)
			if how == "doubles" && int64(seq)-seqBase == 7 {
				again := *o
				out = append(out, &again)
			}
		})
		if err := cl.ProduceSync(context.WithoutCancel(ctx), out...).FirstErr(); err != nil {
			return err
		}
		if fault != nil {
			return fault
		}
	}
	return nil
}

func TestBench(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	broker, err := connect(cluster.ListenAddrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	c := Default()
	c.Input = Input{Records: 5000, Keys: 20}
	c.Stall = 3 * time.Second
	c.Timeout = time.Minute
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	b := &Bench{cfg: c, root: t.TempDir(), dir: t.TempDir(), input: "in", broker: broker, log: slog.New(slog.DiscardHandler)}
	if err := b.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer b.loader.Close()
	// One of the two records that the faulty peers look for must pass the filter.
	if !Passes(7) {
		t.Fatal("record 7 is filtered out: choose another")
	}
	peer := func(how string) Peer {
		return Peer{Name: how, Cases: Cases(), Command: []string{"env", "PEERS_TEST_PEER=" + how, os.Args[0], "{{.Brokers}}", "{{.Input}}", "{{.Output}}"}}
	}
	run := func(how string, g Guarantee) Result { return b.measure(t.Context(), peer(how), Case{Map, g}, 1) }

	r := run("good", ExactlyOnce)
	if !r.OK() || r.Doubled != 0 || r.WallS <= 0 || r.RusageS <= 0 || r.PeakRSS < 1<<20 {
		t.Errorf("a good peer: %+v", r)
	}
	if r = run("doubles", AtLeastOnce); !r.OK() || r.Doubled != 1 {
		t.Errorf("a peer that doubles, at least once: %+v", r)
	}
	if r = run("doubles", ExactlyOnce); r.OK() {
		t.Errorf("a peer that doubles, exactly once: %+v", r)
	}
	if r = run("loses", AtLeastOnce); r.OK() || r.Missing() != 1 || r.WallS != 0 {
		t.Errorf("a peer that loses a record: %+v", r)
	}
	if r = run("dies", AtLeastOnce); r.OK() || !strings.Contains(r.Error, "old age") {
		t.Errorf("a peer that dies: %+v", r)
	}
	fresh, err := connect(broker.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	topics, err := fresh.adm.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if names := topics.Names(); len(names) != 1 || names[0] != "in" {
		t.Errorf("topics left behind: %v", names)
	}
	if left, err := os.ReadDir(b.dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
