package evaluate

import (
	"testing"

	"andon/trainer/gate"
)

// Classes come to the gate as pairs, and golden frames by their names, also where not all frames are looked at.
func TestCases(t *testing.T) {
	right, high := bright(t, 0.45), bright(t, 0.65)
	data := frames(40)
	data.Pictures[15].Golden = true // of 0.5, which high takes for dark
	c := quick()
	table := mustRun(t, c, data, high, right)
	all, slices := table.Slices(high.Version, right.Version)
	v := gate.Judge(gate.Default(), all, slices...)
	if f := v.Findings[0]; !all.Classes || !v.Pass || f.OnlyChampion != 0 || f.OnlyChallenger != 8 || f.ForChallenger != 8 {
		t.Errorf("%+v", v)
	}
	for _, s := range slices {
		if s.Name == "class bright" {
			if f := gate.Judge(gate.Default(), s).Findings[0]; f.OnlyChallenger != 8 || f.Windows != 20 {
				t.Errorf("%+v", f)
			}
		}
	}
	want := gate.Case{Name: "south at 1970-01-01 00:15:00", Champion: 1, Challenger: 0}
	if cases := table.Cases(high.Version, right.Version); len(cases) != 2 || cases[1] != want || cases[0].Name != "south at 1970-01-01 00:03:00" {
		t.Errorf("%+v", cases)
	}
	_, verdicts := gate.Choose(gate.Default(), gate.Candidate{Overall: all, Golden: table.Cases(right.Version, high.Version)})
	if lost := verdicts[0].Lost; len(lost) != 1 || lost[0] != want.Name {
		t.Errorf("lost %q", lost)
	}
	if table.Cases(high.Version, "other") != nil {
		t.Error("there are cases of a version that is not there")
	}
	c.Frames = 10
	table = mustRun(t, c, data, high, right)
	if n := table.Cell(All, right.Version); len(n.losses) != 10 || len(table.Golden) != 2 {
		t.Errorf("%d frames, %d golden cases", len(n.losses), len(table.Golden))
	}
}

// A golden stretch of an asset's time is one case; its loss is the mean of its windows.
func TestGoldenStretch(t *testing.T) {
	good, bad := says(t, 1, 0), says(t, 0, 0)
	data := lives(4, 200)
	data.Lives[2].Golden = []Interval{{From: 191 * hour, Until: 196 * hour}}
	c := quick()
	for _, windows := range []int{6000, 20} {
		c.Windows = windows
		table := mustRun(t, c, data, good, bad)
		if len(table.Golden) != 1 || table.Golden[0].Windows != 5 || table.Golden[0].Name != "north-02 at 1970-01-08 23:00:00" {
			t.Fatalf("%+v", table.Golden)
		}
		near(t, "the good one's", table.Golden[0].Losses[0], 0)
		near(t, "the bad one's", table.Golden[0].Losses[1], (8+7+6+5+4)/5.0/20)
		if n := table.Scenarios[0].Windows; n > 40 && windows == 20 {
			t.Errorf("%d windows", n)
		}
	}
}
