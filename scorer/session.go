package scorer

import (
	"errors"
	"fmt"
	"math"

	"andon/event"
	"andon/model"
	"andon/model/onnx"
	"andon/model/ort"
)

// session is one loaded model: of windows, or of pictures.
type session struct {
	*ort.Session
	// row is the shape of one window or picture, size how many numbers that is; outs are what the outputs have for it.
	row  []int64
	size int
	outs []port
	// maxBatch is the most of them in one run; a run of fewer than whole is not split among workers.
	maxBatch, whole int
	// sees is set where they are pictures, and loose where a run has to find out the outputs' shapes.
	sees, loose bool
	// alone is why pictures run one by one; nil where they do not.
	alone error
}

// port is one output's name, shape and size for a window or picture.
type port struct {
	name string
	row  []int64
	size int
}

// newSession loads a model, checks that its ports fit what it says of itself, and runs it until it is warm.
func newSession(m *model.Model, cfg *Config) (*session, error) {
	if m.Picture != nil {
		return newPictureSession(m, cfg)
	}
	verdict := []int64{1}
	// Below a quarter of the largest run windows begin to cost more.
	s := &session{row: []int64{int64(m.Recipe.Length), int64(m.Recipe.Width())}, size: m.Recipe.Length * m.Recipe.Width(),
		outs: []port{{model.Value, verdict, 1}, {model.Risk, verdict, 1}}, maxBatch: cfg.MaxBatch, whole: cfg.MaxBatch / 4}
	inputs, outputs, err := ort.Signature(m.ONNX)
	if err != nil {
		return nil, err
	}
	if err := s.check(inputs, outputs); err != nil {
		return nil, err
	}
	return s, s.open(m, cfg, model.Input, s.warm)
}

// open loads the file, and has it run by warm.
func (s *session) open(m *model.Model, cfg *Config, input string, warm func() error) error {
	var outputs []string
	for _, o := range s.outs {
		outputs = append(outputs, o.name)
	}
	_, err := ort.NewSession(m.ONNX, ort.Options{
		Threads: cfg.Threads, Provider: cfg.Provider, Device: cfg.Device, DeviceMemory: int64(cfg.DeviceMemory),
		Inputs: []string{input}, Outputs: outputs,
		Warm: func(o *ort.Session) error {
			s.Session = o
			return warm()
		},
	})
	return err
}

// check compares what the file declares with what the line gives and takes; a shape that the file leaves open is settled by the first run.
func (s *session) check(inputs, outputs []ort.Port) error {
	var errs []error
	l, w := s.row[0], s.row[1]
	fits := func(p ort.Port, want ...int64) {
		ok := p.Type == onnx.Float && (p.Shape == nil || len(p.Shape) == len(want))
		for i, d := range p.Shape {
			ok = ok && i < len(want) && (d == -1 || d == want[i])
		}
		if !ok {
			errs = append(errs, fmt.Errorf("the file declares %v, the recipe needs %v", p,
				ort.Port{Name: p.Name, Type: onnx.Float, Shape: want}))
		}
	}
	found := map[string]bool{}
	for _, p := range inputs {
		if p.Name != model.Input {
			errs = append(errs, fmt.Errorf("the file wants an input %v; the only input is %s", p, model.Input))
			continue
		}
		found[p.Name] = true
		fits(p, -1, l, w)
	}
	for _, p := range outputs {
		if p.Name == model.Value || p.Name == model.Risk {
			found[p.Name] = true
			fits(p, -1, 1)
		}
	}
	for _, name := range []string{model.Input, model.Value, model.Risk} {
		if !found[name] {
			errs = append(errs, fmt.Errorf("the file has no %s", name))
		}
	}
	return errors.Join(errs...)
}

// warm runs the smallest and the largest batch, so that the first real one finds its memory ready, and refuses a model that cannot be used in batches: one whose
// verdict is not finite, whose risk is no share, or differs with the windows beside it.
func (s *session) warm() error {
	sl := s.newSlot()
	defer sl.close()
	alone := make([]event.Verdict, s.maxBatch)
	for i := range sl.in {
		sl.in[i] = float32(i%13)/6 - 1
	}
	whole := append([]float32(nil), sl.in...)
	for _, row := range []int{0, s.maxBatch - 1} {
		copy(sl.in, whole[row*s.size:][:s.size])
		if err := sl.run(1); err != nil {
			return err
		}
		alone[row] = sl.verdict(0)
	}
	copy(sl.in, whole)
	if err := sl.run(s.maxBatch); err != nil {
		return err
	}
	for row := range s.maxBatch {
		v := sl.verdict(row)
		if !finite(v) {
			return fmt.Errorf("value %v, risk %v of a plain window: not finite", v.Value, v.Risk)
		}
		if v.Risk < 0 || v.Risk > 1 {
			return fmt.Errorf("risk %v of a plain window: not between 0 and 1", v.Risk)
		}
	}
	for _, row := range []int{0, s.maxBatch - 1} {
		if v := sl.verdict(row); !near(v.Value, alone[row].Value) || !near(v.Risk, alone[row].Risk) {
			return fmt.Errorf("value %v, risk %v of a window alone, and %v, %v of the same window in a batch: the model mixes the rows of a batch",
				alone[row].Value, alone[row].Risk, v.Value, v.Risk)
		}
	}
	return nil
}

func near(a, b float32) bool {
	return math.Abs(float64(a-b)) <= 1e-3*max(1, math.Abs(float64(a)), math.Abs(float64(b)))
}

func finite(v event.Verdict) bool {
	// Zero times an infinity or NaN is NaN.
	return v.Value*0 == 0 && v.Risk*0 == 0
}
