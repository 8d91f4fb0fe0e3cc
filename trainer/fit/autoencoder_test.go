package fit

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"andon/model/ort/orttest"
)

func encoded(t *testing.T, epochs int) (*TrainedAutoencoder, *Set) {
	t.Helper()
	orttest.Open(t)
	_, c := small()
	c.Epochs = epochs
	set := waves(400, 8, 2, 1)
	got, err := TrainAutoencoder(context.Background(), Autoencoder{Length: 8, Width: 2, Hidden: 16, Code: 5}, c, set, waves(60, 8, 2, 2), nil)
	if err != nil {
		t.Fatal(err)
	}
	return got, set
}

// Waves are a frequency and a phase, and noise: a code of five holds them, and noise alone is read back badly.
func TestAutoencoder(t *testing.T) {
	got, set := encoded(t, 30)
	mean := func(s *Set) (sum float64) {
		errs, err := got.Errors(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range errs {
			sum += e / float64(len(errs))
		}
		return sum
	}
	other := waves(60, 8, 2, 3)
	rng := rand.New(rand.NewPCG(4, 4))
	for i := range other.Windows {
		other.Windows[i] = float32(rng.NormFloat64())
	}
	if known, unknown := mean(set), mean(other); !(known < 0.4) || !(unknown > 2*known) {
		t.Errorf("waves are read back to within %v, noise to within %v", known, unknown)
	}
}

func TestAutoencoderExport(t *testing.T) {
	got, _ := encoded(t, 2)
	set := waves(70, 8, 2, 9)
	errs, err := got.Errors(set)
	if err != nil {
		t.Fatal(err)
	}
	s := Surprise{Center: 0.5, Spread: 0.1, Half: 2, Steep: 4}
	value, risk := score(t, got.Anomaly(s), set)
	above := 0
	for i, e := range errs {
		want := math.Max((e-s.Center)/s.Spread, 0)
		if want > 0 {
			above++
		}
		wantRisk := 1 / (1 + math.Pow(s.Half/(want+1e-6), s.Steep))
		if math.Abs(float64(value[i])-want) > 1e-4 || math.Abs(float64(risk[i])-wantRisk) > 1e-4 {
			t.Errorf("window %d: value %v risk %v, want %v %v", i, value[i], risk[i], want, wantRisk)
		}
	}
	if above == 0 || above == len(errs) {
		t.Errorf("%d of %d are above the centre: the test sees one side only", above, len(errs))
	}
}

// A training may go on from what a scoring model holds.
func TestWarmStart(t *testing.T) {
	for _, kind := range []string{GRU, LSTM} {
		net, c := small()
		net.Kind = kind
		first := train(t, net, c)
		start, err := net.Start(first.RemainingLife(125, Logistic{Slope: -0.1, Offset: 4}))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(start, first.Params) {
			t.Fatalf("%s: the parameters do not come back from the file", kind)
		}
		c.Epochs, c.LearningRate, c.Start = 1, 0.001, start
		if again := train(t, net, c); !(again.ValLoss < 1.2*first.ValLoss) {
			t.Errorf("%s: one epoch from the start's %v gives %v", kind, first.ValLoss, again.ValLoss)
		}
		c.Start = start[1:]
		if _, err := Train(context.Background(), net, c, waves(20, net.Length, net.Width, 1), waves(20, net.Length, net.Width, 2), nil); err == nil || !strings.Contains(err.Error(), "start: ") {
			t.Errorf("too few parameters gave %v", err)
		}
		net.Hidden++
		if _, err := net.Start(first.RemainingLife(125, Logistic{})); err == nil || !strings.Contains(err.Error(), "parameter 0 is") {
			t.Errorf("another network gave %v", err)
		}
	}
	e, _ := encoded(t, 1)
	if start, err := e.Start(e.Anomaly(Surprise{Spread: 1, Half: 1, Steep: 1})); err != nil || !slices.Equal(start, e.Params) {
		t.Errorf("the autoencoder's parameters: %v", err)
	}
	if _, err := e.Start([]byte("no model")); err == nil {
		t.Error("a file that is no model gave parameters")
	}
}

// A window that weighs more is learned better.
func TestWeights(t *testing.T) {
	orttest.Open(t)
	net, c := small()
	c.Epochs = 4
	set := waves(200, net.Length, net.Width, 1)
	half := func(heavy bool) float64 {
		s := *set
		s.Targets = slices.Clone(set.Targets)
		for i := range s.Targets { // what cannot both be true
			s.Targets[i] = float32(i % 2)
		}
		s.Weights = make([]float32, s.Len())
		for i := range s.Weights {
			s.Weights[i] = 0.2
			if (i%2 == 1) == heavy {
				s.Weights[i] = 1.8
			}
		}
		got, err := Train(context.Background(), net, c, &s, &s, nil)
		if err != nil {
			t.Fatal(err)
		}
		said, err := got.Predict(set)
		if err != nil {
			t.Fatal(err)
		}
		mean, _ := moments(asFloats(said))
		return mean
	}
	if ones, zeros := half(true), half(false); ones < 0.75 || zeros > 0.25 {
		t.Errorf("where ones weigh nine times as much it says %v, where zeros do %v", ones, zeros)
	}
	set.Weights = []float32{1}
	if err := set.Check(); err == nil || !strings.Contains(err.Error(), "have 1 weights") {
		t.Errorf("too few weights gave %v", err)
	}
}
