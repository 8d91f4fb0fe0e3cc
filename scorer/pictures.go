package scorer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"andon/event"
	"andon/model"
	"andon/model/onnx"
	"andon/model/ort"
)

// longestSight bounds how long a run of several pictures takes: windows and other cameras' pictures wait for it.
const longestSight = 20 * time.Millisecond

// sight is what a request of pictures gets.
type sight struct {
	// tensors are filled by runs, each its own rows; pieces hold what runs of a loose session gave.
	tensors []model.Tensor
	pieces  []piece
	runs    []event.Run // of each picture; nil where nobody asks
}

// piece is the outputs of pictures [at, at+n).
type piece struct {
	at, n int
	got   []ort.Array
}

// See runs a model of pictures: pictures holds n of them, row-major [n, 3, Height, Width], scaled as m.Picture says. It returns the file's outputs in its order, each [n, …], in the memory of dst where that
// is large enough, and blocks until all are there; as with Score, many callers' pictures go into one run. Where the number of boxes differs from picture to picture (forms end-to-end and ssd), the
// shorter outputs are filled up with zeros, which are boxes of no confidence. A model that was exported for one picture at a time, or mixes the pictures of a run, gets them one by one.
// Errors are those of Score; what dst holds is undefined after one.
func (s *Scorer) See(ctx context.Context, m *model.Model, pictures []float32, n int, dst []model.Tensor) ([]model.Tensor, error) {
	dst, err := s.see(ctx, m, pictures, n, dst, nil, false)
	return dst, naming(m, err)
}

// SeeRuns is See that also fills runs, of length n, with the run that each picture was in.
func (s *Scorer) SeeRuns(ctx context.Context, m *model.Model, pictures []float32, n int, dst []model.Tensor, runs []event.Run) ([]model.Tensor, error) {
	if len(runs) != n {
		return dst, naming(m, fmt.Errorf("%d runs are not for %d pictures", len(runs), n))
	}
	dst, err := s.see(ctx, m, pictures, n, dst, runs, false)
	return dst, naming(m, err)
}

// ServePictures is See as Serve is Score: it ends with ErrBusy where the answer would come too late.
func (s *Scorer) ServePictures(ctx context.Context, m *model.Model, pictures []float32, n int, dst []model.Tensor, runs []event.Run) ([]model.Tensor, error) {
	if len(runs) != n {
		return dst, naming(m, fmt.Errorf("%d runs are not for %d pictures", len(runs), n))
	}
	dst, err := s.see(ctx, m, pictures, n, dst, runs, true)
	if errors.Is(err, ErrBusy) {
		s.metrics.busy.WithLabelValues(m.Pipeline).Inc()
	}
	return dst, naming(m, err)
}

func (s *Scorer) see(ctx context.Context, m *model.Model, pictures []float32, n int, dst []model.Tensor, runs []event.Run, impatient bool) ([]model.Tensor, error) {
	p := m.Picture
	if p == nil {
		return dst, errors.New("it takes windows, not pictures")
	}
	if n < 0 || len(pictures) != n*3*p.Width*p.Height {
		return dst, fmt.Errorf("%d numbers are not %d pictures of 3x%dx%d", len(pictures), n, p.Height, p.Width)
	}
	session, err := s.sessionOf(ctx, m)
	if err != nil {
		return dst, err
	}
	if err := s.admit(ctx, n, impatient); err != nil || n == 0 {
		return dst, err
	}
	defer s.leave()
	if !session.loose {
		dst = session.outputs(dst, n)
	}
	r := s.requests.Get().(*request)
	*r = request{windows: pictures, sight: sight{tensors: dst, runs: runs}, n: n, arrived: time.Now(), wake: r.wake}
	err = s.serve(ctx, m, r, n, impatient)
	if err == nil && session.loose {
		dst, err = join(dst, session.outs, r.sight.pieces, n)
	}
	r.windows, r.q, r.sight = nil, nil, sight{}
	s.requests.Put(r)
	return dst, err
}

// sessionOf returns a model's session, which may be closed by the time it is used: what it says of shapes is of the file and stays true.
func (s *Scorer) sessionOf(ctx context.Context, m *model.Model) (*session, error) {
	for {
		s.mu.Lock()
		q, closed := s.queues[m.Version], s.closed
		if q != nil && q.session != nil {
			session := q.session
			s.mu.Unlock()
			return session, nil
		}
		s.mu.Unlock()
		if closed {
			return nil, ErrClosed
		}
		if err := s.load(ctx, m); err != nil {
			return nil, fmt.Errorf("load it: %w", err)
		}
	}
}

// outputs makes the tensors of n pictures in the memory of dst.
func (s *session) outputs(dst []model.Tensor, n int) []model.Tensor {
	dst = slices.Grow(dst[:0], len(s.outs))[:len(s.outs)]
	for i, o := range s.outs {
		t := &dst[i]
		t.Name = o.name
		t.Shape = append(t.Shape[:0], n)
		for _, d := range o.row {
			t.Shape = append(t.Shape, int(d))
		}
		t.Data = slices.Grow(t.Data[:0], n*o.size)[:n*o.size]
	}
	return dst
}

// see runs the model on the pictures of a batch and gives each request its rows.
func (b *batch) see() error {
	if b.s.loose {
		return b.seeLoose()
	}
	if err := b.slot.run(b.n); err != nil {
		return err
	}
	b.took = time.Since(b.start)
	at := 0
	for i := range b.parts {
		p := &b.parts[i]
		for k, o := range b.s.outs {
			copy(p.r.sight.tensors[k].Data[p.at*o.size:(p.at+p.n)*o.size], b.outs[k][at*o.size:])
		}
		p.tell(b)
		at += p.n
	}
	return nil
}

func (b *batch) seeLoose() error {
	got, err := b.slot.compute(b.n)
	if err != nil {
		return err
	}
	b.took = time.Since(b.start)
	for k, a := range got {
		if len(a.Shape) == 0 || a.Shape[0] != int64(b.n) {
			return fmt.Errorf("output %s is %v for %d pictures", b.s.outs[k].name, a.Shape, b.n)
		}
	}
	at := 0
	for i := range b.parts {
		p := &b.parts[i]
		p.got = make([]ort.Array, len(got))
		for k, a := range got {
			size := len(a.Data) / b.n
			p.got[k] = ort.Array{Shape: a.Shape, Data: a.Data[at*size : (at+p.n)*size]}
		}
		p.tell(b)
		at += p.n
	}
	return nil
}

// tell says of a part's pictures which run they were in.
func (p *part) tell(b *batch) {
	if p.r.sight.runs == nil {
		return
	}
	for i := range p.n {
		p.r.sight.runs[p.at+i] = event.Run{Batch: uint32(b.n), Queue: int64(b.start.Sub(p.r.arrived)), Compute: int64(b.took)}
	}
}

// join puts the pieces of n pictures together, each dimension as large as the largest, and zeros where a piece has less.
func join(dst []model.Tensor, outs []port, pieces []piece, n int) ([]model.Tensor, error) {
	dst = slices.Grow(dst[:0], len(outs))[:len(outs)]
	for k, o := range outs {
		t := &dst[k]
		t.Name = o.name
		t.Shape = append(t.Shape[:0], n)
		size := 1
		for i, p := range pieces {
			shape := p.got[k].Shape
			if i > 0 && len(shape) != len(t.Shape) {
				return dst, fmt.Errorf("output %s has %d dimensions for one picture and %d for another", o.name, len(t.Shape), len(shape))
			}
			for d := 1; d < len(shape); d++ {
				if i == 0 {
					t.Shape = append(t.Shape, 0)
				}
				t.Shape[d] = max(t.Shape[d], int(shape[d]))
			}
		}
		for _, d := range t.Shape[1:] {
			size *= d
		}
		t.Data = slices.Grow(t.Data[:0], n*size)[:n*size]
		for _, p := range pieces {
			a := p.got[k]
			to := t.Data[p.at*size : (p.at+p.n)*size]
			if len(a.Data) == len(to) {
				copy(to, a.Data)
				continue
			}
			clear(to)
			from := len(a.Data) / p.n
			for row := range p.n {
				spread(to[row*size:(row+1)*size], a.Data[row*from:(row+1)*from], t.Shape[1:], a.Shape[1:])
			}
		}
	}
	return dst, nil
}

// spread copies a block of a smaller shape into one of a larger.
func spread(to, from []float32, large []int, small []int64) {
	if len(large) <= 1 {
		copy(to, from)
		return
	}
	if small[0] == 0 {
		return
	}
	stepTo, stepFrom := len(to)/large[0], len(from)/int(small[0])
	for i := range int(small[0]) {
		spread(to[i*stepTo:(i+1)*stepTo], from[i*stepFrom:(i+1)*stepFrom], large[1:], small[1:])
	}
}

// newPictureSession loads a model of pictures, checks its ports, finds out what its outputs are of one picture, and runs it until it is warm.
func newPictureSession(m *model.Model, cfg *Config) (*session, error) {
	p := m.Picture
	s := &session{row: []int64{3, int64(p.Height), int64(p.Width)}, size: 3 * p.Height * p.Width, maxBatch: cfg.MaxPictures, whole: 1, sees: true}
	inputs, outputs, err := ort.Signature(m.ONNX)
	if err != nil {
		return nil, err
	}
	if len(inputs) != 1 || inputs[0].Name != model.Frame {
		return nil, fmt.Errorf("the file has the inputs %v; the only input is %s", inputs, model.Frame)
	}
	in, want := inputs[0], ort.Port{Name: model.Frame, Type: onnx.Float, Shape: append([]int64{-1}, s.row...)}
	ok := in.Type == onnx.Float && (in.Shape == nil || len(in.Shape) == 4 && (in.Shape[0] == -1 || in.Shape[0] == 1))
	for i, d := range in.Shape {
		ok = ok && (i == 0 || d == -1 || d == s.row[i-1])
	}
	if !ok {
		return nil, fmt.Errorf("the file declares %v, the picture needs %v", in, want)
	}
	var errs []error
	for _, o := range outputs {
		if o.Type != onnx.Float {
			errs = append(errs, fmt.Errorf("the file declares the output %v; outputs are float", o))
		}
		s.outs = append(s.outs, port{name: o.Name})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if in.Shape != nil && in.Shape[0] == 1 {
		s.maxBatch, s.alone = 1, errors.New("the file was exported for one at a time")
	}
	return s, s.open(m, cfg, model.Frame, func() error { return s.warmPictures(p, outputs) })
}

// warmPictures runs one picture to see the outputs' shapes, then the largest run. Forms whose shapes follow from the picture's size get memory of their own; of the others
// each run finds out.
func (s *session) warmPictures(p *model.Picture, declared []ort.Port) error {
	s.loose = true
	probe := s.newSlot()
	defer probe.close()
	for i := range probe.in {
		probe.in[i] = float32((i*7919)%251)/125 - 1
	}
	got, err := probe.compute(1)
	if err != nil {
		return err
	}
	dense := p.Form != model.FormEndToEnd && p.Form != model.FormSSD
	for k, a := range got {
		if len(a.Shape) == 0 || a.Shape[0] != 1 {
			return fmt.Errorf("output %s is %v for one picture: the first dimension is the batch", s.outs[k].name, a.Shape)
		}
		s.outs[k].row, s.outs[k].size = a.Shape[1:], len(a.Data)
	}
	s.loose = !dense && !fixed(declared, got)
	if s.maxBatch == 1 {
		return nil
	}
	if err := s.together(probe, dense); err != nil {
		s.maxBatch, s.alone = 1, err
	}
	return nil
}

// fixed reports whether the file declares each output's shape for a picture.
func fixed(declared []ort.Port, got []ort.Array) bool {
	for k, a := range got {
		if len(declared[k].Shape) != len(a.Shape) || slices.Contains(declared[k].Shape[1:], -1) {
			return false
		}
	}
	return true
}

// together tells why a model cannot take several pictures in a run. Outputs that hold a place for everything are compared with those of a picture alone; boxes that are the best of many may change
// places for a last bit, and are not.
func (s *session) together(probe *slot, dense bool) error {
	n := s.maxBatch
	all, err := probe.compute(n)
	if err != nil {
		return err
	}
	for k, a := range all {
		if len(a.Shape) == 0 || a.Shape[0] != int64(n) {
			return fmt.Errorf("output %s is %v for %d", s.outs[k].name, a.Shape, n)
		}
		if !s.loose && !slices.Equal(a.Shape[1:], s.outs[k].row) {
			return fmt.Errorf("output %s is %v for %d and %v for one", s.outs[k].name, a.Shape, n, s.outs[k].row)
		}
	}
	if !dense {
		return nil
	}
	last := n - 1
	copy(probe.in, probe.in[last*s.size:])
	alone, err := probe.compute(1)
	if err != nil {
		return err
	}
	for k, a := range alone {
		for i, v := range all[k].Data[last*len(a.Data):] {
			if v == v && !near(v, a.Data[i]) {
				return fmt.Errorf("output %s has %v of a picture alone and %v of the same picture in a run of %d: the model mixes them", s.outs[k].name, a.Data[i], v, n)
			}
		}
	}
	return nil
}
