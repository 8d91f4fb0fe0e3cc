package features

import "math"

// never is the "when" of what did not happen.
const never = math.MinInt64

// asset is what is known of one asset since it was last unknown.
type asset struct {
	life

	// top is the newest row's slot.
	top int64
	// Slots before next are closed; last is the newest of them that had readings, or never.
	next, last int64

	// age counts the slots of its life; 0 when not all signals have a value.
	age int64
	// gap counts, for each signal, the slots since it was read, up to one more than the recipe's MaxGap: then it is one of the unknown.
	gap     []int32
	unknown int
	// gaps tells that some gap is not 0.
	gaps bool
	// prev is each signal's last value, ema its smoothed value, base the mean of the life's first slots.
	prev, ema, base []float64
	// ring holds the channels of the life's newest Length slots; head is the row to be written next.
	ring []float32
	head int

	cells cells
	mem   memory
}

// cells holds the readings of an asset's open slots: those from low to high, of which open have any. Slot k lies at k & (len(read)-1).
type cells struct {
	open      int
	low, high int64
	read      []int32   // how many signals were read in the slot
	value     []float64 // by slot, then signal
	at        []int64   // event time of each value, or never
}

func (c *cells) index(k int64) int { return int(k & int64(len(c.read)-1)) }

// cell returns where slot k is kept, making room first.
func (c *cells) cell(k int64, signals int) int {
	if c.open == 0 {
		c.low, c.high = k, k
		if len(c.read) == 0 {
			c.grow(1, signals)
		}
		return c.index(k)
	}
	low, high := min(c.low, k), max(c.high, k)
	if high-low >= int64(len(c.read)) {
		c.grow(high-low+1, signals)
	}
	c.low, c.high = low, high
	return c.index(k)
}

func (c *cells) grow(span int64, signals int) {
	size := int64(1)
	for size < span {
		size *= 2
	}
	old := *c
	c.read, c.value, c.at = make([]int32, size), make([]float64, size*int64(signals)), make([]int64, size*int64(signals))
	for i := range c.at {
		c.at[i] = never
	}
	if old.open == 0 {
		return
	}
	for k := old.low; k <= old.high; k++ {
		from, to := old.index(k), c.index(k)
		c.read[to] = old.read[from]
		copy(c.value[to*signals:(to+1)*signals], old.value[from*signals:])
		copy(c.at[to*signals:(to+1)*signals], old.at[from*signals:])
	}
}

// put takes the readings of one row, at least one, into slot k.
func (c *cells) put(k, t int64, values []float64) {
	i := c.cell(k, len(values))
	value, at := c.value[i*len(values):(i+1)*len(values)], c.at[i*len(values):(i+1)*len(values)]
	read := c.read[i]
	for s, v := range values {
		if !usable(v) || t <= at[s] {
			continue
		}
		if at[s] == never {
			read++
		}
		value[s], at[s] = v, t
	}
	if c.read[i] == 0 {
		c.open++
	}
	c.read[i] = read
}

// drop empties the lowest slot.
func (c *cells) drop(signals int) {
	i := c.index(c.low)
	c.read[i] = 0
	at := c.at[i*signals : (i+1)*signals]
	for s := range at {
		at[s] = never
	}
	c.open--
	if c.open == 0 {
		return
	}
	for c.low++; c.read[c.index(c.low)] == 0; c.low++ {
	}
}

// usable tells a reading from a missing one. Beyond 1e37 a difference of two would not fit a float32.
func usable(v float64) bool { return math.Abs(v) <= 1e37 }
