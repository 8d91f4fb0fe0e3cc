package fit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Mark is a thing in a frame: its class, by its place among the classes, and its box in pixels.
type Mark struct {
	Class          int
	X0, Y0, X1, Y1 float64
}

// Scenes is frames with everything of interest that they show; a frame without marks shows nothing.
type Scenes struct {
	Height, Width int
	// Pixels holds the frames one after the other, each row-major [3, Height, Width].
	Pixels []byte
	Marks  [][]Mark
	// Weights are factors of the frames' losses; nil is 1 for all.
	Weights []float32
	// Balance draws frames of rare classes, and those with nothing where these are rare, more often.
	Balance bool
	// Augment says how a frame may also look in training.
	Augment Augment
}

// Len returns the number of frames.
func (s *Scenes) Len() int { return len(s.Marks) }

// Frame returns the i-th frame, which is part of Pixels.
func (s *Scenes) Frame(i int) []byte {
	n := 3 * s.Height * s.Width
	return s.Pixels[i*n : (i+1)*n]
}

// Scale returns the mean and the standard deviation of the pixels in [0, 1].
func (s *Scenes) Scale() (center, spread float64) {
	return (&Crops{Pixels: s.Pixels}).Scale()
}

// Typical returns the geometric mean of the marks' sizes, or an eighth of the frame where there are none.
func (s *Scenes) Typical() (width, height float64) {
	n, w, h := 0.0, 0.0, 0.0
	for _, marks := range s.Marks {
		for _, m := range marks {
			n, w, h = n+1, w+math.Log(m.X1-m.X0), h+math.Log(m.Y1-m.Y0)
		}
	}
	if n == 0 {
		return float64(s.Width) / 8, float64(s.Height) / 8
	}
	return math.Exp(w / n), math.Exp(h / n)
}

// fits refuses a set that a detector cannot learn from.
func (s *Scenes) fits(n *Detector) error {
	switch {
	case s.Len() == 0:
		return fmt.Errorf("there are no frames")
	case s.Height != n.Height || s.Width != n.Width:
		return fmt.Errorf("frames are %d x %d, the network reads %d x %d", s.Width, s.Height, n.Width, n.Height)
	case len(s.Pixels) != s.Len()*3*s.Height*s.Width:
		return fmt.Errorf("%d frames of 3 x %d x %d need %d pixels, there are %d", s.Len(), s.Height, s.Width, s.Len()*3*s.Height*s.Width, len(s.Pixels))
	case s.Weights != nil && len(s.Weights) != s.Len():
		return fmt.Errorf("%d frames have %d weights", s.Len(), len(s.Weights))
	}
	for i, marks := range s.Marks {
		for _, m := range marks {
			if m.Class < 0 || m.Class >= len(n.Classes) {
				return fmt.Errorf("frame %d shows a thing of class %d, there are %d", i, m.Class, len(n.Classes))
			}
			if !(m.X1 > m.X0 && m.Y1 > m.Y0) {
				return fmt.Errorf("frame %d: the box %v, %v, %v, %v has no area", i, m.X0, m.Y0, m.X1, m.Y1)
			}
		}
	}
	return s.Augment.validate(s.Height, s.Width)
}

// aimed is scenes with the network whose targets they become.
type aimed struct {
	*Scenes
	net *Detector
}

// often is the share of frames that a class has without being drawn more often than its frames are: a class of fewer gets the square root of what is missing (repeat factors: Gupta, Dollár and Girshick 2019, LVIS).
const often = 0.5

// order shuffles; with Balance frames are drawn by the rarest that they show.
func (a *aimed) order(dst []int, rng *rand.Rand) {
	for i := range dst {
		dst[i] = i
	}
	if a.Balance {
		factors := a.factors()
		total := 0.0
		for _, f := range factors {
			total += f
		}
		// Every frame's share of the epoch, taken at even steps from a random start: nobody is drawn twice before its turn.
		at, sum, step := rng.Float64(), 0.0, total/float64(len(dst))
		next := at * step
		k := 0
		for i, f := range factors {
			sum += f
			for ; k < len(dst) && next < sum; k++ {
				dst[k] = i
				next += step
			}
		}
		for ; k < len(dst); k++ { // rounding
			dst[k] = len(factors) - 1
		}
	}
	rng.Shuffle(len(dst), func(i, j int) { dst[i], dst[j] = dst[j], dst[i] })
}

// factors returns how often each frame is drawn beside the others; what shows nothing is a class, too.
func (a *aimed) factors() []float64 {
	c := len(a.net.Classes)
	count := make([]int, c+1)
	shown := make([][]int, a.Len())
	for i, marks := range a.Marks {
		for _, m := range marks {
			if !slices.Contains(shown[i], m.Class) {
				shown[i] = append(shown[i], m.Class)
			}
		}
		if len(marks) == 0 {
			shown[i] = []int{c}
		}
		for _, k := range shown[i] {
			count[k]++
		}
	}
	factors := make([]float64, a.Len())
	for i := range factors {
		for _, k := range shown[i] {
			factors[i] = max(factors[i], 1, math.Sqrt(often*float64(a.Len())/float64(count[k])))
		}
	}
	return factors
}

func (a *aimed) weight(i int) float32 {
	if a.Weights == nil {
		return 1
	}
	return a.Weights[i]
}

func (a *aimed) learn(i int, x, y []float32, rng *rand.Rand) float32 {
	look := a.Augment.look(a.Height, a.Width, rng)
	look.draw(x, a.Frame(i))
	a.net.aim(y, look.move(a.Marks[i]))
	return a.weight(i)
}

func (a *aimed) show(from, n int, buf []float32) []float32 {
	size := 3 * a.Height * a.Width
	buf = buf[:n*size]
	for i, p := range a.Pixels[from*size : (from+n)*size] {
		buf[i] = float32(p) / 255
	}
	return buf
}

// judge is the mean loss, by the frames' weights.
func (a *aimed) judge(said []float32) float64 {
	k := a.net.answers()
	target := make([]float32, k)
	sum, weights := 0.0, 0.0
	for i := range a.Len() {
		a.net.aim(target, a.Marks[i])
		w := float64(a.weight(i))
		sum += w * a.net.lossOf(said[i*k:(i+1)*k], target)
		weights += w
	}
	return sum / weights
}

// Of a target: a bump is bumpWidth of the thing's size wide (its deviation; Liu et al. 2020, "TTFNet"), at least leastBump cells, and ends where it is lower than bumpEnd.
const (
	bumpWidth = 0.54 / 6
	leastBump = 0.5
	bumpEnd   = 0.05
)

// aim writes what the network should say of a frame with these marks: a bump of 1 at each centre's cell in its class's plane and, under the bump, where the centre is and how large the thing.
func (n Detector) aim(y []float32, marks []Mark) {
	clear(y)
	rows, columns, stride := n.grid()
	c, cells := len(n.Classes), rows*columns
	// Of two things at a cell the one whose bump is higher there is told of.
	highest := make([]float32, cells)
	for _, m := range marks {
		cx, cy, w, h := (m.X0+m.X1)/2, (m.Y0+m.Y1)/2, m.X1-m.X0, m.Y1-m.Y0
		s := float64(stride)
		col, row := int(math.Round((cx-0.5)/s)), int(math.Round((cy-0.5)/s))
		if col < 0 || row < 0 || col >= columns || row >= rows {
			continue
		}
		sx, sy := max(bumpWidth*w/s, leastBump), max(bumpWidth*h/s, leastBump)
		reach := math.Sqrt(-2 * math.Log(bumpEnd))
		rx, ry := int(reach*sx), int(reach*sy)
		for r := max(row-ry, 0); r <= min(row+ry, rows-1); r++ {
			for k := max(col-rx, 0); k <= min(col+rx, columns-1); k++ {
				dx, dy := float64(k-col)/sx, float64(r-row)/sy
				v := float32(math.Exp(-(dx*dx + dy*dy) / 2))
				at := r*columns + k
				if v < bumpEnd {
					continue
				}
				y[m.Class*cells+at] = max(y[m.Class*cells+at], v)
				if v <= highest[at] {
					continue
				}
				highest[at] = v
				y[c*cells+at], y[(c+1)*cells+at] = float32((cx-0.5)/s-float64(k)), float32((cy-0.5)/s-float64(r))
				y[(c+2)*cells+at], y[(c+3)*cells+at] = float32(math.Log(w/n.TypicalWidth)), float32(math.Log(h/n.TypicalHeight))
			}
		}
	}
}
