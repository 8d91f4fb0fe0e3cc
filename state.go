package main

import (
	"context"
	"log/slog"

	"andon/event"
	"andon/ingest"
	"andon/ingest/broker"
	"andon/sinks/kafka"
)

// Room for state on the embedded broker. Each partition of a pipeline has a partition of the topic to itself, so that the bound in bytes, the only one, lets go of
// its own old snapshots and never of one that a quiet partition still needs.
const (
	// 16 MiB for each of eight partitions: snapshots of 5 MiB, which is 1,400 assets with windows of 30 x 29.
	stateBytes = 128 << 20
	// The demo's five, and some to grow: the number stays as it was first made.
	statePartitions = 8
	// A third: the one in use, one that a crash kept out of the commit, one being written.
	stateShare = 3
	// On a cluster memory is the bound: a start has the bytes of one partition's at a time.
	stateMost = 256 << 20
)

// stateTopic returns the topic's partitions and bytes, and what a snapshot may take of them.
func (c *Config) stateTopic() (partitions int, bytes, most event.Bytes) {
	need := 1 // the drift panel's
	for i := range c.Pipelines {
		need += c.partitions(i)
	}
	partitions = max(statePartitions, need)
	bytes = max(stateBytes, event.Bytes(partitions)*4<<20)
	if !c.embeddedBroker() {
		return partitions, bytes, stateMost
	}
	return partitions, bytes, bytes / event.Bytes(partitions) / stateShare
}

// partitions returns how many a pipeline's topic is made with.
func (c *Config) partitions(pipeline int) int {
	if n := c.Pipelines[pipeline].Partitions; n > 0 {
		return n
	}
	return c.Broker.Partitions
}

// ensureState makes the topic of states: bounded by bytes only on the embedded broker, which does not compact, and compacted on a cluster. An appliance
// that has no room for it works without snapshots.
func ensureState(ctx context.Context, cfg *Config, bus *broker.Broker, at ingest.Config, log *slog.Logger) {
	if cfg.Snapshot.Records == 0 {
		return
	}
	n, bytes, _ := cfg.stateTopic()
	var err error
	if bus != nil {
		err = bus.EnsureTopics(ctx, broker.Topic{Name: cfg.Topics.State, Partitions: n, Bytes: bytes, Retention: -1})
	} else if at.CreateTopics {
		err = ingest.EnsureTopics(ctx, at, []ingest.Topic{{Name: cfg.Topics.State, Partitions: int32(n), Compact: true}}, log)
	}
	if err != nil {
		log.Error("no snapshots of state can be kept: a restart reads back further, and needs the log to hold that", "topic", cfg.Topics.State, "error", err)
	}
}

// shelf is a pipeline's part of the vault: its partitions begin at base.
type shelf struct {
	*kafka.Vault
	base int32
}

func (s shelf) Save(ctx context.Context, key string, partition int32, data []byte) (string, error) {
	return s.Vault.Save(ctx, key, s.base+partition, data)
}
