package event

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestBytes(t *testing.T) {
	good := func(text string, want Bytes, back string) {
		t.Helper()
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want || b.String() != back {
			t.Errorf("%q: got %d (%s), %v; want %d (%s)", text, b, b, err, want, back)
		}
	}
	good("512", 512, "512")
	good("64KiB", 64<<10, "64KiB")
	good(" 256 MiB ", 256<<20, "256MiB")
	good("1024MiB", 1<<30, "1GiB")
	good("0", 0, "0")
	for _, bad := range []string{"", "x", "-1", "1.5GiB", "9999999999TiB", "5MB"} {
		var b Bytes
		if err := b.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q: read as %d, want an error", bad, b)
		}
	}
}

// Rows made before the arena grows must keep their values.
func TestBatchValuesStay(t *testing.T) {
	var b Batch
	for round := range 3 {
		b.Reset()
		for i := range 3000 {
			v := b.Values(5)
			for j := range v {
				v[j] = float64(i*5 + j)
			}
			b.Rows = append(b.Rows, Row{Offset: int64(i), Values: v})
		}
		for i, r := range b.Rows {
			for j, v := range r.Values {
				if v != float64(i*5+j) {
					t.Fatalf("round %d row %d value %d is %v", round, i, j, v)
				}
			}
		}
	}
}

func TestBlockReset(t *testing.T) {
	b := Block{Pipeline: "p", Readings: Readings{Signals: []string{"a", "b"}}, Features: Features{Names: []string{"a_mean", "a_max", "b_mean"}}}
	b.Readings.Append(&Row{Asset: "x", Time: 1, Offset: 7, Values: []float64{1, 2}}, StatusOK)
	b.Scores = append(b.Scores, Score{})
	for i := range 3 {
		copy(b.Features.Append("x", 0, 10, int64(7+i)), []float64{float64(i), 5, 6})
	}
	if b.Rows() != 5 || b.Readings.Len() != 1 || b.Features.Len() != 3 {
		t.Fatalf("rows %d, readings %d, features %d", b.Rows(), b.Readings.Len(), b.Features.Len())
	}
	if f := &b.Features; !slices.Equal(f.Row(1), []float64{1, 5, 6}) || f.Offset[2] != 9 || f.End[0] != 10 {
		t.Fatalf("features %+v", f)
	}
	b.Reset(9)
	if b.Rows() != 0 || b.First != 9 || b.Next != 9 || len(b.Readings.Values) != 0 || b.Pipeline != "p" || len(b.Readings.Signals) != 2 ||
		len(b.Features.Values) != 0 || len(b.Features.Names) != 3 {
		t.Fatalf("after reset: %+v", b)
	}
}

func TestParsePosition(t *testing.T) {
	for _, p := range []Position{{"fleet.compressors", 3, 1842}, {"a", 0, 0}, {"t_-", math.MaxInt32, math.MaxInt64}} {
		if got, err := ParsePosition(p.String()); err != nil || got != p {
			t.Errorf("%v became %v, %v", p, got, err)
		}
	}
	for text, says := range map[string]string{"": "no topic", "topic": "no topic", "/1@2": "no topic", "t/1": "no offset", "t/x@2": "partition", "t/-1@2": "partition", "t/1@-2": "the offset",
		"t/1@": "the offset", "t/2147483648@1": "partition", "t/1@9223372036854775808": "the offset", "t/1@2@3": "the offset"} {
		if _, err := ParsePosition(text); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "topic/partition@offset") {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}
