package replay

import (
	"log/slog"
	"strings"
	"testing"

	"andon/deploy/kafka/brokertest"
)

// Every login and certificate works; what is wrong with one ends the replay at once, with what to do, and no password is told.
func TestSecure(t *testing.T) {
	real := brokertest.Need(t)
	b := openBroker(t, "", "")
	files, rows := fleet()
	sent := 0
	for _, w := range real.Ways() {
		log := &strings.Builder{}
		p, err := New(fleetReplay(), Surroundings{Brokers: []string{w.Addr}, Security: w.Security, Files: files}, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
		if err != nil {
			t.Fatal(err)
		}
		w.Check(t, p.Run(t.Context()), log.String())
		if w.Want == "" {
			sent += rows
		}
	}
	if n := len(readAll(t, b.Addr(), "rows")); n != sent {
		t.Errorf("%d rows were sent, want %d", n, sent)
	}
}
