package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The whole program with a pipeline that ends at its features: records in, windows on Kafka and in ClickHouse, through a kill -9 in the middle of windows,
// each once and with the numbers that the records have.
func TestWindowsOfAPipelineThatEndsThere(t *testing.T) {
	needLibraries(t)
	data := filepath.Join(t.TempDir(), "data")
	const config = `
flush: {rows: 100000, bytes: 32MiB, interval: 100ms}
pipelines:
  - name: pumps
    partitions: 2
    source: {topic: plant.pumps, signals: [flow, pressure]}
    aggregate: {size: 60s, every: 20s, functions: [count, mean, max, slope], signals: [flow], lateness: 5s, horizon: 1h, topic: plant.pumps.minutes}
`
	p := launch(t, data, config, "--kafka-listen", "127.0.0.1:0")
	base := time.Now().UTC().Truncate(time.Hour).Add(-2 * time.Hour)
	flow := func(pump, second int) float64 {
		return float64(pump)*100 + float64(second)/4 + float64(second*second%7)
	}
	send := func(from, to int) {
		t.Helper()
		a, err := readAddresses(data)
		if err != nil {
			t.Fatal(err)
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(a.Kafka))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		var records []*kgo.Record
		for second := from; second < to; second++ {
			for pump := range 3 {
				records = append(records, &kgo.Record{Topic: "plant.pumps", Key: fmt.Append(nil, pump), Value: fmt.Appendf(nil, `{"asset":"pump-%d","time":%q,"flow":%g,"pressure":1}`,
					pump, base.Add(time.Duration(second)*time.Second).Format(time.RFC3339Nano), flow(pump, second))})
			}
		}
		if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	readings := func(n int) {
		t.Helper()
		p.await(t, fmt.Sprint(n, " readings"), func() bool { return p.number(t, "SELECT count() FROM andon.readings") == float64(n) })
	}
	send(0, 150)
	readings(450)
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	p = launch(t, data, config, "--kafka-listen", "127.0.0.1:0")
	send(150, 300)
	readings(900)

	// The watermark stands at 294 s: windows that end at 20 to 280 s have closed, the first two of them begin before the first record.
	type window struct{ count, mean, max, slope float64 }
	want := map[string]window{}
	for pump := range 3 {
		for end := 20; end <= 280; end += 20 {
			var n, mean, when, most, tt, xt float64
			for second := max(0, end-60); second < end; second++ {
				n, mean, when, most = n+1, mean+flow(pump, second), when+float64(second), max(most, flow(pump, second))
			}
			mean, when = mean/n, when/n
			for second := max(0, end-60); second < end; second++ {
				d := float64(second) - when
				tt, xt = tt+d*d, xt+d*(flow(pump, second)-mean)
			}
			want[fmt.Sprintf("pump-%d %s", pump, base.Add(time.Duration(end)*time.Second).Format(time.RFC3339))] = window{n, mean, most, xt / tt}
		}
	}
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(1, math.Abs(b)) }
	same := func(where, key string, got window) {
		t.Helper()
		w, ok := want[key]
		if !ok || !near(got.count, w.count) || !near(got.mean, w.mean) || !near(got.max, w.max) || !near(got.slope, w.slope) {
			t.Errorf("%s: %s is %+v, want %+v", where, key, got, w)
		}
	}
	p.await(t, "all windows", func() bool { return p.number(t, "SELECT count() FROM andon.features") >= float64(len(want)) })
	rows := p.sql(t, "SELECT asset, formatDateTime(end, '%FT%TZ'), values['flow_count'], values['flow_mean'], values['flow_max'], values['flow_slope'] FROM andon.features_map WHERE pipeline = 'pumps'")
	if len(rows) != len(want) {
		t.Errorf("%d windows in ClickHouse, want %d", len(rows), len(want))
	}
	for _, r := range rows {
		same("ClickHouse", fmt.Sprint(r[0], " ", strings.ReplaceAll(fmt.Sprint(r[1]), "%", "")), window{asNumber(r[2]), asNumber(r[3]), asNumber(r[4]), asNumber(r[5])})
	}

	a, err := readAddresses(data)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(a.Kafka), kgo.ConsumeTopics("plant.pumps.minutes"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	told := map[string]bool{}
	for len(told) < len(want) {
		f := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d windows on Kafka, want %d", len(told), len(want))
		}
		f.EachRecord(func(r *kgo.Record) {
			var v struct {
				Pipeline, Asset, Topic string
				Start, End             time.Time
				Count                  float64 `json:"flow_count"`
				Mean                   float64 `json:"flow_mean"`
				Max                    float64 `json:"flow_max"`
				Slope                  float64 `json:"flow_slope"`
			}
			if err := json.Unmarshal(r.Value, &v); err != nil {
				t.Fatalf("%s: %v", r.Value, err)
			}
			if v.Pipeline != "pumps" || v.Asset != string(r.Key) || v.Topic != "plant.pumps" || v.End.Sub(v.Start) != time.Minute || len(r.Headers) != 5 {
				t.Errorf("on Kafka: %s %s %v", r.Key, r.Value, r.Headers)
			}
			key := v.Asset + " " + v.End.Format(time.RFC3339)
			told[key] = true
			same("Kafka", key, window{v.Count, v.Mean, v.Max, v.Slope})
		})
	}
	if code, out, talk := ask(t, "verify", "--data", data); code != exitOK || !strings.Contains(out, "pumps") {
		t.Errorf("verify: exit code %d: %s%s", code, out, talk)
	}
	res, err := http.Get("http://" + a.Console + "/api/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var status struct {
		Pipelines []struct{ Task string }
	}
	if err := json.NewDecoder(res.Body).Decode(&status); err != nil || len(status.Pipelines) != 1 || status.Pipelines[0].Task != taskAggregate {
		t.Errorf("status: %+v, %v", status, err)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if code := p.ProcessState.ExitCode(); code != exitOK {
		t.Errorf("after SIGTERM the exit code is %d", code)
	}
}
