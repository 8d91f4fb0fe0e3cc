package trainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"andon/event"
	"andon/model"
	"andon/model/ort/orttest"
	"andon/trainer/evaluate"
	"andon/trainer/fit"
)

// film is a store of frames in memory, too.
type film struct {
	warehouse
	frames []Frame
}

func (f *film) LabelledFrames(_ context.Context, pipeline string, each func(Frame) error) (string, error) {
	for _, x := range f.frames {
		if err := each(x); err != nil {
			return "", err
		}
	}
	return "frames of " + pipeline, nil
}

func (f *film) CountLabelledFrames(context.Context, string) (int, error) { return len(f.frames), nil }

// shoots n frames of 64x48, ten a second from one camera: noise, and for seconds at a time a red thing, a green one, both or none.
func shootFilm(t testing.TB, camera string, n int, from int64, seed uint64) []Frame {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 3))
	var out []Frame
	for i := range n {
		m := image.NewRGBA(image.Rect(0, 0, 64, 48))
		for y := range 48 {
			for x := range 64 {
				v := byte(100 + rng.IntN(40))
				m.Set(x, y, color.RGBA{v, v, v, 255})
			}
		}
		f := Frame{Position: event.Position{Topic: "frames", Partition: 2, Offset: int64(1000 + i)}, Camera: camera, Captured: from + int64(i)*1e8}
		for class, kind := range []string{"red", "green"} {
			if (i/15+class)%2 == 0 && i/15%5 != 4 {
				w, h := 9+rng.IntN(6), 9+rng.IntN(6)
				x, y := rng.IntN(60-w), rng.IntN(44-h)
				for r := y; r < y+h; r++ {
					for c := x; c < x+w; c++ {
						m.Set(c, r, color.RGBA{byte(240 * (1 - class)), byte(240 * class), 20, 255})
					}
				}
				f.Labels = append(f.Labels, event.Label{Kind: kind, Box: event.Box{X0: float32(x) / 64, Y0: float32(y) / 48, X1: float32(x+w) / 64, Y1: float32(y+h) / 48}})
			}
		}
		if len(f.Labels) == 0 {
			f.Labels = []event.Label{{Kind: event.KindClear}}
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 90}); err != nil {
			t.Fatal(err)
		}
		f.JPEG = b.Bytes()
		out = append(out, f)
	}
	return out
}

// eye decodes with Go's image/jpeg, nearest pixels, and reads the two forms that are trained here.
func eye() Sight {
	return Sight{
		Planes: func(dst, data []byte, at Crop, width, height int) ([]byte, error) {
			m, err := jpeg.Decode(bytes.NewReader(data))
			if err != nil {
				return dst, err
			}
			b := m.Bounds()
			for c := range 3 {
				for y := range height {
					for x := range width {
						across, down := at.X0+(at.X1-at.X0)*float64(x)/float64(width), at.Y0+(at.Y1-at.Y0)*float64(y)/float64(height)
						r, g, bl, _ := m.At(int(across*float64(b.Dx())), int(down*float64(b.Dy()))).RGBA()
						dst = append(dst, byte([3]uint32{r, g, bl}[c]>>8))
					}
				}
			}
			return dst, nil
		},
		Read: func(p *model.Picture, outs []model.Tensor, i int, dst []event.Box) ([]event.Box, string, float32, error) {
			v := outs[0].Data
			if p.Form == model.FormProbabilities {
				best := slices.Index(v, slices.Max(v))
				return dst, p.Labels[best], v[best], nil
			}
			n := outs[0].Shape[2]
			w, h := float32(p.Width), float32(p.Height)
			for k, label := range p.Labels {
				for at := range n {
					if s := v[(4+k)*n+at]; s >= p.Threshold {
						x, y, bw, bh := v[at]/w, v[n+at]/h, v[2*n+at]/w, v[3*n+at]/h
						dst = append(dst, event.Box{Label: label, Score: s, X0: x - bw/2, Y0: y - bh/2, X1: x + bw/2, Y1: y + bh/2})
					}
				}
			}
			return dst, "", 0, nil
		},
	}
}

func pictureLine(task model.Task, labels ...string) *Pipeline {
	s := DefaultSpec(task)
	p := s.Picture
	p.Width, p.Height, p.Labels, p.Stages, p.Augment = 64, 48, labels, []int{8, 16}, AugmentSpec{Mirror: true, Brightness: 0.05}
	s.Shards = 1
	return &Pipeline{Name: "dock", Spec: s, Sight: eye()}
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano()

// A detector is made of labelled frames: it finds what it has not seen, and says where it came from.
func TestLearnDetector(t *testing.T) {
	orttest.Open(t)
	src := &film{frames: shootFilm(t, "dock-1", 280, noon, 1)}
	p := pictureLine(model.Detection, "red", "green")
	p.Spec.Epochs = 10
	if err := p.Spec.Validate(); err != nil {
		t.Fatal(err)
	}
	var ready Data
	epochs := 0
	lesson, err := Learn(t.Context(), src, p, 64<<20, "dock-1", Watcher{Ready: func(d Data) error { ready = d; return nil }, Epoch: func(fit.Progress) { epochs++ }})
	if err != nil {
		t.Fatal(err)
	}
	m := lesson.Model
	t.Log(lesson.Summary, m.Metrics)
	if m.Task != model.Detection || m.Picture == nil || m.Picture.Form != model.FormYOLOv8 || m.Picture.Width != 64 || m.Picture.Threshold < 0.1 || m.Picture.Threshold > 0.9 || m.Picture.Overlap != 0.45 {
		t.Errorf("%+v", m.Picture)
	}
	if m.Metrics["validation_map50"] < 0.85 || m.Metrics["holdout_map50"] < 0.85 || m.Metrics["holdout_recall"] < 0.85 || m.Metrics["holdout_frames"] < 10 {
		t.Errorf("metrics %v", m.Metrics)
	}
	l := m.Lineage
	if l.Run != "dock-1" || l.Query != "frames of dock" || len(l.Digest) != 64 || l.Seed != 1 || l.Assets != 1 || l.Windows != int(m.Metrics["training_frames"]+m.Metrics["validation_frames"]) ||
		!slices.Equal(l.Offsets, []event.Span{{Topic: "frames", Partition: 2, First: 1000, Next: 1280}}) {
		t.Errorf("lineage %+v", l)
	}
	if ready.Windows != int(m.Metrics["training_frames"]) || ready.Assets != 1 || epochs != 10 || !strings.Contains(lesson.Summary, "that it did not learn from (holdout") {
		t.Errorf("%+v, %d epochs, %s", ready, epochs, lesson.Summary)
	}
	// What is kept judges models side by side.
	data, err := Examination(t.Context(), src, p, 64<<20)
	if err != nil || len(data.Pictures) != int(m.Metrics["holdout_frames"]) {
		t.Fatalf("%d pictures, %v", len(data.Pictures), err)
	}
	c := evaluate.Default()
	c.Timed = 10
	other := *m
	other.Version = "another"
	table, err := evaluate.Run(t.Context(), c, []*model.Model{m, &other}, data)
	if err != nil {
		t.Fatal(err)
	}
	if overall, _ := table.Slices(m.Version, other.Version); len(overall.Blocks) == 0 {
		t.Errorf("nothing was judged: %+v", table)
	}
}

// A classifier is made of frames as a whole; a class that means nothing to see is told as clear.
func TestLearnClassifier(t *testing.T) {
	orttest.Open(t)
	src := &film{frames: shootFilm(t, "dock-1", 160, noon, 2)}
	for i := range src.frames {
		f := &src.frames[i]
		if f.Labels[0].Kind != event.KindClear {
			f.Labels = []event.Label{{Kind: "something"}}
		}
	}
	p := pictureLine(model.Classification, "empty", "something")
	p.Spec.Picture.Normal, p.Spec.Picture.Stages, p.Spec.Epochs = "empty", []int{8, 8, 8}, 8
	if err := p.Spec.Validate(); err != nil {
		t.Fatal(err)
	}
	lesson, err := Learn(t.Context(), src, p, 64<<20, "dock-1", Watcher{})
	if err != nil {
		t.Fatal(err)
	}
	m := lesson.Model
	t.Log(lesson.Summary, m.Metrics)
	if m.Task != model.Classification || m.Picture.Form != model.FormProbabilities || m.Picture.Normal != "empty" || m.Picture.Threshold != 0.5 || m.Metrics["validation_accuracy"] < 0.9 || m.Metrics["validation_recall_empty"] == 0 {
		t.Errorf("%+v, %v", m.Picture, m.Metrics)
	}
	if !p.fits(m) {
		t.Error("the model does not fit the pipeline that made it")
	}
	if len(m.Reference) > 0 {
		t.Error("a reference that nobody made")
	}
	// Its reference is made of all of its frames, and told which it has learned from.
	var ref *diary
	p.ReferPictures = func(meta *model.Meta) PictureReference {
		ref = &diary{meta: *meta, said: "what its frames were like"}
		return ref
	}
	lesson, err = Learn(t.Context(), src, p, 64<<20, "dock-1", Watcher{})
	if err != nil {
		t.Fatal(err)
	}
	if string(lesson.Model.Reference) != ref.said || ref.meta.Picture.Width != 64 || len(ref.frames) != 160 {
		t.Errorf("reference %q of %d frames of %+v", lesson.Model.Reference, len(ref.frames), ref.meta.Picture)
	}
	judged := 0
	for i, f := range ref.frames {
		if i > 0 && f.Captured <= ref.frames[i-1].Captured {
			t.Fatalf("frame %d comes after a later one", i)
		}
		q := f.Pictures[0]
		if len(f.Pictures) != 1 || len(q.Planes) != 3*64*48 || len(q.Outs) != 2 || q.Outs[1].Name != model.Embedding || !slices.Equal(q.Outs[1].Shape, []int{1, 8}) || q.Class != "empty" && q.Class != "something" {
			t.Fatalf("frame %d: %d planes, class %q, outputs %+v", i, len(q.Planes), q.Class, q.Outs)
		}
		if !f.Learned {
			judged++
		}
	}
	if want := int(m.Metrics["validation_frames"] + m.Metrics["holdout_frames"]); judged != want {
		t.Errorf("%d frames were not learned from, want %d", judged, want)
	}
	ref.said = ""
	p.ReferPictures = func(*model.Meta) PictureReference { return &diary{fails: true} }
	if _, err := Learn(t.Context(), src, p, 64<<20, "dock-1", Watcher{}); err == nil || !strings.Contains(err.Error(), "make the model's drift reference: the ink is dry") {
		t.Errorf("a reference that fails: %v", err)
	}
	p.ReferPictures = nil
	p.Spec.Picture.Labels = []string{"empty", "anything"}
	if p.fits(m) {
		t.Error("a model of other classes fits")
	}
	if _, err := Learn(t.Context(), src, p, 64<<20, "dock-2", Watcher{}); err == nil || !strings.Contains(err.Error(), "no frame to learn from shows anything") || !strings.Contains(err.Error(), "more no label is one of empty, anything") {
		t.Errorf("a class that nobody labelled: %v", err)
	}
	if _, err := Learn(t.Context(), &src.warehouse, p, 64<<20, "dock-2", Watcher{}); !errors.Is(err, errNoFrames) {
		t.Errorf("a source without frames: %v", err)
	}
}

// diary is a reference that keeps what it is told.
type diary struct {
	meta   model.Meta
	frames []SeenFrame
	said   string
	fails  bool
}

func (d *diary) Wants(string, int64, bool) bool { return true }

func (d *diary) Add(f *SeenFrame) error {
	if d.fails {
		return errors.New("the ink is dry")
	}
	d.frames = append(d.frames, *f)
	return nil
}

func (d *diary) File() ([]byte, error) { return []byte(d.said), nil }

func TestExamples(t *testing.T) {
	d, c := pictureLine(model.Detection, "red", "green").Spec.Picture, pictureLine(model.Classification, "ok", "red").Spec.Picture
	c.Normal = "ok"
	box := event.Box{X0: 0.25, Y0: 0.5, X1: 0.5, Y1: 1}
	for _, x := range []struct {
		task   model.Task
		labels []event.Label
		want   string
	}{
		{model.Detection, []event.Label{{Kind: "red", Box: box}, {Kind: "blue", Box: box}}, "-1 [{0 16 24 32 48}] 1 false"},
		{model.Detection, []event.Label{{Kind: "clear"}}, "-1 [] 1 false"},
		{model.Detection, []event.Label{{Kind: "red"}}, "none"},
		{model.Detection, []event.Label{{Kind: "green", Box: box, Weight: 3, Golden: true}, {Kind: "red", Box: box}}, "-1 [{1 16 24 32 48} {0 16 24 32 48}] 3 true"},
		{model.Detection, []event.Label{{Kind: "red", Box: box}, {Kind: event.KindQuarantine}}, "none"},
		{model.Classification, []event.Label{{Kind: "clear"}}, "0 [] 1 false"},
		{model.Classification, []event.Label{{Kind: "red", Told: 5}, {Kind: "clear", Told: 4}}, "1 [] 1 false"},
		{model.Classification, []event.Label{{Kind: "red", Told: 5}, {Kind: "clear", Told: 6}}, "0 [] 1 false"},
		{model.Classification, []event.Label{{Kind: event.KindMissed}}, "none"},
		{model.Classification, nil, "none"},
	} {
		p := d
		if x.task == model.Classification {
			p = c
		}
		got := "none"
		if e, ok := p.example(x.task, &Frame{Labels: x.labels}, whole, true); ok {
			got = fmt.Sprint(e.class, e.marks, e.weight, e.golden)
		}
		if got != x.want {
			t.Errorf("%s, %+v: %s, want %s", x.task, x.labels, got, x.want)
		}
	}
	c.Normal = ""
	if _, ok := c.example(model.Classification, &Frame{Labels: []event.Label{{Kind: "clear"}}}, whole, true); ok {
		t.Error("clear was an example of a classification that has no such class")
	}
}

// Blocks of time stay whole, what is kept stays kept when more comes, and near copies are on one side.
func TestPart(t *testing.T) {
	s := DefaultSpec(model.Classification)
	s.Picture.Labels = []string{"a", "b"}
	make := func(seconds int) *gallery {
		g := &gallery{}
		for i := range seconds * 20 {
			class := 0
			if i/20%11 == 3 {
				class = 1
			}
			g.all = append(g.all, example{camera: "c", captured: noon + int64(i)*5e7, class: class})
		}
		return g
	}
	side := func(g *gallery, d division) map[int64]int {
		of := map[int64]int{}
		for n, rows := range [][]int{d.train, d.val, d.held} {
			for _, i := range rows {
				block := g.all[i].captured / 1e9
				if was, ok := of[block]; ok && was != n {
					t.Errorf("block %d is on two sides", block)
				}
				of[block] = n
			}
		}
		return of
	}
	small := make(40)
	d := small.part(&s)
	of := side(small, d)
	count := [3]int{}
	for _, n := range of {
		count[n]++
	}
	if count[0] < 25 || count[1] < 4 || count[2] < 1 || count[2] > 14 || len(d.train)+len(d.val)+len(d.held) >= 800 {
		t.Errorf("%v blocks, of %d frames %d, %d, %d", count, len(small.all), len(d.train), len(d.val), len(d.held))
	}
	for _, i := range d.train { // frames are 50 ms apart, the gap is 100
		for _, j := range slices.Concat(d.val, d.held) {
			if abs(small.all[i].captured-small.all[j].captured) < 1e8 {
				t.Fatalf("frames %d and %d are near copies on two sides", i, j)
			}
		}
	}
	for _, rows := range [][]int{d.train, d.val} {
		if c := small.classes(rows); !c[0] || !c[1] {
			t.Errorf("classes %v", c)
		}
	}
	large := make(200)
	e := large.part(&s)
	grown := side(large, e)
	for block, n := range of {
		if (n == 2) != (grown[block] == 2) {
			t.Errorf("block %d was kept in one and not in the other", block)
		}
	}
	if share := float64(len(e.held)) / 4000; share < 0.08 || share > 0.25 {
		t.Errorf("%.2f are kept", share)
	}
	// Too few blocks to keep any; golden frames are kept all the same.
	few := make(6)
	few.all[7].golden = true
	if d := few.part(&s); !slices.Equal(d.held, []int{7}) || len(d.val) == 0 || len(d.train) == 0 {
		t.Errorf("of six blocks %d train, %d validate, %v are kept", len(d.train), len(d.val), d.held)
	}
}

func TestAveragePrecision(t *testing.T) {
	shots := func(hits string) (all []shot) {
		for i, c := range hits {
			all = append(all, shot{score: 1 - float32(i)*0.1, hit: c == '+'})
		}
		return all
	}
	for _, c := range []struct {
		hits  string
		there int
		want  float64
	}{{"++", 2, 1}, {"", 3, 0}, {"--", 2, 0}, {"+-+", 2, 0.5 + 0.5*2/3}, {"-+", 1, 0.5}, {"+--+", 4, 0.25 + 0.25*0.5}, {"-++", 2, 2.0 / 3}} {
		if got := averagePrecision(shots(c.hits), c.there); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s of %d: %v, want %v", c.hits, c.there, got, c.want)
		}
	}
	if at, f1 := bestThreshold([][]shot{shots("++-+--"), nil}, []int{3, 0}); math.Abs(float64(at)-0.65) > 1e-6 || math.Abs(f1-6.0/7) > 1e-9 {
		t.Errorf("threshold %v, F1 %v", at, f1)
	}
}

// Boxes are matched surest first, each thing once, by class and by at least half of the union.
func TestShoot(t *testing.T) {
	p := pictureLine(model.Detection, "red", "green").Spec.Picture
	e, _ := p.example(model.Detection, &Frame{Labels: []event.Label{{Kind: "red", Box: event.Box{X0: 0.1, Y0: 0.1, X1: 0.3, Y1: 0.3}}, {Kind: "green", Box: event.Box{X0: 0.5, Y0: 0.5, X1: 0.9, Y1: 0.9}}}}, whole, true)
	g := &gallery{all: []example{e}}
	shots, there := g.shoot(p, []int{0}, [][]event.Box{{
		{Label: "red", Score: 0.6, X0: 0.1, Y0: 0.1, X1: 0.3, Y1: 0.3},
		{Label: "red", Score: 0.9, X0: 0.12, Y0: 0.1, X1: 0.32, Y1: 0.3},
		{Label: "red", Score: 0.5, X0: 0.5, Y0: 0.5, X1: 0.9, Y1: 0.9},
		{Label: "green", Score: 0.7, X0: 0.5, Y0: 0.5, X1: 0.9, Y1: 0.65},
	}})
	if got := fmt.Sprint(shots, there); got != "[[{0.9 true} {0.6 false} {0.5 false}] [{0.7 false}]] [1 1]" {
		t.Error(got)
	}
}

// What somebody marked as missed is learned from, golden or not, until its class has others to learn from; near copies of it judge nothing.
func TestPartMissed(t *testing.T) {
	s := DefaultSpec(model.Classification)
	s.Picture.Labels = []string{"a", "b"}
	build := func(missed ...int) *gallery {
		g := &gallery{}
		for i := range 60 * 20 {
			g.all = append(g.all, example{camera: "c", captured: noon + int64(i)*5e7})
		}
		for _, second := range missed {
			e := &g.all[second*20+10]
			e.class, e.golden, e.missed, e.weight = 1, true, true, 5
		}
		return g
	}
	blocks := func(g *gallery, rows []int, class int) (n int) {
		seen := map[int64]bool{}
		for _, i := range rows {
			if e := &g.all[i]; e.class == class && !seen[e.captured/1e9] {
				seen[e.captured/1e9] = true
				n++
			}
		}
		return n
	}
	for second := range 60 { // whatever its block, one that is marked is learned from
		g := build(second)
		d := g.part(&s)
		if blocks(g, d.train, 1) != 1 || blocks(g, slices.Concat(d.val, d.held), 1) != 0 {
			t.Fatalf("marked in second %d: %d train, %d validate, %d are held", second, blocks(g, d.train, 1), blocks(g, d.val, 1), blocks(g, d.held, 1))
		}
		at := second*20 + 10
		for _, i := range slices.Concat(d.val, d.held) {
			if abs(g.all[i].captured-g.all[at].captured) < 1e8 {
				t.Fatalf("marked in second %d: a near copy, %d, judges it", second, i)
			}
		}
	}
	var all []int
	for second := range 60 {
		all = append(all, second)
	}
	g := build(all...)
	d := g.part(&s)
	if train, val, held := blocks(g, d.train, 1), blocks(g, d.val, 1), blocks(g, d.held, 1); train < 30 || val < 5 || held < 3 {
		t.Errorf("of 60 that were marked %d train, %d validate, %d are held", train, val, held)
	}
}

// Weights count within a class: one whose frames all weigh much weighs no more than the others.
func TestLevel(t *testing.T) {
	weights := []float32{1, 1, 40, 40, 5, 1}
	level([]int{0, 0, 1, 1, 2, 2}, weights)
	for i, want := range []float32{1, 1, 1, 1, 5.0 / 3, 1.0 / 3} {
		if math.Abs(float64(weights[i]-want)) > 1e-6 {
			t.Errorf("%v", weights)
			break
		}
	}
}

// Of a class that is new, and whose blocks would all be learned from by their names, one is kept to judge by, once there are enough.
func TestPartJudgesWhatIsNew(t *testing.T) {
	s := DefaultSpec(model.Classification)
	s.Picture.Labels, s.Holdout = []string{"a", "b"}, 0
	for blocks, want := range map[int]int{1: 0, missedSpare: 0, missedSpare + 1: 1, 12: 1} {
		g := &gallery{}
		for i := range 60 {
			e := example{camera: "c", captured: noon + int64(i)*1e9}
			if i < blocks {
				e.class, e.golden, e.missed = 1, true, true
			}
			g.all = append(g.all, e)
		}
		if d := g.part(&s); len(d.held) != want || len(d.train)+len(d.val)+want != 60 {
			t.Errorf("of %d blocks %d are held; %d train, %d validate", blocks, len(d.held), len(d.train), len(d.val))
		}
	}
}

// A crop has what lies in it: boxes cut to it, a class told by a box in it, nothing to see in all.
func TestCrops(t *testing.T) {
	d, c := pictureLine(model.Detection, "red", "green").Spec.Picture, pictureLine(model.Classification, "ok", "red").Spec.Picture
	c.Normal = "ok"
	left, right := Crop{"left", 0, 0, 0.5, 1}, Crop{"right", 0.5, 0, 1, 1}
	box := event.Box{X0: 0.4, Y0: 0.5, X1: 0.55, Y1: 1} // most of it is in the left half
	say := func(task model.Task, at Crop, alone bool, labels ...event.Label) string {
		p := d
		if task == model.Classification {
			p = c
		}
		e, ok := p.example(task, &Frame{Labels: labels}, at, alone)
		if !ok {
			return "none"
		}
		var marks []string
		for _, m := range e.marks {
			marks = append(marks, fmt.Sprintf("%d %.1f %.1f %.1f %.1f", m.Class, m.X0, m.Y0, m.X1, m.Y1))
		}
		return fmt.Sprint(e.class, marks)
	}
	check := func(name, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	red := event.Label{Kind: "red", Box: box}
	check("a box in its crop", say(model.Detection, left, false, red), "-1 [0 51.2 24.0 64.0 48.0]")
	check("a box beside the crop", say(model.Detection, right, false, red), "-1 []")
	check("a class with a box in its crop", say(model.Classification, left, false, red), "1 []")
	check("a class with a box beside the crop", say(model.Classification, right, false, red), "none")
	check("a class of one of two crops", say(model.Classification, left, false, event.Label{Kind: "red"}), "none")
	check("a class of the only crop", say(model.Classification, left, true, event.Label{Kind: "red"}), "1 []")
	check("a class with a box beside the only crop", say(model.Classification, right, true, red), "none")
	check("nothing to see in two crops", say(model.Classification, left, false, event.Label{Kind: "clear"}), "0 []")

	p := pictureLine(model.Classification, "ok", "red")
	p.Spec.Picture.Normal = "ok"
	p.Sight.Crops = func(camera string) []Crop {
		if camera == "dock-1" {
			return []Crop{left, right}
		}
		return nil
	}
	frames := shootFilm(t, "dock-1", 40, noon, 1)
	for i := range frames {
		frames[i].Labels = []event.Label{{Kind: "clear"}}
	}
	frames[7].Labels = []event.Label{red}
	other := shootFilm(t, "dock-2", 5, noon, 1)
	for i := range other {
		other[i].Labels = []event.Label{{Kind: "red"}}
	}
	src := &film{frames: slices.Concat(frames, other)}
	g, err := collectFrames(t.Context(), src, p, 64<<20, false)
	if err != nil || len(g.all) != 39*2+1+5 || g.all[14].class != 1 || g.all[14].crop != left || slices.Equal(g.all[0].pixels, g.all[1].pixels) {
		t.Errorf("%d examples, %v", len(g.all), err)
	}
	if half, err := collectFrames(t.Context(), src, p, 2*50*3*64*48, false); err != nil || half.stride != 2 || len(half.all) > 50 || half.all[0].crop != left || half.all[1].crop != right ||
		half.all[2].captured != frames[2].Captured {
		t.Errorf("%d examples, %v", len(half.all), err)
	}
	p.Spec.Holdout = 0.4
	data, err := Examination(t.Context(), src, p, 64<<20)
	if err == nil || !errors.Is(err, ErrNothingKept) { // four seconds are too few to keep some
		t.Errorf("%d pictures, %v", len(data.Pictures), err)
	}
	src.frames[30].Labels[0].Golden = true
	if data, err = Examination(t.Context(), src, p, 64<<20); err != nil || len(data.Pictures) != 2 || data.Pictures[1].Zone != "right" || data.Pictures[0].Class != "ok" {
		t.Fatalf("%+v, %v", data.Pictures, err)
	}
	a, err := data.Pictures[0].Load(20, 30)
	b, _ := data.Pictures[1].Load(20, 30)
	if err != nil || len(a) != 3*20*30 || slices.Equal(a, b) {
		t.Errorf("%d and %d values, %v", len(a), len(b), err)
	}
}

// A challenger may begin with the champion's parameters, where it is of the same network and tells the same; else it begins from scratch and says why.
func TestWarmPictures(t *testing.T) {
	orttest.Open(t)
	src := &film{frames: shootFilm(t, "dock-1", 160, noon, 4)}
	of := func(task model.Task, epochs int) *Pipeline {
		p := pictureLine(task, "red", "green")
		if task == model.Classification {
			p = pictureLine(task, "empty", "something")
			p.Spec.Picture.Normal, p.Spec.Picture.Stages = "empty", []int{8, 8, 8}
		}
		p.Spec.Epochs = epochs
		return p
	}
	for _, task := range []model.Task{model.Classification, model.Detection} {
		if task == model.Classification {
			src = &film{frames: slices.Clone(src.frames)}
			for i := range src.frames {
				if f := &src.frames[i]; f.Labels[0].Kind != event.KindClear {
					f.Labels = []event.Label{{Kind: "something"}}
				}
			}
		} else {
			src = &film{frames: shootFilm(t, "dock-1", 160, noon, 4)}
		}
		first, err := Learn(t.Context(), src, of(task, 6), 64<<20, "first", Watcher{})
		if err != nil {
			t.Fatal(err)
		}
		p := of(task, 1)
		p.Spec.LearningRate, p.Spec.Average = 1e-6, 0
		study := func(champion *model.Model) *Lesson {
			t.Helper()
			all, err := studies(t.Context(), src, p, 64<<20, "again", order{again: true}, champion, Watcher{})
			if err != nil {
				t.Fatal(err)
			}
			return all[0]
		}
		cold := study(first.Model)
		p.Spec.Warm = true
		warm := study(first.Model)
		if !strings.Contains(warm.Summary, "begun with the champion's parameters") || warm.Model.Lineage.Start != digest(first.Model.ONNX) || cold.Model.Lineage.Start != "" {
			t.Errorf("%s: %s; %+v", task, warm.Summary, warm.Model.Lineage)
		}
		if math.Abs(warm.Loss-first.Loss) > 0.01*first.Loss || cold.Loss < 1.5*first.Loss {
			t.Errorf("%s: a loss of %v after %v, and of %v from scratch", task, warm.Loss, first.Loss, cold.Loss)
		}
		other := *first.Model
		other.Picture = &model.Picture{Labels: []string{"green", "red"}}
		if l := study(&other); !strings.Contains(l.Summary, "from scratch, since the champion gives no start: it tells [green red]") {
			t.Error(l.Summary)
		}
		p.Spec.Picture.Stages = []int{8, 16, 16}
		if l := study(first.Model); !strings.Contains(l.Summary, "from scratch, since the champion gives no start: parameter") {
			t.Error(l.Summary)
		}
	}
}

// Recent frames have the share of the weight that the older ones leave them; a person's weights stay beside that.
func TestBalanceFrames(t *testing.T) {
	s := DefaultSpec(model.Classification)
	s.Picture.Labels, s.Recent, s.Replay = []string{"a", "b"}, time.Minute, 0.5
	build := func() *gallery {
		g := &gallery{}
		for i := range 300 {
			g.all = append(g.all, example{camera: "c", captured: noon + int64(i)*1e9, class: i / 3 % 2, weight: 1})
		}
		d := g.part(&s)
		heavy := &g.all[d.train[len(d.train)-1]]
		heavy.weight, heavy.missed = 5, true
		return g
	}
	sums := func(g *gallery, d division) (old, recent float64) {
		for _, i := range slices.Concat(d.train, d.val) {
			if e := &g.all[i]; e.missed {
				continue
			} else if e.captured > noon+239e9 {
				recent += float64(e.weight)
			} else {
				old += float64(e.weight)
			}
		}
		return old, recent
	}
	g := build()
	d := g.part(&s)
	g.sum()
	before := g.digest
	g.balance(&s, &order{again: true}, d)
	old, recent := sums(g, d)
	if math.Abs(old/recent-1) > 0.1 || math.Abs((old+recent)/float64(len(d.train)+len(d.val)-1)-1) > 0.05 || g.digest == before || g.all[d.train[len(d.train)-1]].weight < 7 {
		t.Errorf("old ones weigh %v, recent ones %v, of %d; the missed one %v", old, recent, len(d.train)+len(d.val), g.all[d.train[len(d.train)-1]].weight)
	}
	for _, o := range []order{{}, {again: true, since: noon - 1}} { // the first run, and one in which all is recent
		g = build()
		g.balance(&s, &o, d)
		if g.digest != before {
			t.Errorf("%+v: weights were changed", o)
		}
	}
	s.Replay, g = 0, build()
	g.balance(&s, &order{again: true}, d)
	if g.digest != before {
		t.Error("weights were changed without replay")
	}
}

// A stretch of a camera's time is one number of a campaign, and counts as an asset.
func TestBookOfFrames(t *testing.T) {
	p := pictureLine(model.Classification, "a", "b")
	p.Spec.Picture.Block = 10 * time.Second
	c := &campaign{Champion: "old", Challenger: "new"}
	b, into := newBook(c, p, 0), newProgress(0.05, 0)
	for i := range int64(100) {
		for _, camera := range []string{"north", "south"} {
			for _, version := range []string{"old", "new"} {
				loss := 0.0
				if version == "old" && i%2 == 0 {
					loss = 1
				}
				if err := b.take(&event.Outcome{Asset: camera, End: noon + i*5e8, Version: version, Loss: loss}, into); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	none := &Trainer{means: Means{Mature: func(context.Context, string, []string, int64) ([]event.Outcome, int64, error) { return nil, 0, nil }}}
	if err := b.read(t.Context(), none, "dock", into); err != nil {
		t.Fatal(err)
	}
	if into.Numbers != 2*4 || into.Assets != 2*4 || into.Windows != 2*4*21 || math.Abs(into.Mean-0.5) > 0.05 {
		t.Errorf("%+v", into)
	}
}

// What nobody has seen yet may be missing; the network says that it knows nothing of it.
func TestUnseen(t *testing.T) {
	s := DefaultSpec(model.Classification)
	p := s.Picture
	p.Labels, p.Unseen = []string{"a", "b", "c"}, []string{"c"}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	g := &gallery{}
	for i := range 100 {
		g.all = append(g.all, example{camera: "c", captured: noon + int64(i)*1e9, class: i / 3 % 2})
	}
	d := g.part(&s)
	if err := g.enough(&s, d); err != nil || g.unknownTo(&s, d) != "; it knows nothing of c, which no frame to learn from shows" {
		t.Errorf("%v, %s", err, g.unknownTo(&s, d))
	}
	p.Unseen = nil
	if err := g.enough(&s, d); err == nil || !strings.Contains(err.Error(), "shows c: label some, name it in picture.unseen") {
		t.Errorf("got %v", err)
	}
	for i := range 8 {
		g.all[i*12].class = 2
	}
	if d = g.part(&s); g.enough(&s, d) != nil || g.unknownTo(&s, d) != "" {
		t.Errorf("%v, %s", g.enough(&s, d), g.unknownTo(&s, d))
	}
	for text, fault := range map[string]string{"d": "picture.unseen[0]: d is not one of picture.labels", "b,c": "picture.unseen: [b c] is not fewer"} {
		p.Unseen = strings.Split(text, ",")
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Memory bounds what is taken, evenly; what is excluded or torn is left out.
func TestCollectFrames(t *testing.T) {
	frames := shootFilm(t, "dock-1", 60, noon, 5)
	frames[10].JPEG = frames[10].JPEG[:40]
	p := pictureLine(model.Detection, "red", "green")
	p.Spec.Exclude = []Excluded{{Assets: "dock", From: time.Unix(0, noon), Until: time.Unix(0, noon+1e9)}}
	size := event.Bytes(3 * 64 * 48)
	g, err := collectFrames(t.Context(), &film{frames: frames}, p, 2000*size, false)
	if err != nil || len(g.all) != 49 || g.torn != 1 || g.stride != 1 || g.cameras != 1 {
		t.Fatalf("%d frames, %d torn, stride %d, %v", len(g.all), g.torn, g.stride, err)
	}
	half, err := collectFrames(t.Context(), &film{frames: frames}, p, 2*30*size, false)
	if err != nil || len(half.all) > 30 || len(half.all) < 20 || half.stride != 2 {
		t.Errorf("%d frames, stride %d, %v", len(half.all), half.stride, err)
	}
	again, err := collectFrames(t.Context(), &film{frames: frames}, p, 2000*size, false)
	if err != nil || again.digest != g.digest || half.digest == g.digest {
		t.Error("the same frames have another digest, or others the same")
	}
	frames[20].Labels[0].Weight = 7
	if other, _ := collectFrames(t.Context(), &film{frames: frames}, p, 2000*size, false); other.digest == g.digest {
		t.Error("another weight, the same digest")
	}
}

func TestPictureSpec(t *testing.T) {
	read := func(text string) (s Spec, err error) {
		d := yaml.NewDecoder(strings.NewReader(text))
		d.KnownFields(true)
		return s, d.Decode(&s)
	}
	s, err := read("task: detection\npicture: {labels: [helmet], width: 320, augment: {zoom: 0.1}}\n")
	want := DefaultSpec(model.Detection)
	want.Picture.Labels, want.Picture.Width, want.Picture.Augment.Zoom = []string{"helmet"}, 320, 0.1
	if err != nil || !reflect.DeepEqual(s, want) || s.Validate() != nil {
		t.Errorf("read %+v, %v, %v", s.Picture, err, s.Validate())
	}
	for text, fault := range map[string]string{
		"task: detection": "picture.labels: [] is not 1 or more names",
		"task: classification\npicture: {labels: [a]}":                   "picture.labels: [a] is not 2 or more names",
		"task: classification\npicture: {labels: [a, a]}":                "picture.labels[1]: a is not a name of its own",
		"task: detection\npicture: {labels: [a], normal: a}":             "picture.normal: a is not one of a classification's labels",
		"task: detection\nnetwork: gru\npicture: {labels: [a]}":          "network: gru is not cnn",
		"task: detection\npicture: {labels: [a], stages: []}":            "picture.stages: [] is not one to six numbers of channels",
		"task: detection\npicture: {labels: [a], width: 5000}":           "picture.width: 5000 is not between 16 and 1280",
		"task: detection\npicture: {labels: [a], augment: {turn: true}}": "picture.augment.turn: true is not for other than square inputs",
		"task: detection\npicture: {labels: [a]}\nhidden: 7\ncap: 3":     "hidden: 7 is not for models of pictures, which have no such setting: take it out, and see picture.stages\ncap: 3 is not for models of pictures, which have no such setting: take it out",
		"task: classification\npicture: {labels: [a, b]}\nsearch: {trials: 4}\nmin_rows: 5": "search.trials: 4 is not for models of pictures, which have no such setting: take it out\n" +
			"min_rows: 5 is not for models of pictures, which have no such setting: take it out, and see picture.min_frames",
		"task: anomaly\npicture: {labels: [a]}":                                           "picture: it is not for models of windows",
		"task: classification\npicture: {labels: [a, b], threshold: 1, min_frames: 1}":    "picture.threshold: 1 is not 0 or more and less than 1\npicture.min_frames: 1 is not at least 4",
		"task: classification\npicture: {labels: [a, b], block: 0s, augment: {shift: 1}}": "picture.block: 0s is not a positive duration\npicture.augment.shift: 1 is not between 0 and 0.5",
	} {
		s, err := read(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(); err == nil || err.Error() != fault {
			t.Errorf("%s: %v, want %s", text, err, fault)
		}
	}
}
