package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"andon/event"
)

// fences is the independent count of what a Fencer made.
type fences struct {
	mu    sync.Mutex
	calls []string
	open  map[int32]int
}

type fence struct {
	f  *fences
	id int32
}

func (f *fence) Close() error {
	f.f.mu.Lock()
	defer f.f.mu.Unlock()
	f.f.open[f.id]--
	return nil
}

func (f *fences) fencer(_ context.Context, topic string, id int32) (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[id]++
	f.calls = append(f.calls, fmt.Sprint("fence ", topic, "/", id))
	return &fence{f, id}, nil
}

func (f *fences) note(call string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
}

// startFenced is start with a Fencer.
func startFenced(t *testing.T, cfg Config, open Open, f Fencer) *member {
	t.Helper()
	return start(t, cfg, testSource(), open, func(in *Intake) { in.FenceBy(f) })
}

// Who had a partition is shut out before the group is asked for the commit; what that took is handed to the handler, and closed when the partition is let go.
func TestFence(t *testing.T) {
	forBalancers(t, func(t *testing.T, change func(Config) Config) {
		c := broker(t, 4)
		p := producer(t, c)
		produce(t, p, 4, 30)
		f := &fences{open: map[int32]int{}}
		if c.fake != nil {
			c.fake.ControlKey(int16(kmsg.OffsetFetch), func(kmsg.Request) (kmsg.Response, error, bool) {
				c.fake.KeepControl()
				f.note("ask")
				return nil, nil, false
			})
		}
		l := newLedger(t)
		open := func(who string) Open {
			inner := l.open(who, nil)
			return func(ctx context.Context, a Assignment) (Handler, int64, error) {
				if x, ok := a.Fence.(*fence); !ok || x.id != a.Partition {
					l.fault("%s: the fence of partition %d is %v", who, a.Partition, a.Fence)
				}
				return inner(ctx, a)
			}
		}
		one := startFenced(t, change(testConfig(c)), open("one"), f.fencer)
		eventually(t, "stored", func() bool { return l.total() == 120 })
		f.mu.Lock()
		if c.fake != nil {
			if first := slices.Index(f.calls, "ask"); first != 4 {
				t.Errorf("the order is %v", f.calls)
			}
		}
		f.mu.Unlock()
		two := startFenced(t, change(testConfig(c)), open("two"), f.fencer)
		two.memberID(2)
		one.memberID(2)
		produce(t, p, 4, 30)
		eventually(t, "stored", func() bool { return l.total() == 240 })
		f.mu.Lock()
		for id, n := range f.open {
			if n != 1 {
				t.Errorf("partition %d has %d open fences", id, n)
			}
		}
		f.mu.Unlock()
		if err := errors.Join(one.stop(), two.stop()); err != nil {
			t.Fatal(err)
		}
		for id, n := range f.open {
			if n != 0 {
				t.Errorf("partition %d has %d open fences at the end", id, n)
			}
		}
		l.check(4, 60)
	})
}

// A Fencer that cannot do its work for good ends the Intake with its words; one that was itself shut out meanwhile is asked again.
func TestFenceFails(t *testing.T) {
	c := broker(t, 1)
	m := startFenced(t, testConfig(c), newLedger(t).open("only", nil), func(context.Context, string, int32) (io.Closer, error) {
		return nil, errors.New("not allowed to")
	})
	if err := m.wait(); !errorHas(err, "shut out who had fleet/0 before: not allowed to") {
		t.Errorf("error is %v", err)
	}
	f, first := &fences{open: map[int32]int{}}, true
	l := newLedger(t)
	m = startFenced(t, testConfig(c), l.open("only", nil), func(ctx context.Context, topic string, id int32) (io.Closer, error) {
		if first {
			first = false
			return nil, fmt.Errorf("an epoch: %w", event.ErrFenced)
		}
		return f.fencer(ctx, topic, id)
	})
	produce(t, producer(t, c), 1, 10)
	eventually(t, "stored", func() bool { return l.total() == 10 })
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
}

// A transaction is tried again when the group has a newer generation, in the name of the member, until there is no hope; and not in the name of one that lost the partition.
func TestTransact(t *testing.T) {
	c := broker(t, 1)
	produce(t, producer(t, c), 1, 10)
	assigned := make(chan Assignment, 9)
	l := newLedger(t)
	cfg := testConfig(c)
	cfg.InstanceID = "plant-7"
	m := start(t, cfg, testSource(), func(ctx context.Context, a Assignment) (Handler, int64, error) {
		select {
		case assigned <- a:
		default:
		}
		return l.open("only", nil)(ctx, a)
	})
	eventually(t, "stored", func() bool { return l.total() == 10 })
	a := <-assigned
	id, generation := m.session.cl.GroupMetadata()
	own := errors.New("the sender's own")
	for _, x := range []struct {
		says error
		want error
		more bool // it is tried more than once
	}{{nil, nil, false}, {own, own, false}, {event.ErrStale, ErrFenced, true}, {event.ErrFenced, ErrFenced, false}, {event.ErrReplaced, errInstance, false}} {
		times := 0
		began := time.Now()
		err := a.Transact(t.Context(), func(ctx context.Context, identity func() (event.Member, error)) error {
			times++
			if got, err := identity(); err != nil || got != (event.Member{ID: id, Instance: "plant-7", Generation: generation}) {
				t.Errorf("identity is %+v, %v", got, err)
			}
			return x.says
		})
		if !errors.Is(err, x.want) || (times > 1) != x.more || time.Since(began) > 5*time.Second {
			t.Errorf("%v: after %d times %v, %v, want %v", x.says, times, time.Since(began), err, x.want)
		}
	}
	times := 0
	if err := a.Transact(t.Context(), func(context.Context, func() (event.Member, error)) error {
		if times++; times < 3 {
			return fmt.Errorf("says: %w", event.ErrUnsettled)
		}
		return nil
	}); err != nil || times != 3 {
		t.Errorf("after %d times: %v", times, err)
	}
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	err := a.Transact(t.Context(), func(_ context.Context, identity func() (event.Member, error)) error {
		_, err := identity()
		return err
	})
	if !errors.Is(err, ErrFenced) {
		t.Errorf("after the end: %v", err)
	}
}
