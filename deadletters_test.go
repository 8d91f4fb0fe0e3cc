package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"andon/console"
	"andon/event"
	"andon/sinks/clickhouse"
	"andon/sinks/kafka"
)

// recall is a store and a broker that remember what they were told, and can fail, or let another replay in.
type recall struct {
	heads   []clickhouse.LetterHead
	choice  clickhouse.Letters
	after   *event.Position
	said    []string
	sent    []string
	gone    map[int64]bool
	outcome map[int64]kafka.Outcome
	rival   map[int64]bool // another run that says that it sends them, at the same time
	down    error
	forget  bool // what became of the letters cannot be written
}

func (m *recall) Now(context.Context) (int64, error) { return 4242, nil }
func (m *recall) LetterCounts(context.Context, clickhouse.Letters) (all, sent, doubt uint64, err error) {
	return 9, 2, 1, nil
}
func (m *recall) LetterHeads(_ context.Context, l clickhouse.Letters, after *event.Position, limit int) ([]clickhouse.LetterHead, error) {
	m.choice, m.after = l, after
	return m.heads[:min(limit, len(m.heads))], nil
}
func (m *recall) ReadLetters(_ context.Context, positions []event.Position) (out []event.Record, err error) {
	for _, p := range positions {
		if !m.gone[p.Offset] {
			out = append([]event.Record{{Position: p, Value: fmt.Append(nil, p.Offset)}}, out...) // in no order
		}
	}
	return out, nil
}
func (m *recall) ReplayRuns(_ context.Context, positions []event.Position) (map[event.Position][]string, error) {
	out := map[event.Position][]string{}
	for _, p := range positions {
		out[p] = []string{"an old one"}
		if m.rival[p.Offset] {
			out[p] = append(out[p], "a rival")
		}
	}
	return out, nil
}
func (m *recall) WriteReplays(_ context.Context, _, who string, steps []clickhouse.Replay) error {
	for _, s := range steps {
		if m.forget && s.State != clickhouse.ReplaySending {
			return errors.New("ClickHouse is away")
		}
		m.said = append(m.said, fmt.Sprintf("%s %d %s", who, s.Of.Offset, s.State))
	}
	return nil
}
func (m *recall) Ping(context.Context) error { return m.down }
func (m *recall) Resend(_ context.Context, letters []kafka.Letter) []kafka.Outcome {
	var out []kafka.Outcome
	for _, l := range letters {
		m.sent = append(m.sent, fmt.Sprintf("%s %v to %s", l.Value, l.Position, l.To))
		o, ok := m.outcome[l.Offset]
		if !ok {
			o.At = event.Position{Topic: l.To, Partition: 1, Offset: 100 + l.Offset}
		}
		out = append(out, o)
	}
	return out
}

func newMemory(n int, size uint64) (*recall, *replayer) {
	m := &recall{gone: map[int64]bool{}, outcome: map[int64]kafka.Outcome{}, rival: map[int64]bool{}}
	for i := range int64(n) {
		m.heads = append(m.heads, clickhouse.LetterHead{Position: event.Position{Topic: "t", Partition: 1, Offset: i}, Pipelines: []string{"p"}, Reasons: []string{"late"}, Size: size, Runs: []string{"an old one"}})
	}
	return m, &replayer{store: m, out: m, own: []string{"andon.state"}, log: slog.New(slog.DiscardHandler)}
}

func states(a *console.ReplayAnswer) (s []string) {
	for _, l := range a.Letters {
		s = append(s, fmt.Sprintf("%s %s %s", l.State, l.To, l.Detail))
	}
	return s
}

// Each letter is said to be sent before it is, and what became of it afterwards; what is in doubt is left as it was said.
func TestReplayRemembers(t *testing.T) {
	m, r := newMemory(5, 10)
	m.gone[1] = true
	m.outcome[2] = kafka.Outcome{Err: errors.New("too large")}
	m.outcome[3] = kafka.Outcome{Err: errors.New("no answer"), Doubt: true}
	m.rival[4] = true
	a, err := r.replay(t.Context(), console.ReplayAsk{Reason: "late", Limit: 10, Who: "me"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(states(a), "|"), "sent t/1@100 |failed t it is kept no longer|failed t too large|in doubt t no answer|yielded t another replay of it began at the same time"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got, want := fmt.Sprint(m.said), "[me 0 sending me 1 sending me 2 sending me 3 sending me 4 sending me 0 sent me 1 failed me 2 failed me 4 yielded]"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got, want := fmt.Sprint(m.sent), "[0 t/1@0 to t 2 t/1@2 to t 3 t/1@3 to t]"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if a.Chosen != 9 || a.Before != 2 || a.InDoubt != 1 || a.Next != "" || m.choice.Until != 4242 || m.choice.Again {
		t.Errorf("%+v of %+v", a, m.choice)
	}
}

// A replay goes on where it stopped, within what was there when it began; it does nothing when it is dry, or has no broker, or is asked for what it must not do.
func TestReplayGoesOn(t *testing.T) {
	m, r := newMemory(4, replayBytes) // one in memory at a time
	a, err := r.replay(t.Context(), console.ReplayAsk{All: true, Limit: 3, To: "u", Again: true})
	if err != nil || a.Next != "4242 t/1@2" || len(m.sent) != 3 || a.Before != 0 || !m.choice.Again || a.Letters[2].To != "u/1@102" {
		t.Fatalf("%+v, %v, sent %v", a, err, m.sent)
	}
	if got := fmt.Sprint(m.said); !strings.HasPrefix(got, "[ 0 sending  0 sent  1 sending  1 sent") {
		t.Error(got)
	}
	if a, err = r.replay(t.Context(), console.ReplayAsk{All: true, Limit: 3, After: a.Next, DryRun: true}); err != nil || m.choice.Until != 4242 || m.after.Offset != 2 || a.Chosen != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	said := len(m.said)
	if a.Letters[0].State != "to send" || len(m.sent) != 3 {
		t.Errorf("a dry run: %v, sent %v", states(a), m.sent)
	}
	refused := func(want error, says string, ask console.ReplayAsk) {
		t.Helper()
		if _, err := r.replay(t.Context(), ask); err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", ask, err, says)
		}
	}
	refused(console.ErrAsk, "topic andon.state", console.ReplayAsk{All: true, Limit: 1, To: "andon.state"})
	refused(console.ErrAsk, "next", console.ReplayAsk{All: true, Limit: 1, After: "t/1@2"})
	refused(console.ErrAsk, "topic/partition@offset", console.ReplayAsk{Letters: []string{"t"}, Limit: 1})
	m.down = errors.New("connection refused")
	refused(nil, "connection refused", console.ReplayAsk{All: true, Limit: 1})
	r.one.Lock()
	refused(console.ErrBusy, "another replay", console.ReplayAsk{All: true, Limit: 1})
	r.one.Unlock()
	if _, err := (&pending{}).replay(t.Context(), console.ReplayAsk{}); !errors.Is(err, console.ErrBusy) {
		t.Error(err)
	}
	if len(m.said) != said {
		t.Errorf("said %v", m.said[said:])
	}
	m.down, m.forget = nil, true
	refused(nil, "after 0 letters", console.ReplayAsk{All: true, Limit: 2})
	if last := m.said[len(m.said)-1]; last != " 0 sending" {
		t.Errorf("what cannot be remembered is not in doubt: %s", last)
	}
}
