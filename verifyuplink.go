package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"andon/event"
	"andon/sinks/kafka/uplink"
)

// uplink proves both sides of the uplink. What is not yet in order may be under way: it looks again until wait is over.
func (c *verifyCommand) uplink(t *talk) error {
	if len(c.Pipelines) > 0 || c.Since != 0 {
		return usage(errors.New("--uplink proves all that goes up: leave the pipelines and --since out"))
	}
	f := ConfigFlags{Config: c.Config}
	cfg, err := f.load(nil)
	if err != nil {
		return err
	}
	if !cfg.Uplink.On() {
		return usage(errors.New("the configuration has no uplink: name the appliance's with --config"))
	}
	at := cfg.Kafka
	switch {
	case len(c.Kafka) > 0 || len(at.Brokers) == 0:
		url, err := findAppliance(c.Data, c.URL)
		if err != nil {
			return err
		}
		named := c.Kafka
		if len(named) == 0 {
			named = []string{"auto"}
		}
		if at.Brokers, err = brokersOf(t.ctx, named, c.Data, c.URL, url); err != nil {
			return err
		}
	}
	var parts []*uplink.Part
	for deadline := time.Now().Add(c.Wait); ; {
		parts, err = uplink.Audit(t.ctx, cfg.Uplink, uplink.Deps{Brokers: at.Brokers, Security: security(at)}, slog.New(slog.DiscardHandler))
		if err != nil {
			return environment(err)
		}
		if !slices.ContainsFunc(parts, func(p *uplink.Part) bool { return p.Fault != "" }) || time.Now().After(deadline) {
			break
		}
		select {
		case <-time.After(time.Second):
		case <-t.ctx.Done():
			return t.ctx.Err()
		}
	}
	if c.JSON {
		if parts == nil {
			parts = []*uplink.Part{}
		}
		if err := json.NewEncoder(t.out).Encode(parts); err != nil {
			return err
		}
	} else if err := printTable(t.out, uplinkVerdicts(parts)); err != nil {
		return err
	}
	for _, p := range parts {
		if p.Fault != "" {
			return fmt.Errorf("%s/%d: %s", p.Topic, p.Partition, p.Fault)
		}
	}
	if !c.JSON {
		var records, waiting, lost int64
		for _, p := range parts {
			records, waiting, lost = records+p.Records, waiting+p.Waiting, lost+p.Lost
		}
		fmt.Fprintf(t.err, "clean: %d records of site %s are up, each once and in order; %d wait, %d offsets were let go of before they were up\n", records, cfg.Uplink.Site, waiting, lost)
	}
	return nil
}

// uplinkVerdicts is the table for people.
func uplinkVerdicts(parts []*uplink.Part) *event.Table {
	table := &event.Table{Columns: []string{"topic", "to", "log", "up to", "waiting", "records", "first", "last", "gaps", "missing", "doubles", "turned", "lost", "cut", "refused"}}
	for _, p := range parts {
		name, log := fmt.Sprintf("%s/%d", p.Topic, p.Partition), fmt.Sprintf("%d-%d", p.Start, p.End)
		if p.Old {
			log = "of an earlier log"
		}
		var gaps int64
		for _, g := range p.Gaps {
			gaps += g.Next - g.First
		}
		table.Rows = append(table.Rows, []any{name, p.To, log, offset(p.Position), p.Waiting, p.Records, offset(p.First), offset(p.Last), gaps, p.Missing, p.Doubles, p.Turned, p.Lost, p.Cut, p.Refused})
		if p.Fault != "" {
			table.Rows = append(table.Rows, []any{"  " + p.Fault})
		}
	}
	return table
}
