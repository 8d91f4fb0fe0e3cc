package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"andon/event"
)

// appliance is how a command finds the one it talks to.
type appliance struct {
	Data string `help:"Data folder of the running appliance." default:"andon-data" env:"ANDON_DATA" placeholder:"DIR"`
	URL  string `name:"url" help:"Address of its console instead, as http://127.0.0.1:8080."`
}

type sqlCommand struct {
	appliance
	Limit int    `help:"Rows to print at most." default:"1000"`
	JSON  bool   `name:"json" help:"Print the answer as JSON."`
	Query string `arg:"" help:"The query, read-only; '-' reads it from standard input."`
}

func (c *sqlCommand) Run(t *talk) error {
	if c.Query == "-" {
		b, err := io.ReadAll(os.Stdin)
		if err != nil {
			return err
		}
		c.Query = string(b)
	}
	url, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	var table event.Table
	if err := call(t.ctx, "POST", url+"/api/v1/sql", map[string]any{"sql": c.Query, "limit": c.Limit}, &table); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(&table)
	}
	if err := printTable(t.out, &table); err != nil {
		return err
	}
	if table.Truncated {
		fmt.Fprintf(t.err, "the first %d rows; --limit takes more\n", len(table.Rows))
	}
	return nil
}
