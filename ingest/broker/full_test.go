package broker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"
)

// When the disk is nearly full, records are refused with an error that says so and that clients retry; with room again, they are taken.
func TestRefusesAndResumes(t *testing.T) {
	var free atomic.Int64
	free.Store(1 << 40)
	cfg := testConfig(t)
	b, err := open(cfg, quiet(), nil, func(string) (int64, error) { return free.Load(), nil })
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	b.space.look = 0
	ctx := testContext(t)
	if err := b.EnsureTopics(ctx, Topic{Name: "a", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	c := client(t, b, kgo.RetryBackoffFn(func(int) time.Duration { return time.Millisecond }))
	produce(t, c, "a", "1")
	free.Store(int64(cfg.MinFree) - 1)

	impatient := client(t, b, kgo.RecordRetries(2), kgo.DisableIdempotentWrite(), kgo.RetryBackoffFn(func(int) time.Duration { return 0 }))
	err = impatient.ProduceSync(ctx, &kgo.Record{Topic: "a", Value: []byte("x")}).FirstErr()
	if !errors.Is(err, kerr.KafkaStorageError) || !kerr.IsRetriable(err) {
		t.Errorf("error is %v", err)
	}
	careless := client(t, b, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	careless.Produce(ctx, &kgo.Record{Topic: "a", Value: []byte("y")}, nil) // must not hang the broker
	if err := careless.Flush(ctx); err != nil {
		t.Error(err)
	}

	// Commits still work, until the disk is fuller.
	adm := kadm.NewClient(client(t, b, kgo.RequestRetries(0)))
	var o kadm.Offsets
	o.Add(kadm.Offset{Topic: "a", Partition: 0, At: 1, LeaderEpoch: -1})
	if err := adm.CommitAllOffsets(ctx, "g", o); err != nil {
		t.Errorf("commit: %v", err)
	}
	free.Store(int64(cfg.MinFree)/4 - 1)
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = "g"
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic = "a"
	rt.Partitions = append(rt.Partitions, kmsg.NewOffsetCommitRequestTopicPartition())
	req.Topics = append(req.Topics, rt)
	req.Version = 3
	resp, err := b.onCommit(req)
	if err != nil || resp.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode != kerr.CoordinatorNotAvailable.Code {
		t.Errorf("commit on a full disk: %v, %v", resp, err)
	}

	// A patient producer waits, and goes on.
	waiting := make(chan error, 1)
	c.Produce(ctx, &kgo.Record{Topic: "a", Value: []byte("2")}, func(_ *kgo.Record, err error) { waiting <- err })
	refusals := func() float64 { return valueOf(t, b.metrics.refused.WithLabelValues(refusedSpace)) }
	for before := refusals(); refusals() < before+3; {
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-waiting:
		t.Fatalf("taken on a full disk: %v", err)
	default:
	}
	free.Store(1 << 40)
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	if got := read(t, b, "a", 0, 2); strings.Join(got, "") != "12" {
		t.Errorf("records %q", got)
	}
}

// The same on a real file system that is full, over a kill: nothing acknowledged is lost.
func TestFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=48m"); err != nil {
		t.Skip("needs root to mount a small file system:", err)
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	cfg := testConfig(t)
	cfg.Dir, cfg.MinFree, cfg.MaxBytes, cfg.TopicBytes = filepath.Join(dir, "broker"), mib(8), mib(512), mib(256)
	b := openTest(t, cfg)
	if err := b.EnsureTopics(t.Context(), Topic{Name: "a", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	// Another program fills the rest, but for 4 MiB more than min_free.
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 36<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	c := client(t, b, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RetryBackoffFn(func(int) time.Duration { return 5 * time.Millisecond }),
		kgo.ProducerBatchMaxBytes(200_000), kgo.MaxBufferedRecords(200))
	var acked atomic.Int64
	const records = 150 // 15 MB
	for range records {
		c.Produce(testContext(t), &kgo.Record{Topic: "a", Value: make([]byte, 100_000)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
			acked.Add(1)
		})
	}
	for !b.refusing.Load() {
		time.Sleep(time.Millisecond)
	}
	if n := acked.Load(); n == 0 || n == records {
		t.Errorf("%d acknowledged on the full disk", n)
	}
	if free, err := freeBytes(dir); err != nil || free < 7<<20 {
		t.Errorf("%d bytes are free, %v", free, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if n := acked.Load(); n != records {
		t.Errorf("%d of %d acknowledged", n, records)
	}
	if got := len(read(t, b, "a", 0, records)); got != records {
		t.Errorf("%d records can be read", got)
	}
}

// An append that failed half-way is cut off while the broker runs: the entries after it must count.
func TestTornCommitIsCutOff(t *testing.T) {
	cfg := testConfig(t)
	b := openTest(t, cfg)
	ctx := testContext(t)
	if err := b.EnsureTopics(ctx, Topic{Name: "a", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	adm := kadm.NewClient(client(t, b))
	commit := func(at int64) {
		t.Helper()
		var o kadm.Offsets
		o.Add(kadm.Offset{Topic: "a", Partition: 0, At: at, LeaderEpoch: -1})
		if err := adm.CommitAllOffsets(ctx, "g", o); err != nil {
			t.Fatal(err)
		}
	}
	commit(1)
	name := filepath.Join(b.logDir(), "groups.log")
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte{40, 0, 0, 0, 1, 2, 3, 4, 1, 0, '{'}); err != nil {
		t.Fatal(err)
	}
	f.Close()
	ears{quiet(), b.logDir(), &b.unsaved}.Logf(2, "persist group entry write: %v", context.Canceled)
	commit(2)
	stop := crash(t, b, cfg)
	defer stop()
	b2 := openTest(t, cfg)
	got, err := kadm.NewClient(client(t, b2)).FetchOffsets(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	if at, _ := got.Lookup("a", 0); at.At != 2 {
		t.Errorf("commit is %+v", at)
	}
}

// crash moves the files of a running broker to where the next Open finds them, as a kill leaves them, and returns what stops the old one.
func crash(t *testing.T, b *Broker, cfg Config) func() {
	t.Helper()
	grave := cfg.Dir + ".running"
	if err := os.Rename(cfg.Dir, grave); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(cfg.Dir, os.DirFS(grave)); err != nil {
		t.Fatal(err)
	}
	return func() { b.Close(); os.RemoveAll(grave) }
}
