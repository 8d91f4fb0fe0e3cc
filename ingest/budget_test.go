package ingest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/event"
)

func newBudget(limit event.Bytes) *Budget {
	return NewBudget(limit, NewMetrics(prometheus.NewRegistry()))
}

func TestBudget(t *testing.T) {
	b := newBudget(100)
	if err := b.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.take(250) // a fetch larger than all of it
	waited := make(chan error)
	go func() { waited <- b.wait(t.Context()) }()
	b.take(-100)
	select {
	case <-waited:
		t.Fatal("let through with 150 of 100 taken")
	case <-time.After(20 * time.Millisecond):
	}
	b.take(-51)
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	b.take(1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { waited <- b.wait(ctx) }()
	cancel()
	if err := <-waited; err == nil {
		t.Fatal("let through by the end of its context")
	}
	if b.Used() != 100 {
		t.Errorf("used %d", b.Used())
	}
}

// With the handlers stuck, what is fetched stays within the budget and a fetch, however much the log holds and however well it is compressed, and the process does
// not grow. Everything arrives once they go on.
func TestBackpressure(t *testing.T) {
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.Lz4Compression()} {
		t.Run(fmt.Sprintf("compressed=%v", codec != kgo.NoCompression()), func(t *testing.T) { backpressure(t, codec) })
	}
}

func backpressure(t *testing.T, codec kgo.CompressionCodec) {
	const partitions, records, limit = 24, 200, 4 << 20
	c := broker(t, partitions)
	p := producer(t, c, kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(64<<10))
	rng := seeded()
	words := strings.Fields(strings.Repeat("pressure temperature ", 8) + "north hall ok warn 17 4.25 compressor")
	for part := range partitions { // 20 MB in all
		var rs []*kgo.Record
		for i := range records {
			pad := make([]byte, 0, 4096)
			for len(pad) < 4000 {
				pad = append(append(pad, words[rng.IntN(len(words))]...), ' ')
			}
			rs = append(rs, &kgo.Record{Partition: int32(part), Key: fmt.Appendf(nil, "asset-%d", part), Value: fmt.Appendf(nil, `{"x":%d,"pad":"%s"}`, i, pad)})
		}
		if err := p.ProduceSync(t.Context(), rs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	cfg := testConfig(c)
	cfg.MaxInFlight, cfg.BatchRecords = limit, 10
	goOn := make(chan bool)
	var inHand, handled atomic.Int64
	m := start(t, cfg, testSource(), func(_ context.Context, a Assignment) (Handler, int64, error) {
		return handlerFunc(func(ctx context.Context, b *event.Batch) error {
			inHand.Add(1)
			if err := hold(ctx, goOn); err != nil {
				return err
			}
			handled.Add(int64(len(b.Rows)))
			return nil
		}, &keeper{l: newLedger(t), a: a}), 0, nil
	})
	eventually(t, "the handlers are stuck", func() bool { return inHand.Load() >= 8 })
	s := m.Intake.session
	most := int64(0)
	look := func() { most = max(most, m.budget.Used()+s.cl.BufferedFetchBytes()) }
	eventually(t, "something is held back", func() bool { look(); return most >= limit/2 })
	for range 50 {
		look()
		time.Sleep(10 * time.Millisecond)
	}
	// The limit, the poll that passed it, and what waits in the client; before it has learned how well the rows are compressed, a fetch may be several times larger.
	if most > 3*limit {
		t.Errorf("%d bytes in flight, want at most %d", most, 3*limit)
	}
	if grown := heap() - before; grown > 6*limit {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	t.Logf("at most %d bytes in flight of 20 MB, with a limit of %d", most, limit)
	if n := m.metric("andon_ingest_inflight_bytes"); n != float64(m.budget.Used()) {
		t.Errorf("the metric says %v, the budget %d", n, m.budget.Used())
	}
	if lag := m.metric("andon_ingest_lag_records"); lag != partitions*records {
		t.Errorf("lag %v, want all %d", lag, partitions*records)
	}
	close(goOn)
	high := int64(0)
	eventually(t, "all handled", func() bool {
		high = max(high, m.budget.Used()+s.cl.BufferedFetchBytes())
		return handled.Load() == partitions*records
	})
	if high > 3*limit {
		t.Errorf("%d bytes in flight on the way, want at most %d", high, 3*limit)
	}
	eventually(t, "nothing in flight", func() bool { return m.budget.Used() == 0 })
	if lag := m.metric("andon_ingest_lag_records"); lag != 0 {
		t.Errorf("lag %v at the end", lag)
	}
}

// One partition whose handler hangs is paused; the others go on.
func TestOneStuckPartition(t *testing.T) {
	const partitions = 4
	c := broker(t, partitions)
	p := producer(t, c)
	cfg := testConfig(c)
	cfg.MaxInFlight, cfg.BatchRecords = 1<<20, 50
	goOn := make(chan bool)
	var handled [partitions]atomic.Int64
	m := start(t, cfg, testSource(), func(_ context.Context, a Assignment) (Handler, int64, error) {
		return handlerFunc(func(ctx context.Context, b *event.Batch) error {
			if a.Partition == 0 {
				if err := hold(ctx, goOn); err != nil {
					return err
				}
			}
			handled[a.Partition].Add(b.Next - b.First)
			return nil
		}, &keeper{l: newLedger(t), a: a}), 0, nil
	})
	const rounds, each = 20, 500
	for round := range rounds { // 2.4 MB with what is counted for each record; far more than the budget
		produce(t, p, partitions, each)
		eventually(t, "the others go on", func() bool {
			for i := 1; i < partitions; i++ {
				if handled[i].Load() < int64((round+1)*each) {
					return false
				}
			}
			return true
		})
	}
	if handled[0].Load() != 0 {
		t.Error("the stuck partition went on")
	}
	for _, pr := range m.Progress() {
		if pr.Partition == 0 && (pr.Next != 0 || pr.Waiting == 0 || pr.Waiting > 1<<19) || pr.Partition > 0 && pr.Next != rounds*each {
			t.Errorf("progress %+v", pr)
		}
	}
	close(goOn)
	eventually(t, "it catches up", func() bool { return handled[0].Load() == rounds*each })
}

// handlerFunc is a Handler that only handles.
func handlerFunc(f func(context.Context, *event.Batch) error, k *keeper) Handler {
	return funcHandler{k, f}
}

type funcHandler struct {
	*keeper
	f func(context.Context, *event.Batch) error
}

func (h funcHandler) Handle(ctx context.Context, b *event.Batch) error { return h.f(ctx, b) }
func (h funcHandler) Flush(context.Context) error                      { return nil }
func (h funcHandler) Due() time.Time                                   { return time.Time{} }

// hold waits until a test lets a handler go on.
func hold(ctx context.Context, goOn <-chan bool) error {
	select {
	case <-goOn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
