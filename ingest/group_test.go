package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"andon/event"
)

// forBalancers runs a test with both protocols of group membership.
func forBalancers(t *testing.T, f func(t *testing.T, change func(Config) Config)) {
	for _, b := range []string{BalancerCooperative, BalancerNextGen} {
		t.Run("balancer="+b, func(t *testing.T) {
			f(t, func(c Config) Config { c.Balancer = b; return c })
		})
	}
}

// Members come and go while records flow: none is stored twice, none is left out.
func TestRebalance(t *testing.T) {
	forBalancers(t, func(t *testing.T, change func(Config) Config) {
		const partitions, rounds, each = 6, 12, 40
		c := broker(t, partitions)
		p := producer(t, c)
		l := newLedger(t)
		rng := seeded()
		slow := func(k *keeper) {
			k.handle = func(context.Context, *event.Batch) error {
				time.Sleep(time.Millisecond)
				return nil
			}
		}
		cfg := change(testConfig(c))
		cfg.BatchRecords = 7
		members := []*member{start(t, cfg, testSource(), l.open("0", slow))}
		for round := range rounds {
			produce(t, p, partitions, each)
			if len(members) > 1 && rng.IntN(2) == 0 {
				i := rng.IntN(len(members))
				if err := members[i].stop(); err != nil {
					t.Fatal(err)
				}
				members = append(members[:i], members[i+1:]...)
			} else {
				members = append(members, start(t, cfg, testSource(), l.open(fmt.Sprint(round+1), slow)))
			}
			time.Sleep(time.Duration(rng.IntN(150)) * time.Millisecond)
		}
		eventually(t, "all stored", func() bool { return l.total() == partitions*rounds*each })
		for _, m := range members {
			if err := m.stop(); err != nil {
				t.Fatal(err)
			}
		}
		l.check(partitions, rounds*each)
		for p := range int32(partitions) {
			if l.opened[p] == rounds {
				t.Errorf("partition %d moved in each round: the balancer is not sticky", p)
			}
		}
	})
}

// forge answers the heartbeats of one member as if all were well, so that it does not learn that the group has given it up.
func forge(c *cluster, member string) {
	c.inProcess().ControlKey(int16(kmsg.Heartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.inProcess().KeepControl()
		if r := req.(*kmsg.HeartbeatRequest); r.MemberID == member {
			return r.ResponseKind(), nil, true
		}
		return nil, nil, false
	})
	c.inProcess().ControlKey(int16(kmsg.ConsumerGroupHeartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.inProcess().KeepControl()
		if r := req.(*kmsg.ConsumerGroupHeartbeatRequest); r.MemberID == member && r.MemberEpoch > 0 {
			resp := r.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
			resp.MemberID, resp.MemberEpoch, resp.HeartbeatIntervalMillis = &r.MemberID, r.MemberEpoch, 100
			return resp, nil, true
		}
		return nil, nil, false
	})
}

// memberID waits until the Intake is in the group with n partitions, or in the group at all if n is negative.
func (m *member) memberID(n int) (id string) {
	m.t.Helper()
	eventually(m.t, "assigned", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.session == nil {
			return false
		}
		id, _ = m.session.cl.GroupMetadata()
		return n < 0 && id != "" || len(m.session.assigned()) == n
	})
	return id
}

// A member that the group has given up, and that does not know it, cannot commit: the new owner's place stays as it is.
func TestZombie(t *testing.T) {
	forBalancers(t, func(t *testing.T, change func(Config) Config) {
		c := broker(t, 1)
		p := producer(t, c)
		produce(t, p, 1, 100)
		l := newLedger(t)
		inHand, goOn := make(chan bool, 1), make(chan bool)
		var refused atomic.Int64
		var once atomic.Bool
		cfg, goesOn := change(testConfig(c)), func() {}
		var silence func(*member)
		if c.real != nil {
			proxy := c.real.Proxy(t)
			cfg.Brokers = []string{c.real.Proxied}
			silence, goesOn = func(*member) { proxy.Freeze() }, proxy.Thaw
		} else {
			silence = func(m *member) { forge(c, m.memberID(1)) }
		}
		zombie := start(t, cfg, testSource(), func(ctx context.Context, a Assignment) (Handler, int64, error) {
			commit := a.Commit
			a.Commit = func(ctx context.Context, next int64, note string) error {
				err := commit(ctx, next, note)
				if errors.Is(err, ErrFenced) {
					refused.Add(1)
				}
				return err
			}
			return l.open("zombie", func(k *keeper) {
				k.handle = func(context.Context, *event.Batch) error {
					if once.CompareAndSwap(false, true) {
						inHand <- true
						<-goOn
					}
					return nil
				}
			})(ctx, a)
		})
		zombie.memberID(1)
		<-inHand
		silence(zombie)
		heir := start(t, change(testConfig(c)), testSource(), l.open("heir", nil))
		eventually(t, "the heir stored all", func() bool { return l.total() == 100 })
		produce(t, p, 1, 10)
		eventually(t, "the heir stored all", func() bool { return l.total() == 110 })
		if c.real != nil {
			refusedByBroker(t, zombie, heir)
		}
		close(goOn) // the zombie now wants to commit 100
		goesOn()
		eventually(t, "the zombie is refused", func() bool { return refused.Load() > 0 })
		produce(t, p, 1, 10)
		eventually(t, "all stored", func() bool { return l.total() == 120 })
		for _, m := range []*member{zombie, heir} {
			if err := m.stop(); err != nil {
				t.Fatal(err)
			}
		}
		l.check(1, 120)
	})
}

// A zombie that was thrown out, and whose client has joined again under a new name while a commit was waiting, is fenced by ourselves: the broker would take it.
func TestCommitOfFormerMember(t *testing.T) {
	c := broker(t, 1)
	produce(t, producer(t, c), 1, 10)
	l := newLedger(t)
	m := start(t, testConfig(c), testSource(), l.open("only", nil))
	m.memberID(1)
	eventually(t, "stored", func() bool { return l.total() == 10 })
	s := m.Intake.session
	former := &partition{id: 0, member: "someone-else"}
	if err := s.commits.commit(t.Context(), former, 3, ""); !errors.Is(err, ErrFenced) {
		t.Fatalf("commit as another member: %v", err)
	}
	gone := &partition{id: 0, member: s.assigned()[0].member}
	gone.gone.Store(true)
	if err := s.commits.commit(t.Context(), gone, 3, ""); !errors.Is(err, ErrFenced) {
		t.Fatalf("commit of a partition that is gone: %v", err)
	}
}

// A lost partition is dropped: its context ends, nothing is flushed, and it is opened again from the last commit.
func TestLost(t *testing.T) {
	forBalancers(t, func(t *testing.T, change func(Config) Config) {
		c := broker(t, 2)
		produce(t, producer(t, c), 2, 100)
		l := newLedger(t)
		inHand := make(chan bool, 2)
		var cut, opened atomic.Int64
		m := start(t, change(testConfig(c)), testSource(), l.open("only", func(k *keeper) {
			if opened.Add(1) > 2 {
				return // the second life works
			}
			k.handle = func(ctx context.Context, _ *event.Batch) error {
				inHand <- true
				<-ctx.Done()
				cut.Add(1)
				return fmt.Errorf("write: %w", ctx.Err())
			}
		}))
		<-inHand
		<-inHand
		c.evict(m, change(testConfig(c)).Balancer)
		eventually(t, "read again", func() bool { return l.total() == 200 })
		if err := m.stop(); err != nil {
			t.Fatal(err)
		}
		if cut.Load() != 2 {
			t.Errorf("%d handlers were cut off, want 2", cut.Load())
		}
		l.check(2, 100)
		if m.metric("andon_ingest_rebalances_total") < 6 { // 2 assigned, 2 lost, 2 assigned
			t.Error("rebalances were not counted")
		}
	})
}

// A handler that does not finish in time does not hold up the group for ever, and what it held is left to the next owner.
func TestRevokeDeadline(t *testing.T) {
	c := broker(t, 2)
	produce(t, producer(t, c), 2, 50)
	l := newLedger(t)
	cfg := testConfig(c)
	cfg.RebalanceTimeout, cfg.DrainTimeout = 400*time.Millisecond, 100*time.Millisecond
	hung := start(t, cfg, testSource(), l.open("hung", func(k *keeper) {
		k.handle = func(ctx context.Context, _ *event.Batch) error {
			<-ctx.Done()
			return ctx.Err()
		}
	}))
	hung.memberID(2)
	good := start(t, cfg, testSource(), l.open("good", nil))
	eventually(t, "the other member has one partition's records", func() bool { return l.total() == 50 })
	for _, m := range []*member{hung, good} {
		if err := m.stop(); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range l.faults {
		t.Error(f)
	}
}

// A static member that is killed and started again has its partitions back without waiting for the dead one's session.
func TestStaticMember(t *testing.T) {
	forBalancers(t, func(t *testing.T, change func(Config) Config) {
		c := broker(t, 2)
		p := producer(t, c)
		produce(t, p, 2, 100)
		cfg := change(testConfig(c))
		cfg.InstanceID, cfg.SessionTimeout = "plant-7", 20*time.Second
		l := newLedger(t)
		m := start(t, cfg, testSource(), l.open("first", nil))
		eventually(t, "stored", func() bool { return l.total() == 200 })
		if err := m.stop(); err != nil {
			t.Fatal(err)
		}
		produce(t, p, 2, 100)
		began := time.Now()
		m = start(t, cfg, testSource(), l.open("second", nil))
		eventually(t, "stored", func() bool { return l.total() == 400 })
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("it took %s: the old member's session was waited for", took)
		}
		if err := m.stop(); err != nil {
			t.Fatal(err)
		}
		l.check(2, 200)
	})
}

// A second process with the same instance_id takes over, and the first ends with an error that says why.
func TestInstanceTaken(t *testing.T) {
	c := broker(t, 1)
	p := producer(t, c)
	cfg := testConfig(c)
	cfg.InstanceID = "plant-7"
	l := newLedger(t)
	first := start(t, cfg, testSource(), l.open("first", nil))
	first.memberID(1)
	start(t, cfg, testSource(), l.open("second", nil)).memberID(1)
	produce(t, p, 1, 10)
	if err := first.wait(); err == nil || !errors.Is(err, errInstance) && !errorHas(err, "instance_id") {
		t.Fatalf("run: %v", err)
	}
	eventually(t, "stored", func() bool { return l.total() == 10 })
	l.check(1, 10)
}

// Commits of many partitions at once share requests.
func TestCommitsShareRequests(t *testing.T) {
	const partitions, commits = 16, 30
	c := broker(t, partitions)
	var requests atomic.Int64
	c.inProcess().ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.inProcess().KeepControl()
		requests.Add(1)
		c.inProcess().SleepControl(func() { time.Sleep(2 * time.Millisecond) })
		return nil, nil, false
	})
	var done atomic.Int64
	start(t, testConfig(c), testSource(), func(_ context.Context, a Assignment) (Handler, int64, error) {
		k := &keeper{l: newLedger(t), a: a, every: time.Hour}
		k.handle = func(ctx context.Context, b *event.Batch) error {
			for i := range commits {
				if err := a.Commit(ctx, b.First, fmt.Sprint(i)); err != nil {
					return err
				}
				done.Add(1)
			}
			return nil
		}
		return k, 0, nil
	})
	produce(t, producer(t, c), partitions, 1)
	eventually(t, "committed", func() bool { return done.Load() == partitions*commits })
	if n := requests.Load(); n > partitions*commits/3 {
		t.Errorf("%d requests for %d commits", n, partitions*commits)
	}
}

// The brokers are gone for longer than a session: the Intake holds on, and nothing is lost or doubled.
func TestBrokerOutage(t *testing.T) {
	dir := t.TempDir()
	opts := []kfake.Opt{kfake.DataDir(dir), kfake.Ports(freePort(t))}
	c := broker(t, 2, opts...)
	p := producer(t, c)
	produce(t, p, 2, 100)
	l := newLedger(t)
	m := start(t, testConfig(c), testSource(), l.open("only", nil))
	eventually(t, "stored", func() bool { return l.total() == 200 })
	c.inProcess().Close()
	time.Sleep(1500 * time.Millisecond)
	c = broker(t, 2, opts...)
	produce(t, producer(t, c, kgo.MetadataMinAge(50*time.Millisecond)), 2, 100)
	eventually(t, "stored", func() bool { return l.total() == 400 })
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	l.check(2, 200)
}

// The end of the program does not hang on brokers that are gone.
func TestStopWithoutBroker(t *testing.T) {
	c := broker(t, 1)
	produce(t, producer(t, c), 1, 10)
	cfg := testConfig(c)
	cfg.DrainTimeout = 200 * time.Millisecond
	l := newLedger(t)
	m := start(t, cfg, testSource(), l.open("only", func(k *keeper) { k.every = time.Hour }))
	eventually(t, "handled", func() bool { return m.metric("andon_ingest_records_total") == 10 })
	c.inProcess().Close()
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	if l.total() != 0 {
		t.Error("stored without a commit")
	}
}

// A broker's refusal that will not pass ends the Intake with what to do.
func TestReadRefused(t *testing.T) {
	c := broker(t, 1)
	m := start(t, testConfig(c), testSource(), newLedger(t).open("only", nil))
	m.memberID(1)
	c.inProcess().ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.inProcess().KeepControl()
		r := req.(*kmsg.FetchRequest)
		resp := r.ResponseKind().(*kmsg.FetchResponse)
		for _, t := range r.Topics {
			rt := kmsg.NewFetchResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				rp := kmsg.NewFetchResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, kerr.TopicAuthorizationFailed.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, len(r.Topics) > 0
	})
	produce(t, producer(t, c), 1, 1)
	if err := m.wait(); !errorHas(err, "read fleet/0: TOPIC_AUTHORIZATION_FAILED") || !errorHas(err, "let this user read the topic") {
		t.Fatalf("run: %v", err)
	}
}

// The group forgets a member just when it joins again: it comes back under another name, perhaps with the same partitions, and the client calls that no loss. Others
// may have had them in between, so all is begun again from the commits.
func TestForgottenWhileJoining(t *testing.T) {
	c := broker(t, 4)
	p := producer(t, c)
	produce(t, p, 4, 100)
	l := newLedger(t)
	var holding atomic.Bool
	holding.Store(true)
	first := start(t, testConfig(c), testSource(), l.open("first", func(k *keeper) {
		if holding.Load() {
			k.every = time.Hour // its rows are not stored when the group forgets it
		}
	}))
	id := first.memberID(4)
	eventually(t, "handled", func() bool { return first.metric("andon_ingest_records_total") == 400 })
	holding.Store(false)
	var forgotten atomic.Bool
	c.inProcess().ControlKey(int16(kmsg.JoinGroup), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.inProcess().KeepControl()
		r := req.(*kmsg.JoinGroupRequest)
		if r.MemberID != id || !forgotten.CompareAndSwap(false, true) {
			return nil, nil, false
		}
		resp := r.ResponseKind().(*kmsg.JoinGroupResponse)
		resp.ErrorCode = kerr.UnknownMemberID.Code
		return resp, nil, true
	})
	second := start(t, testConfig(c), testSource(), l.open("second", nil))
	produce(t, p, 4, 100)
	eventually(t, "all stored", func() bool { return l.total() == 800 })
	for _, m := range []*member{first, second} {
		if err := m.stop(); err != nil {
			t.Fatal(err)
		}
	}
	if !forgotten.Load() {
		t.Error("the first member did not join again")
	}
	l.check(4, 200)
}
