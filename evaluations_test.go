package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"andon/model"
	"andon/trainer/evaluate"
)

// evaluates puts the champion through every scenario, on engines that it was not trained on.
func (p *program) evaluates(t *testing.T) {
	t.Helper()
	a, err := readAddresses(p.data)
	if err != nil {
		t.Fatal(err)
	}
	var table evaluate.Table
	if err := call(t.Context(), "POST", "http://"+a.Console+"/api/v1/evaluations", map[string]any{"pipeline": "compressors", "versions": []string{"champion"}, "who": "tester"}, &table); err != nil {
		t.Fatal(err)
	}
	// The demo's hundred engines have failed; those on the line have not, and count where they surely had more than the cap left.
	all := table.Cell(evaluate.All, table.Versions[0].Version)
	if table.Scenarios[0].Windows < 500 || table.Scenarios[0].Assets < 8 || !(all.Value > 2 && all.Value < 60) || !(all.Low < all.Value && all.Value < all.High) {
		t.Errorf("of %+v the champion has %+v", table.Scenarios[0], all)
	}
	if c := table.Cell("noise", all.Version); c == nil || c.Value == all.Value {
		t.Errorf("in noise it has %+v", c)
	}
	var kept []evaluate.Table
	if err := call(t.Context(), "GET", "http://"+a.Console+"/api/v1/evaluations?pipeline=compressors&limit=1", nil, &kept); err != nil || len(kept) != 1 || fmt.Sprint(kept[0].Text()) != fmt.Sprint(table.Text()) {
		t.Errorf("kept are %d tables, %v", len(kept), err)
	}
	code, out, talk := ask(t, "model", "compare", "--data", p.data, "--pipeline", "compressors", "--scenarios", "noise", "champion", all.Version)
	if code == exitOK || !strings.Contains(talk, "is named twice") {
		t.Errorf("the champion beside itself: exit code %d: %s %s", code, out, talk)
	}
}

// A version serves from when it becomes champion until another does, and may come back.
func TestServiceOf(t *testing.T) {
	at := func(hours int) time.Time { return time.Unix(0, 0).Add(time.Duration(hours) * time.Hour).UTC() }
	move := func(hours int, alias model.Alias, to string) model.Move {
		return model.Move{Time: at(hours), Alias: alias, To: to}
	}
	moves := []model.Move{move(1, model.Champion, "a"), move(2, model.Champion, "a"), move(3, model.Challenger, "b"), move(5, model.Champion, "b"), move(9, model.Champion, "a")}
	check := func(version, want string) {
		t.Helper()
		got := ""
		for _, s := range serviceOf(moves, version, at(12)) {
			got += fmt.Sprintf("%d-%d ", int(s[0].Sub(at(0)).Hours()), int(s[1].Sub(at(0)).Hours()))
		}
		if got != want {
			t.Errorf("%s serves %q, want %q", version, got, want)
		}
	}
	check("a", "1-5 9-12 ")
	check("b", "5-9 ")
	check("c", "")
}
