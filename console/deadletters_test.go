package console

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// A replay is asked for by whoever may write, in words that are understood, within bounds; all else does nothing.
func TestReplayAsk(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 1)
	a.start(t)
	post := func(want int, body, says string, header ...string) {
		t.Helper()
		code, out, _ := a.ask(t, "POST", "/api/v1/deadletters/replay", body, append([]string{"Content-Type", "application/json"}, header...)...)
		if code != want || !strings.Contains(out, says) {
			t.Errorf("%s: %d %s; want %d and %q", body, code, out, want, says)
		}
	}
	post(501, `{"all":true}`, "sends nothing")

	var mu sync.Mutex
	var asked []ReplayAsk
	var refuse error
	b := newAppliance(t, syntheticConfig(), 1)
	b.deps.Replay = func(_ context.Context, ask ReplayAsk) (*ReplayAnswer, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, ask)
		if refuse != nil {
			return nil, refuse
		}
		return &ReplayAnswer{Run: "r", Chosen: 1, Letters: []ReplayedLetter{{From: "a/0@1", To: "a/0@9", State: "sent"}}}, nil
	}
	b.start(t)
	a = b
	post(400, `{}`, "choose dead letters")
	post(400, `{"all":true,"pipeline":"p"}`, "choose dead letters")
	post(400, `{"letters":["a/0"]}`, "topic/partition@offset")
	post(400, `{"letters":["a/0@1"],"dryrun":true}`, "dryrun")
	post(400, `{"letters":["a/0@1"]} {}`, "more after")
	post(400, `{"reason":"late","limit":1001}`, "limit")
	post(400, `{"reason":"late","limit":-1}`, "limit")
	post(400, `{"reason":"late","since":"yesterday"}`, "yesterday")
	post(400, `{"letters":[`+strings.Repeat(`"a/0@1",`, 1000)+`"a/0@1"]}`, "1001 positions")
	post(415, `{"all":true}`, "JSON", "Content-Type", "text/plain")
	post(403, `{"all":true}`, "origins", "Origin", "https://evil.example")
	post(403, `{"all":true}`, "origins", "Sec-Fetch-Site", "cross-site")
	if len(asked) > 0 {
		t.Fatalf("asked for %+v", asked)
	}
	post(200, `{"letters":["a/0@1"],"to":"b","dry_run":true,"again":true,"who":"me","after":"1 a/0@0"}`, `"to":"a/0@9"`)
	post(200, `{"reason":"late","since":"2020-01-01T00:00:00Z","limit":7}`, `"chosen":1`)
	want := []ReplayAsk{{Letters: []string{"a/0@1"}, To: "b", DryRun: true, Again: true, Who: "me", After: "1 a/0@0", Limit: 100},
		{Reason: "late", Since: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), Limit: 7}}
	if fmt.Sprint(asked) != fmt.Sprint(want) {
		t.Errorf("asked for\n%+v, want\n%+v", asked, want)
	}
	for err, code := range map[error]int{fmt.Errorf("%w: one is going on", ErrBusy): 409, fmt.Errorf("%w: not there", ErrAsk): 400, errors.New("the brokers do not answer"): 422} {
		mu.Lock()
		refuse = err
		mu.Unlock()
		post(code, `{"all":true}`, err.Error())
	}
}
