package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const mapConfig = `
flush: {rows: 1000, bytes: 1MiB, interval: 200ms}
pipelines:
  - name: convert
    partitions: 2
    source:
      {topic: plant.raw, asset: pump, time: ts, time_unit: ms, signals: [c, p], derive: [{signal: f, of: c, scale: 1.8, offset: 32}], where: [{signal: c, below: 90}]}
    readings: {store: false, publish: true, topic: plant.clean}
`

// A pipeline without windows that stores no readings passes on what it takes, filtered and converted, through a kill -9; and what became of each record is proved.
func TestMapPipeline(t *testing.T) {
	needLibraries(t)
	data := filepath.Join(t.TempDir(), "data")
	p := launch(t, data, mapConfig, "--kafka-listen", "127.0.0.1:0")
	addresses, err := readAddresses(data)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	const rows = 20_000
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	produce := func(broker string, from, to int) {
		t.Helper()
		client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.DefaultProduceTopic("plant.raw"))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		for i := from; i < to; i++ {
			v := fmt.Sprintf(`{"pump":"pump-%d","ts":%d,"c":%d.25,"p":%d,"other":"x"}`, i%7, begin+int64(i), i%100, i)
			if i%50 == 49 {
				v = `{"pump":`
			}
			client.Produce(ctx, &kgo.Record{Key: fmt.Appendf(nil, "pump-%d", i%7), Value: []byte(v)}, nil)
		}
		if err := client.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	handled := func() float64 {
		return p.number(t, "SELECT sum(ok + duplicate + filtered + dead) FROM andon.handled WHERE pipeline = 'convert'")
	}
	produce(addresses.Kafka, 0, rows/2)
	p.await(t, "the first blocks", func() bool { return handled() > 0 })
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	p = launch(t, data, mapConfig, "--kafka-listen", "127.0.0.1:0")
	if addresses, err = readAddresses(data); err != nil {
		t.Fatal(err)
	}
	produce(addresses.Kafka, rows/2, rows)
	p.await(t, "all records", func() bool { return handled() == rows })

	if code, out, talk := ask(t, "verify", "--data", data, "--kafka", "auto", "convert"); code != exitOK {
		t.Errorf("verify: exit code %d\n%s%s", code, out, talk)
	}
	if n := p.number(t, "SELECT count() FROM andon.readings"); n != 0 {
		t.Errorf("%v readings are stored", n)
	}
	if got := fmt.Sprint(p.sql(t, "SELECT sum(rows), sum(filtered) FROM andon.rows_per_minute WHERE pipeline = 'convert'")); got != "[[19600 1800]]" {
		t.Errorf("rows and filtered: %s", got)
	}

	client, err := kgo.NewClient(kgo.SeedBrokers(addresses.Kafka), kgo.ConsumeTopics("plant.clean"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	type reading struct {
		Pump    string
		TS      int64
		C, F, P *float64
	}
	seen := map[int64]int{} // by event time, which is each record's own
	positions := map[string]int64{}
	for len(seen) < rows-400-1800 {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			var v reading
			d := json.NewDecoder(strings.NewReader(string(r.Value)))
			d.DisallowUnknownFields()
			if err := d.Decode(&v); err != nil {
				t.Fatalf("%s: %v", r.Value, err)
			}
			i := v.TS - begin
			if want := fmt.Sprintf("pump-%d", i%7); v.Pump != want || string(r.Key) != want || *v.C != float64(i%100)+.25 || *v.C >= 90 || *v.F != 1.8**v.C+32 || *v.P != float64(i) || i%50 == 49 {
				t.Fatalf("%s under %s", r.Value, r.Key)
			}
			at := ""
			for _, h := range r.Headers {
				at += " " + h.Key + "=" + string(h.Value)
			}
			if was, ok := positions[at]; ok && was != v.TS || !strings.Contains(at, "andon.offset=") {
				t.Fatalf("position%s of %d and %d", at, was, v.TS)
			}
			positions[at] = v.TS
			seen[v.TS]++
		})
		if ctx.Err() != nil {
			t.Fatalf("%d of %d readings came", len(seen), rows-400-1800)
		}
	}
	if len(positions) != len(seen) {
		t.Errorf("%d positions of %d readings", len(positions), len(seen))
	}
}
