package processors

import (
	"math/rand/v2"
	"slices"
	"testing"

	"andon/event"
	"andon/model"
)

// What a canary is fed and says is held against its own reference, in pieces of its version and of its share's assets; when it ends, so does its piece.
func TestCanaryIsWatched(t *testing.T) {
	w := newWorld()
	w.log, w.end = randomLog(rand.New(rand.NewPCG(7, 1)), 900, 5, 2)
	cfg := small()
	cfg.Drift.Windows = pieceWindows
	l := w.line(t, cfg)
	w.model = fits(l, "m1")
	w.canary, w.percent = scaled(l, "m2", 3), 50
	p, _, err := l.Open(t.Context(), w.assignment())
	if err != nil {
		t.Fatal(err)
	}
	half := w.end / 2
	handle(t, w, p, 0, half)
	of := map[string]int{}
	count := func(all []event.Sketch) {
		for i := range all {
			s := &all[i]
			if of[s.Version] += s.Windows; s.Reference != event.ReferenceModel {
				t.Errorf("%+v", s)
			}
		}
	}
	count(p.block.Sketches)
	scored := map[string]int{}
	for _, s := range p.block.Scores {
		scored[s.Version]++
		if model.InShare(s.Asset, 50) != (s.Version == "m2") {
			t.Fatalf("%s by %s", s.Asset, s.Version)
		}
	}
	for _, v := range []string{"m1", "m2"} {
		if of[v] == 0 || of[v] != scored[v]/pieceWindows*pieceWindows {
			t.Errorf("model %s: %d windows in pieces, %d scored", v, of[v], scored[v])
		}
	}
	before := len(p.block.Sketches)
	w.canary = nil
	p.choose()
	if rest := p.block.Sketches[before:]; len(rest) != 1 || rest[0].Version != "m2" || !rest[0].Last || rest[0].Windows != scored["m2"]%pieceWindows {
		t.Errorf("the canary's last piece: %+v", rest)
	}
	handle(t, w, p, half, w.end)
	if slices.ContainsFunc(p.block.Sketches[before+1:], func(s event.Sketch) bool { return s.Version == "m2" }) {
		t.Error("the canary is watched after its end")
	}
}
