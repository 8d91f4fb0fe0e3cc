package main

import (
	"archive/zip"
	"encoding/csv"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // the photos' format
	_ "image/png"  // and their masks'
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"andon/trainer/fit"
)

// album is a data set: grey photos scaled to squares, with the names of their classes.
type album struct {
	classes []string
	crops   *fit.Crops
}

// block is how many neighbouring numbers of the NEU photos stay on one side: they can be of the same strip, and patches_105 is patches_101 again.
const block = 10

// steel reads the hot-rolled steel strips: six defects, 240 photos of each.
func steel(dir string, side int) (*album, error) {
	return photos(filepath.Join(dir, "defects_neu_det"), side, false, func(name string) (string, error) {
		number, err := strconv.Atoi(strings.TrimSuffix(name[strings.LastIndexByte(name, '_')+1:], ".jpg"))
		return fmt.Sprintf("%s/%d", path.Dir(name), (number-1)/block), err
	})
}

// cut is the side of a crop of a magnetic tile, in pixels: it holds a blowhole with what is around it, and most of a crack.
const cut = 128

// tiles reads crops of the magnetic tiles: five defects, each around a pixel in the middle of its mask, and none, anywhere. A piece was photographed up to six times.
func tiles(dir string, side int) (*album, error) {
	dir = filepath.Join(dir, "defects_magnetic_tile")
	r, err := os.Open(filepath.Join(dir, "index.csv"))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("index.csv: %w", err)
	}
	pieces := map[string]string{}
	for _, row := range rows[1:] {
		pieces[row[0]] = row[2]
	}
	return photos(dir, side, true, func(name string) (string, error) {
		piece, ok := pieces[name]
		if !ok {
			if piece, ok = pieces[strings.TrimSuffix(name, ".jpg")]; !ok {
				return "", errors.New("not in index.csv")
			}
		}
		return piece, nil
	})
}

// photos reads <class>/<name>.jpg from images.zip, in the order of their names; masked ones cut to what lies around the mark
// of <class>/<name>.png. A mask without one leaves its photo out, but of the class free.
func photos(dir string, side int, masked bool, group func(name string) (string, error)) (*album, error) {
	z, err := zip.OpenReader(filepath.Join(dir, "images.zip"))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	slices.SortFunc(z.File, func(a, b *zip.File) int { return strings.Compare(a.Name, b.Name) })
	a := &album{crops: &fit.Crops{Channels: 1, Height: side, Width: side}}
	for _, f := range z.File {
		if path.Ext(f.Name) != ".jpg" {
			continue
		}
		g, err := group(f.Name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		photo, err := picture(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		class := path.Dir(f.Name)
		if masked {
			mask, err := z.Open(strings.TrimSuffix(f.Name, ".jpg") + ".png")
			if err != nil {
				return nil, err
			}
			marks, _, err := image.Decode(mask)
			mask.Close()
			if err != nil {
				return nil, fmt.Errorf("mask of %s: %w", f.Name, err)
			}
			if photo = around(photo, marks, class == "free", f.CRC32); photo == nil {
				continue
			}
		}
		pixels := square(photo, side)
		if !slices.Contains(a.classes, class) {
			a.classes = append(a.classes, class)
		}
		a.crops.Pixels = append(a.crops.Pixels, pixels...)
		a.crops.Labels = append(a.crops.Labels, slices.Index(a.classes, class))
		a.crops.Groups = append(a.crops.Groups, g)
	}
	if a.crops.Len() == 0 {
		return nil, fmt.Errorf("%s: no photos in images.zip", dir)
	}
	return a, nil
}

func picture(f *zip.File) (image.Image, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	photo, _, err := image.Decode(r)
	return photo, err
}

// around cuts a photo to the surroundings of the middle one of the pixels that its mask marks, nil where it marks none; a free one anywhere, by its lot.
func around(photo, marks image.Image, free bool, lot uint32) image.Image {
	b := photo.Bounds()
	at := image.Pt(b.Min.X+int(lot&0xffff)%b.Dx(), b.Min.Y+int(lot>>16)%b.Dy())
	if !free {
		var marked []image.Point
		for y := b.Min.Y; y < b.Max.Y; y++ {
			for x := b.Min.X; x < b.Max.X; x++ {
				if v, _, _, _ := marks.At(x, y).RGBA(); v > 0x8000 {
					marked = append(marked, image.Pt(x, y))
				}
			}
		}
		if len(marked) == 0 {
			return nil
		}
		at = marked[len(marked)/2]
	}
	w, h := min(cut, b.Dx()), min(cut, b.Dy())
	x, y := min(max(at.X-w/2, b.Min.X), b.Max.X-w), min(max(at.Y-h/2, b.Min.Y), b.Max.Y-h)
	return photo.(interface {
		SubImage(image.Rectangle) image.Image
	}).SubImage(image.Rect(x, y, x+w, y+h))
}

// square scales a photo to side x side grey pixels, each the mean of what it covers.
func square(photo image.Image, side int) []byte {
	b := photo.Bounds()
	grey := image.NewGray(b)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			grey.Set(x, y, photo.At(x, y))
		}
	}
	// Rows are scaled first, then columns.
	narrow := make([][]float64, b.Dy())
	for y := range narrow {
		row := make([]float64, b.Dx())
		for x := range row {
			row[x] = float64(grey.Pix[y*grey.Stride+x])
		}
		narrow[y] = shrink(row, side)
	}
	out := make([]byte, side*side)
	column := make([]float64, b.Dy())
	for x := range side {
		for y := range column {
			column[y] = narrow[y][x]
		}
		for y, v := range shrink(column, side) {
			out[y*side+x] = byte(v + 0.5)
		}
	}
	return out
}

// shrink averages x over n equal spans.
func shrink(x []float64, n int) []float64 {
	out := make([]float64, n)
	span := float64(len(x)) / float64(n)
	for i := range out {
		from, to := float64(i)*span, float64(i+1)*span
		for at := int(from); at < len(x) && float64(at) < to; at++ {
			out[i] += x[at] * (min(to, float64(at+1)) - max(from, float64(at))) / span
		}
	}
	return out
}
