package main

import (
	"testing"

	"andon/event"
)

// The topic of states has a partition for each of the pipelines' partitions, and each of these has room for three snapshots.
func TestConfigStateTopic(t *testing.T) {
	check := func(brokers []string, wantPartitions int, wantBytes, wantMost event.Bytes, pipelines ...int) {
		t.Helper()
		c := defaultConfig()
		c.Kafka.Brokers = brokers
		for _, n := range pipelines {
			c.Pipelines = append(c.Pipelines, Pipeline{Partitions: n})
		}
		n, bytes, most := c.stateTopic()
		if n != wantPartitions || bytes != wantBytes || most != wantMost {
			t.Errorf("pipelines of %d: %d partitions, %v, %v; want %d, %v, %v", pipelines, n, bytes, most, wantPartitions, wantBytes, wantMost)
		}
	}
	check(nil, 8, 128<<20, (16<<20)/3)
	check(nil, 8, 128<<20, (16<<20)/3, 4, 1)
	check(nil, 9, 128<<20, (128<<20)/9/3, 0, 4) // and one for the drift panel
	check(nil, 17, 128<<20, (128<<20)/17/3, 12, 0)
	check(nil, 101, 404<<20, (4<<20)/3, 100)
	check([]string{"k:9092"}, 8, 128<<20, 256<<20, 4)
}
