package event

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
)

// The lists of a sketch are thousands of numbers, of which a text that people can read costs more than all the counting. In JSON they are base64 of numbers in bytes, the least byte first. Lists in plain
// JSON are read, too.

// Counts are uvarints in bytes.
type Counts []uint32

// Shares are 32-bit numbers in bytes.
type Shares []float32

// Tests are 64-bit numbers in bytes: for each test those of its Sums, in their order.
type Tests [3]Sums

var errPacked = errors.New("a packed list of numbers is cut short or damaged")

// MarshalText packs the numbers.
func (c Counts) MarshalText() ([]byte, error) {
	raw := make([]byte, 0, 2*len(c))
	for _, n := range c {
		raw = binary.AppendUvarint(raw, uint64(n))
	}
	return pack(raw), nil
}

// UnmarshalJSON unpacks the numbers, or reads a plain list.
func (c *Counts) UnmarshalJSON(data []byte) error {
	if plain(data) {
		return json.Unmarshal(data, (*[]uint32)(c))
	}
	raw, err := unpack(data)
	if err != nil {
		return err
	}
	out := make(Counts, 0, len(raw))
	for len(raw) > 0 {
		v, n := binary.Uvarint(raw)
		if n <= 0 || v > math.MaxUint32 {
			return errPacked
		}
		out, raw = append(out, uint32(v)), raw[n:]
	}
	*c = out
	return nil
}

// MarshalText packs the numbers.
func (s Shares) MarshalText() ([]byte, error) {
	raw := make([]byte, 0, 4*len(s))
	for _, x := range s {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return pack(raw), nil
}

// UnmarshalJSON unpacks the numbers, or reads a plain list.
func (s *Shares) UnmarshalJSON(data []byte) error {
	if plain(data) {
		return json.Unmarshal(data, (*[]float32)(s))
	}
	raw, err := unpack(data)
	if err != nil || len(raw)%4 != 0 {
		return errors.Join(errPacked, err)
	}
	out := make(Shares, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	*s = out
	return nil
}

// sums is how many numbers Sums has.
const sums = 10

func (s *Sums) numbers() [sums]*float64 {
	return [sums]*float64{&s.Sum, &s.Square, &s.ClusterSquare, &s.ClusterCross, &s.BlockSquare, &s.BlockCross, &s.Noise, &s.Between, &s.Drift, &s.References}
}

// MarshalText packs the numbers.
func (t Tests) MarshalText() ([]byte, error) {
	raw := make([]byte, 0, len(t)*sums*8)
	for i := range t {
		for _, x := range t[i].numbers() {
			raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(*x))
		}
	}
	return pack(raw), nil
}

// UnmarshalJSON unpacks the numbers, or reads a plain list.
func (t *Tests) UnmarshalJSON(data []byte) error {
	if plain(data) {
		return json.Unmarshal(data, (*[3]Sums)(t))
	}
	raw, err := unpack(data)
	if err != nil || len(raw) != len(t)*sums*8 {
		return errors.Join(errPacked, err)
	}
	for i := range t {
		for _, x := range t[i].numbers() {
			*x, raw = math.Float64frombits(binary.LittleEndian.Uint64(raw)), raw[8:]
		}
	}
	return nil
}

// Finite tells whether all numbers are.
func (t *Tests) Finite() bool {
	for i := range t {
		for _, x := range t[i].numbers() {
			if math.IsNaN(*x) || math.IsInf(*x, 0) {
				return false
			}
		}
	}
	return true
}

func plain(data []byte) bool { return len(data) > 0 && data[0] != '"' }

func pack(raw []byte) []byte {
	out := make([]byte, base64.StdEncoding.EncodedLen(len(raw)))
	base64.StdEncoding.Encode(out, raw)
	return out
}

// unpack reads a JSON string of base64, which has nothing escaped.
func unpack(data []byte) ([]byte, error) {
	if len(data) < 2 || data[0] != '"' || data[len(data)-1] != '"' {
		return nil, errPacked
	}
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(data)-2))
	n, err := base64.StdEncoding.Decode(raw, data[1:len(data)-1])
	return raw[:n], err
}
