package ingest

import (
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"andon/ingest/dial"
)

// connection returns the options that any client needs to reach the brokers; it reads the files that the config names.
func connection(c Config, log *slog.Logger) ([]kgo.Opt, error) {
	if len(c.Brokers) == 0 {
		return nil, fmt.Errorf("kafka.brokers: is empty: name a broker")
	}
	return dial.Options(c.Brokers, c.ClientID, dial.Security{TLS: c.TLS, SASL: c.SASL}, log)
}

// consumer returns the options of one pipeline's group member; it joins when it is given a topic.
func consumer(c Config, group string, sizer *fetchSizer) []kgo.Opt {
	fetch, part := sizer.sizes()
	opts := []kgo.Opt{
		kgo.ConsumerGroup(group),
		kgo.DisableAutoCommit(),
		// Polls and rebalances take turns, so that records of a partition that was just given up cannot reach its next handler.
		kgo.BlockRebalanceOnPoll(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// A transaction's marker takes an offset: seen, it can be accounted for.
		kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(fetch), kgo.FetchMaxPartitionBytes(part), kgo.FetchMaxWait(c.FetchWait), kgo.WithHooks(sizer),
		kgo.SessionTimeout(c.SessionTimeout), kgo.HeartbeatInterval(c.Heartbeat), kgo.RebalanceTimeout(c.RebalanceTimeout),
		kgo.WithPools(&recordPool{}, &bytePool{}),
	}
	if c.Balancer == BalancerNextGen {
		// The client asks the brokers to balance where they can, and falls back to its own sticky balancer where not.
		opts = append(opts, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	} else {
		opts = append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	}
	if c.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(c.InstanceID))
	}
	return opts
}
