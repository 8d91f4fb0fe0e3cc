package fit

import (
	"fmt"
	"math/rand/v2"
)

// Augment says how a crop may also look: only what leaves its class true belongs here, so a caller who knows the camera chooses.
type Augment struct {
	// Flip mirrors left and right, and top and bottom. Turn also turns by quarters, which wants square crops.
	Flip, Turn bool
	// Shift moves the crop by up to so many pixels each way; what comes in at the edge is mirrored.
	Shift int
	// Brightness is added, up to so much either way, to pixels in [0, 1]; Contrast stretches them about their mean by up to this share. Results stay in [0, 1].
	Brightness, Contrast float64
}

func (a Augment) validate(height, width int) error {
	switch {
	case a.Turn && height != width:
		return fmt.Errorf("augment: turn wants square crops, these are %d x %d", width, height)
	case a.Shift < 0 || a.Shift >= min(height, width):
		return fmt.Errorf("augment: shift: %d is not between 0 and the crop's side", a.Shift)
	case a.Brightness < 0 || a.Brightness >= 1:
		return fmt.Errorf("augment: brightness: %v is not 0 or more and less than 1", a.Brightness)
	case a.Contrast < 0 || a.Contrast >= 1:
		return fmt.Errorf("augment: contrast: %v is not 0 or more and less than 1", a.Contrast)
	}
	return nil
}

// draw writes a crop as it looks this time to dst, in [0, 1].
func (a Augment) draw(dst []float32, crop []byte, height, width int, rng *rand.Rand) {
	var flipX, flipY, swap bool
	if a.Flip || a.Turn {
		flipX, flipY = rng.IntN(2) == 1, rng.IntN(2) == 1
		swap = a.Turn && rng.IntN(2) == 1
		if !a.Flip && swap == (flipX == flipY) {
			flipX = !flipX // without mirrors: the turns are none, both, and either one with the axes swapped
		}
	}
	var dx, dy int
	if a.Shift > 0 {
		dx, dy = rng.IntN(2*a.Shift+1)-a.Shift, rng.IntN(2*a.Shift+1)-a.Shift
	}
	gain, add := 1.0, 0.0
	if a.Brightness > 0 || a.Contrast > 0 {
		gain = 1 + a.Contrast*(2*rng.Float64()-1)
		add = a.Brightness * (2*rng.Float64() - 1)
		mean := 0.0
		for _, p := range crop {
			mean += float64(p) / 255 / float64(len(crop))
		}
		add += mean * (1 - gain)
	}
	var level [256]float32
	for p := range level {
		level[p] = float32(min(max(float64(p)/255*gain+add, 0), 1))
	}
	plane := height * width
	for at := range plane {
		row, col := at/width, at%width
		if swap {
			row, col = col, row
		}
		if flipY {
			row = height - 1 - row
		}
		if flipX {
			col = width - 1 - col
		}
		from := mirror(row+dy, height)*width + mirror(col+dx, width)
		for c := 0; c < len(crop); c += plane {
			dst[c+at] = level[crop[c+from]]
		}
	}
}

// mirror brings an index that is at most n-1 beyond an edge back.
func mirror(i, n int) int {
	if i < 0 {
		return -i
	}
	if i >= n {
		return 2*n - 2 - i
	}
	return i
}
