package kafka

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"andon/deploy/kafka/brokertest"
)

// Every login and certificate works; what is wrong with one ends Publish, with what to do, and no password is told.
func TestSecure(t *testing.T) {
	real := brokertest.Need(t)
	c := newCluster(t)
	sent := 0
	for _, w := range real.Ways() {
		if w.Hangup {
			continue // the intake tells: to a publisher it is a broker that may come back
		}
		log := &strings.Builder{}
		cfg := Default()
		cfg.Seeds, cfg.Security = []string{w.Addr}, w.Security
		p, err := Open(cfg, nil, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err = p.Publish(ctx, block("x", 3, 0))
		cancel()
		p.client.Close()
		w.Check(t, err, log.String())
		if w.Want == "" {
			sent += 3
		}
	}
	if n := len(readAll(t, c.ListenAddrs()[0], "andon.deadletter")); n != sent {
		t.Errorf("%d dead letters, want %d", n, sent)
	}
}
