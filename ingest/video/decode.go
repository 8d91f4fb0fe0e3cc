package video

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"slices"
)

// Decoding bounds what a picture may cost.
type Decoding struct {
	// MaxPixels refuses larger pictures before anything is allocated for them: 16 Mi pixels are 5,000 x 3,300, and 48 MiB while they are decoded; a progressive one takes four
	// times as much more.
	MaxPixels int
	// MaxScans refuses progressive pictures with more passes; encoders use about ten.
	MaxScans int
}

// DefaultDecoding returns the bounds in force where none are set.
func DefaultDecoding() Decoding { return Decoding{MaxPixels: 16 << 20, MaxScans: 100} }

// Validate reports every fault with its key.
func (d Decoding) Validate() error {
	var errs []error
	if d.MaxPixels < 1 || d.MaxPixels > 256<<20 {
		errs = append(errs, fmt.Errorf("max_pixels: %d is not between 1 and %d", d.MaxPixels, 256<<20))
	}
	if d.MaxScans < 1 {
		errs = append(errs, fmt.Errorf("max_scans: %d is not positive", d.MaxScans))
	}
	return errors.Join(errs...)
}

// Crop is a part of a picture in coordinates of 0 to 1 from its upper left corner. The zero value is the whole picture.
type Crop struct{ X0, Y0, X1, Y1 float64 }

// Plan says what numbers a model takes of a picture.
type Plan struct {
	Crop Crop
	// Width and Height are what the crop is scaled to, in pixels, without regard to its shape.
	Width, Height int
	// Mean and Std normalise a channel, red, green, blue: (value/255 - Mean) / Std. A Std of three zeros is ones.
	Mean, Std [3]float32
}

// maxPlan bounds what a plan allocates: 3 × 4 bytes a pixel.
const maxPlan = 16 << 20

// Validate reports every fault with its key.
func (p Plan) Validate() error {
	var errs []error
	if c := p.Crop; c != (Crop{}) && !(0 <= c.X0 && c.X0 < c.X1 && c.X1 <= 1 && 0 <= c.Y0 && c.Y0 < c.Y1 && c.Y1 <= 1) {
		errs = append(errs, fmt.Errorf("crop: %v is not a rectangle within 0 and 1: write left, top, right, bottom", c))
	}
	if p.Width < 1 || p.Height < 1 || p.Width > maxPlan/p.Height {
		errs = append(errs, fmt.Errorf("size: %dx%d is not between 1 and %d pixels", p.Width, p.Height, maxPlan))
	}
	for _, s := range p.Std {
		if p.Std != [3]float32{} && !(s > 0) {
			errs = append(errs, fmt.Errorf("std: %v: each must be positive", p.Std))
			break
		}
	}
	return errors.Join(errs...)
}

// Decoder turns JPEGs into numbers. It is for one goroutine at a time, and allocates nothing once it has seen its largest picture, with libturbojpeg.
type Decoder struct {
	cfg    Decoding
	turbo  *turboHandle // nil: image/jpeg
	reader bytes.Reader
	rgb    []byte
	scaler []scaler // one a plan
}

// NewDecoder makes a decoder; with a nil library it decodes by Go's image/jpeg. Close it to free the library's memory.
func NewDecoder(cfg Decoding, lib *Turbo) (*Decoder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	d := &Decoder{cfg: cfg}
	if lib != nil {
		var err error
		if d.turbo, err = lib.handle(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Close frees what the library holds. The decoder is of no use afterwards.
func (d *Decoder) Close() {
	if d.turbo != nil {
		d.turbo.close()
		d.turbo = nil
	}
}

// Append decodes a JPEG once and appends for each plan three planes, red, green, blue, of Height rows of Width float32: [3,H,W]. Plans of one size are so
// [N,3,H,W]. Grey pictures give three equal planes. On an error dst is returned as it was.
//
// A picture that is much larger than its plans is decoded at a half, a quarter or an eighth of its size, which the transform of JPEG gives for less than the whole.
func (d *Decoder) Append(dst []float32, jpeg []byte, plans ...Plan) ([]float32, error) {
	size, err := ReadSize(jpeg)
	if err != nil {
		return dst, err
	}
	if size.Width*size.Height > d.cfg.MaxPixels {
		return dst, fmt.Errorf("the JPEG has %dx%d pixels, more than %d: send smaller pictures, or raise max_pixels", size.Width, size.Height, d.cfg.MaxPixels)
	}
	if size.Progressive && countScans(jpeg, size.scans, d.cfg.MaxScans+1) > d.cfg.MaxScans {
		return dst, fmt.Errorf("the JPEG has more than %d passes: send baseline pictures", d.cfg.MaxScans)
	}
	total, shrink := 0, 8
	for i := range plans {
		p := &plans[i]
		if err := p.Validate(); err != nil {
			return dst, fmt.Errorf("plan %d: %w", i, err)
		}
		total += 3 * p.Width * p.Height
		c := p.Crop.or()
		for shrink > 1 && ((c.X1-c.X0)*float64(size.Width) < float64(shrink*p.Width) || (c.Y1-c.Y0)*float64(size.Height) < float64(shrink*p.Height)) {
			shrink /= 2
		}
	}
	if d.turbo == nil || size.uneven { // the library gives uneven colour at less than its resolution when it shrinks
		shrink = 1
	}
	w, h := (size.Width+shrink-1)/shrink, (size.Height+shrink-1)/shrink
	d.rgb = grow(d.rgb, w*h*3)
	if d.turbo != nil {
		err = d.turbo.rgb(d.rgb, jpeg, w, h)
	} else {
		err = d.plain(jpeg, w, h)
	}
	if err == errExtraneous { // image/jpeg steps over them and knows whether all else is well
		shrink, w, h = 1, size.Width, size.Height
		d.rgb = grow(d.rgb, w*h*3)
		err = d.plain(jpeg, w, h)
	}
	if err != nil {
		return dst, err
	}
	for len(d.scaler) < len(plans) {
		d.scaler = append(d.scaler, scaler{})
	}
	dst = slices.Grow(dst, total)
	for i := range plans {
		p := &plans[i]
		var scale, shift [3]float32
		for c := range 3 {
			std := p.Std[c]
			if std == 0 {
				std = 1
			}
			scale[c], shift[c] = 1/(255*std), -p.Mean[c]/std
		}
		c := p.Crop.or()
		fw, fh := float64(size.Width)/float64(shrink), float64(size.Height)/float64(shrink)
		n := 3 * p.Width * p.Height
		dst = dst[:len(dst)+n]
		d.scaler[i].planes(dst[len(dst)-n:], d.rgb, scaling{c.X0 * fw, c.Y0 * fh, c.X1 * fw, c.Y1 * fh, w, h, p.Width, p.Height}, scale, shift)
	}
	return dst, nil
}

func (c Crop) or() Crop {
	if c == (Crop{}) {
		return Crop{0, 0, 1, 1}
	}
	return c
}

// plain decodes by image/jpeg.
func (d *Decoder) plain(data []byte, w, h int) error {
	d.reader.Reset(data)
	defer d.reader.Reset(nil)
	m, err := jpeg.Decode(&d.reader)
	if err != nil {
		return fmt.Errorf("the JPEG cannot be decoded: %w", err)
	}
	b := m.Bounds()
	if b.Dx() != w || b.Dy() != h {
		return fmt.Errorf("the JPEG is %dx%d, and its first frame header says %dx%d", b.Dx(), b.Dy(), w, h)
	}
	o := 0
	switch m := m.(type) {
	case *image.Gray:
		for y := range h {
			for _, v := range m.Pix[y*m.Stride:][:w] {
				d.rgb[o], d.rgb[o+1], d.rgb[o+2] = v, v, v
				o += 3
			}
		}
	case *image.YCbCr:
		for y := range h {
			for x := range w {
				i, j := m.YOffset(x, y), m.COffset(x, y)
				d.rgb[o], d.rgb[o+1], d.rgb[o+2] = color.YCbCrToRGB(m.Y[i], m.Cb[j], m.Cr[j])
				o += 3
			}
		}
	default: // colours that were stored as red, green and blue
		for y := range h {
			for x := range w {
				r, g, b, _ := m.At(x, y).RGBA()
				d.rgb[o], d.rgb[o+1], d.rgb[o+2] = byte(r>>8), byte(g>>8), byte(b>>8)
				o += 3
			}
		}
	}
	return nil
}
