package kafka

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"andon/deploy/kafka/brokertest"
	"andon/event"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func resenderOn(t *testing.T, partitions int32, topics ...string) (*Resender, *cluster) {
	t.Helper()
	var opts []kfake.Opt
	if !brokertest.Wanted() {
		opts = append(opts, kfake.SeedTopics(partitions, topics...))
	}
	c := newCluster(t, opts...)
	if c.real != nil {
		c.real.Topics(t, partitions, topics...)
	}
	r, err := openTest(t, c.ListenAddrs()[0], nil).Resender()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, c
}

func deadRecord(topic string, partition int32, offset int64, key, value []byte, headers ...event.Header) Letter {
	return Letter{Record: event.Record{Position: event.Position{Topic: topic, Partition: partition, Offset: offset}, Time: 1577836800123_000_000, Key: key, Value: value, Headers: headers},
		Pipelines: []string{"p"}, To: topic}
}

// What is sent again is what it was: every byte, what is absent, headers in their order, the timestamp, the partition.
func TestResendKeepsARecord(t *testing.T) {
	r, c := resenderOn(t, 3, "plant")
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	letters := []Letter{
		deadRecord("plant", 2, 10, every, every, event.Header{Key: "a", Value: every}, event.Header{Key: "a", Value: []byte{}}, event.Header{Key: "a", Value: every}),
		deadRecord("plant", 2, 11, nil, nil),
		deadRecord("plant", 2, 12, []byte{}, []byte{}),
		deadRecord("plant", 2, 13, []byte("k"), []byte("v"), event.Header{Key: HeaderReplayed, Value: []byte("plant/2@1 p")}, event.Header{Key: HeaderTopic, Value: []byte("source")}),
		deadRecord("plant", 2, 14, []byte("k"), []byte("v"), event.Header{Key: "mine"}, event.Header{Key: HeaderReason, Value: []byte("late")}, event.Header{Key: HeaderTopic, Value: []byte("plant")}),
	}
	out := r.Resend(t.Context(), letters)
	got := readAll(t, c.ListenAddrs()[0], "plant")
	if len(got) != len(letters) {
		t.Fatalf("%d records, %+v", len(got), out)
	}
	for i, rec := range got {
		l := &letters[i]
		if out[i].Err != nil || out[i].At != (event.Position{Topic: "plant", Partition: 2, Offset: int64(i)}) || rec.Partition != 2 {
			t.Errorf("%d: %+v in partition %d", i, out[i], rec.Partition)
		}
		if (rec.Key == nil) != (l.Key == nil) || (rec.Value == nil) != (l.Value == nil) || !bytes.Equal(rec.Key, l.Key) || !bytes.Equal(rec.Value, l.Value) || rec.Timestamp.UnixNano() != l.Time {
			t.Errorf("%d: %v is not %v", i, rec, l.Record)
		}
	}
	want := []string{
		fmt.Sprintf("a=%s\na=\na=%s\nandon.replayed-from=plant/2@10 p\n", every, every),
		"andon.replayed-from=plant/2@11 p\n",
		"andon.replayed-from=plant/2@12 p\n",
		"andon.topic=source\nandon.replayed-from=plant/2@13 p\n",
		"mine=\nandon.replayed-from=plant/2@14 p\n",
	}
	for i, rec := range got {
		if h := headers(rec); h != want[i] {
			t.Errorf("%d: headers %q, want %q", i, h, want[i])
		}
	}
}

// In another topic a key decides as Kafka's producers do, and the order of a partition stays.
func TestResendElsewhere(t *testing.T) {
	r, c := resenderOn(t, 3, "plant", "repaired")
	var letters []Letter
	for i := range int64(300) {
		l := deadRecord("plant", int32(i%7), i, nil, fmt.Append(nil, i))
		if i%2 == 0 {
			l.Key = fmt.Append(nil, "asset-", i%10)
		}
		l.To = "repaired"
		letters = append(letters, l)
	}
	out := r.Resend(t.Context(), letters)
	last := map[int32]int64{}
	keys := map[string]int32{}
	for i, o := range out {
		if o.Err != nil || o.At.Topic != "repaired" {
			t.Fatalf("%d: %+v", i, o)
		}
		if l := letters[i]; l.Key != nil {
			if p, ok := keys[string(l.Key)]; ok && p != o.At.Partition {
				t.Errorf("%s is in the partitions %d and %d", l.Key, p, o.At.Partition)
			}
			keys[string(l.Key)] = o.At.Partition
		} else if l.Partition < 3 && o.At.Partition != l.Partition {
			t.Errorf("without a key, %v went to %v", l.Position, o.At)
		}
		if before, ok := last[o.At.Partition]; ok && o.At.Offset <= before {
			t.Errorf("%v came after offset %d", o.At, before)
		}
		last[o.At.Partition] = o.At.Offset
	}
	if n := len(readAll(t, c.ListenAddrs()[0], "repaired")); n != 300 || len(last) != 3 {
		t.Errorf("%d records in %d partitions", n, len(last))
	}
}

// A letter that the brokers refuse is told, and the others are sent; one that gets no answer is in doubt.
func TestResendFails(t *testing.T) {
	r, c := resenderOn(t, 1, "plant")
	nowhere := deadRecord("plant", 0, 1, nil, []byte("v"))
	nowhere.To = "nowhere"
	big := deadRecord("plant", 0, 2, nil, bytes.Repeat([]byte{'x'}, 8<<20)) // alone in its batch: what is beside it is not refused with it
	for i := range big.Value {
		big.Value[i] = byte(i * i >> 3) // does not compress to nothing
	}
	out := r.Resend(t.Context(), []Letter{deadRecord("plant", 0, 0, nil, []byte("a")), nowhere, big, deadRecord("plant", 0, 3, nil, []byte("b"))})
	if out[0].Err != nil || out[3].Err != nil || out[3].At.Topic != "plant" {
		t.Errorf("%+v", out)
	}
	if out[1].Err == nil || out[1].Doubt || !strings.Contains(out[1].Err.Error(), "topic nowhere does not exist") {
		t.Errorf("no topic: %+v", out[1])
	}
	if out[2].Err != nil && (out[2].Doubt || !strings.Contains(out[2].Err.Error(), "max.message.bytes")) {
		t.Errorf("too large: %+v", out[2].Err)
	}

	hold := make(chan struct{})
	c.inProcess().ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		<-hold
		return nil, nil, false
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	out = r.Resend(ctx, []Letter{deadRecord("plant", 0, 4, nil, []byte("c"))})
	close(hold)
	if !out[0].Doubt || out[0].Err == nil {
		t.Errorf("without an answer: %+v", out[0])
	}
	if out = r.Resend(ctx, []Letter{deadRecord("plant", 0, 5, nil, []byte("d"))}); out[0].Err == nil || out[0].Doubt {
		t.Errorf("after the end: %+v", out[0])
	}
}
