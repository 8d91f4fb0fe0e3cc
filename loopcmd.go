package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"andon/event"
)

type loopCommand struct {
	Status    loopStatus    `cmd:"" help:"Where each pipeline's loop is, with its statistics."`
	Decisions loopDecisions `cmd:"" help:"What was decided of late, and why."`
	Start     loopStart     `cmd:"" help:"Start a campaign: a challenger is trained, judged, and brought to the fleet where it is better."`
	Approve   loopApprove   `cmd:"" help:"Say yes to what the campaign asks."`
	Refuse    loopRefuse    `cmd:"" help:"Say no to what the campaign asks: it ends."`
	Stop      loopStop      `cmd:"" help:"End the campaign wherever it is. A new champion stays."`
}

// shownLoop is a pipeline's loop as the API tells of it.
type shownLoop struct {
	Pipeline string   `json:"pipeline"`
	Champion string   `json:"champion"`
	Verdict  string   `json:"verdict"`
	Reason   string   `json:"reason"`
	Approval string   `json:"approval"`
	Alarms   []string `json:"alarms"`
	Campaign *struct {
		ID         string     `json:"id"`
		Stage      string     `json:"stage"`
		Why        string     `json:"why"`
		Champion   string     `json:"champion"`
		Challenger string     `json:"challenger"`
		Entered    int64      `json:"entered"`
		Asking     string     `json:"asking"`
		Paired     *shownGain `json:"paired"`
		Watched    *shownGain `json:"watched"`
	} `json:"campaign"`
}

type shownGain struct {
	Numbers int     `json:"numbers"`
	Assets  int     `json:"assets"`
	Mean    float64 `json:"mean"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
}

func (g *shownGain) String() string {
	if g == nil {
		return ""
	}
	return fmt.Sprintf("gain %.3g in [%.3g, %.3g], %d assets", g.Mean, g.Low, g.High, g.Assets)
}

type loopStatus struct {
	appliance
	JSON     bool   `name:"json" help:"Print JSON."`
	Pipeline string `arg:"" optional:"" help:"Only this pipeline's."`
}

func (c *loopStatus) Run(t *talk) error {
	at, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	var raw []json.RawMessage
	if err := call(t.ctx, "GET", at+"/api/v1/loop", nil, &raw); err != nil {
		return err
	}
	table := &event.Table{Columns: []string{"pipeline", "champion", "campaign", "stage", "challenger", "since", "statistics", "says"}}
	kept := []json.RawMessage{}
	for _, r := range raw {
		var l shownLoop
		if err := json.Unmarshal(r, &l); err != nil {
			return err
		}
		if c.Pipeline != "" && c.Pipeline != l.Pipeline {
			continue
		}
		kept = append(kept, r)
		row := []any{l.Pipeline, l.Champion, "", "", "", "", "", l.Reason}
		if m := l.Campaign; m != nil {
			says, gain := m.Why, m.Paired
			if m.Asking != "" {
				says = "ASKS: " + m.Asking
			}
			if m.Watched != nil {
				gain = m.Watched
			}
			row = []any{l.Pipeline, l.Champion, m.ID, m.Stage, m.Challenger, time.Since(time.Unix(0, m.Entered)).Round(time.Second).String(), gain.String(), says}
		}
		table.Rows = append(table.Rows, row)
	}
	if c.Pipeline != "" && len(kept) == 0 {
		return usage(fmt.Errorf("no pipeline %q has a model section", c.Pipeline))
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(kept)
	}
	return printTable(t.out, table)
}

type loopDecisions struct {
	appliance
	JSON     bool   `name:"json" help:"Print JSON, with the numbers by which it was decided."`
	Limit    int    `help:"How many, the newest." default:"50"`
	Waits    bool   `help:"Also those that only say what is waited for."`
	Pipeline string `arg:"" optional:"" help:"Only this pipeline's."`
}

func (c *loopDecisions) Run(t *talk) error {
	at, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	q := url.Values{"limit": {strconv.Itoa(c.Limit)}, "pipeline": {c.Pipeline}}
	if !c.JSON {
		q.Set("facts", "0")
	}
	var raw []json.RawMessage
	if err := call(t.ctx, "GET", at+"/api/v1/decisions?"+q.Encode(), nil, &raw); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(raw)
	}
	table := &event.Table{Columns: []string{"time", "pipeline", "stage", "verdict", "who", "challenger", "reason"}}
	for _, r := range raw {
		var d struct {
			Time                                              time.Time
			Pipeline, Stage, Verdict, Who, Challenger, Reason string
		}
		if err := json.Unmarshal(r, &d); err != nil {
			return err
		}
		if d.Verdict != event.DecidedWait || c.Waits {
			table.Rows = append(table.Rows, []any{d.Time.Format(time.DateTime), d.Pipeline, d.Stage, d.Verdict, d.Who, d.Challenger, d.Reason})
		}
	}
	return printTable(t.out, table)
}

// loopOrder is what all orders have.
type loopOrder struct {
	appliance
	byWhom
	Pipeline string `arg:"" help:"The pipeline."`
}

func (c *loopOrder) give(t *talk, act string) error {
	at, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	if err := call(t.ctx, "POST", at+"/api/v1/loop/"+url.PathEscape(c.Pipeline), map[string]string{"act": act, "who": c.Who, "why": c.Why}, nil); err != nil {
		return err
	}
	fmt.Fprintf(t.err, "%s: %s told; 'andon loop status %s' shows what comes of it\n", c.Pipeline, strings.TrimSpace(act), c.Pipeline)
	return nil
}

type (
	loopStart   struct{ loopOrder }
	loopApprove struct{ loopOrder }
	loopRefuse  struct{ loopOrder }
	loopStop    struct{ loopOrder }
)

func (c *loopStart) Run(t *talk) error   { return c.give(t, "start") }
func (c *loopApprove) Run(t *talk) error { return c.give(t, "approve") }
func (c *loopRefuse) Run(t *talk) error  { return c.give(t, "refuse") }
func (c *loopStop) Run(t *talk) error    { return c.give(t, "stop") }
