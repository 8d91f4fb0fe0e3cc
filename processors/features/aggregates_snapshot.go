package features

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// aggregatesVersion is the first byte of a snapshot of Aggregates; no snapshot of a Partition begins with it.
const aggregatesVersion = 101

// Fingerprint names the settings that give state its meaning: states of different fingerprints cannot be exchanged.
func (p *Aggregates) Fingerprint() uint64 {
	js, err := json.Marshal(struct {
		Aggregate Aggregate
		Columns   []int
		N         int
	}{p.cfg, p.columns, p.columnN})
	if err != nil {
		panic(err) // only numbers and strings
	}
	sum := sha256.Sum256(js)
	return binary.LittleEndian.Uint64(sum[:])
}

// Snapshot appends the whole state to dst. The same state gives the same bytes, however it came about.
//
// Layout, integers as varints: version (1 byte), fingerprint (8 bytes), clock, number of assets, then the assets, the longest quiet first: name, born,
// bornClock, touched, newest; the remembered times; the number of panes, and for each its distance from the one before and each signal's accumulator: how
// many values, and if any the numbers after that.
func (p *Aggregates) Snapshot(dst []byte) []byte {
	dst = append(dst, aggregatesVersion)
	dst = binary.LittleEndian.AppendUint64(dst, p.Fingerprint())
	dst = binary.AppendVarint(dst, p.clock)
	dst = binary.AppendUvarint(dst, uint64(len(p.assets)))
	for l := p.quietest; l != nil; l = l.louder {
		a := p.assets[l.name]
		dst = binary.AppendUvarint(dst, uint64(len(a.name)))
		dst = append(dst, a.name...)
		for _, v := range []int64{a.born, a.bornClock, a.touched, a.newest} {
			dst = binary.AppendVarint(dst, v)
		}
		dst = a.mem.snapshot(dst, p.full)
		dst = p.appendPanes(dst, a)
	}
	return dst
}

func (p *Aggregates) appendPanes(dst []byte, a *paned) []byte {
	dst = binary.AppendUvarint(dst, uint64(a.panes.n))
	before := a.next - 1
	for i := range a.panes.n {
		at := a.panes.place(i)
		dst = binary.AppendUvarint(dst, uint64(a.panes.index[at]-before))
		before = a.panes.index[at]
		acc := a.panes.acc[at*p.size : (at+1)*p.size]
		for s := 0; s < p.size; s += p.moments.width {
			dst = binary.AppendUvarint(dst, uint64(acc[s]))
			if acc[s] > 0 {
				for _, v := range acc[s+1 : s+p.moments.width] {
					dst = appendFloat(dst, v)
				}
			}
		}
	}
	return dst
}

// Restore replaces the state by a snapshot's. After an error the state is as before.
func (p *Aggregates) Restore(snapshot []byte) error {
	r := reader{rest: snapshot}
	if v := r.byte(); !r.bad && v != aggregatesVersion {
		return fmt.Errorf("restore aggregates: the snapshot has version %d, this program reads %d: fold the log instead", v, aggregatesVersion)
	}
	if f := r.fixed64(); !r.bad && f != p.Fingerprint() {
		return errors.New("restore aggregates: the snapshot was made with other settings: fold the log instead")
	}
	q := *p
	q.assets, q.spare = map[string]*paned{}, nil
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
		return fmt.Errorf("restore aggregates: the snapshot of %d bytes is damaged: fold the log instead", len(snapshot))
	}
	*p = q
	return nil
}

// readAsset reads an asset and puts it at the end of the list by last row; the list by first row waits until all are there.
func (p *Aggregates) readAsset(r *reader) *paned {
	a := p.newAsset()
	a.panes.reset()
	a.name = string(r.take(r.uvarint()))
	r.check(p.assets[a.name] == nil)
	a.born, a.bornClock, a.touched, a.newest = r.varint(), r.varint(), r.varint(), r.varint()
	r.check(a.newest >= earliest && a.newest <= latest && a.newest <= a.touched && a.bornClock <= a.touched && a.touched <= p.clock)
	r.check(p.loudest == nil || p.loudest.touched <= a.touched)
	if r.bad {
		return a
	}
	p.settle(a, a.newest)
	a.mem.restore(r, p.full, a.newest)
	k := a.next - 1
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		d := r.uvarint()
		if r.check(d > 0 && d <= uint64(a.topTime/p.pane-k)); r.bad {
			return a
		}
		k += int64(d)
		acc, any := a.panes.pane(k, p.size, p.length > 1), false
		for s := 0; s < p.size; s += p.moments.width {
			n := r.uvarint()
			if r.check(n < 1<<53); n == 0 {
				continue
			}
			any, acc[s] = true, float64(n)
			for i := range acc[s+1 : s+p.moments.width] {
				acc[s+1+i] = r.float(math.MaxFloat64)
			}
		}
		r.check(any)
	}
	clock := p.clock
	p.clock = a.touched
	p.appendLoudest(&a.life)
	p.clock = clock
	return a
}
