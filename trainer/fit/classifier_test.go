package fit

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"andon/model"
	"andon/model/onnx"
	"andon/model/ort"
	"andon/model/ort/orttest"
)

// stripes makes noisy crops of three classes: lying stripes, standing ones, and chequers. Every three crops are of one group.
func stripes(n, channels, side int, seed uint64) *Crops {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := &Crops{Channels: channels, Height: side, Width: side}
	for i := range n {
		class, phase, level := i%3, rng.IntN(4), 60+rng.IntN(80)
		for range channels {
			for y := range side {
				for x := range side {
					on := (y+phase)/2%2 == 0
					switch class {
					case 1:
						on = (x+phase)/2%2 == 0
					case 2:
						on = on != ((x+phase)/2%2 == 0)
					}
					v := level + rng.IntN(40)
					if on {
						v += 60
					}
					s.Pixels = append(s.Pixels, byte(v))
				}
			}
		}
		s.Labels = append(s.Labels, class)
		s.Groups = append(s.Groups, string(rune('a'+i/9))+string(rune('a'+i%3)))
	}
	return s
}

func smallClassifier() (Classifier, Config) {
	return Classifier{Channels: 2, Height: 12, Width: 12, Classes: []string{"lying", "standing", "chequers"}, Stages: []int{4, 6}, Blocks: 1, Center: 0.5, Spread: 0.2},
		Config{Epochs: 8, Batch: 16, LearningRate: 0.02, Decay: 0.01, Clip: 1, Average: 0.8, Patience: 9, Shards: 1, Seed: 3}
}

func trainClassifier(t testing.TB, net Classifier, c Config) *TrainedClassifier {
	t.Helper()
	orttest.Open(t)
	set := stripes(150, 2, 12, 1)
	set.Augment = Augment{Flip: true, Shift: 2, Brightness: 0.1, Contrast: 0.1}
	got, err := TrainClassifier(context.Background(), net, c, set, stripes(60, 2, 12, 2), nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestClassifierLearns(t *testing.T) {
	net, c := smallClassifier()
	got := trainClassifier(t, net, c)
	set := stripes(90, 2, 12, 9)
	said, err := got.Predict(set)
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for i, l := range set.Labels {
		row, sum := said[i*3:(i+1)*3], 0.0
		for _, p := range row {
			sum += float64(p)
		}
		if math.Abs(sum-1) > 1e-5 {
			t.Fatalf("the probabilities of crop %d are %v", i, row)
		}
		if slices.Max(row) == row[l] {
			right++
		}
	}
	if right < 85 {
		t.Errorf("%d of 90 are right", right)
	}
	if !(got.ValLoss < 0.3) || got.Steps != 8*10 {
		t.Errorf("validation loss %.3f after %d steps", got.ValLoss, got.Steps)
	}
}

func TestClassifierDeterministic(t *testing.T) {
	net, c := smallClassifier()
	c.Dropout, c.Epochs = 0.2, 2
	first := trainClassifier(t, net, c)
	if !slices.Equal(first.Params, trainClassifier(t, net, c).Params) {
		t.Error("the same seed gave other parameters")
	}
	c.Seed++
	if slices.Equal(first.Params, trainClassifier(t, net, c).Params) {
		t.Error("another seed gave the same parameters")
	}
	c.Shards = 3
	sharded := trainClassifier(t, net, c)
	if !slices.Equal(sharded.Params, trainClassifier(t, net, c).Params) {
		t.Error("the same seed gave other parameters with three shards")
	}
}

func TestClassifierShardsAddUp(t *testing.T) {
	net, c := smallClassifier()
	c.Epochs = 1
	one := trainClassifier(t, net, c)
	c.Shards = 3
	three := trainClassifier(t, net, c)
	for i := range one.Params {
		if d := math.Abs(float64(one.Params[i] - three.Params[i])); d > 1e-4 {
			t.Fatalf("parameter %d is %v with one shard and %v with three", i, one.Params[i], three.Params[i])
		}
	}
}

func TestClassifierExportEqualsNetwork(t *testing.T) {
	net, c := smallClassifier()
	c.Epochs = 2
	got := trainClassifier(t, net, c)
	file, err := got.Export()
	if err != nil {
		t.Fatal(err)
	}
	if m, err := onnx.Metadata(file); err != nil || m[Labels] != `["lying","standing","chequers"]` {
		t.Errorf("metadata %v, %v", m, err)
	}
	set := stripes(70, 2, 12, 9)
	want, err := got.Predict(set)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ort.NewSession(file, ort.Options{Inputs: []string{Frame}, Outputs: []string{Probabilities}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	both, err := ort.NewSession(file, ort.Options{Inputs: []string{Frame}})
	if err != nil {
		t.Fatal(err)
	}
	defer both.Close()
	if out := both.Outputs(); len(out) != 2 || out[0].Name != Probabilities || out[1].Name != model.Embedding {
		t.Fatalf("outputs %v: the probabilities come first", out)
	}
	for _, n := range []int{1, 70} { // the batch is free
		x, err := ort.Wrap(set.show(0, n, make([]float32, n*set.size())), int64(n), 2, 12, 12)
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		y, err := ort.NewTensor[float32](int64(n), 3)
		if err != nil {
			t.Fatal(err)
		}
		defer y.Close()
		if err := s.Run([]ort.Value{x}, []ort.Value{y}); err != nil {
			t.Fatal(err)
		}
		for i, p := range y.Data() {
			if math.Abs(float64(p-want[i])) > 1e-4 {
				t.Fatalf("batch %d: probability %d is %v, the trained network says %v", n, i, p, want[i])
			}
		}
		// The embedding is what the last layer reads.
		out, err := both.Compute([]ort.Value{x})
		if err != nil {
			t.Fatal(err)
		}
		k, wide := len(net.Classes), net.last()
		w, b := got.Params[len(got.Params)-k*wide-k:len(got.Params)-k], got.Params[len(got.Params)-k:]
		e := out[1].Data
		if len(e) != n*wide {
			t.Fatalf("batch %d: an embedding of %v", n, out[1].Shape)
		}
		for i := range n {
			logits := slices.Clone(b)
			for c := range logits {
				for j := range wide {
					logits[c] += w[c*wide+j] * e[i*wide+j]
				}
			}
			softmax(logits)
			for c, p := range logits {
				if math.Abs(float64(p-want[i*k+c])) > 1e-4 {
					t.Fatalf("batch %d: of its embedding the last layer says %v of crop %d, the network %v", n, logits, i, want[i*k:(i+1)*k])
				}
			}
		}
	}
}

// A network with blocks starts as the one without: their second convolutions are zero.
func TestBlocksStartAsIdentity(t *testing.T) {
	orttest.Open(t)
	net, _ := smallClassifier()
	net.Blocks = 2
	plain := net
	plain.Blocks = 0
	p := net.start(rand.New(rand.NewPCG(1, 2)))
	var q []float32 // the same first convolutions; the linear layer of both is set to ones
	at := 0
	for i, s := range net.shapes() {
		part := p[at : at+product(s)]
		at += product(s)
		if len(s) < 4 && i == len(net.shapes())-2 {
			for j := range part {
				part[j] = float32(j%5) / 5
			}
		}
		if i >= 10*len(net.Stages) || i%10 < 2 {
			q = append(q, part...)
		}
	}
	set := stripes(6, 2, 12, 4)
	a, err := (&TrainedClassifier{Classifier: net, Outcome: Outcome{Params: p}}).Predict(set)
	if err != nil {
		t.Fatal(err)
	}
	b, err := (&TrainedClassifier{Classifier: plain, Outcome: Outcome{Params: q}}).Predict(set)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a {
		if math.Abs(float64(a[i]-b[i])) > 1e-6 {
			t.Fatalf("answer %d is %v with blocks and %v without", i, a[i], b[i])
		}
	}
}

func TestClassWeights(t *testing.T) {
	net, c := smallClassifier()
	c.Epochs = 1
	orttest.Open(t)
	share := func(weights []float32) float64 {
		set := stripes(150, 2, 12, 1)
		set.Weights = weights
		got, err := TrainClassifier(context.Background(), net, c, set, stripes(60, 2, 12, 2), nil)
		if err != nil {
			t.Fatal(err)
		}
		said, err := got.Predict(stripes(60, 2, 12, 5))
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i := 1; i < len(said); i += 3 {
			sum += float64(said[i]) / 60
		}
		return sum
	}
	if plain, heavy := share(nil), share([]float32{1, 20, 1}); !(heavy > plain+0.2) {
		t.Errorf("the class's mean probability is %.2f, with twenty times the weight %.2f", plain, heavy)
	}
}

func TestClassifierRefusals(t *testing.T) {
	orttest.Open(t)
	check := func(want string, change func(net *Classifier, train, val *Crops)) {
		t.Helper()
		net, c := smallClassifier()
		a, b := stripes(20, 2, 12, 1), stripes(20, 2, 12, 2)
		change(&net, a, b)
		if _, err := TrainClassifier(context.Background(), net, c, a, b, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	check("training set: crops are 1 x 12 x 12, the network reads 2 x 12 x 12", func(_ *Classifier, a, _ *Crops) { a.Channels = 1 })
	check("training set: 20 crops of 2 x 12 x 12 need 5760 pixels, there are 5759", func(_ *Classifier, a, _ *Crops) { a.Pixels = a.Pixels[1:] })
	check("validation set: crop 4 is of class 3, there are 3", func(_ *Classifier, _, b *Crops) { b.Labels[4] = 3 })
	check("validation set: there are no crops", func(_ *Classifier, _, b *Crops) { *b = Crops{} })
	check("20 crops have 1 groups", func(_ *Classifier, a, _ *Crops) { a.Groups = a.Groups[:1] })
	check("3 classes have 2 weights", func(_ *Classifier, a, _ *Crops) { a.Weights = []float32{1, 2} })
	check("the weight of class standing is 0", func(_ *Classifier, a, _ *Crops) { a.Weights = []float32{1, 0, 1} })
	check("shift: 12 is not between", func(_ *Classifier, a, _ *Crops) { a.Augment.Shift = 12 })
	check("contrast: 1 is not 0 or more", func(_ *Classifier, a, _ *Crops) { a.Augment.Contrast = 1 })
	check("a crop of 12 x 12 is too small for 4 stages", func(n *Classifier, _, _ *Crops) { n.Stages = []int{1, 1, 1, 1} })
	check("channels: 0 is not at least 1", func(n *Classifier, _, _ *Crops) { n.Channels = 0 })
	check("classes: 1 are not at least 2", func(n *Classifier, _, _ *Crops) { n.Classes = n.Classes[:1] })
	check("spread: 0 is not above 0", func(n *Classifier, _, _ *Crops) { n.Spread = 0 })
}

// What an averaged export says of a crop does not depend on how it lies; its ways are those that training draws.
func TestExportAveraged(t *testing.T) {
	net, c := smallClassifier()
	c.Epochs = 2
	trained := trainClassifier(t, net, c)
	set := stripes(3, 2, 12, 5)
	say := func(file []byte, x []float32) []float32 {
		t.Helper()
		s, err := ort.NewSession(file, ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		in, err := ort.Wrap(x, 1, 2, 12, 12)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		out, err := s.Compute([]ort.Value{in})
		if err != nil {
			t.Fatal(err)
		}
		return out[0].Data
	}
	plain, err := trained.Export()
	if err != nil {
		t.Fatal(err)
	}
	for ways, a := range map[int]Augment{1: {}, 2: {Mirror: true}, 4: {Turn: true}, 8: {Flip: true, Turn: true}} {
		file, err := trained.ExportAveraged(a)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		seen, logits := map[string]bool{}, make([]float64, 3)
		var first []float32
		x := make([]float32, 2*12*12)
		for range 200 {
			a.draw(x, set.Crop(0), 12, 12, rng)
			key := string(bytesOf(x))
			if seen[key] {
				continue
			}
			seen[key] = true
			said := say(file, slices.Clone(x))
			if first == nil {
				first = said
			}
			for i, p := range say(plain, slices.Clone(x)) {
				logits[i] += math.Log(float64(p))
				if math.Abs(float64(said[i]-first[i])) > 1e-5 {
					t.Fatalf("%d ways: %v of a crop that lies otherwise, %v before", ways, said, first)
				}
			}
		}
		if len(seen) != ways {
			t.Fatalf("%d ways, want %d", len(seen), ways)
		}
		norm, mean := 0.0, make([]float64, 3)
		for i, l := range logits {
			mean[i] = math.Exp(l / float64(ways))
			norm += mean[i]
		}
		for i := range mean {
			if math.Abs(mean[i]/norm-float64(first[i])) > 1e-4 {
				t.Errorf("%d ways: %v, the mean of the ways is %v of %v", ways, first, mean, norm)
			}
		}
	}
}

func bytesOf(x []float32) []byte {
	var b []byte
	for _, v := range x {
		b = append(b, byte(v*255+0.5))
	}
	return b
}
