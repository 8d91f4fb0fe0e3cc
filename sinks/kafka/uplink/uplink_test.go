package uplink

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/deploy/kafka/brokertest"
	"andon/event"
)

// alerts gathers what people are told.
type alerts struct {
	mu  sync.Mutex
	all []event.Alert
}

func (a *alerts) add(x event.Alert) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, x)
}

func (a *alerts) count(matter string, over bool) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range a.all {
		if strings.Contains(x.ID, matter) && x.Resolved == over {
			n++
		}
	}
	return n
}

// memory is a central cluster in this process: its transactions hold as long as it lives.
func memory(t *testing.T) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestForwards(t *testing.T) {
	c, l := memory(t), newLocal(t, 3)
	cfg := testConfig(c.ListenAddrs()[0], "plant")
	l.send(t, 3, 1000)
	u, _ := running(t, cfg, Deps{Brokers: []string{l.addr}})
	await(t, "all of it", 30*time.Second, l.up(u))
	l.arrived(t, cfg.Brokers[0], cfg.Site)
	for _, p := range l.clean(t, cfg) {
		if p.Records != 1000 || p.Position != 1000 || p.Waiting != 0 {
			t.Errorf("%+v", *p)
		}
	}
	if n := testutil.ToFloat64(u.metrics.records.WithLabelValues(from)); n != 3000 {
		t.Errorf("%v records are counted", n)
	}
	if n := testutil.ToFloat64(u.metrics.wire); n < 3000 {
		t.Errorf("%v bytes are counted", n)
	}
}

// The embedded broker of an appliance is refused with what to do, by its cluster id; one of before there were such ids by its answer.
func TestEmbeddedRefused(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ClusterID(embedded+"0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l, told := newLocal(t, 1), &alerts{}
	l.send(t, 1, 5)
	u, _ := running(t, testConfig(c.ListenAddrs()[0], "plant"), Deps{Brokers: []string{l.addr}, Alert: told.add})
	await(t, "the refusal", 10*time.Second, func() bool { return u.Status().State == stateRefused })
	if s := u.Status(); !strings.Contains(s.Error, "name an Apache Kafka in uplink.brokers") {
		t.Errorf("it says %q", s.Error)
	}
	await(t, "the alert", 10*time.Second, func() bool { return told.count("away", false) == 1 })
	if s := u.Status(); s.Waiting != 5 {
		t.Errorf("%d wait", s.Waiting)
	}
}

// What the local log lets go of while the cluster is away is counted, told once, and said by the next record that goes up.
func TestLost(t *testing.T) {
	l, told := newLocal(t, 1), &alerts{}
	l.send(t, 1, 100)
	c := memory(t)
	cfg, dir := testConfig(c.ListenAddrs()[0], "plant"), t.TempDir()
	deps := Deps{Brokers: []string{l.addr}, Alert: told.add, Dir: dir}
	u, stop := running(t, cfg, deps)
	await(t, "the first", 20*time.Second, l.up(u))
	stop()

	away := cfg
	away.Brokers = []string{"127.0.0.1:1"}
	l.send(t, 1, 100)
	if err := l.DeleteRecords(from, 0, 160); err != nil {
		t.Fatal(err)
	}
	u, stop = running(t, away, deps)
	await(t, "the word of it", 20*time.Second, func() bool { return told.count("lost", false) == 1 })
	if n := testutil.ToFloat64(u.metrics.lost.WithLabelValues(from)); n != 60 {
		t.Errorf("%v are counted", n)
	}
	time.Sleep(3 * cfg.Check)
	if n := told.count("lost", false); n != 1 {
		t.Errorf("told %d times", n)
	}
	stop()

	u, _ = running(t, cfg, deps)
	await(t, "the rest", 20*time.Second, l.up(u))
	for _, r := range brokertest.Committed(t, cfg.Brokers[0], to) {
		want := ""
		if header(r, HeaderOffset) == "160" {
			want = "60"
		}
		if got := header(r, HeaderLost); got != want {
			t.Errorf("record %s says %q are lost, want %q", header(r, HeaderOffset), got, want)
		}
	}
	parts := l.clean(t, cfg)
	if parts[0].Lost != 60 || parts[0].Records != 140 {
		t.Errorf("%+v", *parts[0])
	}
}

// People are told before the room is full, and when there is room again.
func TestFull(t *testing.T) {
	l, told := newLocal(t, 1), &alerts{}
	var mu sync.Mutex
	held := int64(10)
	u, _ := running(t, testConfig("127.0.0.1:1", "plant"), Deps{Brokers: []string{l.addr}, Alert: told.add, Room: func(string, int32, int64) (int64, int64, bool) {
		mu.Lock()
		defer mu.Unlock()
		return held, 100, true
	}})
	l.send(t, 1, 10)
	set := func(n int64) { mu.Lock(); held = n; mu.Unlock() }
	await(t, "the look", 10*time.Second, func() bool { return len(u.Status().Routes) == 1 && u.Status().Routes[0].Held == 10 })
	if told.count("full", false) != 0 {
		t.Error("told too early")
	}
	set(85)
	await(t, "the warning", 10*time.Second, func() bool { return told.count("full", false) == 1 })
	set(70)
	time.Sleep(500 * time.Millisecond)
	if told.count("full", true) != 0 {
		t.Error("over too early")
	}
	set(10)
	await(t, "its end", 10*time.Second, func() bool { return told.count("full", true) == 1 })
}

// Frames that alerts point at go up with them, in pieces; what is not there, or too large, is named.
func TestEvidence(t *testing.T) {
	c, l := memory(t), newLocal(t, 1)
	cfg := testConfig(c.ListenAddrs()[0], "plant")
	cfg.Evidence = Evidence{Topic: "edge.evidence", Chunk: 4 << 10, Max: 64 << 10}
	frame := make([]byte, 10_000)
	for i := range frame {
		frame[i] = byte(i * 7)
	}
	began := time.Now()
	deps := Deps{Brokers: []string{l.addr}, Refs: func(topic string, value []byte) []string {
		if s := string(value); topic == from && strings.HasPrefix(s, "ref:") {
			return []string{s[4:]}
		}
		return nil
	}, Evidence: func(_ context.Context, ref string) ([]byte, error) {
		switch ref {
		case "gone":
			return nil, fmt.Errorf("evidence %s: %w", ref, ErrNoEvidence)
		case "b": // still being written
			if time.Since(began) < time.Second {
				return nil, ErrNoEvidence
			}
		case "large":
			return make([]byte, 65<<10), nil
		}
		return frame, nil
	}}
	for _, v := range []string{"ref:a", "none", "ref:gone", "ref:large", "ref:a", "ref:b"} {
		if err := l.client.ProduceSync(t.Context(), &kgo.Record{Key: []byte("k"), Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		l.sent[0]++
	}
	u, _ := running(t, cfg, deps)
	await(t, "all of it", 20*time.Second, l.up(u))
	whole := map[string][]byte{}
	for _, r := range brokertest.Committed(t, cfg.Brokers[0], "edge.evidence") {
		ref := header(r, HeaderEvidence)
		if header(r, HeaderChunk) != fmt.Sprint(len(whole[ref])/(4<<10)) || header(r, HeaderChunks) != "3" || header(r, HeaderBytes) != "10000" || string(r.Key) != ref || header(r, HeaderSite) != "plant" {
			t.Errorf("%s: %v", ref, r.Headers)
		}
		whole[ref] = append(whole[ref], r.Value...)
	}
	if len(whole) != 2 || string(whole["a"]) != string(frame) || string(whole["b"]) != string(frame) {
		t.Errorf("%d pieces of %d and %d bytes", len(whole), len(whole["a"]), len(whole["b"]))
	}
	missing := map[string]bool{}
	for _, r := range brokertest.Committed(t, cfg.Brokers[0], to) {
		if m := header(r, HeaderMissing); m != "" {
			missing[header(r, HeaderOffset)+" "+m] = true
		}
	}
	if len(missing) != 2 || !missing["2 gone: evidence gone: it is not kept any more"] || !missing["3 large: its 66560 bytes are more than uplink.evidence.max"] {
		t.Errorf("%v", missing)
	}
	for outcome, want := range map[string]float64{"sent": 2, "missing": 1, "large": 1} {
		if n := testutil.ToFloat64(u.metrics.evidence.WithLabelValues(outcome)); n != want {
			t.Errorf("%s: %v", outcome, n)
		}
	}
}

// While the cluster is away nothing is burnt: few attempts to connect, ever fewer.
func TestAwayIsCheap(t *testing.T) {
	l := newLocal(t, 4)
	l.send(t, 4, 100)
	cfg := testConfig("127.0.0.1:1", "plant")
	cfg.MaxBackoff = time.Minute
	u, _ := running(t, cfg, Deps{Brokers: []string{l.addr}})
	time.Sleep(3 * time.Second)
	if s := u.Status(); s.State != stateAway || s.Waiting != 400 || s.Error == "" {
		t.Errorf("%+v", s)
	}
	if n := testutil.ToFloat64(u.metrics.wire); n != 0 {
		t.Errorf("%v bytes were written", n)
	}
}

// The audit finds what is wrong.
func TestAuditFinds(t *testing.T) {
	c, l := memory(t), newLocal(t, 1)
	cfg := testConfig(c.ListenAddrs()[0], "plant")
	l.send(t, 1, 50)
	u, stop := running(t, cfg, Deps{Brokers: []string{l.addr}})
	await(t, "all of it", 20*time.Second, l.up(u))
	stop()
	l.clean(t, cfg)
	id := l.TopicInfo(from).TopicID
	out, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	add := func(offset, after int64) {
		t.Helper()
		r := &kgo.Record{Topic: to, Headers: []kgo.RecordHeader{{Key: HeaderSite, Value: []byte("plant")}, {Key: HeaderLog, Value: []byte(logID(id))}, {Key: HeaderTopic, Value: []byte(from)},
			{Key: HeaderPartition, Value: []byte("0")}, {Key: HeaderOffset, Value: decimal(offset)}, {Key: HeaderAfter, Value: decimal(after)}}}
		if err := out.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	fault := func() string {
		t.Helper()
		parts, err := Audit(t.Context(), cfg, Deps{Brokers: []string{l.addr}}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return parts[0].Fault
	}
	add(50, 49)
	if f := fault(); !strings.Contains(f, "1 records are there beyond the position 50") {
		t.Errorf("beyond: %q", f)
	}
	add(7, 6)
	if f := fault(); !strings.Contains(f, "1 records are in edge.line.scores again, the first is 7") {
		t.Errorf("a double: %q", f)
	}
	add(60, 55)
	if f := fault(); !strings.Contains(f, "records between offsets 51 and 56 are not in edge.line.scores") {
		t.Errorf("a gap: %q", f)
	}
	// The topic is lost and made anew: what counts as up is not there.
	adm := kadm.NewClient(out)
	if _, err := adm.DeleteTopics(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopic(t.Context(), 1, 1, nil, to); err != nil {
		t.Fatal(err)
	}
	if f := fault(); f != "" && !strings.Contains(f, "50 records that count as up are not in") {
		t.Errorf("a topic made anew: %q", f)
	}
}

func TestLedger(t *testing.T) {
	l := newLedger()
	add := func(offset, after int64, central int32) { l.add(origin{offset: offset, after: after}, central) }
	add(1_000_000, -1, 0)
	add(1_000_002, 1_000_000, 1) // a marker lies between
	add(1_000_001+pageSize, 1_000_002, 0)
	first, last, begun, gaps, forks := l.chain()
	if first != 1_000_000 || last != 1_000_001+pageSize || !begun || len(gaps) != 0 || forks != 0 {
		t.Error(first, last, begun, gaps, forks)
	}
	add(1_000_010, 1_000_009, 0)
	if _, _, _, gaps, forks = l.chain(); len(gaps) != 1 || gaps[0] != (Range{1_000_003, 1_000_010}) || forks != 1 {
		t.Error(gaps, forks)
	}
	if l.turned != 1 || l.doubles != 0 {
		t.Error(l.turned, l.doubles)
	}
	add(1_000_000, -1, 0)
	if l.doubles != 1 || l.records != 5 {
		t.Error(l.doubles, l.records)
	}
}

func TestBrake(t *testing.T) {
	now := time.Unix(0, 0)
	b := newBrake(1000, newMetrics(nil).wire)
	b.now = func() time.Time { return now }
	if d := b.owed(); d != 0 {
		t.Error(d)
	}
	b.spend(500)
	b.spend(1500)
	if d := b.owed(); d != 2*time.Second {
		t.Error(d)
	}
	now = now.Add(1500 * time.Millisecond)
	if d := b.owed(); d != 500*time.Millisecond {
		t.Error(d)
	}
	now = now.Add(time.Hour) // is worth nothing
	b.spend(1000)
	if d := b.owed(); d != time.Second {
		t.Error(d)
	}
	if n := b.most(1 << 20); n != 16<<10 {
		t.Error(n)
	}
	if n := newBrake(0, nil).most(1 << 20); n != 1<<20 {
		t.Error(n)
	}
}

// The wire carries no more than the limit, over a stretch of time.
func TestBandwidth(t *testing.T) {
	c, l := memory(t), newLocal(t, 2)
	cfg := testConfig(c.ListenAddrs()[0], "plant")
	cfg.Compression, cfg.Bandwidth = "none", 100<<10
	l.send(t, 2, 1000) // some 600 KB with headers
	began := time.Now()
	u, _ := running(t, cfg, Deps{Brokers: []string{l.addr}})
	await(t, "all of it", 60*time.Second, l.up(u))
	took, wire := time.Since(began).Seconds(), testutil.ToFloat64(u.metrics.wire)
	if wire < 300<<10 {
		t.Fatalf("only %v bytes", wire)
	}
	if least := (wire - 3*200<<10) / (100 << 10); took < least { // the last transaction of each partition, and the first, run ahead
		t.Errorf("%v bytes in %.1f s", wire, took)
	}
}

func TestLift(t *testing.T) {
	u := &Uplink{cfg: Config{Site: "plant"}}
	r := &route{key: key{from, 2}, to: to, log: "id"}
	rec := &kgo.Record{Key: []byte("k"), Value: make([]byte, 5000), Offset: 41, Headers: []kgo.RecordHeader{{Key: "own", Value: []byte("x")}, {Key: HeaderSite, Value: []byte("below")}}, Timestamp: time.Unix(5, 0)}
	up, cut := u.lift(r, rec, 40, 3, "", 1<<20)
	o, ok := originOf(up)
	if cut || !ok || o != (origin{site: "plant", log: "id", key: key{from, 2}, offset: 41, after: 40, lost: 3}) || len(up.Value) != 5000 || !up.Timestamp.Equal(rec.Timestamp) || len(rec.Headers) != 2 {
		t.Errorf("%v %+v", cut, o)
	}
	up, cut = u.lift(r, rec, 40, 0, "", 2000)
	if !cut || size(up) > 2000 || len(up.Value) < 1000 || header(up, HeaderCut) != "5000" || header(up, "own") != "x" {
		t.Errorf("%v %d %d", cut, size(up), len(up.Value))
	}
	up, _ = u.lift(r, rec, 40, 0, "too large", 1<<20)
	if o, _ := originOf(up); len(up.Value) != 0 || !o.refused || !up.Timestamp.IsZero() || header(up, "own") != "" {
		t.Errorf("%v", up.Headers)
	}
}

func TestConfig(t *testing.T) {
	good := Default()
	good.Brokers, good.Site, good.Topics = []string{"a:1"}, "plant-7", []Topic{{From: "andon.scores"}, {From: "andon.alerts", To: "all.alerts"}}
	check := func(change func(*Config), want string) {
		t.Helper()
		c := good
		c.Topics = append([]Topic(nil), good.Topics...)
		change(&c)
		err := c.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	check(func(*Config) {}, "")
	check(func(c *Config) { *c = Default() }, "")
	check(func(c *Config) { c.Brokers = nil }, "brokers: is empty")
	check(func(c *Config) { c.Brokers = []string{"a"} }, `brokers: "a" is not host:port`)
	check(func(c *Config) { c.Site = "" }, `site: "" does not name this site`)
	check(func(c *Config) { c.Site = "a/b" }, `site: "a/b"`)
	check(func(c *Config) { c.Topics[1].From = "andon.scores" }, `topics[1].from: "andon.scores" is named twice`)
	check(func(c *Config) { c.Topics[0].To = "a b" }, `topics[0].to: "a b"`)
	check(func(c *Config) { c.Topics[0].Keep = 1 }, "topics[0].keep: 1 is less")
	check(func(c *Config) { c.Evidence.Chunk = 2 << 20 }, "evidence.chunk: 2MiB")
	check(func(c *Config) { c.Evidence.Max = 1 }, "evidence.max: 1 ")
	check(func(c *Config) { c.Bandwidth = 5 }, "bandwidth: 5 a second")
	check(func(c *Config) { c.Compression = "rar" }, `compression: "rar"`)
	check(func(c *Config) { c.Batch = 1 }, "batch: 1 ")
	check(func(c *Config) { c.Interval = 0 }, "interval: 0s")
	check(func(c *Config) { c.SASL.User = "u" }, "security: sasl:")
	if c := good; c.Central(c.Topics[0]) != "edge.andon.scores" || c.Central(c.Topics[1]) != "all.alerts" {
		t.Error(c.Central(c.Topics[0]), c.Central(c.Topics[1]))
	}
}
