package drift

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// lots is SplitMix64, which the reference streams were made with.
type lots uint64

func (l *lots) float() float64 {
	*l += 0x9e3779b97f4a7c15
	z := uint64(*l)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}

// stream makes one of the reference streams from its name, as bern_seed1_0.2-0.4-0.1-0.5_x3000.
func stream(t *testing.T, name string) []float64 {
	part := strings.Split(name, "_")
	number := func(s string) float64 {
		v, err := strconv.ParseFloat(strings.TrimLeft(s, "sedmuxtaionry"), 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return v
	}
	r, n := lots(number(part[1])), int(number(part[3]))
	var out []float64
	for _, level := range strings.Split(part[2], "-") {
		for range n {
			if part[0] == "bern" {
				x := 0.0
				if r.float() < number(level) {
					x = 1
				}
				out = append(out, x)
				continue
			}
			sum := 0.0
			for range 12 {
				sum += r.float()
			}
			out = append(out, sum-6+number(level))
		}
	}
	return out
}

var golden = map[string]Kind{"ADWIN": KindADWIN, "PageHinkley": KindPageHinkley, "DDM": KindDDM, "EDDM": KindEDDM, "HDDM_A": KindHDDMA, "HDDM_W": KindHDDMW, "FHDDM": KindFHDDM}

// The indices at which River 0.26.1 finds drift on nine streams, with the defaults of both.
func TestAsRiver(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "river_0.26.1.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Streams map[string]struct {
			N   int
			Sum float64
			Det map[string][]int
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for name, want := range file.Streams {
		x := stream(t, name)
		sum := 0.0
		for _, v := range x {
			sum += v
		}
		if len(x) != want.N || math.Abs(sum-want.Sum) > 1e-6 {
			t.Fatalf("%s: %d numbers with sum %v, not %d with %v", name, len(x), sum, want.N, want.Sum)
		}
		for detector, indices := range want.Det {
			if got := find(t, golden[detector], x); !slices.Equal(got, indices) {
				t.Errorf("%s on %s: found %v, River %v", detector, name, got, indices)
			}
			compared++
		}
	}
	if compared != 48 {
		t.Errorf("only %d comparisons", compared)
	}
}

func find(t testing.TB, kind Kind, x []float64) []int {
	t.Helper()
	d, err := New(kind)
	if err != nil {
		t.Fatal(err)
	}
	found := []int{}
	for i, v := range x {
		if d.Update(v) {
			found = append(found, i)
		}
	}
	return found
}

// steps makes a stream of n numbers at each level: errors with that rate, or normal numbers around it.
func steps(binary bool, seed uint64, n int, levels ...float64) []float64 {
	r := rand.New(rand.NewPCG(seed, 9))
	var out []float64
	for _, level := range levels {
		for range n {
			v := level + r.NormFloat64()
			if binary {
				v = 0
				if r.Float64() < level {
					v = 1
				}
			}
			out = append(out, v)
		}
	}
	return out
}

// Each finds a great change soon after it, seldom anything before it, and what River does not have is held to it by this.
func TestFindsAndKeepsQuiet(t *testing.T) {
	try := func(kind Kind, binary bool, before, after float64, within, falseAlarms int) {
		t.Helper()
		missed, wrong := 0, 0
		for seed := range uint64(20) {
			const n = 2000
			found := find(t, kind, steps(binary, seed, n, before, after))
			soon := false
			for _, i := range found {
				if i < n {
					wrong++
				}
				soon = soon || i >= n && i < n+within
			}
			if !soon {
				missed++
			}
		}
		if missed > 1 || wrong > falseAlarms {
			t.Errorf("%s: missed %d of 20 changes, %d false alarms in 40,000 numbers", kind, missed, wrong)
		}
	}
	try(KindADWIN, true, .1, .4, 250, 1)
	try(KindADWIN, false, 0, 2, 100, 1)
	try(KindPageHinkley, false, 0, 2, 150, 20)
	try(KindCUSUM, true, .1, .6, 300, 2)
	try(KindDDM, true, .1, .4, 300, 25) // the first predictions after its warm start
	try(KindHDDMA, true, .1, .4, 200, 4)
	try(KindHDDMW, true, .1, .5, 100, 4)
	try(KindFHDDM, true, .9, .4, 150, 2)
	try(KindSEED, true, .1, .4, 250, 20)
	try(KindSTEPD, true, .1, .5, 100, 60)
	try(KindKSWIN, false, 0, 2, 60, 60)
}

// A fall is no harm: with a side only that way is told, and the window follows all the same.
func TestSide(t *testing.T) {
	x := steps(true, 3, 3000, .5, .1, .5)
	for _, c := range []struct {
		side     Side
		up, down bool
	}{{Both, true, true}, {Up, true, false}, {Down, false, true}} {
		ad, sd, st := DefaultADWIN(), DefaultSEED(), DefaultSTEPD()
		ad.Side, sd.Side, st.Side = c.side, c.side, c.side
		for name, d := range map[string]Detector{"adwin": NewADWIN(ad), "seed": NewSEED(sd), "stepd": NewSTEPD(st)} {
			up, down := false, false
			for i, v := range x {
				if d.Update(v) {
					down = down || i >= 3000 && i < 3500
					up = up || i >= 6000 && i < 6500
				}
			}
			if up != c.up || down != c.down {
				t.Errorf("%s, side %d: rise %v, fall %v", name, c.side, up, down)
			}
		}
	}
}

// Written down and read back anywhere, a detector goes on as if nothing had been; a state of another kind, other settings, or a damaged one is refused.
func TestState(t *testing.T) {
	for _, kind := range Kinds() {
		x := steps(kind != KindPageHinkley && kind != KindKSWIN, 11, 700, .1, .5, .2)
		whole, _ := New(kind)
		parts, _ := New(kind)
		for i, v := range x {
			if i%97 == 0 {
				state := parts.AppendState([]byte("before"))[6:]
				next, _ := New(kind)
				if err := next.Restore(state); err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
				if again := next.AppendState(nil); !slices.Equal(again, state) {
					t.Fatalf("%s: the state read back is another", kind)
				}
				if len(state) > 4096 {
					t.Errorf("%s: a state of %d bytes", kind, len(state))
				}
				parts = next
			}
			a, b := whole.Update(v), parts.Update(v)
			if a != b || whole.Warned() != parts.Warned() {
				t.Fatalf("%s: at %d %v, restored %v", kind, i, a, b)
			}
			if whole.Update(math.NaN()) || parts.Warned() != whole.Warned() {
				t.Fatalf("%s: NaN found something", kind)
			}
		}
		state := whole.AppendState(nil)
		d, _ := New(kind)
		for n := range len(state) {
			if err := d.Restore(state[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes were taken", kind, n, len(state))
			}
		}
		if err := d.Restore(append(slices.Clone(state), 0)); err == nil {
			t.Errorf("%s: a byte too many was taken", kind)
		}
		fresh, _ := New(kind)
		if !reflect.DeepEqual(d.AppendState(nil), fresh.AppendState(nil)) {
			t.Errorf("%s: a refused state left something", kind)
		}
		for _, other := range Kinds() {
			if o, _ := New(other); other != kind && o.Restore(state) == nil {
				t.Errorf("%s took the state of %s", other, kind)
			}
		}
	}
	cfg := DefaultADWIN()
	cfg.Delta = .01
	if err := NewADWIN(cfg).Restore(NewADWIN(DefaultADWIN()).AppendState(nil)); err == nil || !strings.Contains(err.Error(), "other settings") {
		t.Errorf("got %v", err)
	}
	if _, err := New("tarot"); err == nil || !strings.Contains(err.Error(), "adwin") {
		t.Errorf("got %v", err)
	}
}

func FuzzRestore(f *testing.F) {
	for _, kind := range Kinds() {
		d, _ := New(kind)
		for _, v := range steps(true, 1, 300, .2, .6) {
			d.Update(v)
		}
		f.Add(string(kind), d.AppendState(nil))
	}
	f.Fuzz(func(t *testing.T, kind string, state []byte) {
		d, err := New(Kind(kind))
		if err != nil || d.Restore(state) != nil {
			return
		}
		for _, v := range steps(true, 2, 200, .2) { // whatever was taken must not crash
			d.Update(v)
		}
	})
}

// The exact distribution, against numbers of SciPy 1.15: ks_2samp of 30 and 30, method exact.
func TestCriticalKS(t *testing.T) {
	// p(14/30) = 0.002530, p(15/30) = 0.000900; p(1) of 3 and 3 = 0.1
	for _, c := range []struct {
		n     int
		alpha float64
		want  int64
	}{{30, .005, 14}, {30, .00254, 14}, {30, .00252, 15}, {30, .0009, 15}, {3, .1, 3}, {3, .05, 4}} {
		if got := criticalKS(c.n, c.alpha); got != c.want {
			t.Errorf("n=%d alpha=%v: %d, want %d", c.n, c.alpha, got, c.want)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	for _, kind := range Kinds() {
		d, _ := New(kind)
		x := steps(true, 5, 20_000, .2)
		for _, v := range x {
			d.Update(v)
		}
		i := 0
		if n := testing.AllocsPerRun(2000, func() { d.Update(x[i%len(x)]); i++ }); n != 0 {
			t.Errorf("%s allocates %v times an update", kind, n)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	for _, kind := range Kinds() {
		b.Run("detector="+string(kind), func(b *testing.B) {
			d, _ := New(kind)
			x := steps(true, 5, 1<<16, .2)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				d.Update(x[i&(1<<16-1)])
				i++
			}
		})
	}
}
