package scorer

import (
	"unsafe"

	"andon/event"
	"andon/model/ort"
)

// slot is the memory of one run at a time: inputs and outputs for the largest batch, and a prepared run for each batch size, made when first needed.
type slot struct {
	s  *session
	in []float32
	// outs holds what each output gives, one row after the other; a loose slot has none.
	outs  [][]float32
	loose bool
	runs  []preparedRun
}

type preparedRun struct {
	// binding is nil in a loose slot.
	binding *ort.Binding
	// tensors are the input and the outputs.
	tensors []*ort.Tensor[float32]
}

func (s *session) newSlot() *slot {
	sl := &slot{s: s, loose: s.loose, in: aligned(s.maxBatch * s.size), runs: make([]preparedRun, s.maxBatch+1)}
	if !sl.loose {
		for _, o := range s.outs {
			sl.outs = append(sl.outs, aligned(s.maxBatch*o.size))
		}
	}
	return sl
}

// aligned returns memory on a cache line's border, where vector instructions are fastest.
func aligned(n int) []float32 {
	const line = 64
	b := make([]float32, n+line/4)
	skip := int((line - uintptr(unsafe.Pointer(&b[0]))%line) % line / 4)
	return b[skip : skip+n : skip+n]
}

// prepared returns the run of n rows.
func (sl *slot) prepared(n int) (*preparedRun, error) {
	r := &sl.runs[n]
	if r.tensors == nil {
		if err := sl.prepare(r, n); err != nil {
			r.close()
			return nil, err
		}
	}
	return r, nil
}

// run computes the outputs of the first n rows.
func (sl *slot) run(n int) error {
	r, err := sl.prepared(n)
	if err != nil {
		return err
	}
	return r.binding.Run()
}

// compute is run for a loose slot.
func (sl *slot) compute(n int) ([]ort.Array, error) {
	r, err := sl.prepared(n)
	if err != nil {
		return nil, err
	}
	return sl.s.Compute([]ort.Value{r.tensors[0]})
}

func (sl *slot) prepare(r *preparedRun, n int) error {
	wrap := func(data []float32, size int, row []int64) error {
		t, err := ort.Wrap(data[:n*size], append([]int64{int64(n)}, row...)...)
		if err == nil {
			r.tensors = append(r.tensors, t)
		}
		return err
	}
	if err := wrap(sl.in, sl.s.size, sl.s.row); err != nil || sl.loose {
		return err
	}
	var outs []ort.Value
	for i, o := range sl.s.outs {
		if err := wrap(sl.outs[i], o.size, o.row); err != nil {
			return err
		}
		outs = append(outs, r.tensors[i+1])
	}
	var err error
	r.binding, err = sl.s.Bind([]ort.Value{r.tensors[0]}, outs)
	return err
}

// verdict is of a session of windows.
func (sl *slot) verdict(row int) event.Verdict {
	return event.Verdict{Value: sl.outs[0][row], Risk: sl.outs[1][row]}
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
