package rules

import "fmt"

// Point is a place in a picture, 0 to 1 across and down.
type Point struct{ X, Y float32 }

// UnmarshalYAML reads [x, y].
func (p *Point) UnmarshalYAML(unmarshal func(any) error) error {
	var xy []float32
	if err := unmarshal(&xy); err != nil {
		return err
	}
	if len(xy) != 2 {
		return fmt.Errorf("a point of %d numbers: write [x, y], each from 0 to 1", len(xy))
	}
	p.X, p.Y = xy[0], xy[1]
	return nil
}

// MarshalYAML writes [x, y].
func (p Point) MarshalYAML() (any, error) { return []float32{p.X, p.Y}, nil }

// MarshalJSON writes [x,y].
func (p Point) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "[%g,%g]", p.X, p.Y), nil }

// UnmarshalJSON reads [x,y].
func (p *Point) UnmarshalJSON(text []byte) error {
	_, err := fmt.Sscanf(string(text), "[%g,%g]", &p.X, &p.Y)
	return err
}

func (p Point) within() bool { return p.X >= 0 && p.X <= 1 && p.Y >= 0 && p.Y <= 1 }

// contains tells whether a point lies in the polygon, its left and upper edges included: a ray to the right crosses the edges an odd number of times
// (W. R. Franklin, "PNPOLY", 1970).
func (z *Zone) contains(p Point) bool {
	in := false
	for i, j := 0, len(z.Polygon)-1; i < len(z.Polygon); j, i = i, i+1 {
		a, b := z.Polygon[i], z.Polygon[j]
		if (a.Y > p.Y) != (b.Y > p.Y) && p.X < (b.X-a.X)*(p.Y-a.Y)/(b.Y-a.Y)+a.X {
			in = !in
		}
	}
	return in
}

// holds tells whether an object is in the zone.
func (z *Zone) holds(o *object) bool {
	if o.box == nil {
		return o.zone == z.Name
	}
	// The picture's lower and right edge are in it.
	return z.contains(Point{min(max(o.foot.X, 0), 0.99999), min(max(o.foot.Y, 0), 0.99999)})
}

// area is that of the polygon, by the shoelace formula.
func (z *Zone) area() float32 {
	sum := float32(0)
	for i, j := 0, len(z.Polygon)-1; i < len(z.Polygon); j, i = i, i+1 {
		sum += z.Polygon[j].X*z.Polygon[i].Y - z.Polygon[i].X*z.Polygon[j].Y
	}
	return max(sum, -sum) / 2
}

// Bounds returns the rectangle around the polygon: left, top, right, bottom.
func (z *Zone) Bounds() (x0, y0, x1, y1 float32) {
	x0, y0 = 1, 1
	for _, p := range z.Polygon {
		x0, y0, x1, y1 = min(x0, p.X), min(y0, p.Y), max(x1, p.X), max(y1, p.Y)
	}
	return x0, y0, x1, y1
}

// At tells whether the zone is of a camera.
func (z *Zone) At(camera string) bool { return applies(z.Cameras, camera) }

// crossing returns to which side the way from a to b crosses the line: 1 to the right, -1 to the left as one sees who looks from From to To, 0 if it does not. Pictures count downwards, so the
// right side is where the cross product is positive. A point on the line counts as to its right.
func (l *Line) crossing(a, b Point) int {
	sa, sb := side(l.From, l.To, a), side(l.From, l.To, b)
	if sa == sb || side(a, b, l.From) == side(a, b, l.To) {
		return 0
	}
	return sb
}

func side(from, to, p Point) int {
	if (to.X-from.X)*(p.Y-from.Y)-(to.Y-from.Y)*(p.X-from.X) >= 0 {
		return 1
	}
	return -1
}
