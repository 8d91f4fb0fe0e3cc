package uplink

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"andon/deploy/kafka/brokertest"
)

// central is an empty cluster for a test: topics and the site's groups of earlier ones are gone.
func central(t *testing.T) *brokertest.Broker {
	t.Helper()
	real := brokertest.Need(t)
	real.Topics(t, 0, to, "edge.evidence")
	return real
}

func site(t *testing.T) string {
	return strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")) + fmt.Sprint("-", rand.IntN(1e6))
}

// Records of several partitions go up, through a restart and in the other order of starting; what is sent meanwhile waits.
func TestKafkaUp(t *testing.T) {
	real, l := central(t), newLocal(t, 3)
	cfg, deps := testConfig(real.Addr, site(t)), Deps{Brokers: []string{l.addr}, Dir: t.TempDir()}
	l.send(t, 3, 500)
	u, stop := running(t, cfg, deps)
	await(t, "the first", 30*time.Second, l.up(u))
	l.send(t, 3, 100)
	await(t, "what came meanwhile", 30*time.Second, l.up(u))
	stop()
	l.send(t, 3, 100)
	u, _ = running(t, cfg, deps)
	await(t, "what came while it was off", 30*time.Second, l.up(u))
	l.arrived(t, real.Addr, cfg.Site)
	for _, p := range l.clean(t, cfg) {
		if p.Records != 700 || p.Position != 700 || p.First != 0 || p.Last != 699 || p.Waiting != 0 {
			t.Errorf("%+v", *p)
		}
	}
	if s := u.Status(); s.State != stateUp || s.Waiting != 0 || s.Lost != 0 || len(s.Routes) != 3 {
		t.Errorf("%+v", s)
	}
}

// An uplink is killed again and again in the middle of the flow.
func TestKafkaKilled(t *testing.T) {
	real, l := central(t), newLocal(t, 3)
	cfg, dir := testConfig(real.Addr, site(t)), t.TempDir()
	begin := func() *exec.Cmd {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), "ANDON_TEST_UPLINK=1", "ANDON_TEST_LOCAL="+l.addr, "ANDON_TEST_CENTRAL="+real.Addr, "ANDON_TEST_SITE="+cfg.Site, "ANDON_TEST_DIR="+dir)
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	const kills = 6
	c := begin()
	for range kills {
		for range 15 {
			l.send(t, 3, 40)
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
		c = begin()
	}
	l.send(t, 3, 40)
	time.Sleep(100 * time.Millisecond)
	_ = c.Process.Kill()
	_ = c.Wait()
	u, _ := running(t, cfg, Deps{Brokers: []string{l.addr}, Dir: dir})
	await(t, "all of it", 60*time.Second, l.up(u))
	l.arrived(t, real.Addr, cfg.Site)
	l.clean(t, cfg)
}

// The central broker is killed and comes back, twice.
func TestKafkaCentralKilled(t *testing.T) {
	real, l := central(t), newLocal(t, 2)
	cfg := testConfig(real.Addr, site(t))
	u, _ := running(t, cfg, Deps{Brokers: []string{l.addr}})
	for round := range 2 {
		for range 10 {
			l.send(t, 2, 30)
			time.Sleep(20 * time.Millisecond)
		}
		if round == 0 {
			await(t, "the first", 30*time.Second, l.up(u))
		}
		real.Kill()
		for range 10 {
			l.send(t, 2, 30)
			time.Sleep(20 * time.Millisecond)
		}
		await(t, "the outage", 30*time.Second, func() bool { return u.Status().State == stateAway })
		real.Revive(t)
	}
	await(t, "all of it", 60*time.Second, l.up(u))
	l.arrived(t, real.Addr, cfg.Site)
	l.clean(t, cfg)
}

// The line to the cluster is cut, and is a black hole for longer than a transaction may take.
func TestKafkaLineCut(t *testing.T) {
	real, l := central(t), newLocal(t, 2)
	proxy := real.Proxy(t)
	cfg := testConfig(real.Proxied, site(t))
	cfg.TransactionTimeout = 5 * time.Second
	u, _ := running(t, cfg, Deps{Brokers: []string{l.addr}})
	send := func(n int) {
		for range n {
			l.send(t, 2, 25)
			time.Sleep(20 * time.Millisecond)
		}
	}
	send(10)
	for range 3 {
		proxy.Cut()
		send(10)
		proxy.Mend()
		send(20)
	}
	proxy.Freeze()
	send(10)
	time.Sleep(7 * time.Second)
	proxy.Thaw()
	send(10)
	await(t, "all of it", 60*time.Second, l.up(u))
	l.arrived(t, real.Addr, cfg.Site)
	l.clean(t, cfg)
}

// A second appliance takes the site over while the first is cut off, and the first comes back: it can end nothing of what it had begun, and one of the two goes on.
func TestKafkaZombie(t *testing.T) {
	real, l := central(t), newLocal(t, 2)
	proxy := real.Proxy(t)
	name := site(t)
	l.send(t, 2, 100)
	zombie, stop := running(t, testConfig(real.Proxied, name), Deps{Brokers: []string{l.addr}})
	await(t, "the first", 30*time.Second, l.up(zombie))
	for range 20 {
		l.send(t, 2, 10)
		time.Sleep(10 * time.Millisecond)
	}
	proxy.Freeze() // likely in the middle of a transaction
	l.send(t, 2, 50)
	cfg := testConfig(real.Addr, name)
	heir, _ := running(t, cfg, Deps{Brokers: []string{l.addr}})
	await(t, "the heir's", 30*time.Second, l.up(heir))
	proxy.Thaw()
	for range 50 {
		l.send(t, 2, 10)
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	await(t, "all of it", 60*time.Second, func() bool {
		for _, p := range auditOf(t, l, cfg) {
			if p.Waiting > 0 {
				return false
			}
		}
		return true
	})
	l.arrived(t, real.Addr, name)
	l.clean(t, cfg)
}

func auditOf(t *testing.T, l *local, cfg Config) []*Part {
	t.Helper()
	parts, err := Audit(t.Context(), cfg, Deps{Brokers: []string{l.addr}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

// A topic that the cluster lacks is told by name, and found once it is made; fewer partitions than here are no matter.
func TestKafkaTopicMissing(t *testing.T) {
	real, l := central(t), newLocal(t, 3)
	cfg := testConfig(real.Addr, site(t))
	cfg.CreateTopics = false
	l.send(t, 3, 50)
	u, _ := running(t, cfg, Deps{Brokers: []string{l.addr}})
	const want = "the central cluster has no topic edge.line.scores: make it, or set uplink.create_topics: true"
	await(t, "the word of it", 20*time.Second, func() bool {
		s := u.Status()
		return len(s.Routes) == 3 && s.Routes[0].Error == want && s.Waiting == 150
	})
	real.Topics(t, 1, to)
	await(t, "all of it", 30*time.Second, l.up(u))
	l.arrived(t, real.Addr, cfg.Site)
	l.clean(t, cfg)
}

// What the broker says to commits of a topic, or of a partition, that it does not have: why a position is kept under partition 0 of the topic that is written to.
func TestKafkaCommitsNeedTheirPartition(t *testing.T) {
	real := central(t)
	real.Topics(t, 2, to)
	for _, at := range []struct {
		topic     string
		partition int32
		want      error
	}{{to, 0, nil}, {to, 1, nil}, {to, 2, kerr.UnknownTopicOrPartition}, {from, 0, kerr.UnknownTopicOrPartition}} {
		id := site(t)
		c, err := kgo.NewClient(kgo.SeedBrokers(real.Addr), kgo.TransactionalID(id))
		if err != nil {
			t.Fatal(err)
		}
		pid, epoch, err := c.ProducerID(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		req := kmsg.NewPtrTxnOffsetCommitRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group, req.Generation = id, pid, epoch, id, -1
		part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		part.Partition, part.Offset = at.partition, 7
		topic := kmsg.NewTxnOffsetCommitRequestTopic()
		topic.Topic, topic.Partitions = at.topic, append(topic.Partitions, part)
		req.Topics = append(req.Topics, topic)
		resp, err := req.RequestWith(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if got := kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode); got != at.want {
			t.Errorf("%s/%d: %v, want %v", at.topic, at.partition, got, at.want)
		}
		c.Close()
	}
}

// The cluster has forgotten the position, as it does a week after the last commit: the records that are there tell. That holds for a mark that is behind them, too.
func TestKafkaForgotten(t *testing.T) {
	real, l := central(t), newLocal(t, 2)
	cfg, dir := testConfig(real.Addr, site(t)), t.TempDir()
	l.send(t, 2, 100)
	u, stop := running(t, cfg, Deps{Brokers: []string{l.addr}, Dir: dir})
	await(t, "the first", 30*time.Second, l.up(u))
	stop()
	marks, err := os.ReadFile(dir + "/marks.json")
	if err != nil {
		t.Fatal(err)
	}
	l.send(t, 2, 100)
	u, stop = running(t, cfg, Deps{Brokers: []string{l.addr}, Dir: dir})
	await(t, "the second", 30*time.Second, l.up(u))
	stop()
	if err := os.WriteFile(dir+"/marks.json", marks, 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(real.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	adm := kadm.NewClient(c)
	for p := range int32(2) {
		if _, err := adm.DeleteGroup(t.Context(), cfg.place(from, to, p).Group); err != nil {
			t.Fatal(err)
		}
	}
	l.send(t, 2, 100)
	u, _ = running(t, cfg, Deps{Brokers: []string{l.addr}, Dir: dir})
	await(t, "the third", 30*time.Second, l.up(u))
	l.arrived(t, real.Addr, cfg.Site)
	l.clean(t, cfg)
}

// A position is renewed although nothing is sent, at a start and from time to time, and what comes then goes on from there.
func TestKafkaRenewed(t *testing.T) {
	real, l := central(t), newLocal(t, 1)
	cfg, deps := testConfig(real.Addr, site(t)), Deps{Brokers: []string{l.addr}, Dir: t.TempDir()}
	l.send(t, 1, 10)
	u, stop := running(t, cfg, deps)
	await(t, "the first", 30*time.Second, l.up(u))
	stop()
	u, stop = running(t, cfg, deps)
	renewed := func() float64 { return testutil.ToFloat64(u.metrics.transactions.WithLabelValues("renewed")) }
	await(t, "the renewal at the start", 30*time.Second, func() bool { return renewed() == 1 })
	l.send(t, 1, 10)
	await(t, "the second", 30*time.Second, l.up(u))
	stop()
	u, err := New(cfg, deps, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	u.renewAfter = 100 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { _ = u.Run(ctx); close(done) }()
	await(t, "two renewals", 30*time.Second, func() bool { return renewed() >= 2 })
	l.send(t, 1, 10)
	await(t, "the third", 30*time.Second, l.up(u))
	cancel()
	<-done
	l.arrived(t, real.Addr, cfg.Site)
	l.clean(t, cfg)
}

// The site's disk is new, so that its log begins anew: all of that is sent, and told apart from the old.
func TestKafkaNewLog(t *testing.T) {
	real, old := central(t), newLocal(t, 1)
	cfg := testConfig(real.Addr, site(t))
	old.send(t, 1, 200)
	u, stop := running(t, cfg, Deps{Brokers: []string{old.addr}})
	await(t, "the old log", 30*time.Second, old.up(u))
	stop()
	l := newLocal(t, 1)
	l.send(t, 1, 120)
	u, _ = running(t, cfg, Deps{Brokers: []string{l.addr}})
	await(t, "the new log", 30*time.Second, l.up(u))
	parts := l.clean(t, cfg)
	if len(parts) != 2 || parts[0].Records+parts[1].Records != 320 || parts[0].Old == parts[1].Old {
		t.Errorf("%+v", parts)
	}
}

// A record that the topic does not take goes up without its value, and those around it as they are.
func TestKafkaRefusedRecord(t *testing.T) {
	real, l := central(t), newLocal(t, 1)
	real.Topics(t, 1, to)
	c, err := kgo.NewClient(kgo.SeedBrokers(real.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	small := "20000"
	if _, err := kadm.NewClient(c).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &small}}, to); err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 40000)
	for i := range noise {
		noise[i] = byte(rand.IntN(256))
	}
	cfg := testConfig(real.Addr, site(t))
	l.send(t, 1, 20)
	if err := l.client.ProduceSync(t.Context(), &kgo.Record{Key: []byte("large"), Value: noise}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	l.sent[0]++
	l.send(t, 1, 20)
	u, _ := running(t, cfg, Deps{Brokers: []string{l.addr}})
	await(t, "all of it", 60*time.Second, l.up(u))
	n, stubs := 0, 0
	for _, r := range brokertest.Committed(t, real.Addr, to) {
		n++
		if why := header(r, HeaderRefused); why != "" {
			stubs++
			if header(r, HeaderOffset) != "20" || len(r.Value) != 0 || header(r, HeaderCut) != "40000" || !strings.Contains(why, "MESSAGE_TOO_LARGE") || string(r.Key) != "large" {
				t.Errorf("the stub is %q %v", r.Key, r.Headers)
			}
		}
	}
	if n != 41 || stubs != 1 {
		t.Errorf("%d records, %d without their value", n, stubs)
	}
	if parts := l.clean(t, cfg); parts[0].Refused != 1 {
		t.Errorf("%+v", parts[0])
	}
}
