package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/deploy/kafka/brokertest"
	"andon/event"
	"andon/ingest"
	"andon/model"
	"andon/model/onnx"
	"andon/processors"
	"andon/sinks/kafka"
)

// source is where a published record says that it comes from; end is its window's, Unix microseconds, 0 if it is of none.
type source struct {
	topic                  string
	partition, offset, end int64
}

func sourceOf(r *kgo.Record) (s source) {
	for _, h := range r.Headers { // the last of a name counts
		switch h.Key {
		case "andon.topic":
			s.topic = string(h.Value)
		case "andon.partition":
			s.partition, _ = strconv.ParseInt(string(h.Value), 10, 32)
		case "andon.offset":
			s.offset, _ = strconv.ParseInt(string(h.Value), 10, 64)
		case "andon.end":
			if end, err := time.Parse(time.RFC3339Nano, string(h.Value)); err == nil {
				s.end = end.UnixMicro()
			}
		}
	}
	return s
}

// committedOf counts, by source, what a reader of committed records sees of a topic up to its end; open transactions must have ended, or it ends before them.
func committedOf(t *testing.T, address, topic string) map[source]int {
	t.Helper()
	seen := map[source]int{}
	for _, r := range brokertest.Committed(t, address, topic) {
		seen[sourceOf(r)]++
	}
	return seen
}

// aborted tells whether a topic holds records that a reader of committed ones does not see.
func aborted(t *testing.T, address, topic string, seen int) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n := 0
	for idle := 0; idle < 20 && n <= seen; {
		poll, stop := context.WithTimeout(ctx, 100*time.Millisecond)
		f := c.PollFetches(poll)
		stop()
		if f.NumRecords() == 0 {
			idle++
		}
		n += f.NumRecords()
	}
	return n > seen
}

// shelves stand in for ClickHouse: a block is kept by its range, once.
type shelves struct {
	mu   sync.Mutex
	held map[string]int
}

func (s *shelves) Write(ctx context.Context, b *event.Block) error {
	select {
	case <-time.After(time.Duration(rand.IntN(10)) * time.Millisecond):
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[fmt.Sprintf("%d@%d-%d", b.Partition, b.First, b.Next)] = len(b.DeadLetters)
	return nil
}

// Members of a group come and go, some in an orderly way and some cut off from the brokers for longer than a session, while records flow; each record gives one dead
// letter, which a reader of committed records sees once.
func TestKafkaTransactionsMove(t *testing.T) {
	real := brokertest.Need(t)
	for _, balancer := range []string{ingest.BalancerCooperative, ingest.BalancerNextGen} {
		t.Run("balancer="+balancer, func(t *testing.T) {
			const partitions, rounds, each = 4, 10, 60
			in, out := "moves.in", "moves.out"
			real.Topics(t, partitions, in, out)
			proxy := real.Proxy(t)
			shelf := &shelves{held: map[string]int{}}
			type member struct {
				stop context.CancelFunc
				done chan error
			}
			begin := func(address string) member {
				log := slog.New(slog.DiscardHandler)
				reg := prometheus.NewRegistry()
				cfg := ingest.Default()
				cfg.Brokers, cfg.Balancer = []string{address}, balancer
				cfg.SessionTimeout, cfg.Heartbeat, cfg.RebalanceTimeout, cfg.BatchRecords = 2*time.Second, 200*time.Millisecond, 5*time.Second, 13
				to := kafka.Default()
				to.Seeds, to.DeadLetters = cfg.Brokers, out
				publisher, err := kafka.Open(to, nil, log, reg)
				if err != nil {
					t.Fatal(err)
				}
				pc := processors.Default()
				pc.Pipeline, pc.Signals, pc.Flush.Interval, pc.Flush.Rows = "moves", []string{"x"}, 20*time.Millisecond, 25
				line, err := processors.New(pc, processors.Judge{}, processors.Outlets{Sink: shelf, Publisher: publisher}, processors.NewMetrics(reg), log)
				if err != nil {
					t.Fatal(err)
				}
				source := ingest.Source{Topic: in, Group: "moves-" + balancer}
				source.Signals = []string{"x"}
				reading := ingest.NewMetrics(reg)
				intake, err := ingest.New(cfg, "moves", source, func(ctx context.Context, a ingest.Assignment) (ingest.Handler, int64, error) {
					return line.Open(ctx, processors.Assignment(a))
				}, ingest.NewBudget(cfg.MaxInFlight, reading), reading, log)
				if err != nil {
					t.Fatal(err)
				}
				intake.FenceBy(func(ctx context.Context, topic string, partition int32) (io.Closer, error) {
					return publisher.Transactor(ctx, source.Group, topic, partition)
				})
				ctx, cancel := context.WithCancel(context.Background())
				m := member{cancel, make(chan error, 1)}
				go func() {
					err := intake.Run(ctx)
					m.done <- errors.Join(err, publisher.Close())
				}()
				return m
			}
			end := func(m member) {
				t.Helper()
				m.stop()
				if err := <-m.done; err != nil {
					t.Error(err)
				}
			}
			client, err := kgo.NewClient(kgo.SeedBrokers(real.Addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(in))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			cut := begin(real.Proxied) // its ways to the brokers can be frozen
			stays := begin(real.Addr)
			var passes []member
			for round := range rounds {
				for p := range int32(partitions) {
					var records []*kgo.Record
					for i := range each {
						records = append(records, &kgo.Record{Partition: p, Value: fmt.Appendf(nil, "no row %d", i)})
					}
					if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
				switch round {
				case 3:
					proxy.Freeze()
				case 6:
					time.Sleep(2500 * time.Millisecond)
					proxy.Thaw()
				case 2, 5:
					passes = append(passes, begin(real.Addr))
				case 4, 8:
					end(passes[0])
					passes = passes[1:]
				}
				time.Sleep(200 * time.Millisecond)
			}
			want := partitions * rounds * each
			var seen map[source]int
			for deadline := time.Now().Add(time.Minute); len(seen) < want && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
				seen = committedOf(t, real.Addr, out)
			}
			for _, m := range append(passes, cut, stays) {
				end(m)
			}
			seen = committedOf(t, real.Addr, out)
			for p := range int64(partitions) {
				for o := range int64(rounds * each) {
					if n := seen[source{in, p, o, 0}]; n != 1 {
						t.Fatalf("the dead letter of partition %d, offset %d is seen %d times", p, o, n)
					}
				}
			}
			if len(seen) != want {
				t.Errorf("dead letters of %d records, want %d", len(seen), want)
			}
			kept := 0
			for _, n := range shelf.held {
				kept += n
			}
			if kept != want {
				t.Errorf("%d dead letters are stored, want %d", kept, want)
			}
		})
	}
}

const transactionsConfig = `
kafka: {create_topics: true, session_timeout: 3s, heartbeat: 300ms}
flush: {rows: 300, bytes: 1MiB, interval: 100ms}
topics: {deadletter: once.dead, scores: once.scores}
pipelines:
  - name: once
    partitions: 3
    source: {topic: once.rows, signals: [x]}
    window: {grid: 1s, length: 4, lateness: 0s, horizon: 1h}
    publish_scores: true
    delivery: exactly-once
`

// addMean puts a model into a data folder that scores a window by its mean.
func addMean(t *testing.T, data string) {
	t.Helper()
	g := onnx.NewGraph("mean")
	g.Input(model.Input, onnx.Float, append([]onnx.Dim{{Name: "batch"}}, onnx.Fixed(4, 1)...)...)
	mean := g.Op("ReduceMean", []string{model.Input}, onnx.Ints("axes", 1), onnx.Int("keepdims", 0))
	g.Node("Identity", []string{mean}, []string{model.Value})
	g.Node("Sigmoid", []string{mean}, []string{model.Risk})
	g.Output(model.Value, onnx.Float, onnx.Dim{Name: "batch"}, onnx.Dim{Size: 1})
	g.Output(model.Risk, onnx.Float, onnx.Dim{Name: "batch"}, onnx.Dim{Size: 1})
	m, err := model.Seal(g.Model(), model.Meta{Pipeline: "once", Task: model.Anomaly, Unit: "v", Network: "mean", Lineage: model.Lineage{Run: "test"},
		Recipe: model.Recipe{Signals: []string{"x"}, Grid: time.Second, Length: 4, MaxGap: 3, Smooth: 1, Scale: []model.Scale{{Mean: 0, Std: 1}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(data, "models"), 0o755); err != nil {
		t.Fatal(err)
	}
	r, err := model.Open(filepath.Join(data, "models"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Add(m), r.Promote("once", m.Version, "test", "it says the mean")); err != nil {
		t.Fatal(err)
	}
}

// The whole program on Apache Kafka with delivery: exactly-once, killed with kill -9 again and again in the middle of the flow: scores and dead letters, as a reader of
// committed records counts them, are those that ClickHouse holds, each once.
func TestKafkaTransactionsKilled(t *testing.T) {
	needLibraries(t)
	real := brokertest.Need(t)
	real.Topics(t, 0, "once.rows", "once.dead", "once.scores")
	data := filepath.Join(t.TempDir(), "data")
	addMean(t, data)
	p := launch(t, data, transactionsConfig, "--kafka", real.Addr)
	client, err := kgo.NewClient(kgo.SeedBrokers(real.Addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic("once.rows"), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const partitions, rounds, each, kills = 3, 60, 100, 4
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for round := range rounds {
		var rows []*kgo.Record
		for i := range each {
			for part := range partitions {
				value := fmt.Appendf(nil, `{"asset":"line-%d","time":%q,"x":%d}`, part, begin.Add(time.Duration(round*each+i)*time.Second).Format(time.RFC3339), i)
				if i%5 == 4 {
					value = fmt.Appendf(nil, "no row, %d of %d", i, round)
				}
				rows = append(rows, &kgo.Record{Partition: int32(part), Value: value})
			}
		}
		if err := client.ProduceSync(t.Context(), rows...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		if round%(rounds/(kills+1)) == rounds/(kills+1)-1 && round < rounds-1 {
			time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
			if err := p.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-p.ended
			p = launch(t, data, transactionsConfig, "--kafka", real.Addr)
		}
	}
	const total = partitions * rounds * each
	p.await(t, "all records", func() bool {
		return p.number(t, "SELECT (SELECT count() FROM andon.readings) + (SELECT count() FROM andon.deadletters WHERE pipeline = 'once')") >= total
	})
	p.await(t, "the last transaction", func() bool { return len(committedOf(t, real.Addr, "once.dead")) >= total/5 })
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	p = launch(t, data, transactionsConfig, "--kafka", real.Addr)

	for topic, table := range map[string]string{"once.dead": "deadletters", "once.scores": "scores"} {
		seen := committedOf(t, real.Addr, topic)
		held, end := 0, "0"
		if table == "scores" {
			end = "toUnixTimestamp64Micro(end)"
		}
		for _, r := range p.sql(t, "SELECT _partition, groupArray(o), groupArray(e), max(n) FROM (SELECT _partition, _offset AS o, "+end+" AS e, count() AS n FROM andon."+table+
			" WHERE pipeline = 'once' GROUP BY ALL) GROUP BY ALL") {
			offsets, ends := r[1].([]any), r[2].([]any)
			held += len(offsets)
			for i, o := range offsets {
				at := source{"once.rows", int64(asNumber(r[0])), int64(asNumber(o)), int64(asNumber(ends[i]))}
				if n := seen[at]; n != 1 || asNumber(r[3]) != 1 {
					t.Fatalf("%s: %+v is %d times in Kafka, at most %v in ClickHouse", table, at, n, r[3])
				}
			}
		}
		if held < total/6 || len(seen) != held {
			t.Errorf("%s: what came of %d records is seen in Kafka, of %d in ClickHouse, of %d sent", table, len(seen), held, total)
		}
		t.Logf("%s: %d, each once; undone transactions left records: %v", topic, len(seen), aborted(t, real.Addr, topic, len(seen)))
	}
	if said := p.log(); strings.Contains(said, "level=ERROR") {
		t.Errorf("it says:\n%s", said)
	}
}
