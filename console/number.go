package console

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"andon/event"
)

// number is a float64 that JSON can carry: null where it is not a finite number, and no more digits than a reader needs.
type number float64

// MarshalJSON writes six significant digits, or null.
func (n number) MarshalJSON() ([]byte, error) { return appendNumber(nil, float64(n), 6), nil }

func appendNumber(dst []byte, v float64, digits int) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.AppendInt(dst, int64(v), 10)
	}
	return strconv.AppendFloat(dst, v, 'g', digits, 64)
}

// millis turns Unix nanoseconds into the milliseconds that the page counts in.
func millis(nanos int64) int64 { return nanos / int64(time.Millisecond) }

// exact is the largest integer up to which a page's numbers are exact.
const exact = 1 << 53

// cell turns a table's value into one that JSON and a page can hold: integers beyond 2^53 as text, numbers that are not finite as text, times as RFC 3339.
func cell(v any) any {
	switch v := v.(type) {
	case int64:
		if v > exact || v < -exact {
			return strconv.FormatInt(v, 10)
		}
	case uint64:
		if v > exact {
			return strconv.FormatUint(v, 10)
		}
	case float64:
		switch {
		case math.IsNaN(v):
			return "nan"
		case math.IsInf(v, 0):
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
	case float32:
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return cell(f)
		}
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case []float64:
		return cells(v)
	case []float32:
		return cells(v)
	case []int64:
		return cells(v)
	case []uint64:
		return cells(v)
	case []time.Time:
		return cells(v)
	case []any:
		return cells(v)
	}
	return v
}

func cells[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = cell(v)
	}
	return out
}

// tableJSON returns the table with cells that can be encoded.
func tableJSON(t *event.Table) *event.Table {
	out := &event.Table{Columns: t.Columns, Types: t.Types, Rows: make([][]any, len(t.Rows)), Truncated: t.Truncated}
	for i, row := range t.Rows {
		out.Rows[i] = cells(row)
	}
	return out
}

// asFloat, asInt, asText and asFloats read a table's value whatever its width.
func asFloat(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case float32:
		return float64(v)
	case int64:
		return float64(v)
	case uint64:
		return float64(v)
	case time.Time:
		return float64(v.UnixMilli())
	}
	return math.NaN()
}

func asInt(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case uint64:
		return int64(v)
	case time.Time:
		return v.UnixNano()
	case float64:
		return int64(v)
	}
	return 0
}

func asText(v any) string {
	s, _ := v.(string)
	return s
}

func asFloats(v any) []float64 {
	switch v := v.(type) {
	case []float64:
		return v
	case []float32:
		out := make([]float64, len(v))
		for i, x := range v {
			out[i] = float64(x)
		}
		return out
	case []any:
		out := make([]float64, len(v))
		for i, x := range v {
			out[i] = asFloat(x)
		}
		return out
	}
	return nil
}

// mustJSON encodes values that are known to encode.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("console: encode " + err.Error())
	}
	return b
}

// nan stands for what is not known.
var nan = math.NaN()

func asBool(v any) bool {
	b, _ := v.(bool)
	return b
}

// asTexts returns a list of strings, never nil.
func asTexts(v any) []string {
	switch v := v.(type) {
	case []string:
		return append([]string{}, v...)
	case []any:
		out := make([]string, len(v))
		for i, x := range v {
			out[i] = asText(x)
		}
		return out
	}
	return []string{}
}
