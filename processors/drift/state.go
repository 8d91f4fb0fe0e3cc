package drift

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Every state begins with the layout's version and a letter of its kind; numbers are little-endian.
const stateVersion = 1

// begin starts a state with the detector's settings and its fixed part, both structs of fixed-size fields.
func begin(dst []byte, letter byte, settings, fixed any) []byte {
	dst = append(dst, stateVersion, letter)
	for _, part := range []any{settings, fixed} {
		var err error
		if dst, err = binary.Append(dst, binary.LittleEndian, part); err != nil {
			panic(err) // a field without a fixed size
		}
	}
	return dst
}

// end reads what begin wrote and returns what follows. The settings must be those of the state.
func end[S comparable](data []byte, letter byte, settings S, fixed any) (rest []byte, err error) {
	if len(data) < 2 || data[0] != stateVersion || data[1] != letter {
		return nil, errors.New("restore a drift detector: the state is of another kind or version")
	}
	data = data[2:]
	var was S
	n, err := binary.Decode(data, binary.LittleEndian, &was)
	if err != nil {
		return nil, errShort
	}
	if was != settings {
		return nil, fmt.Errorf("restore a drift detector: the state has other settings: %+v, not %+v", was, settings)
	}
	data = data[n:]
	if n, err = binary.Decode(data, binary.LittleEndian, fixed); err != nil {
		return nil, errShort
	}
	return data[n:], nil
}

var errShort = errors.New("restore a drift detector: the state is cut short or damaged")

// floats appends numbers with their count.
func floats(dst []byte, v []float64) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(v)))
	dst, _ = binary.Append(dst, binary.LittleEndian, v) // floats have a fixed size
	return dst
}

// readFloats reads at most most numbers that floats wrote, into dst[:0].
func readFloats(data []byte, dst []float64, most int) (v []float64, rest []byte, err error) {
	if len(data) < 4 {
		return nil, nil, errShort
	}
	n := int(binary.LittleEndian.Uint32(data))
	if n > most || len(data) < 4+8*n {
		return nil, nil, errShort
	}
	v = append(dst[:0], make([]float64, n)...)
	if _, err := binary.Decode(data[4:], binary.LittleEndian, v); err != nil {
		return nil, nil, errShort
	}
	return v, data[4+8*n:], nil
}

// done refuses a state with something after its end.
func done(rest []byte, err error) error {
	if err == nil && len(rest) > 0 {
		err = errShort
	}
	return err
}

// restore reads a state that is nothing but settings and a fixed part; after an error the fixed part is as before.
func restore[S comparable, T any](state []byte, letter byte, settings S, fixed *T) error {
	var t T
	if err := done(end(state, letter, settings, &t)); err != nil {
		return err
	}
	*fixed = t
	return nil
}
