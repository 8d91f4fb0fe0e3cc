package surprise

import (
	"bytes"
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
		cfg := Default()
		cfg.Past, cfg.Long = 1000, []int{500, 1000, 2000}
		d := New(cfg)
		rng := rand.New(rand.NewPCG(1, 2))
		inside, outside := 0, 0
		for i := range 3300 {
			x := day(i, rng)
			within := odd != nil && i >= 2900 && i < 2930
			if within {
				x = odd(i, x)
			}
			if d.Update(x) >= d.cfg.Alarm {
				if i >= 2900 && i < 2940 {
					inside++
				} else {
					outside++
				}
			}
		}
		if want := 0; outside > 2 || odd != nil && inside != 1 || odd == nil && inside != want {
			t.Errorf("%s: %d alarms within, %d without", name, inside, outside)
		}
		held := 4 * cap(d.recent)
		for i := range d.senses {
			held += 4 * (len(d.senses[i].past) + len(d.senses[i].far))
		}
		if most := d.cfg.Bytes(); d.early != nil || held > most || held < most*9/10 {
			t.Errorf("%s: it holds %d bytes, said to be %d, and %d early values", name, held, most, len(d.early))
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
	if err := (&Config{}).Validate(); err == nil || !strings.Contains(err.Error(), "lengths: []") || !strings.Contains(err.Error(), "life: 0") {
		t.Errorf("%v", err)
	}
}

// A state that was kept and restored goes on to the bit, at the warm-up, at gaps and when all is full; one that is cut or damaged is refused and never panics.
func TestState(t *testing.T) {
	cfg := Default()
	cfg.Warm, cfg.Past, cfg.Long = 100, 150, []int{60, 200}
	d := New(cfg)
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 900 {
		if i%170 == 40 {
			d.Gap()
		}
		kept := d.AppendState(nil)
		again, err := Restore(kept, cfg)
		if err != nil {
			t.Fatalf("value %d: %v", i, err)
		}
		if back := again.AppendState(nil); !bytes.Equal(kept, back) {
			t.Fatalf("value %d: another state is restored", i)
		}
		x := math.Round(10*rng.NormFloat64()) / 4
		if a, b := d.Update(x), again.Update(x); a != b || math.IsNaN(a) {
			t.Fatalf("value %d: %v, restored %v", i, a, b)
		}
		cut := kept[:rng.IntN(len(kept))]
		if _, err := Restore(cut, cfg); err == nil {
			t.Fatalf("value %d: %d of %d bytes are taken", i, len(cut), len(kept))
		}
		kept[rng.IntN(len(kept))] ^= 1 << rng.IntN(8)
		if bad, err := Restore(kept, cfg); err == nil {
			for range 50 {
				bad.Update(rng.NormFloat64())
			}
		}
	}
	other := cfg
	other.Past = 40
	if _, err := Restore(d.AppendState(nil), other); err == nil || !strings.Contains(err.Error(), "other settings") {
		t.Error(err)
	}
}

// Each alarm raises what the next one needs, and that is forgotten again.
func TestHabit(t *testing.T) {
	alarms := func(habit float64) (n int) {
		cfg := Default()
		cfg.Habit, cfg.Rest, cfg.Life, cfg.Past, cfg.Long = habit, 10, 5000, 300, []int{500, 1000}
		d, rng := New(cfg), rand.New(rand.NewPCG(5, 6))
		for i := range 8000 {
			x := rng.NormFloat64()
			if i > 300 && i%200 == 0 {
				x += 8 + float64(i)/400 // each higher than all before
			}
			if d.Update(x) >= cfg.Alarm {
				n++
			}
		}
		return n
	}
	if never, used := alarms(0), alarms(1); never < 15 || used > never/2 || used == 0 {
		t.Errorf("%d alarms, %d of one that gets used to them", never, used)
	}
}
