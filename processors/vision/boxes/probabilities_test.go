package boxes

import (
	"math"
	"testing"

	"andon/model"
)

func TestProbabilities(t *testing.T) {
	p := &model.Picture{Labels: []string{"a", "b"}, Form: model.FormLogits}
	outs := []model.Tensor{{Name: "p", Shape: []int{2, 2}, Data: []float32{0, 0, 1000, 1000 + float32(math.Log(3))}}}
	got, err := Probabilities(p, outs, 1, []float64{7})
	if err != nil || len(got) != 3 || got[0] != 7 || math.Abs(got[1]-0.25) > 1e-4 || math.Abs(got[2]-0.75) > 1e-4 {
		t.Errorf("%v, %v", got, err)
	}
	p.Form = model.FormProbabilities
	outs[0].Data = []float32{0.5, 0.5, 0.25, 0.75}
	if got, err = Probabilities(p, outs, 1, nil); err != nil || len(got) != 2 || got[0] != 0.25 || got[1] != 0.75 {
		t.Errorf("%v, %v", got, err)
	}
	p.Labels = append(p.Labels, "c")
	if _, err = Probabilities(p, outs, 0, nil); err == nil {
		t.Error("an output of two numbers for three labels was taken")
	}
}
