// Package boxes reads what a model of pictures says: the class of a frame, or the boxes in it after threshold and suppression. One file a form of outputs.
package boxes

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"andon/event"
	"andon/model"
)

// MaxBoxes is how many boxes of a picture are kept, the surest; candidates beyond maxCandidates are not looked at, so that a model that finds something everywhere costs no more than a few milliseconds.
const (
	MaxBoxes      = 300
	maxCandidates = 4096
)

// sliver is what rounding leaves in the picture of a box that only touches its edge.
const sliver = 1e-6

// Read returns what the i-th picture of a run shows, given the outputs of a model whose Picture is p, as scorer.See returns them.
//
// Of a detection it appends to dst the boxes of at least p.Threshold, suppressed by p.Overlap (the forms end-to-end and ssd bring theirs suppressed already, and ssd's are suppressed once more where Overlap is
// below 1), surest first, MaxBoxes at most, in 0..1 of the picture and cut at its edges; label is empty and risk the surest box's score, 0 without boxes.
//
// Of a classification label is the most probable class, empty where it does not reach p.Threshold, and risk its probability; where p.Normal names a class risk is the probability of all others together, that
// there is something to see.
//
// An output of another shape than the form's, and numbers that are not finite or no probabilities, are an error that says what was there; dst comes back as it was. Safe for concurrent use.
func Read(p *model.Picture, outs []model.Tensor, i int, dst []event.Box) (found []event.Box, label string, risk float32, err error) {
	switch p.Form {
	case model.FormProbabilities, model.FormLogits:
		label, risk, err = class(p, outs, i)
		if err != nil {
			return dst, "", 0, fmt.Errorf("read %s: %w", p.Form, err)
		}
		return dst, label, risk, nil
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.list = s.list[:0]
	overlap := p.Overlap
	switch p.Form {
	case model.FormYOLOv8:
		err = s.yolov8(p, outs, i)
	case model.FormYOLOv5:
		err = s.yolov5(p, outs, i)
	case model.FormEndToEnd:
		overlap = 1
		err = s.endToEnd(p, outs, i)
	case model.FormSSD:
		err = s.ssd(p, outs, i)
	default:
		err = errors.New("it is no form of outputs")
	}
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return dst, "", 0, fmt.Errorf("read %s: %w", p.Form, err)
	}
	from := len(dst)
	for _, c := range s.suppress(overlap) {
		b := event.Box{Label: p.Labels[c.class], Score: min(c.score, 1), X0: max(c.x0, 0), Y0: max(c.y0, 0), X1: min(c.x1, 1), Y1: min(c.y1, 1)}
		if b.X1-b.X0 > sliver && b.Y1-b.Y0 > sliver {
			dst = append(dst, b)
		}
	}
	if len(dst) > from {
		risk = dst[from].Score
	}
	return dst, "", risk, nil
}

// Overlap is the intersection of two boxes over their union, 0 to 1.
func Overlap(a, b event.Box) float32 {
	return overlapOf(&candidate{x0: a.X0, y0: a.Y0, x1: a.X1, y1: a.Y1}, &candidate{x0: b.X0, y0: b.Y0, x1: b.X1, y1: b.Y1})
}

// candidate is a box that reaches the threshold, in 0..1 of the picture. at is its place in the output.
type candidate struct {
	x0, y0, x1, y1, score float32
	class, at             int32
}

// scratch is the memory of one call.
type scratch struct {
	list []candidate
	best []float32
	whom []int32
}

var scratches = sync.Pool{New: func() any { return &scratch{} }}

// add takes a candidate; boxes without an area are none.
func (s *scratch) add(c candidate) {
	if c.x1 <= c.x0 || c.y1 <= c.y0 {
		return
	}
	s.list = append(s.list, c)
}

// check refuses candidates that no detector means.
func (s *scratch) check() error {
	for i := range s.list {
		c := &s.list[i]
		if sum := c.x0 + c.y0 + c.x1 + c.y1; sum*0 != 0 {
			return fmt.Errorf("box %d is %v, %v, %v, %v: not finite", c.at, c.x0, c.y0, c.x1, c.y1)
		}
		if err := probable(c.score); err != nil {
			return fmt.Errorf("box %d: %w", c.at, err)
		}
	}
	return nil
}

// probable refuses what is no probability; a little more than 1 is rounding.
func probable(v float32) error {
	if !(v >= 0 && v <= 1.001) {
		return fmt.Errorf("a confidence of %v is not between 0 and 1: the file gives numbers before a sigmoid or softmax, or is of another form", v)
	}
	return nil
}

// output returns the numbers of the i-th picture of the at-th output, and the output's shape behind the batch; want says what its dimensions should be, 0 where that is open.
func output(outs []model.Tensor, at, i int, form string, want ...int) ([]float32, []int, error) {
	if at >= len(outs) {
		return nil, nil, fmt.Errorf("the model has %d outputs, %s is output %d", len(outs), form, at+1)
	}
	t := &outs[at]
	ok := len(t.Shape) == len(want)+1
	size, total := 1, 1
	for d, n := range t.Shape {
		ok = ok && n >= 0 && (d == 0 || want[d-1] == 0 || want[d-1] == n)
		if ok && d > 0 {
			size *= n
		}
	}
	if !ok {
		return nil, nil, fmt.Errorf("output %s is %v, it should be %s", t.Name, t.Shape, form)
	}
	total = t.Shape[0] * size
	if total != len(t.Data) {
		return nil, nil, fmt.Errorf("output %s is %v and holds %d numbers", t.Name, t.Shape, len(t.Data))
	}
	if i < 0 || i >= t.Shape[0] {
		return nil, nil, fmt.Errorf("output %s is of %d pictures, there is none at %d", t.Name, t.Shape[0], i)
	}
	return t.Data[i*size : (i+1)*size], t.Shape[1:], nil
}

// anyNotFinite finds the first number that is not finite.
func anyNotFinite(v []float32) error {
	if i := slices.IndexFunc(v, func(x float32) bool { return x*0 != 0 }); i >= 0 {
		return fmt.Errorf("number %d is %v: not finite", i, v[i])
	}
	return nil
}
