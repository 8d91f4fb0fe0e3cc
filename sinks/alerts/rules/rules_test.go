package rules

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"andon/event"
)

func score(asset string, end int, risk float32) event.Score {
	return event.Score{Pipeline: "p", Asset: asset, Start: int64(end-10) * 1e9, End: int64(end) * 1e9, Version: "v1", Verdict: event.Verdict{Risk: risk}}
}

var plain = Config{Risk: 0.8, For: 3, ResolveBelow: 0.6, Severity: event.SeverityCritical}

func watch(cfg Config, open ...string) (*Rules, *[]string) {
	var said []string
	known := map[string]bool{}
	for _, id := range open {
		known[id] = true
	}
	return New(map[string]Config{"p": cfg}, func(a event.Alert) {
		state := "fires"
		if a.Resolved {
			state = "over"
		}
		known[a.ID] = !a.Resolved
		said = append(said, fmt.Sprintf("%s %s", a.Asset, state))
	}, func(id string) bool { return known[id] }), &said
}

func TestRule(t *testing.T) {
	check := func(name string, cfg Config, want string, risks ...float32) {
		t.Helper()
		r, said := watch(cfg)
		for i, x := range risks {
			r.Observe("p", nil, []event.Score{score("a", i+1, x)})
		}
		if got := strings.Join(*said, ", "); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	check("two windows are not three", plain, "", .9, .9, .1, .9, .9)
	check("three in a row", plain, "a fires", .9, .8, .95, .99, .9)
	check("between the two lines nothing changes", plain, "a fires", .9, .9, .9, .7, .7, .7, .7)
	check("over after three below", plain, "a fires, a over", .9, .9, .9, .5, .7, .5, .5, .59, .9, .9)
	check("and again", plain, "a fires, a over, a fires", .9, .9, .9, .1, .1, .1, .9, .9, .9)
	cool := plain
	cool.Cooldown = 10 * time.Second
	check("cooldown", cool, "a fires, a over", .9, .9, .9, .1, .1, .1, .9, .9, .9, .9, .9)
	check("cooldown is over", cool, "a fires, a over, a fires", .9, .9, .9, .1, .1, .1, .9, .9, .9, .9, .9, .9, .9, .9, .9, .9)
	check("not a number", plain, "", float32(nan()), float32(nan()), float32(nan()))
}

func nan() float64 { var z float64; return z / z }

// What an earlier process fired is resolved by the next.
func TestAnOpenOneIsResolved(t *testing.T) {
	r, said := watch(plain, ID("p", "a"))
	for i := range 6 {
		r.Observe("p", nil, []event.Score{score("a", i+1, .1), score("b", i+1, .1)})
	}
	if got := strings.Join(*said, ", "); got != "a over" {
		t.Error(got)
	}
}

// The same scores give the same alerts however they are cut into batches, and when some come twice.
func TestBatchesDoNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var all []event.Score
	for i := range 3000 {
		all = append(all, score(fmt.Sprint("m", i%7), i+1, float32(0.5+0.5*rng.Float64()*rng.Float64()+0.1*float64(i/500%2))))
	}
	whole, want := watch(plain)
	whole.Observe("p", nil, all)
	for range 20 {
		r, got := watch(plain)
		for at := 0; at < len(all); {
			n := min(1+rng.IntN(50), len(all)-at)
			r.Observe("p", nil, all[at:at+n])
			if rng.IntN(4) == 0 {
				r.Observe("p", nil, all[max(0, at-5):at+n])
			}
			at += n
		}
		if fmt.Sprint(*got) != fmt.Sprint(*want) {
			t.Fatalf("%v, want %v", *got, *want)
		}
	}
	if len(*want) < 10 {
		t.Errorf("only %v", *want)
	}
}

func TestValidate(t *testing.T) {
	good := plain
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	bad := Config{Risk: 2, For: 0, ResolveBelow: 3, Severity: "loud", Cooldown: -1}
	err := bad.Validate()
	for _, key := range []string{"risk: ", "for: ", "resolve_below: ", "severity: ", "cooldown: "} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("no %s in %v", key, err)
		}
	}
}
