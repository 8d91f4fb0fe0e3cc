package fit

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"andon/model"
	"andon/model/ort"
	"andon/model/ort/orttest"
)

// waves makes windows of noisy waves whose target is their frequency.
func waves(n, length, width int, seed uint64) *Set {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := &Set{Length: length, Width: width}
	for range n {
		f, phase := rng.Float64(), rng.Float64()
		for t := range length {
			for c := range width {
				s.Windows = append(s.Windows, float32(math.Sin((0.3+f)*float64(t)+6*phase+float64(c))+0.1*rng.NormFloat64()))
			}
		}
		s.Targets = append(s.Targets, float32(f))
	}
	return s
}

// small is a network and a training that take a moment.
func small() (Network, Config) {
	return Network{Length: 8, Width: 2, Hidden: 6, Layers: 2},
		Config{Epochs: 6, Batch: 16, LearningRate: 0.01, Decay: 0.01, Clip: 1, Average: 0.9, Patience: 9, Shards: 1, Seed: 3}
}

func train(t testing.TB, net Network, c Config) *Trained {
	t.Helper()
	orttest.Open(t)
	got, err := Train(context.Background(), net, c, waves(200, net.Length, net.Width, 1), waves(60, net.Length, net.Width, 2), nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLossGoesDown(t *testing.T) {
	orttest.Open(t)
	net, c := small()
	c.Epochs = 12
	var seen []Progress
	got, err := Train(context.Background(), net, c, waves(200, net.Length, net.Width, 1), waves(60, net.Length, net.Width, 2),
		func(p Progress) { seen = append(seen, p) })
	if err != nil {
		t.Fatal(err)
	}
	first, last := seen[0], seen[len(seen)-1]
	if len(seen) != 12 || last.Epoch != 12 || last.Epochs != 12 || !(last.RowsPerSecond > 0) {
		t.Errorf("%d reports, the last %+v", len(seen), last)
	}
	_, spread := moments(asFloats(waves(60, net.Length, net.Width, 2).Targets))
	if !(last.Loss < first.Loss/3) || !(got.ValLoss < spread*spread/2) {
		t.Errorf("loss went from %.4f to %.4f, validation to %.4f; the targets' variance is %.4f", first.Loss, last.Loss, got.ValLoss, spread*spread)
	}
	best := slices.MinFunc(seen, func(a, b Progress) int { return int(math.Copysign(1, a.ValLoss-b.ValLoss)) })
	if got.Epoch != best.Epoch || got.ValLoss != best.ValLoss || got.Steps != 12*13 {
		t.Errorf("kept epoch %d (%v) after %d steps, the best was %d (%v)", got.Epoch, got.ValLoss, got.Steps, best.Epoch, best.ValLoss)
	}
	// The parameters that came back are those that had the loss.
	said, err := got.Predict(waves(60, net.Length, net.Width, 2))
	if err != nil {
		t.Fatal(err)
	}
	if again := meanSquare(said, waves(60, net.Length, net.Width, 2).Targets); again != got.ValLoss {
		t.Errorf("the parameters' validation loss is %v, it was said to be %v", again, got.ValLoss)
	}
}

func asFloats(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

func TestDeterministic(t *testing.T) {
	net, c := small()
	c.Dropout = 0.2
	c.Epochs = 3
	first := train(t, net, c)
	if !slices.Equal(first.Params, train(t, net, c).Params) {
		t.Error("the same seed gave other parameters")
	}
	c.Seed++
	if slices.Equal(first.Params, train(t, net, c).Params) {
		t.Error("another seed gave the same parameters")
	}
	c.Seed--
	c.Shards = 3 // 16 rows in 6, 6 and 4; the last step's 8 in 6 and 2
	sharded := train(t, net, c)
	if !slices.Equal(sharded.Params, train(t, net, c).Params) {
		t.Error("the same seed gave other parameters with three shards")
	}
}

// Shards must only split the work: up to rounding, the gradient is the same.
func TestShardsAddUp(t *testing.T) {
	net, c := small()
	c.Epochs = 2
	one := train(t, net, c)
	c.Shards = 3
	three := train(t, net, c)
	for i := range one.Params {
		if d := math.Abs(float64(one.Params[i] - three.Params[i])); d > 1e-4 {
			t.Fatalf("parameter %d is %v with one shard and %v with three", i, one.Params[i], three.Params[i])
		}
	}
}

func TestExportEqualsNetwork(t *testing.T) {
	for i := range 4 {
		net, c := small()
		forecast := i%2 == 1
		net.Forecast, net.Kind = forecast, []string{GRU, LSTM}[i/2]
		c.Epochs = 2
		got := train(t, net, c)
		set := waves(70, net.Length, net.Width, 9)
		said, err := got.Predict(set)
		if err != nil {
			t.Fatal(err)
		}
		logistic, surprise := Logistic{Slope: -0.1, Offset: 4}, Surprise{Center: 0.02, Spread: 0.3, Half: 2, Steep: 4}
		file := got.RemainingLife(125, logistic)
		if forecast {
			file = got.Anomaly(surprise)
		}
		value, risk := score(t, file, set)
		for i, s := range said {
			wantValue := math.Max(float64(s)*125, 0)
			wantRisk := logistic.At(wantValue)
			if forecast {
				last := set.Window(i)[(net.Length-1)*net.Width]
				wantValue = math.Abs((float64(last)-float64(s))-surprise.Center) / surprise.Spread
				wantRisk = 1 / (1 + math.Pow(surprise.Half/wantValue, surprise.Steep))
			}
			if math.Abs(float64(value[i])-wantValue) > 1e-4 || math.Abs(float64(risk[i])-wantRisk) > 1e-4 {
				t.Errorf("forecast %v, window %d: value %v risk %v, want %v %v", forecast, i, value[i], risk[i], wantValue, wantRisk)
			}
		}
	}
}

// score runs an exported model on a whole set at once.
func score(t *testing.T, file []byte, set *Set) (value, risk []float32) {
	t.Helper()
	s, err := ort.NewSession(file, ort.Options{Inputs: []string{model.Input}, Outputs: []string{model.Value, model.Risk}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	value, risk = make([]float32, set.Len()), make([]float32, set.Len())
	n := int64(set.Len())
	x, err := ort.Wrap(set.Windows, n, int64(set.Length), int64(set.Width))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	v, err := ort.Wrap(value, n, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	r, err := ort.Wrap(risk, n, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := s.Run([]ort.Value{x}, []ort.Value{v, r}); err != nil {
		t.Fatal(err)
	}
	return value, risk
}

// A forecaster starts from the last value it saw and must beat it where there is something to learn.
func TestForecastBeatsLastValue(t *testing.T) {
	orttest.Open(t)
	net, c := small()
	net.Forecast = true
	c.Epochs = 15
	ahead := func(seed uint64) *Set {
		s := waves(300, net.Length, net.Width, seed)
		for i := range s.Targets {
			s.Targets[i] = s.Window(i)[(net.Length-1)*net.Width]
		}
		return s
	}
	val := ahead(2)
	got, err := Train(context.Background(), net, c, ahead(1), val, nil)
	if err != nil {
		t.Fatal(err)
	}
	persistence := make([]float32, val.Len())
	for i := range persistence {
		persistence[i] = val.Window(i)[(net.Length-2)*net.Width]
	}
	if lazy := meanSquare(persistence, val.Targets); !(got.ValLoss < lazy/4) {
		t.Errorf("forecast loss %.4f, that of the last value %.4f", got.ValLoss, lazy)
	}
	// What is to be forecast must not be read.
	before, err := got.Predict(val)
	if err != nil {
		t.Fatal(err)
	}
	for i := range val.Targets {
		val.Window(i)[(net.Length-1)*net.Width] = 77
	}
	if after, err := got.Predict(val); err != nil || !slices.Equal(before, after) {
		t.Errorf("the forecast reads the value to be forecast (%v)", err)
	}
}

func TestRefusals(t *testing.T) {
	orttest.Open(t)
	net, c := small()
	try := func(change func(train, val *Set, c *Config)) error {
		a, b, c := waves(20, net.Length, net.Width, 1), waves(20, net.Length, net.Width, 2), c
		change(a, b, &c)
		_, err := Train(context.Background(), net, c, a, b, nil)
		return err
	}
	check := func(want string, change func(train, val *Set, c *Config)) {
		t.Helper()
		if err := try(change); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	nan := float32(math.NaN())
	check("training set: window 3, slot 1, channel 1 is NaN", func(a, _ *Set, _ *Config) { a.Windows[3*16+3] = nan })
	check("validation set: the target of window 2 is +Inf", func(_, b *Set, _ *Config) { b.Targets[2] = float32(math.Inf(1)) })
	check("validation set: there are no windows", func(_, b *Set, _ *Config) { *b = Set{Length: 8, Width: 2} })
	check("need 320 values, there are 319", func(a, _ *Set, _ *Config) { a.Windows = a.Windows[1:] })
	check("windows are 4 x 4, the network reads 8 x 2", func(a, _ *Set, _ *Config) { a.Length, a.Width = 4, 4 })
	check("batch: 0 is not at least 1", func(_, _ *Set, c *Config) { c.Batch = 0 })
	check("shards: 17 is not between", func(_, _ *Set, c *Config) { c.Shards = 17 })
	if err := try(func(a, _ *Set, _ *Config) { a.Targets[0] = 1e30 }); !errors.Is(err, ErrDiverged) {
		t.Errorf("a loss beyond float32 gave %v", err)
	}
}

func TestCancel(t *testing.T) {
	orttest.Open(t)
	net, c := small()
	c.Epochs = 1000
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	epochs := 0
	_, err := Train(ctx, net, c, waves(50, net.Length, net.Width, 1), waves(20, net.Length, net.Width, 2), func(Progress) {
		if epochs++; epochs == 2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || epochs != 2 {
		t.Errorf("after %d epochs: %v", epochs, err)
	}
}

func TestPatience(t *testing.T) {
	orttest.Open(t)
	net, c := small()
	c.Epochs, c.Patience, c.Average = 60, 2, 0
	c.LearningRate = 0.05
	got := train(t, net, c)
	if got.Epochs-got.Epoch != 2 && got.Epochs != 60 || got.Epochs == 60 {
		t.Errorf("stopped after epoch %d, the best was %d", got.Epochs, got.Epoch)
	}
}

func TestRate(t *testing.T) {
	if r := rate(1, 0, 100); r != 0.2 {
		t.Errorf("first step: %v", r)
	}
	if r := rate(1, 5, 100); r != 1 {
		t.Errorf("after the rise: %v", r)
	}
	if r := rate(1, 99, 100); !(r > 0.01 && r < 0.011) {
		t.Errorf("last step: %v", r)
	}
}

func TestPlatt(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	truth := Logistic{Slope: -0.2, Offset: 6}
	var x []float64
	var yes []bool
	for range 20000 {
		v := rng.Float64() * 125
		x, yes = append(x, v), append(yes, rng.Float64() < truth.At(v))
	}
	got, ok := Platt(x, yes)
	if !ok || math.Abs(got.Slope/truth.Slope-1) > 0.05 || math.Abs(got.Offset/truth.Offset-1) > 0.05 {
		t.Errorf("fitted %+v, %v; the truth is %+v", got, ok, truth)
	}
	if l, ok := Platt(x, make([]bool, len(x))); ok {
		t.Errorf("fitted %+v to answers that are all no", l)
	}
	for i := range yes {
		yes[i] = !yes[i]
	}
	if l, ok := Platt(x, yes); ok {
		t.Errorf("took a rising %+v", l)
	}
	// Answers that a threshold splits would send the slope to infinity without Platt's priors.
	for i := range yes {
		yes[i] = x[i] < 30
	}
	if l, ok := Platt(x, yes); !ok || !(l.At(29) > 0.5 && l.At(31) < 0.5) || math.IsInf(l.Slope, 0) {
		t.Errorf("split answers: %+v, %v", l, ok)
	}
}

func TestRobust(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var x []float64
	for range 10000 {
		x = append(x, 3+2*rng.NormFloat64())
	}
	for range 500 {
		x = append(x, 1000)
	}
	if c, s := Robust(x); math.Abs(c-3) > 0.2 || math.Abs(s-2) > 0.2 {
		t.Errorf("center %v, spread %v", c, s)
	}
	if q := Quantile([]float64{4, 1, 3, 2}, 0.75); q != 3 {
		t.Errorf("quantile %v", q)
	}
}
