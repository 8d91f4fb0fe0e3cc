package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"andon/console"
	"andon/event"
	"andon/sinks/clickhouse"
	"andon/sinks/kafka"
)

// The memory of replays is a table of ClickHouse and not a topic that is projected into one: the letters are chosen there, and a choice must know of every replay
// before it, at once.

// replayBytes bounds the letters that are in memory together, unless one is larger.
const replayBytes = 32 << 20

// replayPatience is how long the brokers have to acknowledge the letters of one call.
const replayPatience = 60 * time.Second

// replayer sends dead letters again:
//
//	say that they are being sent; ask who else says so, and leave those that somebody does
//	send, acknowledged by all brokers in sync
//	say what became of each
//
// A crash before the last leaves letters in doubt: they may have been sent or not, and are left out of every replay that does not say again. Two replays of one letter
// at the same time may each leave it to the other; neither sends it then, and it is chosen the next time. What is sent twice all the same, by again, the line
// finds a duplicate if it is a reading that it took the first time; a label is stored twice.
type replayer struct {
	store interface {
		Now(ctx context.Context) (int64, error)
		LetterCounts(ctx context.Context, l clickhouse.Letters) (all, sent, doubt uint64, err error)
		LetterHeads(ctx context.Context, l clickhouse.Letters, after *event.Position, limit int) ([]clickhouse.LetterHead, error)
		ReadLetters(ctx context.Context, positions []event.Position) ([]event.Record, error)
		ReplayRuns(ctx context.Context, positions []event.Position) (map[event.Position][]string, error)
		WriteReplays(ctx context.Context, run, who string, steps []clickhouse.Replay) error
	}
	out interface {
		Ping(ctx context.Context) error
		Resend(ctx context.Context, letters []kafka.Letter) []kafka.Outcome
	}
	// own are the topics that the appliance alone writes.
	own []string
	log *slog.Logger
	one sync.Mutex // a replay at a time
}

func newReplayer(store *clickhouse.Store, out *kafka.Resender, topics Topics, log *slog.Logger) *replayer {
	return &replayer{store: store, out: out, own: []string{topics.DeadLetter, topics.Scores, topics.State}, log: log}
}

// pending is a replayer that is made later than what asks it.
type pending struct{ atomic.Pointer[replayer] }

func (p *pending) replay(ctx context.Context, ask console.ReplayAsk) (*console.ReplayAnswer, error) {
	r := p.Load()
	if r == nil {
		return nil, fmt.Errorf("%w: %w", console.ErrBusy, errStarting)
	}
	return r.replay(ctx, ask)
}

// replay sends the next letters of the choice. ask was checked by the console.
func (r *replayer) replay(ctx context.Context, ask console.ReplayAsk) (*console.ReplayAnswer, error) {
	if slices.Contains(r.own, ask.To) {
		return nil, fmt.Errorf("%w: andon alone writes topic %s: name another with \"to\"", console.ErrAsk, ask.To)
	}
	if !r.one.TryLock() {
		return nil, fmt.Errorf("%w: another replay is going on: try again when it is done", console.ErrBusy)
	}
	defer r.one.Unlock()
	choice, after, err := r.choice(ctx, ask)
	if err != nil {
		return nil, err
	}
	answer := &console.ReplayAnswer{Run: strings.ToLower(rand.Text()[:12]), Letters: []console.ReplayedLetter{}}
	if ask.After == "" {
		if answer.Chosen, answer.Before, answer.InDoubt, err = r.store.LetterCounts(ctx, choice); err != nil {
			return nil, err
		}
		if ask.Again {
			answer.Before, answer.InDoubt = 0, 0
		}
	}
	heads, err := r.store.LetterHeads(ctx, choice, after, ask.Limit+1)
	if err != nil {
		return nil, err
	}
	if len(heads) > ask.Limit {
		heads = heads[:ask.Limit]
		answer.Next = fmt.Sprintf("%d %s", choice.Until, heads[len(heads)-1].Position)
	}
	for _, h := range heads {
		to := ask.To
		if to == "" {
			to = h.Topic
		}
		answer.Letters = append(answer.Letters, console.ReplayedLetter{From: h.Position.String(), Pipelines: h.Pipelines, Reasons: h.Reasons, Size: h.Size, To: to, State: "to send"})
	}
	if ask.DryRun || len(heads) == 0 {
		return answer, nil
	}
	asked, cancel := context.WithTimeout(ctx, 10*time.Second)
	err = r.out.Ping(asked)
	cancel()
	if err != nil {
		return nil, err
	}
	// Who asked may go away: what has begun is brought to its end.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), replayPatience)
	defer cancel()
	for from := 0; from < len(heads); {
		to, bytes := from, uint64(0)
		for to < len(heads) && (to == from || bytes+heads[to].Size <= replayBytes) {
			bytes += heads[to].Size
			to++
		}
		if err := r.send(ctx, answer.Run, ask.Who, heads[from:to], answer.Letters[from:to]); err != nil {
			return nil, fmt.Errorf("after %d letters: %w: what was sent is remembered, or in doubt: look at andon dlq list", from, err)
		}
		from = to
	}
	states := map[string]int{}
	for _, l := range answer.Letters {
		states[l.State]++
	}
	r.log.Info("dead letters sent again", "run", answer.Run, "who", ask.Who, "sent", states[stateSent], "failed", states[stateFailed], "yielded", states[stateYielded], "in_doubt", states[stateInDoubt])
	return answer, nil
}

// What becomes of a letter, in an answer.
const (
	stateSent    = clickhouse.ReplaySent
	stateFailed  = clickhouse.ReplayFailed
	stateYielded = clickhouse.ReplayYielded
	stateInDoubt = "in doubt"
)

// choice is what is asked for, held to what was there when the replay began: a letter that fails again must not be chosen by the same replay.
func (r *replayer) choice(ctx context.Context, ask console.ReplayAsk) (l clickhouse.Letters, after *event.Position, err error) {
	l = clickhouse.Letters{Pipeline: ask.Pipeline, Reason: ask.Reason, Again: ask.Again}
	for _, text := range ask.Letters {
		p, err := event.ParsePosition(text)
		if err != nil {
			return l, nil, fmt.Errorf("%w: %w", console.ErrAsk, err)
		}
		l.Positions = append(l.Positions, p)
	}
	if !ask.Since.IsZero() {
		l.Since = ask.Since.UnixNano()
	}
	if ask.After == "" {
		l.Until, err = r.store.Now(ctx)
		return l, nil, err
	}
	until, position, _ := strings.Cut(ask.After, " ")
	p, err := event.ParsePosition(position)
	if err == nil {
		l.Until, err = strconv.ParseInt(until, 10, 64)
	}
	if err != nil {
		return l, nil, fmt.Errorf("%w: after: %q is no \"next\" of an answer", console.ErrAsk, ask.After)
	}
	return l, &p, nil
}

// send sends some letters and tells in told what became of them.
func (r *replayer) send(ctx context.Context, run, who string, heads []clickhouse.LetterHead, told []console.ReplayedLetter) error {
	steps := make([]clickhouse.Replay, len(heads))
	positions := make([]event.Position, len(heads))
	for i, h := range heads {
		positions[i] = h.Position
		steps[i] = clickhouse.Replay{Of: h.Position, To: event.Position{Topic: told[i].To, Partition: -1, Offset: -1}, State: clickhouse.ReplaySending}
	}
	records, err := r.store.ReadLetters(ctx, positions)
	if err != nil {
		return err
	}
	if err := r.store.WriteReplays(ctx, run, who, steps); err != nil {
		return err
	}
	runs, err := r.store.ReplayRuns(ctx, positions)
	if err != nil {
		return err
	}
	byPosition := make(map[event.Position]*event.Record, len(records))
	for i := range records {
		byPosition[records[i].Position] = &records[i]
	}
	var letters []kafka.Letter
	var which []int
	for i, h := range heads {
		record := byPosition[h.Position]
		others := slices.ContainsFunc(runs[h.Position], func(other string) bool { return other != run && !slices.Contains(h.Runs, other) })
		switch {
		case others:
			steps[i].State, steps[i].Detail = clickhouse.ReplayYielded, "another replay of it began at the same time"
		case record == nil:
			steps[i].State, steps[i].Detail = clickhouse.ReplayFailed, "it is kept no longer"
		default:
			letters = append(letters, kafka.Letter{Record: *record, Pipelines: h.Pipelines, To: told[i].To})
			which = append(which, i)
		}
	}
	for j, o := range r.out.Resend(ctx, letters) {
		s := &steps[which[j]]
		switch {
		case o.Err == nil:
			s.State, s.To = clickhouse.ReplaySent, o.At
		case o.Doubt:
			s.Detail = o.Err.Error() // and the state stays as it was said
		default:
			s.State, s.Detail = clickhouse.ReplayFailed, o.Err.Error()
		}
	}
	var ends []clickhouse.Replay
	for i, s := range steps {
		t := &told[i]
		t.State, t.Detail = s.State, s.Detail
		if s.State == clickhouse.ReplaySending {
			t.State = stateInDoubt
			continue
		}
		ends = append(ends, s)
		if s.State == clickhouse.ReplaySent {
			t.To = s.To.String()
		}
	}
	// The brokers may have used up the time that there was.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := r.store.WriteReplays(last, run, who, ends); err != nil {
		return errors.Join(errors.New("what became of the letters could not be remembered"), err)
	}
	return nil
}
