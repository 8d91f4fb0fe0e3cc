package surprise

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// counts are a state's numbers, before its lists.
type counts struct {
	Scale             float64
	N, At, Next, Rest int64
	Early, Tail, Past, Far/* lengths */ int64
}

// AppendState appends what Restore makes the detector of again: numbers of eight bytes, then the lists, the values in four bytes and the distances in eight. The same state gives the same bytes.
func (d *Detector) AppendState(dst []byte) []byte {
	c := counts{d.scale, int64(d.n), int64(d.at), int64(d.next), int64(d.rest), int64(len(d.early)), int64(len(d.tail)), int64(len(d.past)), int64(len(d.far))}
	for _, part := range []any{&c, d.early, d.tail, d.past, d.far} {
		dst, _ = binary.Append(dst, binary.LittleEndian, part) // all are of a fixed size
	}
	return dst
}

// Restore makes a detector of a state, which must be of the same settings.
func Restore(data []byte, cfg Config) (*Detector, error) {
	var c counts
	n, err := binary.Decode(data, binary.LittleEndian, &c)
	if err != nil {
		return nil, fmt.Errorf("restore a detector of surprise: the state is cut short: %w", err)
	}
	data = data[n:]
	m := int64(cfg.Length)
	within := func(x, most int64) bool { return x >= 0 && x <= most }
	ok := c.Scale >= 0 && !math.IsInf(c.Scale, 1) && c.N >= 0 && within(c.At, int64(cfg.Past)-1) && within(c.Next, int64(cfg.Long)-1) && within(c.Rest, int64(cfg.Rest)) &&
		within(c.Early, int64(cfg.Warm)-1) && within(c.Tail, 2*m) && within(c.Past, int64(cfg.Past)*m) && c.Past%m == 0 && within(c.Far, int64(cfg.Long)) &&
		int64(len(data)) == 4*(c.Early+c.Tail+c.Past)+8*c.Far
	if !ok {
		return nil, errors.New("restore a detector of surprise: the state is damaged, or of other settings")
	}
	d := &Detector{cfg: cfg, scale: c.Scale, n: int(c.N), at: int(c.At), next: int(c.Next), rest: int(c.Rest)}
	values := func(n int64) []float32 {
		if n == 0 {
			return nil
		}
		list := make([]float32, n)
		for i := range list {
			list[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
			ok = ok && list[i] == list[i]
		}
		data = data[4*n:]
		return list
	}
	d.early, d.tail, d.past = values(c.Early), values(c.Tail), values(c.Past)
	for range c.Far {
		far := math.Float64frombits(binary.LittleEndian.Uint64(data))
		ok = ok && far >= 0 && !math.IsInf(far, 1)
		d.far, data = append(d.far, far), data[8:]
	}
	if !ok {
		return nil, errors.New("restore a detector of surprise: the state is damaged: it holds what is no number")
	}
	return d, nil
}
