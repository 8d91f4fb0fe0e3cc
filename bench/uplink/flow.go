package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// flow is the plant: it sends rows, and somebody on the site, and somebody at the cluster, who read the scores as they come.
type flow struct {
	h       *house
	client  *kgo.Client
	started time.Time

	mu      sync.Mutex
	sent    map[at]time.Time // when a row was sent, until its score is seen on the site
	seen    map[at]time.Time // the same, until it is seen in the cluster
	n       int64            // scores seen on the site
	verdict []float64        // ms, of the phase
	action  []float64
	arrival []float64
}

type at struct {
	partition int32
	offset    int64
}

func newFlow(h *house) (*flow, error) {
	f := &flow{h: h, sent: map[at]time.Time{}, seen: map[at]time.Time{}}
	var err error
	f.client, err = kgo.NewClient(kgo.SeedBrokers(h.at.Kafka), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	return f, err
}

func (f *flow) close() { f.client.Close() }

func (f *flow) count() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// send sends rows at the rate until ctx ends; each is a second of event time after the asset's last.
func (f *flow) send(ctx context.Context) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	f.started = time.Now()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for want := int(time.Since(f.started).Seconds() * float64(f.h.o.rate)); n < want; n++ {
			asset, step := n%f.h.o.assets, n/f.h.o.assets
			now := time.Now()
			r := &kgo.Record{Partition: int32(asset % partitions), Key: fmt.Appendf(nil, "pump-%03d", asset),
				Value: fmt.Appendf(nil, `{"asset":"pump-%03d","time":%q,"v":%d}`, asset, begin.Add(time.Duration(step)*time.Second).Format(time.RFC3339), step%7)}
			f.client.Produce(ctx, r, func(r *kgo.Record, err error) {
				if err != nil {
					return // the end
				}
				f.mu.Lock()
				defer f.mu.Unlock()
				f.sent[at{r.Partition, r.Offset}], f.seen[at{r.Partition, r.Offset}] = now, now
			})
		}
	}
}

// scores calls g with each score of a topic from its end on.
func scores(ctx context.Context, address, topic string, g func(from at, r *kgo.Record)) {
	c, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer c.Close()
	for ctx.Err() == nil {
		c.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			var from at
			for _, h := range r.Headers {
				switch h.Key {
				case "andon.partition":
					n, _ := strconv.ParseInt(string(h.Value), 10, 32)
					from.partition = int32(n)
				case "andon.offset":
					from.offset, _ = strconv.ParseInt(string(h.Value), 10, 64)
				}
			}
			g(from, r)
		})
	}
}

// act is what acts on the scores on the site.
func (f *flow) act(ctx context.Context) {
	scores(ctx, f.h.at.Kafka, "andon.scores", func(from at, r *kgo.Record) {
		var s struct {
			Latency float64 `json:"latency_ms"`
		}
		_ = json.Unmarshal(r.Value, &s)
		now := time.Now()
		f.mu.Lock()
		defer f.mu.Unlock()
		f.n++
		f.verdict = append(f.verdict, s.Latency)
		if t, ok := f.sent[from]; ok {
			delete(f.sent, from)
			f.action = append(f.action, now.Sub(t).Seconds()*1e3)
		}
	})
}

// watchCentral is who reads the scores at the cluster.
func (f *flow) watchCentral(ctx context.Context) {
	scores(ctx, f.h.central, "edge.andon.scores", func(from at, r *kgo.Record) {
		now := time.Now()
		f.mu.Lock()
		defer f.mu.Unlock()
		if t, ok := f.seen[from]; ok {
			delete(f.seen, from)
			f.arrival = append(f.arrival, now.Sub(t).Seconds()*1e3)
		}
	})
}

// phase is what was seen in a stretch of time.
type phase struct {
	name                     string
	took                     time.Duration
	scores                   int64
	verdict, action, arrival []float64
	cpu                      time.Duration
	disk                     int64
}

// phase gathers for a time, or until it is said to be over.
func (f *flow) phase(ctx context.Context, name string, d time.Duration, over func() bool) (p phase, err error) {
	f.mu.Lock()
	f.verdict, f.action, f.arrival = nil, nil, nil
	n := f.n
	f.mu.Unlock()
	begun, cpu := time.Now(), f.h.cpu()
	for time.Since(begun) < d && (over == nil || !over()) {
		select {
		case <-ctx.Done():
			return p, ctx.Err()
		case <-time.After(min(d-time.Since(begun), 200*time.Millisecond)):
		}
	}
	p = phase{name: name, took: time.Since(begun), cpu: f.h.cpu() - cpu, disk: f.h.logBytes()}
	f.mu.Lock()
	defer f.mu.Unlock()
	p.scores, p.verdict, p.action, p.arrival = f.n-n, f.verdict, f.action, f.arrival
	if p.scores == 0 {
		return p, fmt.Errorf("%s: no score was made", name)
	}
	return p, nil
}

func quantiles(v []float64) string {
	if len(v) == 0 {
		return "-"
	}
	slices.Sort(v)
	return fmt.Sprintf("%.1f / %.1f", v[len(v)/2], v[len(v)*99/100])
}

func (p phase) row() string {
	return fmt.Sprintf("| %s, %.0f s | %.0f | %s | %s | %s | %.2f | %.1f |", p.name, p.took.Seconds(), float64(p.scores)/p.took.Seconds(), quantiles(p.verdict), quantiles(p.action), quantiles(p.arrival),
		p.cpu.Seconds()/p.took.Seconds(), float64(p.disk)/(1<<20))
}

func (p phase) String() string { return p.row() }
