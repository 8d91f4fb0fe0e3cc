package decode

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"slices"
	"strings"
	"testing"
	"time"

	"andon/event"
	"andon/ingest/video"
)

// frameRecord is the record of a picture of 16x9 pixels; change may spoil it.
func frameRecord(t testing.TB, change func(r *event.Record, header func(key, value string))) *event.Record {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 16, 9)), nil); err != nil {
		t.Fatal(err)
	}
	f := video.Frame{Camera: "dock-1", Captured: time.Unix(0, arrived).Add(-40 * time.Millisecond), Sequence: 7, JPEG: b.Bytes()}
	r, err := f.Record()
	if err != nil {
		t.Fatal(err)
	}
	r.Position, r.Time = event.Position{Topic: "t", Partition: 3, Offset: 41}, arrived
	if change != nil {
		change(&r, func(key, value string) {
			r.Headers = slices.DeleteFunc(r.Headers, func(h event.Header) bool { return h.Key == key })
			if value != "" {
				r.Headers = append(r.Headers, event.Header{Key: key, Value: []byte(value)})
			}
		})
	}
	return &r
}

func TestFrame(t *testing.T) {
	d := mustNew(t, Spec{Shape: ShapeFrame})
	var b event.Batch
	r := frameRecord(t, nil)
	if err := d.Decode(r, &b); err != nil {
		t.Fatal(err)
	}
	f := b.Frames[0]
	if f.Camera != "dock-1" || f.Captured != arrived-40e6 || f.Sequence != 7 || f.Width != 16 || f.Height != 9 || f.Offset != 41 || !bytes.Equal(f.JPEG, r.Value) || f.Reference != "" {
		t.Errorf("%+v", f)
	}
	r.Value[5] ^= 0xFF // the client's memory is used again
	if bytes.Equal(f.JPEG, r.Value) {
		t.Error("the frame shares the record's memory")
	}
	kept := frameRecord(t, func(r *event.Record, header func(key, value string)) {
		r.Value = nil
		header(video.HeaderReference, "dock/dock-1/1.jpg")
	})
	if err := d.Decode(kept, &b); err != nil || b.Frames[1].Reference != "dock/dock-1/1.jpg" || b.Frames[1].JPEG != nil || b.Frames[1].Width != 16 {
		t.Errorf("by reference: %v, %+v", err, b.Frames)
	}
	bad := func(reason, part string, change func(r *event.Record, header func(key, value string))) {
		t.Helper()
		var b event.Batch
		err := d.Decode(frameRecord(t, change), &b)
		var rejection *Rejection
		if !errors.As(err, &rejection) || rejection.Reason != reason || !strings.Contains(rejection.Detail, part) || len(b.Frames) != 0 {
			t.Errorf("got %v and %d frames, want %s with %q", err, len(b.Frames), reason, part)
		}
	}
	set := func(key, value string) func(*event.Record, func(key, value string)) {
		return func(_ *event.Record, header func(key, value string)) { header(key, value) }
	}
	mal := event.ReasonMalformed
	bad(mal, "andon.camera: is missing", set(video.HeaderCamera, ""))
	bad(mal, "send the camera as the key", set(video.HeaderCamera, "dock-2"))
	bad(mal, "send frames as image/jpeg", set(video.HeaderContentType, "image/png"))
	bad(mal, "andon.captured", set(video.HeaderCaptured, "noon"))
	bad(mal, "says 17 pixels", set(video.HeaderWidth, "17"))
	bad(mal, "andon.height", set(video.HeaderHeight, "-9"))
	bad(mal, "count the camera's frames", set(video.HeaderSequence, "x"))
	bad(mal, "send one of them", set(video.HeaderReference, "a/b"))
	bad(mal, "not a JPEG", func(r *event.Record, _ func(key, value string)) { r.Value = []byte("GIF89a") })
	bad(mal, "value", func(r *event.Record, _ func(key, value string)) { r.Value = r.Value[:20] })
	bad(mal, "value", func(r *event.Record, _ func(key, value string)) { r.Value = nil })
	bad(event.ReasonFuture, "ahead of the record's timestamp", set(video.HeaderCaptured, time.Unix(0, arrived).Add(3*time.Hour).UTC().Format(time.RFC3339Nano)))
	bad(event.ReasonAncient, "is before 2000", set(video.HeaderCaptured, "1999-01-01T00:00:00Z"))
	if _, err := New(Spec{Shape: ShapeFrame, Signals: []string{"a"}}); err == nil || !strings.Contains(err.Error(), "the shape frame has none") {
		t.Errorf("signals: %v", err)
	}
}

func FuzzFrame(f *testing.F) {
	r := frameRecord(f, nil)
	f.Add(r.Key, r.Value, []byte("16"), []byte(""))
	f.Add([]byte("a"), []byte{0xFF, 0xD8}, []byte("1"), []byte("x/y"))
	f.Fuzz(func(t *testing.T, key, value, width, reference []byte) {
		r := frameRecord(t, nil)
		r.Key, r.Value = key, value
		for i := range r.Headers {
			switch r.Headers[i].Key {
			case video.HeaderCamera:
				r.Headers[i].Value = key
			case video.HeaderWidth:
				r.Headers[i].Value = width
			}
		}
		r.Headers = append(r.Headers, event.Header{Key: video.HeaderReference, Value: reference})
		var b event.Batch
		err := mustNew(t, Spec{Shape: ShapeFrame}).Decode(r, &b)
		if (err == nil) != (len(b.Frames) == 1) {
			t.Fatalf("%v with %d frames", err, len(b.Frames))
		}
		if err == nil && (b.Frames[0].Camera == "" || (b.Frames[0].JPEG == nil) == (b.Frames[0].Reference == "")) {
			t.Fatalf("%+v", b.Frames[0])
		}
	})
}
