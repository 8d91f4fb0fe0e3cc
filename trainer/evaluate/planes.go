package evaluate

import (
	"fmt"
	"math"
	"slices"

	"andon/event"
)

// planes returns a frame as the fault shows it, [3, height, width] in 0 to 1; what it is given stays as it is. of names the frame for the lots.
func (p *Perturbation) planes(x []float32, height, width int, of string, seed uint64) ([]float32, error) {
	f := p.filled()
	rng := p.lots(seed, of)
	out := slices.Clone(x)
	clip := func(v float64) float32 { return float32(math.Min(math.Max(v, 0), 1)) }
	switch f.Kind {
	case Noise:
		for i := range out {
			out[i] = clip(float64(out[i]) + f.Size*rng.NormFloat64())
		}
	case Dark, Exposure: // of light, which pixels hold by a power of 1/2.2
		gain := math.Pow(f.Size, 1/2.2)
		for i := range out {
			out[i] = clip(float64(out[i]) * gain)
		}
	case Blur:
		line := make([]float32, max(height, width))
		for c := range 3 {
			plane := out[c*height*width : (c+1)*height*width]
			for range 3 {
				for y := range height {
					box(plane[y*width:], 1, width, int(f.Size), line)
				}
				for x := range width {
					box(plane[x:], width, height, int(f.Size), line)
				}
			}
		}
	case Occlusion:
		h, w := int(math.Sqrt(f.Share)*float64(height)), int(math.Sqrt(f.Share)*float64(width))
		y0, x0 := rng.IntN(height-h+1), rng.IntN(width-w+1)
		for c := range 3 {
			for y := y0; y < y0+h; y++ {
				for x := x0; x < x0+w; x++ {
					out[(c*height+y)*width+x] = 0.5
				}
			}
		}
	default:
		return nil, fmt.Errorf("perturb.kind: %s is for rows, and these models read frames", f.Kind)
	}
	return out, nil
}

// box averages n pixels, a stride apart, over those at most r away; pixels beyond the edge count as the edge.
func box(pixels []float32, stride, n, r int, line []float32) {
	for i := range n {
		line[i] = pixels[i*stride]
	}
	at := func(i int) float64 { return float64(line[min(max(i, 0), n-1)]) }
	sum := 0.0
	for i := -r; i <= r; i++ {
		sum += at(i)
	}
	for i := range n {
		pixels[i*stride] = float32(sum / float64(2*r+1))
		sum += at(i+r+1) - at(i-r)
	}
}

// sure returns boxes, the surest first.
func sure(boxes []event.Box) []event.Box {
	out := slices.Clone(boxes)
	slices.SortStableFunc(out, func(a, b event.Box) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	return out
}
