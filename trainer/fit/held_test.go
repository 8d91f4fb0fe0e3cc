package fit

import (
	"math"
	"math/rand/v2"
	"testing"

	"andon/model/ort/orttest"
)

// Steps by rows and steps as a device takes them come to the same parameters, as the file has them.
func TestRowsLearnTheSame(t *testing.T) {
	orttest.Open(t)
	classifier, c := smallClassifier()
	classifier.Channels, classifier.Stages = 3, []int{4, 9, 10} // few channels and more of them, odd sides
	detector := Detector{Height: 20, Width: 28, Classes: []string{"a"}, Stages: []int{4, 9}, Blocks: 1, Center: 0.5, Spread: 0.2, TypicalWidth: 8, TypicalHeight: 6}
	for name, net := range map[string]network{"classifier": classifier, "detector": detector} {
		t.Run(name, func(t *testing.T) {
			start := net.start(rand.New(rand.NewPCG(5, 1)))
			learned := func(turned bool) []float32 {
				s := &stepper{net: net, held: held{net.shapes(), turned}, adam: stepAdam(c)}
				defer s.close()
				if err := s.open(c); err != nil {
					t.Fatal(err)
				}
				s.held.hold(s.params(), start)
				set := &anything{rows: 16, row: product(net.row())}
				for range 5 {
					if _, err := s.step(set, []int{0, 3, 6, 9, 12, 15}, 0.01, rand.New(rand.NewPCG(6, 1))); err != nil {
						t.Fatal(err)
					}
				}
				out := make([]float32, len(start))
				s.held.release(out, s.params())
				return out
			}
			plain, rows := learned(false), learned(true)
			moved := 0
			for i := range plain {
				if d := math.Abs(float64(plain[i] - rows[i])); !(d < 1e-4) {
					t.Fatalf("parameter %d is %v by rows and %v as a device has it", i, rows[i], plain[i])
				}
				if plain[i] != start[i] {
					moved++
				}
			}
			if moved < len(start)/2 {
				t.Errorf("only %d of %d parameters were learned", moved, len(start))
			}
		})
	}
}

// anything is a set of noise.
type anything struct{ rows, row int }

func (a *anything) Len() int                           { return a.rows }
func (a *anything) order([]int, *rand.Rand)            {}
func (a *anything) show(int, int, []float32) []float32 { return nil }
func (a *anything) judge([]float32) float64            { return 0 }
func (a *anything) learn(i int, x, y []float32, rng *rand.Rand) float32 {
	for j := range x {
		x[j] = float32(rng.Float64())
	}
	clear(y)
	y[i%len(y)] = 1
	return 1 + float32(i%3)
}
