package uplink

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/deploy/kafka/brokertest"
)

// The test binary is an uplink of its own, too, which a test kills.
func TestMain(m *testing.M) {
	if os.Getenv("ANDON_TEST_UPLINK") != "" {
		child()
		return
	}
	code := m.Run()
	brokertest.Stop()
	os.Exit(code)
}

func child() {
	cfg := testConfig(os.Getenv("ANDON_TEST_CENTRAL"), os.Getenv("ANDON_TEST_SITE"))
	u, err := New(cfg, Deps{Brokers: []string{os.Getenv("ANDON_TEST_LOCAL")}, Dir: os.Getenv("ANDON_TEST_DIR")}, slog.New(slog.NewTextHandler(os.Stderr, nil)), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = u.Run(context.Background())
}

// The topics of the tests.
const (
	from = "line.scores"
	to   = "edge.line.scores"
)

func testConfig(central, site string) Config {
	cfg := Default()
	cfg.Brokers, cfg.Site, cfg.Topics, cfg.CreateTopics = []string{central}, site, []Topic{{From: from}}, true
	cfg.Interval, cfg.Check, cfg.MaxBackoff = 20*time.Millisecond, 200*time.Millisecond, time.Second
	cfg.Evidence.Topic = ""
	cfg.TransactionTimeout = 10 * time.Second
	return cfg
}

// local is a log of the site's: an in-process broker.
type local struct {
	*kfake.Cluster
	addr   string
	client *kgo.Client
	sent   map[int32]int64
}

func newLocal(t testing.TB, partitions int32, topics ...string) *local {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, append(topics, from)...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	l := &local{Cluster: c, addr: c.ListenAddrs()[0], sent: map[int32]int64{}}
	if l.client, err = kgo.NewClient(kgo.SeedBrokers(l.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(from)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.client.Close)
	return l
}

// send adds n records to each of the partitions: two keys each, one record in seven without any.
func (l *local) send(t testing.TB, partitions int32, n int) {
	t.Helper()
	var all []*kgo.Record
	for p := range partitions {
		for range n {
			o := l.sent[p]
			l.sent[p]++
			r := &kgo.Record{Partition: p, Key: fmt.Appendf(nil, "asset-%d-%d", p, o%2), Value: value(p, o), Headers: []kgo.RecordHeader{{Key: "own", Value: []byte("kept")}}}
			if o%7 == 3 {
				r.Key = nil
			}
			all = append(all, r)
		}
	}
	if err := l.client.ProduceSync(t.Context(), all...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func value(p int32, o int64) []byte {
	return fmt.Appendf(nil, `{"partition":%d,"n":%d,"fill":%q}`, p, o, strings.Repeat("x", int(o%50)))
}

// running starts an uplink that ends with the test, or when stop is called.
func running(t testing.TB, cfg Config, deps Deps) (u *Uplink, stop func()) {
	t.Helper()
	if deps.Dir == "" {
		deps.Dir = t.TempDir()
	}
	u, err := New(cfg, deps, slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo})), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = u.Run(ctx); close(done) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			<-done
			u.Close()
		}
	}
	t.Cleanup(stop)
	return u, stop
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func await(t testing.TB, what string, within time.Duration, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s has not come within %v", what, within)
		}
	}
}

// up tells whether all that was sent is up, as the uplink itself has it.
func (l *local) up(u *Uplink) func() bool {
	return func() bool {
		n := 0
		for _, r := range u.Status().Routes {
			if r.Topic == from && r.Next >= l.sent[r.Partition] {
				n++
			}
		}
		return n == len(l.sent)
	}
}

func header(r *kgo.Record, name string) string {
	for i := range r.Headers {
		if h := r.Headers[len(r.Headers)-1-i]; h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// arrived holds what is in the central cluster of a site against what was sent: each record once, as it was, and each key in its order.
func (l *local) arrived(t testing.TB, address, site string) {
	t.Helper()
	seen, last, n := map[string]int{}, map[string]int64{}, 0
	for _, r := range brokertest.Committed(t, address, to) {
		if header(r, HeaderSite) != site {
			continue
		}
		n++
		p, _ := strconv.Atoi(header(r, HeaderPartition))
		o, err := strconv.ParseInt(header(r, HeaderOffset), 10, 64)
		if err != nil || header(r, HeaderTopic) != from || header(r, "own") != "kept" || string(r.Value) != string(value(int32(p), o)) {
			t.Fatalf("a record with headers %v holds %q", r.Headers, r.Value)
		}
		seen[fmt.Sprint(p, "@", o)]++
		by := fmt.Sprint(p, string(r.Key), r.Partition)
		if before, ok := last[by]; ok && o < before {
			t.Fatalf("key %q: %d comes after %d", r.Key, o, before)
		}
		last[by] = o
	}
	var want int64
	for p, end := range l.sent {
		want += end
		for o := range end {
			if k := fmt.Sprint(p, "@", o); seen[k] != 1 {
				t.Fatalf("record %s is there %d times", k, seen[k])
			}
		}
	}
	if int64(n) != want {
		t.Fatalf("%d records are there, %d were sent", n, want)
	}
}

// clean lets the audit look at both sides.
func (l *local) clean(t testing.TB, cfg Config) []*Part {
	t.Helper()
	parts, err := Audit(t.Context(), cfg, Deps{Brokers: []string{l.addr}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, p := range parts {
		if p.Fault != "" {
			t.Errorf("%s/%d: %s (%+v)", p.Topic, p.Partition, p.Fault, *p)
		}
		sum += p.Records
	}
	if len(parts) == 0 || sum == 0 {
		t.Errorf("the audit saw nothing: %v", parts)
	}
	return parts
}
