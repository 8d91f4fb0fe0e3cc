package vision

import "math"

// light sums up what the pixels of a frame's pictures are like, as the model gets them, without its mean and std: values of 0 to 1.
type light struct {
	n, luma, squares float64
	steps, edges     float64 // differences of neighbours, and how many
	chroma           float64
	rgb              [3]float64
}

// lightPixels is about how many pixels of a picture are looked at, on a grid: the mean of so many is known to a hundredth of their deviation.
const lightPixels = 1 << 14

// add looks at a picture: planes are [3, Height, Width] scaled as the plan says.
func (l *light) add(planes []float32, p *Plan) {
	size := p.Width * p.Height
	var scale, shift [3]float64
	for c := range 3 {
		if scale[c], shift[c] = float64(p.Std[c]), float64(p.Mean[c]); p.Std == [3]float32{} {
			scale[c] = 1
		}
	}
	at := func(i int) (x [3]float64, luma float64) {
		for c := range 3 {
			x[c] = float64(planes[c*size+i])*scale[c] + shift[c]
		}
		return x, 0.299*x[0] + 0.587*x[1] + 0.114*x[2] // of Rec. ITU-R BT.601, as in JPEG
	}
	step := max(int(math.Sqrt(float64(size)/lightPixels)), 1)
	for y := 0; y < p.Height; y += step {
		for x := 0; x < p.Width; x += step {
			i := y*p.Width + x
			v, luma := at(i)
			l.n++
			l.luma += luma
			l.squares += float64(luma * luma)
			l.chroma += max(v[0], v[1], v[2]) - min(v[0], v[1], v[2])
			for c := range v {
				l.rgb[c] += v[c]
			}
			if x+1 < p.Width {
				_, right := at(i + 1)
				l.steps += math.Abs(right - luma)
				l.edges++
			}
			if y+1 < p.Height {
				_, below := at(i + p.Width)
				l.steps += math.Abs(below - luma)
				l.edges++
			}
		}
	}
}

// lightNames are the inputs that append tells. Each but the first is told relative to what makes it greater anyway, so that less light is a change of brightness alone, and less contrast not one of sharpness:
// contrast is luma's standard deviation over its mean, sharpness the mean absolute difference of neighbours' luma over that deviation, saturation the mean chroma over the mean of luma, red and blue are shares
// of all light.
var lightNames = []string{"brightness", "contrast", "sharpness", "saturation", "red", "blue"}

// dark is the least that is divided by: one step of eight bits.
const dark = 1.0 / 255

func (l *light) append(dst []float64) []float64 {
	n := math.Max(l.n, 1)
	luma := l.luma / n
	deviation := math.Sqrt(math.Max(l.squares/n-float64(luma*luma), 0))
	all := l.rgb[0] + l.rgb[1] + l.rgb[2]
	red, blue := 1./3, 1./3
	if all > dark*n {
		red, blue = l.rgb[0]/all, l.rgb[2]/all
	}
	return append(dst, luma, deviation/math.Max(luma, dark), l.steps/math.Max(l.edges, 1)/math.Max(deviation, dark), l.chroma/n/math.Max(luma, dark), red, blue)
}
