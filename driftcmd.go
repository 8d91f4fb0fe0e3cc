package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"andon/console"
	"andon/event"
	"andon/model"
)

type driftCommand struct {
	appliance
	Pipeline string `help:"Pipeline; without it the one with the newest round."`
	Version  string `help:"Model; without it the newest."`
	All      bool   `help:"List all features, also those that have not changed."`
	JSON     bool   `name:"json" help:"Print the answer as JSON."`
}

func (c *driftCommand) Run(t *talk) error {
	base, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	q := url.Values{"pipeline": {c.Pipeline}, "version": {c.Version}, "rounds": {"20"}} // each feature's newest: cameras that came later have rounds of their own
	if c.JSON {
		var all json.RawMessage
		if err := call(t.ctx, "GET", base+"/api/v1/drift?"+q.Encode(), nil, &all); err != nil {
			return err
		}
		fmt.Fprintf(t.out, "%s\n", all)
		return nil
	}
	var d console.Drift
	if err := call(t.ctx, "GET", base+"/api/v1/drift?"+q.Encode(), nil, &d); err != nil {
		return err
	}
	if d.Version == "" {
		fmt.Fprintln(t.err, "nothing was watched yet: a round takes drift.windows scored windows, or frames, of a partition")
		return nil
	}
	fmt.Fprintf(t.out, "%s, model %s: %d %s in %d rounds", d.Pipeline, d.Version, d.Windows, d.Unit, d.Rounds)
	if d.Reference == event.ReferenceLine {
		fmt.Fprint(t.out, ", held against the first that it scored here")
	}
	fmt.Fprintln(t.out)
	for _, v := range d.Versions {
		if v.Alias == string(model.Canary) && v.Version != d.Version {
			fmt.Fprintf(t.out, "canary %s: %d rounds of its own\n", v.Version, v.Rounds)
		}
	}
	standing := 0
	for _, a := range d.Alarms {
		if a.Over {
			continue
		}
		standing++
		fmt.Fprintf(t.out, "%s since %s (%s): %s\n", a.Kind, a.Since.Format(time.DateTime), printable(a.Version), printable(a.Detail))
	}
	if standing == 0 {
		fmt.Fprintln(t.out, "no alarm stands")
	}
	table := &event.Table{Columns: []string{"feature", "group", "before", "now", "ks", "psi", "q", "measure", "rounds", "furthest off"}}
	for _, f := range d.Features {
		if f.Drifted || c.All {
			table.Rows = append(table.Rows, []any{f.Feature, f.Group, short(f.Before), short(f.Now), short(f.KS), short(f.PSI), short(f.Q), f.Measure, f.Streak, strings.Join(f.Furthest, ",")})
		}
	}
	if len(table.Rows) > 0 {
		if err := printTable(t.out, table); err != nil {
			return err
		}
	}
	for _, e := range d.Estimates {
		if p := e.Points[len(e.Points)-1]; e.Metric == "loss" || c.All {
			fmt.Fprintf(t.out, "expected %s of the last round: %s", e.Metric, short(p.Value))
			if e.Metric == "loss" {
				fmt.Fprintf(t.out, ", and %s at training", short(p.Before))
			}
			if p.Settled > 0 {
				fmt.Fprintf(t.out, "; %s came true, of %d %s", short(p.Realised), p.Settled, d.Unit)
			}
			fmt.Fprintln(t.out)
		}
	}
	return nil
}

// short writes a number with four digits.
func short[T ~float64](v T) string { return fmt.Sprintf("%.4g", float64(v)) }
