package ingest

import (
	"slices"
	"sync"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordPool and bytePool take the client's buffers back once a batch is handled. They are no sync.Pools because a collection empties those, and at the pace of a
// catch-up collections come faster than fetches.
type recordPool struct{ free freeList[kgo.Record] }

func (p *recordPool) GetRecords(n int) []kgo.Record { return p.free.get(n) }
func (p *recordPool) PutRecords(s []kgo.Record)     { p.free.put(s) }

type bytePool struct{ free freeList[byte] }

// GetDecompressBytes guesses the size: JSON rows shrink to a sixth or less.
func (p *bytePool) GetDecompressBytes(compressed []byte, _ kgo.CompressionCodecType) []byte {
	return p.free.get(8 * len(compressed))
}

func (p *bytePool) PutDecompressBytes(s []byte) { p.free.put(s) }

// maxFree is how many bytes a list keeps for later: a few fetches.
const maxFree = 8 << 20

// freeList keeps slices to use again, the one used last first.
type freeList[T any] struct {
	mu    sync.Mutex
	free  [][]T
	bytes int
}

// get returns a slice with a capacity of at least n.
func (f *freeList[T]) get(n int) []T {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.free) - 1; i >= 0; i-- {
		if s := f.free[i]; cap(s) >= n {
			f.free = slices.Delete(f.free, i, i+1)
			f.bytes -= f.size(s)
			return s[:0]
		}
	}
	return make([]T, 0, n)
}

// put keeps a slice, unless enough are kept.
func (f *freeList[T]) put(s []T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	size := f.size(s)
	if size > maxFree {
		return
	}
	// The oldest make room, so that the list follows a change of the batches' size.
	for f.bytes+size > maxFree {
		f.bytes -= f.size(f.free[0])
		f.free = slices.Delete(f.free, 0, 1)
	}
	f.bytes += size
	f.free = append(f.free, s)
}

func (f *freeList[T]) size(s []T) int {
	var t T
	return cap(s) * int(unsafe.Sizeof(t))
}
