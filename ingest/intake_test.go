package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/event"
)

// A group resumes at its commit, with its note, and reads from where the handler says.
func TestResume(t *testing.T) {
	c := broker(t, 2)
	p := producer(t, c)
	produce(t, p, 2, 1000)
	first := newLedger(t)
	m := start(t, testConfig(c), testSource(), first.open("first", nil))
	eventually(t, "all stored", func() bool { return first.total() == 2000 })
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	first.check(2, 1000)

	produce(t, p, 2, 10)
	second := newLedger(t)
	m = start(t, testConfig(c), testSource(), second.open("second", func(k *keeper) {
		if k.a.Committed != 1000 || k.a.Note != "first up to 1000" {
			second.fault("committed %d with note %q", k.a.Committed, k.a.Note)
		}
		k.from = k.a.Committed - 100*int64(k.a.Partition+1)
	}))
	eventually(t, "the rest stored", func() bool { return second.total() == 20 })
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	for p := range int32(2) {
		for o := range int64(1010) {
			want := 0
			if o >= 1000 {
				want = 1
			}
			if second.stored[p][o] != want {
				t.Fatalf("%d/%d stored %d times", p, o, second.stored[p][o])
			}
		}
	}
	for _, f := range second.faults {
		t.Error(f)
	}
	if got := m.metric("andon_ingest_records_total"); got != 20+100+200 {
		t.Errorf("%v records handled, want 320", got)
	}
}

// Whatever is in the log, each offset is a row, a dead letter, or covered by a batch as a gap.
func TestAccounted(t *testing.T) {
	c := broker(t, 1)
	p := producer(t, c)
	rng := seeded()
	rows, rejects := 0, 0
	var rs []*kgo.Record
	for i := range 5000 {
		r := &kgo.Record{Key: []byte("asset-0"), Value: fmt.Appendf(nil, `{"x":%d}`, i)}
		if rng.IntN(10) == 0 {
			r.Value, r.Headers = fmt.Appendf(nil, `{"x":%d`, i), []kgo.RecordHeader{{Key: "n", Value: fmt.Append(nil, i)}}
			rejects++
		} else {
			rows++
		}
		rs = append(rs, r)
	}
	if err := p.ProduceSync(t.Context(), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	// Two transactions: one aborted, whose records must not be seen, one committed; each leaves a marker.
	tx := producer(t, c, kgo.TransactionalID("tx"))
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		produce(t, tx, 1, 100)
		if err := tx.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	rows += 100
	const end = 5000 + 2*101

	var sawRows, sawRejects, sawLate atomic.Int64
	l := newLedger(t)
	cfg := testConfig(c)
	cfg.BatchRecords = 777
	m := start(t, cfg, testSource(), l.open("only", func(k *keeper) {
		var dead []event.DeadLetter
		k.handle = func(_ context.Context, b *event.Batch) error {
			sawRows.Add(int64(len(b.Rows)))
			sawRejects.Add(int64(len(b.Rejects)))
			dead = append(dead, b.Rejects...) // dead letters may be kept
			for _, d := range dead {
				if d.Reason != event.ReasonMalformed || d.Pipeline != "fleet" || d.Topic != topic || string(d.Key) != "asset-0" || d.Time == 0 ||
					string(d.Value) != fmt.Sprintf(`{"x":%d`, d.Offset) || len(d.Headers) != 1 || string(d.Headers[0].Value) != fmt.Sprint(d.Offset) || !strings.Contains(d.Detail, "cut") {
					return fmt.Errorf("dead letter %+v", d)
				}
			}
			if len(b.Rows)+len(b.Rejects) > 777 {
				return fmt.Errorf("batch of %d", len(b.Rows))
			}
			sawLate.Store(b.Next)
			return nil
		}
	}))
	eventually(t, "the log's end", func() bool { return sawLate.Load() == end })
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	if sawRows.Load() != int64(rows) || sawRejects.Load() != int64(rejects) {
		t.Errorf("%d rows and %d rejects, want %d and %d", sawRows.Load(), sawRejects.Load(), rows, rejects)
	}
	if got := m.metric("andon_ingest_rejected_total"); got != float64(rejects) {
		t.Errorf("%v rejects counted", got)
	}
	for _, f := range l.faults {
		t.Error(f)
	}
}

// What the log dropped before it was read is told, counted, and covered by a batch.
func TestExpired(t *testing.T) {
	c := broker(t, 1)
	p := producer(t, c)
	produce(t, p, 1, 100)
	l := newLedger(t)
	m := start(t, testConfig(c), testSource(), l.open("first", nil))
	eventually(t, "stored", func() bool { return l.total() == 100 })
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	produce(t, p, 1, 100)
	adm := kadm.NewClient(p)
	if _, err := adm.DeleteRecords(t.Context(), kadm.Offsets{topic: {0: {Topic: topic, Partition: 0, At: 150}}}); err != nil {
		t.Fatal(err)
	}
	var first atomic.Int64
	first.Store(-1)
	m = start(t, testConfig(c), testSource(), l.open("second", func(k *keeper) {
		k.from = 90
		k.handle = func(_ context.Context, b *event.Batch) error {
			first.CompareAndSwap(-1, b.First)
			return nil
		}
	}))
	eventually(t, "stored", func() bool { return l.total() == 150 })
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	if first.Load() != 90 {
		t.Errorf("the first batch begins at %d", first.Load())
	}
	if got := m.metric("andon_ingest_expired_total"); got != 50 {
		t.Errorf("%v expired, want 50", got)
	}
	for _, f := range l.faults {
		t.Error(f)
	}
}

// A group that starts at latest keeps that place even if nothing is flushed before the next start.
func TestLatest(t *testing.T) {
	c := broker(t, 1)
	p := producer(t, c)
	produce(t, p, 1, 50)
	source := testSource()
	source.Start = StartLatest
	opened := make(chan Assignment, 2)
	idle := func(_ context.Context, a Assignment) (Handler, int64, error) {
		opened <- a
		return &keeper{l: newLedger(t), a: a, next: a.Committed, from: a.Committed, every: time.Hour}, a.Committed, nil
	}
	for round := range 2 {
		m := start(t, testConfig(c), source, idle)
		if a := <-opened; a.Committed != 50 {
			t.Errorf("round %d: begins at %d, want 50", round, a.Committed)
		}
		if err := m.stop(); err != nil {
			t.Fatal(err)
		}
		produce(t, p, 1, 10)
	}
}

// A commit beyond the log's end means that the topic is not the one it was.
func TestLogWentBack(t *testing.T) {
	c := broker(t, 1)
	p := producer(t, c)
	produce(t, p, 1, 50)
	adm := kadm.NewClient(p)
	if err := adm.CommitAllOffsets(t.Context(), group, kadm.Offsets{topic: {0: {Topic: topic, At: 80}}}); err != nil {
		t.Fatal(err)
	}
	m := start(t, testConfig(c), testSource(), newLedger(t).open("only", nil))
	if err := m.wait(); err == nil || !strings.Contains(err.Error(), "fleet/0@80") || !strings.Contains(err.Error(), "ends at 50") {
		t.Fatalf("run: %v", err)
	}
}

// Rows held are flushed when the handler says so, without new records.
func TestDue(t *testing.T) {
	c := broker(t, 1)
	p := producer(t, c)
	l := newLedger(t)
	start(t, testConfig(c), testSource(), l.open("only", func(k *keeper) { k.every = 30 * time.Millisecond }))
	for i := range 3 {
		produce(t, p, 1, 10)
		eventually(t, "flushed", func() bool { return l.total() == 10*(i+1) })
	}
}

func TestHandlerFails(t *testing.T) {
	c := broker(t, 2)
	produce(t, producer(t, c), 2, 100)
	broken := errors.New("the store is full")
	l := newLedger(t)
	m := start(t, testConfig(c), testSource(), l.open("only", func(k *keeper) {
		k.every = time.Hour
		k.handle = func(context.Context, *event.Batch) error {
			if k.a.Partition == 1 {
				return broken
			}
			return nil
		}
	}))
	if err := m.wait(); !errors.Is(err, broken) || !strings.Contains(err.Error(), "ingest fleet: handle fleet/1@0-100: the store is full") {
		t.Fatalf("run: %v", err)
	}
	if l.stored[1] != nil {
		t.Error("the failed partition was flushed")
	}

	m = start(t, testConfig(c), testSource(), func(context.Context, Assignment) (Handler, int64, error) { return nil, 0, broken })
	if err := m.wait(); !errors.Is(err, broken) || !strings.Contains(err.Error(), "open fleet/") {
		t.Fatalf("run: %v", err)
	}
}

// The end of the program waits for the batch in hand and flushes it.
func TestDrain(t *testing.T) {
	c := broker(t, 2)
	produce(t, producer(t, c), 2, 100)
	inHand, goOn := make(chan bool, 2), make(chan bool)
	l := newLedger(t)
	m := start(t, testConfig(c), testSource(), l.open("only", func(k *keeper) {
		k.every = time.Hour
		k.handle = func(context.Context, *event.Batch) error {
			inHand <- true
			<-goOn
			return nil
		}
	}))
	<-inHand
	<-inHand
	m.cancel()
	time.Sleep(20 * time.Millisecond) // the end of ctx must not end the batch
	close(goOn)
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	l.check(2, 100)
	if n := m.metric("andon_ingest_inflight_bytes"); n != 0 {
		t.Errorf("%v bytes are still in flight", n)
	}
}

// A handler that does not come to its end in time is cut off, and nothing of it is committed.
func TestDrainDeadline(t *testing.T) {
	c := broker(t, 1)
	p := producer(t, c)
	produce(t, p, 1, 100)
	inHand := make(chan bool, 1)
	l := newLedger(t)
	cfg := testConfig(c)
	cfg.DrainTimeout = 100 * time.Millisecond
	m := start(t, cfg, testSource(), l.open("only", func(k *keeper) {
		k.handle = func(ctx context.Context, _ *event.Batch) error {
			inHand <- true
			<-ctx.Done()
			return ctx.Err()
		}
	}))
	<-inHand
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	if l.total() != 0 {
		t.Error("something was stored")
	}
	committed, err := kadm.NewClient(p).FetchOffsets(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := committed.Lookup(topic, 0); ok && o.At >= 0 {
		t.Errorf("committed %d", o.At)
	}
}

func TestStartFaults(t *testing.T) {
	c := broker(t, 1)
	fails := func(cfg Config, source Source, part string) {
		t.Helper()
		m := start(t, cfg, source, newLedger(t).open("only", nil))
		if err := m.wait(); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("run: %v, want %q", err, part)
		}
	}
	cfg, source := testConfig(c), testSource()
	source.Topic = "nowhere"
	fails(cfg, source, "there is no such topic: nowhere on [127.0.0.1:")
	cfg.Brokers, cfg.ConnectTimeout = []string{"127.0.0.1:9"}, 300*time.Millisecond
	fails(cfg, testSource(), "does not answer within 300ms")
	cfg = testConfig(c)
	cfg.SessionTimeout = time.Hour
	fails(cfg, testSource(), "set kafka.session_timeout within")
}

func TestEnsureTopics(t *testing.T) {
	c := broker(t, 1)
	cfg := testConfig(c)
	want := []Topic{{Name: "made", Partitions: 3, Retention: time.Hour, RetentionBytes: 1 << 20}, {Name: topic, Partitions: 9}}
	for range 2 {
		if err := EnsureTopics(t.Context(), cfg, want, discard); err != nil {
			t.Fatal(err)
		}
	}
	adm := kadm.NewClient(producer(t, c))
	meta, err := adm.Metadata(t.Context(), "made", topic)
	if err != nil || len(meta.Topics["made"].Partitions) != 3 || len(meta.Topics[topic].Partitions) != 1 {
		t.Fatalf("%v, %v", meta.Topics, err)
	}
	configs, err := adm.DescribeTopicConfigs(t.Context(), "made")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range configs[0].Configs {
		got[e.Key] = e.MaybeValue()
	}
	if got["retention.ms"] != "3600000" || got["retention.bytes"] != "1048576" {
		t.Errorf("configs %v", got)
	}
}
