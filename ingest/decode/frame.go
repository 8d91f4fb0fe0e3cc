package decode

import (
	"slices"

	"andon/event"
	"andon/ingest/video"
)

// frame reads the picture of a camera: a JPEG whose headers say which camera took it and when. The picture is not decoded here; that its header and the record's agree is seen.
type frame struct {
	times   timeBounds
	cameras names
}

func newFrame(s Spec) *frame { return &frame{times: timesOf(s)} }

// Decode copies the picture: the line keeps frames after the record's memory is used again.
func (d *frame) Decode(r *event.Record, b *event.Batch) error {
	f, err := video.Parse(r)
	if err != nil {
		return malformed("%s", err)
	}
	camera, err := d.cameras.get(r.Key, "the key")
	if err != nil {
		return err
	}
	at := f.Captured.UnixNano()
	if err := d.times.check(camera, at, r); err != nil {
		return err
	}
	b.Frames = append(b.Frames, event.Frame{Offset: r.Offset, Camera: camera, Captured: at, Sequence: f.Sequence, Width: f.Width, Height: f.Height,
		JPEG: slices.Clone(f.JPEG), Reference: f.Reference})
	return nil
}
