package video

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/ingest/dial"
)

// DefaultTopic takes the frames of cameras.
const DefaultTopic = "andon.frames.in"

// Feed says which video becomes whose frames.
//
// Frames of a file are captured at Start + number / FPS, and none is left out: a file waits for the broker. Frames of a camera are captured when they arrive here; when the broker
// does not keep up they are dropped and counted, and a camera that is gone is tried again for ever.
type Feed struct {
	Source Source
	Camera string
	Topic  string
	// Speed is seconds of video a second, of a file; 0: as fast as the broker takes it.
	Speed float64
	// Start is when the first frame of a file was captured; zero: when it came.
	Start time.Time
	// Truth is what is known of a file's frames, and sent as labels behind each; nil: nothing.
	Truth *Truth
	// Timeout ends the feed of a file when the broker has acknowledged nothing for so long; 0: a minute.
	Timeout time.Duration
}

// Validate reports every fault with its key.
func (f Feed) Validate() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	fault(f.Source.Input == "", "video: is empty: name a file, or a camera's URL")
	if err := checkCamera(f.Camera); err != nil {
		errs = append(errs, fmt.Errorf("camera: %w", err))
	}
	fault(f.Topic == "", "topic: is empty: name the topic to send to, as %s", DefaultTopic)
	fault(!(f.Source.FPS > 0 && f.Source.FPS <= 1000), "fps: %v is not a number of frames a second up to 1000", f.Source.FPS)
	fault(!(f.Speed >= 0) || math.IsInf(f.Speed, 0), "speed: %v is not a factor: 1 is as recorded, 0 as fast as possible", f.Speed)
	fault(f.Source.Loop && f.Speed == 0 && !f.Source.Live(), "speed: a loop as fast as possible fills the log without an end: set a speed")
	fault(f.Source.Limit < 1<<10 || f.Source.Limit > 64<<20, "max_message: %s is not between 1KiB and 64MiB", f.Source.Limit)
	fault(f.Truth != nil && (f.Source.Live() || f.Source.Loop), "labels: are of a file that is played once")
	fault(f.Truth != nil && (f.Truth.Pipeline == "" || f.Truth.Topic == ""), "labels: name the pipeline whose frames they are of, and the topic of labels")
	fault(f.Timeout < 0, "timeout: %v is not a wait", f.Timeout)
	return errors.Join(errs...)
}

// Surroundings are what a feed needs beside its definition.
type Surroundings struct {
	// Brokers are host:port.
	Brokers  []string
	Security dial.Security
	// Progress is called about once a second, and at the end, from one goroutine at a time. It may be nil.
	Progress func(Progress)
	// Large keeps a frame whose JPEG is larger than Inline, and returns by which name it is found there: its record then has the name and no picture. Without it frames
	// are sent as they are, up to the source's Limit.
	Large  func(ctx context.Context, f *Frame) (ref string, err error)
	Inline int
}

// Progress tells how far a feed is. Sent + Dropped + TooLarge is what came, but for what is under way.
type Progress struct {
	Camera string
	// Sent frames were acknowledged.
	Sent, Bytes int64
	// Dropped frames of a camera came while the broker did not keep up; TooLarge ones were over the limit.
	Dropped, TooLarge int64
	// Reconnects is how often the camera was tried again.
	Reconnects int64
	// Captured is of the last frame that was given to the client.
	Captured        time.Time
	FramesPerSecond float64
	Done            bool
}

// Feeder runs one feed.
type Feeder struct {
	def     Feed
	with    Surroundings
	backoff func(tries int) time.Duration
	log     *slog.Logger

	started                                                    time.Time // when the first frame of a file was captured
	sent, bytes, dropped, large, reconnects, captured, settled atomic.Int64
}

// under is how many frames may be under way: some seconds of a camera, and at a full megabyte each as many MB of memory.
const under = 32

// New checks the definition; it opens nothing.
func New(def Feed, with Surroundings, log *slog.Logger) (*Feeder, error) {
	if err := def.Validate(); err != nil {
		return nil, err
	}
	if len(with.Brokers) == 0 {
		return nil, errors.New("brokers: none is named")
	}
	if def.Timeout == 0 {
		def.Timeout = time.Minute
	}
	if def.Source.Live() && def.Source.Stall == 0 {
		def.Source.Stall = 15 * time.Second // cameras take seconds to start
	}
	// A camera that boots is back within a minute.
	backoff := func(tries int) time.Duration { return min(time.Second<<min(tries, 5), 30*time.Second) }
	return &Feeder{def: def, with: with, backoff: backoff, log: log.With("camera", def.Camera)}, nil
}

// Run sends frames until the file or ctx ends, and returns nil when all that was sent is acknowledged. It is called once.
func (f *Feeder) Run(ctx context.Context) error {
	if err := f.run(ctx); err != nil {
		return fmt.Errorf("camera %s: %w", f.def.Camera, err)
	}
	return nil
}

func (f *Feeder) run(ctx context.Context) error {
	opts, err := dial.Options(f.with.Brokers, "andon-camera", f.with.Security, f.log)
	if err != nil {
		return err
	}
	var trouble dial.Trouble
	client, err := kgo.NewClient(append(opts, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(kgo.NoCompression()), // a JPEG does not get smaller
		kgo.ProducerLinger(0), kgo.MaxBufferedRecords(under), kgo.UnknownTopicRetries(8), kgo.RetryBackoffFn(dial.Backoff), kgo.WithHooks(&trouble),
		kgo.ProducerBatchMaxBytes(int32(f.def.Source.Limit)+4<<10))...) // headers and the batch's own
	if err != nil {
		return err
	}
	defer client.Close()
	if err := dial.Refused(ctx, client); err != nil {
		return err
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	slots := make(chan struct{}, under)
	stop, watched := make(chan struct{}), make(chan struct{})
	f.settled.Store(time.Now().UnixNano())
	go func() {
		defer close(watched)
		f.watch(stop, func() {
			silent := time.Since(time.Unix(0, f.settled.Load()))
			if f.def.Source.Live() || len(slots) == 0 || silent < f.def.Timeout {
				return
			}
			err := fmt.Errorf("no acknowledgement from %s for %v: check that the broker runs and has room", strings.Join(f.with.Brokers, ","), f.def.Timeout)
			if why := trouble.Err(); why != nil {
				err = fmt.Errorf("%w (%v)", err, why)
			}
			fail(err)
		})
	}()
	send := func(frame Frame) error {
		if f.with.Large != nil && len(frame.JPEG) > f.with.Inline {
			var err error
			if frame.Reference, err = f.with.Large(ctx, &frame); err != nil {
				return fmt.Errorf("keep frame %d, which is too large for a record: %w", frame.Sequence, err)
			}
		}
		r, err := frame.Record()
		if err != nil {
			return err
		}
		if f.def.Source.Live() {
			select {
			case slots <- struct{}{}:
			default:
				f.dropped.Add(1)
				return nil
			}
		} else {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if len(slots) == 1 {
			f.settled.Store(time.Now().UnixNano())
		}
		f.captured.Store(frame.Captured.UnixNano())
		out := &kgo.Record{Topic: f.def.Topic, Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		if f.def.Truth != nil {
			values, err := f.def.Truth.of(&frame, frame.Captured.Sub(f.started))
			if err != nil {
				return err
			}
			// Behind the frame: whoever reads of it should find it.
			defer func() {
				for _, v := range values {
					client.Produce(context.WithoutCancel(ctx), &kgo.Record{Topic: f.def.Truth.Topic, Key: r.Key, Value: v}, func(_ *kgo.Record, err error) {
						if err != nil {
							fail(fmt.Errorf("send a label: %w", f.explain(err)))
						}
					})
				}
			}()
		}
		client.Produce(context.WithoutCancel(ctx), out, func(_ *kgo.Record, err error) {
			<-slots
			if err != nil {
				fail(f.explain(err))
				return
			}
			f.settled.Store(time.Now().UnixNano())
			f.sent.Add(1)
			f.bytes.Add(int64(len(out.Value)))
		})
		return nil
	}
	var ran error
	if f.def.Source.Live() {
		ran = f.camera(ctx, send)
	} else {
		ran = f.file(ctx, send)
	}
	// What is under way is waited for: as long as the broker answers at the end of a file, 5 s when asked to stop.
	last, cancel := ctx, func() {}
	if ctx.Err() != nil {
		last, cancel = context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	}
	flushed := client.Flush(last)
	cancel()
	close(stop)
	<-watched
	f.tell(0, true)
	cause := context.Cause(ctx)
	switch asked := errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded); {
	case cause != nil && !asked:
		return cause
	case asked && flushed != nil:
		f.log.Warn("stopped before the broker acknowledged all", "error", flushed)
		return nil
	case asked:
		return nil
	case ran != nil:
		return ran
	}
	return flushed
}

// file sends a file's frames at their time.
func (f *Feeder) file(ctx context.Context, send func(Frame) error) error {
	begun, start, n := time.Now(), f.def.Start, int64(0)
	if start.IsZero() {
		start = begun
	}
	f.started = start
	for jpeg, err := range f.def.Source.Frames(ctx) {
		if err != nil {
			if large := (*TooLarge)(nil); errors.As(err, &large) {
				f.large.Add(1)
				err = fmt.Errorf("frame %d of %s: %w", n, f.def.Source, err)
			}
			return err
		}
		at := time.Duration(float64(n) / f.def.Source.FPS * float64(time.Second))
		if f.def.Speed > 0 {
			if n == 0 { // ffmpeg took its time to start
				begun = time.Now()
				if f.def.Start.IsZero() {
					start, f.started = begun, begun
				}
			}
			if err := sleep(ctx, time.Until(begun.Add(time.Duration(float64(at)/f.def.Speed)))); err != nil {
				return err
			}
		}
		if err := send(Frame{Camera: f.def.Camera, Captured: start.Add(at), Sequence: n, JPEG: jpeg}); err != nil {
			return err
		}
		n++
	}
	return nil
}

// camera sends a camera's frames as they come, and tries again when it is gone. It returns when ctx ends, or where trying again is no use.
func (f *Feeder) camera(ctx context.Context, send func(Frame) error) error {
	n, tries := int64(0), 0
	for {
		for jpeg, err := range f.def.Source.Frames(ctx) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if large := (*TooLarge)(nil); errors.As(err, &large) {
				if f.large.Add(1) == 1 {
					f.log.Warn("a frame is left out; others of the kind are counted", "error", err)
				}
				n++ // the gap tells those who read
				continue
			}
			if err != nil {
				if errors.Is(err, errNoFFmpeg) {
					return err
				}
				f.log.Warn("the camera is gone and is tried again", "error", err, "wait", f.backoff(tries))
				break
			}
			tries = 0
			if err := send(Frame{Camera: f.def.Camera, Captured: time.Now(), Sequence: n, JPEG: jpeg}); err != nil {
				return err
			}
			n++
		}
		if err := sleep(ctx, f.backoff(tries)); err != nil {
			return err
		}
		tries++
		f.reconnects.Add(1)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

func (f *Feeder) explain(err error) error {
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return fmt.Errorf("send to %s: the topic does not exist on %s: create it, or name another", f.def.Topic, strings.Join(f.with.Brokers, ","))
	case errors.Is(err, kerr.MessageTooLarge):
		return fmt.Errorf("send to %s: %w: the broker takes less than max_message, %s, allows: raise its message.max.bytes, or lower max_message", f.def.Topic, err, f.def.Source.Limit)
	}
	return fmt.Errorf("send to %s: %w", f.def.Topic, err)
}

// watch tells progress and looks after the broker.
func (f *Feeder) watch(stop <-chan struct{}, look func()) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before, at := int64(0), time.Now()
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			look()
			sent := f.sent.Load()
			f.tell(float64(sent-before)/now.Sub(at).Seconds(), false)
			before, at = sent, now
		}
	}
}

func (f *Feeder) tell(rate float64, done bool) {
	if f.with.Progress == nil {
		return
	}
	p := Progress{Camera: f.def.Camera, Sent: f.sent.Load(), Bytes: f.bytes.Load(), Dropped: f.dropped.Load(), TooLarge: f.large.Load(), Reconnects: f.reconnects.Load(),
		FramesPerSecond: rate, Done: done}
	if t := f.captured.Load(); t != 0 {
		p.Captured = time.Unix(0, t).UTC()
	}
	f.with.Progress(p)
}
