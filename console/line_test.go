package console

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
)

type decodedSample struct {
	T int64                 `json:"t"`
	P map[string][]*float64 `json:"p"`
	A []*float64            `json:"a"`
}

func (d *decodedSample) of(t *testing.T, pipeline, field string) float64 {
	t.Helper()
	fields, values := partFields, d.A
	if pipeline != "" {
		fields, values = pipelineFields, d.P[pipeline]
	}
	at := slices.Index(fields, field)
	if at < 0 || len(values) != len(fields) {
		t.Fatalf("no field %q of %q among %d values", field, pipeline, len(values))
	}
	if values[at] == nil {
		return math.NaN()
	}
	return *values[at]
}

// The rates and quantiles of a line whose pace is known.
func TestSample(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 4)
	var s sampler
	var got decodedSample
	at := time.Unix(1000, 0)
	for i := range 31 {
		a.records.WithLabelValues("compressors").Add(200)
		a.records.WithLabelValues("machine-temperature").Add(3)
		a.rejected.WithLabelValues("compressors", "malformed").Add(2)
		a.rows.WithLabelValues("compressors", "late").Add(1)
		a.dead.WithLabelValues("compressors", "malformed").Add(2)
		a.dead.WithLabelValues("compressors", "refused").Add(1)
		a.rows.WithLabelValues("compressors", "ok").Add(197)
		a.lag.WithLabelValues("compressors", strconv.Itoa(i%4)).Set(10)
		a.stored.WithLabelValues("readings").Add(100)
		a.stored.WithLabelValues("scores").Add(50)
		for range 98 {
			a.latency.WithLabelValues("compressors").Observe(0.0015)
		}
		for range 2 {
			a.latency.WithLabelValues("compressors").Observe(0.2)
		}
		js := s.sample(gather(a.reg, at.Add(time.Duration(i)*time.Second)), a.Status().Pipelines)
		got = decodedSample{}
		if err := json.Unmarshal(js, &got); err != nil {
			t.Fatalf("%s: %v", js, err)
		}
	}
	check := func(pipeline, field string, low, high float64) {
		t.Helper()
		if v := got.of(t, pipeline, field); !(v >= low && v <= high) {
			t.Errorf("%s %s is %v, want between %v and %v", pipeline, field, v, low, high)
		}
	}
	check("compressors", "records", 200, 200)
	check("machine-temperature", "records", 3, 3)
	check("compressors", "rejected", 2, 2)
	check("compressors", "late", 1, 1)
	check("compressors", "rows", 197, 197)
	check("compressors", "lag", 40, 40)
	check("compressors", "records_total", 6200, 6200)
	check("compressors", "dead_total", 93, 93)
	check("", "stored", 150, 150)
	check("", "dead", 3, 3)
	// Bucket bounds are 0.0001·2^k: the median lies in (0.0008, 0.0016], the 99th in (0.1024, 0.2048].
	check("compressors", "p50", 0.0008, 0.0016)
	check("compressors", "p99", 0.1024, 0.2048)
	if v := got.of(t, "machine-temperature", "p50"); !math.IsNaN(v) {
		t.Errorf("a quantile of nothing is %v, want null", v)
	}
	if len(s.past) > int(quantileSpan/time.Second)+2 {
		t.Errorf("%d scrapes kept", len(s.past))
	}
	if r := gather(a.reg, at).reasons(); r["compressors"]["malformed"] != 62 || r["compressors"]["refused"] != 31 || len(r) != 1 {
		t.Errorf("reasons %v", r)
	}
}

func TestSampleOfNothing(t *testing.T) {
	var s sampler
	js := s.sample(gather(prometheus.NewRegistry(), time.Unix(1, 0)), []Pipeline{{Name: "p"}})
	var got decodedSample
	if err := json.Unmarshal(js, &got); err != nil || got.of(t, "p", "records") != 0 || len(got.A) != len(partFields) {
		t.Fatalf("%s: %v", js, err)
	}
}

func TestLineRing(t *testing.T) {
	l := newLine(5*time.Second, time.Second)
	for i := range 12 {
		l.add([]byte(strconv.Itoa(i)), []byte(strconv.Itoa(i/6)))
	}
	samples, lost, next := l.since(3)
	if len(samples) != 5 || string(samples[0]) != "7" || string(samples[4]) != "11" || lost != 4 || next != 12 {
		t.Fatalf("%q, lost %d, next %d", samples, lost, next)
	}
	facts, version := l.status(0)
	if string(facts) != "1" || version != 2 {
		t.Fatalf("facts %q, version %d", facts, version)
	}
	if facts, _ := l.status(2); facts != nil {
		t.Fatalf("facts told twice: %q", facts)
	}
}

func TestTrainings(t *testing.T) {
	ts := newTrainings()
	step := func(run, state string, epoch int, loss float64, at int64) {
		ts.add(event.Training{Run: run, Pipeline: "p", State: state, Epoch: epoch, Epochs: 3, Loss: loss, ValLoss: math.NaN(), Time: at * 1e6, Elapsed: 1e9})
	}
	step("r", event.TrainingStarted, 0, math.NaN(), 2000)
	step("r", event.TrainingEpoch, 1, 0.9, 3000)
	_, seen := ts.since(0)
	step("r", event.TrainingEpoch, 2, 0.5, 4000)
	runs, now := ts.since(seen)
	if len(runs) != 1 || len(runs[0].Losses) != 1 || runs[0].Losses[0].Epoch != 2 || runs[0].Epoch != 2 {
		t.Fatalf("a delta is more or less than what is new: %+v", runs)
	}
	// The store tells the same run again, and late: nothing goes back.
	step("r", event.TrainingFinished, 3, 0.4, 5000)
	step("r", event.TrainingEpoch, 1, 0.9, 3000)
	step("r", event.TrainingStarted, 0, math.NaN(), 2000)
	runs, _ = ts.since(0)
	if r := runs[0]; r.State != event.TrainingFinished || r.Epoch != 3 || len(r.Losses) != 2 || r.Started != 1000 || r.Updated != 5000 {
		t.Fatalf("%+v", r)
	}
	if js := string(mustJSON(runs)); !strings.Contains(js, `"val_loss":null`) {
		t.Errorf("a loss that is not a number: %s", js)
	}
	for i := range maxRuns + 20 {
		step("x"+strconv.Itoa(i), event.TrainingStarted, 0, 0, int64(10_000+i))
	}
	if runs, _ = ts.since(now); len(runs) != maxRuns || runs[0].Run != "x119" {
		t.Errorf("%d runs, newest %s", len(runs), runs[0].Run)
	}
}

func TestPointsSortAndFrame(t *testing.T) {
	p := newPoints(2)
	p.add(3, 30, 31)
	p.add(1, 10)
	p.add(2, 20, 21)
	p.add(3, 33, 34)
	more := newPoints(2)
	more.add(0, 1, 1)
	more.add(2, 22, 23)
	more.add(4, 40, 41)
	p.join(&more, 1)
	if !slices.Equal(p.times, []float64{1, 2, 3, 4}) || !slices.Equal(p.cols[0], []float32{10, 22, 33, 40}) || p.cols[1][0] == p.cols[1][0] {
		t.Fatalf("%+v", p)
	}
	sub, seq, kind, got := parseFrame(t, appendFrame(nil, frameRows, frameSnapshot, 7, 9, &p))
	if sub != 7 || seq != 9 || kind != frameRows || !slices.Equal(got.times, p.times) || !slices.Equal(got.cols[0], p.cols[0]) {
		t.Fatalf("sub %d seq %d kind %d %+v", sub, seq, kind, got)
	}
}

func TestCells(t *testing.T) {
	check := func(v any, want string) {
		t.Helper()
		if got := string(mustJSON(cell(v))); got != want {
			t.Errorf("%v became %s, want %s", v, got, want)
		}
	}
	check(int64(1)<<53, "9007199254740992")
	check(int64(1)<<53+1, `"9007199254740993"`)
	check(uint64(math.MaxUint64), `"18446744073709551615"`)
	check(math.NaN(), `"nan"`)
	check(math.Inf(-1), `"-Inf"`)
	check([]float64{1.5, math.NaN()}, `[1.5,"nan"]`)
	check(time.Unix(0, 1), `"1970-01-01T00:00:00.000000001Z"`)
	check(nil, "null")
	check(true, "true")
}

func TestConfig(t *testing.T) {
	cfg := Default()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	bad := Config{Listen: "8080", Origins: []string{"example.org"}, MaxClients: -1, RiskWatch: 0.9, RiskCritical: 0.8, SampleEvery: time.Second, History: time.Millisecond}
	err := bad.Validate()
	for _, key := range []string{"listen", "origins", "max_clients", "max_assets", "watch_rows", "series_points", "query_rows", "queries", "history", "query_timeout", "risk_watch"} {
		if err == nil || !strings.Contains(err.Error(), "console."+key+":") {
			t.Errorf("no fault named console.%s in: %v", key, err)
		}
	}
}

func TestPortTaken(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 0)
	addr, err := a.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	cfg := syntheticConfig()
	cfg.Listen = addr
	_, err = newAppliance(t, cfg, 0).Listen()
	if err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "address already in use") {
		t.Fatalf("error of a taken port: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if errors.Is(a.Close(), nil) != true {
		t.Fatal("closing twice is an error")
	}
}
