package kafka

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"andon/deploy/kafka/brokertest"

	"github.com/twmb/franz-go/pkg/kfake"
)

func journalOn(t *testing.T, address, topic string) *Journal {
	t.Helper()
	j, err := openTest(t, address, nil).Journal(topic, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// Every reader gets all events once and in one order: what was there as the past, the rest as it comes.
func TestJournal(t *testing.T) {
	var opts []kfake.Opt
	if !brokertest.Wanted() {
		opts = append(opts, kfake.SeedTopics(1, "models"))
	}
	c := newCluster(t, opts...)
	if c.real != nil {
		c.real.Topics(t, 1, "models")
	}
	address := c.ListenAddrs()[0]
	first := journalOn(t, address, "models")
	if past, err := first.Past(t.Context()); err != nil || len(past) != 0 {
		t.Fatalf("an empty topic holds %q, %v", past, err)
	}
	say := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if err := first.Append(t.Context(), fmt.Sprint("key", i), fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	say(0, 50)
	second := journalOn(t, address, "models")
	past, err := second.Past(t.Context())
	if err != nil || len(past) != 50 {
		t.Fatalf("the past has %d events, %v", len(past), err)
	}
	var mu sync.Mutex
	heard := map[*Journal][]string{second: nil, first: nil}
	for _, e := range past {
		heard[second] = append(heard[second], string(e))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var followers sync.WaitGroup
	idles := 0
	for _, j := range []*Journal{first, second} {
		followers.Go(func() {
			err := j.Follow(ctx, func(e []byte) {
				mu.Lock()
				defer mu.Unlock()
				heard[j] = append(heard[j], string(e))
			}, 50*time.Millisecond, func() {
				mu.Lock()
				defer mu.Unlock()
				idles++
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	say(50, 100)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		done := len(heard[first]) >= 100 && len(heard[second]) >= 100 && idles > 0
		mu.Unlock()
		if done {
			break
		}
	}
	cancel()
	followers.Wait()
	for _, list := range heard {
		if len(list) != 100 {
			t.Fatalf("%d events were heard, want 100", len(list))
		}
		for i, e := range list {
			if e != fmt.Sprint(i) {
				t.Fatalf("event %d is %s", i, e)
			}
		}
	}
	if idles == 0 {
		t.Error("nobody was told that nothing came")
	}
}

func TestJournalWithoutTopic(t *testing.T) {
	c := newCluster(t)
	j := journalOn(t, c.ListenAddrs()[0], "nowhere")
	if _, err := j.Past(t.Context()); err == nil || !strings.Contains(err.Error(), "compacted") {
		t.Errorf("past of no topic: %v", err)
	}
}
