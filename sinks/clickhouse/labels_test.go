package clickhouse

import (
	"math"
	"testing"

	"andon/event"
)

// What is told is corrected, taken back, contradicted and settled, and each of it counts once.
func TestLabelsThatCount(t *testing.T) {
	s := sharedStore(t)
	const pipeline = "labelled"
	offset := int64(0)
	tell := func(labels ...event.Label) {
		t.Helper()
		b := &event.Block{Pipeline: "labels", Topic: "andon.labels", First: offset}
		for _, l := range labels {
			l.Pipeline, l.Position, l.Told = pipeline, event.Position{Topic: "andon.labels", Offset: offset}, origin+offset*hour
			if l.Value == 0 {
				l.Value = math.NaN()
			}
			b.Labels = append(b.Labels, l)
			offset++
		}
		b.Next = offset
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	counts := func(what, want string) {
		t.Helper()
		equal(t, what, ask(t, s, `SELECT asset, dateDiff('hour', toDateTime64('2020-01-01 00:00:00', 6, 'UTC'), time), label, who, weight FROM truth_labels
			WHERE pipeline = 'labelled' ORDER BY ALL`), want)
	}
	conflicts := func(want string) {
		t.Helper()
		equal(t, "conflicts", ask(t, s, "SELECT asset, arrayStringConcat(arraySort(arrayMap(x -> concat(x.1, ' by ', x.2), said)), ', ') FROM label_conflicts WHERE pipeline = 'labelled' ORDER BY asset"), want)
	}
	failure := event.Label{Asset: "a", Time: origin, Kind: event.KindFailure, Who: "mes"}
	tell(failure, failure, failure)
	counts("told three times", "a 0 failure mes 1")

	failure.Weight, failure.Note = 3, "bearing"
	tell(failure)
	counts("corrected", "a 0 failure mes 3")
	failure.Withdrawn = true
	tell(failure)
	counts("withdrawn", "")
	failure.Withdrawn, failure.Who = false, "mia"
	tell(failure)
	counts("told again, by another", "a 0 failure mia 3")

	// One source changes its mind; what goes together stays.
	b := event.Label{Asset: "b", Time: origin, Until: origin + hour, Kind: event.KindNormal, Who: "mia"}
	bad := b
	bad.Kind = event.KindAnomaly
	tell(b, bad)
	missed := b
	missed.Kind, missed.Golden, missed.Weight = event.KindMissed, true, 5
	tell(missed)
	counts("corrected to the contrary", "a 0 failure mia 3\nb 0 anomaly mia 1\nb 0 missed mia 5")

	// Two sources disagree.
	b.Who = "tom"
	tell(b)
	counts("contradicted", "a 0 failure mia 3")
	conflicts("b anomaly by mia, missed by mia, normal by tom")
	b.Withdrawn = true
	tell(b)
	counts("settled", "a 0 failure mia 3\nb 0 anomaly mia 1\nb 0 missed mia 5")
	conflicts("")

	// Frames: another box is another thing, and another class of the same box a conflict.
	box := event.Box{X0: 0.25, Y0: 0.25, X1: 0.5, Y1: 0.5}
	c := event.Label{Asset: "c", Time: origin, Kind: "helmet", Box: box, Who: "mia"}
	head := c
	head.Kind, head.Who = "head", "tom"
	other := head
	other.Box.X1 = 1
	tell(c, other)
	tell(event.Label{Asset: "c", Time: origin + hour, Kind: event.KindFailure, Who: "mia"}, event.Label{Asset: "c", Time: origin + hour, Kind: "fire", Who: "tom"})
	counts("boxes", "a 0 failure mia 3\nb 0 anomaly mia 1\nb 0 missed mia 5\nc 0 head tom 1\nc 0 helmet mia 1\nc 1 failure mia 1\nc 1 fire tom 1")
	tell(head)
	conflicts("c head by tom, helmet by mia")

	equal(t, "golden", ask(t, s, "SELECT asset, label, who FROM golden WHERE pipeline = 'labelled'"), "b missed mia")
	marked, err := s.Marked(t.Context(), pipeline)
	if err != nil || len(marked) != 2 || marked[0].Kind != event.KindFailure || marked[0].Weight != 3 || marked[0].Note != "bearing" || !marked[1].Golden || marked[1].Until != origin+hour {
		t.Errorf("%+v, %v", marked, err)
	}
	all, err := s.Labels(t.Context(), pipeline, "")
	if err != nil || len(all) != 6 {
		t.Fatalf("%+v, %v", all, err)
	}
	all, err = s.Labels(t.Context(), pipeline, "head")
	if err != nil || len(all) != 1 || all[0].Box != other.Box || all[0].Asset != "c" || all[0].Told != origin+offset*hour-4*hour {
		t.Errorf("%+v, %v", all, err)
	}
}

// A label of a score is one of the end of its window.
func TestLabelOfAScore(t *testing.T) {
	s := sharedStore(t)
	at := event.Position{Topic: "fleet", Partition: 2, Offset: 41}
	score := event.Score{Pipeline: "of scores", Asset: "x", Start: origin, End: origin + hour, Version: "one", Position: at}
	if err := s.Write(t.Context(), &event.Block{Pipeline: "of scores", Topic: "fleet", Partition: 2, First: 40, Next: 42, Scores: []event.Score{score}}); err != nil {
		t.Fatal(err)
	}
	l := event.Label{Pipeline: "of scores", Kind: event.KindMissed, Of: at.String(), Value: math.NaN(), Position: event.Position{Topic: "labels of scores"}}
	astray := l
	astray.Of, astray.Offset = "fleet/2@40", 1
	own := l
	own.Asset, own.Time, own.Offset = "y", origin, 2
	if err := s.Write(t.Context(), &event.Block{Pipeline: "labels", Topic: "labels of scores", First: 0, Next: 3, Labels: []event.Label{l, astray, own}}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Labels(t.Context(), "of scores", "")
	if err != nil || len(got) != 2 || got[0].Asset != "y" || got[0].Time != origin || got[1].Asset != "x" || got[1].Time != origin+hour-1000 {
		t.Errorf("%+v, %v", got, err)
	}
}
