package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/event"
	"andon/ingest/decode"
)

func testConfig(c *cluster) Config {
	cfg := Default()
	cfg.Brokers = c.ListenAddrs()
	cfg.SessionTimeout, cfg.Heartbeat, cfg.RebalanceTimeout = time.Second, 50*time.Millisecond, 5*time.Second
	cfg.FetchWait, cfg.LagInterval = 50*time.Millisecond, 100*time.Millisecond
	if c.real != nil { // it shares the machine with us, and may be late
		cfg.SessionTimeout, cfg.Heartbeat = 2*time.Second, 100*time.Millisecond
	}
	return cfg
}

func testSource() Source {
	return Source{Topic: topic, Group: group, Spec: decode.Spec{Signals: []string{"x"}, Time: decode.Timestamp, Asset: decode.Key}}
}

func producer(t testing.TB, c *cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic),
		kgo.MetadataMinAge(100 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// produce writes n records to each partition.
func produce(t testing.TB, cl *kgo.Client, partitions, n int) {
	t.Helper()
	var rs []*kgo.Record
	for i := range n {
		for p := range partitions {
			rs = append(rs, &kgo.Record{Partition: int32(p), Key: fmt.Appendf(nil, "asset-%d", p), Value: fmt.Appendf(nil, `{"x":%d}`, i)})
		}
	}
	if err := cl.ProduceSync(context.Background(), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// ledger is the independent count: what each partition's handlers have stored, by offset.
type ledger struct {
	t  testing.TB
	mu sync.Mutex
	// stored counts how often an offset was stored; opened how often a partition was.
	stored map[int32]map[int64]int
	opened map[int32]int
	faults []string
	notes  []string
}

func newLedger(t testing.TB) *ledger {
	return &ledger{t: t, stored: map[int32]map[int64]int{}, opened: map[int32]int{}}
}

func (l *ledger) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

func (l *ledger) total() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.stored {
		n += len(m)
	}
	return n
}

// check fails the test unless each of [0, n) of each partition was stored once.
func (l *ledger) check(partitions, n int) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range partitions {
		for o := range n {
			if times := l.stored[int32(p)][int64(o)]; times != 1 {
				l.t.Errorf("partition %d offset %d was stored %d times", p, o, times)
				break
			}
		}
		if len(l.stored[int32(p)]) > n {
			l.t.Errorf("partition %d: %d offsets stored, %d written", p, len(l.stored[int32(p)]), n)
		}
	}
	for _, f := range l.faults {
		l.t.Error(f)
	}
}

// keeper is a Handler that holds offsets, and on Flush commits and then books them.
type keeper struct {
	l      *ledger
	who    string
	a      Assignment
	next   int64 // what the next batch must begin with
	from   int64
	held   []int64
	first  time.Time
	every  time.Duration
	handle func(ctx context.Context, b *event.Batch) error // extra work
}

func (k *keeper) Handle(ctx context.Context, b *event.Batch) error {
	if b.First != k.next || b.Next <= b.First || b.Partition != k.a.Partition || b.Topic != k.a.Topic {
		k.l.fault("%s: partition %d: batch [%d, %d) after %d", k.who, b.Partition, b.First, b.Next, k.next)
	}
	k.next = b.Next
	seen := map[int64]bool{}
	for _, r := range b.Rows {
		seen[r.Offset] = true
		if want := fmt.Sprintf("asset-%d", b.Partition); r.Asset != want {
			k.l.fault("%s: row %d/%d is of %s", k.who, b.Partition, r.Offset, r.Asset)
		}
		if raw := b.Raw(r.Offset); raw.Offset != r.Offset || string(raw.Value) != fmt.Sprintf(`{"x":%v}`, r.Values[0]) {
			k.l.fault("%s: raw %d/%d is %q", k.who, b.Partition, r.Offset, raw.Value)
		}
	}
	for _, d := range b.Rejects {
		seen[d.Offset] = true
	}
	for o := range seen {
		if o < b.First || o >= b.Next {
			k.l.fault("%s: offset %d is outside [%d, %d)", k.who, o, b.First, b.Next)
		}
		if o >= k.a.Committed {
			k.held = append(k.held, o)
		}
	}
	if k.first.IsZero() {
		k.first = time.Now()
	}
	if k.handle != nil {
		return k.handle(ctx, b)
	}
	return nil
}

func (k *keeper) Flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if k.next == k.from {
		return nil
	}
	if err := k.a.Commit(ctx, k.next, fmt.Sprintf("%s up to %d", k.who, k.next)); err != nil {
		return err
	}
	k.l.mu.Lock()
	defer k.l.mu.Unlock()
	if k.l.stored[k.a.Partition] == nil {
		k.l.stored[k.a.Partition] = map[int64]int{}
	}
	for _, o := range k.held {
		k.l.stored[k.a.Partition][o]++
	}
	k.held, k.first = k.held[:0], time.Time{}
	return nil
}

func (k *keeper) Due() time.Time {
	if k.first.IsZero() {
		return time.Time{}
	}
	return k.first.Add(k.every)
}

// open makes keepers; change may alter one before it is used.
func (l *ledger) open(who string, change func(*keeper)) Open {
	return func(_ context.Context, a Assignment) (Handler, int64, error) {
		l.mu.Lock()
		l.opened[a.Partition]++
		l.notes = append(l.notes, a.Note)
		l.mu.Unlock()
		k := &keeper{l: l, who: who, a: a, from: a.Committed, every: 20 * time.Millisecond}
		if change != nil {
			change(k)
		}
		k.next = k.from
		return k, k.from, nil
	}
}

// member is an Intake that runs in the background.
type member struct {
	*Intake
	t      testing.TB
	cancel context.CancelFunc
	ended  chan error
	reg    *prometheus.Registry
	log    *strings.Builder
}

func start(t testing.TB, cfg Config, source Source, open Open, change ...func(*Intake)) *member {
	t.Helper()
	m := &member{t: t, ended: make(chan error, 1), reg: prometheus.NewRegistry(), log: &strings.Builder{}}
	metrics := NewMetrics(m.reg)
	log := slog.New(slog.NewTextHandler(&lockedWriter{to: m.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	in, err := New(cfg, "fleet", source, open, NewBudget(cfg.MaxInFlight, metrics), metrics, log)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(in)
	}
	m.Intake = in
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go func() { m.ended <- in.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-m.ended; err != nil && !t.Failed() {
			t.Errorf("run: %v", err)
		}
		if t.Failed() {
			t.Logf("log of a member:\n%s", m.log)
		}
	})
	return m
}

// stop ends the member and returns what Run returned.
func (m *member) stop() error {
	m.cancel()
	return m.wait()
}

func (m *member) wait() error {
	m.t.Helper()
	select {
	case err := <-m.ended:
		m.ended <- nil // for the cleanup
		return err
	case <-time.After(30 * time.Second):
		m.t.Fatal("the member does not end")
		return nil
	}
}

type lockedWriter struct {
	mu sync.Mutex
	to *strings.Builder
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

// eventually waits for a condition that has no event to wait for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// gauge returns the sum of a metric's values over its labels.
func (m *member) metric(name string) (sum float64) {
	m.t.Helper()
	families, err := m.reg.Gather()
	if err != nil {
		m.t.Fatal(err)
	}
	i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == name })
	if i < 0 {
		return 0
	}
	for _, x := range families[i].GetMetric() {
		sum += x.GetCounter().GetValue() + x.GetGauge().GetValue()
	}
	return sum
}

var discard = slog.New(slog.DiscardHandler)

// freePort returns a port below the ephemeral range, where no client's own connection can take it.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(10000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

func errorHas(err error, part string) bool { return err != nil && strings.Contains(err.Error(), part) }
