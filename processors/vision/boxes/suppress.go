package boxes

import (
	"cmp"
	"slices"
)

// suppress returns the candidates, surest first, without those that overlap a surer one of their class by more than the share: greedy non-maximum suppression (Felzenszwalb, Girshick, McAllester and Ramanan,
// "Object detection with discriminatively trained part-based models", 2010, section 7.2; Neubeck and Van Gool, "Efficient non-maximum suppression", 2006). Of two that are equally sure the first of the output
// counts as the surer. It works in the list.
func (s *scratch) suppress(overlap float32) []candidate {
	list := s.list
	slices.SortFunc(list, func(a, b candidate) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.at, b.at)) })
	list = list[:min(len(list), maxCandidates)]
	if overlap >= 1 {
		return list[:min(len(list), MaxBoxes)]
	}
	kept := 0
next:
	for i := range list {
		for k := range kept {
			if list[k].class == list[i].class && overlapOf(&list[k], &list[i]) > overlap {
				continue next
			}
		}
		list[kept] = list[i]
		if kept++; kept == MaxBoxes {
			break
		}
	}
	return list[:kept]
}

func overlapOf(a, b *candidate) float32 {
	w, h := min(a.x1, b.x1)-max(a.x0, b.x0), min(a.y1, b.y1)-max(a.y0, b.y0)
	if w <= 0 || h <= 0 {
		return 0
	}
	both := w * h
	return both / ((a.x1-a.x0)*(a.y1-a.y0) + (b.x1-b.x0)*(b.y1-b.y0) - both)
}
