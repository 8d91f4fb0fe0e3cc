package fit

import (
	"fmt"
	"math"
	"math/rand/v2"

	"andon/trainer/graph"
)

// Augment says how a crop may also look: only what leaves its class true belongs here, so a caller who knows the camera chooses.
type Augment struct {
	// Flip mirrors left and right, and top and bottom; Mirror left and right only. Turn also turns by quarters, which wants square crops.
	Flip, Mirror, Turn bool
	// Shift moves the crop by up to so many pixels each way; what comes in at the edge is mirrored.
	Shift int
	// Zoom enlarges, or makes smaller, by up to this share; what comes in at the edge is mirrored.
	Zoom float64
	// Brightness is added, up to so much either way, to pixels in [0, 1], and less to crops that are nearly black or white, of which nothing would be left; Contrast stretches them about their mean by up to
	// this share. Results stay in [0, 1].
	Brightness, Contrast float64
}

func (a Augment) validate(height, width int) error {
	switch {
	case a.Turn && height != width:
		return fmt.Errorf("augment: turn wants square crops, these are %d x %d", width, height)
	case a.Shift < 0 || a.Shift >= min(height, width):
		return fmt.Errorf("augment: shift: %d is not between 0 and the crop's side", a.Shift)
	case a.Zoom < 0 || a.Zoom > 0.5:
		return fmt.Errorf("augment: zoom: %v is not between 0 and 0.5", a.Zoom)
	case a.Brightness < 0 || a.Brightness >= 1:
		return fmt.Errorf("augment: brightness: %v is not 0 or more and less than 1", a.Brightness)
	case a.Contrast < 0 || a.Contrast >= 1:
		return fmt.Errorf("augment: contrast: %v is not 0 or more and less than 1", a.Contrast)
	}
	return nil
}

// draw writes a crop as it looks this time to dst, in [0, 1].
func (a Augment) draw(dst []float32, crop []byte, height, width int, rng *rand.Rand) {
	a.look(height, width, rng).draw(dst, crop)
}

// look draws how a picture looks this time.
func (a Augment) look(height, width int, rng *rand.Rand) look {
	l := look{height: height, width: width, gain: 1, zoom: 1}
	a.Flip = a.Flip || a.Mirror && a.Turn // a mirrored crop that is turned is mirrored the other way
	if a.Flip || a.Turn {
		l.flipX, l.flipY = rng.IntN(2) == 1, rng.IntN(2) == 1
		l.swap = a.Turn && rng.IntN(2) == 1
		if !a.Flip && l.swap == (l.flipX == l.flipY) {
			l.flipX = !l.flipX // without mirrors: the turns are none, both, and either one with the axes swapped
		}
	} else if a.Mirror {
		l.flipX = rng.IntN(2) == 1
	}
	if a.Shift > 0 {
		l.dx, l.dy = rng.IntN(2*a.Shift+1)-a.Shift, rng.IntN(2*a.Shift+1)-a.Shift
	}
	if a.Zoom > 0 {
		l.zoom = math.Exp(math.Log(1+a.Zoom) * (2*rng.Float64() - 1))
	}
	if a.Brightness > 0 || a.Contrast > 0 {
		l.gain = 1 + a.Contrast*(2*rng.Float64()-1)
		l.add = a.Brightness * (2*rng.Float64() - 1)
	}
	return l
}

// look is how a picture looks once: mirrored and turned, then enlarged about its middle, then moved, then lighter or darker.
type look struct {
	height, width      int
	flipX, flipY, swap bool
	dx, dy             int
	zoom               float64
	gain, add          float64
}

// draw writes the picture's planes, as they look, to dst in [0, 1].
func (l look) draw(dst []float32, picture []byte) {
	add := l.add
	if l.gain != 1 || add != 0 {
		sum := 0
		for _, p := range picture {
			sum += int(p)
		}
		mean := float64(sum) / 255 / float64(len(picture))
		const room = 0.3 // between the mean and black or white, from which on there is room for the whole
		add = add*min(mean/room, (1-mean)/room, 1) + mean*(1-l.gain)
	}
	var level [256]float32
	for p := range level {
		level[p] = float32(min(max(float64(p)/255*l.gain+add, 0), 1))
	}
	plane := l.height * l.width
	// Where a row and a column of the result come from, before what mirrors and turns.
	from := func(i, n, shift int) int {
		at := i + shift
		if l.zoom != 1 {
			middle := float64(n-1) / 2
			at = int(math.Round((float64(i)-middle)/l.zoom + middle + float64(shift)))
		}
		return min(max(mirror(at, n), 0), n-1)
	}
	rows, columns := make([]int, l.height), make([]int, l.width)
	if l.swap { // which wants squares
		rows, columns = columns, rows
	}
	for i := range rows {
		rows[i] = from(i, len(rows), l.dy)
	}
	for i := range columns {
		columns[i] = from(i, len(columns), l.dx)
	}
	for at := range plane {
		row, col := at/l.width, at%l.width
		if l.swap {
			row, col = col, row
		}
		if l.flipY {
			row = l.height - 1 - row
		}
		if l.flipX {
			col = l.width - 1 - col
		}
		source := rows[row]*l.width + columns[col]
		for c := 0; c < len(picture); c += plane {
			dst[c+at] = level[picture[c+source]]
		}
	}
}

// move brings marks to where they are in what draw draws; those whose middle is not in the picture any more are left out.
func (l look) move(marks []Mark) []Mark {
	var out []Mark
	for _, m := range marks {
		w, h := float64(l.width), float64(l.height)
		place := func(v, size float64, shift int) float64 { return (v-size/2-float64(shift))*l.zoom + size/2 }
		m.X0, m.X1 = place(m.X0, w, l.dx), place(m.X1, w, l.dx)
		m.Y0, m.Y1 = place(m.Y0, h, l.dy), place(m.Y1, h, l.dy)
		if l.flipX {
			m.X0, m.X1 = w-m.X1, w-m.X0
		}
		if l.flipY {
			m.Y0, m.Y1 = h-m.Y1, h-m.Y0
		}
		if l.swap {
			m.X0, m.Y0, m.X1, m.Y1 = m.Y0, m.X0, m.Y1, m.X1
		}
		if cx, cy := (m.X0+m.X1)/2, (m.Y0+m.Y1)/2; cx < 0 || cy < 0 || cx >= w || cy >= h {
			continue
		}
		m.X0, m.Y0, m.X1, m.Y1 = max(m.X0, 0), max(m.Y0, 0), min(m.X1, w), min(m.Y1, h)
		out = append(out, m)
	}
	return out
}

// views returns a batch of crops in all the ways that Mirror, Flip and Turn may lay them.
func (a Augment) views(g *graph.Graph, x *graph.Value) []*graph.Value {
	const down, across = 2, 3
	turn := func(x *graph.Value) *graph.Value { return g.Reverse(g.Transpose(x, 0, 1, across, down), across) }
	views := []*graph.Value{x}
	switch {
	case a.Flip || a.Mirror && a.Turn:
		views = append(views, g.Reverse(x, across), g.Reverse(x, down), g.Reverse(g.Reverse(x, down), across))
		if a.Turn { // and all of them with the axes swapped
			for _, v := range views[:4:4] {
				views = append(views, g.Transpose(v, 0, 1, across, down))
			}
		}
	case a.Turn:
		for range 3 {
			views = append(views, turn(views[len(views)-1]))
		}
	case a.Mirror:
		views = append(views, g.Reverse(x, across))
	}
	return views
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
