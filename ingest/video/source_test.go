package video

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"andon/event"
)

// nested is a JPEG with another whole one in its metadata, as cameras that keep a thumbnail send.
func nested(t testing.TB) []byte {
	thumb, whole := encode(t, picture(8, 8)), encode(t, picture(33, 17))
	n := len(thumb) + 2
	return append([]byte{0xFF, 0xD8, 0xFF, 0xE1, byte(n >> 8), byte(n)}, append(thumb, whole[2:]...)...)
}

func TestSplitter(t *testing.T) {
	pics := [][]byte{encode(t, picture(64, 36)), nested(t), read(t, "testdata/progressive.jpg"), encode(t, picture(300, 200))}
	stream := bytes.Join(pics, nil)
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(stream), "bytes": iotest.OneByteReader(bytes.NewReader(stream))} {
		s := newSplitter(r, 1<<20)
		for i, want := range pics {
			if got, err := s.next(); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: picture %d has %d bytes, want %d: %v", name, i, len(got), len(want), err)
			}
		}
		if _, err := s.next(); err != io.EOF {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
	// Pictures over the limit are stepped over, and no more of them is held.
	limit := len(pics[3]) - 1
	s, large := newSplitter(bytes.NewReader(bytes.Join([][]byte{pics[3], pics[0], pics[3]}, nil)), limit), (*TooLarge)(nil)
	if _, err := s.next(); !errors.As(err, &large) || large.Size != event.Bytes(limit+1) || cap(s.buf) > 2*limit {
		t.Errorf("%v, %d bytes are held", err, cap(s.buf))
	}
	if got, err := s.next(); err != nil || !bytes.Equal(got, pics[0]) {
		t.Errorf("after it: %v", err)
	}
	for _, cut := range []int{1, 2, 3, 10, 200, len(pics[0]) - 1} {
		if got, err := newSplitter(bytes.NewReader(pics[0][:cut]), 1<<20).next(); err != io.ErrUnexpectedEOF {
			t.Errorf("cut at %d: %d bytes, %v", cut, len(got), err)
		}
	}
	if _, err := newSplitter(strings.NewReader("hello"), 99).next(); err != errNotJPEG {
		t.Error(err)
	}
}

// What is split is what was there, piece by piece, whatever it is.
func FuzzSplitter(f *testing.F) {
	f.Add(append(nested(f), read(f, "testdata/progressive.jpg")...))
	f.Fuzz(func(t *testing.T, stream []byte) {
		s, at := newSplitter(bytes.NewReader(stream), 1<<16), 0
		for {
			jpeg, err := s.next()
			if err != nil {
				break
			}
			if !bytes.HasPrefix(stream[at:], jpeg) || !bytes.HasSuffix(jpeg, []byte{0xFF, 0xD9}) {
				t.Fatalf("%x at %d is not of the stream", jpeg, at)
			}
			at += len(jpeg)
		}
	})
}

func TestRedact(t *testing.T) {
	check := func(input, text, want string) {
		t.Helper()
		if got := (Source{Input: input}).redact(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	check("rtsp://admin:pa@ss@cam/1", "rtsp://admin:pa@ss@cam/1: no", "rtsp://…@cam/1: no")
	check("rtsp://admin:p/w@cam/1", "rtsp://admin:p/w@cam/1: no", "rtsp://…@cam/1: no")
	check("http://cam/x?token=abc", "open http://cam/x?token=abc", "open http://cam/x?…")
	check("/videos/a?b@c.mp4", "/videos/a?b@c.mp4", "/videos/a?b@c.mp4")
}

// program writes a shell script that stands for ffmpeg.
func program(t *testing.T, script string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ffmpeg")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestSourceErrors(t *testing.T) {
	pic := filepath.Join(t.TempDir(), "a.jpg")
	if err := os.WriteFile(pic, encode(t, picture(64, 36)), 0o644); err != nil {
		t.Fatal(err)
	}
	check := func(s Source, count int, want string) {
		t.Helper()
		s.FPS, s.Limit = 5, 1<<20
		n, last := 0, error(nil)
		begun := time.Now()
		for _, err := range s.Frames(t.Context()) {
			if last = err; err == nil {
				n++
			}
		}
		if n != count || last == nil || !strings.Contains(last.Error(), want) || strings.Contains(last.Error(), "secret") || time.Since(begun) > 20*time.Second {
			t.Errorf("%s: %d pictures, %v, want %d and %q", s, n, last, count, want)
		}
	}
	check(Source{Input: "x.mp4", FFmpeg: "no-such-ffmpeg"}, 0, "apt-get install ffmpeg")
	check(Source{Input: "x.mp4", FFmpeg: program(t, "echo one >&2; echo two words >&2; exit 1")}, 0, "read x.mp4: ffmpeg: one; two words")
	check(Source{Input: "x.mp4", FFmpeg: program(t, "exit 7")}, 0, "exit status 7")
	check(Source{Input: "x.mp4", FFmpeg: program(t, "exit 0")}, 0, "no picture")
	check(Source{Input: "x.mp4", FFmpeg: program(t, "echo nonsense; exec sleep 60")}, 0, "not a JPEG")
	check(Source{Input: "x.mp4", FFmpeg: program(t, "cat "+pic+"; head -c 99 "+pic)}, 1, "unexpected EOF")
	check(Source{Input: "rtsp://me:secret@cam/1", FFmpeg: program(t, `cat `+pic+`; echo "rtsp://me:secret@cam/1: 401" >&2; exit 1`)}, 1, "ffmpeg: rtsp://…@cam/1: 401")
	check(Source{Input: "rtsp://me:secret@cam/1", Stall: 100 * time.Millisecond, FFmpeg: program(t, "cat "+pic+"; exec sleep 60")}, 1, "nothing came for 100ms")

	// ffmpeg is gone when the loop is left, and when ctx ends.
	s := Source{Input: "x.mp4", FPS: 5, Limit: 1 << 20, FFmpeg: program(t, "cat "+pic+"; exec sleep 60")}
	begun := time.Now()
	for range s.Frames(t.Context()) {
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, err := range s.Frames(ctx) {
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if time.Since(begun) > 20*time.Second {
		t.Error("it was not killed")
	}
}

// clip makes two seconds of video.
func clip(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "clip: 1.mp4")
	if out, err := exec.Command(ffmpeg(t), "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=20", "-t", "2", "-c:v", "mpeg4", "file:"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return name
}

func TestSourceFile(t *testing.T) {
	s := Source{Input: clip(t), FPS: 5, Limit: 1 << 20}
	var all [][]byte
	for jpeg, err := range s.Frames(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if size, err := ReadSize(jpeg); err != nil || size.Width != 160 || size.Height != 90 {
			t.Fatalf("%+v %v", size, err)
		}
		all = append(all, jpeg)
	}
	if len(all) != 10 || slices.EqualFunc(all[:1], all[5:6], bytes.Equal) {
		t.Errorf("%d pictures, want 10 that differ", len(all))
	}
	s.Loop = true
	n := 0
	for _, err := range s.Frames(t.Context()) {
		if n++; err != nil || n == 25 {
			break
		}
	}
	if n != 25 {
		t.Errorf("a loop gave %d pictures", n)
	}
	for _, err := range (Source{Input: "/nowhere.mp4", FPS: 5, Limit: 1 << 20}).Frames(t.Context()) {
		if err == nil || !strings.Contains(err.Error(), "No such file") {
			t.Error(fmt.Errorf("a missing file: %w", err))
		}
	}
}
