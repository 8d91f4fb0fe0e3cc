package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/console"
	"andon/event"
)

type alertsCommand struct {
	List    alertsList    `cmd:"" help:"List alerts, the open and worst ones first."`
	Show    alertsShow    `cmd:"" help:"Show one alert, with every try to tell of it."`
	Ack     alertsAck     `cmd:"" help:"Say that you look after alerts: they are not told again meanwhile."`
	Unack   alertsUnack   `cmd:"" help:"Take an acknowledgement back."`
	Snooze  alertsSnooze  `cmd:"" help:"Keep alerts from the receivers for a time."`
	Resolve alertsResolve `cmd:"" help:"End alerts by hand."`
	Resend  alertsResend  `cmd:"" help:"Send alerts again to the receivers that have given them up."`
	Silence alertsSilence `cmd:"" help:"Keep alerts that match from the receivers for a time; without labels, list the silences."`
	Test    alertsTest    `cmd:"" help:"Send a test to a receiver and tell what comes of it."`
}

type alertsList struct {
	appliance
	State    string `help:"open, resolved, dead (given up by a receiver) or all." enum:"open,resolved,dead,all" default:"open"`
	Pipeline string `help:"Only this pipeline's."`
	Kind     string `help:"Only of this kind: rule, drift, error, training, absent or bottleneck."`
	Severity string `help:"Only of this severity: info, warning or critical."`
	Limit    int    `help:"Alerts to list at most, 1 to 10000." default:"100"`
	JSON     bool   `name:"json" help:"Print the answer as JSON."`
}

func (c *alertsList) Run(t *talk) error {
	base, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	state := c.State
	if state == "all" {
		state = ""
	}
	q := url.Values{"state": {state}, "pipeline": {c.Pipeline}, "kind": {c.Kind}, "severity": {c.Severity}, "limit": {strconv.Itoa(c.Limit)}}
	var all console.AlertList
	if err := call(t.ctx, "GET", base+"/api/v1/alerts?"+q.Encode(), nil, &all); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(&all)
	}
	for _, r := range all.Receivers {
		if r.Failures > 0 {
			fmt.Fprintf(t.err, "receiver %s (%s) fails: %d tries, the next at %s\n", r.Name, r.Way, r.Failures, r.Next.Format(time.TimeOnly))
		}
	}
	if len(all.Receivers) == 0 {
		fmt.Fprintln(t.err, "nobody is told of alerts: alerts.receivers in the configuration is empty")
	}
	if len(all.Alerts) == 0 {
		fmt.Fprintf(t.err, "there are no such alerts; %d are open\n", all.Open)
		return nil
	}
	list := &event.Table{Columns: []string{"severity", "state", "alert", "since", "title", "told"}}
	for _, m := range all.Alerts {
		list.Rows = append(list.Rows, []any{m.Severity, stateOf(m), m.ID, m.Since.Format(time.DateTime), clipped(m.Title, 80), toldOf(m)})
	}
	if err := printTable(t.out, list); err != nil {
		return err
	}
	if all.Count > len(all.Alerts) {
		fmt.Fprintf(t.err, "%d of %d; --limit shows more\n", len(all.Alerts), all.Count)
	}
	return nil
}

func stateOf(m *event.Matter) string {
	switch {
	case m.State == event.MatterResolved:
		return m.State
	case m.Ack != nil:
		return "acknowledged by " + m.Ack.Who
	case m.Snooze != nil:
		return "snoozed until " + m.Snooze.Until.Format(time.TimeOnly)
	case m.Silenced != "":
		return "silenced"
	case m.Flapping:
		return "flapping"
	}
	return m.State
}

func toldOf(m *event.Matter) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(m.Told)) {
		all = append(all, name+": "+m.Told[name].State)
	}
	return strings.Join(all, ", ")
}

type alertsShow struct {
	appliance
	Alert string `arg:"" help:"The alert's ID."`
	JSON  bool   `name:"json" help:"Print the answer as JSON."`
}

func alertURL(base, id, act string) string {
	u := base + "/api/v1/alerts/" + url.PathEscape(id)
	if act != "" {
		u += "/" + act
	}
	return u
}

func (c *alertsShow) Run(t *talk) error {
	base, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	var a console.AlertWhole
	if err := call(t.ctx, "GET", alertURL(base, c.Alert, ""), nil, &a); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(&a)
	}
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t.out, "%-11s %s\n", name, printable(value))
		}
	}
	line("alert", a.ID)
	line("severity", a.Severity)
	line("state", stateOf(a.Matter))
	line("title", a.Title)
	for _, l := range strings.Split(a.Detail, "\n") {
		line("detail", l)
	}
	line("pipeline", a.Pipeline)
	line("asset", a.Asset)
	for _, k := range slices.Sorted(maps.Keys(a.Labels)) {
		line("label", k+" = "+a.Labels[k])
	}
	line("since", a.Since.Format(time.RFC3339))
	line("fired", fmt.Sprintf("%s, %d times", a.First.Format(time.RFC3339), a.Fired))
	if !a.Ended.IsZero() {
		line("resolved", a.Ended.Format(time.RFC3339)+" "+a.ResolvedBy)
	}
	if a.Ack != nil {
		line("ack", fmt.Sprintf("%s at %s: %s", a.Ack.Who, a.Ack.At.Format(time.RFC3339), a.Ack.Comment))
	}
	if a.Evidence != "" {
		line("evidence", base+"/"+strings.TrimPrefix(a.Evidence, "/"))
	}
	for _, name := range slices.Sorted(maps.Keys(a.Told)) {
		s := a.Told[name]
		line("told", strings.TrimSpace(fmt.Sprintf("%s: %s after %d tries %s", name, s.State, s.Tries, s.Error)))
	}
	if len(a.Deliveries) == 0 {
		return nil
	}
	fmt.Fprintln(t.out)
	list := &event.Table{Columns: []string{"time", "receiver", "try", "state", "ms", "alerts", "error"}}
	for _, d := range a.Deliveries {
		list.Rows = append(list.Rows, []any{d.Time.Format(time.DateTime), d.Receiver, d.Try, d.State, fmt.Sprintf("%.1f", d.LatencyMS), d.Alerts, clipped(d.Error, 120)})
	}
	return printTable(t.out, list)
}

// alertsAct is what the commands that do something about alerts share.
type alertsAct struct {
	appliance
	Alerts []string `arg:"" help:"The alerts' IDs."`
	Who    string   `help:"Who you are." default:"${user}"`
	JSON   bool     `name:"json" help:"Print each alert as a line of JSON."`
}

func (c *alertsAct) do(t *talk, act, comment string, lasts time.Duration, done string) error {
	base, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	failed := false
	for _, id := range c.Alerts {
		var m event.Matter
		if err := call(t.ctx, "POST", alertURL(base, id, act), &console.AlertAct{Who: c.Who, Comment: comment, Seconds: int(lasts.Seconds())}, &m); err != nil {
			fmt.Fprintf(t.err, "%s: %v\n", id, err)
			failed = true
			continue
		}
		if c.JSON {
			if err := json.NewEncoder(t.out).Encode(&m); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(t.err, "%s is %s: %s\n", m.ID, done, printable(m.Title))
	}
	if failed {
		return errSaid
	}
	return nil
}

type alertsAck struct {
	alertsAct
	Comment string        `help:"Why, for others." short:"m"`
	For     time.Duration `help:"How long it holds, as 2h; without it until the alert is over." placeholder:"DURATION"`
}

func (c *alertsAck) Run(t *talk) error { return c.do(t, "ack", c.Comment, c.For, "acknowledged") }

type alertsUnack struct {
	alertsAct
	Comment string `help:"Why, for others." short:"m"`
}

func (c *alertsUnack) Run(t *talk) error { return c.do(t, "unack", c.Comment, 0, "open again") }

type alertsSnooze struct {
	alertsAct
	Comment string        `help:"Why, for others." short:"m"`
	For     time.Duration `help:"How long, as 30m." default:"1h" placeholder:"DURATION"`
}

func (c *alertsSnooze) Run(t *talk) error { return c.do(t, "snooze", c.Comment, c.For, "snoozed") }

type alertsResolve struct {
	alertsAct
	Comment string `help:"Why, for others." short:"m"`
}

func (c *alertsResolve) Run(t *talk) error { return c.do(t, "resolve", c.Comment, 0, "resolved") }

type alertsResend struct{ alertsAct }

func (c *alertsResend) Run(t *talk) error { return c.do(t, "resend", "", 0, "sent again") }

type alertsSilence struct {
	appliance
	Match   []string      `arg:"" optional:"" help:"Labels, as pipeline=compressors severity=info|warning."`
	Who     string        `help:"Who you are." default:"${user}"`
	Comment string        `help:"Why, for others." short:"m"`
	For     time.Duration `help:"How long, as 30m." default:"1h" placeholder:"DURATION"`
	End     string        `help:"End this silence." placeholder:"ID"`
	JSON    bool          `name:"json" help:"Print the answer as JSON."`
}

func (c *alertsSilence) Run(t *talk) error {
	base, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	base += "/api/v1/alerts/silences"
	if c.End != "" {
		return call(t.ctx, "DELETE", base+"/"+url.PathEscape(c.End), nil, nil)
	}
	all := []console.AlertSilence{}
	if len(c.Match) == 0 {
		if err := call(t.ctx, "GET", base, nil, &all); err != nil {
			return err
		}
	} else {
		ask := console.AlertSilence{Match: map[string]string{}, Who: c.Who, Comment: c.Comment, Seconds: int(c.For.Seconds())}
		for _, m := range c.Match {
			k, v, ok := strings.Cut(m, "=")
			if !ok || k == "" || v == "" {
				return usage(fmt.Errorf("%q is not label=value", m))
			}
			ask.Match[k] = v
		}
		var made console.AlertSilence
		if err := call(t.ctx, "POST", base, &ask, &made); err != nil {
			return err
		}
		all = append(all, made)
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(all)
	}
	list := &event.Table{Columns: []string{"silence", "until", "who", "match", "comment"}}
	for _, s := range all {
		var match []string
		for _, k := range slices.Sorted(maps.Keys(s.Match)) {
			match = append(match, k+"="+s.Match[k])
		}
		list.Rows = append(list.Rows, []any{s.ID, s.Until.Format(time.DateTime), s.Who, strings.Join(match, " "), s.Comment})
	}
	return printTable(t.out, list)
}

type alertsTest struct {
	appliance
	Receiver string `arg:"" help:"Its name in the configuration."`
	Who      string `help:"Who you are." default:"${user}"`
	JSON     bool   `name:"json" help:"Print the outcome as JSON."`
}

func (c *alertsTest) Run(t *talk) error {
	base, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	var o console.AlertOutcome
	if err := call(t.ctx, "POST", base+"/api/v1/alerts/test", map[string]string{"receiver": c.Receiver, "who": c.Who}, &o); err != nil {
		return err
	}
	if c.JSON {
		if err := json.NewEncoder(t.out).Encode(&o); err != nil {
			return err
		}
	} else if o.OK {
		fmt.Fprintf(t.out, "%s (%s) took the test in %.1f ms\n", o.Receiver, o.Way, o.Millis)
	}
	if !o.OK {
		return fmt.Errorf("%s (%s) did not take the test: %s", o.Receiver, o.Way, o.Error)
	}
	return nil
}
