package trainer

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"andon/model"
)

var update = flag.Bool("update", false, "write what the policy says into testdata/policy.txt")

func TestPolicy(t *testing.T) {
	const file = "testdata/policy.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := Default()
	var out []string
	lines := strings.Split(string(text), "\n")
	cases := 0
	for i := 0; i < len(lines); i++ {
		out = append(out, lines[i])
		if lines[i] == "" || strings.HasPrefix(lines[i], "#") {
			continue
		}
		if i+2 >= len(lines) {
			t.Fatalf("line %d: a case has three lines", i+1)
		}
		spec, loop, state := policyCase(t, lines[i], lines[i+1])
		d := decide(&c, &spec, &loop, &state)
		got := "  " + string(d.Verdict) + ": " + d.Reason
		if d.Trigger != "" {
			got = fmt.Sprintf("  %s (%s, settles %d): %s", d.Verdict, d.Trigger, len(d.Alarms), d.Reason)
		}
		if want := lines[i+2]; got != want && !*update {
			t.Errorf("%s:%d: %s, %s:\n got %s\nwant %s", file, i+3, lines[i], strings.TrimSpace(lines[i+1]), got, want)
		}
		out = append(out, lines[i+1], got)
		cases++
		i += 2
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(out, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if cases < 10 {
		t.Errorf("only %d cases read", cases)
	}
}

func policyCase(t *testing.T, settings, known string) (Spec, Loop, State) {
	t.Helper()
	number := func(v string) int {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	duration := func(v string) time.Duration {
		d, err := time.ParseDuration(v)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	words := strings.Fields(settings)
	spec, loop := DefaultSpec(model.Task(words[0])), DefaultLoop()
	state := State{Now: time.Unix(1e9, 0)}
	for _, w := range append(words[1:], strings.Fields(known)...) {
		key, v, _ := strings.Cut(w, "=")
		switch key {
		case "min_assets":
			spec.MinAssets = number(v)
		case "min_rows":
			spec.MinRows = number(v)
		case "settle":
			spec.Settle = duration(v)
		case "assets":
			state.Assets = number(v)
		case "incomplete":
			state.Incomplete = number(v)
		case "rows":
			state.Rows = uint64(number(v))
		case "quiet":
			state.Changed = state.Now.Add(-duration(v))
		case "champion":
			state.Champion = v
		case "failures":
			state.Failures = number(v)
		case "ended":
			state.Ended = state.Now.Add(-duration(v))
		case "asked":
			state.Asked = v
		case "approval":
			loop.Approval = Approval(v)
		case "triggers":
			loop.Triggers = strings.Split(v, ",")
		case "labels":
			loop.Labels = number(v)
		case "cooldown":
			loop.Cooldown = duration(v)
		case "budget":
			loop.Budget = duration(v)
		case "campaign":
			state.Campaign, state.Stage, _ = strings.Cut(v, "@")
		case "cooling":
			state.Cooling = state.Now.Add(-duration(v))
		case "due":
			state.Due = state.Now.Add(-duration(v))
		case "fresh":
			state.Fresh = number(v)
		case "recent": // of fresh, those since an hour ago
			state.Recent, state.Since = number(v), state.Now.Add(-time.Hour)
		case "spent":
			state.Spent = duration(v)
		case "alarm": // kind, or kind@version
			kind, version, _ := strings.Cut(v, "@")
			state.Alarms = append(state.Alarms, Alarm{ID: fmt.Sprint(len(state.Alarms)), Kind: kind, Version: version, Detail: "alarm-" + fmt.Sprint(len(state.Alarms))})
		default:
			t.Fatalf("unknown word %q", w)
		}
	}
	if state.Changed.IsZero() {
		state.Changed = state.Now
	}
	return spec, loop, state
}
