package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestInspector(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cfg := Default()
	cfg.Brokers = c.ListenAddrs()
	in, err := NewInspector(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()

	// Two committed transactions and one that is aborted: each takes one offset more for its marker.
	cl, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.TransactionalID("x"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic("in"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for range 3 + i {
			if err := cl.ProduceSync(t.Context(), &kgo.Record{Partition: 1, Value: []byte("x")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := cl.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	adm := kadm.NewClient(cl)
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: "in", Partition: 1, At: 9, LeaderEpoch: -1, Metadata: "note"})
	if err := adm.CommitAllOffsets(t.Context(), "g", offsets); err != nil {
		t.Fatal(err)
	}

	got, err := in.Extents(t.Context(), "g", "in")
	if want := fmt.Sprint(map[int32]Extent{0: {0, 0, -1, ""}, 1: {0, 15, 9, "note"}, 2: {0, 0, -1, ""}}); err != nil || fmt.Sprint(got) != want {
		t.Errorf("extents %v, %v; want %v", got, err, want)
	}
	if _, err := in.Extents(t.Context(), "g", "nothing"); err == nil || !strings.Contains(err.Error(), "inspect nothing and the group g") {
		t.Errorf("an unknown topic: %v", err)
	}
	records := func(first, next int64) (out []int64) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := in.Records(ctx, "in", 1, first, next, func(o int64) { out = append(out, o) }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	// 0-2 marker 3, 4-7 aborted, marker 8, 9-13, marker 14.
	for _, c := range []struct {
		first, next int64
		want        string
	}{{0, 15, "[0 1 2 9 10 11 12 13]"}, {3, 9, "[]"}, {2, 4, "[2]"}, {5, 10, "[9]"}, {14, 15, "[]"}, {7, 7, "[]"}} {
		if got := fmt.Sprint(records(c.first, c.next)); got != c.want {
			t.Errorf("records of [%d, %d): %s, want %s", c.first, c.next, got, c.want)
		}
	}
}

// The first row is that of the first record that decodes.
func TestFirstRow(t *testing.T) {
	c := broker(t, 1)
	p := producer(t, c)
	at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, r := range []*kgo.Record{{Value: []byte("{")}, {Key: []byte("a"), Value: []byte(`{"x":1}`), Timestamp: at}, {Key: []byte("a"), Value: []byte(`{"x":2}`), Timestamp: at.Add(time.Hour)}} {
		if err := p.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	in, err := NewInspector(testConfig(c), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if offset, ns, ok, err := in.FirstRow(t.Context(), testSource().WithDefaults(), 0, 0, 3); err != nil || !ok || offset != 1 || ns != at.UnixNano() {
		t.Errorf("@%d, %v, %v, %v", offset, time.Unix(0, ns).UTC(), ok, err)
	}
	for _, next := range []int64{0, 1} {
		if _, _, ok, err := in.FirstRow(t.Context(), testSource().WithDefaults(), 0, 0, next); err != nil || ok {
			t.Errorf("below %d: %v, %v", next, ok, err)
		}
	}
}
