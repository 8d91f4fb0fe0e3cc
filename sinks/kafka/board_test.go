package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"

	"andon/deploy/kafka/brokertest"
)

func boardTopics(t *testing.T) BoardTopics {
	name := strings.ToLower(t.Name())
	return BoardTopics{name + ".jobs", name + ".events", name + ".files"}
}

// boardCluster is a broker with a board's topics.
func boardCluster(t *testing.T) (address string, topics BoardTopics) {
	t.Helper()
	topics = boardTopics(t)
	names := []string{topics.Jobs, topics.Events, topics.Files}
	var opts []kfake.Opt
	if !brokertest.Wanted() {
		opts = append(opts, kfake.SeedTopics(1, names...))
	}
	c := newCluster(t, opts...)
	if c.real != nil {
		c.real.Topics(t, 1, names...)
	}
	return c.ListenAddrs()[0], topics
}

func boardOn(t *testing.T, address string, topics BoardTopics) *Board {
	t.Helper()
	b, err := openTest(t, address, nil).Board(t.Context(), topics, 4<<20, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// Whoever is idle gets the next job, however many are busy; each goes to one, what was not accepted stays, and what waits is the group's lag.
func TestBoardQueue(t *testing.T) {
	address, topics := boardCluster(t)
	submitter := boardOn(t, address, topics)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	const jobs = 6
	for i := range jobs {
		if err := submitter.Post(ctx, fmt.Sprint("job", i), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	lag := func() int64 {
		t.Helper()
		adm := kadm.NewClient(submitter.publisher.client)
		lags, err := adm.Lag(ctx, boardGroup)
		if err != nil {
			t.Fatal(err)
		}
		d := lags[boardGroup]
		if d.FetchErr != nil {
			t.Fatal(d.FetchErr)
		}
		return d.Lag.TotalByTopic()[topics.Jobs].Lag
	}
	// One that is refused comes again.
	sorry := errors.New("not now")
	first := boardOn(t, address, topics)
	if err := first.Take(ctx, func([]byte) error { return sorry }); !errors.Is(err, sorry) {
		t.Fatalf("a refused job: %v", err)
	}
	take := func(b *Board) string {
		t.Helper()
		got := ""
		if err := b.Take(ctx, func(order []byte) error { got = string(order); return nil }); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := take(first); got != "0" {
		t.Errorf("the first gets %q", got)
	}
	// The first is busy now, for ever. The second gets the next, from the same partition.
	second := boardOn(t, address, topics)
	if got := take(second); got != "1" {
		t.Errorf("the second gets %q", got)
	}
	if n := lag(); n != jobs-2 {
		t.Errorf("%d jobs wait", n)
	}
	var mu sync.Mutex
	var all []string
	var both sync.WaitGroup
	for _, b := range []*Board{first, second} {
		both.Go(func() {
			for range 2 {
				if err := b.Take(ctx, func(order []byte) error {
					mu.Lock()
					defer mu.Unlock()
					all = append(all, string(order))
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	both.Wait()
	// A group that is rebalanced between an accept and its commit may give a job to two; never to none.
	slices.Sort(all)
	if got := slices.Compact(all); !slices.Equal(got, []string{"2", "3", "4", "5"}) {
		t.Errorf("taken are %q", all)
	}
	if n := lag(); n != 0 {
		t.Errorf("%d jobs wait in the end", n)
	}
	short, end := context.WithCancel(ctx)
	time.AfterFunc(time.Millisecond, end)
	if err := first.Take(short, func([]byte) error { return errors.New("there is none") }); !errors.Is(err, context.Canceled) {
		t.Errorf("of an empty queue: %v", err)
	}
}

// All hear what is said from when they came, in one order; files come back whole.
func TestBoardTalk(t *testing.T) {
	address, topics := boardCluster(t)
	early := boardOn(t, address, topics)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	say := func(words ...string) {
		t.Helper()
		for _, w := range words {
			if err := early.Tell(ctx, "job", []byte(w)); err != nil {
				t.Fatal(err)
			}
		}
	}
	say("a", "b")
	late := boardOn(t, address, topics)
	say("c", "d")
	hear := func(b *Board, want ...string) {
		t.Helper()
		listening, deaf := context.WithCancel(ctx)
		defer deaf()
		var heard []string
		err := b.Hear(listening, func(word []byte) {
			if heard = append(heard, string(word)); len(heard) == len(want) {
				deaf()
			}
		})
		if err != nil || !slices.Equal(heard, want) {
			t.Errorf("heard %q, %v; want %q", heard, err, want)
		}
	}
	hear(early, "a", "b", "c", "d")
	hear(late, "c", "d")
	file := bytes.Repeat([]byte("onnx"), 400_000)
	place, err := early.Save(ctx, "job", file)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := late.Load(ctx, place); err != nil || !bytes.Equal(got, file) {
		t.Errorf("%d bytes of %d, %v", len(got), len(file), err)
	}
	if _, err := openTest(t, address, nil).Board(ctx, BoardTopics{Jobs: "x", Events: "nowhere", Files: "x"}, 1, quiet()); err == nil || !strings.Contains(err.Error(), "create it") {
		t.Errorf("without a topic: %v", err)
	}
}
