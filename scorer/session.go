package scorer

import (
	"errors"
	"fmt"
	"math"
	"unsafe"

	"andon/event"
	"andon/model"
	"andon/model/onnx"
	"andon/model/ort"
)

// session is one loaded model.
type session struct {
	*ort.Session
	length, width int
	maxBatch      int
}

// newSession loads a model, checks that its ports fit its recipe, and runs it until it is warm.
func newSession(m *model.Model, cfg *Config) (*session, error) {
	s := &session{length: m.Recipe.Length, width: m.Recipe.Width(), maxBatch: cfg.MaxBatch}
	inputs, outputs, err := ort.Signature(m.ONNX)
	if err != nil {
		return nil, err
	}
	if err := s.check(inputs, outputs); err != nil {
		return nil, err
	}
	_, err = ort.NewSession(m.ONNX, ort.Options{
		Threads: cfg.Threads, Provider: cfg.Provider, Device: cfg.Device, DeviceMemory: int64(cfg.DeviceMemory),
		Inputs: []string{model.Input}, Outputs: []string{model.Value, model.Risk},
		Warm: func(o *ort.Session) error {
			s.Session = o
			return s.warm()
		},
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// check compares what the file declares with what the line gives and takes; a shape that the file leaves open is settled by the first run.
func (s *session) check(inputs, outputs []ort.Port) error {
	var errs []error
	l, w := int64(s.length), int64(s.width)
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
	for i := range sl.windows {
		sl.windows[i] = float32(i%13)/6 - 1
	}
	whole := append([]float32(nil), sl.windows...)
	size := s.length * s.width
	for _, row := range []int{0, s.maxBatch - 1} {
		copy(sl.windows, whole[row*size:][:size])
		if err := sl.run(1); err != nil {
			return err
		}
		alone[row] = sl.verdict(0)
	}
	copy(sl.windows, whole)
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

// slot is the memory of one run at a time: inputs and outputs for the largest batch, and a prepared run for each batch size, made when first needed.
type slot struct {
	s                    *session
	windows, value, risk []float32
	runs                 []preparedRun
}

type preparedRun struct {
	binding *ort.Binding
	tensors []*ort.Tensor[float32]
}

func (s *session) newSlot() *slot {
	return &slot{s: s, windows: aligned(s.maxBatch * s.length * s.width), value: aligned(s.maxBatch), risk: aligned(s.maxBatch),
		runs: make([]preparedRun, s.maxBatch+1)}
}

// aligned returns memory on a cache line's border, where vector instructions are fastest.
func aligned(n int) []float32 {
	const line = 64
	b := make([]float32, n+line/4)
	skip := int((line - uintptr(unsafe.Pointer(&b[0]))%line) % line / 4)
	return b[skip : skip+n : skip+n]
}

// run computes the verdicts of the first n windows.
func (sl *slot) run(n int) error {
	r := &sl.runs[n]
	if r.binding == nil {
		if err := sl.prepare(r, n); err != nil {
			r.close()
			return err
		}
	}
	return r.binding.Run()
}

func (sl *slot) prepare(r *preparedRun, n int) error {
	b := int64(n)
	for _, t := range []struct {
		data  []float32
		shape []int64
	}{{sl.windows, []int64{b, int64(sl.s.length), int64(sl.s.width)}}, {sl.value, []int64{b, 1}}, {sl.risk, []int64{b, 1}}} {
		size := 1
		for _, d := range t.shape {
			size *= int(d)
		}
		v, err := ort.Wrap(t.data[:size], t.shape...)
		if err != nil {
			return err
		}
		r.tensors = append(r.tensors, v)
	}
	var err error
	r.binding, err = sl.s.Bind([]ort.Value{r.tensors[0]}, []ort.Value{r.tensors[1], r.tensors[2]})
	return err
}

func (sl *slot) verdict(row int) event.Verdict {
	return event.Verdict{Value: sl.value[row], Risk: sl.risk[row]}
}

func (sl *slot) close() {
	for i := range sl.runs {
		sl.runs[i].close()
	}
}

func (r *preparedRun) close() {
	if r.binding != nil {
		r.binding.Close()
	}
	for _, t := range r.tensors {
		t.Close()
	}
	*r = preparedRun{}
}
