package console

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"andon/event"
)

// BenchmarkFanOut tells how late messages of about 2 KB arrive at ten a second, clients and server in one process.
func BenchmarkFanOut(b *testing.B) {
	for _, clients := range []int{100, 1000} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			a := newAppliance(b, syntheticConfig(), 0)
			a.start(b)
			var late sync.Map
			var got atomic.Int64
			for i := range clients {
				v := a.view(b)
				v.say(`{"type":"sub","id":1,"topic":"fleet","params":{"pipeline":"compressors"},"max_hz":10}`)
				v.next()
				go func() {
					var mine []float64
					defer func() { late.Store(i, mine) }()
					for {
						_, data, err := v.conn.ReadMessage()
						if err != nil {
							return
						}
						// The end of the first row's window is when it was told.
						fields := bytes.SplitN(data, []byte(","), 9)
						if len(fields) < 9 {
							continue
						}
						told, _ := strconv.ParseInt(string(fields[7]), 10, 64)
						mine = append(mine, float64(time.Now().UnixMilli()-told))
						got.Add(1)
					}
				}()
			}
			scores := make([]event.Score, 20)
			b.ResetTimer()
			for b.Loop() {
				now := time.Now()
				for i := range scores {
					scores[i] = scoreOf(fmt.Sprintf("compressor-%03d", i), now.UnixNano(), 0.12345)
				}
				a.Observe("compressors", nil, scores)
				time.Sleep(100 * time.Millisecond)
			}
			b.StopTimer()
			a.hub.mu.Lock()
			for c := range a.hub.clients {
				c.conn.NetConn().Close()
			}
			a.hub.mu.Unlock()
			for a.hub.served.Wait(); ; time.Sleep(10 * time.Millisecond) {
				n := 0
				late.Range(func(any, any) bool { n++; return true })
				if n == clients {
					break
				}
			}
			var all []float64
			late.Range(func(_, v any) bool { all = append(all, v.([]float64)...); return true })
			slices.Sort(all)
			b.ReportMetric(all[len(all)/2], "p50-ms")
			b.ReportMetric(all[len(all)*99/100], "p99-ms")
			b.ReportMetric(float64(got.Load())/b.Elapsed().Seconds(), "messages/s")
		})
	}
}
