// Package video brings cameras onto the line: a frame as a record, the way from a file or a camera through ffmpeg to Kafka, and from a JPEG to the numbers that a
// model takes.
package video

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"andon/event"
)

// Headers of a frame's record. Its value is one JPEG, its key the camera, so that a camera's frames stay in one partition, in order.
const (
	HeaderCamera      = "andon.camera"   // the camera's name, the same as the key
	HeaderCaptured    = "andon.captured" // when it was taken: RFC 3339 with nanoseconds, UTC; the frame's event time
	HeaderSequence    = "andon.sequence" // counts the frames of one run of the producer from 0; a gap is a frame that was not sent
	HeaderWidth       = "andon.width"    // pixels
	HeaderHeight      = "andon.height"   // pixels
	HeaderContentType = "content-type"   // ContentType
	HeaderReference   = "andon.evidence" // of a frame that is too large for a record: where the evidence store keeps it; the value is empty then

	ContentType = "image/jpeg"
)

// maxCamera bounds a camera's name; it is a key in every table. maxReference bounds that of a kept picture.
const (
	maxCamera    = 255
	maxReference = 1024
)

// Frame is one picture of one camera.
type Frame struct {
	Camera string
	// Captured is event time; what is sent and parsed is UTC.
	Captured time.Time
	// Sequence counts from 0.
	Sequence int64
	// Width and Height are the JPEG's own, in pixels.
	Width, Height int
	// JPEG is the picture, as it lies in the record's value; nil where Reference names it.
	JPEG []byte
	// Reference is where the evidence store keeps a picture that is too large for a record.
	Reference string
}

// Record returns the record of a frame, without a position. The frame's JPEG becomes its value and is not copied. Width and Height are read from the JPEG; where
// the frame names them they must agree. With a Reference the record has no value.
func (f *Frame) Record() (event.Record, error) {
	if err := checkCamera(f.Camera); err != nil {
		return event.Record{}, fmt.Errorf("frame: camera: %w", err)
	}
	if f.Captured.IsZero() || f.Captured.Year() < 1970 || f.Captured.Year() > 2261 {
		return event.Record{}, fmt.Errorf("frame of %s: captured: %v is not between 1970 and 2261: set when the frame was taken", f.Camera, f.Captured)
	}
	if f.Sequence < 0 {
		return event.Record{}, fmt.Errorf("frame of %s: sequence: %d is negative: count from 0", f.Camera, f.Sequence)
	}
	size, err := ReadSize(f.JPEG)
	if err != nil {
		return event.Record{}, fmt.Errorf("frame %d of %s: %w", f.Sequence, f.Camera, err)
	}
	if (f.Width != 0 || f.Height != 0) && (f.Width != size.Width || f.Height != size.Height) {
		return event.Record{}, fmt.Errorf("frame %d of %s: it is said to be %dx%d, and the JPEG is %dx%d: leave width and height to the JPEG",
			f.Sequence, f.Camera, f.Width, f.Height, size.Width, size.Height)
	}
	r := event.Record{Key: []byte(f.Camera), Value: f.JPEG, Headers: []event.Header{
		{Key: HeaderCamera, Value: []byte(f.Camera)},
		{Key: HeaderCaptured, Value: f.Captured.UTC().AppendFormat(nil, time.RFC3339Nano)},
		{Key: HeaderSequence, Value: strconv.AppendInt(nil, f.Sequence, 10)},
		{Key: HeaderWidth, Value: strconv.AppendInt(nil, int64(size.Width), 10)},
		{Key: HeaderHeight, Value: strconv.AppendInt(nil, int64(size.Height), 10)},
		{Key: HeaderContentType, Value: []byte(ContentType)},
	}}
	if f.Reference != "" { // the picture itself goes another way
		r.Value, r.Headers = nil, append(r.Headers, event.Header{Key: HeaderReference, Value: []byte(f.Reference)})
	}
	return r, nil
}

// Parse returns the frame that a record holds; its JPEG is the record's value. The picture is not decoded, but its size is read, so that headers that lie are found.
// Of a header that is there twice the last counts, as with Kafka's own clients. An error names the header and says what to do.
func Parse(r *event.Record) (Frame, error) {
	var camera, captured, sequence, width, height, kind, reference []byte
	for _, h := range r.Headers {
		switch h.Key {
		case HeaderCamera:
			camera = h.Value
		case HeaderCaptured:
			captured = h.Value
		case HeaderSequence:
			sequence = h.Value
		case HeaderWidth:
			width = h.Value
		case HeaderHeight:
			height = h.Value
		case HeaderContentType:
			kind = h.Value
		case HeaderReference:
			reference = h.Value
		}
	}
	f := Frame{Camera: string(camera), JPEG: r.Value}
	if len(camera) == 0 {
		return Frame{}, fmt.Errorf("header %s: is missing: send the camera's name in it, the same as the key", HeaderCamera)
	}
	if err := checkCamera(f.Camera); err != nil {
		return Frame{}, fmt.Errorf("header %s: %w", HeaderCamera, err)
	}
	if string(r.Key) != f.Camera {
		return Frame{}, fmt.Errorf("header %s: is %q and the key %s: send the camera as the key, so that its frames stay in order", HeaderCamera, camera, short(r.Key))
	}
	if string(kind) != ContentType {
		return Frame{}, fmt.Errorf("header %s: is %s: send frames as %s", HeaderContentType, short(kind), ContentType)
	}
	var err error
	if f.Captured, err = time.Parse(time.RFC3339Nano, string(captured)); err != nil || f.Captured.UTC().Year() < 1970 || f.Captured.UTC().Year() > 2261 {
		return Frame{}, fmt.Errorf("header %s: is %s: send when the frame was taken as 2006-01-02T15:04:05.999999999Z", HeaderCaptured, short(captured))
	}
	f.Captured = f.Captured.UTC()
	if f.Sequence, err = whole(sequence, math.MaxInt64); err != nil {
		return Frame{}, fmt.Errorf("header %s: %w: count the camera's frames from 0", HeaderSequence, err)
	}
	w, err := whole(width, math.MaxUint16)
	if err != nil {
		return Frame{}, fmt.Errorf("header %s: %w: send the JPEG's width in pixels", HeaderWidth, err)
	}
	h, err := whole(height, math.MaxUint16)
	if err != nil {
		return Frame{}, fmt.Errorf("header %s: %w: send the JPEG's height in pixels", HeaderHeight, err)
	}
	f.Width, f.Height = int(w), int(h)
	if len(reference) > 0 {
		if len(r.Value) > 0 {
			return Frame{}, fmt.Errorf("header %s: names a kept picture, and the record has one of %d bytes, too: send one of them", HeaderReference, len(r.Value))
		}
		if len(reference) > maxReference || !utf8.Valid(reference) || f.Width == 0 || f.Height == 0 {
			return Frame{}, fmt.Errorf("header %s: is %s: send the name that the evidence store gave, and the picture's size", HeaderReference, short(reference))
		}
		f.JPEG, f.Reference = nil, string(reference)
		return f, nil
	}
	size, err := ReadSize(r.Value)
	if err != nil {
		return Frame{}, fmt.Errorf("value: %w", err)
	}
	if f.Width != size.Width {
		return Frame{}, fmt.Errorf("header %s: says %d pixels and the JPEG has %d: send the JPEG's own width", HeaderWidth, f.Width, size.Width)
	}
	if f.Height != size.Height {
		return Frame{}, fmt.Errorf("header %s: says %d pixels and the JPEG has %d: send the JPEG's own height", HeaderHeight, f.Height, size.Height)
	}
	return f, nil
}

func checkCamera(name string) error {
	if name == "" {
		return errors.New("is empty: name the camera, as dock-1")
	}
	if len(name) > maxCamera {
		return fmt.Errorf("has %d bytes: name the camera with %d at most", len(name), maxCamera)
	}
	if slices.ContainsFunc([]rune(name), func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		return fmt.Errorf("%q holds what is not text: name the camera as dock-1", name)
	}
	return nil
}

// whole reads a number as this package writes it: digits only.
func whole(text []byte, most int64) (int64, error) {
	if len(text) == 0 {
		return 0, errors.New("is missing")
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || text[0] < '0' || text[0] > '9' || n > most {
		return 0, fmt.Errorf("%s is not a whole number up to %d", short(text), most)
	}
	return n, nil
}

// short quotes a header or key for an error.
func short(text []byte) string {
	if len(text) == 0 {
		return "missing"
	}
	if len(text) > 40 {
		return strconv.Quote(string(text[:40])) + "…"
	}
	return strconv.Quote(string(text))
}
