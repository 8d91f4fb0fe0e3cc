package clickhouse

import (
	"andon/event"
)

// handledTable holds one row a block, in place of its readings.
var handledTable = &table{
	name: "handled",
	rows: func(b *event.Block) int {
		if b.Counted && b.Rows() > 0 {
			return 1
		}
		return 0
	},
	offset: func(b *event.Block, _ int) int64 { return b.First },
	times:  func(*event.Block, int, func(int64)) {}, // handledFrame lets none be out of range
	pick: func(b *event.Block, keep func(i int) bool) *event.Block {
		out := bare(b)
		if keep(0) {
			*out = *b
		}
		return out
	},
	frame: handledFrame,
}

func handledFrame(b *event.Block) *frame {
	dead := 0
	for i := range b.DeadLetters {
		if b.DeadLetters[i].Reason != event.ReasonRefused {
			dead++
		}
	}
	newest := earliest
	if b.Tally.Rows() > 0 {
		newest = max(newest, b.Tally.Newest)
	}
	f := &frame{rows: 1}
	f.word("pipeline", b.Pipeline)
	same(f, "first", "Int64", b.First)
	same(f, "next", "Int64", b.Next)
	same(f, "ok", "UInt64", uint64(b.Tally.OK))
	same(f, "duplicate", "UInt64", uint64(b.Tally.Duplicate))
	same(f, "filtered", "UInt64", uint64(b.Tally.Filtered))
	same(f, "labels", "UInt64", uint64(len(b.Labels)))
	same(f, "dead", "UInt64", uint64(dead))
	f.micros("newest", func(int) int64 { return newest })
	f.word("_topic", b.Topic)
	same(f, "_partition", "Int32", b.Partition)
	return f
}
