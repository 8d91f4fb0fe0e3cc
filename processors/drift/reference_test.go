package drift

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

func irwin(seed uint64, n int, mu, sd float64) []float64 {
	r := lots(seed)
	out := make([]float64, n)
	for i := range out {
		sum := 0.0
		for range 12 {
			sum += r.float()
		}
		out[i] = sd*(sum-6) + mu
	}
	return out
}

// kinds makes whole numbers from 0 to 4.
func kinds(seed uint64, n int, power float64) []float64 {
	r := lots(seed)
	out := make([]float64, n)
	for i := range out {
		out[i] = math.Floor(math.Pow(r.float(), power) * 5)
	}
	return out
}

func compare(t testing.TB, reference, window []float64, bins int) Distance {
	t.Helper()
	r, err := NewReference(reference, bins)
	if err != nil {
		t.Fatal(err)
	}
	w := r.NewWindow()
	for _, v := range window {
		w.Add(v)
	}
	return w.Distance()
}

// What SciPy 1.17 says of the same numbers, unbinned: ks_2samp with the limit's P value, wasserstein_distance, chi2_contingency, jensenshannon. Bins cost at most one bin's share.
func TestAsSciPy(t *testing.T) {
	near := func(what string, got, want, within float64) {
		t.Helper()
		if !(math.Abs(got-want) <= within) {
			t.Errorf("%s: %v, SciPy %v", what, got, want)
		}
	}
	base := irwin(1, 5000, 0, 1)
	for _, c := range []struct {
		name                 string
		window               []float64
		ks, ksp, wasserstein float64
	}{
		{"same", irwin(2, 1000, 0, 1), 0.0234, 0.7515376565, 0.0332743069},
		{"shift", irwin(3, 1000, .3, 1), 0.1298, 1.2764740517e-12, 0.2681225062},
		{"scale", irwin(4, 1000, 0, 1.5), 0.1024, 5.1426127007e-08, 0.3842139724},
	} {
		d := compare(t, base, c.window, DefaultBins)
		near(c.name+" KS", d.KS, c.ks, 1.0/DefaultBins)
		if d.KS > c.ks+1e-12 {
			t.Errorf("%s: bins made the difference %v larger than it is, %v", c.name, d.KS, c.ks)
		}
		near(c.name+" Wasserstein", d.Wasserstein, c.wasserstein, 0.02)
		// With a bin a value nothing is lost.
		exact := compare(t, base, c.window, 5000)
		near(c.name+" KS exact", exact.KS, c.ks, 3e-4)
		near(c.name+" Wasserstein exact", exact.Wasserstein, c.wasserstein, 2e-3)
		near(c.name+" P", kolmogorov(c.ks*math.Sqrt(5000.0*1000/6000))/c.ksp, 1, 1e-6)
	}
	d := compare(t, kinds(5, 5000, 1), kinds(6, 1000, 1.5), DefaultBins)
	near("kinds KS", d.KS, 0.142, 1e-12)
	near("kinds P", d.KSP/5.079723895e-15, 1, 1e-6)
	near("kinds Wasserstein", d.Wasserstein, 0.432, 1e-9)
	near("kinds chi2", d.Chi2, 102.8011412169, 1e-6)
	near("kinds chi2 P", d.Chi2P/2.4908744290e-21, 1, 1e-6)
	near("kinds Jensen-Shannon", d.JensenShannon, 0.1421399268, 1e-9)
	near("kinds Hellinger", d.Hellinger, 0.1186110990, 1e-9)
	near("kinds PSI", d.PSI, 0.1130707840, 1e-9)
}

// On windows of the reference's own kind P values are spread evenly: as many as alpha fall below alpha, and no more.
func TestFalseAlarms(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	draw := func(n int) []float64 {
		out := make([]float64, n)
		for i := range out {
			if out[i] = rng.NormFloat64(); rng.Float64() < .1 {
				out[i] = math.NaN()
			}
		}
		return out
	}
	const windows = 2000
	ks, chi, missing := 0, 0, 0
	for range windows {
		r, err := NewReference(draw(2000), 32)
		if err != nil {
			t.Fatal(err)
		}
		w := r.NewWindow()
		for _, v := range draw(500) {
			w.Add(v)
		}
		d := w.Distance()
		for p, n := range map[float64]*int{d.KSP: &ks, d.Chi2P: &chi, d.MissingP: &missing} {
			if p < .05 {
				*n++
			}
		}
	}
	// Of 2,000 with p = 0.05: 100, standard deviation 10. The binned KS can only be more careful.
	if ks > 130 || ks < 20 || chi > 140 || chi < 60 || missing > 140 || missing < 60 {
		t.Errorf("of %d below 0.05: KS %d, chi2 %d, missing %d", windows, ks, chi, missing)
	}
}

// Windows counted apart and put together are the same as one; so is one that was written down.
func TestWindowsMerge(t *testing.T) {
	r, err := NewReference(append(irwin(1, 3000, 0, 1), math.NaN(), 0, 0, 0), 20)
	if err != nil {
		t.Fatal(err)
	}
	whole, a, b := r.NewWindow(), r.NewWindow(), r.NewWindow()
	for i, v := range append(kinds(7, 500, 1), math.NaN(), math.Inf(1), math.Inf(-1)) {
		whole.Add(v)
		if i%3 == 0 {
			a.Add(v)
		} else {
			b.Add(v)
		}
	}
	if err := a.Merge(b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a.counts, whole.counts) || a.n != whole.n || a.missing != whole.missing {
		t.Errorf("apart %v, whole %v", a, whole)
	}
	file, err := r.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ReadReference(file)
	if err != nil || !reflect.DeepEqual(again, r) {
		t.Fatalf("%v, %v", again, err)
	}
	c := again.NewWindow()
	if err := c.Restore(whole.AppendState(nil)); err != nil || !reflect.DeepEqual(c.counts, whole.counts) {
		t.Fatalf("%v, %v", c, err)
	}
	if a.Merge(c) == nil {
		t.Error("a window of another reference was merged")
	}
	state := whole.AppendState(nil)
	for n := range len(state) {
		if c.Restore(state[:n]) == nil {
			t.Errorf("%d of %d bytes were taken", n, len(state))
		}
	}
	for n := range len(file) {
		if _, err := ReadReference(file[:n]); err == nil {
			t.Errorf("%d of %d bytes of a reference were taken", n, len(file))
		}
	}
	if n, missing := c.N(); n != 0 || missing != 0 {
		t.Errorf("a refused state left %d and %d values", n, missing)
	}
}

func TestReferenceEdges(t *testing.T) {
	if _, err := NewReference([]float64{math.NaN()}, 10); err == nil {
		t.Error("no value made a reference")
	}
	if _, err := NewReference([]float64{1}, 1); err == nil {
		t.Error("one bin made a reference")
	}
	// A signal that stands still, and one that is still most of the time.
	still := make([]float64, 1000)
	d := compare(t, still, still[:100], 10)
	if d.KS != 0 || d.Chi2P != 1 || d.PSI != 0 || d.Wasserstein != 0 {
		t.Errorf("still: %+v", d)
	}
	d = compare(t, still, []float64{5, 5, 5, 5, 5, 5, 5, 5}, 10)
	if d.KS != 1 || d.KSP > 1e-4 || math.Abs(d.Wasserstein-5) > 1e-9 || d.JensenShannon < .99 {
		t.Errorf("moved: %+v", d)
	}
	most := append(still, irwin(3, 200, 0, 1)...)
	r, err := NewReference(most, 20)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, n := range r.counts {
		sum += n
	}
	if sum != 1200 || r.bins() < 10 || r.bins() > 22 {
		t.Errorf("%d bins with %v values", r.bins(), sum)
	}
	// All missing, and nothing at all.
	w := r.NewWindow()
	if d := w.Distance(); d.KSP != 1 || d.Missing != 0 {
		t.Errorf("empty: %+v", d)
	}
	for range 50 {
		w.Add(math.NaN())
	}
	if d := w.Distance(); d.Missing != 1 || d.MissingP > 1e-9 || d.KSP != 1 {
		t.Errorf("missing: %+v", d)
	}
	if n := testing.AllocsPerRun(100, func() { w.Add(.3) }); n != 0 {
		t.Errorf("Add allocates %v times", n)
	}
}

func BenchmarkWindow(b *testing.B) {
	r, err := NewReference(irwin(1, 10_000, 0, 1), DefaultBins)
	if err != nil {
		b.Fatal(err)
	}
	x := irwin(2, 4096, .1, 1)
	b.Run("add", func(b *testing.B) {
		w := r.NewWindow()
		i := 0
		for b.Loop() {
			w.Add(x[i&4095])
			i++
		}
	})
	b.Run("distance", func(b *testing.B) {
		w := r.NewWindow()
		for _, v := range x {
			w.Add(v)
		}
		for b.Loop() {
			w.Distance()
		}
	})
}
