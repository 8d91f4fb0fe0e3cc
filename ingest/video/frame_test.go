package video

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// picture is a smooth colour picture with an edge in it.
func picture(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{uint8(255 * x / w), uint8(255 * y / h), uint8(128 + 100*(x-y)/(w+h)), 255}
			if x > w/3 && x < w/2 && y > h/4 && y < h/2 {
				c = color.RGBA{230, 60, 20, 255}
			}
			m.SetRGBA(x, y, c)
		}
	}
	return m
}

func encode(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFrameThereAndBack(t *testing.T) {
	f := Frame{Camera: "dock-1", Captured: time.Date(2026, 11, 26, 12, 0, 0, 123456789, time.FixedZone("", 3600)), Sequence: 42, JPEG: encode(t, picture(64, 36))}
	r, err := f.Record()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(&r)
	if err != nil {
		t.Fatal(err)
	}
	f.Captured, f.Width, f.Height = f.Captured.UTC(), 64, 36
	if !reflect.DeepEqual(got, f) || string(r.Key) != "dock-1" {
		t.Errorf("%+v with key %s, want %+v", got, r.Key, f)
	}
	for _, bad := range []Frame{{Captured: f.Captured, JPEG: f.JPEG}, {Camera: "a", JPEG: f.JPEG}, {Camera: "a", Captured: f.Captured, Sequence: -1, JPEG: f.JPEG},
		{Camera: "a", Captured: f.Captured}, {Camera: "a", Captured: f.Captured, JPEG: f.JPEG, Width: 63, Height: 36}, {Camera: "a\nb", Captured: f.Captured, JPEG: f.JPEG}} {
		if r, err := bad.Record(); err == nil {
			t.Errorf("%+v became %+v", bad, r)
		}
	}
}

func TestParseErrors(t *testing.T) {
	f := Frame{Camera: "dock-1", Captured: time.Unix(1e9, 5), Sequence: 7, JPEG: encode(t, picture(64, 36))}
	check := func(header, value string, wants ...string) {
		t.Helper()
		r, err := f.Record()
		if err != nil {
			t.Fatal(err)
		}
		var kept []event.Header
		for _, h := range r.Headers {
			if h.Key == header {
				if value == "" {
					continue
				}
				h.Value = []byte(value)
			}
			kept = append(kept, h)
		}
		r.Headers = kept
		switch header {
		case "key":
			r.Key = []byte(value)
		case "value":
			r.Value = []byte(value)
		}
		_, err = Parse(&r)
		for _, want := range wants {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %q: %v, want %q", header, value, err, want)
			}
		}
	}
	check(HeaderCamera, "", "andon.camera: is missing", "send the camera's name")
	check(HeaderCamera, "dock-2", `"dock-2" and the key "dock-1"`)
	check(HeaderCamera, "\xff", "not text")
	check(HeaderCamera, strings.Repeat("a", 300), "has 300 bytes")
	check("key", "", "the key missing")
	check(HeaderContentType, "", "content-type: is missing: send frames as image/jpeg")
	check(HeaderContentType, "image/png", `"image/png"`)
	check(HeaderCaptured, "", "andon.captured: is missing", "2006-01-02T15:04:05")
	check(HeaderCaptured, "yesterday", `"yesterday"`)
	check(HeaderCaptured, "0001-01-01T00:00:00Z", "andon.captured")
	check(HeaderSequence, "-1", `andon.sequence: "-1" is not a whole number`)
	check(HeaderSequence, "9223372036854775808", "andon.sequence")
	check(HeaderWidth, "", "andon.width: is missing")
	check(HeaderWidth, "70000", "andon.width")
	check(HeaderWidth, "65", "andon.width: says 65 pixels and the JPEG has 64")
	check(HeaderHeight, "1", "andon.height: says 1 pixels and the JPEG has 36")
	check("value", "", "value: it is not a JPEG")
	check("value", "\x89PNG", "value: it is not a JPEG")
	check("value", string(f.JPEG[:30]), "cut off")
}

func TestReadSize(t *testing.T) {
	check := func(jpeg string, want string) {
		t.Helper()
		if s, err := ReadSize([]byte(jpeg)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v %v, want %q", jpeg, s, err, want)
		}
	}
	check("\xff\xd8", "cut off")
	check("\xff\xd8\xff\xd9", "no frame header")
	check("\xff\xd8\xff\xda\x00\x02", "no frame header")
	check("\xff\xd8\x00", "where a marker must be")
	check("\xff\xd8\xff\x00", "where a marker must be")
	check("\xff\xd8\xff\xe0\x00\x01", "length 1")
	check("\xff\xd8\xff\xe0\xff\xff", "cut off")
	check("\xff\xd8\xff\xc0\x00\x0b\x0c\x00\x10\x00\x10\x01\x01\x11\x00", "12 bits")
	check("\xff\xd8\xff\xc0\x00\x0b\x08\x00\x00\x00\x10\x01\x01\x11\x00", "16x0")
	check("\xff\xd8\xff\xc0\x00\x0b\x08\x00\x10\x00\x10\x04\x01\x11\x00", "4 components")
	check("\xff\xd8\xff\xc0\x00\x0b\x08\x00\x10\x00\x10\x03\x01\x11\x00", "wrong length")
	check("\xff\xd8\xff\xc9\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\x00", "SOF9")
	// An application segment that holds a whole JPEG, as a thumbnail does, is stepped over, and so is filling.
	thumb := encode(t, picture(8, 8))
	whole := encode(t, picture(33, 17))
	n := len(thumb) + 2
	nested := append([]byte{0xFF, 0xD8, 0xFF, 0xFF, 0xFF, 0xE1, byte(n >> 8), byte(n)}, append(thumb, whole[2:]...)...)
	if s, err := ReadSize(nested); err != nil || s.Width != 33 || s.Height != 17 || s.Components != 3 {
		t.Errorf("%+v %v", s, err)
	}
}

// Whatever bytes come: what is parsed becomes the same record again, and its size is what image/jpeg reads.
func FuzzParse(f *testing.F) {
	pic := encode(f, picture(16, 8))
	f.Add([]byte("dock-1"), "dock-1", "2026-11-26T12:00:00.5Z", "0", "16", "8", pic)
	f.Add([]byte("é"), "é", "2026-11-26T12:00:00+01:00", "007", "016", "8", pic[:len(pic)/2])
	f.Add([]byte(nil), "", "", "-0", "", "", []byte("\xff\xd8\xff\xff\xc0"))
	f.Fuzz(func(t *testing.T, key []byte, camera, captured, sequence, width, height string, value []byte) {
		r := event.Record{Key: key, Value: value, Headers: []event.Header{{Key: HeaderCamera, Value: []byte(camera)}, {Key: HeaderCaptured, Value: []byte(captured)},
			{Key: HeaderSequence, Value: []byte(sequence)}, {Key: HeaderWidth, Value: []byte(width)}, {Key: HeaderHeight, Value: []byte(height)},
			{Key: HeaderContentType, Value: []byte(ContentType)}}}
		a, err := Parse(&r)
		if err != nil {
			return
		}
		if c, err := jpeg.DecodeConfig(bytes.NewReader(value)); err == nil && (c.Width != a.Width || c.Height != a.Height) {
			t.Fatalf("%dx%d, image/jpeg says %dx%d", a.Width, a.Height, c.Width, c.Height)
		}
		again, err := a.Record()
		if err != nil {
			t.Fatalf("%+v: %v", a, err)
		}
		b, err := Parse(&again)
		if err != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("%+v %v, want %+v", b, err, a)
		}
	})
}
