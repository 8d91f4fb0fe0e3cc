package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/event"
	"andon/ingest/decode"
)

const benchRow = `{"asset":"compressor-%03d","time":"2026-01-31T05:00:00.250Z","temperature":641.82,"pressure":21.61,"vibration":0.0123,"current":47.47,"site":"north hall","line":"A-7","firmware":"4.11.2-r3","seq":%d}`

// cpu is the process's CPU time in nanoseconds.
func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkIntake reads a topic of 200-byte rows from its begin to its end, with a handler that does nothing. The CPU time holds the in-process broker's; read=client
// shows what the broker and the client alone take.
func BenchmarkIntake(b *testing.B) {
	const partitions, records = 4, 400_000
	for _, codec := range []string{"none", "lz4"} {
		c := broker(b, partitions)
		compression := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "lz4": kgo.Lz4Compression()}[codec]
		p := producer(b, c, kgo.ProducerBatchCompression(compression), kgo.MaxBufferedRecords(100_000))
		for i := range records {
			p.Produce(context.Background(), &kgo.Record{Partition: int32(i % partitions), Value: fmt.Appendf(nil, benchRow, i%100, 100_000_000+i)}, func(_ *kgo.Record, err error) {
				if err != nil {
					b.Error(err)
				}
			})
		}
		if err := p.Flush(context.Background()); err != nil {
			b.Fatal(err)
		}
		report := func(b *testing.B, from int64) {
			b.ReportMetric(float64(b.N)*records/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(cpu()-from)/float64(b.N)/records, "cpu-ns/record")
			b.ReportMetric(0, "ns/op")
		}
		cfg := testConfig(c)
		b.Run("codec="+codec+"/read=intake", func(b *testing.B) {
			source := Source{Topic: topic, Spec: decode.Spec{Signals: []string{"temperature", "pressure", "vibration", "current"}}}
			b.ReportAllocs()
			from := cpu()
			for round := 0; b.Loop(); round++ {
				source.Group = fmt.Sprint(b.N, round, time.Now().UnixNano())
				var handled atomic.Int64
				ctx, cancel := context.WithCancel(context.Background())
				open := func(_ context.Context, a Assignment) (Handler, int64, error) {
					return handlerFunc(func(_ context.Context, batch *event.Batch) error {
						if len(batch.Rejects) > 0 {
							return errors.New(batch.Rejects[0].Detail)
						}
						if handled.Add(int64(len(batch.Rows))) == records {
							cancel()
						}
						return nil
					}, &keeper{}), 0, nil
				}
				m := NewMetrics(prometheus.NewRegistry())
				in, err := New(cfg, "bench", source, open, NewBudget(cfg.MaxInFlight, m), m, discard)
				if err != nil {
					b.Fatal(err)
				}
				if err := in.Run(ctx); err != nil {
					b.Fatal(err)
				}
				cancel()
			}
			report(b, from)
		})
		b.Run("codec="+codec+"/read=client", func(b *testing.B) {
			b.ReportAllocs()
			from := cpu()
			for b.Loop() {
				cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.FetchMaxBytes(8<<20), kgo.FetchMaxPartitionBytes(2<<20))
				if err != nil {
					b.Fatal(err)
				}
				for n := 0; n < records; {
					n += cl.PollFetches(context.Background()).NumRecords()
				}
				cl.Close()
			}
			report(b, from)
		})
	}
}
