package main

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"slices"
	"testing"
)

func TestTable(t *testing.T) {
	a := newTable([]string{"good", "bad", "never said"})
	a.count = [][]int{{8, 2, 0}, {1, 3, 0}, {1, 0, 0}}
	if n, p, r := a.of(0); n != 10 || p != 0.8 || r != 0.8 {
		t.Errorf("good: %d crops, precision %v, recall %v", n, p, r)
	}
	if n, p, r := a.of(1); n != 4 || p != 0.6 || r != 0.75 {
		t.Errorf("bad: %d crops, precision %v, recall %v", n, p, r)
	}
	if _, p, r := a.of(2); p != 0 || r != 0 {
		t.Errorf("never said: precision %v, recall %v", p, r)
	}
	if got, want := a.accuracy(), 11.0/15; got != want {
		t.Errorf("accuracy %v, want %v", got, want)
	}
	if got, want := a.f1(), (0.8+2*0.6*0.75/1.35)/3; math.Abs(got-want) > 1e-12 {
		t.Errorf("F1 %v, want %v", got, want)
	}
	sum := newTable(a.classes)
	sum.add(a)
	sum.add(a)
	if sum.total() != 30 || sum.count[0][1] != 4 {
		t.Errorf("added up: %v", sum.count)
	}
}

func TestShrink(t *testing.T) {
	check := func(x []float64, want ...float64) {
		t.Helper()
		got := shrink(x, len(want))
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-9 {
				t.Errorf("%v became %v, want %v", x, got, want)
			}
		}
	}
	check([]float64{1, 3, 5, 7}, 2, 6)
	check([]float64{1, 2, 3}, 4.0/3, 8.0/3)
	check([]float64{4, 8}, 4, 4, 8, 8) // a photo smaller than the square
}

func TestSquare(t *testing.T) {
	photo := image.NewGray(image.Rect(0, 0, 32, 16))
	for y := range 16 {
		for x := range 32 {
			if x >= 16 {
				photo.Set(x, y, color.Gray{Y: 200})
			}
		}
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, photo, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	decoded, err := jpeg.Decode(&file)
	if err != nil {
		t.Fatal(err)
	}
	got := square(decoded, 4)
	if want := []byte{0, 0, 200, 200}; !slices.Equal(got[:4], want) || !slices.Equal(got[12:], want) {
		t.Errorf("the photo became %v", got)
	}
}

// A crop holds the middle of what the mask marks, and stays within the photo; a mask without a mark gives none, but to a tile that is free.
func TestAround(t *testing.T) {
	photo, marks := image.NewGray(image.Rect(0, 0, 400, 300)), image.NewGray(image.Rect(0, 0, 400, 300))
	if around(photo, marks, false, 7) != nil {
		t.Error("a mask without a mark gave a crop")
	}
	for _, lot := range []uint32{0, 0xffffffff, 0x12c0190} {
		if b := around(photo, marks, true, lot).Bounds(); b.Dx() != cut || b.Dy() != cut || !b.In(photo.Bounds()) {
			t.Errorf("lot %x: %v", lot, b)
		}
	}
	for _, at := range []image.Point{{0, 0}, {399, 299}, {200, 150}} {
		marks := image.NewGray(photo.Bounds())
		marks.Set(at.X, at.Y, color.White)
		if b := around(photo, marks, false, 7).Bounds(); !at.In(b) || b.Dx() != cut || b.Dy() != cut || !b.In(photo.Bounds()) {
			t.Errorf("mark at %v: %v", at, b)
		}
	}
}
