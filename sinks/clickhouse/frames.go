package clickhouse

import "andon/event"

// framesTable holds sights, one a frame.
func framesTable(name string, of func(b *event.Block) *[]event.Sight, columns func(b *event.Block, s []event.Sight) *frame) *table {
	return &table{
		name:   name,
		rows:   func(b *event.Block) int { return len(*of(b)) },
		offset: func(b *event.Block, i int) int64 { return (*of(b))[i].Offset },
		times: func(b *event.Block, i int, f func(ns int64)) {
			f((*of(b))[i].Captured)
			f((*of(b))[i].ScoredAt)
		},
		pick: func(b *event.Block, keep func(i int) bool) *event.Block {
			out := bare(b)
			*of(out) = filter(*of(b), keep)
			return out
		},
		frame: func(b *event.Block) *frame { return columns(b, *of(b)) },
	}
}

func framesFrame(b *event.Block, s []event.Sight) *frame {
	f := seen(b, s)
	each(f, "sequence", "Int64", func(i int) int64 { return s[i].Sequence })
	each(f, "width", "UInt16", func(i int) uint16 { return uint16(s[i].Width) })
	each(f, "height", "UInt16", func(i int) uint16 { return uint16(s[i].Height) })
	each(f, "bytes", "UInt32", func(i int) uint32 { return uint32(s[i].Bytes) })
	f.words("status", func(i int) string { return s[i].Status })
	f.wordLists("zones", func(i int) []string { return s[i].Zones })
	f.wordLists("fired", func(i int) []string { return s[i].Fired })
	f.texts("evidence", func(i int) string { return s[i].Evidence })
	each(f, "age_ns", "Int64", func(i int) int64 { return s[i].Age })
	each(f, "latency_ns", "Int64", func(i int) int64 { return s[i].Latency })
	return f
}

// seen has the columns that both tables have.
func seen(b *event.Block, s []event.Sight) *frame {
	f := &frame{rows: len(s), order: sorted(len(s), func(i int) string { return s[i].Camera }, func(i int) int64 { return s[i].Captured })}
	f.word("pipeline", b.Pipeline)
	f.words("camera", func(i int) string { return s[i].Camera })
	f.micros("captured", func(i int) int64 { return s[i].Captured })
	f.words("version", func(i int) string { return s[i].Version })
	f.words("label", func(i int) string { return s[i].Label })
	each(f, "risk", "Float32", func(i int) float32 { return s[i].Risk })
	boxes := func(i int) []event.Box { return s[i].Boxes }
	f.textLists("boxes.label", func(i int, put func(string)) {
		for _, b := range boxes(i) {
			put(b.Label)
		}
	})
	arrays(f, "boxes.score", "Array(Float32)", boxes, func(b *event.Box) float32 { return b.Score })
	arrays(f, "boxes.x0", "Array(Float32)", boxes, func(b *event.Box) float32 { return b.X0 })
	arrays(f, "boxes.y0", "Array(Float32)", boxes, func(b *event.Box) float32 { return b.Y0 })
	arrays(f, "boxes.x1", "Array(Float32)", boxes, func(b *event.Box) float32 { return b.X1 })
	arrays(f, "boxes.y1", "Array(Float32)", boxes, func(b *event.Box) float32 { return b.Y1 })
	arrays(f, "boxes.track", "Array(Int64)", boxes, func(b *event.Box) int64 { return b.Track })
	f.micros("scored_at", func(i int) int64 { return s[i].ScoredAt })
	each(f, "batch", "UInt32", func(i int) uint32 { return s[i].Batch })
	each(f, "queue_ns", "Int64", func(i int) int64 { return s[i].Queue })
	each(f, "compute_ns", "Int64", func(i int) int64 { return s[i].Compute })
	f.word("_topic", b.Topic)
	same(f, "_partition", "Int32", b.Partition)
	each(f, "_offset", "Int64", func(i int) int64 { return s[i].Offset })
	return f
}

// arrays adds a column of arrays of numbers, one number an element of the row's list.
func arrays[E any, T number](f *frame, name, typ string, list func(row int) []E, of func(*E) T) {
	ends := make([]uint64, f.rows)
	var values []T
	for i := range f.rows {
		l := list(f.row(i))
		for j := range l {
			values = append(values, of(&l[j]))
		}
		ends[i] = uint64(len(values))
	}
	f.add(name, typ, bytesOf(ends), bytesOf(values))
}

// wordLists adds an Array(String) column.
func (f *frame) wordLists(name string, at func(row int) []string) {
	f.textLists(name, func(i int, put func(string)) {
		for _, s := range at(i) {
			put(s)
		}
	})
}

// textLists adds an Array(String) column; at calls put for each element of a row.
func (f *frame) textLists(name string, at func(row int, put func(string))) {
	var b []byte
	ends := make([]uint64, f.rows)
	n := uint64(0)
	for i := range f.rows {
		at(f.row(i), func(s string) {
			b = appendText(b, s)
			n++
		})
		ends[i] = n
	}
	f.add(name, "Array(String)", bytesOf(ends), b)
}
