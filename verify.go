package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"andon/event"
	"andon/ingest"
	"andon/sinks/clickhouse/audit"
)

type verifyCommand struct {
	appliance
	Config    string            `help:"Configuration file, for groups that were named and brokers that want TLS or SASL; without it the built-in one." type:"path" placeholder:"FILE" env:"ANDON_CONFIG"`
	Kafka     []string          `help:"Also prove against the log of these brokers; 'auto' takes those of the appliance." placeholder:"HOST:PORT,…"`
	Group     map[string]string `help:"Consumer group of a pipeline, where it is not andon.PIPELINE." placeholder:"PIPELINE=GROUP"`
	Since     time.Duration     `help:"Only what was stored in this time; 0 for all that is kept." placeholder:"24h"`
	Wait      time.Duration     `help:"How long a block that is being stored may take." default:"15s"`
	List      int               `help:"Gaps and doubles to name for each partition." default:"10"`
	JSON      bool              `name:"json" help:"Print the findings as JSON."`
	Uplink    bool              `help:"Prove instead that what went up to the central cluster is there once, in order and without gaps; needs the appliance's --config."`
	Pipelines []string          `arg:"" optional:"" name:"pipeline" help:"The pipelines to prove; without one, all."`
}

// Help is what --help says beyond the flags.
func (verifyCommand) Help() string {
	return `Proves from what ClickHouse holds that each input offset of a pipeline was handled exactly once: that it is a reading (ok, duplicate or filtered), a frame, a label
or a dead letter, one of them, and once; and that no score and no window of features is there twice. With --kafka it also proves that nothing that the group has committed is missing, and
tells offsets that hold no record, such as a transaction's marker, from lost ones. The line may be running. Ends with 1 at the first gap or double.
With --uplink it compares instead what the central cluster holds of this site with the local log: each record once, each key in its order, none missing below the position.`
}

func (c *verifyCommand) Run(t *talk) error {
	if c.Uplink {
		return c.uplink(t)
	}
	url, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	o := audit.Options{Pipelines: c.Pipelines, Since: c.Since, List: c.List, Wait: c.Wait}
	if len(c.Kafka) > 0 {
		cfg, err := loadConfig(c.Config)
		if err != nil {
			return err
		}
		if cfg.Kafka.Brokers, err = brokersOf(t.ctx, c.Kafka, c.Data, c.URL, url); err != nil {
			return err
		}
		brokers, err := ingest.NewInspector(cfg.Kafka, slog.New(slog.DiscardHandler))
		if err != nil {
			return usage(err)
		}
		defer brokers.Close()
		o.Log = logOf(brokers, groupsOf(cfg, c.Group))
		if o.Topics, err = topicsOf(t.ctx, url); err != nil {
			return err
		}
	}
	parts, err := audit.Run(t.ctx, asker(url), o)
	if err != nil {
		return err
	}
	if c.JSON {
		if parts == nil {
			parts = []*audit.Partition{}
		}
		if err := json.NewEncoder(t.out).Encode(parts); err != nil {
			return err
		}
	} else if err := printTable(t.out, verdicts(parts)); err != nil {
		return err
	}
	if fault := audit.First(parts); fault != "" {
		return errors.New(fault)
	}
	return nil
}

// asker puts questions to the appliance's console.
func asker(url string) audit.Ask {
	return func(ctx context.Context, sql string, params map[string]string, limit int) (*event.Table, error) {
		var table event.Table
		if err := call(ctx, "POST", url+"/api/v1/sql", map[string]any{"sql": sql, "params": params, "limit": limit}, &table); err != nil {
			return nil, err
		}
		return &table, nil
	}
}

// brokersOf returns the brokers that were named, or those that the appliance uses.
func brokersOf(ctx context.Context, named []string, data, given, url string) ([]string, error) {
	if len(named) != 1 || named[0] != "auto" {
		return named, nil
	}
	if given == "" {
		a, err := readAddresses(data)
		if err == nil && a.Kafka != "" {
			return []string{a.Kafka}, nil
		}
		return nil, environment(err)
	}
	var status struct {
		Addresses map[string]string `json:"addresses"`
	}
	if err := call(ctx, "GET", url+"/api/v1/status", nil, &status); err != nil {
		return nil, err
	}
	if status.Addresses["kafka"] == "" {
		return nil, usage(fmt.Errorf("%s does not tell its brokers: name them with --kafka", url))
	}
	return strings.Split(status.Addresses["kafka"], ","), nil
}

// topicsOf returns the topic of each pipeline, as the appliance tells.
func topicsOf(ctx context.Context, url string) (map[string][]string, error) {
	var status struct {
		Pipelines []struct {
			Name  string `json:"name"`
			Topic string `json:"topic"`
		} `json:"pipelines"`
	}
	if err := call(ctx, "GET", url+"/api/v1/status", nil, &status); err != nil {
		return nil, err
	}
	topics := map[string][]string{}
	for _, p := range status.Pipelines {
		topics[p.Name] = []string{p.Topic}
	}
	return topics, nil
}

// groupsOf returns the consumer groups that are not named after their pipeline.
func groupsOf(cfg *Config, named map[string]string) map[string]string {
	groups := map[string]string{}
	for i := range cfg.Pipelines {
		if g := cfg.Pipelines[i].Source.Group; g != "" {
			groups[cfg.Pipelines[i].Name] = g
		}
	}
	maps.Copy(groups, named)
	return groups
}

// logOf lets the audit ask the brokers.
func logOf(brokers *ingest.Inspector, groups map[string]string) *audit.Log {
	return &audit.Log{
		Extents: func(ctx context.Context, pipeline, topic string) (map[int32]audit.Extent, error) {
			group := groups[pipeline]
			if group == "" {
				group = "andon." + pipeline
			}
			extents, err := brokers.Extents(ctx, group, topic)
			out := make(map[int32]audit.Extent, len(extents))
			for id, x := range extents {
				out[id] = audit.Extent{Start: x.Start, End: x.End, Committed: x.Committed}
			}
			return out, environment(err)
		},
		Records: func(ctx context.Context, topic string, partition int32, ranges []audit.Range, f func(int64)) error {
			return eachRecord(ranges, func(r audit.Range, f func(int64)) error {
				return environment(brokers.Records(ctx, topic, partition, r.First, r.Next, f))
			}, f)
		},
	}
}

// apart is how many offsets lie between two ranges that are read one by one: less is read over.
const apart = 50_000

// eachRecord calls f for the records in ascending ranges, reading those that are near each other in one go.
func eachRecord(ranges []audit.Range, read func(audit.Range, func(int64)) error, f func(int64)) error {
	for len(ranges) > 0 {
		n := 1
		for n < len(ranges) && ranges[n].First-ranges[n-1].Next < apart {
			n++
		}
		near := ranges[:n]
		ranges = ranges[n:]
		err := read(audit.Range{First: near[0].First, Next: near[n-1].Next}, func(offset int64) {
			for len(near) > 0 && near[0].Next <= offset {
				near = near[1:]
			}
			if len(near) > 0 && offset >= near[0].First {
				f(offset)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// verdicts is the table for people.
func verdicts(parts []*audit.Partition) *event.Table {
	log := slices.ContainsFunc(parts, func(p *audit.Partition) bool { return p.Log != nil })
	table := &event.Table{Columns: []string{"pipeline", "partition", "first", "last", "ok", "duplicate", "filtered", "frames", "labels", "dead", "scores", "features", "gaps", "doubles"}}
	if log {
		table.Columns = append(table.Columns, "no record", "log", "committed", "waiting")
	}
	for _, p := range parts {
		var dead []string
		for _, reason := range slices.Sorted(maps.Keys(p.Dead)) {
			dead = append(dead, fmt.Sprintf("%s=%d", reason, p.Dead[reason]))
		}
		if len(dead) == 0 {
			dead = []string{"0"}
		}
		row := []any{p.Pipeline, fmt.Sprintf("%s/%d", p.Topic, p.Partition), offset(p.First), offset(p.Last), p.OK, p.Duplicate, p.Filtered, p.Frames, p.Labels, strings.Join(dead, " "),
			p.Scores, p.Features, p.Missing, p.Doubles}
		if log && p.Log != nil {
			row = append(row, p.NoRecord, fmt.Sprintf("%d-%d", p.Log.Start, p.Log.End), offset(p.Log.Committed), p.Log.End-max(p.Log.Committed, p.Log.Start))
		} else if log {
			row = append(row, "", "", "", "")
		}
		table.Rows = append(table.Rows, row)
		for _, g := range p.Gaps {
			table.Rows = append(table.Rows, []any{"", fmt.Sprintf("  gap @%d-%d: %d", g.First, g.Next, g.Next-g.First)})
		}
		for _, d := range p.Twice {
			table.Rows = append(table.Rows, []any{"", fmt.Sprintf("  double @%d: %s", d.Offset, d.What)})
		}
		if p.Fault != "" {
			table.Rows = append(table.Rows, []any{"", "  " + p.Fault})
		}
	}
	return table
}

// offset writes an offset, where there is one.
func offset(o int64) string {
	if o < 0 {
		return "-"
	}
	return fmt.Sprint(o)
}
