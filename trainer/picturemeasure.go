package trainer

import (
	"cmp"
	"math"
	"slices"

	"andon/event"
	"andon/model"
)

// sights runs a model's file on examples, one at a time, and returns what the code that serves reads of each, with boxes and classes of any confidence above the least.
func (g *gallery) sights(file []byte, p model.Picture, s *Sight, rows []int, least float32) (boxes [][]event.Box, labels []string, err error) {
	p.Threshold = least
	look, err := newLooker(file, &p)
	if err != nil {
		return nil, nil, err
	}
	defer look.close()
	for _, i := range rows {
		_, outs, err := look.at(g.all[i].pixels)
		if err != nil {
			return nil, nil, err
		}
		found, label, _, err := s.Read(&p, outs, 0, nil)
		if err != nil {
			return nil, nil, err
		}
		boxes, labels = append(boxes, found), append(labels, label)
	}
	return boxes, labels, nil
}

// recalls returns the share of right answers, over all and of each class that there is.
func (g *gallery) recalls(names []string, rows []int, said []string) (accuracy float64, each map[string]float64) {
	each = map[string]float64{}
	right, there, all := map[string]float64{}, map[string]float64{}, 0.0
	for n, i := range rows {
		truth := names[g.all[i].class]
		there[truth]++
		if said[n] == truth {
			right[truth]++
			all++
		}
	}
	for c, n := range there {
		each[c] = right[c] / n
	}
	return all / math.Max(float64(len(rows)), 1), each
}

// shot is one box that a detector says, and whether it found something that no surer box had.
type shot struct {
	score float32
	hit   bool
}

// shoot matches boxes with marks as the VOC challenge has it (Everingham et al. 2010): surest first, each to the mark of its class in its frame that it overlaps most, by at least a half of their union, and each mark once.
func (g *gallery) shoot(p *PictureSpec, rows []int, boxes [][]event.Box) (shots [][]shot, there []int) {
	shots, there = make([][]shot, len(p.Labels)), make([]int, len(p.Labels))
	w, h := float64(p.Width), float64(p.Height)
	for n, i := range rows {
		marks := g.all[i].marks
		taken := make([]bool, len(marks))
		for _, m := range marks {
			there[m.Class]++
		}
		found := slices.Clone(boxes[n])
		slices.SortStableFunc(found, func(a, b event.Box) int { return cmp.Compare(b.Score, a.Score) })
		for _, b := range found {
			class := slices.Index(p.Labels, b.Label)
			best, at := 0.5, -1
			for j, m := range marks {
				x, y := math.Min(m.X1, float64(b.X1)*w)-math.Max(m.X0, float64(b.X0)*w), math.Min(m.Y1, float64(b.Y1)*h)-math.Max(m.Y0, float64(b.Y0)*h)
				if m.Class != class || x <= 0 || y <= 0 {
					continue
				}
				if v := x * y / ((m.X1-m.X0)*(m.Y1-m.Y0) + float64(b.X1-b.X0)*w*float64(b.Y1-b.Y0)*h - x*y); v >= best {
					best, at = v, j
				}
			}
			hit := at >= 0 && !taken[at]
			if hit {
				taken[at] = true
			}
			shots[class] = append(shots[class], shot{b.Score, hit})
		}
	}
	for c := range shots {
		slices.SortStableFunc(shots[c], func(a, b shot) int { return cmp.Compare(b.score, a.score) })
	}
	return shots, there
}

// averagePrecision is the area under the precision that is reached at any recall or a higher one (VOC 2010).
func averagePrecision(shots []shot, there int) float64 {
	precision, hits := make([]float64, len(shots)), 0
	for i, s := range shots {
		if s.hit {
			hits++
		}
		precision[i] = float64(hits) / float64(i+1)
	}
	for i := len(precision) - 2; i >= 0; i-- {
		precision[i] = math.Max(precision[i], precision[i+1])
	}
	area := 0.0
	for i, s := range shots {
		if s.hit {
			area += precision[i] / float64(there)
		}
	}
	return area
}

// bestThreshold returns the confidence at which precision and recall over all classes together have the highest harmonic mean, in the middle of the gap to the next, and that mean.
func bestThreshold(shots [][]shot, there []int) (threshold float32, f1 float64) {
	all, total := slices.Concat(shots...), 0
	for _, n := range there {
		total += n
	}
	slices.SortStableFunc(all, func(a, b shot) int { return cmp.Compare(b.score, a.score) })
	threshold, hits := 0.5, 0
	for i, s := range all {
		if s.hit {
			hits++
		}
		if i+1 < len(all) && all[i+1].score == s.score {
			continue
		}
		if f := 2 * float64(hits) / float64(i+1+total); f > f1 {
			next := float32(0)
			if i+1 < len(all) {
				next = all[i+1].score
			}
			threshold, f1 = (s.score+next)/2, f
		}
	}
	return min(max(threshold, 0.1), 0.9), f1
}
