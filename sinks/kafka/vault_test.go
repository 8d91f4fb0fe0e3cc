package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"andon/deploy/kafka/brokertest"
	"andon/event"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// vaultOn opens a vault in the topic state of a new cluster, with 3 partitions.
func vaultOn(t *testing.T, most event.Bytes) (*Vault, *kadm.Client) {
	t.Helper()
	var opts []kfake.Opt
	if !brokertest.Wanted() {
		opts = append(opts, kfake.SeedTopics(3, "state"))
	}
	c := newCluster(t, opts...)
	if c.real != nil {
		c.real.Topics(t, 3, "state")
	}
	address := c.ListenAddrs()[0]
	v, err := openTest(t, address, nil).Vault("state", most, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	cl, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return v, kadm.NewClient(cl)
}

func noise(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	return data
}

// What is saved is loaded again, in whatever number of parts, and while others save beside it into the same partition.
func TestVault(t *testing.T) {
	v, _ := vaultOn(t, 16<<20)
	var wg sync.WaitGroup
	for i, size := range []int{0, 1, statePart - 1, statePart, statePart + 1, 5*statePart + 77} {
		wg.Go(func() {
			data := noise(uint64(i), size)
			ref, err := v.Save(t.Context(), fmt.Sprint("p/t/", i), 3*int32(i)+1, data)
			if err != nil {
				t.Error(err)
				return
			}
			if !regexp.MustCompile(`^1@\d+-\d+/\d/[0-9a-f]{32}$`).MatchString(ref) {
				t.Errorf("%d bytes are at %q", size, ref)
			}
			got, err := v.Load(t.Context(), ref)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes at %s: loaded %d, %v", size, ref, len(got), err)
			}
		})
	}
	wg.Wait()
	if _, err := v.Save(t.Context(), "p/t/0", 0, make([]byte, 16<<20+1)); err == nil || !strings.Contains(err.Error(), "state has room for") {
		t.Errorf("too much: %v", err)
	}
}

// What is not there as it was saved is an error, not other bytes.
func TestVaultLoses(t *testing.T) {
	v, adm := vaultOn(t, 16<<20)
	save := func(seed uint64) string {
		t.Helper()
		ref, err := v.Save(t.Context(), "p/t/0", 0, noise(seed, 3*statePart))
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	first, second := save(1), save(2)
	if !strings.HasPrefix(first, "0@0-2/3/") || !strings.HasPrefix(second, "0@3-5/3/") {
		t.Fatalf("saved at %s and %s", first, second)
	}
	refused := func(ref, message string) {
		t.Helper()
		if data, err := v.Load(t.Context(), ref); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%s: loaded %d bytes, %v; want %q", ref, len(data), err, message)
		}
	}
	for _, ref := range []string{"", "x", "0@5-3/3/" + strings.Repeat("a", 32), "0@0-2/4/" + strings.Repeat("a", 32), "0@0-2/3/a", "-1@0-2/3/" + strings.Repeat("a", 32)} {
		refused(ref, "that is no place in a topic")
	}
	refused("0@0-2/3/"+second[len(second)-32:], "only 0 of 3 parts are left")
	refused("0@9-11/3/"+second[len(second)-32:], "now holds the offsets from 0 to 6")
	refused("7@0-2/3/"+second[len(second)-32:], "there is no partition 7")
	forged := &kgo.Record{Topic: "state", Partition: 0, Value: []byte("other bytes"),
		Headers: []kgo.RecordHeader{{Key: HeaderState, Value: []byte(strings.Repeat("a", 32) + "/0/1")}}}
	if err := v.client.ProduceSync(t.Context(), forged).FirstErr(); err != nil {
		t.Fatal(err)
	}
	refused(fmt.Sprintf("0@%d-%d/1/%s", forged.Offset, forged.Offset, strings.Repeat("a", 32)), "its bytes have changed")

	at := kadm.Offsets{}
	at.AddOffset("state", 0, 1, -1)
	if _, err := adm.DeleteRecords(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	refused(first, "now holds the offsets from 1 to 7")
	if _, err := v.Load(t.Context(), second); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := v.Load(ctx, second); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := adm.DeleteTopic(t.Context(), "state"); err != nil {
		t.Fatal(err)
	}
	refused(second, "load 0@3-5/3/")
	if _, err := v.Save(t.Context(), "p/t/0", 0, nil); err == nil {
		t.Error("saved in a topic that is not there")
	}
}
