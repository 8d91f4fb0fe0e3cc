package features

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// snapshotVersion is the first byte of a snapshot; it changes with the layout or with what a field means.
const snapshotVersion = 1

// Fingerprint names the settings that give state its meaning: states of different fingerprints cannot be exchanged.
func (p *Partition) Fingerprint() uint64 {
	c := p.cfg
	c.Recipe.Scale = nil
	js, err := json.Marshal(struct {
		Config  Config
		Columns []int
		N       int
	}{c, p.columns, p.columnN})
	if err != nil {
		panic(err) // only numbers and strings
	}
	sum := sha256.Sum256(js)
	return binary.LittleEndian.Uint64(sum[:])
}

// Snapshot appends the whole state to dst. The same state gives the same bytes, however it came about.
//
// Layout, integers as varints: version (1 byte), fingerprint (8 bytes), clock, number of assets, then the assets, the longest quiet first: name,
// born, bornClock, touched, newest, newest slot minus next + 1, next minus last (0: never), age; for each signal its gap and, if known, its value; for a
// life the averages and the newest min(age, Length) rows of the ring; the remembered times; the open slots.
func (p *Partition) Snapshot(dst []byte) []byte {
	dst = append(dst, snapshotVersion)
	dst = binary.LittleEndian.AppendUint64(dst, p.Fingerprint())
	dst = binary.AppendVarint(dst, p.clock)
	dst = binary.AppendUvarint(dst, uint64(len(p.assets)))
	for a := p.quietest; a != nil; a = a.louder {
		dst = p.appendAsset(dst, p.assets[a.name])
	}
	return dst
}

func (p *Partition) appendAsset(dst []byte, a *asset) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(a.name)))
	dst = append(dst, a.name...)
	for _, v := range []int64{a.born, a.bornClock, a.touched, a.newest} {
		dst = binary.AppendVarint(dst, v)
	}
	dst = binary.AppendUvarint(dst, uint64(a.top-a.next+1))
	last := uint64(0)
	if a.last != never {
		last = uint64(a.next - a.last)
	}
	dst = binary.AppendUvarint(dst, last)
	dst = binary.AppendUvarint(dst, uint64(a.age))
	for s, g := range a.gap {
		dst = binary.AppendUvarint(dst, uint64(g))
		if int64(g) <= p.maxGap {
			dst = appendFloat(dst, a.prev[s])
		}
	}
	if a.age > 0 {
		for s := range a.ema {
			dst = appendFloat(dst, a.ema[s])
			dst = appendFloat(dst, a.base[s])
		}
		n := p.rows(a)
		for i := range n {
			row := (a.head - n + i + p.recipe.Length) % p.recipe.Length
			for _, v := range a.ring[row*p.width : (row+1)*p.width] {
				dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
			}
		}
	}
	dst = a.mem.snapshot(dst, p.full)
	return p.appendCells(dst, a)
}

// rows returns how many rows of a life's ring are in use.
func (p *Partition) rows(a *asset) int { return int(min(a.age, int64(p.recipe.Length))) }

func appendFloat(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

func (p *Partition) appendCells(dst []byte, a *asset) []byte {
	c := &a.cells
	dst = binary.AppendUvarint(dst, uint64(c.open))
	if c.open == 0 {
		return dst
	}
	before := a.next - 1
	for k := c.low; k <= c.high; k++ {
		i := c.index(k)
		if c.read[i] == 0 {
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(k-before))
		before = k
		for s := range p.signals {
			// An offset in the slot, from 1; 0 where nothing was read.
			at := c.at[i*p.signals+s]
			if at == never {
				dst = append(dst, 0)
				continue
			}
			dst = binary.AppendUvarint(dst, uint64(at-k*p.grid)+1)
			dst = appendFloat(dst, c.value[i*p.signals+s])
		}
	}
	return dst
}

// Restore replaces the state by a snapshot's. After an error the state is as before.
func (p *Partition) Restore(snapshot []byte) error {
	r := reader{rest: snapshot}
	if v := r.byte(); !r.bad && v != snapshotVersion {
		return fmt.Errorf("restore features: the snapshot has version %d, this program reads %d: fold the log instead", v, snapshotVersion)
	}
	if f := r.fixed64(); !r.bad && f != p.Fingerprint() {
		return errors.New("restore features: the snapshot was made with another recipe or other settings: fold the log instead")
	}
	q := *p
	q.assets, q.spare = map[string]*asset{}, nil
	q.lives = lives{clock: r.varint()}
	var births []*life
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		if a := q.readAsset(&r); !r.bad {
			q.assets[a.name] = a
			births = append(births, &a.life)
		}
	}
	r.check(q.inherit(births))
	if r.check(len(r.rest) == 0); r.bad {
		return fmt.Errorf("restore features: the snapshot of %d bytes is damaged: fold the log instead", len(snapshot))
	}
	*p = q
	return nil
}

// readAsset reads an asset and puts it at the end of the list by last row; the list by first row waits until all are there.
func (p *Partition) readAsset(r *reader) *asset {
	a := p.newAsset()
	a.name = string(r.take(r.uvarint()))
	r.check(p.assets[a.name] == nil)
	a.born, a.bornClock, a.touched, a.newest = r.varint(), r.varint(), r.varint(), r.varint()
	r.check(a.newest >= earliest && a.newest <= latest && a.newest <= a.touched && a.bornClock <= a.touched && a.touched <= p.clock)
	r.check(p.loudest == nil || p.loudest.touched <= a.touched)
	a.top = floorDiv(a.newest, p.grid)
	open := r.uvarint()
	r.check(open <= uint64(a.top-floorDiv(a.newest-p.lateness, p.grid)+1))
	a.next = a.top + 1 - int64(open)
	a.last = never
	if last := r.uvarint(); last > 0 {
		r.check(last <= 2*uint64(latest)/uint64(p.grid)+2)
		a.last = a.next - int64(last)
	}
	a.age = int64(r.uvarint())
	r.check(a.age >= 0 && a.age < 1<<53)
	for s := range a.gap {
		g := r.uvarint()
		r.check(g <= uint64(p.maxGap)+1)
		a.gap[s] = int32(g)
		a.gaps = a.gaps || g > 0
		if int64(g) <= p.maxGap {
			a.prev[s] = r.float(1e37)
		} else {
			a.unknown++
		}
	}
	r.check((a.age == 0 || a.unknown == 0 && a.last != never) && !r.bad)
	if a.age > 0 && !r.bad {
		for s := range a.ema {
			a.ema[s], a.base[s] = r.float(1e38), r.float(1e38)
		}
		for i := range p.rows(a) * p.width {
			a.ring[i] = math.Float32frombits(r.fixed32())
		}
		a.head = p.rows(a) % p.recipe.Length
	}
	a.mem.restore(r, p.full, a.newest)
	p.readCells(r, a)
	clock := p.clock
	p.clock = a.touched
	p.appendLoudest(&a.life)
	p.clock = clock
	return a
}

func (p *Partition) readCells(r *reader, a *asset) {
	k := a.next - 1
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		d := r.uvarint()
		if r.check(d > 0 && d <= uint64(a.top-k)); r.bad {
			return
		}
		k += int64(d)
		i := a.cells.cell(k, p.signals)
		for s := range p.signals {
			at := r.uvarint()
			if r.check(at <= uint64(p.grid)); at == 0 || r.bad {
				continue
			}
			a.cells.at[i*p.signals+s], a.cells.value[i*p.signals+s] = k*p.grid+int64(at)-1, r.float(1e37)
			a.cells.read[i]++
		}
		r.check(a.cells.read[i] > 0)
		a.cells.open++
	}
}

// reader takes a snapshot apart; after the first fault it is bad and gives zeros.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) check(ok bool) {
	if !ok {
		r.bad = true
	}
}

func (r *reader) take(n uint64) []byte {
	if r.check(n <= uint64(len(r.rest))); r.bad {
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) fixed32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) fixed64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// float reads a number whose size is at most limit.
func (r *reader) float(limit float64) float64 {
	v := math.Float64frombits(r.fixed64())
	r.check(math.Abs(v) <= limit)
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.check(n > 0); r.bad {
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if r.check(n > 0); r.bad {
		return 0
	}
	r.rest = r.rest[n:]
	return v
}
