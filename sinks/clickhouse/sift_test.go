package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"andon/event"
)

// refusal is what a caller that does not know this package sees of Refused.
type refusal interface {
	RefusedOffsets() map[int64]string
	Remove(b *event.Block)
}

func TestPoisonRows(t *testing.T) {
	e := ownEngine(t)
	s, _ := openStore(t, e)
	do(t, s, "ALTER TABLE readings ADD CONSTRAINT sane CHECK values[1] < 1000", "ALTER TABLE scores ADD CONSTRAINT finite CHECK isFinite(risk)")
	b := makeBlock("poison", 0, 0, 5000, 10, "a", "b")
	for _, i := range []int{0, 17, 18, 3000, b.Readings.Len() - 1} {
		b.Readings.Values[2*i] = 5000
	}
	b.Scores[100].Risk /= 0
	b.Labels[0].Time = origin - 130*365*24*hour // before 1900
	letters := len(b.DeadLetters)

	for round := range 3 {
		err := s.Write(t.Context(), b)
		var r refusal
		if !errors.As(err, &r) {
			t.Fatalf("round %d: %v", round, err)
		}
		want := []int64{0, 17, 18, 101, 3030, 4998, 4999}
		offsets := r.RefusedOffsets()
		if got := sortedKeys(offsets); !slices.Equal(got, want) {
			t.Fatalf("round %d: refused %v, want %v", round, got, want)
		}
		for offset, message := range map[int64]string{17: "readings: Constraint `sane`", 101: "scores: Constraint `finite`", 4999: "labels: time 18"} {
			if !strings.Contains(offsets[offset], message) {
				t.Errorf("offset %d: %q, want %q", offset, offsets[offset], message)
			}
		}
		equal(t, "stored with the others", ask(t, s, fmt.Sprintf(copies, "poison")), "deadletters 0 0\nlabels 0 0\nreadings 4945 4945\nscores 4949 4949")
		if round == 0 {
			continue // as after a crash: the same again
		}
		for _, o := range sortedKeys(offsets) {
			b.DeadLetters = append(b.DeadLetters, event.DeadLetter{Pipeline: "poison", Reason: event.ReasonRefused, Detail: offsets[o],
				Record: event.Record{Position: event.Position{Topic: b.Topic, Offset: o}}})
		}
		slices.SortFunc(b.DeadLetters, func(x, y event.DeadLetter) int { return int(x.Offset - y.Offset) })
		r.Remove(b)
		break
	}
	for range 2 {
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "in the end", ask(t, s, fmt.Sprintf(copies, "poison")),
		fmt.Sprintf("deadletters %d %d\nlabels 0 0\nreadings 4945 4945\nscores 4949 4949", letters+7, letters+7-1)) // 4999 was a dead letter before

	// The constraint goes, and the block comes once more as it was at first.
	do(t, s, "ALTER TABLE readings DROP CONSTRAINT sane", "ALTER TABLE scores DROP CONSTRAINT finite")
	if err := s.Write(t.Context(), makeBlock("poison", 0, 0, 5000, 10, "a", "b")); err != nil {
		t.Fatal(err)
	}
	equal(t, "cured", ask(t, s, "SELECT count(), uniqExact(_offset) FROM readings WHERE pipeline = 'poison'"), "4950 4950")
	equal(t, "cured scores", ask(t, s, "SELECT count(), uniqExact(_offset) FROM scores WHERE pipeline = 'poison'"), "4950 4950")
	equal(t, "probes left", ask(t, s, "SELECT count() FROM system.tables WHERE name LIKE 'probe%'"), "0")
}

func sortedKeys(m map[int64]string) []int64 {
	var out []int64
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// A table that refuses everything is not a matter of single rows.
func TestAllRowsRefused(t *testing.T) {
	e := ownEngine(t)
	s, _ := openStore(t, e)
	do(t, s, "ALTER TABLE scores ADD CONSTRAINT never CHECK value < 0")
	b := makeBlock("all", 0, 0, mostRefused+50, 10, "a")
	err := s.Write(t.Context(), b)
	var r refusal
	if err == nil || errors.As(err, &r) || !strings.Contains(err.Error(), "never") || !strings.Contains(err.Error(), "constraints") {
		t.Errorf("%v", err)
	}
	do(t, s, "ALTER TABLE scores DROP CONSTRAINT never")
	if err := s.Write(t.Context(), b); err != nil {
		t.Error(err)
	}
	equal(t, "rows", ask(t, s, fmt.Sprintf(copies, "all")), "deadletters 1 1\nlabels 1 1\nreadings 149 149\nscores 149 149")
}

// A view of somebody's that fails must neither hold up the line nor double rows.
func TestFailingView(t *testing.T) {
	e := ownEngine(t)
	s, l := openStore(t, e)
	do(t, s, "CREATE TABLE sums (asset String, n UInt64) ENGINE = SummingMergeTree ORDER BY asset SETTINGS non_replicated_deduplication_window = 100",
		"CREATE MATERIALIZED VIEW good TO sums AS SELECT asset, count() AS n FROM readings GROUP BY asset",
		"CREATE MATERIALIZED VIEW bad TO sums AS SELECT asset, throwIf(values[1] > 1000, 'too hot') + 0 AS n FROM readings")
	b := makeBlock("view", 0, 0, 100, 5, "a")
	b.Readings.Values[50] = 5000
	for range 2 {
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "rows", ask(t, s, fmt.Sprintf(copies, "view")), "deadletters 1 1\nlabels 1 1\nreadings 99 99\nscores 99 99")
	equal(t, "in the good view", ask(t, s, "SELECT sum(n) FROM sums"), "99")
	if !strings.Contains(l.String(), "too hot") {
		t.Errorf("the log says nothing of it:\n%s", l)
	}
}

// Faults that an operator must cure end at once, and what cures itself is waited for.
func TestFatalAndPassing(t *testing.T) {
	e := ownEngine(t)
	s, l := openStore(t, e)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	do(t, s, "RENAME TABLE scores TO scores_away")
	if err := s.Write(ctx, makeBlock("fatal", 0, 0, 10, 2, "a")); err == nil || !strings.Contains(err.Error(), "scores") || code(err) != codeUnknownTable {
		t.Errorf("table gone: %v", err)
	}
	do(t, s, "RENAME TABLE scores_away TO scores", "ALTER TABLE readings MODIFY COLUMN signals String")
	if err := s.Write(ctx, makeBlock("fatal", 0, 0, 10, 2, "a")); err == nil || !strings.Contains(err.Error(), "signals") || !strings.Contains(err.Error(), "String") {
		t.Errorf("column of another type: %v", err)
	}
	do(t, s, "ALTER TABLE readings MODIFY COLUMN signals LowCardinality(String)", "SYSTEM STOP MERGES readings", "ALTER TABLE readings MODIFY SETTING parts_to_throw_insert = 2, parts_to_delay_insert = 2")
	done := make(chan error)
	go func() {
		var err error
		for k := range int64(5) {
			err = errors.Join(err, s.Write(ctx, makeBlock("passing", 0, k*10, 10, 2, "a")))
		}
		done <- err
	}()
	for !strings.Contains(l.String(), "trying again") && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	do(t, s, "ALTER TABLE readings RESET SETTING parts_to_throw_insert, parts_to_delay_insert", "SYSTEM START MERGES readings")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	equal(t, "rows", ask(t, s, "SELECT count(), uniqExact(_offset) FROM readings WHERE pipeline = 'passing'"), "50 50")
}
