package evaluate

import (
	"encoding/json"
	"math"
)

// Number is a float64 that is null in JSON where it is NaN.
type Number float64

// Unknown is the number of what is not known.
func Unknown() Number { return Number(math.NaN()) }

// Known reports whether the number is one.
func (n Number) Known() bool { return !math.IsNaN(float64(n)) && !math.IsInf(float64(n), 0) }

// MarshalJSON writes null for what is not known.
func (n Number) MarshalJSON() ([]byte, error) {
	if !n.Known() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON reads null as NaN.
func (n *Number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = Unknown()
		return nil
	}
	return json.Unmarshal(b, (*float64)(n))
}
