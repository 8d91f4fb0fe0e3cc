package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"andon/event"
)

// A replay is asked for by whoever may write, in words that are understood, within bounds; all else does nothing.
func TestReplayAsk(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 1)
	a.deps.Replay = nil
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

// syntheticLetter is a dead letter that the plant's store holds, and what its replays left.
type syntheticLetter struct {
	event.DeadLetter
	stored time.Time
	sent   int64
	doubt  int64
	to     event.Position
	by     string
}

// letters gives the plant what a real one sets aside.
func (a *appliance) letters() {
	at := time.Now().Add(-20 * time.Minute)
	add := func(pipeline, reason, detail string, key, value []byte, headers ...event.Header) {
		n := int64(len(a.post))
		at = at.Add(17 * time.Second)
		a.post = append(a.post, &syntheticLetter{DeadLetter: event.DeadLetter{Pipeline: pipeline, Reason: reason, Detail: detail, Record: event.Record{
			Position: event.Position{Topic: "fleet." + pipeline, Partition: int32(n % 4), Offset: 1800 + 7*n}, Time: at.UnixNano(), Key: key, Value: value, Headers: headers}}, stored: at})
	}
	for i := range 24 {
		add("compressors", event.ReasonLate, "event time 2020-01-05T07:00:00Z of \"compressor-017\" is 9h0m0s behind its newest row, and its slot is closed; the pipeline allows a lateness of 3h0m0s",
			[]byte("compressor-017"), fmt.Appendf(nil, `{"asset":"compressor-017","time":"2020-01-05T07:00:00Z","s_2":642.%d,"s_3":1587.1}`, i))
	}
	add("machine-temperature", event.ReasonFuture, "asset machine-1: event time 2031-01-01T00:00:00Z is 43800h ahead of the record's timestamp", nil, []byte(`{"asset":"machine-1","time":"2031-01-01T00:00:00Z","temperature":81.5}`))
	for i := range 11 {
		add("compressors", event.ReasonMalformed, "field time: \"yesterday\" is no time: send RFC 3339", fmt.Appendf(nil, "compressor-%03d", i), []byte(`{"asset":"compressor-001","time":"yesterday","s_2":1}`))
	}
	add("compressors", event.ReasonMalformed, "it is no JSON: the first byte is 0x0a", []byte{0xff, 1}, []byte("\x0a\x00\xffPB\x12\x07compres\x1a"), event.Header{Key: "trace", Value: []byte("7f3a")},
		event.Header{Key: "trace", Value: []byte{0, 0xff}}, event.Header{Key: "andon.replayed-from", Value: []byte("fleet.compressors/0@1800 compressors")})
	a.post[3].doubt = 1
	a.post[5].sent, a.post[5].to, a.post[5].by = 1, event.Position{Topic: "fleet.compressors", Partition: 1, Offset: 90_210}, "ana@plant"
}

// letterRows answers the console's questions about letters.
func (a *appliance) letterRows(sql string, params map[string]string) (rows [][]any) {
	if sql == lettersByReason {
		sums := map[[2]string][]any{}
		for _, l := range a.post {
			k := [2]string{l.Pipeline, l.Reason}
			if params["pipeline"] != "" && params["pipeline"] != l.Pipeline || params["reason"] != "" && params["reason"] != l.Reason {
				continue
			}
			if sums[k] == nil {
				sums[k] = []any{l.Pipeline, l.Reason, uint64(0), uint64(0), uint64(0), int64(0), ""}
				rows = append(rows, sums[k])
			}
			r := sums[k]
			r[2] = r[2].(uint64) + 1
			if l.sent > 0 {
				r[3] = r[3].(uint64) + 1
			} else if l.doubt > 0 {
				r[4] = r[4].(uint64) + 1
			}
			r[5], r[6] = l.stored.UnixMilli(), l.Detail
		}
		return rows
	}
	for i := len(a.post) - 1; i >= 0; i-- {
		l := a.post[i]
		if sql == wholeLetter && (l.Topic != params["topic"] || fmt.Sprint(l.Partition) != params["partition"] || fmt.Sprint(l.Offset) != params["offset"]) ||
			sql == newestLetters && (params["pipeline"] != "" && params["pipeline"] != l.Pipeline || params["reason"] != "" && params["reason"] != l.Reason) {
			continue
		}
		origin := ""
		var names, values []any
		for _, h := range l.Headers {
			if h.Key == "andon.replayed-from" {
				origin = string(h.Value)
			}
			names, values = append(names, h.Key), append(values, string(h.Value))
		}
		row := []any{l.Pipeline, l.Reason, l.Detail, l.Topic, int64(l.Partition), l.Offset, l.Time / 1e6, l.stored.UnixMilli(), l.Key == nil, l.Value == nil, uint64(len(l.Key)), uint64(len(l.Value)),
			origin, uint64(l.sent), uint64(l.doubt), l.to.Topic, int64(l.to.Partition), l.to.Offset, l.by, l.stored.UnixMicro(), string(l.Key), string(l.Value)}
		if sql == wholeLetter {
			row = append(row, names, values)
		}
		rows = append(rows, row)
	}
	return rows
}

// resend is the plant's replay: to the topic "nowhere" nothing can be sent.
func (a *appliance) resend(_ context.Context, ask ReplayAsk) (*ReplayAnswer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := &ReplayAnswer{Run: "plant", Letters: []ReplayedLetter{}}
	for _, l := range a.post {
		at := l.Position.String()
		if len(ask.Letters) > 0 && !slices.Contains(ask.Letters, at) || ask.Pipeline != "" && ask.Pipeline != l.Pipeline || ask.Reason != "" && ask.Reason != l.Reason {
			continue
		}
		out.Chosen++
		if !ask.Again && l.sent > 0 {
			out.Before++
			continue
		}
		if !ask.Again && l.doubt > 0 {
			out.InDoubt++
			continue
		}
		if len(out.Letters) == ask.Limit {
			continue
		}
		r := ReplayedLetter{From: at, Pipelines: []string{l.Pipeline}, Reasons: []string{l.Reason}, To: l.Topic, State: "to send"}
		if !ask.DryRun {
			if r.State = "sent"; ask.To == "nowhere" {
				r.State, r.Detail = "failed", "topic nowhere does not exist: create it, or name another with --to"
			} else {
				l.sent, l.to, l.by = l.sent+1, event.Position{Topic: l.Topic, Partition: l.Partition, Offset: 90_000 + l.Offset}, ask.Who
				r.To = l.to.String()
			}
		}
		out.Letters = append(out.Letters, r)
	}
	return out, nil
}

// The letters are told in numbers, as a list, and whole.
func TestLetters(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 1)
	a.letters()
	a.start(t)
	get := func(want int, path string) string {
		t.Helper()
		code, body, _ := a.ask(t, "GET", "/api/v1/deadletters"+path, "")
		if code != want {
			t.Fatalf("%s: %d %s; want %d", path, code, body, want)
		}
		return body
	}
	all := decode[DeadLetters](t, get(200, "?limit=5"))
	if len(all.Letters) != 5 || !all.Truncated || len(all.Summary) != 3 || all.Summary[0].Letters != 24 || all.Summary[0].Sent != 1 || all.Summary[0].InDoubt != 1 || all.Summary[2].LastDetail == "" {
		t.Errorf("%+v", all)
	}
	if l := all.Letters[0]; l.Letter != "fleet.compressors/0@2052" || l.KeyText != "\uFFFD\x01" || !strings.HasPrefix(l.ValueText, "\n\x00\uFFFDPB") || l.ValueSize != 15 || l.Origin != "fleet.compressors/0@1800 compressors" {
		t.Errorf("%+v", l)
	}
	late := decode[DeadLetters](t, get(200, "?pipeline=compressors&reason=late"))
	if len(late.Letters) != 24 || len(late.Summary) != 1 || late.Truncated || late.Letters[18].SentTo != "fleet.compressors/1@90210" || late.Letters[18].SentBy != "ana@plant" {
		t.Errorf("%+v", late.Letters[18])
	}
	whole := decode[[]DeadLetter](t, get(200, "/fleet.compressors/0/2052"))
	if len(whole) != 1 || string(whole[0].Value) != "\x0a\x00\xffPB\x12\x07compres\x1a" || string(whole[0].Key) != "\xff\x01" || len(whole[0].Headers) != 3 || string(whole[0].Headers[1].Value) != "\x00\xff" {
		t.Errorf("%+v", whole)
	}
	if w := decode[[]DeadLetter](t, get(200, "/fleet.machine-temperature/0/1968")); !w[0].KeyNull || w[0].ValueNull {
		t.Errorf("%+v", w)
	}
	get(404, "/fleet.compressors/0/1")
	get(400, "/fleet.compressors/x/1")
	get(400, "?limit=0")
	get(400, "?since=yesterday")
	a.mu.Lock()
	a.refuse = errors.New("code: 241, message: Memory limit exceeded")
	a.mu.Unlock()
	get(422, "")
	get(422, "/fleet.compressors/0/2052")
}
