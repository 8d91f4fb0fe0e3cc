package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon/event"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("ANDON_TEST_BROKER_DIR"); dir != "" {
		childBroker(dir, os.Getenv("ANDON_TEST_BROKER_LISTEN"))
		return
	}
	goleak.VerifyTestMain(m)
}

func testConfig(t *testing.T) Config {
	cfg := Default()
	cfg.Listen = "127.0.0.1:0"
	cfg.Dir = t.TempDir()
	cfg.MinFree = 1 << 20
	return cfg
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func openTest(t *testing.T, cfg Config) *Broker {
	t.Helper()
	b, err := Open(cfg, quiet(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func client(t *testing.T, b *Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addr()), kgo.MetadataMinAge(10 * time.Millisecond), kgo.DisableClientMetrics()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func produce(t *testing.T, c *kgo.Client, topic string, values ...string) {
	t.Helper()
	for _, v := range values {
		if err := c.ProduceSync(testContext(t), &kgo.Record{Topic: topic, Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// read returns the values of partition 0 from an offset to the end.
func read(t *testing.T, b *Broker, topic string, from, to int64) []string {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.FetchMaxWait(50*time.Millisecond), kgo.DisableClientMetrics(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(from)}}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var out []string
	for next := from; next < to; {
		f := c.PollFetches(testContext(t))
		if err := f.Err(); err != nil {
			t.Fatalf("read %s from %d: %v after %d records", topic, from, err, len(out))
		}
		f.EachRecord(func(r *kgo.Record) {
			if r.Offset < to {
				out = append(out, string(r.Value))
			}
			next = r.Offset + 1
		})
	}
	return out
}

func TestConfigFaults(t *testing.T) {
	good := Default()
	good.Dir = "x"
	if err := good.Validate(); err != nil {
		t.Fatalf("the default: %v", err)
	}
	bad := Config{Listen: "nonsense", Advertise: "0.0.0.0:0", MaxBytes: 1, TopicBytes: 1, Partitions: 0, MaxMessage: 1}
	err := bad.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, key := range []string{"listen: ", "advertise: ", "dir: ", "max_bytes: ", "topic_bytes: ", "partitions: ", "max_message: ", "min_free: "} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("no fault of %s in:\n%v", key, err)
		}
	}
	all := good
	all.Listen = "0.0.0.0:9092"
	if err := all.Validate(); err == nil || !strings.Contains(err.Error(), "advertise: ") {
		t.Errorf("all interfaces without an address to advertise: %v", err)
	}
	many := good
	many.Partitions = 500
	if err := many.Validate(); err == nil || !strings.Contains(err.Error(), "topic_bytes: 256MiB over 500 partitions") {
		t.Errorf("too many partitions: %v", err)
	}
}

func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := testConfig(t)
	cfg.Listen = l.Addr().String()
	_, err = Open(cfg, quiet(), nil)
	if err == nil || !strings.Contains(err.Error(), cfg.Listen) || !strings.Contains(err.Error(), "--kafka-listen") {
		t.Fatalf("error is %v", err)
	}
	cfg.Listen = "127.0.0.1:0"
	b := openTest(t, cfg) // the folder was let go
	if _, port, _ := splitAddress(b.Addr()); port < lowestPort || port > highestPort {
		t.Errorf("port 0 became %d", port)
	}
}

func TestFolderInUse(t *testing.T) {
	cfg := testConfig(t)
	b := openTest(t, cfg)
	_, err := Open(cfg, quiet(), nil)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) || !strings.Contains(err.Error(), "--data") {
		t.Fatalf("error is %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	openTest(t, cfg)
}

func TestFolderNotWritable(t *testing.T) {
	cfg := testConfig(t)
	file := filepath.Join(cfg.Dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cfg.Dir = filepath.Join(file, "broker")
	if _, err := Open(cfg, quiet(), nil); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Fatalf("error is %v", err)
	}
}

// Strangers at the port must neither end the process nor be waited for.
func TestStrangers(t *testing.T) {
	b := openTest(t, testConfig(t))
	for name, bytes := range map[string][]byte{
		"http":                 []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"tls":                  {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3},
		"unknown key":          {0, 0, 0, 20, 0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"hole in keys":         {0, 0, 0, 20, 0, 200, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"empty frame":          {0, 0, 0, 0, 0, 0, 0, 0},
		"garbage in a produce": {0, 0, 0, 12, 0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff},
	} {
		c, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(bytes); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := c.Read(make([]byte, 64)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %d bytes, %v; want the connection closed", name, n, err)
		}
		c.Close()
	}
	if err := client(t, b).Ping(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

func TestRecordsAndCommitsSurviveRestart(t *testing.T) {
	cfg := testConfig(t)
	ctx := testContext(t)
	b := openTest(t, cfg)
	if err := b.EnsureTopics(ctx, Topic{Name: "a", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	produce(t, client(t, b), "a", "x", "y", "z")
	adm := kadm.NewClient(client(t, b))
	var o kadm.Offsets
	o.Add(kadm.Offset{Topic: "a", Partition: 0, At: 2, LeaderEpoch: -1, Metadata: "fold 1"})
	if err := adm.CommitAllOffsets(ctx, "g", o); err != nil {
		t.Fatal(err)
	}
	before := b.Topics()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if b.Close() != nil || b.Topics() != nil || b.EnsureTopics(ctx) == nil {
		t.Error("a closed broker works")
	}
	b = openTest(t, cfg)
	if got := fmt.Sprint(b.Topics()); got != fmt.Sprint(before) || len(before) != 1 {
		t.Errorf("topics %v, before %v", got, before)
	}
	if got := read(t, b, "a", 0, 3); fmt.Sprint(got) != "[x y z]" {
		t.Errorf("records %v", got)
	}
	got, err := kadm.NewClient(client(t, b)).FetchOffsets(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	if at, _ := got.Lookup("a", 0); at.At != 2 || at.Metadata != "fold 1" {
		t.Errorf("commit is %+v", at)
	}
}

func TestTransactionsAreRefused(t *testing.T) {
	reg := prometheus.NewRegistry()
	b, err := Open(testConfig(t), quiet(), reg)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.EnsureTopics(t.Context(), Topic{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	c := client(t, b, kgo.TransactionalID("tx"))
	err = c.BeginTransaction()
	if err == nil || !strings.Contains(err.Error(), "TRANSACTIONAL_ID_AUTHORIZATION_FAILED") {
		t.Errorf("error is %v", err)
	}
	if n := valueOf(t, b.metrics.refused.WithLabelValues(refusedTransaction)); n < 1 {
		t.Errorf("counted %v", n)
	}
}

func TestLargeRecords(t *testing.T) {
	cfg := testConfig(t)
	b := openTest(t, cfg)
	if err := b.EnsureTopics(t.Context(), Topic{Name: "a", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	c := client(t, b, kgo.ProducerBatchMaxBytes(16<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err := c.ProduceSync(testContext(t), &kgo.Record{Topic: "a", Value: make([]byte, 7<<20)}).FirstErr(); err != nil {
		t.Errorf("7 MiB: %v", err)
	}
	err := c.ProduceSync(testContext(t), &kgo.Record{Topic: "a", Value: make([]byte, 9<<20)}).FirstErr()
	if !errors.Is(err, kerr.MessageTooLarge) {
		t.Errorf("9 MiB: %v", err)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	b, err := Open(testConfig(t), quiet(), reg)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.EnsureTopics(t.Context(), Topic{Name: "a", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	produce(t, client(t, b, kgo.ProducerBatchCompression(kgo.NoCompression())), "a", strings.Repeat("x", 500_000))
	if err := b.clean(time.Now()); err != nil {
		t.Fatal(err)
	}
	if n := valueOf(t, b.metrics.disk); n < 500_000 || n > 600_000 {
		t.Errorf("andon_broker_disk_bytes is %v", n)
	}
	if n := valueOf(t, b.metrics.free); n < float64(b.cfg.MinFree) {
		t.Errorf("andon_broker_free_bytes is %v", n)
	}
}

func TestRunEnds(t *testing.T) {
	b := openTest(t, testConfig(t))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func mib(n int64) event.Bytes { return event.Bytes(n << 20) }

func valueOf(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		t.Fatal(err)
	}
	return d.GetCounter().GetValue() + d.GetGauge().GetValue()
}
