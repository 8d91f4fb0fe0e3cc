package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/ingest"
	"andon/ingest/decode"
	"andon/model"
	"andon/processors"
	"andon/processors/drift"
)

// watchResult is what the watch for drift costs beside one network.
type watchResult struct {
	Network  string `json:"network"`
	Window   string `json:"window"`
	Features int    `json:"features"`
	Scores   int    `json:"scores"`
	Load     string `json:"load_average"`

	Rounds []watchRound `json:"rounds"`
	// The medians over the rounds, CPU time a score; More is what the watch adds, as a share of the line without.
	BlindNS float64 `json:"blind_cpu_ns_a_score"`
	WatchNS float64 `json:"watched_cpu_ns_a_score"`
	More    float64 `json:"more"`

	// By the profiles of the watched turns, which vary less than the difference of two turns: what the watch itself takes, what its records take to write, to read and to judge, and the session.
	Stages  stages  `json:"stages"`
	OwnNS   float64 `json:"watch_cpu_ns_a_score"`
	ModelNS float64 `json:"model_cpu_ns_a_score"`
	// EngineNS is by how much the ClickHouse child takes more, the median of the rounds.
	EngineNS float64 `json:"engine_more_cpu_ns_a_score"`
	Profile  string  `json:"profile"`
}

type watchRound struct {
	Blind   cost    `json:"blind"`
	Watched cost    `json:"watched"`
	BlindNS float64 `json:"blind_cpu_ns_a_score"`
	WatchNS float64 `json:"watched_cpu_ns_a_score"`
	More    float64 `json:"more"`
}

const sketches = "andon.drift"

// The stages that are the watch's.
var watchStages = []string{"watch", "watch, records", "watch, panel"}

// watch lets the line score one topic with and without the watch for drift, in turns. With it, what it counts goes to ClickHouse and to its topic, and a panel reads that and stores what it says, as in the appliance.
func (c *config) watch(ctx context.Context) (results []watchResult, err error) {
	l := load{Rows: c.scoreRows, Assets: assets, Signals: c.demo.Source.Signals}
	h, err := c.openWatched(ctx, topicBytes(l.Rows, 400), sketches)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	topic := c.demo.Source.Topic
	c.say("watch: filling %s with %d rows", topic, l.Rows)
	if _, err := h.prepare(ctx, c, l, topic); err != nil {
		return nil, err
	}
	p, end, err := h.judgeDrift(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	for _, n := range c.networks {
		r, err := c.watchOf(ctx, h, p, n, l)
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", n, err)
		}
		results = append(results, r)
	}
	return results, nil
}

func (c *config) watchOf(ctx context.Context, h *house, panel *panel, n network, l load) (r watchResult, err error) {
	m, features, err := c.watchedModel(ctx, h, n, l)
	if err != nil {
		return r, err
	}
	if err := h.judge.Load(ctx, m); err != nil {
		return r, err
	}
	defer h.judge.Retire(m.Version)
	r = watchResult{Network: n.String(), Window: fmt.Sprintf("%dx%d", m.Recipe.Length, m.Recipe.Width()), Features: features, Scores: l.Rows - assets*(m.Recipe.Length-1), Load: loadAverage(),
		Profile: filepath.Join(c.profiles, "andon-line-watch-"+n.String()+".prof")}
	var profiles [][]byte
	for i := range c.rounds + 1 {
		var one watchRound
		turn := func(name string, blind bool, to *cost, ns *float64) func() error {
			return func() error {
				runtime.GC()
				stop, err := startProfile()
				if err != nil {
					return err
				}
				*to, err = h.do(ctx, pass{pipeline: fmt.Sprintf("%s-%s-%s-%d", c.demo.Name, n, name, i), source: c.demo.Source, features: &c.demo.Window, model: m, rows: l.Rows, scores: r.Scores,
					blind: blind, panel: panel})
				if profile := stop(); i > 0 && !blind {
					profiles = append(profiles, profile)
				}
				*ns = perOne(to.cpu(), r.Scores)
				return err
			}
		}
		turns := []func() error{turn("blind", true, &one.Blind, &one.BlindNS), turn("watched", false, &one.Watched, &one.WatchNS)}
		if i%2 == 1 {
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			if err := turn(); err != nil {
				return r, fmt.Errorf("round %d: %w", i, err)
			}
		}
		if one.Watched.Sketches == 0 || one.Blind.Sketches > 0 {
			return r, fmt.Errorf("round %d: %d sketches with the watch, %d without", i, one.Watched.Sketches, one.Blind.Sketches)
		}
		one.More = one.WatchNS/one.BlindNS - 1
		if i == 0 {
			continue // it warmed up
		}
		c.say("watch: network %s, round %d of %d: %.1f us a score with, %.1f without, %+.1f %%; load %s", n, i, c.rounds, one.WatchNS/1e3, one.BlindNS/1e3, 100*one.More, loadAverage())
		r.Rounds = append(r.Rounds, one)
	}
	r.BlindNS, r.WatchNS = median(r.Rounds, func(o watchRound) float64 { return o.BlindNS }), median(r.Rounds, func(o watchRound) float64 { return o.WatchNS })
	r.More = median(r.Rounds, func(o watchRound) float64 { return o.More })
	r.EngineNS = median(r.Rounds, func(o watchRound) float64 { return perOne(o.Watched.Engine-o.Blind.Engine, r.Scores) })
	if r.Stages, err = readStages(profiles, r.Scores*c.rounds); err != nil {
		return r, err
	}
	for _, s := range r.Stages {
		switch {
		case slices.Contains(watchStages, s.Name):
			r.OwnNS += s.NS
		case s.Name == "model":
			r.ModelNS = s.NS
		}
	}
	return r, writeProfiles(r.Profile, profiles)
}

// referenceAssets are those whose rows a reference is made of.
const referenceAssets = 25

// watchedModel is a model like newModel's, with a scale and a drift reference of some of the topic's assets, as a training makes them, and how many features that has. What the model lost is made up, since nothing
// was trained: of all channels, so that the estimate of it looks at them all.
func (c *config) watchedModel(ctx context.Context, h *house, n network, l load) (*model.Model, int, error) {
	recipe := c.demo.Window.Recipe
	if err := l.open(); err != nil {
		return nil, 0, err
	}
	lives := make([][]event.Row, l.Assets)
	for i := range l.Rows {
		if l.asset(i)%(l.Assets/referenceAssets) != 0 {
			continue
		}
		row := event.Row{Asset: assetName(l.asset(i)), Time: l.time(i).UnixNano()}
		for _, text := range l.values(i) {
			x, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, 0, err
			}
			row.Values = append(row.Values, x)
		}
		lives[l.asset(i)] = append(lives[l.asset(i)], row)
	}
	each := func(f func(asset int, end int64, window []float32)) error {
		for a, rows := range lives {
			if err := c.demo.Window.Windows(&recipe, rows, func(end int64, window []float32) { f(a, end, window) }); err != nil {
				return err
			}
		}
		return nil
	}
	width := recipe.Width()
	count, sum, squares := 0., make([]float64, width), make([]float64, width)
	err := each(func(_ int, _ int64, w []float32) {
		count++
		for j, x := range w[len(w)-width:] {
			sum[j] += float64(x)
			squares[j] += float64(x) * float64(x)
		}
	})
	if err != nil {
		return nil, 0, err
	}
	for j := range width {
		mean := sum[j] / count
		sd := math.Sqrt(math.Max(squares[j]/count-mean*mean, 0))
		if sd < 1e-6*math.Abs(mean) || sd == 0 {
			sd = 1
		}
		recipe.Scale = append(recipe.Scale, model.Scale{Mean: mean, Std: sd})
	}
	rows, windows := processors.WatchRows(&recipe, drift.Default().Windows), []float32(nil)
	err = each(func(a int, end int64, w []float32) {
		rows.Asset, rows.At, windows = append(rows.Asset, int32(a)), append(rows.At, end), append(windows, w...)
	})
	if err != nil {
		return nil, 0, err
	}
	file := c.graph(n, &recipe)
	plain, err := model.Seal(file, c.meta(n, &recipe))
	if err != nil {
		return nil, 0, err
	}
	verdicts := make([]event.Verdict, len(rows.At))
	if err := h.judge.Score(ctx, plain, windows, verdicts); err != nil {
		return nil, 0, err
	}
	h.judge.Retire(plain.Version)
	rows.Risk = len(rows.Names) - 1
	size := recipe.Length * width
	for i, v := range verdicts {
		mean := 0.
		for _, x := range windows[(i+1)*size-width : (i+1)*size] {
			rows.Values = append(rows.Values, float64(x))
			mean += math.Abs(float64(x)) / float64(width)
		}
		rows.Values = append(rows.Values, float64(v.Value), float64(v.Risk))
		yes := int8(0)
		if i%7 < 3 { // the calibration, too, has something to do
			yes = 1
		}
		rows.Loss, rows.Yes = append(rows.Loss, math.Min(mean/4, 1)), append(rows.Yes, yes)
	}
	profile, err := drift.NewProfile(rows)
	if err != nil {
		return nil, 0, err
	}
	reference, err := profile.AppendBinary(nil)
	if err != nil {
		return nil, 0, err
	}
	if file, err = model.Refer(file, reference); err != nil {
		return nil, 0, err
	}
	m, err := model.Seal(file, c.meta(n, &recipe))
	return m, len(profile.Features), err
}

// panel is the pipeline that judges what the watch counts.
type panel struct{ seen atomic.Int64 }

// judgeDrift starts the panel on the topic of sketches; end waits until it has gone.
func (h *house) judgeDrift(ctx context.Context) (p *panel, end func() error, err error) {
	p = &panel{}
	judge := processors.NewPanel(func(string) (drift.Config, bool) { return drift.Default(), true }, processors.PanelOutlets{Store: h.store, Vault: h.outlets.Vault}, h.log, prometheus.NewRegistry())
	source := ingest.Source{Topic: sketches, Group: "andon.drift"}
	source.Shape = decode.ShapeSketch
	open := func(ctx context.Context, a ingest.Assignment) (ingest.Handler, int64, error) {
		s, from, err := judge.Open(ctx, processors.Assignment(a))
		return counted{s, p}, from, err
	}
	in, err := ingest.New(h.at, "drift", source.WithDefaults(), open, h.budget, h.reading, h.log)
	if err != nil {
		return nil, nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx) }()
	return p, func() error { stop(); return <-ended }, nil
}

// counted counts what the panel has handled.
type counted struct {
	ingest.Handler
	p *panel
}

func (c counted) Handle(ctx context.Context, b *event.Batch) error {
	err := c.Handler.Handle(ctx, b)
	c.p.seen.Add(int64(len(b.Sketches)))
	return err
}

// wait returns when so many more sketches have been judged than when it was called last.
func (p *panel) wait(ctx context.Context, n int) error {
	for begun := time.Now(); p.seen.Load() < int64(n); {
		if time.Since(begun) > time.Minute {
			return fmt.Errorf("the panel has judged %d of %d sketches", p.seen.Load(), n)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.seen.Add(-int64(n))
	return nil
}

func (r *watchResult) print(p *printer) {
	p.line("\nwatch for drift, GRU %s, windows %s, %d features, %d scores a round, load %s", r.Network, r.Window, r.Features, r.Scores, r.Load)
	p.columns(func(row func(...any)) {
		row("round", "without, us/score", "with", "more %", "ClickHouse without", "with", "pieces")
		for i, o := range r.Rounds {
			row(i+1, us(o.BlindNS), us(o.WatchNS), percent(o.More), us(perOne(o.Blind.Engine, r.Scores)), us(perOne(o.Watched.Engine, r.Scores)), o.Watched.Sketches)
		}
		row("median", us(r.BlindNS), us(r.WatchNS), percent(r.More))
	})
	p.line("by profile the watch takes %.0f ns a score, and %+.0f in ClickHouse: %s %% of the session's %.0f, %s %% of the line without it; ns a score by stage (%s):", r.OwnNS, r.EngineNS,
		percent((r.OwnNS+r.EngineNS)/r.ModelNS), r.ModelNS, percent((r.OwnNS+r.EngineNS)/r.BlindNS), r.Profile)
	r.Stages.print(p)
}
