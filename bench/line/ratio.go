package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"andon/event"
)

// ratioResult is one network's.
type ratioResult struct {
	Network string `json:"network"`
	Window  string `json:"window"`
	Rows    int    `json:"rows"`
	Scores  int    `json:"scores"`
	Bytes   int    `json:"bytes_a_row"`
	Load    string `json:"load_average"`

	Rounds []round `json:"rounds"`
	// The medians over the rounds. Ratio is the line's scores per CPU-second by those of the bare loop of the same round.
	Ratio  float64 `json:"ratio"`
	LineNS float64 `json:"line_cpu_ns_a_score"`
	BareNS float64 `json:"bare_cpu_ns_a_score"`
	// Session is the share of the line's CPU time that is spent in the session, by the profile: the ratio that there would be if a window took as long in
	// the line as it does alone. It varies less, for both its parts are of the same seconds.
	Session float64 `json:"session_share"`
	// OwnNS and EngineNS are the line's parts.
	OwnNS    float64 `json:"own_cpu_ns_a_score"`
	EngineNS float64 `json:"engine_cpu_ns_a_score"`

	// InsertNS and MergeNS are parts of EngineNS.
	InsertNS float64 `json:"insert_cpu_ns_a_score"`
	MergeNS  float64 `json:"merge_cpu_ns_a_score"`

	Stages  stages `json:"stages"` // of this process, over all rounds, a score
	Profile string `json:"profile"`
}

type round struct {
	Line   cost    `json:"line"`
	LineNS float64 `json:"line_cpu_ns_a_score"`
	BareNS float64 `json:"bare_cpu_ns_a_score"`
	Ratio  float64 `json:"ratio"`
}

// ratio fills one topic and lets a new pipeline read it in every round, beside the bare loop, in turns.
func (c *config) ratio(ctx context.Context) (results []ratioResult, err error) {
	l := load{Rows: c.scoreRows, Assets: assets, Signals: c.demo.Source.Signals}
	h, err := c.open(ctx, topicBytes(l.Rows, 400))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	topic := c.demo.Source.Topic
	c.say("ratio: filling %s with %d rows", topic, l.Rows)
	size, err := h.prepare(ctx, c, l, topic)
	if err != nil {
		return nil, err
	}
	for _, n := range c.networks {
		r, err := c.ratioOf(ctx, h, n, l, topic)
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", n, err)
		}
		r.Bytes = size
		results = append(results, r)
	}
	return results, nil
}

// prepare makes a topic, fills it, and returns the mean length of its values.
func (h *house) prepare(ctx context.Context, c *config, l load, topic string) (size int, err error) {
	if err := l.open(); err != nil {
		return 0, err
	}
	const sample = 1000
	var b []byte
	for i := range sample {
		if b, err = l.append(b, i*(l.Rows/sample)); err != nil {
			return 0, err
		}
	}
	if err := h.makeTopic(ctx, topic, topicBytes(l.Rows, max(400, 2*l.Bytes))); err != nil {
		return 0, err
	}
	if err := h.fill(ctx, l, topic, c.compression); err != nil {
		return 0, err
	}
	return len(b) / sample, h.rest(ctx)
}

func (c *config) ratioOf(ctx context.Context, h *house, n network, l load, topic string) (r ratioResult, err error) {
	m, err := c.newModel(n)
	if err != nil {
		return r, err
	}
	if err := h.judge.Load(ctx, m); err != nil {
		return r, err
	}
	defer h.judge.Retire(m.Version)
	loop, err := newBare(m)
	if err != nil {
		return r, err
	}
	defer loop.close()
	r = ratioResult{Network: n.String(), Window: fmt.Sprintf("%dx%d", m.Recipe.Length, m.Recipe.Width()), Rows: l.Rows,
		Scores: l.Rows - assets*(m.Recipe.Length-1), Load: loadAverage(), Profile: filepath.Join(c.profiles, "andon-line-ratio-"+n.String()+".prof")}
	var profiles [][]byte
	for i := range c.rounds + 1 {
		var one round
		line := func() error {
			runtime.GC()
			stop, err := startProfile()
			if err != nil {
				return err
			}
			one.Line, err = h.do(ctx, pass{pipeline: fmt.Sprintf("%s-%s-%d", c.demo.Name, n, i), source: c.demo.Source, features: &c.demo.Window, model: m,
				rows: r.Rows, scores: r.Scores})
			profile := stop()
			if i > 0 {
				profiles = append(profiles, profile)
			}
			one.LineNS = perOne(one.Line.cpu(), r.Scores)
			return err
		}
		alone := func() error {
			runtime.GC()
			windows, cpu, err := loop.score(r.Scores)
			one.BareNS = perOne(cpu, windows)
			return err
		}
		turns := []func() error{line, alone}
		if i%2 == 1 {
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			if err := turn(); err != nil {
				return r, fmt.Errorf("round %d: %w", i, err)
			}
		}
		one.Ratio = one.BareNS / one.LineNS
		if i == 0 {
			continue // it warmed up
		}
		c.say("ratio: network %s, round %d of %d: line %.1f us a score (ClickHouse %.1f), bare %.1f, ratio %.1f %%; load %s", n, i, c.rounds,
			one.LineNS/1e3, perOne(one.Line.Engine, r.Scores)/1e3, one.BareNS/1e3, 100*one.Ratio, loadAverage())
		r.Rounds = append(r.Rounds, one)
	}
	middle := func(of func(round) float64) float64 { return median(r.Rounds, of) }
	r.Ratio = middle(func(o round) float64 { return o.Ratio })
	r.LineNS, r.BareNS = middle(func(o round) float64 { return o.LineNS }), middle(func(o round) float64 { return o.BareNS })
	r.OwnNS = middle(func(o round) float64 { return perOne(o.Line.Own, r.Scores) })
	r.EngineNS = middle(func(o round) float64 { return perOne(o.Line.Engine, r.Scores) })
	r.InsertNS = middle(func(o round) float64 { return perOne(o.Line.Inserts, r.Scores) })
	r.MergeNS = middle(func(o round) float64 { return perOne(o.Line.Merges, r.Scores) })
	if r.Stages, err = readStages(profiles, r.Scores*c.rounds); err != nil {
		return r, err
	}
	total := 0.0
	for _, o := range r.Rounds {
		total += o.LineNS / float64(len(r.Rounds))
	}
	for _, s := range r.Stages {
		if s.Name == "model" {
			r.Session = s.NS / total
		}
	}
	return r, writeProfiles(r.Profile, profiles)
}

// topicBytes is what a topic of rows of at most so many bytes is given: its records may fall unevenly on its partitions.
func topicBytes(rows, size int) event.Bytes { return event.Bytes(2*rows*size) + 64<<20 }

func perOne(d time.Duration, n int) float64 { return float64(d) / float64(n) }

func median[T any](all []T, of func(T) float64) float64 {
	values := make([]float64, len(all))
	for i, a := range all {
		values[i] = of(a)
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
