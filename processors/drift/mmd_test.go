package drift

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"

	"andon/event"
)

// exactMMD is the definition that random features come close to: it compares two samples of vectors, such as a network's embeddings of frames: the maximum mean discrepancy, unbiased, with a Gaussian kernel whose width is the median distance (Gretton, Borgwardt, Rasch, Schölkopf
// and Smola 2012, A Kernel Two-Sample Test, JMLR 13). a and b are row-major [n, d]. It returns the squared discrepancy and the P value of as large a one by chance, from draws
// permutations whose lots seed starts. Time and memory grow with the square of the rows: some hundreds of each are enough.
func exactMMD(a, b []float32, d, draws int, seed uint64) (squared, p float64, err error) {
	if d < 1 || len(a)%d != 0 || len(b)%d != 0 {
		return 0, 0, fmt.Errorf("compare samples: %d and %d numbers are not vectors of %d", len(a), len(b), d)
	}
	n, m := len(a)/d, len(b)/d
	if n < 2 || m < 2 {
		return 0, 0, errors.New("compare samples: each needs two vectors")
	}
	all := n + m
	row := func(i int) []float32 {
		if i < n {
			return a[i*d : (i+1)*d]
		}
		return b[(i-n)*d : (i-n+1)*d]
	}
	// kernel holds squared distances first.
	kernel := make([]float64, all*all)
	distances := make([]float64, 0, all*(all-1)/2)
	for i := range all {
		for j := range i {
			sum := 0.0
			x, y := row(i), row(j)
			for k, v := range x {
				gap := float64(v) - float64(y[k])
				sum += float64(gap * gap)
			}
			if math.IsNaN(sum) {
				return 0, 0, fmt.Errorf("compare samples: vector %d or %d holds a NaN", i, j)
			}
			kernel[i*all+j] = sum
			distances = append(distances, sum)
		}
	}
	slices.Sort(distances)
	width := distances[len(distances)/2]
	if width == 0 {
		width = 1 // all the same, but for less than half
	}
	for i := range all {
		for j := range i {
			k := math.Exp(-kernel[i*all+j] / width)
			kernel[i*all+j], kernel[j*all+i] = k, k
		}
	}
	order := make([]int, all)
	for i := range order {
		order[i] = i
	}
	// Of the first n rows of an order and the rest.
	discrepancy := func() float64 {
		var aa, bb, ab float64
		for i, x := range order {
			k := kernel[x*all : (x+1)*all]
			for _, y := range order[:i] {
				if i < n {
					aa += k[y]
				}
			}
			if i >= n {
				for _, y := range order[:n] {
					ab += k[y]
				}
				for _, y := range order[n:i] {
					bb += k[y]
				}
			}
		}
		return 2*aa/float64(n*(n-1)) + 2*bb/float64(m*(m-1)) - 2*ab/float64(n*m)
	}
	squared = discrepancy()
	rng := rand.New(rand.NewPCG(seed, 0x6d6d64)) //nolint:gosec // lots, not secrets
	as := 1
	for range draws {
		rng.Shuffle(all, func(i, j int) { order[i], order[j] = order[j], order[i] })
		if discrepancy() >= squared {
			as++
		}
	}
	return squared, float64(as) / float64(draws+1), nil
}

// The statistic against NumPy's; P values are even where nothing differs, and small where it does.
func TestExactMMD(t *testing.T) {
	a, b := vectors(pairs(4, 60, 1), 0), vectors(pairs(5, 50, 1), .5)
	squared, p, err := exactMMD(a, b, 4, 200, 1)
	if err != nil || math.Abs(squared-0.02498315073496249) > 1e-9 || p > .05 {
		t.Errorf("%v, p %v, %v", squared, p, err)
	}
	if again, q, _ := exactMMD(a, b, 4, 200, 1); again != squared || q != p {
		t.Error("the same seed gave another answer")
	}
	small := 0
	for seed := range uint64(100) {
		_, p, err := exactMMD(vectors(pairs(100+seed, 30, 1), 0), vectors(pairs(500+seed, 30, 1), 0), 4, 100, seed)
		if err != nil {
			t.Fatal(err)
		}
		if p <= .1 {
			small++
		}
	}
	// Of 100 with p = 0.1: 10, standard deviation 3.
	if small < 2 || small > 20 {
		t.Errorf("%d of 100 comparisons of the same are below 0.1", small)
	}
	first := func(rows []float64) (out []float32) {
		for i := 0; i < len(rows); i += 4 {
			out = append(out, float32(rows[i]), float32(rows[i+1]))
		}
		return out
	}
	if _, p, _ := exactMMD(first(pairs(1, 100, 1)), first(pairs(2, 100, -1)), 2, 100, 1); p > .02 {
		t.Errorf("a pair turned round: p %v", p)
	}
	for _, bad := range [][]float32{{1, 2, 3}, {1, 2, 3, 4}, append(vectors(pairs(1, 3, 1), 0), float32(math.NaN()), 1, 1, 1)} {
		if _, _, err := exactMMD(a, bad, 4, 10, 1); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

// gallery is cameras whose frames' embeddings are of 24 numbers: each camera has a place of its own, about which a few hidden causes move them slowly.
type gallery struct {
	rng    *rand.Rand
	mix    [][]float64 // of the causes
	place  [][]float64
	causes [][]float64
	apart  float64
	// pull changes the causes of a camera before its frame is taken.
	pull func(camera int, causes []float64)
}

const (
	galleryDim    = 24
	galleryCauses = 5
)

func newGallery(seed uint64, cameras int, apart float64) *gallery {
	g := &gallery{rng: rand.New(rand.NewPCG(seed, 77)), apart: apart}
	for range galleryCauses {
		g.mix = append(g.mix, g.normals(galleryDim, 1))
	}
	for range cameras {
		g.install()
	}
	return g
}

func (g *gallery) normals(n int, by float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = by * g.rng.NormFloat64()
	}
	return out
}

func (g *gallery) install() {
	g.place, g.causes = append(g.place, g.normals(galleryDim, g.apart)), append(g.causes, g.normals(galleryCauses, 1))
}

func (g *gallery) shot(c int) []float32 {
	for k := range g.causes[c] {
		g.causes[c][k] = .9*g.causes[c][k] + math.Sqrt(1-.81)*g.rng.NormFloat64()
	}
	now := slices.Clone(g.causes[c])
	if g.pull != nil {
		g.pull(c, now)
	}
	e := make([]float32, galleryDim)
	for i := range e {
		v := g.place[c][i] + .3*g.rng.NormFloat64()
		for k, x := range now {
			v += x * g.mix[k][i]
		}
		e[i] = float32(math.Max(v, 0)) // as after a ReLU
	}
	return e
}

// kernel learns of so many frames of each camera, and a Profile whose only feature is how unlike the others they are.
func (g *gallery) kernel(t testing.TB, frames, piece int) (*Kernel, *Profile) {
	t.Helper()
	r := KernelRows{Dim: galleryDim, Kinds: len(g.place), Piece: piece, Seed: 5}
	for range frames {
		for c := range g.place {
			r.Embeddings, r.Kind = append(r.Embeddings, g.shot(c)...), append(r.Kind, c)
		}
	}
	k, unlike, err := NewKernel(r)
	if err != nil {
		t.Fatal(err)
	}
	rows := Rows{From: event.ReferenceModel, Names: []string{"camera", EmbeddingName}, Roles: []string{event.RoleInput, event.RoleTogether}, Kinds: r.Kinds, Piece: piece, Least: 40, Risk: -1, Alone: true}
	for i, u := range unlike {
		rows.Values, rows.Asset, rows.At = append(rows.Values, float64(r.Kind[i]), u), append(rows.Asset, int32(r.Kind[i])), append(rows.At, int64(i))
	}
	p, err := NewProfile(rows)
	if err != nil {
		t.Fatal(err)
	}
	return k, p
}

// watch lets the cameras run before a partition and the panel, which goes on from its states after each of the stops.
func (g *gallery) watch(t testing.TB, k *Kernel, p *Profile, piece, ticks int, stops ...int) (rounds []event.Round, alarms []event.Alarm) {
	t.Helper()
	c := Default()
	c.Windows = piece
	var groups []Group
	for i := range g.place {
		name := fmt.Sprint("cam-", i)
		groups = append(groups, Group{Name: name, Match: regexp.MustCompile("^" + name + "$"), Stranger: i >= p.Kinds})
	}
	m, s, panel := NewMonitor(p, piece, groups), NewSwarms(k), NewPanel(func(string) (Config, bool) { return c, true })
	for at := range ticks {
		for i := range g.place {
			kind := min(i, p.Kinds)
			row := []float64{float64(kind), s.Unlike(kind, g.shot(i))}
			name := fmt.Sprint("cam-", i)
			s.Add(m, name, kind)
			all := m.Add(name, int64(at)*1e9, event.Position{Topic: "t", Offset: int64(at)}, row)
			if len(all) > 0 {
				s.Tell(all, EmbeddingName)
			}
			for j := range all {
				all[j].Pipeline, all[j].Version = "p", "v1"
				r, a := panel.Add(&all[j])
				rounds, alarms = append(rounds, r...), append(alarms, a...)
			}
		}
		if slices.Contains(stops, at) {
			state := s.AppendState(nil)
			s = NewSwarms(k)
			if err := s.Restore(state); err != nil {
				t.Fatal(err)
			}
			if again := s.AppendState(nil); !slices.Equal(again, state) {
				t.Fatal("a state that was restored is another")
			}
			for n := range state[:min(len(state), 700)] {
				if err := NewSwarms(k).Restore(state[:n]); err == nil && n != 2 {
					t.Fatalf("%d bytes of a state were taken", n)
				}
			}
		}
	}
	return rounds, alarms
}

// The distance of the features' means is the discrepancy of the definition, to what so many features can know.
func TestKernelIsMMD(t *testing.T) {
	for seed := range uint64(20) {
		g := newGallery(seed, 1, 0)
		var a, b []float32
		for range 200 {
			a = append(a, g.shot(0)...)
		}
		g.pull = func(_ int, causes []float64) { causes[0] += float64(seed) / 8 }
		for range 200 {
			b = append(b, g.shot(0)...)
		}
		want, _, err := exactMMD(a, b, galleryDim, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		k := &Kernel{Dim: galleryDim, Width: medianDistance(append(slices.Clone(a), b...), galleryDim), Seed: seed}
		mean := func(v []float32) ([]float64, float64) {
			sum := make([]float64, kernelFeatures)
			for i := 0; i < len(v); i += galleryDim {
				f := k.Features(nil, v[i:i+galleryDim])
				if d := math.Abs(dotOf(f, f) - 1); d > 1e-9 {
					t.Fatalf("features of length %v", dotOf(f, f))
				}
				plusTo(sum, f, galleryDim/float64(len(v)))
			}
			return sum, dotOf(sum, sum)
		}
		x, xx := mean(a)
		y, yy := mean(b)
		// Without the rows' kernels with themselves, which are 1.
		got := (200*xx-1)/199 + (200*yy-1)/199 - 2*dotOf(x, y)
		if math.Abs(got-want) > .02+.35*want {
			t.Errorf("seed %d: %.4f, by the definition %.4f", seed, got, want)
		}
	}
}

// On cameras where nothing changes, and frames resemble those before them, there are next to no alarms, also of cameras that come later; permuted frames would be sure of a change in most rounds.
func TestMMDKeepsQuiet(t *testing.T) {
	frames, raised, rounds, low := 0, 0, 0, 0
	for seed := range uint64(12) {
		cameras := []int{1, 2, 4, 9}[seed%4]
		g := newGallery(seed, cameras, []float64{0, .5, 2}[seed/4])
		k, p := g.kernel(t, 1200/cameras, 400)
		g.install()
		r, alarms := g.watch(t, k, p, 400, 16_000/cameras, 3)
		frames += 16_000
		for _, a := range alarms {
			if !a.Over {
				raised++
				t.Logf("seed %d: %s", seed, a.Detail)
			}
		}
		for i := range r {
			for _, f := range r[i].Findings {
				if rounds++; f.P < .05 {
					low++
				}
			}
		}
	}
	rate := 1000 * float64(raised) / float64(frames)
	t.Logf("%d alarms in %d frames, %.4f in 1,000; P below 0.05 in %d of %d findings", raised, frames, rate, low, rounds)
	if rate >= .05 {
		t.Errorf("%.4f false alarms in 1,000 frames", rate)
	}
	g := newGallery(1, 1, 0)
	sure := 0
	for range 20 {
		var a, b []float32
		for range 60 {
			a = append(a, g.shot(0)...)
		}
		for range 60 {
			b = append(b, g.shot(0)...)
		}
		if _, q, _ := exactMMD(a, b, galleryDim, 100, 1); q <= .01 {
			sure++
		}
	}
	if sure < 10 {
		t.Errorf("too easy: a test of permuted frames is sure of a change in %d of 20 pairs only", sure)
	}
}

// What changes of one camera's frames is found by its embedding, and the camera is named; so is a later camera that shows what none of many does.
func TestMMDFinds(t *testing.T) {
	for name, pull := range map[string]func(c int, causes []float64){
		"moved": func(c int, causes []float64) {
			if c == 1 {
				causes[2] += 2
			}
		},
		"two in turns": func(c int, causes []float64) { // the mean is as it was
			if c == 1 {
				causes[0] *= 4
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGallery(4, 3, 1)
			k, p := g.kernel(t, 800, 900)
			if _, alarms := g.watch(t, k, p, 900, 1500); len(alarms) > 0 {
				t.Fatalf("before anything changed: %s", alarms[0].Detail)
			}
			g.pull = pull
			_, alarms := g.watch(t, k, p, 900, 1500, 5, 100)
			if len(alarms) == 0 {
				t.Fatal("no alarm")
			}
			c := alarms[0].Causes[0]
			if c.Feature != EmbeddingName || c.Group != "cam-1" && c.Group != Fleet {
				t.Errorf("%+v", alarms[0])
			}
			for _, a := range alarms {
				for _, c := range a.Causes {
					if c.Group == "cam-0" || c.Group == "cam-2" {
						t.Errorf("%s is blamed: %s", c.Group, a.Detail)
					}
				}
			}
		})
	}
	g := newGallery(4, 8, .3)
	k, p := g.kernel(t, 300, 400)
	g.install()
	for i := range g.place[8] {
		g.place[8][i] += 4
	}
	_, alarms := g.watch(t, k, p, 400, 400)
	if len(alarms) == 0 || alarms[0].Causes[0].Group != "cam-8" || alarms[0].Causes[0].Measure != MeasureMMD {
		t.Errorf("a later camera of another world: %+v", alarms)
	}
}

// A kernel is refused what it cannot learn of.
// A camera that shows two pictures in turns, one far more often, has a kernel whose width is their distance; of one picture, but for the last bits, there is none.
func TestKernelOfStills(t *testing.T) {
	rows := KernelRows{Dim: 4, Kinds: 1, Piece: 60, Seed: 1}
	for i := range 400 {
		e := []float32{1, 2, 3, 4}
		if i%5 == 0 {
			e = []float32{1, 2, 3, 6}
		}
		e[0] += 1e-7 * float32(i%3)
		rows.Embeddings, rows.Kind = append(rows.Embeddings, e...), append(rows.Kind, 0)
	}
	k, _, err := NewKernel(rows)
	if err != nil || math.Abs(k.Width-4) > 1e-6 {
		t.Fatalf("%+v, %v; want the width 4", k, err)
	}
	for i := 3; i < len(rows.Embeddings); i += 4 {
		rows.Embeddings[i] = 4
	}
	if _, _, err := NewKernel(rows); !errors.Is(err, ErrSame) {
		t.Errorf("one still picture: %v", err)
	}
}

func TestKernelRefuses(t *testing.T) {
	g := newGallery(1, 1, 0)
	var e []float32
	for range 100 {
		e = append(e, g.shot(0)...)
	}
	bad := slices.Clone(e)
	bad[7] = float32(math.NaN())
	for name, r := range map[string]KernelRows{
		"few":     {Embeddings: e[:10*galleryDim], Dim: galleryDim, Kinds: 1, Kind: make([]int, 10)},
		"torn":    {Embeddings: e[1:], Dim: galleryDim, Kinds: 1, Kind: make([]int, 100)},
		"NaN":     {Embeddings: bad, Dim: galleryDim, Kinds: 1, Kind: make([]int, 100)},
		"equal":   {Embeddings: make([]float32, 100), Dim: 1, Kinds: 1, Kind: make([]int, 100)},
		"no kind": {Embeddings: e, Dim: galleryDim, Kind: make([]int, 100)},
	} {
		if _, _, err := NewKernel(r); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// What is read of a file says the same as what was written, and a file that was damaged is refused or harmless.
func TestPicturesFile(t *testing.T) {
	g := newGallery(3, 3, 1)
	k, p := g.kernel(t, 200, 400)
	want := &Pictures{Profile: p, Cameras: []string{"a", "b", "c"}, Judges: true, Sure: Isotonic{Score: []float64{.5, .9}, Probability: []float64{.4, 1}}, Kernel: k}
	data, err := want.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 20_000 {
		t.Errorf("%d bytes", len(data))
	}
	got, err := ReadPictures(data)
	if err != nil {
		t.Fatal(err)
	}
	e := g.shot(0)
	near(t, "unlike", got.Kernel.Unlike(1, got.Kernel.Features(nil, e)), k.Unlike(1, k.Features(nil, e)), 1e-6)
	if again, err := got.AppendBinary(nil); err != nil || !slices.Equal(again, data) {
		t.Errorf("written again it is another: %v", err)
	}
	if _, err := ReadProfile(data); err == nil {
		t.Error("it was taken for a reference of windows")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		bad := slices.Clone(data)
		bad[rng.IntN(len(bad))] ^= byte(1 + rng.IntN(255))
		if q, err := ReadPictures(bad); err == nil {
			m := NewMonitor(q.Profile, 50, nil)
			m.Add("a", 0, event.Position{}, make([]float64, len(q.Inputs)))
			if q.Kernel != nil && q.Kernel.Dim == galleryDim {
				NewSwarms(q.Kernel).Unlike(q.Kinds, e)
			}
		}
	}
	for what, spoil := range map[string]func(*Pictures){"cameras": func(p *Pictures) { p.Cameras = p.Cameras[1:] }, "embeddings": func(p *Pictures) { p.Kernel = &Kernel{Dim: 1, Width: 1, Kinds: 3, Freedom: 1} },
		"sure": func(p *Pictures) { p.Sure.Score = p.Sure.Score[1:] }} {
		q := *want
		spoil(&q)
		data, err := q.AppendBinary(nil)
		if err == nil {
			_, err = ReadPictures(data)
		}
		if err == nil {
			t.Errorf("%s that do not hold together were taken", what)
		}
	}
}
