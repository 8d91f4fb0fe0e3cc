// Command rul measures the remaining-life model on the turbofan engines of C-MAPSS FD001, through the trainer and the features that the appliance uses.
//
//	go run ./bench/rul -seeds 5            train on the training engines, report on the test engines
//	go run ./bench/rul -folds 5 -seeds 2   cross-validate on the training engines alone
//
// Protocol of the report: one prediction a test engine, at its last cycle; targets are capped at 125 cycles in training, the test labels are taken as
// given; RMSE, and the score of the PHM08 challenge (13 for early, 10 for late). Published for the same protocol: 16.14 (Deep LSTM, Zheng et al. 2017).
//
// Every hyperparameter was chosen by -folds, which never reads a test file: a fifth of the training engines is held out, the others train (with their own
// validation part, as in the product), and the held-out engines are judged at all cycles with 7 to 145 left, the span of the test labels.
// -set tries other values: -set hidden=16 -set smooth=0.3, by the keys of a pipeline's window and model sections.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"andon/deploy"
	"andon/model"
	"andon/model/ort"
	"andon/processors/features"
	"andon/trainer"
)

func main() {
	seeds := flag.Int("seeds", 5, "trainings, each with its own seed")
	folds := flag.Int("folds", 0, "cross-validate on the training engines with this many folds instead of testing")
	verbose := flag.Bool("v", false, "tell what each training says of itself")
	lib := flag.String("lib", filepath.Join("lib", "libonnxruntime.so"), "ONNX Runtime")
	p, err := compressors()
	if err != nil {
		fmt.Fprintln(os.Stderr, "rul:", err)
		os.Exit(1)
	}
	flag.Func("set", "key=value of the window or model section; may be given again", func(s string) error { return set(&p, s) })
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, p, *lib, *seeds, *folds, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "rul:", err)
		os.Exit(1)
	}
}

// compressors is the demo's pipeline as deploy/andon.yaml has it.
func compressors() (trainer.Pipeline, error) {
	var file struct {
		Pipelines []struct {
			Name   string
			Source struct{ Signals []string }
			Window features.Config
			Model  trainer.Spec
		}
	}
	if err := yaml.Unmarshal(deploy.Config, &file); err != nil {
		return trainer.Pipeline{}, fmt.Errorf("deploy/andon.yaml: %w", err)
	}
	for _, p := range file.Pipelines {
		if p.Name == "compressors" {
			recipe := p.Window.Recipe
			recipe.Signals = p.Source.Signals
			return trainer.Pipeline{Name: p.Name, Recipe: recipe, Spec: p.Model, Featurize: p.Window.Windows}, nil
		}
	}
	return trainer.Pipeline{}, errors.New("deploy/andon.yaml has no pipeline compressors")
}

// set changes one key of the recipe or of the spec.
func set(p *trainer.Pipeline, assignment string) error {
	key, value, ok := strings.Cut(assignment, "=")
	if !ok {
		return errors.New("write key=value")
	}
	type plain trainer.Spec // without Spec's own decoder, which would start from the defaults
	var unknown error
	for _, to := range []any{&p.Recipe, (*plain)(&p.Spec)} {
		d := yaml.NewDecoder(strings.NewReader(key + ": " + value))
		d.KnownFields(true)
		if unknown = d.Decode(to); unknown == nil {
			return nil
		}
	}
	return unknown
}

func run(ctx context.Context, p trainer.Pipeline, lib string, seeds, folds int, verbose bool) error {
	p.Spec.Holdout = 0 // the test engines are what is kept from training here
	if err := errors.Join(p.Recipe.Validate(), p.Spec.Validate()); err != nil {
		return err
	}
	if err := ort.Open(lib); err != nil {
		return err
	}
	train, err := readEngines("fd001_train.csv.gz", "", p.Recipe.Signals)
	if err != nil {
		return err
	}
	if folds > 0 {
		return crossValidate(ctx, p, train, seeds, folds, verbose)
	}
	test, err := readEngines("fd001_test.csv.gz", "fd001_rul.csv.gz", p.Recipe.Signals)
	if err != nil {
		return err
	}
	fmt.Printf("%s %dx%d, windows %d x %d, smooth %v, baseline %d, %d epochs; test: RMSE, PHM08 score, RMSE with test labels capped at %d\n", p.Spec.Network,
		p.Spec.Layers, p.Spec.Hidden, p.Recipe.Length, p.Recipe.Width(), p.Recipe.Smooth, p.Recipe.Baseline, p.Spec.Epochs, p.Spec.Cap)
	var all []result
	for seed := range seeds {
		p.Spec.Seed = uint64(seed + 1) //nolint:gosec // small
		r, err := trial(ctx, p, train, test, lastCycle, verbose)
		if err != nil {
			return err
		}
		all = append(all, r)
		fmt.Printf("seed %d: RMSE %.2f  score %.0f  capped %.2f  best epoch %.0f of %.0f  trained in %.1f s\n", seed+1, r.rmse, r.score, r.capped,
			r.model.Metrics["epoch"], r.model.Metrics["epochs"], r.model.Lineage.Seconds)
	}
	rmse, sd := over(all, func(r result) float64 { return r.rmse })
	score, ssd := over(all, func(r result) float64 { return r.score })
	capped, _ := over(all, func(r result) float64 { return r.capped })
	seconds, _ := over(all, func(r result) float64 { return r.model.Lineage.Seconds })
	fmt.Printf("%d seeds: RMSE %.2f ± %.2f  score %.0f ± %.0f  capped %.2f  trained in %.1f s (mean)\n", seeds, rmse, sd, score, ssd, capped, seconds)
	return nil
}

// crossValidate holds out every n-th of the shuffled training engines in turn.
func crossValidate(ctx context.Context, p trainer.Pipeline, engines []engine, seeds, folds int, verbose bool) error {
	rng := rand.New(rand.NewPCG(99, 0)) //nolint:gosec // a fixed shuffle
	rng.Shuffle(len(engines), func(i, j int) { engines[i], engines[j] = engines[j], engines[i] })
	var all []result
	for fold := range folds {
		var train, held []engine
		for i, e := range engines {
			if i%folds == fold {
				held = append(held, e)
			} else {
				train = append(train, e)
			}
		}
		for seed := range seeds {
			p.Spec.Seed = uint64(1 + seed + 100*fold) //nolint:gosec // small
			r, err := trial(ctx, p, train, held, everyCycle, verbose)
			if err != nil {
				return err
			}
			all = append(all, r)
			fmt.Printf("fold %d seed %d: RMSE %.2f  capped %.2f  best epoch %.0f of %.0f  trained in %.1f s\n", fold+1, seed+1, r.rmse, r.capped,
				r.model.Metrics["epoch"], r.model.Metrics["epochs"], r.model.Lineage.Seconds)
		}
	}
	rmse, sd := over(all, func(r result) float64 { return r.rmse })
	capped, _ := over(all, func(r result) float64 { return r.capped })
	seconds, _ := over(all, func(r result) float64 { return r.model.Lineage.Seconds })
	fmt.Printf("%d folds x %d seeds: RMSE %.3f ± %.2f  capped %.3f  trained in %.1f s (mean)  %v\n", folds, seeds, rmse, sd, capped, seconds, os.Args[1:])
	return nil
}

// over returns mean and standard deviation.
func over(rs []result, f func(result) float64) (mean, sd float64) {
	for _, r := range rs {
		mean += f(r) / float64(len(rs))
	}
	for _, r := range rs {
		sd += (f(r) - mean) * (f(r) - mean) / float64(max(len(rs)-1, 1))
	}
	return mean, math.Sqrt(sd)
}

// result is one training judged.
type result struct {
	model               *model.Model
	rmse, score, capped float64
}

// judge weighs one prediction, left cycles before the truth; 0 leaves it out.
type judge func(left float64, last bool) float64

func lastCycle(_ float64, last bool) float64 {
	if last {
		return 1
	}
	return 0
}

func everyCycle(left float64, _ bool) float64 {
	if left >= 7 && left <= 145 {
		return 1
	}
	return 0
}

// trial trains on some engines and judges the sealed model, run as the scorer runs it, on others. Every engine counts the same.
func trial(ctx context.Context, p trainer.Pipeline, train, test []engine, weigh judge, verbose bool) (result, error) {
	lesson, err := trainer.Learn(ctx, retired(train), &p, trainer.Default().Memory, "bench", trainer.Watcher{})
	if err != nil {
		return result{}, err
	}
	if verbose {
		fmt.Println("  ", lesson.Summary)
	}
	r := result{model: lesson.Model}
	s, err := ort.NewSession(lesson.Model.ONNX, ort.Options{Inputs: []string{model.Input}, Outputs: []string{model.Value, model.Risk}})
	if err != nil {
		return r, err
	}
	defer s.Close()
	engines := 0.0
	for _, e := range test {
		value, err := predict(s, &p, &lesson.Model.Recipe, e)
		if err != nil {
			return r, err
		}
		var n, square, capped, score float64
		for i, v := range value {
			left := e.left + float64(len(value)-1-i)
			w := weigh(left, i == len(value)-1)
			d := v - left
			n, square, score = n+w, square+w*d*d, score+w*phm08(d)
			d = v - math.Min(left, float64(p.Spec.Cap))
			capped += w * d * d
		}
		if n > 0 {
			engines++
			r.rmse, r.capped, r.score = r.rmse+square/n, r.capped+capped/n, r.score+score/n
		}
	}
	r.rmse, r.capped = math.Sqrt(r.rmse/engines), math.Sqrt(r.capped/engines)
	return r, nil
}

// phm08 is the challenge's penalty of a prediction d cycles too late.
func phm08(d float64) float64 {
	if d < 0 {
		return math.Exp(-d/13) - 1
	}
	return math.Exp(d/10) - 1
}

// predict returns the value of each of an engine's windows, in order.
func predict(s *ort.Session, p *trainer.Pipeline, recipe *model.Recipe, e engine) ([]float64, error) {
	var windows []float32
	if err := p.Featurize(recipe, e.rows, func(_ int64, w []float32) { windows = append(windows, w...) }); err != nil {
		return nil, err
	}
	n := int64(len(windows) / recipe.Length / recipe.Width())
	if n == 0 {
		return nil, fmt.Errorf("engine %s has fewer than %d cycles", e.name, recipe.Length)
	}
	x, err := ort.Wrap(windows, n, int64(recipe.Length), int64(recipe.Width()))
	if err != nil {
		return nil, err
	}
	defer x.Close()
	value, err := ort.NewTensor[float32](n, 1)
	if err != nil {
		return nil, err
	}
	defer value.Close()
	risk, err := ort.NewTensor[float32](n, 1)
	if err != nil {
		return nil, err
	}
	defer risk.Close()
	if err := s.Run([]ort.Value{x}, []ort.Value{value, risk}); err != nil {
		return nil, err
	}
	var out []float64
	for _, v := range slices.Clone(value.Data()) {
		out = append(out, float64(v))
	}
	return out, nil
}
