package ingest

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"andon/deploy/kafka/brokertest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		brokertest.Stop()
		os.Exit(code)
	}))
}

const topic = "fleet"

// group is the group of the test that runs: on Apache Kafka each test has its own, because what one leaves behind lasts there.
var group = "andon.fleet"

// cluster is what a test runs against: an in-process broker of its own, or the one Apache Kafka of the test binary.
type cluster struct {
	t    testing.TB
	fake *kfake.Cluster
	real *brokertest.Broker
}

var groups int

// broker returns a cluster whose topic is new. What opts change can be had in-process only.
func broker(t testing.TB, partitions int32, opts ...kfake.Opt) *cluster {
	t.Helper()
	if brokertest.Wanted() {
		if len(opts) > 0 {
			t.Skip("its broker's settings are for the in-process one")
		}
		c := &cluster{t: t, real: brokertest.Get(t)}
		groups++
		group = fmt.Sprint("andon.fleet-", groups)
		c.real.Topics(t, 0, "made")
		c.real.Topics(t, partitions, topic)
		return c
	}
	opts = append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(partitions, topic), kfake.GroupMinSessionTimeout(100 * time.Millisecond),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0", "group.consumer.heartbeat.interval.ms": "100", "group.consumer.session.timeout.ms": "1000",
			"group.consumer.min.session.timeout.ms": "100", "group.consumer.min.heartbeat.interval.ms": "10"})}, opts...)
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &cluster{t: t, fake: c}
}

// ListenAddrs returns where clients begin.
func (c *cluster) ListenAddrs() []string {
	if c.real != nil {
		return []string{c.real.Addr}
	}
	return c.fake.ListenAddrs()
}

// inProcess returns the broker for tests that look into it or make it misbehave; others skip there.
func (c *cluster) inProcess() *kfake.Cluster {
	c.t.Helper()
	if c.fake == nil {
		c.t.Skip("it makes the broker misbehave, which Apache Kafka does not on request")
	}
	return c.fake
}

// evict throws a member out of the group, which learns of it by its next heartbeat.
func (c *cluster) evict(m *member, balancer string) {
	c.t.Helper()
	id := m.memberID(-1)
	if c.fake != nil {
		c.fake.ControlKey(int16(kmsg.Heartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
			resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
			resp.ErrorCode = kerr.UnknownMemberID.Code
			return resp, nil, true
		})
		c.fake.ControlKey(int16(kmsg.ConsumerGroupHeartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
			resp := req.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
			resp.ErrorCode = kerr.FencedMemberEpoch.Code
			return resp, nil, true
		})
		return
	}
	cl := producer(c.t, c)
	if balancer == BalancerNextGen {
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.MemberEpoch = group, id, -1
		if resp, err := req.RequestWith(c.t.Context(), cl); err != nil || resp.ErrorCode != 0 {
			c.t.Fatalf("evict %s: %v, %+v", id, err, resp)
		}
		return
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	leaving := kmsg.NewLeaveGroupRequestMember()
	leaving.MemberID = id
	req.Members = append(req.Members, leaving)
	if resp, err := req.RequestWith(c.t.Context(), cl); err != nil || resp.ErrorCode != 0 || slices.ContainsFunc(resp.Members, func(m kmsg.LeaveGroupResponseMember) bool { return m.ErrorCode != 0 }) {
		c.t.Fatalf("evict %s: %v, %+v", id, err, resp)
	}
}
