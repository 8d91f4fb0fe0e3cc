package event

import "slices"

// Status says what became of a reading.
type Status uint8

// What becomes of a reading. Late rows are dead letters and never readings.
const (
	StatusOK        Status = 1 // taken into a window
	StatusDuplicate Status = 2 // same asset, time and signal as a reading already taken
	StatusFiltered  Status = 3 // left out by the pipeline's rules, and in no window
)

// Readings are rows in columns: the i-th row's values are Values[i*len(Signals) : (i+1)*len(Signals)].
type Readings struct {
	Signals []string
	Asset   []string
	Time    []int64
	Offset  []int64
	Status  []Status
	Values  []float64
}

// Append adds one row; values are copied.
func (r *Readings) Append(row *Row, s Status) {
	r.Asset = append(r.Asset, row.Asset)
	r.Time = append(r.Time, row.Time)
	r.Offset = append(r.Offset, row.Offset)
	r.Status = append(r.Status, s)
	r.Values = append(r.Values, row.Values...)
}

// Len returns the number of rows.
func (r *Readings) Len() int { return len(r.Asset) }

// Features are what windows held, in columns: the i-th window's values are Values[i*len(Names) : (i+1)*len(Names)].
type Features struct {
	// Names are of the values, as <signal>_<function>.
	Names []string
	Asset []string
	// Start and End bound the window in event time, Unix nanoseconds: End is the first instant after it.
	Start, End []int64
	// Offset is of the record that closed the window.
	Offset []int64
	Values []float64
}

// Append adds one window and returns its values, all to be set by the caller before the next Append.
func (f *Features) Append(asset string, start, end, offset int64) []float64 {
	f.Asset = append(f.Asset, asset)
	f.Start = append(f.Start, start)
	f.End = append(f.End, end)
	f.Offset = append(f.Offset, offset)
	at, n := len(f.Values), len(f.Names)
	f.Values = slices.Grow(f.Values, n)[:at+n]
	return f.Values[at:]
}

// Row returns the values of the i-th window.
func (f *Features) Row(i int) []float64 {
	n := len(f.Names)
	return f.Values[i*n : (i+1)*n : (i+1)*n]
}

// Len returns the number of windows.
func (f *Features) Len() int { return len(f.Asset) }

// Reset empties f and keeps its memory and its names.
func (f *Features) Reset() {
	*f = Features{Names: f.Names, Asset: f.Asset[:0], Start: f.Start[:0], End: f.End[:0], Offset: f.Offset[:0], Values: f.Values[:0]}
}

// Tally counts what became of a block's rows, and holds their newest event time, Unix nanoseconds.
type Tally struct {
	OK, Duplicate, Filtered int
	Newest                  int64
}

// Add counts one row.
func (t *Tally) Add(s Status, time int64) {
	if t.Rows() == 0 || time > t.Newest {
		t.Newest = time
	}
	switch s {
	case StatusDuplicate:
		t.Duplicate++
	case StatusFiltered:
		t.Filtered++
	default:
		t.OK++
	}
}

// Rows returns how many rows were counted.
func (t *Tally) Rows() int { return t.OK + t.Duplicate + t.Filtered }

// Block is everything that one partition's offsets [First, Next) became; a Sink stores a Block whole, and once.
type Block struct {
	Pipeline  string
	Topic     string
	Partition int32
	First     int64
	Next      int64

	// Tally counts all rows of the block. Counted tells that it is stored in place of the readings, which then are those that are to be published, or none.
	Tally   Tally
	Counted bool

	Readings Readings
	Features Features
	Scores   []Score
	// Shadows are what other models say of windows of Scores. They never act, and which of them there are is not the same when a block is formed again, so Rows leaves them out.
	Shadows []Score
	Labels  []Label
	Sights  []Sight
	// ShadowSights are what other models say of frames of Sights, as Shadows are of Scores.
	ShadowSights []Sight
	// Sketches are what pieces of the line looked like beside what the model was made from, by the record that completed each.
	Sketches    []Sketch
	DeadLetters []DeadLetter
}

// Reset empties the block and keeps its memory and its identity (pipeline, topic, partition, names of values).
func (b *Block) Reset(first int64) {
	b.First, b.Next = first, first
	b.Tally = Tally{}
	b.Readings = Readings{Signals: b.Readings.Signals, Asset: b.Readings.Asset[:0], Time: b.Readings.Time[:0],
		Offset: b.Readings.Offset[:0], Status: b.Readings.Status[:0], Values: b.Readings.Values[:0]}
	b.Features.Reset()
	b.Scores, b.Shadows, b.Labels, b.DeadLetters = b.Scores[:0], b.Shadows[:0], b.Labels[:0], b.DeadLetters[:0]
	b.Sights, b.ShadowSights = b.Sights[:0], b.ShadowSights[:0]
	clear(b.Sketches) // they are large, and few
	b.Sketches = b.Sketches[:0]
}

// Clone returns a copy of the block that shares with it only what is never written to: strings, and the bytes of dead letters.
func (b *Block) Clone() *Block {
	c := *b
	r, f := &c.Readings, &c.Features
	r.Asset, r.Time, r.Offset, r.Status, r.Values = slices.Clone(r.Asset), slices.Clone(r.Time), slices.Clone(r.Offset), slices.Clone(r.Status), slices.Clone(r.Values)
	f.Asset, f.Start, f.End, f.Offset, f.Values = slices.Clone(f.Asset), slices.Clone(f.Start), slices.Clone(f.End), slices.Clone(f.Offset), slices.Clone(f.Values)
	c.Scores, c.Shadows, c.Labels, c.DeadLetters = slices.Clone(c.Scores), slices.Clone(c.Shadows), slices.Clone(c.Labels), slices.Clone(c.DeadLetters)
	c.Sights, c.ShadowSights, c.Sketches = slices.Clone(c.Sights), slices.Clone(c.ShadowSights), slices.Clone(c.Sketches)
	return &c
}

// Rows returns how many rows of all kinds but Shadows and ShadowSights the block stands for.
func (b *Block) Rows() int {
	rows := b.Readings.Len()
	if b.Counted {
		rows = b.Tally.Rows()
	}
	return rows + b.Features.Len() + len(b.Scores) + len(b.Sketches) + len(b.Labels) + len(b.Sights) + len(b.DeadLetters)
}
