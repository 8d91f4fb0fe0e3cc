package ingest

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"andon/deploy/kafka/brokertest"
)

// These tests need Apache Kafka itself.

// refusedByBroker sends the commit that a zombie would send, past all that guards it on our side.
func refusedByBroker(t *testing.T, zombie, heir *member) {
	t.Helper()
	id, generation := zombie.session.cl.GroupMetadata()
	c := *heir.session.commits
	codes, err := c.request(t.Context(), id, generation, []*commitRequest{{part: &partition{id: 0}, next: 1}})
	if err != nil {
		t.Fatal(err)
	}
	switch e := kerr.ErrorForCode(codes[0]); e {
	case kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.StaleMemberEpoch, kerr.FencedMemberEpoch:
	default:
		t.Errorf("the broker answers %v to a commit of a member it has given up", e)
	}
}

// The network is cut for longer than a session while nobody else is there: the member comes back, and nothing is lost or doubled.
func TestCutOff(t *testing.T) {
	forBalancers(t, func(t *testing.T, change func(Config) Config) {
		proxy := brokertest.Need(t).Proxy(t)
		c := broker(t, 2)
		p := producer(t, c)
		produce(t, p, 2, 100)
		cfg := change(testConfig(c))
		cfg.Brokers = []string{c.real.Proxied}
		l := newLedger(t)
		m := start(t, cfg, testSource(), l.open("only", nil))
		eventually(t, "stored", func() bool { return l.total() == 200 })
		proxy.Freeze()
		produce(t, p, 2, 100)
		time.Sleep(cfg.SessionTimeout + 2*time.Second)
		proxy.Thaw()
		eventually(t, "stored", func() bool { return l.total() == 400 })
		if err := m.stop(); err != nil {
			t.Fatal(err)
		}
		l.check(2, 200)
	})
}

// A static member that was killed comes back when the group has given up its former life.
func TestStaticMemberKilled(t *testing.T) {
	forBalancers(t, func(t *testing.T, change func(Config) Config) {
		proxy := brokertest.Need(t).Proxy(t)
		c := broker(t, 2)
		p := producer(t, c)
		produce(t, p, 2, 100)
		cfg := change(testConfig(c))
		cfg.InstanceID, cfg.DrainTimeout = "plant-7", 100*time.Millisecond
		l := newLedger(t)
		cut := cfg
		cut.Brokers = []string{c.real.Proxied}
		m := start(t, cut, testSource(), l.open("first", nil))
		eventually(t, "stored", func() bool { return l.total() == 200 })
		proxy.Freeze() // what it says at its end is not heard
		if err := m.stop(); err != nil {
			t.Fatal(err)
		}
		produce(t, p, 2, 100)
		m = start(t, cfg, testSource(), l.open("second", nil))
		eventually(t, "stored", func() bool { return l.total() == 400 })
		if err := m.stop(); err != nil {
			t.Fatal(err)
		}
		l.check(2, 200)
	})
}

// Every login and certificate works for topics and for reading; what is wrong with one is said once, with what to do, and no password is told.
func TestSecure(t *testing.T) {
	real := brokertest.Need(t)
	c := broker(t, 1)
	produce(t, producer(t, c), 1, 10)
	for i, w := range real.Ways() {
		cfg := testConfig(c)
		cfg.Brokers, cfg.TLS, cfg.SASL = []string{w.Addr}, w.Security.TLS, w.Security.SASL
		log := &strings.Builder{}
		w.Check(t, EnsureTopics(t.Context(), cfg, []Topic{{Name: "made"}}, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))), log.String())
		l := newLedger(t)
		source := testSource()
		source.Group = fmt.Sprint(group, "-", i)
		m := start(t, cfg, source, l.open("only", nil))
		var err error
		if w.Want == "" {
			eventually(t, "stored by "+w.Name, func() bool { return l.total() == 10 })
			err = m.stop()
			l.check(1, 10)
		} else {
			err = m.wait()
		}
		w.Check(t, err, m.log.String())
	}
}
