package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"andon/deploy/kafka/brokertest"
	"andon/event"
	"andon/ingest/dial"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		brokertest.Stop()
		os.Exit(code)
	}))
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func slogTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// cluster is what a test publishes to: an in-process broker of its own, or Apache Kafka.
type cluster struct {
	t    *testing.T
	fake *kfake.Cluster
	real *brokertest.Broker
}

func (c *cluster) ListenAddrs() []string {
	if c.real != nil {
		return []string{c.real.Addr}
	}
	return c.fake.ListenAddrs()
}

// inProcess returns the broker for tests that make it misbehave; others skip there.
func (c *cluster) inProcess() *kfake.Cluster {
	c.t.Helper()
	if c.fake == nil {
		c.t.Skip("it makes the broker misbehave, which Apache Kafka does not on request")
	}
	return c.fake
}

func newCluster(t *testing.T, opts ...kfake.Opt) *cluster {
	t.Helper()
	if brokertest.Wanted() {
		if len(opts) > 0 {
			t.Skip("its broker's settings are for the in-process one")
		}
		b := brokertest.Get(t)
		b.Topics(t, 2, "andon.deadletter", "andon.scores", "andon.features")
		return &cluster{t: t, real: b}
	}
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(2, "andon.deadletter", "andon.scores", "andon.features")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &cluster{t: t, fake: c}
}

// loud publishes all of the pipeline of its name and nothing of others.
func loud(pipeline string) Outputs {
	if pipeline == "loud" {
		return Outputs{Scores: "andon.scores", Features: "andon.features"}
	}
	return Outputs{}
}

func openTest(t *testing.T, address string, change func(*Config)) *Publisher {
	t.Helper()
	cfg := Default()
	cfg.Seeds = []string{address}
	if change != nil {
		change(&cfg)
	}
	p, err := Open(cfg, loud, quiet(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func block(pipeline string, deadLetters, scores int) *event.Block {
	b := &event.Block{Pipeline: pipeline, Topic: "in", Partition: 1, First: 100, Next: 100 + int64(deadLetters+scores)}
	at := func(i int) event.Position { return event.Position{Topic: "in", Partition: 1, Offset: 100 + int64(i)} }
	for i := range deadLetters {
		b.DeadLetters = append(b.DeadLetters, event.DeadLetter{Record: event.Record{Position: at(i), Key: []byte("k"), Value: fmt.Append(nil, i)},
			Pipeline: pipeline, Reason: event.ReasonMalformed})
	}
	for i := range scores {
		b.Scores = append(b.Scores, event.Score{Pipeline: pipeline, Asset: fmt.Sprint("a", i%5), Position: at(deadLetters + i)})
	}
	return b
}

// readAll reads all records of a topic.
func readAll(t *testing.T, address, topic string) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(20*time.Millisecond), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ends, err := kadm.NewClient(c).ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	ends.Each(func(o kadm.ListedOffset) { total += int(o.Offset) })
	var out []*kgo.Record
	for len(out) < total {
		f := c.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatalf("%s: %v after %d of %d records", topic, err, len(out), total)
		}
		f.EachRecord(func(r *kgo.Record) { out = append(out, r) })
	}
	return out
}

// freePort is below the ephemeral range: a client that polls a port of that range before the broker is there may connect to itself.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(12768)
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

func offsets(records []*kgo.Record) map[string]int {
	seen := make(map[string]int)
	for _, r := range records {
		for _, h := range r.Headers {
			if h.Key == HeaderOffset {
				seen[string(h.Value)]++
			}
		}
	}
	return seen
}

func TestPublish(t *testing.T) {
	c := newCluster(t)
	address := c.ListenAddrs()[0]
	reg := prometheus.NewRegistry()
	cfg := Default()
	cfg.Seeds = []string{address}
	p, err := Open(cfg, loud, quiet(), reg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	// Scores must not be out before the dead letters are.
	var order []string
	if c.fake != nil {
		c.fake.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
			c.fake.KeepControl()
			for _, t := range r.(*kmsg.ProduceRequest).Topics {
				order = append(order, c.fake.TopicIDInfo(t.TopicID).Topic)
			}
			return nil, nil, false
		})
	}
	if err := p.Publish(t.Context(), block("loud", 300, 500)); err != nil {
		t.Fatal(err)
	}
	windows := block("loud", 0, 0)
	windows.Features.Names = []string{"v_mean"}
	for i := range 70 {
		windows.Features.Append("x", int64(i), int64(i+1), int64(100+i))[0] = float64(i)
	}
	if err := p.Publish(t.Context(), windows); err != nil {
		t.Fatal(err)
	}
	windows.Pipeline = "silent"
	if err := p.Publish(t.Context(), windows); err != nil {
		t.Fatal(err)
	}
	if n := len(offsets(readAll(t, address, "andon.features"))); n != 70 {
		t.Errorf("%d windows, not 70", n)
	}
	if err := p.Publish(t.Context(), block("silent", 2, 5)); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(t.Context(), block("silent", 0, 5)); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(order, " ")
	if first := strings.Index(text, "andon.scores"); c.fake != nil && (first < 0 || !strings.Contains(text[:first], "andon.deadletter") ||
		strings.Count(text[first:], "andon.deadletter") > 2) {
		t.Errorf("order of produce requests: %s", text)
	}
	dead, scores := readAll(t, address, "andon.deadletter"), readAll(t, address, "andon.scores")
	if len(dead) != 302 || len(scores) != 500 || len(offsets(dead)) != 300 || len(offsets(scores)) != 500 {
		t.Errorf("%d dead letters, %d scores", len(dead), len(scores))
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "andon_kafka_published_total" {
			for _, m := range f.GetMetric() {
				counted[label(m, "topic")] = m.GetCounter().GetValue()
			}
		}
	}
	if counted["andon.deadletter"] != 302 || counted["andon.scores"] != 500 {
		t.Errorf("andon_kafka_published_total %v", counted)
	}
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// A dead letter that is larger than the brokers take is cut, not refused for ever.
func TestHugeDeadLetter(t *testing.T) {
	c := newCluster(t)
	p := openTest(t, c.ListenAddrs()[0], nil)
	b := block("x", 3, 0)
	b.DeadLetters[1].Value = make([]byte, 5<<20)
	for i := range b.DeadLetters[1].Value {
		b.DeadLetters[1].Value[i] = byte(i * i >> 7) // must not shrink to nothing
	}
	if err := p.Publish(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	got := readAll(t, c.ListenAddrs()[0], "andon.deadletter")
	if len(got) != 3 {
		t.Fatalf("%d records", len(got))
	}
	for _, r := range got {
		if cut := strings.Contains(headers(r), "andon.truncated=5242880\n"); cut != (len(r.Value) > 100) {
			t.Errorf("%d bytes: %s", len(r.Value), headers(r))
		}
	}
}

// Errors that pass are waited out; everything arrives once.
func TestPassingErrors(t *testing.T) {
	c := newCluster(t)
	p := openTest(t, c.ListenAddrs()[0], nil)
	failures := 3
	c.inProcess().ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.inProcess().KeepControl()
		if failures--; failures < 0 {
			return nil, nil, false
		}
		req := r.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, t := range req.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, part := range t.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = part.Partition, kerr.KafkaStorageError.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	if err := p.Publish(t.Context(), block("loud", 5, 5)); err != nil {
		t.Fatal(err)
	}
	if n := len(readAll(t, c.ListenAddrs()[0], "andon.deadletter")); n != 5 {
		t.Errorf("%d dead letters", n)
	}
}

// The brokers restart while many partitions publish: no block is lost, none is doubled.
func TestRestarts(t *testing.T) {
	dir := t.TempDir()
	port := freePort(t)
	open := func() *kfake.Cluster {
		c, err := kfake.NewCluster(kfake.Ports(port), kfake.DataDir(dir), kfake.SeedTopics(2, "andon.deadletter", "andon.scores", "andon.features"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open()
	address := c.ListenAddrs()[0]
	p := openTest(t, address, nil)
	const partitions, blocks = 4, 60
	var work sync.WaitGroup
	progress := make(chan struct{}, partitions*blocks)
	for part := range partitions {
		work.Add(1)
		go func() {
			defer work.Done()
			for i := range blocks {
				b := block("loud", 2, 3)
				for j := range b.DeadLetters {
					b.DeadLetters[j].Offset = int64(part*1_000_000 + i*10 + j)
				}
				for j := range b.Scores {
					b.Scores[j].Offset = int64(part*1_000_000 + i*10 + j)
				}
				if err := p.Publish(t.Context(), b); err != nil {
					t.Error(err)
				}
				progress <- struct{}{}
			}
		}()
	}
	for n := range partitions * blocks {
		<-progress
		if n%60 == 30 {
			c.Close()
			c = open()
		}
	}
	work.Wait()
	defer func() { c.Close() }()
	for topic, want := range map[string]int{"andon.deadletter": partitions * blocks * 2, "andon.scores": partitions * blocks * 3} {
		got := readAll(t, address, topic)
		if n := len(offsets(got)); n != want || len(got) != want {
			t.Errorf("%s: %d records, %d different, want %d", topic, len(got), n, want)
		}
	}
}

// Without brokers Publish waits until it is told to stop, and holds no more than it may.
func TestNoBroker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	cfg := Default()
	cfg.Seeds, cfg.MaxRecord, cfg.MaxInFlight = []string{address}, 16<<10, 64<<10
	p, err := Open(cfg, nil, quiet(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b := block("x", 1000, 0)
	for i := range b.DeadLetters {
		b.DeadLetters[i].Value = make([]byte, 1000)
	}
	done := make(chan error)
	go func() { done <- p.Publish(ctx, b) }()
	for p.client.BufferedProduceBytes() < 50<<10 {
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-done:
		t.Fatal(err)
	default:
	}
	if n := p.client.BufferedProduceBytes(); n > 66<<10 { // and the record that waits
		t.Errorf("%d bytes are held", n)
	}
	cancel()
	err = <-done
	if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "publish 1000 dead letters of x in/1@100-1100 to andon.deadletter: ") {
		t.Errorf("error is %v", err)
	}
	p.client.Close() // not p.Close: it would wait for brokers that are not there
}

func TestNoTopic(t *testing.T) {
	c := newCluster(t)
	p := openTest(t, c.ListenAddrs()[0], func(c *Config) { c.DeadLetters = "nobody.made.this" })
	err := p.Publish(t.Context(), block("x", 1, 0))
	if err == nil || !strings.Contains(err.Error(), "the topic does not exist on 127.0.0.1:") || !strings.Contains(err.Error(), "create it") {
		t.Errorf("error is %v", err)
	}
}

func TestBrokersTakeLess(t *testing.T) {
	c := newCluster(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "20000"}))
	p := openTest(t, c.ListenAddrs()[0], nil)
	b := block("x", 1, 0)
	b.DeadLetters[0].Value = make([]byte, 100_000)
	rand.NewChaCha8([32]byte{}).Read(b.DeadLetters[0].Value)
	if err := p.Publish(t.Context(), b); err == nil || !strings.Contains(err.Error(), "max.message.bytes") {
		t.Errorf("error is %v", err)
	}
}

func TestConfigFaults(t *testing.T) {
	good := Default()
	good.Seeds = []string{"x:1"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	bad := Config{MaxRecord: 1, Linger: -1, Security: dial.Security{SASL: dial.SASL{Mechanism: "gssapi"}}}
	err := bad.Validate()
	for _, key := range []string{"seeds: ", "deadletters: ", "max_record: ", "max_in_flight: ", "linger: ", "security: sasl.mechanism: "} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("no fault of %s in:\n%v", key, err)
		}
	}
}
