package features

import (
	"encoding/binary"
	"slices"
)

// memory holds the newest times that an asset's rows had, each with the signals read at it: what tells a doubled row from a late one.
type memory struct {
	// A ring in ascending order of time; its capacity is a power of two. Entry i has words words of masks.
	times []int64
	masks []uint64
	words int
	head  int
	n     int
}

func newMemory(capacity, words int) memory {
	return memory{times: make([]int64, capacity), masks: make([]uint64, capacity*words), words: words}
}

func (m *memory) reset() { m.head, m.n = 0, 0 }

func (m *memory) slot(i int) int { return (m.head + i) & (len(m.times) - 1) }

func (m *memory) mask(slot int) []uint64 { return m.masks[slot*m.words : (slot+1)*m.words] }

// find returns how many entries are not newer than t, and whether the last of these has time t.
func (m *memory) find(t int64) (int, bool) {
	for i := m.n; i > 0; i-- {
		if at := m.times[m.slot(i-1)]; at <= t {
			return i, at == t
		}
	}
	return 0, false
}

// covers reports whether every signal of mask was read at time t before.
func (m *memory) covers(t int64, mask []uint64) bool {
	i, found := m.find(t)
	if !found {
		return false
	}
	for j, w := range m.mask(m.slot(i - 1)) {
		if mask[j]&^w != 0 {
			return false
		}
	}
	return true
}

// add notes that the signals of mask were read at time t. A full memory forgets its oldest time for it.
func (m *memory) add(t int64, mask []uint64) {
	if m.n == 0 || m.times[m.slot(m.n-1)] < t {
		if m.n == len(m.times) {
			m.head = m.slot(1)
			m.n--
		}
		m.set(m.n, t, mask)
		m.n++
		return
	}
	i, found := m.find(t)
	if found {
		for j, w := range mask {
			m.mask(m.slot(i - 1))[j] |= w
		}
		return
	}
	if m.n == len(m.times) {
		if i == 0 {
			return
		}
		m.head = m.slot(1)
		m.n--
		i--
	}
	for j := m.n; j > i; j-- {
		m.set(j, m.times[m.slot(j-1)], m.mask(m.slot(j-1)))
	}
	m.set(i, t, mask)
	m.n++
}

func (m *memory) set(i int, t int64, mask []uint64) {
	at := m.slot(i)
	m.times[at] = t
	if m.words == 1 {
		m.masks[at] = mask[0]
		return
	}
	copy(m.mask(at), mask)
}

// snapshot appends the memory to dst; full is the mask of a row with all signals.
func (m *memory) snapshot(dst []byte, full []uint64) []byte {
	dst = binary.AppendUvarint(dst, uint64(m.n))
	before := int64(0)
	for i := range m.n {
		at := m.slot(i)
		dst = binary.AppendVarint(dst, m.times[at]-before)
		before = m.times[at]
		mask := m.mask(at)
		if slices.Equal(mask, full) {
			dst = append(dst, 1)
			continue
		}
		dst = append(dst, 0)
		for _, w := range mask {
			dst = binary.LittleEndian.AppendUint64(dst, w)
		}
	}
	return dst
}

// restore reads what snapshot wrote into an empty memory. No time may be after newest.
func (m *memory) restore(r *reader, full []uint64, newest int64) {
	n := r.uvarint()
	r.check(n <= uint64(len(m.times)))
	t := int64(0)
	mask := make([]uint64, len(full))
	for i := 0; i < int(n) && !r.bad; i++ {
		d := r.varint()
		r.check((i == 0 && d >= earliest || d > 0) && d <= latest)
		t += d
		r.check(t <= newest)
		copy(mask, full)
		if r.byte() == 0 {
			for j := range mask {
				mask[j] = r.fixed64()
				r.check(mask[j]&^full[j] == 0)
			}
			r.check(!slices.Equal(mask, full))
		}
		if !r.bad {
			m.add(t, mask)
		}
	}
}
