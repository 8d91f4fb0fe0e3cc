package console

import (
	"fmt"
	"testing"

	"andon/event"
)

// What was missed is golden and heavy; of what has a label of its own it is told, too, that it was missed, behind all others. That nothing was there cannot have been missed.
func TestMissedLabels(t *testing.T) {
	check := func(name string, ask LabelsAsk, want string) {
		t.Helper()
		list, err := ask.all()
		got := fmt.Sprint(err)
		if err == nil {
			got = ""
			for _, l := range append(list, ask.marks(list)...) {
				got += fmt.Sprintf("%s %s %v %v %v,", l.Asset, l.Label, l.Weight, l.Golden, l.Withdrawn)
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	of := func(asset, label string) Label { return Label{Pipeline: "gate", Asset: asset, Label: label} }
	check("one", LabelsAsk{Label: of("a", ""), Missed: true}, "a missed 5 true false,")
	check("classes", LabelsAsk{Labels: []Label{of("a", "scratch"), of("b", "crack")}, Missed: true}, "a scratch 5 true false,b crack 5 true false,a missed 5 true false,b missed 5 true false,")
	check("nothing there", LabelsAsk{Labels: []Label{of("a", event.KindClear), of("b", event.KindNormal), of("c", event.KindQuarantine)}, Missed: true},
		"a clear 5 true false,b normal 5 true false,c quarantine 5 true false,")
	back := of("a", "scratch")
	back.Withdrawn = true
	check("taken back", LabelsAsk{Label: back, Missed: true}, "a scratch 0 false true,a missed 0 false true,")
	check("not missed", LabelsAsk{Label: of("a", "scratch")}, "a scratch 0 false false,")
}
