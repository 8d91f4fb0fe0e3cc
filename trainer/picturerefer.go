package trainer

import (
	"cmp"
	"fmt"
	"slices"

	"andon/model"
	"andon/model/ort"
)

// ReferPictures makes the reference of a model of pictures of what it was made from; see model.Refer. Of meta it may keep nothing.
type ReferPictures func(meta *model.Meta) PictureReference

// PictureReference gathers frames by camera and in order of time.
type PictureReference interface {
	// Wants tells whether a frame counts, before it is decoded and seen. learned tells that the model learned from it, or from one beside it.
	Wants(camera string, captured int64, learned bool) bool
	// Add takes a frame that is wanted; it keeps nothing of it.
	Add(f *SeenFrame) error
	// File returns the reference, nil where the frames say too little.
	File() ([]byte, error)
}

// SeenFrame is a frame as a model saw it: whole, or all that it is shown of it.
type SeenFrame struct {
	Camera   string
	Captured int64
	Learned  bool
	Pictures []SeenPicture
}

// SeenPicture is a picture, what the model's file gives of it, and what is true.
type SeenPicture struct {
	Planes []float32 // [3, Height, Width], 0 to 1
	Outs   []model.Tensor
	// Class is the true class of a classification, Something whether a detection has anything to find.
	Class     string
	Something bool
}

// refer adds the reference to a model's file: of the frames that it learned from, and of those that it did not, which say more of it. Frames that labels tell of only in part, as of one of two zones, are left out: the
// line sees them whole.
func (d *drawn) refer(p *Pipeline, meta *model.Meta) ([]byte, error) {
	if p.ReferPictures == nil {
		return d.file, nil
	}
	fault := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("make the model's drift reference: %w", err)
	}
	judged := map[int]bool{}
	for _, i := range slices.Concat(d.parts.val, d.parts.held) {
		judged[i] = true
	}
	learned := map[int]bool{}
	for _, i := range d.parts.train {
		learned[i] = true
	}
	r := p.ReferPictures(meta)
	look, err := newLooker(d.file, meta.Picture)
	if err != nil {
		return fault(err)
	}
	defer look.close()
	order := make([]int, len(d.g.all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := &d.g.all[a], &d.g.all[b]
		return cmp.Or(cmp.Compare(x.camera, y.camera), cmp.Compare(x.captured, y.captured))
	})
	for from := 0; from < len(order); {
		e, to := &d.g.all[order[from]], from+1
		for ; to < len(order) && d.g.all[order[to]].camera == e.camera && d.g.all[order[to]].captured == e.captured; to++ {
		}
		rows := order[from:to]
		from = to
		// What lies beside another part's frames is of neither; it is nearly what was learned.
		f := SeenFrame{Camera: e.camera, Captured: e.captured, Learned: slices.ContainsFunc(rows, func(i int) bool { return learned[i] || !judged[i] })}
		if len(rows) != len(p.Sight.crops(e.camera)) || !r.Wants(f.Camera, f.Captured, f.Learned) {
			continue
		}
		for _, i := range rows {
			planes, outs, err := look.at(d.g.all[i].pixels)
			if err != nil {
				return fault(err)
			}
			q := SeenPicture{Planes: planes, Outs: outs, Something: len(d.g.all[i].marks) > 0}
			if c := d.g.all[i].class; c >= 0 {
				q.Class = meta.Picture.Labels[c]
			}
			f.Pictures = append(f.Pictures, q)
		}
		if err := r.Add(&f); err != nil {
			return fault(err)
		}
	}
	data, err := r.File()
	if err != nil {
		return fault(err)
	}
	if len(data) == 0 {
		return d.file, nil
	}
	return model.Refer(d.file, data)
}

// looker runs a model's file on one picture at a time.
type looker struct {
	session *ort.Session
	in      *ort.Tensor[float32]
}

func newLooker(file []byte, p *model.Picture) (*looker, error) {
	session, err := ort.NewSession(file, ort.Options{Inputs: []string{model.Frame}})
	if err != nil {
		return nil, err
	}
	in, err := ort.NewTensor[float32](1, 3, int64(p.Height), int64(p.Width))
	if err != nil {
		session.Close()
		return nil, err
	}
	return &looker{session, in}, nil
}

func (l *looker) close() {
	l.in.Close()
	l.session.Close()
}

// at returns a picture's planes and what the model gives of it.
func (l *looker) at(pixels []byte) (planes []float32, outs []model.Tensor, err error) {
	for k, v := range pixels {
		l.in.Data()[k] = float32(v) / 255
	}
	got, err := l.session.Compute([]ort.Value{l.in})
	if err != nil {
		return nil, nil, err
	}
	for k, a := range got {
		t := model.Tensor{Name: l.session.Outputs()[k].Name, Data: a.Data}
		for _, n := range a.Shape {
			t.Shape = append(t.Shape, int(n))
		}
		outs = append(outs, t)
	}
	return slices.Clone(l.in.Data()), outs, nil
}
