package brokertest

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Topics makes topics anew, empty, and waits until the broker knows them by their new identity: tests share the broker. Without partitions they are removed only.
func (b *Broker) Topics(t testing.TB, partitions int32, names ...string) {
	t.Helper()
	// The client keeps answers as long as this age.
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.MetadataMinAge(20*time.Millisecond), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm, ctx := kadm.NewClient(cl), t.Context()
	if _, err := adm.DeleteTopics(ctx, names...); err != nil {
		t.Fatal(err)
	}
	if partitions == 0 {
		return
	}
	made, err := adm.CreateTopics(ctx, partitions, 1, nil, names...)
	if err == nil {
		err = made.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	known := func() bool {
		meta, err := adm.Metadata(ctx, names...)
		if err != nil {
			return false
		}
		for _, name := range names {
			topic := meta.Topics[name]
			if topic.ID != made[name].ID || len(topic.Partitions) != int(partitions) {
				return false
			}
			for _, p := range topic.Partitions {
				if p.Err != nil || p.Leader < 0 {
					return false
				}
			}
		}
		return true
	}
	for range 600 {
		if known() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the broker does not know the topics %v after half a minute", names)
}
