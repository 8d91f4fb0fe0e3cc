package broker

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestKeepFrom(t *testing.T) {
	s := share{retention: 100, segment: 10, millis: 1000}
	const now = 100_000
	segs := func(sizes ...int64) (out []segment) {
		for i, n := range sizes {
			out = append(out, segment{base: int64(i * 10), size: n, written: now})
		}
		return out
	}
	old := func(n int, all []segment) []segment {
		for i := range n {
			all[i].written = now - 1000
		}
		return all
	}
	kept := int64(math.MaxInt64)
	check := func(name string, segs []segment, start, end, want int64) {
		t.Helper()
		if got := s.keepFrom(segs, start, end, now, kept); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	check("empty", nil, 0, 0, 0)
	check("small", segs(50, 49), 0, 20, 0)
	check("full to the byte", segs(50, 50, 50), 0, 30, 10)
	check("nearly", segs(50, 50, 49), 0, 30, 0)
	check("many", segs(60, 60, 60, 60, 60), 0, 50, 30)
	check("one huge", segs(1000), 0, 5, 0)
	check("a huge last", segs(1000, 1000), 0, 15, 10)
	check("two are old", old(2, segs(1, 1, 1)), 0, 30, 20)
	check("all are old", old(3, segs(1, 1, 1)), 0, 25, 24)
	check("old and already cut", old(1, segs(1)), 24, 25, 24)
	check("never moves back", segs(50, 49), 7, 20, 7)
	kept = 10
	check("old and needed from the second on", old(2, segs(1, 1, 1)), 0, 30, 10)
	check("full and needed all the same", segs(60, 60, 60, 60, 60), 0, 50, 30)
	kept = 15
	check("old and needed within one", old(3, segs(1, 1, 1)), 0, 25, 10)
	kept = 22
	check("old and needed within the last", old(3, segs(1, 1, 1)), 0, 25, 22)
	kept = math.MaxInt64
	s.millis = -1
	check("no age", old(3, segs(1, 1, 1)), 0, 25, 0)
	s.millis = 0
	check("nothing is kept but the newest", segs(1, 1, 1), 0, 25, 24)
}

// Records go by size; the newest stay; the log on disk and at the next start is bounded.
func TestRetentionBySize(t *testing.T) {
	cfg := testConfig(t)
	cfg.MaxBytes, cfg.TopicBytes = mib(64), mib(8)
	b := openTest(t, cfg)
	if err := b.EnsureTopics(t.Context(), Topic{Name: "a", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	c := client(t, b, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(200_000))
	value := make([]byte, 100_000)
	// Three times what the whole broker may hold: the janitor must keep up, and refusals must be passing.
	const records = 2000
	for range records {
		c.Produce(testContext(t), &kgo.Record{Topic: "a", Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := c.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := b.clean(time.Now()); err != nil {
		t.Fatal(err)
	}
	if used, _ := usedBytes(cfg.Dir); used > 8<<20+200_000 {
		t.Errorf("the folder holds %d bytes", used)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	info := b.cluster.PartitionInfo("a", 0)
	if info.HighWatermark != records || info.LogStartOffset < records-80 || info.LogStartOffset > records-60 {
		t.Errorf("offsets %d to %d, want about the last 70", info.LogStartOffset, info.HighWatermark)
	}
	if got := len(read(t, b, "a", info.LogStartOffset, records)); int64(got) != records-info.LogStartOffset {
		t.Errorf("%d records can be read", got)
	}
}

// A partition whose records have all grown old keeps its newest, so that its offsets go on, also over a restart and over a stop that was none.
func TestRetentionByAgeKeepsTheOffsets(t *testing.T) {
	cfg := testConfig(t)
	b := openTest(t, cfg)
	if err := b.EnsureTopics(t.Context(), Topic{Name: "a", Partitions: 1}, Topic{Name: "b", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	c := client(t, b)
	produce(t, c, "a", "1", "2", "3")
	// Producers may write any time into their records: a replay of old data must not be removed.
	if err := c.ProduceSync(testContext(t), &kgo.Record{Topic: "b", Value: []byte("x"), Timestamp: time.Unix(1e9, 0)},
		&kgo.Record{Topic: "b", Value: []byte("y"), Timestamp: time.Unix(1e9, 0)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := b.clean(time.Now().Add(6 * 24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, b, "a", 0, 3); fmt.Sprint(got) != "[1 2 3]" {
		t.Errorf("after six days: %v", got)
	}
	if got := read(t, b, "b", 0, 2); fmt.Sprint(got) != "[x y]" {
		t.Errorf("old times: %v", got)
	}
	if err := b.clean(time.Now().Add(8 * 24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if i := b.cluster.PartitionInfo("a", 0); i.LogStartOffset != 2 || i.HighWatermark != 3 {
		t.Errorf("after eight days: %+v", i)
	}
	// A client that deletes everything leaves the newest too.
	var all kadm.Offsets
	all.Add(kadm.Offset{Topic: "b", Partition: 0, At: -1})
	if _, err := kadm.NewClient(c).DeleteRecords(testContext(t), all); err != nil {
		t.Fatal(err)
	}
	if i := b.cluster.PartitionInfo("b", 0); i.LogStartOffset != 1 || i.HighWatermark != 2 {
		t.Errorf("after deleting all: %+v", i)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(cfg.Dir, "clean")); err != nil { // as if killed
		t.Fatal(err)
	}
	b = openTest(t, cfg)
	c = client(t, b)
	produce(t, c, "a", "4")
	produce(t, c, "b", "z")
	if i, j := b.cluster.PartitionInfo("a", 0), b.cluster.PartitionInfo("b", 0); i.HighWatermark != 4 || j.HighWatermark != 3 {
		t.Errorf("offsets went on at %d and %d", i.HighWatermark, j.HighWatermark)
	}
}

// What somebody still needs outlasts its age, and what it takes is told.
func TestKept(t *testing.T) {
	b := openTest(t, testConfig(t))
	if err := b.EnsureTopics(t.Context(), Topic{Name: "a", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	needed := int64(1)
	b.Keep(func(topic string, partition int32) (int64, bool) { return needed, topic == "a" && partition == 0 })
	produce(t, client(t, b), "a", "1", "2", "3")
	later := time.Now().Add(8 * 24 * time.Hour)
	if err := b.clean(later); err != nil {
		t.Fatal(err)
	}
	if i := b.cluster.PartitionInfo("a", 0); i.LogStartOffset != 1 {
		t.Errorf("it begins at %d", i.LogStartOffset)
	}
	if held, bound, ok := b.Room("a", 0, 1); !ok || held < 3 || bound < 1<<20 {
		t.Errorf("%d of %d, %v", held, bound, ok)
	}
	if _, _, ok := b.Room("a", 1, 0); ok {
		t.Error("there is room in no partition")
	}
	needed = 3
	if err := b.clean(later); err != nil {
		t.Fatal(err)
	}
	if i := b.cluster.PartitionInfo("a", 0); i.LogStartOffset != 2 {
		t.Errorf("it begins at %d", i.LogStartOffset)
	}
}

// The measurement counts what came in since, and asks the disk no more often than it should.
func TestSpace(t *testing.T) {
	now, asks, free := time.Unix(0, 0), 0, int64(1000)
	s := space{limit: 500, minFree: 100, look: time.Second, now: func() time.Time { return now }, ask: func() (int64, error) { asks++; return free, nil }}
	check := func(n, arrived int64, fits bool) {
		t.Helper()
		if got := s.room(n, arrived, 100); (got == "") != fits {
			t.Errorf("%d more after %d: %q", n, arrived, got)
		}
	}
	check(400, 0, true)
	check(501, 0, false)
	check(100, 400, true)
	check(101, 400, false)
	s.measured(50, 400)
	check(450, 400, true)
	check(451, 400, false)
	if asks != 1 {
		t.Errorf("asked %d times", asks)
	}
	now, free = now.Add(time.Second), 150
	check(50, 400, true)
	check(51, 400, false)
	now, free = now.Add(time.Second), 1<<40
	check(51, 400, true)
	if asks != 3 {
		t.Errorf("asked %d times", asks)
	}
}

func TestSpaceNeverPassesTheLimit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := space{limit: 10_000, look: time.Hour, now: time.Now, ask: func() (int64, error) { return 1 << 40, nil }}
	var arrived, held int64
	for range 10_000 {
		switch n := r.Int64N(900); {
		case r.IntN(10) == 0: // the janitor comes by
			held = r.Int64N(held + 1)
			s.measured(held, arrived)
		case s.room(n, arrived, 0) == "":
			arrived, held = arrived+n, held+n
		}
		if held > 10_000 {
			t.Fatalf("%d bytes", held)
		}
	}
}
