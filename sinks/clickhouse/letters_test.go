package clickhouse

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"andon/event"
)

// lettersAt stores dead letters of a topic, all bytes and absences that a record may have.
func lettersAt(t *testing.T, s *Store, pipeline, topic string, from int64, letters ...event.DeadLetter) {
	t.Helper()
	b := &event.Block{Pipeline: pipeline, Topic: topic, Partition: 1, First: from, Next: from + int64(len(letters))}
	for i, d := range letters {
		d.Pipeline, d.Position = pipeline, event.Position{Topic: topic, Partition: 1, Offset: from + int64(i)}
		b.DeadLetters = append(b.DeadLetters, d)
	}
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func letter(reason string, key, value []byte, headers ...event.Header) event.DeadLetter {
	return event.DeadLetter{Record: event.Record{Time: origin + 123_000_000, Key: key, Value: value, Headers: headers}, Reason: reason, Detail: "it's \\ odd"}
}

// A record comes back as it was, to the byte, and with what it lacked.
func TestLettersComeBackAsTheyWere(t *testing.T) {
	s := sharedStore(t)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	lettersAt(t, s, "bytes", "odd'topic", 0,
		letter("malformed", every, every, event.Header{Key: "a", Value: every}, event.Header{Key: "a", Value: []byte{}}, event.Header{Key: "", Value: []byte("b")}),
		letter("malformed", nil, nil),
		letter("malformed", []byte{}, []byte{}),
	)
	var at []event.Position
	for o := range int64(4) {
		at = append(at, event.Position{Topic: "odd'topic", Partition: 1, Offset: o})
	}
	got, err := s.ReadLetters(t.Context(), at)
	if err != nil || len(got) != 3 {
		t.Fatalf("%d records, %v", len(got), err)
	}
	slices.SortFunc(got, func(a, b event.Record) int { return int(a.Offset - b.Offset) })
	if r := got[0]; r.Position != at[0] || r.Time != origin+123_000_000 || !bytes.Equal(r.Key, every) || !bytes.Equal(r.Value, every) || len(r.Headers) != 3 ||
		!bytes.Equal(r.Headers[0].Value, every) || r.Headers[1].Key != "a" || r.Headers[2].Key != "" || string(r.Headers[2].Value) != "b" {
		t.Errorf("%+v", r)
	}
	if r := got[1]; r.Key != nil || r.Value != nil || len(r.Headers) != 0 {
		t.Errorf("a tombstone without a key came back as %+v", r)
	}
	if r := got[2]; r.Key == nil || r.Value == nil || len(r.Key)+len(r.Value) != 0 {
		t.Errorf("an empty record came back as %+v", r)
	}
	// Rows of before the columns say null where they are empty.
	do(t, s, "INSERT INTO deadletters (pipeline, _topic, _partition, _offset, key) VALUES ('bytes', 'old', 1, 0, ''), ('bytes', 'old', 1, 1, 'k')")
	equal(t, "defaults", ask(t, s, "SELECT key_null, value_null FROM deadletters WHERE _topic = 'old' ORDER BY _offset"), "true true\nfalse true")
}

// Letters are chosen by all that describes them, one for each record, and what was sent again, or may have been, is left out.
func TestLettersAreChosen(t *testing.T) {
	s := sharedStore(t)
	lettersAt(t, s, "chosen", "choose", 0, letter("malformed", nil, []byte("a")), letter("late", nil, []byte("bb")), letter("late", []byte("k"), []byte("ccc")), letter("late", nil, nil))
	lettersAt(t, s, "other", "choose", 1, letter("malformed", nil, []byte("bb")))
	now, err := s.Now(t.Context())
	if err != nil || time.Since(time.Unix(0, now)).Abs() > time.Minute {
		t.Fatal(now, err)
	}
	at := func(offset int64) event.Position {
		return event.Position{Topic: "choose", Partition: 1, Offset: offset}
	}
	choose := func(what string, l Letters, after *event.Position, limit int, want string) []LetterHead {
		t.Helper()
		heads, err := s.LetterHeads(t.Context(), l, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, h := range heads {
			slices.Sort(h.Pipelines)
			slices.Sort(h.Reasons)
			got = append(got, fmt.Sprint(h.Offset, h.Pipelines, h.Reasons, h.Size, h.Sent, h.Doubt, len(h.Runs)))
		}
		equal(t, what, fmt.Sprintf("%q", got), want)
		return heads
	}
	choose("a pipeline's", Letters{Pipeline: "chosen"}, nil, 9, `["0 [chosen] [malformed] 1 0 0 0" "1 [chosen] [late] 2 0 0 0" "2 [chosen] [late] 4 0 0 0" "3 [chosen] [late] 0 0 0 0"]`)
	both := []event.Position{at(1), at(2), at(77)}
	choose("by position", Letters{Positions: both}, nil, 9, `["1 [chosen other] [late malformed] 2 0 0 0" "2 [chosen] [late] 4 0 0 0"]`)
	choose("a reason's, the rest of it", Letters{Pipeline: "chosen", Reason: "late"}, &both[0], 1, `["2 [chosen] [late] 4 0 0 0"]`)
	choose("none", Letters{Positions: []event.Position{}}, nil, 9, `[]`)
	choose("of the future", Letters{Pipeline: "chosen", Since: now + int64(time.Hour)}, nil, 9, `[]`)
	choose("of the past", Letters{Pipeline: "chosen", Until: now - int64(time.Hour)}, nil, 9, `[]`)

	nowhere := event.Position{Topic: "to", Partition: -1, Offset: -1}
	say := func(run string, steps ...Replay) {
		t.Helper()
		if err := s.WriteReplays(t.Context(), run, "me", steps); err != nil {
			t.Fatal(err)
		}
	}
	say("r1", Replay{at(0), nowhere, ReplaySending, ""}, Replay{at(1), nowhere, ReplaySending, ""}, Replay{at(2), nowhere, ReplaySending, ""}, Replay{at(3), nowhere, ReplaySending, ""})
	say("r1", Replay{at(0), event.Position{Topic: "to", Partition: 2, Offset: 17}, ReplaySent, ""}, Replay{at(1), nowhere, ReplayFailed, "too large"}, Replay{at(3), nowhere, ReplayYielded, ""})
	choose("after a replay", Letters{Pipeline: "chosen"}, nil, 9, `["1 [chosen] [late] 2 0 0 1" "3 [chosen] [late] 0 0 0 1"]`)
	choose("again", Letters{Pipeline: "chosen", Again: true}, nil, 9,
		`["0 [chosen] [malformed] 1 1 0 1" "1 [chosen] [late] 2 0 0 1" "2 [chosen] [late] 4 0 1 1" "3 [chosen] [late] 0 0 0 1"]`)
	all, sent, doubt, err := s.LetterCounts(t.Context(), Letters{Pipeline: "chosen"})
	if err != nil || all != 4 || sent != 1 || doubt != 1 {
		t.Errorf("%d letters, %d sent, %d in doubt, %v", all, sent, doubt, err)
	}
	say("r2", Replay{at(0), nowhere, ReplaySending, ""})
	runs, err := s.ReplayRuns(t.Context(), []event.Position{at(0), at(1), at(77)})
	slices.Sort(runs[at(0)])
	if err != nil || fmt.Sprint(runs[at(0)], runs[at(1)], runs[at(77)]) != "[r1 r2] [r1] []" {
		t.Errorf("runs %v, %v", runs, err)
	}
	equal(t, "the view", ask(t, s, "SELECT _offset, sent, in_doubt, last_to.1, last_to.2, last_to.3, last_who FROM replayed_deadletters WHERE _topic = 'choose' ORDER BY _offset"),
		"0 1 1 to 2 17 me\n1 0 0  0 0 \n2 0 1  0 0 \n3 0 0  0 0 ")
}
