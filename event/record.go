// Package event holds the records that flow through the appliance and their positions in the log.
package event

import (
	"fmt"
	"strconv"
	"strings"
)

// Position is one record's place in the log.
type Position struct {
	Topic     string
	Partition int32
	Offset    int64
}

// String returns topic/partition@offset, the form that errors and the console use.
func (p Position) String() string { return fmt.Sprintf("%s/%d@%d", p.Topic, p.Partition, p.Offset) }

// ParsePosition reads the form that String writes.
func ParsePosition(s string) (Position, error) {
	fault := func(what string) (Position, error) {
		return Position{}, fmt.Errorf("%q is no record's position: %s: write topic/partition@offset, as fleet.compressors/3@1842", s, what)
	}
	topic, rest, ok := strings.Cut(s, "/")
	if !ok || topic == "" {
		return fault("it has no topic before a slash")
	}
	p, o, ok := strings.Cut(rest, "@")
	if !ok {
		return fault("it has no offset after an at sign")
	}
	partition, err := strconv.ParseUint(p, 10, 31)
	if err != nil {
		return fault("the partition is no number")
	}
	offset, err := strconv.ParseUint(o, 10, 63)
	if err != nil {
		return fault("the offset is no number")
	}
	return Position{topic, int32(partition), int64(offset)}, nil
}

// Header is one Kafka record header.
type Header struct {
	Key   string
	Value []byte
}

// Record is one record as the log holds it. Its slices are never written to.
type Record struct {
	Position
	// Time is the record's own timestamp in the log, Unix nanoseconds: the clock that "too far in the future" is judged by, so that a replay
	// judges the same.
	Time    int64
	Key     []byte
	Value   []byte
	Headers []Header
}

// Row is one asset's readings at one instant of event time.
type Row struct {
	Offset int64
	Asset  string
	// Time is event time, Unix nanoseconds.
	Time int64
	// Values holds one value a signal, in the pipeline's order of signals; NaN where the record had none. The slice belongs to the Batch.
	Values []float64
	// Filtered tells that the pipeline's rules leave the row out: it is accounted for, and goes into no window.
	Filtered bool
}

// Span is a range of a partition, [First, Next).
type Span struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	First     int64  `json:"first"`
	Next      int64  `json:"next"`
}

// Batch is what one partition's fetch became: the rows that decoded and the records that did not, both in offset order. A Batch covers every
// offset in [First, Next), also those that hold no record. It belongs to whoever fills it and is used again after Handle returns: keep nothing.
type Batch struct {
	Topic     string
	Partition int32
	First     int64
	Next      int64
	// Received is when the fetch arrived, Unix nanoseconds by the wall clock; used for latency only.
	Received int64
	Rows     []Row
	Labels   []Label
	Frames   []Frame
	// Sketches are what lines tell of themselves for the panel.
	Sketches []SketchAt
	Rejects  []DeadLetter
	// Bytes is the size of the records the batch was made from.
	Bytes int
	// Raw returns the record at an offset of the batch, for a dead letter; its slices stay valid after Handle.
	Raw func(offset int64) Record

	arena []float64
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	*b = Batch{Rows: b.Rows[:0], Labels: b.Labels[:0], Frames: b.Frames[:0], Sketches: b.Sketches[:0], Rejects: b.Rejects[:0], arena: b.arena[:0]}
}

// Values returns n values, all to be set by the caller, that live as long as the batch's content.
func (b *Batch) Values(n int) []float64 {
	if len(b.arena)+n > cap(b.arena) {
		// Rows made earlier keep the old block, so it is left to them, not copied.
		b.arena = make([]float64, 0, max(2*cap(b.arena), 4096, n))
	}
	at := len(b.arena)
	b.arena = b.arena[:at+n]
	return b.arena[at : at+n : at+n]
}
