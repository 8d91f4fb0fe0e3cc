package truth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

type shelf []Outcome

func (s shelf) Outcomes(_ context.Context, pipeline string, versions []string, since int64, limit int) (out []Outcome, watermark int64, err error) {
	if pipeline != "pumps" {
		return nil, since, errors.New("no such shelf")
	}
	for i, o := range s {
		if o.Settled > since && (len(versions) == 0 || slices.Contains(versions, o.Version)) {
			out = append(out, o)
			watermark = o.Settled
		}
		if len(out) >= limit && i+1 < len(s) && s[i+1].Settled != o.Settled {
			break
		}
	}
	return out, max(watermark, since), nil
}

// What was settled comes once, in parts.
func TestMature(t *testing.T) {
	var s shelf
	for i := range 2*limit + 10 {
		s = append(s, Outcome{End: int64(i), Version: "ab"[i%2 : i%2+1], Settled: int64(i/7 + 1)})
	}
	var since int64
	n, calls := 0, 0
	for {
		got, watermark, err := Mature(t.Context(), s, "pumps", []string{"a"}, since)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			if watermark != since {
				t.Errorf("went on to %d without outcomes", watermark)
			}
			break
		}
		calls++
		n += len(got)
		since = watermark
	}
	if n != limit+5 || calls != 2 {
		t.Errorf("%d outcomes in %d parts", n, calls)
	}
	if _, since, err := Mature(t.Context(), s, "fans", nil, 3); err == nil || !strings.Contains(err.Error(), "fans") || since != 3 {
		t.Errorf("%v, %d", err, since)
	}
}
