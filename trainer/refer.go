package trainer

import (
	"fmt"
	"math"

	"andon/model"
	"andon/model/ort"
)

// Refer makes a model's reference of what it was made from; see model.Refer.
type Refer func(s *Seen) ([]byte, error)

// Seen is what a model was made from, window by window, in no order.
type Seen struct {
	// Recipe has its Scale.
	Recipe *model.Recipe
	// Asset numbers the windows' assets, End is their event time.
	Asset []int32
	End   []int64
	// Newest holds each window's newest slot, row-major [n, Width], scaled.
	Newest []float32
	// Value and Risk are the model's verdicts on the windows that validated it, NaN of those that it learned from.
	Value, Risk []float32
	// Loss is what it lost by them, between 0 and 1, and Yes whether what the risk speaks of came, 1 or 0; NaN and -1 where that is not known.
	Loss []float64
	Yes  []int8
	// Guess is what would be lost by guessing: by these verdicts, given to windows at random; 0 where that is not known.
	Guess float64
}

// origin is where a window of a set came from.
type origin struct {
	asset int32
	end   int64
	// fresh tells that it is of what is new since the last model.
	fresh bool
}

// leastFresh is how many fresh windows of training make the reference alone: what was usual before a change is not what is usual now.
const leastFresh = 1000

// refer adds the reference to a scoring model's file.
func refer(p *Pipeline, d *dataset, again bool, file []byte) ([]byte, error) {
	if p.Refer == nil {
		return file, nil
	}
	value, risk, err := verdicts(file, d)
	if err != nil {
		return nil, fmt.Errorf("make the model's drift reference: %w", err)
	}
	fresh := 0
	for _, o := range d.trainOf {
		if o.fresh {
			fresh++
		}
	}
	only := again && fresh >= leastFresh
	s := &Seen{Recipe: &d.recipe}
	width, nan := d.recipe.Width(), float32(math.NaN())
	add := func(o origin, window []float32, value, risk float32, loss float64, yes int8) {
		s.Asset, s.End, s.Newest = append(s.Asset, o.asset), append(s.End, o.end), append(s.Newest, window[len(window)-width:]...)
		s.Value, s.Risk, s.Loss, s.Yes = append(s.Value, value), append(s.Risk, risk), append(s.Loss, loss), append(s.Yes, yes)
	}
	for i, o := range d.trainOf {
		if o.fresh || !only {
			add(o, d.train.Window(i), nan, nan, math.NaN(), -1)
		}
	}
	for i, o := range d.valOf {
		loss, yes := math.NaN(), int8(-1)
		if p.Spec.Task == model.RemainingLife {
			limit := float64(p.Spec.Cap)
			loss = math.Abs(math.Min(float64(value[i]), limit)-math.Min(d.remaining[i], limit)) / limit
			yes = 0
			if d.remaining[i] <= float64(p.Spec.Horizon) {
				yes = 1
			}
		}
		add(o, d.val.Window(i), value[i], risk[i], loss, yes)
	}
	if p.Spec.Task == model.RemainingLife {
		s.Guess = guessed(value, d.remaining, float64(p.Spec.Cap))
	}
	data, err := p.Refer(s)
	if err != nil {
		return nil, fmt.Errorf("make the model's drift reference: %w", err)
	}
	if len(data) == 0 {
		return file, nil
	}
	return model.Refer(file, data)
}

// guessed is the mean loss of remaining lives where each window gets the verdict of another, some of each asset's of other assets.
func guessed(value []float32, left []float64, limit float64) float64 {
	const turns = 7
	n, sum := len(value), 0.0
	if n < turns {
		return 0
	}
	for k := 1; k < turns; k++ {
		for i, v := range value {
			sum += math.Abs(math.Min(float64(v), limit)-math.Min(left[(i+k*n/turns)%n], limit)) / limit
		}
	}
	return sum / float64(n*(turns-1))
}

// verdicts runs a scoring model on the windows that validate it.
func verdicts(file []byte, d *dataset) (value, risk []float32, err error) {
	s, err := ort.NewSession(file, ort.Options{Inputs: []string{model.Input}, Outputs: []string{model.Value, model.Risk}})
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	n, size := d.val.Len(), d.val.Length*d.val.Width
	value, risk = make([]float32, n), make([]float32, n)
	const most = 256
	for from := 0; from < n; from += most {
		to := min(from+most, n)
		var tensors []ort.Value
		wrap := func(data []float32, shape ...int64) {
			if err != nil {
				return
			}
			var t *ort.Tensor[float32]
			if t, err = ort.Wrap(data, shape...); err == nil {
				tensors = append(tensors, t)
			}
		}
		rows := int64(to - from)
		wrap(d.val.Windows[from*size:to*size], rows, int64(d.val.Length), int64(d.val.Width))
		wrap(value[from:to], rows, 1)
		wrap(risk[from:to], rows, 1)
		if err == nil {
			err = s.Run(tensors[:1], tensors[1:])
		}
		for _, t := range tensors {
			t.Close()
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return value, risk, nil
}
