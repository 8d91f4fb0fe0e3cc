package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"andon/event"
)

type moody struct{ down atomic.Bool }

func (m *moody) Query(context.Context, string, int) (*event.Table, error) {
	if m.down.Load() {
		return nil, errors.New("connection refused")
	}
	return &event.Table{}, nil
}

// A board is ready only while ClickHouse answers.
func TestReadyFollowsClickHouse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board, store := &statusBoard{cfg: &Config{}}, &moody{}
		if err := board.ready(); err == nil {
			t.Error("ready before it was up")
		}
		board.set("clickhouse", true, "127.0.0.1:9000")
		board.where(addresses{Console: "127.0.0.1:8080", Kafka: "127.0.0.1:9092", ClickHouseNative: "127.0.0.1:9000"})
		board.up.Store(true)
		if at := board.status().Addresses; at["console"] != "127.0.0.1:8080" || at["clickhouse_native"] != "127.0.0.1:9000" {
			t.Errorf("addresses %v", at)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- watchStore(ctx, store, board, "127.0.0.1:9000") }()
		for _, down := range []bool{false, true, false} {
			store.down.Store(down)
			time.Sleep(5 * time.Second)
			if err := board.ready(); (err != nil) != down || down && !strings.Contains(err.Error(), "clickhouse: connection refused") {
				t.Errorf("down %v: %v", down, err)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
