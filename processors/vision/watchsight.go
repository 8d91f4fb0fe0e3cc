package vision

import (
	"math"

	"andon/event"
	"andon/model"
	"andon/processors/drift"
	"andon/processors/vision/boxes"
)

// mostClasses bounds the classes whose probabilities are watched one by one; of a model with more its risk is.
const mostClasses = 16

// The names of what the model says, and of what it is expected to lose by it.
const (
	inputCamera = "camera"
	inputRisk   = "risk"
	inputBoxes  = "boxes"
	inputLoss   = "loss"
)

// inputs names what is watched of a model's frames beside a reference, which may be nil. The camera is the first.
func inputs(m *model.Model, p *drift.Pictures) (names, roles []string) {
	add := func(role string, all ...string) {
		for _, name := range all {
			names, roles = append(names, name), append(roles, role)
		}
	}
	add(event.RoleInput, inputCamera)
	add(event.RoleInput, lightNames...)
	add(event.RolePrediction, inputRisk)
	switch {
	case m.Task == model.Detection:
		add(event.RolePrediction, inputBoxes)
	case len(m.Picture.Labels) <= mostClasses:
		for _, label := range m.Picture.Labels {
			add(event.RolePrediction, "P("+label+")")
		}
	}
	if p != nil && p.Judges {
		add(event.RoleLoss, inputLoss)
	}
	if p != nil && p.Kernel != nil {
		add(event.RoleTogether, drift.EmbeddingName)
	}
	return names, roles
}

// sight is one frame as it is watched.
type sight struct {
	light light
	// probabilities are the classes' in the middle of its pictures, embedding the mean of theirs; empty where the model gives none.
	probabilities []float64
	embedding     []float32
	label         string
	risk          float64
	boxes         int
	// sure is what the model says how probable it is that it is right: of the class that it told, or that there is something.
	sure float64

	buf []float64
}

// of takes what the chunk's model got and gave of a frame.
func (x *sight) of(c *chunk, f *looked, s *event.Sight) {
	x.begin(s.Label, s.Risk, len(s.Boxes))
	for i := range f.camera.plans {
		p := &f.camera.plans[i]
		size := 3 * p.Width * p.Height
		at := (f.first + i) * size // the pictures of a model are of one size
		x.add(c.model, p, c.planes[at:at+size], c.outs, f.first+i, len(f.camera.plans))
	}
}

func (x *sight) begin(label string, risk float32, boxes int) {
	*x = sight{label: label, risk: float64(risk), boxes: boxes, sure: float64(risk), probabilities: x.probabilities[:0], embedding: x.embedding[:0], buf: x.buf}
}

// add takes one of the frame's n pictures: its planes, and the i-th of the model's outputs.
func (x *sight) add(m *model.Model, p *Plan, planes []float32, outs []model.Tensor, i, n int) {
	x.light.add(planes, p)
	if m.Task == model.Classification {
		x.classes(m, outs, i, n)
	}
	for k := 1; k < len(outs); k++ { // the first is what is read
		o := &outs[k]
		if o.Name != model.Embedding || len(o.Shape) != 2 {
			continue
		}
		if len(x.embedding) == 0 {
			x.embedding = append(x.embedding, make([]float32, o.Shape[1])...)
		}
		for j, v := range o.Data[i*o.Shape[1] : (i+1)*o.Shape[1]] {
			x.embedding[j] += v / float32(n)
		}
	}
}

// classes takes the classes' probabilities, and how sure the one that was told is.
func (x *sight) classes(m *model.Model, outs []model.Tensor, i, n int) {
	labels := m.Picture.Labels
	var err error
	if x.buf, err = boxes.Probabilities(m.Picture, outs, i, x.buf[:0]); err != nil {
		return // Read has seen the same output already
	}
	if len(x.probabilities) == 0 {
		x.probabilities, x.sure = append(x.probabilities, make([]float64, len(labels))...), 0
	}
	for j, v := range x.buf {
		x.probabilities[j] += v / float64(n)
		if labels[j] == x.label {
			x.sure = math.Max(x.sure, v)
		}
	}
}

// append appends what inputs names but for the camera, and for the embedding, which is another's word.
func (x *sight) append(dst []float64, m *model.Model, p *drift.Pictures) []float64 {
	dst = append(x.light.append(dst), x.risk)
	switch {
	case m.Task == model.Detection:
		dst = append(dst, float64(x.boxes))
	case len(m.Picture.Labels) <= mostClasses:
		dst = append(dst, x.probabilities...)
	}
	if p != nil && p.Judges {
		dst = append(dst, x.loss(m.Task, p.Sure))
	}
	return dst
}

// loss is what the model is expected to lose by the frame, as outcomes are measured (trainer/truth): of a classification how probable it is that the class is another, of a detection the expected square of the risk's distance
// from whether there is something.
func (x *sight) loss(task model.Task, sure drift.Isotonic) float64 {
	p := sure.At(x.sure)
	switch {
	case task == model.Detection:
		return p*(1-x.risk)*(1-x.risk) + (1-p)*x.risk*x.risk
	case x.label == "":
		return 1 // nothing is told, which is never the truth
	}
	return 1 - p
}
