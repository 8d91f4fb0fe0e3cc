package clickhouse

import (
	"fmt"
	"math"
	"testing"

	"andon/event"
)

// A replay's scores are stored once, whoever sends them again and however their block is cut, apart from the live line's and from other runs'.
func TestRescored(t *testing.T) {
	s, _ := openStore(t, sharedEngine(t))
	const pipeline = "replayed"
	b := makeBlock(pipeline, 2, 100, 500, 5, "a")
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	write := func(run string, b *event.Block) {
		t.Helper()
		if refused, err := s.WriteRescored(t.Context(), run, b); err != nil || refused != 0 {
			t.Fatalf("%d refused, %v", refused, err)
		}
	}
	holds := func(run, want string) {
		t.Helper()
		equal(t, run, ask(t, s, "SELECT count(), uniqExact(_offset), min(_offset), max(_offset) FROM replay_scores WHERE pipeline = 'replayed' AND run = '"+run+"'"), want)
	}
	next := func(run string, partition int32, want int64) {
		t.Helper()
		if n, err := s.RescoredNext(t.Context(), run, pipeline, "fleet", partition); err != nil || n != want {
			t.Errorf("%s/%d goes on at %d, %v; want %d", run, partition, n, err, want)
		}
	}
	next("one", 2, 0)
	write("one", b)
	write("one", b)
	holds("one", "495 495 100 598")
	next("one", 2, 599)
	next("one", 1, 0)
	// The first to write the range had formed its block of less.
	short := *b
	short.Scores = b.Scores[:100]
	write("two", &short)
	write("two", b)
	holds("two", "495 495 100 598")
	holds("one", "495 495 100 598")
	equal(t, "the live line's", ask(t, s, "SELECT count() FROM scores WHERE pipeline = 'replayed'"), "495")
	equal(t, "readings", ask(t, s, "SELECT count() FROM readings WHERE pipeline = 'replayed'"), "495")

	// What ClickHouse cannot hold is left out.
	odd := bare(b)
	odd.First, odd.Next = 600, 610
	odd.Scores = append(odd.Scores, b.Scores[0], b.Scores[1])
	odd.Scores[0].Offset, odd.Scores[1].Offset = 600, 601
	odd.Scores[0].Start = math.MinInt64
	if refused, err := s.WriteRescored(t.Context(), "one", odd); err != nil || refused != 1 {
		t.Errorf("%d refused, %v", refused, err)
	}
	next("one", 2, 602)
}

func TestRescorings(t *testing.T) {
	s, _ := openStore(t, sharedEngine(t))
	r := Rescoring{Time: origin, Run: "it's", Pipeline: "states", State: RescoreStarted, Version: "0123456789ab", AskedFrom: "2020-01-01", AskedTo: "0:10,1:20",
		From: math.MinInt64, To: math.MaxInt64, Topic: "fleet", FromOffsets: map[int32]int64{0: 5, 1: 0}, ToOffsets: map[int32]int64{0: 10, 1: 20}, Settings: "abc", Who: "me@here"}
	done := r
	done.State, done.Time, done.Rows, done.Scores, done.Refused, done.Elapsed, done.Detail = RescoreFinished, origin, 30, 20, 1, 5e9, "well"
	for _, x := range []Rescoring{r, done} {
		if err := s.WriteRescoring(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Rescorings(t.Context(), "states", "it's")
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	r.From, r.To, done.From, done.To = earliest, math.MaxInt64/1000*1000, earliest, math.MaxInt64/1000*1000
	equal(t, "started", fmt.Sprintf("%+v", got[0]), fmt.Sprintf("%+v", r))
	equal(t, "finished", fmt.Sprintf("%+v", got[1]), fmt.Sprintf("%+v", done))
	if got, err := s.Rescorings(t.Context(), "states", "other"); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	equal(t, "replay_runs", ask(t, s, "SELECT run, state, version, asked_from, rows, scores, detail FROM replay_runs WHERE pipeline = 'states'"),
		"it's finished 0123456789ab 2020-01-01 30 20 well")
}

// The views set the live line's scores of a replay's range beside the replay's own.
func TestRescoreViews(t *testing.T) {
	s, _ := openStore(t, sharedEngine(t))
	score := func(asset string, end, offset int64, risk float32, version string) event.Score {
		return event.Score{Verdict: event.Verdict{Value: 10 * risk, Risk: risk}, Pipeline: "compared", Asset: asset, Start: origin + (end-30)*hour, End: origin + end*hour,
			Version: version, Position: event.Position{Topic: "fleet", Offset: offset}, ScoredAt: origin}
	}
	b := &event.Block{Pipeline: "compared", Topic: "fleet", Next: 100}
	b.Scores = []event.Score{score("x", 1, 0, 0.1, "old"), score("x", 2, 1, 0.25, "old"), score("x", 3, 2, 0.75, "old"), score("y", 3, 3, 0.5, "older"),
		score("x", 4, 4, 0.5, "old"), score("x", 3, 50, 0.5, "old")}
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for _, run := range []string{"r", "s"} {
		if err := s.WriteRescoring(t.Context(), Rescoring{Time: origin, Run: run, Pipeline: "compared", State: RescoreStarted, From: origin + 2*hour, To: origin + 4*hour, Topic: "fleet",
			FromOffsets: map[int32]int64{0: 1}, ToOffsets: map[int32]int64{0: 50}}); err != nil {
			t.Fatal(err)
		}
	}
	b.Scores = []event.Score{score("x", 2, 1, 0.5, "new"), score("x", 3, 2, 0.25, "new"), score("z", 3, 7, 0.5, "new")}
	if _, err := s.WriteRescored(t.Context(), "r", b); err != nil {
		t.Fatal(err)
	}
	equal(t, "replay_comparison", ask(t, s, `SELECT asset, end, old_value, old_risk, old_version, new_value, new_risk, new_version, value_change, risk_change, _topic, _partition, _offset
		FROM replay_comparison WHERE run = 'r' AND pipeline = 'compared' ORDER BY asset, end`),
		`x 2020-01-01T02:00:00Z 2.5 0.25 old 5 0.5 new 2.5 0.25 fleet 0 1
x 2020-01-01T03:00:00Z 7.5 0.75 old 2.5 0.25 new -5 -0.5 fleet 0 2
y 2020-01-01T03:00:00Z 5 0.5 older <nil> <nil> <nil> <nil> <nil> fleet 0 3
z 2020-01-01T03:00:00Z <nil> <nil> <nil> 5 0.5 new <nil> <nil> fleet 0 7`)
	equal(t, "replay_summary", ask(t, s, `SELECT run, old_versions, new_version, windows, both, only_old, only_new, mean_abs_value_change, max_abs_value_change, value_correlation,
		mean_abs_risk_change, risk_raised, risk_lowered FROM replay_summary WHERE pipeline = 'compared' ORDER BY run`),
		`r [old older] new 4 2 1 1 3.75 5 -1 0.375 1 1
s [old older] <nil> 3 0 3 0 <nil> <nil> <nil> <nil> 0 0`)
}
