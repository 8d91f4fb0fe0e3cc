package clickhouse

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"andon/event"
)

// cpuOf returns the CPU time that a process has used, to 10 ms.
func cpuOf(pid int) time.Duration {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	f := strings.Fields(string(b[strings.LastIndex(string(b), ")")+1:]))
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func cpuOfThis() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// settleMerges waits until nothing is merged any more, so that a run pays for its own merges.
func settleMerges(b *testing.B, s *Store) {
	for quiet := 0; quiet < 5; time.Sleep(50 * time.Millisecond) {
		var n uint64
		if err := s.owner.QueryRow(b.Context(), "SELECT count() FROM system.merges").Scan(&n); err != nil {
			b.Fatal(err)
		}
		if quiet++; n > 0 {
			quiet = 0
		}
	}
}

// BenchmarkWrite stores blocks of readings of 14 values, of scores, and of both. CPU time is that of this process and of the server together, merges
// included; the rows are those of one table where there are two.
func BenchmarkWrite(b *testing.B) {
	for _, rows := range []int{1000, 10_000, 100_000} {
		for _, kind := range []string{"readings", "scores", "both"} {
			b.Run(fmt.Sprintf("rows=%d/%s", rows, kind), func(b *testing.B) {
				e := ownEngine(b)
				s, _ := openStore(b, e)
				pid := serverPID(b, e)
				var client, server time.Duration
				next := int64(0)
				write := func() {
					block := makeBlock("bench", 0, next, rows, 100, fourteen...)
					next += int64(rows)
					block.DeadLetters, block.Labels = nil, nil
					switch kind {
					case "readings":
						block.Scores = nil
					case "scores":
						block.Readings = event.Readings{Signals: fourteen}
					}
					runtime.GC()
					c, e := cpuOfThis(), cpuOf(pid)
					b.StartTimer()
					if err := s.Write(b.Context(), block); err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					client += cpuOfThis() - c
					server += cpuOf(pid) - e
				}
				b.StopTimer()
				write()
				settleMerges(b, s)
				client, server = 0, 0
				b.ResetTimer()
				b.StopTimer()
				for range b.N {
					write()
				}
				before := cpuOf(pid)
				settleMerges(b, s)
				server += cpuOf(pid) - before
				var stored uint64
				_ = s.owner.QueryRow(b.Context(), "SELECT sum(data_compressed_bytes) FROM system.parts WHERE active AND table IN ('readings', 'scores')").Scan(&stored)
				n := float64(rows * b.N)
				b.ReportMetric(n/b.Elapsed().Seconds(), "rows/s")
				b.ReportMetric(float64(client.Nanoseconds())/n, "client-ns/row")
				b.ReportMetric(float64(server.Nanoseconds())/n, "server-ns/row")
				b.ReportMetric(float64(stored)/float64(next), "stored-B/row")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// BenchmarkFill compares the ways to fill the driver's columns: the reason for native.go.
func BenchmarkFill(b *testing.B) {
	s := sharedStore(b)
	const rows = 100_000
	block := makeBlock("fill", 0, 0, rows, 100, fourteen...)
	f := readingsFrame(block)
	r := &block.Readings
	n := r.Len()
	arrays := make([][]float64, n)
	constant := make([]string, n)
	for i := range arrays {
		arrays[i] = r.Values[i*14 : (i+1)*14]
		constant[i] = "a,b,c"
	}
	for _, way := range []string{"native", "append"} {
		b.Run("way="+way, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				b.StopTimer()
				batch, err := s.inserts.PrepareBatch(b.Context(), f.insert("readings"))
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if way == "native" {
					err = readingsFrame(block).fill(batch)
				} else {
					for i, c := range []any{constant, r.Asset, r.Time, constant, arrays, r.Status, constant, make([]int32, n), r.Offset} {
						if st, ok := c.([]event.Status); ok {
							words := make([]string, len(st))
							for k := range words {
								words[k] = "ok"
							}
							c = words
						}
						if err == nil {
							err = batch.Column(i).Append(c)
						}
					}
				}
				b.StopTimer()
				if err != nil {
					b.Fatal(err)
				}
				_ = batch.Abort()
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/row")
		})
	}
}

// BenchmarkQuestions asks what the console and an analyst ask, of 500,000 readings and as many scores of 100 assets.
func BenchmarkQuestions(b *testing.B) {
	e := ownEngine(b)
	s, _ := openStore(b, e)
	for k := range int64(20) {
		if err := s.Write(b.Context(), makeBlock("p", int32(k%4), k*25_000, 25_000, 100, fourteen...)); err != nil {
			b.Fatal(err)
		}
	}
	settleMerges(b, s)
	for _, q := range []struct{ name, sql string }{
		{"top-10", "SELECT * FROM top_assets WHERE pipeline = 'p' AND rank <= 10"},
		{"latest-of-all", "SELECT * FROM latest_scores WHERE pipeline = 'p'"},
		{"history-of-one", "SELECT time, risk, value FROM score_history WHERE pipeline = 'p' AND asset = 'asset-042' ORDER BY time"},
		{"signals-of-one", "SELECT time, values FROM readings WHERE pipeline = 'p' AND asset = 'asset-042' ORDER BY time DESC LIMIT 500"},
		{"long-of-one", "SELECT time, signal, value FROM readings_long WHERE pipeline = 'p' AND asset = 'asset-042' AND signal = 's_2' ORDER BY time"},
		{"rows-per-minute", "SELECT * FROM rows_per_minute WHERE pipeline = 'p' ORDER BY minute DESC LIMIT 60"},
		{"lag", "SELECT * FROM lag"},
		{"latency", "SELECT * FROM score_latency"},
		{"models-in-use", "SELECT * FROM models_in_use"},
		{"dead-letters", "SELECT * FROM deadletters_by_reason"},
	} {
		b.Run(q.name, func(b *testing.B) {
			for range b.N {
				if _, err := s.Query(b.Context(), q.sql, 10_000); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("held", func(b *testing.B) {
		for range b.N {
			if _, err := s.Held(b.Context(), "scores", "p", "fleet", 1, 25_000, 50_000); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("count", func(b *testing.B) {
		for range b.N {
			if _, err := s.Count(b.Context(), "p"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("readings-for-training", func(b *testing.B) {
		rows := 0
		for range b.N {
			if _, err := s.Readings(b.Context(), "p", fourteen, nil, 0, 0, func(_ string, of []event.Row) error { rows += len(of); return nil }); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
	})
}
