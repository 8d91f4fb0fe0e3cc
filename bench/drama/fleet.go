package main

import (
	"compress/gzip"
	"context"
	"embed"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"andon/deploy"
)

// signals are the 14 of 21 sensors that vary under one condition.
var signals = []string{"s_2", "s_3", "s_4", "s_7", "s_8", "s_9", "s_11", "s_12", "s_13", "s_14", "s_15", "s_17", "s_20", "s_21"}

//go:embed fd002_train.csv.gz
var files embed.FS

// engine is one life, from its first cycle to the one in which it failed.
type engine struct {
	name string
	// other tells that it ran under six conditions (FD002), not under the one that the first champion knows (FD001).
	other bool
	rows  [][]string // the signals as they are written in the data
}

// readEngines reads the lives of a C-MAPSS file.
func readEngines(f io.Reader, prefix string, other bool) ([]*engine, error) {
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	all, err := csv.NewReader(z).ReadAll()
	if err != nil {
		return nil, err
	}
	at := make([]int, len(signals))
	for i, s := range signals {
		if at[i] = slices.Index(all[0], s); at[i] < 0 {
			return nil, fmt.Errorf("no column %s", s)
		}
	}
	var engines []*engine
	unit := ""
	for _, row := range all[1:] {
		if row[0] != unit {
			unit = row[0]
			n, err := strconv.Atoi(unit)
			if err != nil {
				return nil, err
			}
			engines = append(engines, &engine{name: fmt.Sprintf("%s%03d", prefix, n), other: other})
		}
		values := make([]string, len(signals))
		for i, c := range at {
			values[i] = row[c]
		}
		e := engines[len(engines)-1]
		e.rows = append(e.rows, values)
	}
	return engines, nil
}

// readAll reads both fleets.
func readAll() (known, other []*engine, err error) {
	f, err := deploy.Demo().Open("fd001_train.csv.gz")
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if known, err = readEngines(f, "a-", false); err != nil {
		return nil, nil, err
	}
	g, err := files.Open("fd002_train.csv.gz")
	if err != nil {
		return nil, nil, err
	}
	defer g.Close()
	other, err = readEngines(g, "b-", true)
	return known, other, err
}

const (
	topic       = "fleet.engines"
	labelsTopic = "andon.labels"
	pipeline    = "engines"
)

// start is the event time of the fleet's first cycle; a cycle is an hour.
var start = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// fleet sends what engines measure, and that they failed.
type fleet struct {
	client *kgo.Client
	pace   float64

	mu           sync.Mutex
	slots        []slot
	known, other []*engine
	creeping     bool
	failed       [2]int // of known and of other conditions
	err          error
	cycle        int
}

type slot struct {
	e  *engine
	at int
}

func newFleet(broker string, pace float64, slots int, known, other []*engine) (*fleet, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ProducerLinger(5*time.Millisecond), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		return nil, err
	}
	return &fleet{client: c, pace: pace, slots: make([]slot, slots), known: known, other: other}, nil
}

func row(e *engine, i int, at time.Time) *kgo.Record {
	var b strings.Builder
	fmt.Fprintf(&b, `{"asset":%q,"time":%q`, e.name, at.Format(time.RFC3339))
	for s, v := range e.rows[i] {
		fmt.Fprintf(&b, `,%q:%s`, signals[s], v)
	}
	b.WriteByte('}')
	return &kgo.Record{Topic: topic, Key: []byte(e.name), Value: []byte(b.String())}
}

func failure(e *engine, at time.Time) *kgo.Record {
	return &kgo.Record{Topic: labelsTopic, Key: []byte(e.name), Value: []byte(fmt.Sprintf(`{"pipeline":%q,"asset":%q,"time":%q,"label":"failure","who":"workshop"}`, pipeline, e.name, at.Format(time.RFC3339)))}
}

// history sends lives that are over, as fast as it goes: rows first, and then how they ended.
func (f *fleet) history(ctx context.Context, engines []*engine) error {
	longest := 0
	for _, e := range engines {
		longest = max(longest, len(e.rows))
	}
	var ends []*kgo.Record
	for i := range longest {
		var all []*kgo.Record
		for _, e := range engines {
			if i < len(e.rows) {
				at := start.Add(time.Duration(i-longest-100) * time.Hour)
				all = append(all, row(e, i, at))
				if i == len(e.rows)-1 {
					ends = append(ends, failure(e, at))
				}
			}
		}
		if err := f.client.ProduceSync(ctx, all...).FirstErr(); err != nil {
			return fmt.Errorf("send rows: %w", err)
		}
	}
	return f.client.ProduceSync(ctx, ends...).FirstErr()
}

// age puts engines of all ages into the fleet, as one that has run for long has them: what they have measured so far is sent at once.
func (f *fleet) age(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*kgo.Record
	for i := range f.slots {
		e := f.next()
		s := slot{e, i * len(e.rows) / len(f.slots)}
		for k := range s.at {
			all = append(all, row(e, k, start.Add(time.Duration(k-s.at)*time.Hour)))
		}
		f.slots[i] = s
	}
	return f.client.ProduceSync(ctx, all...).FirstErr()
}

// run lets the fleet run until ctx ends.
func (f *fleet) run(ctx context.Context) {
	tick := time.NewTicker(time.Duration(float64(time.Second) / f.pace))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := f.step(ctx); err != nil && ctx.Err() == nil {
			f.mu.Lock()
			f.err = err
			f.mu.Unlock()
			return
		}
	}
}

// step is one cycle of all engines. An engine that has failed is told so and makes room for the next.
func (f *fleet) step(ctx context.Context) error {
	f.mu.Lock()
	at := start.Add(time.Duration(f.cycle) * time.Hour)
	var all, ends []*kgo.Record
	for i := range f.slots {
		s := &f.slots[i]
		if s.e == nil {
			if s.e, s.at = f.next(), 0; s.e == nil {
				continue
			}
		}
		all = append(all, row(s.e, s.at, at))
		if s.at++; s.at == len(s.e.rows) {
			ends = append(ends, failure(s.e, at))
			if s.e.other {
				f.failed[1]++
			} else {
				f.failed[0]++
			}
			s.e = nil
		}
	}
	f.cycle++
	f.mu.Unlock()
	if err := f.client.ProduceSync(ctx, append(all, ends...)...).FirstErr(); err != nil {
		return fmt.Errorf("send a cycle: %w", err)
	}
	return nil
}

// next takes an engine out of the hangar; nil when there are no more.
func (f *fleet) next() *engine {
	from := &f.known
	if f.creeping {
		from = &f.other
	}
	if len(*from) == 0 {
		return nil
	}
	e := (*from)[0]
	*from = (*from)[1:]
	return e
}

// creep lets the engines that follow run under other conditions, and returns the cycle from which on they do.
func (f *fleet) creep() (cycle int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.creeping = true
	return f.cycle
}

// state is how many engines have failed, of either kind, how many are left, and what went wrong.
func (f *fleet) state() (known, other, left int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed[0], f.failed[1], len(f.other), f.err
}

// fault is what went wrong.
func (f *fleet) fault() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
