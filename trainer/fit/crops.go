package fit

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Crops is crops of frames with what each shows.
type Crops struct {
	Channels, Height, Width int
	// Pixels holds the crops one after the other, each row-major [Channels, Height, Width].
	Pixels []byte
	// Labels holds the class of each crop, by its place among the classes.
	Labels []int
	// Groups names what each crop was cut from: Split keeps crops of one frame, or of photos of one piece, on one side. Nil makes each crop its own group.
	Groups []string
	// Weights are factors of the classes' losses, one a class; nil is 1 for all.
	Weights []float32
	// RowWeights are factors of the crops' losses; nil is 1 for all.
	RowWeights []float32
	// Balance draws each class as often as the others in training, whatever its share; an epoch keeps its number of crops.
	Balance bool
	// Augment says how a crop may also look in training.
	Augment Augment
}

// Len returns the number of crops.
func (s *Crops) Len() int { return len(s.Labels) }

func (s *Crops) size() int { return s.Channels * s.Height * s.Width }

// Crop returns the i-th crop, which is part of Pixels.
func (s *Crops) Crop(i int) []byte { return s.Pixels[i*s.size() : (i+1)*s.size()] }

// Subset returns the named crops, which are copied, with everything else as it is here.
func (s *Crops) Subset(rows []int) *Crops {
	out := *s
	out.Pixels, out.Labels, out.Groups, out.RowWeights = nil, nil, nil, nil
	for _, i := range rows {
		out.Pixels = append(out.Pixels, s.Crop(i)...)
		out.Labels = append(out.Labels, s.Labels[i])
		if s.Groups != nil {
			out.Groups = append(out.Groups, s.Groups[i])
		}
		if s.RowWeights != nil {
			out.RowWeights = append(out.RowWeights, s.RowWeights[i])
		}
	}
	return &out
}

// Scale returns the mean and the standard deviation of the pixels in [0, 1].
func (s *Crops) Scale() (center, spread float64) {
	var count [256]float64
	for _, p := range s.Pixels {
		count[p]++
	}
	n := float64(max(len(s.Pixels), 1))
	for p, c := range count {
		center += c / n * float64(p) / 255
	}
	for p, c := range count {
		d := float64(p)/255 - center
		spread += c / n * d * d
	}
	return center, math.Sqrt(spread)
}

// Split puts about the share of each class aside: whole groups, drawn by seed. A group is drawn as of its first crop's class, and at least one group of a class
// stays. The second part is the one put aside; it is not augmented.
func (s *Crops) Split(share float64, seed uint64) (rest, aside *Crops) {
	rng := rand.New(rand.NewPCG(seed, 0x73706c6974)) //nolint:gosec // a seed, not a secret
	groups, order := map[string][]int{}, []string{}
	for i := range s.Labels {
		name := fmt.Sprint(i)
		if s.Groups != nil {
			name = s.Groups[i]
		}
		if groups[name] == nil {
			order = append(order, name)
		}
		groups[name] = append(groups[name], i)
	}
	crops, left := map[int]int{}, map[int]int{}
	for _, name := range order {
		class := s.Labels[groups[name][0]]
		crops[class] += len(groups[name])
		left[class]++
	}
	rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	var keep, away []int
	taken := map[int]int{}
	for _, name := range order {
		rows := groups[name]
		class := s.Labels[rows[0]]
		if left[class] > 1 && float64(taken[class])+float64(len(rows))/2 <= share*float64(crops[class]) {
			away = append(away, rows...)
			taken[class] += len(rows)
			left[class]--
		} else {
			keep = append(keep, rows...)
		}
	}
	aside = s.Subset(away)
	aside.Augment, aside.Balance = Augment{}, false
	return s.Subset(keep), aside
}

// fits refuses a set that a classifier cannot learn from.
func (s *Crops) fits(n *Classifier) error {
	switch {
	case s.Len() == 0:
		return fmt.Errorf("there are no crops")
	case s.Channels != n.Channels || s.Height != n.Height || s.Width != n.Width:
		return fmt.Errorf("crops are %d x %d x %d, the network reads %d x %d x %d", s.Channels, s.Height, s.Width, n.Channels, n.Height, n.Width)
	case len(s.Pixels) != s.Len()*s.size():
		return fmt.Errorf("%d crops of %d x %d x %d need %d pixels, there are %d", s.Len(), s.Channels, s.Height, s.Width, s.Len()*s.size(), len(s.Pixels))
	case s.Groups != nil && len(s.Groups) != s.Len():
		return fmt.Errorf("%d crops have %d groups", s.Len(), len(s.Groups))
	case s.RowWeights != nil && len(s.RowWeights) != s.Len():
		return fmt.Errorf("%d crops have %d weights", s.Len(), len(s.RowWeights))
	case s.Weights != nil && len(s.Weights) != len(n.Classes):
		return fmt.Errorf("%d classes have %d weights", len(n.Classes), len(s.Weights))
	}
	for i, w := range s.Weights {
		if !finite(w) || w <= 0 {
			return fmt.Errorf("the weight of class %s is %v, not above 0", n.Classes[i], w)
		}
	}
	for i, l := range s.Labels {
		if l < 0 || l >= len(n.Classes) {
			return fmt.Errorf("crop %d is of class %d, there are %d", i, l, len(n.Classes))
		}
	}
	return s.Augment.validate(s.Height, s.Width)
}

// order shuffles; with Balance it takes the classes in turns, each class's crops in an order of their own that starts again when it is through.
func (s *Crops) order(dst []int, rng *rand.Rand) {
	if !s.Balance {
		rng.Shuffle(len(dst), func(i, j int) { dst[i], dst[j] = dst[j], dst[i] })
		return
	}
	classes := make([][]int, 0)
	for i, l := range s.Labels {
		for l >= len(classes) {
			classes = append(classes, nil)
		}
		classes[l] = append(classes[l], i)
	}
	for _, rows := range classes {
		rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	}
	for at, turn := 0, 0; at < len(dst); turn++ {
		for _, rows := range classes {
			if len(rows) > 0 && at < len(dst) {
				dst[at] = rows[turn%len(rows)]
				at++
			}
		}
	}
}

// weight is of the i-th crop.
func (s *Crops) weight(i int) float32 {
	w := float32(1)
	if s.Weights != nil {
		w = s.Weights[s.Labels[i]]
	}
	if s.RowWeights != nil {
		w *= s.RowWeights[i]
	}
	return w
}

func (s *Crops) learn(i int, x, y []float32, rng *rand.Rand) float32 {
	s.Augment.draw(x, s.Crop(i), s.Height, s.Width, rng)
	clear(y)
	y[s.Labels[i]] = 1
	return s.weight(i)
}

func (s *Crops) show(from, n int, buf []float32) []float32 {
	buf = buf[:n*s.size()]
	for i, p := range s.Pixels[from*s.size() : (from+n)*s.size()] {
		buf[i] = float32(p) / 255
	}
	return buf
}

// judge is the mean cross-entropy in nats, by the classes' weights.
func (s *Crops) judge(said []float32) float64 {
	k := len(said) / s.Len()
	sum, weights := 0.0, 0.0
	for i, l := range s.Labels {
		w := float64(s.weight(i))
		sum += w * (logSum(said[i*k:(i+1)*k]) - float64(said[i*k+l]))
		weights += w
	}
	return sum / weights
}
