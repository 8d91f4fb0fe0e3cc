package video

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// turboLibrary loads libturbojpeg; without it the test is skipped, or fails where CI=true.
func turboLibrary(t testing.TB) *Turbo {
	t.Helper()
	lib, err := OpenTurbo("")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return lib
}

func decoder(t testing.TB, lib *Turbo) *Decoder {
	t.Helper()
	d, err := NewDecoder(DefaultDecoding(), lib)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// ffmpeg returns the program; without it the test is skipped, or fails where CI=true.
func ffmpeg(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("ffmpeg is not installed: make deps-video")
		}
		t.Skip("ffmpeg is not installed: make deps-video")
	}
	return path
}

// mjpeg is ffmpeg's own test picture as a JPEG of a pixel format.
func mjpeg(t testing.TB, w, h int, format string) []byte {
	t.Helper()
	out, err := exec.Command(ffmpeg(t), "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=%dx%d:rate=1", w, h), "-frames:v", "1",
		"-pix_fmt", format, "-c:v", "mjpeg", "-q:v", "3", "-f", "image2pipe", "pipe:1").Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPlanesByHand(t *testing.T) {
	// 4x2 pixels: the left half is (10,20,30), the right (110,120,130), the lower row 40 more.
	var rgb []byte
	for y := range 2 {
		for x := range 4 {
			v := byte(10 + 100*(x/2) + 40*y)
			rgb = append(rgb, v, v+10, v+20)
		}
	}
	check := func(m scaling, want ...float32) {
		t.Helper()
		m.w, m.h = 4, 2
		out := make([]float32, 3*m.outW*m.outH)
		var s scaler
		s.planes(out, rgb, m, [3]float32{1, 1, 2}, [3]float32{0, -10, 0})
		for i := range want { // red; green is the same after its shift; blue is twice (red + 20)
			n := len(want)
			if r, g, b := out[i], out[n+i], out[2*n+i]; math.Abs(float64(r-want[i])) > 1e-3 || math.Abs(float64(g-r)) > 1e-3 || math.Abs(float64(b-2*(r+20))) > 1e-3 {
				t.Errorf("%+v: pixel %d is %v %v %v, want %v", m, i, r, g, b, want[i])
			}
		}
	}
	check(scaling{x1: 4, y1: 2, outW: 4, outH: 2}, 10, 10, 110, 110, 50, 50, 150, 150)
	check(scaling{x1: 4, y1: 2, outW: 2, outH: 1}, 30, 130)                          // means
	check(scaling{x1: 4, y1: 2, outW: 1, outH: 1}, 80)                               // of all
	check(scaling{x0: 1, x1: 3, y1: 2, outW: 1, outH: 1}, 80)                        // of a crop
	check(scaling{x0: 0.5, x1: 3, y1: 1, outW: 1, outH: 1}, 50)                      // (1.5 × 10 + 1 × 110) / 2.5
	check(scaling{x0: 1, x1: 3, y1: 1, outW: 4, outH: 1}, 10, 35, 85, 110)           // up, within its neighbours
	check(scaling{x1: 4, y1: 2, outW: 1, outH: 4}, 60, 70, 90, 100)                  // across down, along up
	check(scaling{x0: 3, y0: 1, x1: 4, y1: 2, outW: 2, outH: 2}, 140, 140, 150, 150) // crop at the corner: one pixel and its neighbours
}

// Both decoders give the same numbers within a tolerance: of 255 steps, two in the mean for natural sampling, whatever the form of the picture.
func TestDecodersAgree(t *testing.T) {
	lib := turboLibrary(t)
	fast, slow := decoder(t, lib), decoder(t, nil)
	grey := image.NewGray(image.Rect(0, 0, 301, 203))
	for y := range 203 {
		for x := range 301 {
			grey.SetGray(x, y, color.Gray{uint8(x/2 + y/3)})
		}
	}
	pics := map[string][]byte{"grey": encode(t, grey), "4:2:0": encode(t, picture(640, 360)), "4:2:0 odd": encode(t, picture(333, 217)), "one pixel": encode(t, picture(1, 1)),
		"4:4:4": mjpeg(t, 640, 360, "yuvj444p"), "4:2:2": mjpeg(t, 320, 240, "yuvj422p"), "progressive": read(t, "testdata/progressive.jpg")}
	plans := map[string]Plan{
		"as it is": {Width: 300, Height: 200}, "224": {Width: 224, Height: 224}, "small": {Width: 32, Height: 20},
		"zone": {Width: 96, Height: 64, Crop: Crop{0.25, 0.1, 0.8, 0.9}}, "larger": {Width: 700, Height: 500},
		"normalised": {Width: 64, Height: 64, Mean: [3]float32{0.485, 0.456, 0.406}, Std: [3]float32{0.229, 0.224, 0.225}},
	}
	for name, pic := range pics {
		for plan, p := range plans {
			a, err := fast.Append(nil, pic, p)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			b, err := slow.Append(nil, pic, p)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if len(a) != 3*p.Width*p.Height || len(b) != len(a) {
				t.Fatalf("%s %s: %d and %d numbers", name, plan, len(a), len(b))
			}
			sum := 0.0
			for i := range a {
				sum += math.Abs(float64(a[i]-b[i])) * 255
			}
			limit := 2.0
			if p.Std[0] != 0 {
				limit /= float64(p.Std[0])
			}
			if mean := sum / float64(len(a)); !(mean < limit) {
				t.Errorf("%s %s: they differ by %.2f of 255 in the mean", name, plan, mean)
			}
		}
	}
	// Many zones of one picture are one after the other, and what was there before stays.
	z, w := plans["zone"], plans["normalised"]
	all, err := fast.Append([]float32{7}, pics["4:4:4"], z, w)
	if err != nil || len(all) != 1+3*(96*64+64*64) || all[0] != 7 {
		t.Fatalf("%d numbers: %v", len(all), err)
	}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestColours(t *testing.T) {
	m := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for i := range 64 * 64 {
		m.SetRGBA(i%64, i/64, color.RGBA{200, 100, 50, 255})
	}
	for name, lib := range map[string]*Turbo{"turbo": turboLibrary(t), "image/jpeg": nil} {
		got, err := decoder(t, lib).Append(nil, encode(t, m), Plan{Width: 2, Height: 2, Mean: [3]float32{0.5, 0.5, 0.5}, Std: [3]float32{0.5, 0.25, 1}})
		if err != nil {
			t.Fatal(err)
		}
		for c, want := range []float64{(200/255.0 - 0.5) / 0.5, (100/255.0 - 0.5) / 0.25, 50/255.0 - 0.5} {
			for i := range 4 {
				if math.Abs(float64(got[4*c+i])-want) > 0.03 {
					t.Errorf("%s: channel %d is %v, want %v", name, c, got[4*c+i], want)
				}
			}
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	good, progressive := encode(t, picture(640, 360)), read(t, "testdata/progressive.jpg")
	huge := bytes.Clone(good)
	at := bytes.Index(huge, []byte{0xFF, 0xC0})
	copy(huge[at+5:], []byte{0xFF, 0xFF, 0xFF, 0xFF})
	size, err := ReadSize(progressive)
	if err != nil || !size.Progressive {
		t.Fatalf("%+v %v", size, err)
	}
	scan := progressive[bytes.LastIndex(progressive, []byte{0xFF, 0xDA}) : len(progressive)-2]
	bomb := append(bytes.Clone(progressive[:len(progressive)-2]), append(bytes.Repeat(scan, 200), 0xFF, 0xD9)...)
	for name, lib := range map[string]*Turbo{"turbo": turboLibrary(t), "image/jpeg": nil} {
		d := decoder(t, lib)
		check := func(what string, jpeg []byte, p Plan, want string) {
			t.Helper()
			dst := []float32{1, 2}
			got, err := d.Append(dst, jpeg, p)
			if err == nil || !strings.Contains(err.Error(), want) || len(got) != 2 {
				t.Errorf("%s: %s: %d numbers, %v, want %q", name, what, len(got), err, want)
			}
		}
		p := Plan{Width: 10, Height: 10}
		check("nothing", nil, p, "not a JPEG")
		check("cut off", good[:len(good)/2], p, "cannot be decoded")
		check("cut off progressive", progressive[:len(progressive)/2], p, "cannot be decoded")
		check("too large", huge, p, "65535x65535 pixels, more than 16777216")
		check("passes", bomb, p, "more than 100 passes")
		check("no plan", good, Plan{}, "size: 0x0")
		check("crop", good, Plan{Width: 1, Height: 1, Crop: Crop{0.5, 0, 0.5, 1}}, "crop: ")
		check("crop", good, Plan{Width: 1, Height: 1, Crop: Crop{0, 0, math.NaN(), 1}}, "crop: ")
		check("std", good, Plan{Width: 1, Height: 1, Std: [3]float32{1, 0, 1}}, "std: ")
		if _, err := d.Append(nil, good, p); err != nil { // the decoder is as good as new
			t.Errorf("%s: %v", name, err)
		}
	}
}

// With libturbojpeg nothing is allocated after the first picture.
func TestDecodeAllocatesNothing(t *testing.T) {
	d, pic := decoder(t, turboLibrary(t)), encode(t, picture(320, 180))
	p := []Plan{{Width: 96, Height: 96}, {Width: 32, Height: 32, Crop: Crop{0.1, 0.1, 0.4, 0.4}}}
	var dst []float32
	if n := testing.AllocsPerRun(50, func() {
		var err error
		if dst, err = d.Append(dst[:0], pic, p...); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 {
		t.Errorf("%v allocations a picture", n)
	}
}

// Whatever bytes come, there is an error or all the numbers, and they are within 0 and 1.
func FuzzDecode(f *testing.F) {
	lib, _ := OpenTurbo("")
	pic := encode(f, picture(40, 30))
	f.Add(pic, 0.0, 0.0, 1.0, 1.0)
	f.Add(read(f, "testdata/progressive.jpg"), 0.2, 0.1, 0.3, 0.9)
	f.Add(pic[:len(pic)-20], 0.999, 0.0, 1.0, 0.001)
	d, err := NewDecoder(Decoding{MaxPixels: 1 << 16, MaxScans: 20}, lib)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(d.Close)
	f.Fuzz(func(t *testing.T, jpeg []byte, x0, y0, x1, y1 float64) {
		out, err := d.Append(nil, jpeg, Plan{Width: 9, Height: 7, Crop: Crop{x0, y0, x1, y1}})
		if err != nil {
			return
		}
		if len(out) != 3*9*7 {
			t.Fatalf("%d numbers", len(out))
		}
		for _, v := range out {
			if !(v >= -1e-4 && v <= 1+1e-4) {
				t.Fatalf("a number is %v", v)
			}
		}
	})
}

// A frame becomes what a network of 224 × 224 takes.
func BenchmarkDecode(b *testing.B) {
	for _, size := range [][2]int{{640, 360}, {1280, 720}} {
		pic := mjpeg(b, size[0], size[1], "yuvj420p")
		for _, by := range []string{"turbo", "image/jpeg"} {
			b.Run(fmt.Sprintf("size=%dx%d/by=%s", size[0], size[1], strings.ReplaceAll(by, "/", ".")), func(b *testing.B) {
				var lib *Turbo
				if by == "turbo" {
					lib = turboLibrary(b)
				}
				d := decoder(b, lib)
				p := Plan{Width: 224, Height: 224, Mean: [3]float32{0.485, 0.456, 0.406}, Std: [3]float32{0.229, 0.224, 0.225}}
				var dst []float32
				b.ReportAllocs()
				for b.Loop() {
					var err error
					if dst, err = d.Append(dst[:0], pic, p); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
			})
		}
	}
}
