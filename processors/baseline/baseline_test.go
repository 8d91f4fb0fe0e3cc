package baseline

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// world makes rows of a noise, another one, a slow wave and a signal that stands still; shift is added to the second.
func world(n, from int, shift float64, random *rand.Rand) [][]float64 {
	rows := make([][]float64, n)
	for i := range rows {
		rows[i] = []float64{10 + random.NormFloat64(), -3 + 0.1*random.NormFloat64() + shift, 50 + 5*math.Sin(float64(from+i)/150), 7}
	}
	return rows
}

func feed(d *Detector, rows [][]float64) (out, changes []int, last Verdict) {
	for i, r := range rows {
		last = d.Update(r)
		if last.Out {
			out = append(out, i)
		}
		if last.Change {
			changes = append(changes, i)
		}
	}
	return out, changes, last
}

// Usual rows say nothing, a shift of five deviations of a signal is told with the signal that it is of, and its end, too.
func TestDeparture(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	d, err := Learn(world(400, 0, 0, random), Default())
	if err != nil {
		t.Fatal(err)
	}
	if out, changes, _ := feed(d, world(500, 400, 0, random)); len(out) > 0 || len(changes) > 1 {
		t.Errorf("usual rows: out at %v, changes at %v", out, changes)
	}
	out, changes, last := feed(d, world(100, 900, 0.5, random))
	if len(out) < 85 || out[0] > 15 || len(changes) == 0 || changes[0] > 15 || last.Signal != 1 || last.Level < 1 {
		t.Errorf("a shift: out at %v, changes at %v, %+v", out, changes, last)
	}
	out, changes, last = feed(d, world(100, 1000, 0, random))
	if len(out) == 0 || out[len(out)-1] > 20 || len(changes) == 0 || changes[0] > 20 || last.Out {
		t.Errorf("the end of it: out at %v, changes at %v, %+v", out, changes, last)
	}
}

// What remains of a departure is usual, until it grows.
func TestRemains(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	d, err := Learn(world(400, 0, 0, random), Default())
	if err != nil {
		t.Fatal(err)
	}
	feed(d, world(100, 400, 4, random))
	if _, _, last := feed(d, world(100, 500, 0.5, random)); last.Out || last.Level < 1 {
		t.Errorf("what remains: %+v; want a level above 1 and no departure", last)
	}
	if _, _, last := feed(d, world(100, 600, 1.5, random)); !last.Out {
		t.Errorf("it has grown: %+v", last)
	}
	feed(d, world(100, 700, 0, random)) // the floor sinks
	if _, _, last := feed(d, world(100, 800, 0.5, random)); !last.Out {
		t.Errorf("the same after it was gone: %+v", last)
	}
}

// A restored detector goes on as if it had not been away; a gap in a signal and one that stands still harm nothing.
func TestState(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	d, err := Learn(world(400, 0, 0, random), Default())
	if err != nil {
		t.Fatal(err)
	}
	rows := append(world(50, 400, 1, random), world(100, 450, 0, random)...)
	rows[60][0], rows[61][1] = math.NaN(), math.Inf(1)
	for i, r := range rows {
		data, err := d.AppendState(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Restore(data, Default())
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(d, again) {
			t.Fatalf("row %d: %+v is restored as %+v", i, d, again)
		}
		if a, b := d.Update(r), again.Update(r); a != b || math.IsNaN(a.Level) {
			t.Fatalf("row %d: %+v, restored %+v", i, a, b)
		}
	}
	data, _ := d.AppendState(nil)
	other := Default()
	other.Steps = []int{10, 29}
	for want, f := range map[string]func() error{
		"other settings": func() error { _, err := Restore(data, other); return err },
		"damaged":        func() error { _, err := Restore(data[:len(data)-9], Default()); return err },
		"cut short": func() error {
			_, err := Restore([]byte(strings.Replace(string(data), `"Level":[`, `"Level":[1,`, 1)), Default())
			return err
		},
		"too few": func() error { _, err := Learn(world(239, 0, 0, random), Default()); return err },
		"signal 2": func() error {
			bad := world(400, 0, 0, random)
			bad[7][2] = math.NaN()
			_, err := Learn(bad, Default())
			return err
		},
		"3 signals": func() error {
			bad := world(400, 0, 0, random)
			bad[7] = bad[7][:3]
			_, err := Learn(bad, Default())
			return err
		},
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

func TestValidate(t *testing.T) {
	good := Default()
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	err := (&Config{Limit: math.NaN(), Quick: -1, Release: 1, Jump: math.Inf(1), Rest: -1}).Validate()
	for _, key := range []string{"smooth", "limit", "quick", "slow", "release", "raise", "steps", "jump", "rest"} {
		if err == nil || !strings.Contains(err.Error(), key+":") {
			t.Errorf("%v; want %s", err, key)
		}
	}
}

// A change that is small shows in a long step, one that is short in a short step; each alone tells less.
func TestSteps(t *testing.T) {
	told := func(shift float64, rows int, steps ...int) (n int) {
		cfg := Default()
		cfg.Steps, cfg.Limit = steps, 1000 // no departures
		random := rand.New(rand.NewPCG(7, 8))
		d, err := Learn(world(1000, 0, 0, random), cfg)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			feed(d, world(150, 1000, 0, random))
			_, changes, _ := feed(d, world(rows, 1150, shift, random))
			if len(changes) > 0 {
				n++
			}
		}
		return n
	}
	if small, short := told(0.1, 60, 30), told(0.1, 60, 5); small < 6 || short >= small {
		t.Errorf("a small change: told %d times by a long step, %d by a short one", small, short)
	}
	if long, brief, both := told(0.5, 5, 60), told(0.5, 5, 5), told(0.5, 5, 5, 60); brief < 8 || long > brief || both < brief {
		t.Errorf("a short change: told %d times by a long step, %d by a short one, %d by both", long, brief, both)
	}
}
