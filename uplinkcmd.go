package main

import (
	"encoding/json"
	"fmt"
	"time"

	"andon/console"
	"andon/event"
)

type uplinkCommand struct {
	Status uplinkStatus `cmd:"" help:"Show whether the central cluster is reached, and what waits to go up."`
}

type uplinkStatus struct {
	appliance
	JSON bool `name:"json" help:"Print the answer as JSON."`
}

func (c *uplinkStatus) Run(t *talk) error {
	base, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	var s console.Uplink
	if err := call(t.ctx, "GET", base+"/api/v1/uplink", nil, &s); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(&s)
	}
	table := &event.Table{Columns: []string{"topic", "partition", "to", "up to", "log", "waiting", "room", "records", "lost", "trouble"}}
	for _, r := range s.Routes {
		room := "-"
		if r.Room > 0 {
			room = fmt.Sprintf("%.0f%%", 100*float64(r.Held)/float64(r.Room))
		}
		table.Rows = append(table.Rows, []any{r.Topic, r.Partition, r.To, offset(r.Next), fmt.Sprintf("%d-%d", r.Start, r.End), r.Waiting, room, r.Records, r.Lost, r.Error})
	}
	if err := printTable(t.out, table); err != nil {
		return err
	}
	fmt.Fprintf(t.err, "site %s, cluster %s: %s since %s; %d records wait, %d are up since the start, %d were lost\n",
		s.Site, s.Brokers, s.State, s.Since.Local().Format(time.DateTime), s.Waiting, s.Records, s.Lost)
	if s.Error != "" {
		fmt.Fprintln(t.err, s.Error)
	}
	return nil
}
