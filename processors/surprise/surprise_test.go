package surprise

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// A day that repeats itself with some noise is told of seldom; a jump, a stuck sensor and another shape at once, and each once.
func TestSurprise(t *testing.T) {
	day := func(i int, rng *rand.Rand) float64 {
		return 20 + 5*math.Sin(2*math.Pi*float64(i)/96) + 0.2*rng.NormFloat64()
	}
	for name, odd := range map[string]func(i int, x float64) float64{
		"none":  nil,
		"jump":  func(_ int, x float64) float64 { return x + 8 },
		"stuck": func(int, float64) float64 { return 0 },
		"shape": func(i int, _ float64) float64 { return 20 + 5*math.Sin(2*math.Pi*float64(i)/11) },
	} {
		d := New(Default())
		rng := rand.New(rand.NewPCG(1, 2))
		inside, outside := 0, 0
		for i := range 6000 {
			x := day(i, rng)
			within := odd != nil && i >= 4000 && i < 4030
			if within {
				x = odd(i, x)
			}
			if d.Update(x) >= d.cfg.Alarm {
				if i >= 4000 && i < 4040 {
					inside++
				} else {
					outside++
				}
			}
		}
		if want := 0; outside > 2 || odd != nil && inside != 1 || odd == nil && inside != want {
			t.Errorf("%s: %d alarms within, %d without", name, inside, outside)
		}
		if len(d.past) != d.cfg.Past*d.cfg.Length || len(d.far) != d.cfg.Long || d.early != nil {
			t.Errorf("%s: it holds %d, %d, %d", name, len(d.past), len(d.far), len(d.early))
		}
	}
}

func TestStandstill(t *testing.T) {
	d := New(Default())
	for i := range 3000 {
		x := 7.0
		if i%10 == 3 {
			x = math.NaN()
		}
		if s := d.Update(x); s >= d.cfg.Alarm {
			t.Fatalf("value %d: %v", i, s)
		}
	}
	if s := d.Update(8); s < d.cfg.Alarm {
		t.Errorf("the first move: %v", s)
	}
}

func TestValidate(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if err := (&Config{}).Validate(); err == nil || !strings.Contains(err.Error(), "length: 0") || !strings.Contains(err.Error(), "stride: 0") {
		t.Errorf("%v", err)
	}
}
