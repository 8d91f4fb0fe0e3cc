package clickhouse

import (
	"math"
	"testing"
	"time"

	"andon/event"
)

// The mark of the labels changes with each that comes, and when the score is there that an earlier one speaks of; that of predictions with each of its pipeline's.
func TestMarks(t *testing.T) {
	e := ownEngine(t)
	s, _ := openStore(t, e)
	labels := func() string {
		t.Helper()
		m, err := s.LabelsMark(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	write := func(b *event.Block) {
		t.Helper()
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	offset := int64(0)
	tell := func(l event.Label) {
		l.Pipeline, l.Value, l.Told = "pumps", math.NaN(), origin
		l.Position = event.Position{Topic: "labels", Offset: offset}
		write(&event.Block{Pipeline: "labels", Topic: "labels", First: offset, Next: offset + 1, Labels: []event.Label{l}})
		offset++
	}
	score := func(pipeline string, at int64) {
		write(&event.Block{Pipeline: pipeline, Topic: "plant", First: at, Next: at + 1, Scores: []event.Score{{Pipeline: pipeline, Asset: "p1", Start: origin, End: origin + hour, Version: "v", ScoredAt: origin,
			Position: event.Position{Topic: "plant", Offset: at}}}})
	}
	empty := labels()
	tell(event.Label{Asset: "p1", Time: origin, Kind: event.KindFailure})
	one := labels()
	if one == empty || labels() != one {
		t.Errorf("%q, %q, %q", empty, one, labels())
	}
	tell(event.Label{Of: "plant/0@7", Kind: event.KindMissed})
	loose := labels()
	s.labelsMark.looked = time.Time{}
	if loose == one || labels() != loose {
		t.Errorf("a label of a score that is not there: %q, %q", loose, labels())
	}
	score("pumps", 7)
	s.labelsMark.looked = time.Time{}
	found := labels()
	if found == loose {
		t.Errorf("the score has come: %q", found)
	}
	score("pumps", 8)
	s.labelsMark.looked = time.Time{}
	if m := labels(); m != found {
		t.Errorf("another score changes nothing: %q, %q", found, m)
	}
	said := func(pipeline string) string {
		t.Helper()
		m, err := s.SaidMark(t.Context(), pipeline, false)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	pumps, fans := said("pumps"), said("fans")
	score("fans", 9)
	if said("pumps") != pumps || said("fans") == fans {
		t.Errorf("pumps %q, fans %q", said("pumps"), said("fans"))
	}
}
