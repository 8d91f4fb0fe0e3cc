package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
)

// appliance is a small plant that runs the console as the real one does: compressors that wear out and one machine's temperature, with the metrics of the
// line and a store that remembers.
type appliance struct {
	*Console
	reg  *prometheus.Registry
	rnd  *rand.Rand
	addr string

	records, bytes, rejected, rows, windows, scores, stored, dead *prometheus.CounterVec
	lag, assets                                                   *prometheus.GaugeVec
	latency                                                       *prometheus.HistogramVec
	queue, compute, batch, insert                                 prometheus.Histogram
	disk, inflight                                                prometheus.Gauge

	mu     sync.Mutex
	status Status
	ready  error
	units  []*unit
	steps  []event.Training
	post   []*syntheticLetter
	// refuse makes the store answer with an error.
	refuse error
	asked  int
}

// unit is one asset and what is stored of it.
type unit struct {
	pipeline, asset string
	life            float64
	age             int
	offset          int64
	rows            []event.Row
	scores          []event.Score
}

var (
	firstCycle = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	signals    = []string{"s_2", "s_3", "s_4", "s_7", "s_8", "s_9", "s_11", "s_12", "s_13", "s_14", "s_15", "s_17", "s_20", "s_21"}
	// What each signal is in health, and how much it has changed at the end.
	health = []float64{642.3, 1587, 1402, 553.9, 2388.05, 9058, 47.3, 522, 2388.05, 8139, 8.42, 392, 38.95, 23.37}
	wear   = []float64{2.0, 19, 30, -2.6, 0.22, 75, 1.1, -2.4, 0.22, 45, 0.14, 4.6, -0.6, -0.36}
)

func syntheticConfig() Config {
	cfg := Default()
	cfg.Listen = "127.0.0.1:0"
	cfg.WatchRows = 10_000_000
	return cfg
}

func newAppliance(t testing.TB, cfg Config, compressors int) *appliance {
	t.Helper()
	a := &appliance{reg: prometheus.NewRegistry(), rnd: rand.New(rand.NewPCG(1, 2))}
	vec := func(name string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: name}, labels)
		a.reg.MustRegister(v)
		return v
	}
	gaugeVec := func(name string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: name}, labels)
		a.reg.MustRegister(v)
		return v
	}
	gauge := func(name string) prometheus.Gauge {
		v := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: name})
		a.reg.MustRegister(v)
		return v
	}
	hist := func(name string, buckets []float64) prometheus.Histogram {
		v := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: name, Buckets: buckets})
		a.reg.MustRegister(v)
		return v
	}
	a.records, a.bytes = vec("andon_ingest_records_total", "pipeline"), vec("andon_ingest_bytes_total", "pipeline")
	a.rejected = vec("andon_ingest_rejected_total", "pipeline", "reason")
	a.dead = vec("andon_pipeline_dead_letters_total", "pipeline", "reason")
	a.rows, a.windows = vec("andon_features_rows_total", "pipeline", "status"), vec("andon_features_windows_total", "pipeline")
	a.scores, a.stored = vec("andon_scorer_scores_total", "pipeline"), vec("andon_clickhouse_rows_total", "table")
	a.lag, a.assets = gaugeVec("andon_ingest_lag_records", "pipeline", "partition"), gaugeVec("andon_features_assets", "pipeline", "partition")
	times := prometheus.ExponentialBuckets(0.0001, 2, 16)
	a.latency = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "andon_pipeline_latency_seconds", Help: "latency", Buckets: times}, []string{"pipeline"})
	a.reg.MustRegister(a.latency)
	a.queue, a.compute = hist("andon_scorer_queue_seconds", times), hist("andon_scorer_compute_seconds", times)
	a.batch, a.insert = hist("andon_scorer_batch_size", prometheus.ExponentialBuckets(1, 2, 8)), hist("andon_clickhouse_insert_seconds", times)
	a.disk, a.inflight = gauge("andon_broker_disk_bytes"), gauge("andon_ingest_inflight_bytes")
	gauge("andon_gpu_energy_per_1000_scores_joules").Set(.42)
	a.status = Status{
		Version: "0.1.0", Started: time.Now(), Demo: true,
		Addresses: map[string]string{"kafka": "127.0.0.1:9092", "clickhouse_native": "127.0.0.1:9000", "clickhouse_http": "127.0.0.1:8123"},
		Components: []Component{{Name: "broker", Ready: true, Detail: "embedded, 127.0.0.1:9092"}, {Name: "store", Ready: true, Detail: "embedded, ClickHouse 26.7"},
			{Name: "scorer", Ready: true, Detail: "ONNX Runtime 1.30, CPU"}, {Name: "trainer", Ready: true}},
		Pipelines: []Pipeline{
			{Name: "compressors", Topic: "fleet.compressors", Task: "remaining-life", Signals: signals, Unit: "cycles", Grid: time.Hour, Length: 30, Horizon: 30,
				Model: "3f9a1c77b2e0", Trained: time.Now().Add(-time.Hour), Metrics: map[string]float64{"rmse": 12.61, "mae": 9.1}},
			{Name: "machine-temperature", Topic: "fleet.machines", Task: "anomaly", Signals: []string{"temperature"}, Unit: "sd", Grid: 5 * time.Minute, Length: 36,
				Model: "b07d52e4aa19", Trained: time.Now().Add(-2 * time.Hour)},
		},
		Devices: []Device{{Name: "NVIDIA L4", Utilization: .62, MemoryUsed: 3 << 30, MemoryTotal: 24 << 30, Power: 58.4, Temperature: 71, Energy: 4e5, Throttled: []string{"power_cap"}},
			{Index: 1, Name: "NVIDIA L4", Utilization: -1, MemoryUsed: -1, MemoryTotal: -1, Power: -1, Temperature: -1, Energy: -1, Throttled: []string{}, Fault: "the device has fallen off the bus or is lost: reset it"}},
	}
	for i := range compressors {
		a.units = append(a.units, &unit{pipeline: "compressors", asset: fmt.Sprintf("compressor-%03d", i+1), life: 130 + 230*a.rnd.Float64()})
	}
	a.units = append(a.units, &unit{pipeline: "machine-temperature", asset: "machine-1", life: 4000})
	a.Console = New(cfg, Deps{Store: a, Metrics: a.reg, Register: a.reg, Status: a.Status, Replay: a.resend, Ready: func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.ready
	}}, slog.New(slog.DiscardHandler))
	return a
}

func (a *appliance) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.status
	s.Pipelines = slices.Clone(s.Pipelines)
	return s
}

// start runs the console until the test ends.
func (a *appliance) start(t testing.TB) {
	t.Helper()
	addr, err := a.Listen()
	if err != nil {
		t.Fatal(err)
	}
	a.addr = addr
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// next makes a unit's next reading and its score, and stores both.
func (a *appliance) next(u *unit) (event.Row, event.Score) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u.age++
	u.offset++
	grid, start, version := time.Hour, firstCycle, "3f9a1c77b2e0"
	var values []float64
	var v event.Verdict
	if u.pipeline == "compressors" {
		if float64(u.age) >= u.life { // replaced by a new one
			u.age = 1
			u.life = 130 + 230*a.rnd.Float64()
		}
		worn := math.Pow(float64(u.age)/u.life, 3)
		values = make([]float64, len(signals))
		for i := range values {
			values[i] = health[i] + wear[i]*(worn+0.09*a.rnd.NormFloat64())
		}
		left := min(u.life-float64(u.age), 125) + 5*a.rnd.NormFloat64()
		v = event.Verdict{Value: float32(max(left, 0)), Risk: float32(1 / (1 + math.Exp((left-30)/9)))}
	} else {
		grid, start, version = 5*time.Minute, time.Date(2013, 12, 2, 21, 15, 0, 0, time.UTC), "b07d52e4aa19"
		day := 2 * math.Pi * float64(u.age) / 288
		dip := 0.0
		if k := u.age % 700; k > 640 {
			dip = 30 * math.Sin(math.Pi*float64(k-640)/60)
		}
		values = []float64{86 + 5*math.Sin(day) - dip + 1.2*a.rnd.NormFloat64()}
		sd := 0.8 + math.Abs(0.5*a.rnd.NormFloat64()) + dip/6
		v = event.Verdict{Value: float32(sd), Risk: float32(1 / (1 + math.Exp(3-sd)))}
	}
	at := start.Add(time.Duration(u.offset) * grid)
	row := event.Row{Offset: u.offset, Asset: u.asset, Time: at.UnixNano(), Values: values}
	score := event.Score{Verdict: v, Pipeline: u.pipeline, Asset: u.asset, Start: at.Add(-30 * grid).UnixNano(), End: at.Add(grid).UnixNano(), Version: version,
		Position: event.Position{Topic: "fleet." + u.pipeline, Partition: int32(len(u.asset) % 4), Offset: u.offset},
		Latency:  int64(2e6 + 3e6*a.rnd.Float64()), ScoredAt: time.Now().UnixNano()}
	u.rows, u.scores = append(u.rows, row), append(u.scores, score)
	return row, score
}

// past gives every unit a history that the store holds and the line never told.
func (a *appliance) past(steps int) {
	for _, u := range a.units {
		n := steps
		if u.pipeline == "compressors" {
			n = min(n, int(u.life*(0.35+0.6*a.rnd.Float64())))
		}
		for range n {
			a.next(u)
		}
	}
}

// step makes the line tell one reading of each unit, and counts as the line does.
func (a *appliance) step() {
	for _, u := range a.units {
		row, score := a.next(u)
		a.Observe(u.pipeline, []event.Row{row}, []event.Score{score})
		a.records.WithLabelValues(u.pipeline).Inc()
		a.bytes.WithLabelValues(u.pipeline).Add(310)
		a.rows.WithLabelValues(u.pipeline, "ok").Inc()
		a.windows.WithLabelValues(u.pipeline).Inc()
		a.scores.WithLabelValues(u.pipeline).Inc()
		a.stored.WithLabelValues("readings").Inc()
		a.stored.WithLabelValues("scores").Inc()
		a.latency.WithLabelValues(u.pipeline).Observe(float64(score.Latency) / 1e9)
		a.queue.Observe(0.0004 + 0.001*a.rnd.Float64())
		a.compute.Observe(0.0002 + 0.0003*a.rnd.Float64())
		a.batch.Observe(float64(16 + a.rnd.IntN(16)))
		if a.rnd.IntN(30_000) == 0 {
			a.rejected.WithLabelValues(u.pipeline, "malformed").Inc()
			a.dead.WithLabelValues(u.pipeline, "malformed").Inc()
			a.records.WithLabelValues(u.pipeline).Inc()
		}
		if a.rnd.IntN(30_000) == 0 {
			a.rows.WithLabelValues(u.pipeline, "late").Inc()
			a.dead.WithLabelValues(u.pipeline, "late").Inc()
		}
	}
	a.insert.Observe(0.012 + 0.02*a.rnd.Float64())
	for p := range 4 {
		a.lag.WithLabelValues("compressors", strconv.Itoa(p)).Set(float64(a.rnd.IntN(12)))
		a.assets.WithLabelValues("compressors", strconv.Itoa(p)).Set(float64(len(a.units)-1) / 4)
	}
	a.lag.WithLabelValues("machine-temperature", "0").Set(float64(a.rnd.IntN(3)))
	a.assets.WithLabelValues("machine-temperature", "0").Set(1)
	a.disk.Set(48 << 20)
	a.inflight.Set(float64(180<<10 + a.rnd.IntN(90<<10)))
}

// QueryParams answers the console's own questions from memory, and a few that a person might ask.
func (a *appliance) QueryParams(ctx context.Context, sql string, params map[string]string, limit int) (*event.Table, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if a.refuse != nil {
		return nil, a.refuse
	}
	number := func(name string) int64 { n, _ := strconv.ParseInt(params[name], 10, 64); return n }
	var rows [][]any
	table := func(columns ...string) *event.Table {
		t := &event.Table{Columns: columns, Types: slices.Repeat([]string{"String"}, len(columns)), Rows: rows}
		if len(rows) > limit {
			t.Rows, t.Truncated = rows[:limit], true
		}
		return t
	}
	inRange := func(nanos int64) bool {
		ms := nanos / 1e6
		return ms < number("to") && ms >= number("from")
	}
	for _, u := range a.units {
		if u.pipeline != params["pipeline"] || params["asset"] != "" && u.asset != params["asset"] {
			continue
		}
		switch sql {
		case newestScores:
			if n := len(u.scores); n > 0 {
				s := u.scores[n-1]
				rows = append(rows, []any{u.asset, s.Start, s.End, float64(s.Value), float64(s.Risk), s.Version, float64(s.Latency), s.ScoredAt, s.Topic, int64(s.Partition), s.Offset})
			}
		case recentRisks:
			for i := len(u.scores) - 1; i >= max(0, len(u.scores)-trendPoints); i-- {
				rows = append(rows, []any{u.asset, u.scores[i].End, float64(u.scores[i].Risk)})
			}
		case assetNewest:
			if len(u.rows) > 0 {
				rows = append(rows, []any{u.rows[len(u.rows)-1].Time / 1e6})
			}
		case assetSpan:
			first, last, n := int64(0), int64(0), uint64(0)
			for _, r := range u.rows {
				if inRange(r.Time) {
					if n == 0 {
						first = r.Time / 1e6
					}
					last = r.Time / 1e6
					n++
				}
			}
			rows = append(rows, []any{first, last, n})
		case assetRows, assetRowsThinned:
			step := max(number("step"), 1)
			for i := len(u.rows) - 1; i >= 0; i-- {
				if ms := u.rows[i].Time / 1e6; inRange(u.rows[i].Time) && (len(rows) == 0 || rows[len(rows)-1][0].(int64) > ms/step*step) {
					rows = append(rows, []any{ms / step * step, u.rows[i].Values})
				}
			}
		case assetScores, assetScoresThinned:
			step := max(number("step"), 1)
			for i := len(u.scores) - 1; i >= 0; i-- {
				if ms := u.scores[i].End / 1e6; inRange(u.scores[i].End) && (len(rows) == 0 || rows[len(rows)-1][0].(int64) > ms/step*step) {
					rows = append(rows, []any{ms / step * step, float64(u.scores[i].Value), float64(u.scores[i].Risk)})
				}
			}
		}
	}
	switch sql {
	case lettersByReason, newestLetters, wholeLetter:
		rows = a.letterRows(sql, params)
		return table("a", "b", "c"), nil
	case newestTrainings:
		for _, t := range a.steps {
			rows = append(rows, []any{t.Run, t.Pipeline, t.State, int64(t.Epoch), int64(t.Epochs), t.Loss, t.ValLoss, t.RowsPerSecond, int64(t.Rows), t.Elapsed, t.Time, t.Version, t.Detail, t.Worker, t.CPUSeconds, t.GPUSeconds, t.Joules, t.Energy})
		}
		return table("run"), nil
	case newestScores, recentRisks, assetNewest, assetSpan, assetRows, assetRowsThinned, assetScores, assetScoresThinned:
		return table("a", "b", "c"), nil
	}
	if rows = came(sql); rows != nil {
		return table("truth"), nil
	}
	if params != nil || sql == driftPipelines { // a question of a page that has little to tell here
		return (&panelStore{}).QueryParams(ctx, sql, params, limit)
	}
	return a.person(sql, limit)
}

// person answers what a person might type.
func (a *appliance) person(sql string, limit int) (*event.Table, error) {
	if !strings.HasPrefix(strings.ToUpper(strings.TrimSpace(sql)), "SELECT") {
		return nil, errors.New("code: 62, message: Syntax error: failed at position 1 (" + strings.Fields(sql)[0] + "): expected one of: SELECT, WITH, SHOW, DESCRIBE")
	}
	t := &event.Table{Columns: []string{"pipeline", "asset", "risk", "value", "seen", "offset"},
		Types: []string{"LowCardinality(String)", "String", "Float32", "Float32", "DateTime64(9, 'UTC')", "Int64"}}
	for _, u := range a.units {
		if n := len(u.scores); n > 0 {
			s := u.scores[n-1]
			t.Rows = append(t.Rows, []any{u.pipeline, u.asset, float64(s.Risk), float64(s.Value), time.Unix(0, s.End), s.Offset})
		}
	}
	slices.SortFunc(t.Rows, func(x, y []any) int {
		if x[2].(float64) > y[2].(float64) {
			return -1
		}
		return 1
	})
	if strings.Contains(strings.ToUpper(sql), "LIMIT 10") {
		t.Rows = t.Rows[:min(10, len(t.Rows))]
	}
	if len(t.Rows) > limit {
		t.Rows, t.Truncated = t.Rows[:limit], true
	}
	return t, nil
}
