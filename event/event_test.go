package event

import "testing"

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
	b := Block{Pipeline: "p", Readings: Readings{Signals: []string{"a", "b"}}}
	b.Readings.Append(&Row{Asset: "x", Time: 1, Offset: 7, Values: []float64{1, 2}}, StatusOK)
	b.Scores = append(b.Scores, Score{})
	if b.Rows() != 2 || b.Readings.Len() != 1 {
		t.Fatalf("rows %d, readings %d", b.Rows(), b.Readings.Len())
	}
	b.Reset(9)
	if b.Rows() != 0 || b.First != 9 || b.Next != 9 || len(b.Readings.Values) != 0 || b.Pipeline != "p" || len(b.Readings.Signals) != 2 {
		t.Fatalf("after reset: %+v", b)
	}
}
