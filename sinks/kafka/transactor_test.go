package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"andon/deploy/kafka/brokertest"
	"andon/event"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// alone is in no group: brokers take such commits while the group has no members.
func alone() (event.Member, error) { return event.Member{Generation: -1}, nil }

func transactor(t *testing.T, p *Publisher) *Transactor {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tr, err := p.Transactor(ctx, "andon.loud-"+t.Name(), "in", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return tr
}

// groupAt is the group's commit.
func groupAt(t *testing.T, p *Publisher, tr *Transactor) (int64, string) {
	t.Helper()
	offsets, err := kadm.NewClient(p.client).FetchOffsets(t.Context(), tr.Group)
	if err != nil {
		t.Fatal(err)
	}
	o, ok := offsets.Lookup("in", 1)
	if !ok {
		return -1, ""
	}
	return o.At, o.Metadata
}

// once fails unless a reader of committed records sees what is published of the block once.
func once(t *testing.T, address string, dead, scores int) {
	t.Helper()
	for topic, want := range map[string]int{"andon.deadletter": dead, "andon.scores": scores} {
		got := brokertest.Committed(t, address, topic)
		if len(got) != want || len(offsets(got)) != want {
			t.Errorf("%s: %d committed records of %d offsets, want %d", topic, len(got), len(offsets(got)), want)
		}
	}
}

// inTopic makes the topic of the input, whose offsets are committed.
func inTopic(t *testing.T, c *cluster) {
	t.Helper()
	if c.real != nil {
		c.real.Topics(t, 2, "in")
		return
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopics(t.Context(), 2, 1, nil, "in"); err != nil {
		t.Fatal(err)
	}
}

// What is published and the group's commit are there together.
func TestTransaction(t *testing.T) {
	c := newCluster(t)
	inTopic(t, c)
	p := openTest(t, c.ListenAddrs()[0], nil)
	tr := transactor(t, p)
	for i := range int64(3) {
		b := block("loud", 20, 30)
		for j := range b.DeadLetters {
			b.DeadLetters[j].Offset += i * 50
		}
		for j := range b.Scores {
			b.Scores[j].Offset += i * 50
		}
		b.First, b.Next = b.First+i*50, b.Next+i*50
		if !tr.Publishes(b) {
			t.Error("publishes nothing")
		}
		if err := tr.Publish(t.Context(), b, "note", alone); err != nil {
			t.Fatal(err)
		}
		// Others ask as the line's successor does, which waits until the markers are written.
		if done, err := tr.committed(t.Context(), b.Next, "note"); err != nil || !done {
			t.Errorf("committed is %v, %v", done, err)
		}
	}
	if done, err := tr.committed(t.Context(), 250, "other"); err != nil || done {
		t.Errorf("another note is committed: %v, %v", done, err)
	}
	if at, note := groupAt(t, p, tr); at != 250 || note != "note" {
		t.Errorf("the group is at %d with %q", at, note)
	}
	once(t, c.ListenAddrs()[0], 60, 90)
	if tr.Publishes(block("silent", 0, 4)) {
		t.Error("scores that are not published need no transaction")
	}
}

// Killed between sending and the end: the successor does not wait for the timeout, nothing of it is seen, and the group does not know of it.
func TestTransactionKilled(t *testing.T) {
	c := newCluster(t)
	inTopic(t, c)
	p := openTest(t, c.ListenAddrs()[0], nil)
	dead, b := transactor(t, p), block("loud", 4, 6)
	if err := dead.client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, k := range p.kinds(b) {
		if err := p.send(t.Context(), dead.client, k); err != nil {
			t.Fatal(err)
		}
	}
	if err := dead.commit(t.Context(), b.Next, "of the dead", alone); err != nil {
		t.Fatal(err)
	}
	dead.client.Close()
	began := time.Now()
	heir := transactor(t, p)
	if done, err := heir.committed(t.Context(), b.Next, "of the dead"); err != nil || done {
		t.Fatalf("committed is %v, %v", done, err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the heir waited for %v", took)
	}
	once(t, c.ListenAddrs()[0], 0, 0)
	if err := heir.Publish(t.Context(), b, "of the heir", alone); err != nil {
		t.Fatal(err)
	}
	if done, err := heir.committed(t.Context(), b.Next, "of the heir"); err != nil || !done {
		t.Fatalf("committed is %v, %v", done, err)
	}
	once(t, c.ListenAddrs()[0], 4, 6)
}

// One that was thought dead wakes with a transaction in hand, or without: its successor has shut it out.
func TestTransactionZombie(t *testing.T) {
	for _, inHand := range []bool{false, true} {
		c := newCluster(t)
		inTopic(t, c)
		p := openTest(t, c.ListenAddrs()[0], nil)
		zombie, b := transactor(t, p), block("loud", 4, 6)
		var heir *Transactor
		takeOver := func() (event.Member, error) {
			if heir == nil {
				heir = transactor(t, p)
				if err := heir.Publish(t.Context(), b, "of the heir", alone); err != nil {
					t.Fatal(err)
				}
			}
			return alone()
		}
		if !inHand {
			takeOver()
		}
		if err := zombie.Publish(t.Context(), b, "of the zombie", takeOver); !errors.Is(err, event.ErrFenced) {
			t.Errorf("in hand %v: the zombie's error is %v", inHand, err)
		}
		if done, err := heir.committed(t.Context(), b.Next, "of the heir"); err != nil || !done {
			t.Errorf("in hand %v: committed is %v, %v", inHand, done, err)
		}
		once(t, c.ListenAddrs()[0], 4, 6)
	}
}

// A commit in a generation that is over, or of a member that the group does not know, undoes the transaction; then it may be made again in the right one.
func TestTransactionGeneration(t *testing.T) {
	for _, balancer := range []kgo.Opt{kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.ServerSideBalancer()} {
		c := newCluster(t)
		inTopic(t, c)
		p := openTest(t, c.ListenAddrs()[0], nil)
		tr, b := transactor(t, p), block("loud", 4, 6)
		joined := make(chan bool, 9)
		member, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumerGroup(tr.Group), kgo.ConsumeTopics("in"), kgo.DisableAutoCommit(), balancer,
			kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { joined <- true }), kgo.DisableClientMetrics())
		if err != nil {
			t.Fatal(err)
		}
		<-joined
		said := event.Member{}
		identity := func() (event.Member, error) { return said, nil }
		now := func() event.Member {
			id, generation := member.GroupMetadata()
			return event.Member{ID: id, Generation: generation}
		}
		try := func(m event.Member, want error) {
			t.Helper()
			said = m
			if err := tr.Publish(t.Context(), b, "note", identity); !errors.Is(err, want) {
				t.Errorf("%+v: error is %v, want %v", m, err, want)
			}
			once(t, c.ListenAddrs()[0], 0, 0)
		}
		m := now()
		m.Generation--
		try(m, event.ErrStale)
		try(event.Member{ID: "nobody", Generation: 1}, event.ErrFenced)
		gone := errors.New("identity's own")
		if err := tr.Publish(t.Context(), b, "note", func() (event.Member, error) { return event.Member{}, gone }); !errors.Is(err, gone) {
			t.Errorf("error is %v", err)
		}
		said = now()
		if err := tr.Publish(t.Context(), b, "note", identity); err != nil {
			t.Fatal(err)
		}
		if done, err := tr.committed(t.Context(), b.Next, "note"); err != nil || !done {
			t.Errorf("committed is %v, %v", done, err)
		}
		once(t, c.ListenAddrs()[0], 4, 6)
		member.LeaveGroup()
		member.Close()
		tr.Close()
		if _, err := kadm.NewClient(p.client).DeleteGroup(t.Context(), tr.Group); err != nil {
			t.Error(err)
		}
	}
}

// cutter is a connection that ends when the answer to the end of a transaction is due: before the broker has the request, or after.
type cutter struct {
	net.Conn
	cuts  *atomic.Int64 // left to do
	after bool
	cut   atomic.Bool
}

func (c *cutter) Write(b []byte) (int, error) {
	if len(b) > 6 && int16(binary.BigEndian.Uint16(b[4:])) == int16(kmsg.EndTxn) && c.cuts.Add(-1) >= 0 {
		if c.cut.Store(true); !c.after {
			c.Close()
			return len(b), nil
		}
	}
	return c.Conn.Write(b)
}

func (c *cutter) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.cut.Load() { // the broker has answered
		c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// The end of a transaction that is not answered has come to pass or has not: either way all is out once.
func TestTransactionEndUnanswered(t *testing.T) {
	for _, after := range []bool{false, true} {
		c := newCluster(t)
		inTopic(t, c)
		p := openTest(t, c.ListenAddrs()[0], nil)
		var cuts atomic.Int64
		opts := p.client.Opts()
		cl, err := kgo.NewClient(append(opts[:len(opts):len(opts)], kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RequestRetries(0),
			kgo.Dialer(func(ctx context.Context, network, host string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, host)
				return &cutter{Conn: conn, cuts: &cuts, after: after}, err
			}))...)
		if err != nil {
			t.Fatal(err)
		}
		p.client.Close()
		p.client = cl
		tr, b := transactor(t, p), block("loud", 4, 6)
		log := &strings.Builder{}
		tr.log = slogTo(log)
		cuts.Store(1)
		if err := tr.Publish(t.Context(), b, "note", alone); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log.String(), "was not answered") || strings.Contains(log.String(), "tried again") == after {
			t.Errorf("after %v: the log is %s", after, log)
		}
		if done, err := tr.committed(t.Context(), b.Next, "note"); err != nil || !done {
			t.Errorf("after %v: committed is %v, %v", after, done, err)
		}
		once(t, c.ListenAddrs()[0], 4, 6)
	}
}

// A transaction that the brokers have ended by its timeout cannot be gone on with; who begins anew goes on.
func TestTransactionTimeout(t *testing.T) {
	c := newCluster(t)
	c.inProcess() // Apache Kafka looks every 10 s
	inTopic(t, c)
	p := openTest(t, c.ListenAddrs()[0], nil)
	p.cfg.TransactionTimeout = 200 * time.Millisecond
	tr, b := transactor(t, p), block("loud", 4, 6)
	slow := func() (event.Member, error) {
		time.Sleep(2 * time.Second)
		return alone()
	}
	if err := tr.Publish(t.Context(), b, "note", slow); !errors.Is(err, event.ErrFenced) {
		t.Errorf("error is %v", err)
	}
	once(t, c.ListenAddrs()[0], 0, 0)
	tr.Close()
	if err := transactor(t, p).Publish(t.Context(), b, "note", alone); err != nil {
		t.Fatal(err)
	}
	once(t, c.ListenAddrs()[0], 4, 6)
}

// Older brokers are told that the group takes part before its offsets are committed; those with KIP-890's second part need not be.
func TestTransactionAddsOffsets(t *testing.T) {
	for want, versions := range map[int64]*kversion.Versions{2: kversion.V3_5_0(), 0: kversion.Stable()} {
		c := newCluster(t, kfake.MaxVersions(versions))
		inTopic(t, c)
		p := openTest(t, c.ListenAddrs()[0], nil)
		var added atomic.Int64
		c.inProcess().ControlKey(int16(kmsg.AddOffsetsToTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.inProcess().KeepControl()
			added.Add(1)
			return nil, nil, false
		})
		tr := transactor(t, p)
		for i := range int64(2) {
			b := block("loud", 1, 1)
			b.DeadLetters[0].Offset, b.Scores[0].Offset = 10*i, 10*i+1
			if err := tr.Publish(t.Context(), b, "note", alone); err != nil {
				t.Fatal(err)
			}
		}
		if added.Load() != want {
			t.Errorf("told %d times, want %d", added.Load(), want)
		}
		once(t, c.ListenAddrs()[0], 2, 2)
		if done, err := tr.committed(t.Context(), 102, "note"); err != nil || !done {
			t.Errorf("want %d: committed is %v, %v", want, done, err)
		}
	}
}

// All producers together hold no more than MaxInFlight.
func TestTransactionsShareRoom(t *testing.T) {
	c := newCluster(t)
	inTopic(t, c)
	p := openTest(t, c.ListenAddrs()[0], nil)
	tr := transactor(t, p)
	if err := p.room.Acquire(t.Context(), int64(p.cfg.MaxInFlight)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- tr.Publish(t.Context(), block("loud", 5, 5), "note", alone) }()
	select {
	case err := <-done:
		t.Fatalf("published without room: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	p.room.Release(int64(p.cfg.MaxInFlight))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !p.room.TryAcquire(int64(p.cfg.MaxInFlight)) {
		t.Error("room was not given back")
	}
}

// What cannot be published is an error that says what to do, and leaves nothing open.
func TestTransactionRefused(t *testing.T) {
	c := newCluster(t)
	inTopic(t, c)
	p := openTest(t, c.ListenAddrs()[0], nil)
	p.outputs = func(string) Outputs { return Outputs{Scores: "nobody.made.this"} }
	tr := transactor(t, p)
	err := tr.Publish(t.Context(), block("loud", 3, 3), "note", alone)
	if err == nil || !errors.Is(err, kerr.UnknownTopicOrPartition) && !strings.Contains(err.Error(), "create it") {
		t.Errorf("error is %v", err)
	}
	if tr.open {
		t.Error("the transaction is open")
	}
	if n := len(brokertest.Committed(t, c.ListenAddrs()[0], "andon.deadletter")); n != 0 {
		t.Errorf("%d dead letters of a transaction that failed", n)
	}
}

// Whatever is published says what it came of, and where it is of a window, which: a record may complete several. By this a reader can drop doubles.
func TestEachRecordNamesItsSource(t *testing.T) {
	p := &Publisher{cfg: Default(), metrics: newMetrics(nil), outputs: func(string) Outputs {
		return Outputs{Scores: "andon.scores", Features: "andon.features", Readings: "andon.readings", Form: Form{Asset: "asset", Time: "time", TimeUnit: "rfc3339"}}
	}}
	b := block("loud", 2, 2)
	for i := range b.Scores { // both windows were completed by one record
		b.Scores[i].Offset, b.Scores[i].Asset, b.Scores[i].End = 103, "a", int64(i+1)*1e9
	}
	b.Features.Names = []string{"flow_mean"}
	for i := range 2 {
		copy(b.Features.Append("a", 0, int64(i+1)*1e9, 103), []float64{1})
		b.Readings.Append(&event.Row{Asset: "a", Time: int64(i), Offset: 102 + int64(i)}, event.StatusOK)
	}
	ends := map[string]bool{"scores": true, "windows' values": true}
	kinds := p.kinds(b)
	if len(kinds) != 4 {
		t.Fatalf("%d kinds", len(kinds))
	}
	for _, k := range kinds {
		seen := map[string]bool{}
		for i := range k.n {
			text := headers(k.record(i))
			for _, want := range []string{"andon.pipeline=loud\n", "andon.topic=in\n", "andon.partition=1\n", "andon.offset=10"} {
				if !strings.Contains(text, want) {
					t.Errorf("a record of %s lacks %q: %s", k.what, want, text)
				}
			}
			if strings.Contains(text, "andon.end=") != ends[k.what] {
				t.Errorf("a record of %s: %s", k.what, text)
			}
			if seen[text] {
				t.Errorf("two records of %s look like doubles: %s", k.what, text)
			}
			seen[text] = true
		}
		if k.n != 2 {
			t.Errorf("%d records of %s", k.n, k.what)
		}
	}
}
