package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/console"
	"andon/event"
	"andon/sinks/alerts"
)

type noStore struct{}

func (noStore) QueryParams(context.Context, string, map[string]string, int) (*event.Table, error) {
	return nil, errors.New("away")
}

// alertHouse is a console over a desk with one webhook, which answers as it is told.
func alertHouse(t *testing.T) (base string, desk *alerts.Desk, answer func(status int)) {
	t.Helper()
	status := make(chan int, 1)
	status <- 200
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		s := <-status
		status <- s
		w.WriteHeader(s)
		_, _ = io.WriteString(w, "said the hook")
	}))
	t.Cleanup(hook.Close)
	cfg := alerts.Default()
	cfg.Receivers = []alerts.Receiver{{Name: "ops", Webhook: &alerts.Webhook{HTTP: alerts.HTTP{URL: alerts.Secret(hook.URL)}}}}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	reg := prometheus.NewRegistry()
	desk = alerts.New(cfg, log, reg)
	cc := console.Default()
	cc.Listen = "127.0.0.1:0"
	screen := console.New(cc, console.Deps{Store: noStore{}, Metrics: reg, Register: reg, Status: func() console.Status { return console.Status{} }, Ready: func() error { return nil }, Alerts: alertDesk{desk}}, log)
	page, err := screen.Listen()
	if err != nil {
		t.Fatal(err)
	}
	if err := desk.Open(t.Context(), alerts.Deps{Watch: screen.Alert, Links: "http://" + page}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	team := newCrew(ctx, 1)
	team.run(0, "console", screen.Run)
	team.run(0, "alerts", desk.Run)
	t.Cleanup(func() {
		cancel()
		if err := team.wait(); err != nil {
			t.Error(err)
		}
	})
	return "http://" + page, desk, func(s int) { <-status; status <- s }
}

func TestAlertsCommands(t *testing.T) {
	base, desk, answer := alertHouse(t)
	andon := func(code int, args ...string) (string, string) {
		t.Helper()
		var out, said bytes.Buffer
		if got := run(append([]string{"alerts"}, append(args, "--url", base)...), &out, &said); got != code {
			t.Errorf("andon alerts %v: exit %d, want %d: %s%s", args, got, code, out.String(), said.String())
		}
		return out.String(), said.String()
	}
	has := func(text string, wants ...string) {
		t.Helper()
		for _, w := range wants {
			if !strings.Contains(text, w) {
				t.Errorf("no %q in %q", w, text)
			}
		}
	}
	_, said := andon(0, "list")
	has(said, "there are no such alerts")
	desk.Raise(event.Alert{ID: "p/rule/press 1?", Pipeline: "p", Kind: event.AlertRule, Severity: event.SeverityCritical, Title: "too hot\x1b[31m", Detail: "cool it", Asset: "press 1?", Evidence: "#/asset/p/press"})
	deadline := time.Now().Add(10 * time.Second)
	for {
		if m, _, err := desk.Get("p/rule/press 1?"); err == nil && m.Told["ops"].State == event.ToldDelivered {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it was not delivered")
		}
		time.Sleep(5 * time.Millisecond)
	}
	out, _ := andon(0, "list")
	has(out, "critical", "firing", "p/rule/press 1?", `too hot\x1b[31m`, "ops: delivered")
	out, _ = andon(0, "show", "p/rule/press 1?")
	has(out, "cool it", base+"/#/asset/p/press", "ops: delivered after 1 tries", "delivered")
	_, said = andon(0, "ack", "p/rule/press 1?", "-m", "on it", "--who", "eva", "--for", "2h")
	has(said, "is acknowledged")
	out, _ = andon(0, "list", "--json")
	var list console.AlertList
	if err := json.Unmarshal([]byte(out), &list); err != nil || list.Open != 1 || list.Alerts[0].Ack == nil || list.Alerts[0].Ack.Comment != "on it" || time.Until(list.Alerts[0].Ack.Until) < time.Hour {
		t.Errorf("%v %+v", err, list)
	}
	_, said = andon(1, "ack", "none")
	has(said, `there is no alert "none"`)
	andon(0, "snooze", "p/rule/press 1?")
	out, _ = andon(0, "silence", "pipeline=p", "-m", "maintenance", "--json")
	var made []console.AlertSilence
	if err := json.Unmarshal([]byte(out), &made); err != nil || len(made) != 1 {
		t.Fatal(out, err)
	}
	out, _ = andon(0, "silence")
	has(out, "pipeline=p", "maintenance")
	andon(0, "silence", "--end", made[0].ID)
	andon(1, "silence", "--end", made[0].ID)
	andon(2, "silence", "no label")
	andon(0, "resolve", "p/rule/press 1?")
	_, said = andon(1, "resolve", "p/rule/press 1?")
	has(said, "is resolved")
	out, _ = andon(0, "list", "--state", "resolved")
	has(out, "resolved", "press 1?")

	out, _ = andon(0, "test", "ops")
	has(out, "ops (webhook) took the test in")
	answer(500)
	_, said = andon(1, "test", "ops")
	has(said, "did not take the test", "500", "said the hook")
	_, said = andon(1, "test", "nobody")
	has(said, `there is no receiver "nobody"`)
	answer(400)
	desk.Raise(event.Alert{ID: "bad", Kind: event.AlertRule, Severity: event.SeverityCritical, Title: "bad"})
	for len(deadOf(desk)) == 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	out, _ = andon(0, "list", "--state", "dead")
	has(out, "bad", "ops: dead")
	answer(200)
	andon(0, "resend", "bad")
	for len(deadOf(desk)) > 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	andon(1, "resend", "bad")
}

func deadOf(d *alerts.Desk) []*event.Matter {
	list, _ := d.List(alerts.Filter{State: "dead"})
	return list
}
