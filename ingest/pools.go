package ingest

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordPool and bytePool give the client's buffers back to it once a batch is handled. A slice that comes back is as large as the largest batch it held.
type recordPool struct{ pool sync.Pool }

func (p *recordPool) GetRecords(n int) []kgo.Record {
	if s, ok := p.pool.Get().(*[]kgo.Record); ok && cap(*s) >= n {
		return *s
	}
	return make([]kgo.Record, 0, n)
}

func (p *recordPool) PutRecords(s []kgo.Record) { p.pool.Put(&s) }

type bytePool struct{ pool sync.Pool }

func (p *bytePool) GetDecompressBytes(compressed []byte, _ kgo.CompressionCodecType) []byte {
	if s, ok := p.pool.Get().(*[]byte); ok {
		return *s
	}
	return make([]byte, 0, 4*len(compressed)) // JSON rows shrink to a fourth or less
}

func (p *bytePool) PutDecompressBytes(s []byte) { p.pool.Put(&s) }
