package video

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"andon/event"
)

var errNoFFmpeg = errors.New("ffmpeg is not installed: apt-get install ffmpeg, or make deps-video")

// Source is a video that ffmpeg reads: a file, or a camera's URL.
type Source struct {
	// Input is a path, or a URL as rtsp://user:password@host/stream. What a URL carries to prove who asks is told to ffmpeg only, never in an error.
	Input string
	// FPS is how many pictures a second of video are taken.
	FPS float64
	// Loop plays a file again and again.
	Loop bool
	// Limit is the bytes of the largest picture.
	Limit event.Bytes
	// Stall ends a source that has given nothing for so long; 0: it may take its time.
	Stall time.Duration
	// FFmpeg is the program; empty: ffmpeg.
	FFmpeg string
}

// String is the input without what proves who asks.
func (s Source) String() string { return s.redact(s.Input) }

// Live tells that the input is a URL, and not a file.
func (s Source) Live() bool { return strings.Contains(s.Input, "://") }

// redact hides user, password and query of the input wherever they stand in a text.
func (s Source) redact(text string) string {
	_, rest, found := strings.Cut(s.Input, "://")
	if !found {
		return text
	}
	rest, query, _ := strings.Cut(rest, "?")
	host, _, _ := strings.Cut(rest, "/")
	if at := strings.LastIndex(rest, "@"); at >= len(host) { // a password with a slash in it
		host = rest
	}
	if at := strings.LastIndex(host, "@"); at >= 0 {
		text = strings.ReplaceAll(text, host[:at]+"@", "…@")
	}
	if query != "" {
		text = strings.ReplaceAll(text, query, "…")
	}
	return text
}

func (s Source) arguments() []string {
	args := []string{"-nostdin", "-hide_banner", "-loglevel", "error"}
	input := s.Input
	switch {
	case strings.HasPrefix(input, "rtsp://") || strings.HasPrefix(input, "rtsps://"):
		args = append(args, "-rtsp_transport", "tcp") // over UDP a lost packet is a broken picture
	case !s.Live():
		input = "file:" + input
		if s.Loop {
			args = append(args, "-stream_loop", "-1")
		}
	}
	return append(args, "-i", input, "-map", "0:v:0", "-vf", "fps="+strconv.FormatFloat(s.FPS, 'f', -1, 64),
		// Quality 4 of 2 to 31: artefacts that neither eye nor detector minds, at half the bytes of 2.
		"-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-q:v", "4", "-f", "image2pipe", "pipe:1")
}

// Frames runs ffmpeg and gives its pictures, each the caller's own, until the video or ctx ends. A picture that is too large comes as a *TooLarge, and others follow; any other error
// is the last. Leaving the loop kills ffmpeg; in every case it is gone when the loop has ended.
func (s Source) Frames(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		program := s.FFmpeg
		if program == "" {
			program = "ffmpeg"
		}
		cmd := exec.CommandContext(ctx, program, s.arguments()...)
		cmd.WaitDelay = 2 * time.Second
		words := &tail{}
		cmd.Stderr = words
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if errors.Is(err, exec.ErrNotFound) {
			yield(nil, fmt.Errorf("read %s: %w", s, errNoFFmpeg))
			return
		}
		if err != nil {
			yield(nil, fmt.Errorf("read %s: start ffmpeg: %w", s, err))
			return
		}
		if s.Stall > 0 {
			stalled := fmt.Errorf("nothing came for %v", s.Stall)
			timer := time.AfterFunc(s.Stall, func() { stop(stalled) })
			defer timer.Stop()
			inner := yield
			yield = func(jpeg []byte, err error) bool {
				timer.Stop() // what the caller does with it is no fault of the source
				defer timer.Reset(s.Stall)
				return inner(jpeg, err)
			}
		}
		split, count := newSplitter(out, int(s.Limit)), 0
		var broken error
		for {
			jpeg, err := split.next()
			var large *TooLarge
			if err != nil && !errors.As(err, &large) {
				broken = err
				break
			}
			count++
			if !yield(jpeg, err) {
				stop(nil)
				_ = cmd.Wait()
				return
			}
		}
		if broken != io.EOF && !errors.Is(broken, io.ErrUnexpectedEOF) {
			stop(broken) // it may have more to write, which nobody reads
		}
		ended := cmd.Wait()
		said := s.redact(words.last())
		switch cause := context.Cause(ctx); {
		case cause != nil:
			yield(nil, fmt.Errorf("read %s: %w", s, cause))
		case ended != nil && said != "":
			yield(nil, fmt.Errorf("read %s: ffmpeg: %s", s, said))
		case ended != nil:
			yield(nil, fmt.Errorf("read %s: ffmpeg: %w", s, ended))
		case broken != io.EOF:
			yield(nil, fmt.Errorf("read %s: %w", s, broken))
		case count == 0:
			yield(nil, fmt.Errorf("read %s: ffmpeg found no picture in it: %s", s, said))
		}
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p[max(0, len(p)-2048):]...)
	if over := len(t.text) - 2048; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

// last returns the last three lines as one.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.FieldsFunc(string(t.text), func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.ToValidUTF8(strings.Join(lines[max(0, len(lines)-3):], "; "), "�")
}
