package console

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"andon/event"
)

// cord is a loop that remembers what it was told.
type cord struct {
	told []string
	err  error
}

func (c *cord) Status() any {
	return []map[string]string{{"pipeline": "compressors", "stage": "canary"}}
}

func (c *cord) Order(pipeline, act, who, why string) error {
	c.told = append(c.told, strings.Join([]string{pipeline, act, who, why}, " "))
	return c.err
}

func (c *cord) Decisions(_ context.Context, pipeline string, limit int) ([]event.Decision, error) {
	if c.err != nil {
		return nil, c.err
	}
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC).UnixNano()
	return []event.Decision{
		{Pipeline: pipeline, Stage: event.StageTrigger, Verdict: event.DecidedGo, Reason: "drift", Time: at, Who: "loop", Facts: `{"id":"c1"}`},
		{Pipeline: pipeline, Stage: event.StageGate, Verdict: event.DecidedNo, Reason: "worse", Time: at + 1e9, Who: "loop", Facts: "no JSON"},
	}[:min(limit, 2)], nil
}

func TestLoop(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 1)
	a.start(t)
	ask := func(method, path, body string, want int, says string) {
		t.Helper()
		code, out, _ := a.ask(t, method, path, body, "Content-Type", "application/json")
		if code != want || !strings.Contains(out, says) {
			t.Errorf("%s %s %s: %d %s; want %d %q", method, path, body, code, out, want, says)
		}
	}
	for _, path := range []string{"/api/v1/loop", "/api/v1/decisions"} {
		ask("GET", path, "", http.StatusNotImplemented, "leads no models")
	}
	c := &cord{}
	a = newAppliance(t, syntheticConfig(), 1)
	a.deps.Loop = c
	a.start(t)
	ask("GET", "/api/v1/loop", "", 200, `[{"pipeline":"compressors","stage":"canary"}]`)
	ask("GET", "/api/v1/decisions?pipeline=compressors", "", 200, `"stage":"gate","verdict":"no","reason":"worse","who":"loop"},{"time":"2026-11-26T12:00:00Z"`) // newest first, and facts that are none left out
	ask("GET", "/api/v1/decisions", "", 200, `"facts":{"id":"c1"}`)
	ask("GET", "/api/v1/decisions?limit=1&facts=0", "", 200, `"reason":"drift","who":"loop"}]`)
	ask("GET", "/api/v1/decisions?limit=0", "", 400, "limit")
	ask("POST", "/api/v1/loop/compressors", `{"act":"approve","who":"anna","why":"fine"}`, 202, "")
	ask("POST", "/api/v1/loop/compressors", `{"act":"start"}`, 202, "")
	ask("POST", "/api/v1/loop/compressors", `{"act":"dance"}`, 400, "act")
	ask("POST", "/api/v1/loop/x", `{"act":"stop"}`, 404, "no pipeline")
	c.err = errors.New("none goes on")
	ask("POST", "/api/v1/loop/compressors", `{"act":"stop"}`, 409, "none goes on")
	ask("GET", "/api/v1/decisions", "", 503, "none goes on")
	if got := strings.Join(c.told, "; "); got != "compressors approve anna fine; compressors start api ; compressors stop api " {
		t.Error(got)
	}
}
