package ingest

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fetchSizer keeps the size of an answer in memory near what the config says. Brokers count bytes as sent, and JSON rows may be compressed to a twentieth: so it
// learns from each batch by how much they grow, and asks for less where they grow more.
type fetchSizer struct {
	fetch, part int64 // wanted, in memory
	ask         func(fetch, part int32)

	mu         sync.Mutex
	sent, held float64 // sums that fade
	growth     float64 // by which ask was last told
}

// unknownGrowth is assumed until something has been read: the first answer is small.
const unknownGrowth = 64

func newFetchSizer(fetch, part int64) *fetchSizer {
	return &fetchSizer{fetch: fetch, part: part, growth: unknownGrowth}
}

// sizes returns what to ask a broker for, all in all and of each partition.
func (f *fetchSizer) sizes() (fetch, part int32) {
	const least = 16 << 10
	return int32(max(float64(f.fetch)/f.growth, least)), int32(max(float64(f.part)/f.growth, least))
}

// OnFetchBatchRead is called by the client for each batch of records it has read.
func (f *fetchSizer) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	if m.CompressedBytes <= 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent += float64(m.CompressedBytes)
	f.held += float64(m.UncompressedBytes + m.NumRecords*recordCost)
	if f.sent > 16<<20 {
		f.sent, f.held = f.sent/2, f.held/2
	}
	if growth := max(f.held/f.sent, 1); growth > 1.2*f.growth || growth < f.growth/1.2 {
		f.growth = growth
		f.ask(f.sizes())
	}
}
