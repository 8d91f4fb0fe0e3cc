package broker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func entry(data string) []byte {
	body := append([]byte{1, 0}, data...)
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	out = binary.LittleEndian.AppendUint32(out, crc32.Checksum(body, castagnoli))
	return append(out, body...)
}

func TestCutTorn(t *testing.T) {
	whole := append(entry("one"), entry("two and more")...)
	check := func(name string, tail []byte, want int) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(file, append(bytes.Clone(whole), tail...), 0o644); err != nil {
			t.Fatal(err)
		}
		cut, err := cutTorn(file)
		got, _ := os.ReadFile(file)
		if err != nil || int(cut) != len(tail)-want || !bytes.Equal(got[:len(whole)], whole) || len(got) != len(whole)+want {
			t.Errorf("%s: cut %d, %v; %d bytes left", name, cut, err, len(got))
		}
	}
	third := entry("three")
	check("nothing", nil, 0)
	check("a whole entry", third, len(third))
	for n := 1; n < len(third); n++ {
		check(fmt.Sprint("torn after ", n), third[:n], 0)
	}
	bad := bytes.Clone(third)
	bad[len(bad)-1] ^= 1
	check("a wrong checksum", append(bad, third...), 0)
	check("zeros", make([]byte, 100), 0)
	check("a length beyond all", []byte{0xff, 0xff, 0xff, 0xff, 1, 1, 1, 1, 1, 1}, 0)
	if n, err := cutTorn(filepath.Join(t.TempDir(), "none")); n != 0 || err != nil {
		t.Error(n, err)
	}
}

func TestDropTornIndex(t *testing.T) {
	good := make([]byte, indexEntry)
	good[0] = 1
	good[1] = byte(crc32.Checksum(good[2:], castagnoli))
	inTransaction := bytes.Clone(good)
	inTransaction[14] = 1
	inTransaction[1] = byte(crc32.Checksum(inTransaction[2:], castagnoli))
	for name, c := range map[string]struct {
		raw  []byte
		keep bool
	}{
		"empty": {nil, true}, "good": {append(bytes.Clone(good), good...), true}, "torn": {append(bytes.Clone(good), good[:7]...), false},
		"shifted": {append(append(bytes.Clone(good), good[:7]...), append(bytes.Clone(good), good[:8]...)...), false}, "in a transaction": {inTransaction, false},
	} {
		file := filepath.Join(t.TempDir(), "0.idx")
		if err := os.WriteFile(file, c.raw, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := dropTornIndex(file); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(file); (err == nil) != c.keep {
			t.Errorf("%s: kept %v", name, err == nil)
		}
	}
}

// After a kill, a producer's last batches are known again: what it repeats is not doubled, and what comes next is taken.
func TestSequencesAreRebuilt(t *testing.T) {
	cfg := testConfig(t)
	b := openTest(t, cfg)
	ctx := testContext(t)
	if err := b.EnsureTopics(ctx, Topic{Name: "a.b-c", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	c := client(t, b)
	for i := range 7 {
		produce(t, c, "a.b-c", fmt.Sprint(i))
	}
	pid, epoch, err := c.ProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	stop := crash(t, b, cfg)
	defer stop()
	parts, err := partitions(b.cfg.Dir + "/log")
	if err != nil || len(parts) != 1 || parts[0].topic != "a.b-c" || parts[0].num != 0 {
		t.Fatalf("partitions %+v, %v", parts, err)
	}
	// A torn batch at the end counts for nothing.
	segs, err := parts[0].segments()
	if err != nil || len(segs) != 1 {
		t.Fatalf("segments %+v, %v", segs, err)
	}
	raw, _ := os.ReadFile(segs[0].name)
	last := len(raw) / 7 * 6 // the batches are of one size
	torn := bytes.Clone(raw[last:])
	binary.BigEndian.PutUint64(torn, 7)
	torn[len(torn)-1] ^= 1
	if err := os.WriteFile(segs[0].name, append(raw, torn...), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := parts[0].sequences(segs)
	if err != nil || len(got) != 1 {
		t.Fatalf("sequences %+v, %v", got, err)
	}
	want := sequence{PID: pid, Topic: "a.b-c", Part: 0, Count: 5, At: 2, Epoch: epoch, Seen: true, NextSeq: 7,
		Entries: [5]batch{{5, 6, 5}, {6, 7, 6}, {2, 3, 2}, {3, 4, 3}, {4, 5, 4}}}
	if got[0] != want {
		t.Errorf("\n got %+v\nwant %+v", got[0], want)
	}
}

// A producer whose answer was lost in a kill sends the batch again: it gets the old offset and nothing is doubled. A gap is still a fault.
func TestRepeatedBatchAfterCrash(t *testing.T) {
	cfg := testConfig(t)
	b := openTest(t, cfg)
	if err := b.EnsureTopics(t.Context(), Topic{Name: "a", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	pid, _, err := client(t, b).ProducerID(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	send := func(b *Broker, sequence int32) (offset int64, err error) {
		t.Helper()
		req := kmsg.NewPtrProduceRequest()
		req.Acks, req.TimeoutMillis = -1, 1000
		rt := kmsg.NewProduceRequestTopic()
		rt.Topic, rt.TopicID = "a", b.cluster.TopicInfo("a").TopicID
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Records = oneRecord(pid, sequence)
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		resp, err := client(t, b).SeedBrokers()[0].Request(testContext(t), req)
		if err != nil {
			t.Fatal(err)
		}
		p := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		return p.BaseOffset, kerr.ErrorForCode(p.ErrorCode)
	}
	for i := range int32(3) {
		if at, err := send(b, i); at != int64(i) || err != nil {
			t.Fatalf("sequence %d: offset %d, %v", i, at, err)
		}
	}
	stop := crash(t, b, cfg)
	defer stop()
	b2 := openTest(t, cfg)
	if at, err := send(b2, 2); at != 2 || err != nil {
		t.Errorf("the repeated batch: offset %d, %v", at, err)
	}
	if at, err := send(b2, 3); at != 3 || err != nil {
		t.Errorf("the next batch: offset %d, %v", at, err)
	}
	if _, err := send(b2, 5); !errors.Is(err, kerr.OutOfOrderSequenceNumber) {
		t.Errorf("a batch after a gap: %v", err)
	}
	if end := b2.cluster.PartitionInfo("a", 0).HighWatermark; end != 4 {
		t.Errorf("%d records", end)
	}
}

// oneRecord is a batch of one record.
func oneRecord(pid int64, sequence int32) []byte {
	r := kmsg.NewRecord()
	r.Value = []byte("x")
	r.Length = int32(len(r.AppendTo(nil)) - 1)
	rb := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, ProducerID: pid, FirstSequence: sequence, NumRecords: 1, Records: r.AppendTo(nil)}
	raw := rb.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], castagnoli))
	return raw
}

// One producer's client goes through orderly restarts without losing or doubling.
func TestProducerOverRestarts(t *testing.T) {
	cfg := testConfig(t)
	b := openTest(t, cfg)
	cfg.Listen = b.Addr()
	if err := b.EnsureTopics(t.Context(), Topic{Name: "a", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	c := client(t, b, kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }), kgo.MaxBufferedRecords(500))
	const rounds, each = 4, 3000
	for round := range rounds {
		for i := range each {
			c.Produce(testContext(t), &kgo.Record{Topic: "a", Value: fmt.Append(nil, round*each+i)}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = openTest(t, cfg)
	}
	if err := c.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for i, v := range read(t, b, "a", 0, rounds*each) {
		if v != fmt.Sprint(i) {
			t.Fatalf("record %d is %s", i, v)
		}
	}
	if end := b.cluster.PartitionInfo("a", 0).HighWatermark; end != rounds*each {
		t.Errorf("%d records", end)
	}
}
