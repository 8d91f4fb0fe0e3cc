package anomaly

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// snapshotVersion is the first byte of a snapshot; it changes with the layout or with what a field means.
const snapshotVersion = 1

// Fingerprint names the settings that give state its meaning: states of different fingerprints cannot be exchanged.
func (p *Partition) Fingerprint() uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %x", p.version, p.Partition.Fingerprint()))
	return binary.LittleEndian.Uint64(sum[:])
}

// Snapshot appends the whole state to dst. The same state gives the same bytes, however it came about.
//
// Layout: version (1 byte), fingerprint (8 bytes), the slots' snapshot with its length (4 bytes), then by name each asset's name with its length, the end of its newest slot (8 bytes) and its detector's state with its length.
func (p *Partition) Snapshot(dst []byte) []byte {
	dst = append(dst, snapshotVersion)
	dst = binary.LittleEndian.AppendUint64(dst, p.Fingerprint())
	sized := func(part func(dst []byte) []byte) {
		at := len(dst)
		dst = part(append(dst, 0, 0, 0, 0))
		putLength(dst[at:])
	}
	sized(p.Partition.Snapshot)
	for _, name := range slices.Sorted(maps.Keys(p.assets)) {
		a := p.assets[name]
		sized(func(dst []byte) []byte { return append(dst, name...) })
		dst = binary.LittleEndian.AppendUint64(dst, uint64(a.end))
		sized(func(dst []byte) []byte {
			dst, err := a.appendState(dst)
			if err != nil {
				panic(err) // only finite numbers
			}
			return dst
		})
	}
	return dst
}

// Restore replaces the state by a snapshot's. After an error the state is as before.
func (p *Partition) Restore(snapshot []byte) error {
	switch {
	case len(snapshot) < 9:
		return errors.New("restore detectors: the snapshot is cut short: fold the log instead")
	case snapshot[0] != snapshotVersion:
		return fmt.Errorf("restore detectors: the snapshot has version %d, this program reads %d: fold the log instead", snapshot[0], snapshotVersion)
	case binary.LittleEndian.Uint64(snapshot[1:]) != p.Fingerprint():
		return errors.New("restore detectors: the snapshot was made with another detector or other settings: fold the log instead")
	}
	damaged := func(what string, err error) error {
		return fmt.Errorf("restore detectors: the snapshot of %d bytes is damaged in %s: fold the log instead: %w", len(snapshot), what, err)
	}
	short := errors.New("it is cut short")
	slots, rest, ok := cutLength(snapshot[9:])
	if !ok {
		return damaged("the slots", short)
	}
	assets, learning, before := map[string]*asset{}, 0, ""
	for len(rest) > 0 {
		var name, state []byte
		if name, rest, ok = cutLength(rest); !ok || len(rest) < 8 || len(assets) > 0 && string(name) <= before {
			return damaged("an asset's name", short)
		}
		before = string(name)
		a := &asset{end: int64(binary.LittleEndian.Uint64(rest))}
		if state, rest, ok = cutLength(rest[8:]); !ok {
			return damaged(before, short)
		}
		var err error
		if a.detector, err = p.restore(state); err != nil {
			return damaged(before, err)
		}
		if assets[before] = a; !a.learned() {
			learning++
		}
	}
	if err := p.Partition.Restore(slots); err != nil {
		return err
	}
	p.assets, p.learning = assets, learning
	return nil
}

func (p *Partition) restore(state []byte) (detector, error) {
	if p.cfg.Baseline != nil {
		return restoreDepartures(state, *p.cfg.Baseline, p.signals)
	}
	return restoreSurprises(state, *p.cfg.Surprise, p.cfg.Look(), p.signals)
}

// putLength writes the length of what follows the first four bytes into these.
func putLength(part []byte) { binary.LittleEndian.PutUint32(part, uint32(len(part)-4)) } //nolint:gosec // a state is far below 4 GiB

// cutLength takes what is after its length, and what is left.
func cutLength(data []byte) (part, rest []byte, ok bool) {
	if len(data) < 4 || uint64(len(data)-4) < uint64(binary.LittleEndian.Uint32(data)) {
		return nil, nil, false
	}
	n := 4 + int(binary.LittleEndian.Uint32(data))
	return data[4:n], data[n:], true
}

func appendFloats(dst []byte, values []float64) []byte {
	for _, x := range values {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
	}
	return dst
}

// floats reads what appendFloats wrote, all of it; false where that is not numbers.
func floats(data []byte) (values []float64, ok bool) {
	for ; len(data) >= 8; data = data[8:] {
		x := math.Float64frombits(binary.LittleEndian.Uint64(data))
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, false
		}
		values = append(values, x)
	}
	return values, len(data) == 0
}
