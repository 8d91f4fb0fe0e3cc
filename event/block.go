package event

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

// Block is everything that one partition's offsets [First, Next) became; a Sink stores a Block whole, and once.
type Block struct {
	Pipeline  string
	Topic     string
	Partition int32
	First     int64
	Next      int64

	Readings    Readings
	Scores      []Score
	Labels      []Label
	DeadLetters []DeadLetter
}

// Reset empties the block and keeps its memory and its identity (pipeline, topic, partition, signals).
func (b *Block) Reset(first int64) {
	b.First, b.Next = first, first
	b.Readings = Readings{Signals: b.Readings.Signals, Asset: b.Readings.Asset[:0], Time: b.Readings.Time[:0],
		Offset: b.Readings.Offset[:0], Status: b.Readings.Status[:0], Values: b.Readings.Values[:0]}
	b.Scores, b.Labels, b.DeadLetters = b.Scores[:0], b.Labels[:0], b.DeadLetters[:0]
}

// Rows returns how many rows of all kinds the block holds.
func (b *Block) Rows() int {
	return b.Readings.Len() + len(b.Scores) + len(b.Labels) + len(b.DeadLetters)
}
