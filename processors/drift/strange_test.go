package drift

import (
	"math"
	"math/rand/v2"
	"testing"

	"andon/event"
)

// Where rows are nowhere near those that the reference is of, the loss is estimated as if the model guessed; among them it is what it was.
func TestAstray(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	r := Rows{Names: []string{"a", "b", "value"}, Roles: []string{event.RoleInput, event.RoleInput, event.RolePrediction}, Condition: -1, Piece: 100, Risk: -1, Partial: []bool{false, false, true}}
	for i := range 2000 {
		a, b := rng.Float64(), rng.Float64()
		r.Values = append(r.Values, a, b, a)
		r.Asset, r.At, r.Loss = append(r.Asset, int32(i%20)), append(r.At, int64(i)), append(r.Loss, .1*a)
	}
	before, err := NewProfile(r)
	if err != nil {
		t.Fatal(err)
	}
	r.Guess = .4
	p, err := NewProfile(r)
	if err != nil {
		t.Fatal(err)
	}
	file, err := p.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = ReadProfile(file); err != nil {
		t.Fatal(err)
	}
	for _, row := range [][]float64{{.1, .5, .1}, {.9, .2, .9}, {1.05, -.05, 1}, {math.NaN(), .3, .4}} {
		if got, want := p.losses(row), before.losses(row); got != want {
			t.Errorf("%v: %v, and %v without a guess", row, got, want)
		}
	}
	if got := p.losses([]float64{7, -7, .5}); math.Abs(got-.4) > 1e-9 {
		t.Errorf("far away it loses %v, not what it would by guessing", got)
	}
	if got := p.losses([]float64{7, .5, .5}); got < .2 || got > .3 {
		t.Errorf("half away it loses %v", got)
	}
	if before.losses([]float64{7, -7, .5}) > .12 {
		t.Error("without a guess it knows that it is away")
	}
}
