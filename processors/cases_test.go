package processors

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
	"andon/processors/features"
	"andon/processors/internal/cases"
)

func TestCases(t *testing.T) {
	cases.Run(t, "testdata/*.txt", *update, func(t *testing.T) func(cases.Case) string {
		s := &script{t: t, w: newWorld()}
		s.w.trace = func(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }
		return s.do
	})
}

// script plays a file: "pipeline" configures one, "log" appends records, "model" sets the live one, "open" opens the partition, "handle to=" hands it
// the records up to an offset, "flush" flushes, "after=" lets time pass, "fail calls=" lets a later call to the world fail.
type script struct {
	t    *testing.T
	w    *world
	cfg  Config
	line *Line
	p    *Pipeline
	at   int64
	now  time.Time
	out  strings.Builder
}

func (s *script) do(c cases.Case) string {
	s.out.Reset()
	ctx := context.Background()
	number := func(key string) int64 {
		n, err := strconv.ParseInt(c.Args[key], 10, 64)
		if err != nil {
			s.t.Fatalf("%s: %v", key, err)
		}
		return n
	}
	fail := func(err error) {
		if err != nil {
			fmt.Fprintf(&s.out, "error: %v\n", err)
		}
	}
	switch c.Command {
	case "pipeline":
		s.pipeline(c.Args)
	case "log":
		for _, l := range c.Input {
			s.record(l)
		}
	case "model":
		s.w.model = fits(s.line, c.Args["version"])
		if n, ok := c.Args["length"]; ok {
			s.w.model.Recipe.Length, _ = strconv.Atoi(n)
		}
		if c.Args["version"] == "" {
			s.w.model = nil
		}
		if s.w.model != nil && c.Args["scale"] != "" {
			for range s.w.model.Recipe.Width() {
				s.w.model.Recipe.Scale = append(s.w.model.Recipe.Scale, model.Scale{Mean: 1, Std: 2})
			}
		}
	case "open":
		if note, ok := c.Args["note"]; ok {
			s.w.note = note
		}
		if _, ok := c.Args["committed"]; ok {
			s.w.committed = number("committed")
		}
		var err error
		s.w.fuse = -1
		if s.p, s.at, err = s.line.Open(ctx, s.w.assignment()); err != nil {
			fail(err)
			break
		}
		fmt.Fprintf(&s.out, "reads from %d\n", s.at)
	case "handle":
		to := number("to")
		if _, ok := c.Args["from"]; ok {
			s.at = number("from")
		}
		err := s.p.Handle(ctx, s.w.batch(s.at, to))
		s.at = to
		fail(err)
	case "flush":
		fail(s.p.Flush(ctx))
	case "after":
		d, err := time.ParseDuration(c.Args["time"])
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(d)
		if due := s.p.Due(); !due.IsZero() {
			fmt.Fprintf(&s.out, "due in %v\n", due.Sub(s.now))
		} else {
			fmt.Fprintln(&s.out, "nothing due")
		}
	case "fail":
		// The seeds of a generator whose first answer is "before the effect" and "after it".
		s.w.fuse, s.w.rng = int(number("calls")), rand.New(rand.NewPCG(map[string]uint64{"before": 1, "after": 0}[c.Args["effect"]], 0))
	case "sent":
		fmt.Fprintln(&s.out, s.w.sent)
	default:
		s.t.Fatalf("unknown command %q", c.Command)
	}
	return s.out.String()
}

// settler is a world that can tell what it holds.
type settler struct{ *world }

func (s settler) Held(_ context.Context, pipeline, topic string, partition int32, first, next int64) (handled, scored []int64, err error) {
	for table, inserts := range s.tables {
		for _, rows := range inserts {
			for _, r := range rows {
				var offset int64
				if _, err := fmt.Sscanf(r, "@%d", &offset); err != nil {
					return nil, nil, err
				}
				switch {
				case offset < first || offset >= next:
				case table == "scores":
					scored = append(scored, offset)
				default:
					handled = append(handled, offset)
				}
			}
		}
	}
	s.trace("asked what it holds of %s %s/%d@%d-%d", pipeline, topic, partition, first, next)
	return handled, scored, nil
}

func (s *script) pipeline(args map[string]string) {
	s.cfg = small()
	s.cfg.Flush.Interval = time.Second
	out := Outlets{Sink: s.w, Publisher: s.w, Watch: s.w}
	for key, value := range args {
		var err error
		switch key {
		case "features":
			s.cfg.Features = nil
		case "length":
			s.cfg.Features.Recipe.Length, err = strconv.Atoi(value)
		case "lateness":
			s.cfg.Features.Lateness, err = time.ParseDuration(value)
		case "close":
			s.cfg.Features.Close = features.Close(value)
		case "signals":
			s.cfg.Signals = nil
		case "rows":
			s.cfg.Flush.Rows, err = strconv.Atoi(value)
		case "bytes":
			err = s.cfg.Flush.Bytes.UnmarshalText([]byte(value))
		case "chunk":
			s.cfg.ScoreChunk, err = strconv.Atoi(value)
		case "settler":
			out.Sink = settler{s.w}
		case "publisher":
			out.Publisher = nil
		default:
			s.t.Fatalf("unknown setting %q", key)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	var err error
	judge := Judge{Scorer: s.w, Live: func() *model.Model { return s.w.model }}
	if s.line, err = New(s.cfg, judge, out, NewMetrics(prometheus.NewRegistry()), slog.New(&said{&s.out})); err != nil {
		s.t.Fatal(err)
	}
	if s.now.IsZero() {
		s.now = time.Unix(1e9, 0)
	}
	s.line.now = func() time.Time { return s.now }
}

// said shows what is logged, but for the partition and what is routine.
type said struct{ out *strings.Builder }

func (s *said) Enabled(_ context.Context, l slog.Level) bool { return true }
func (s *said) WithAttrs([]slog.Attr) slog.Handler           { return s }
func (s *said) WithGroup(string) slog.Handler                { return s }
func (s *said) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "partition opened" {
		return nil
	}
	fmt.Fprintf(s.out, "log: %s", r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(s.out, " %s", a)
		return true
	})
	fmt.Fprintln(s.out)
	return nil
}

// record appends "row asset seconds values...", "reject [bytes]", "label asset" or "gap n" to the log.
func (s *script) record(line string) {
	words := strings.Fields(line)
	at := event.Position{Topic: "t", Partition: 1, Offset: s.w.end}
	e := entry{offset: s.w.end}
	switch words[0] {
	case "gap":
		n, err := strconv.Atoi(words[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.w.end += int64(n)
		return
	case "reject":
		e.reject = &event.DeadLetter{Record: event.Record{Position: at, Value: []byte("{")}, Pipeline: "p", Reason: event.ReasonMalformed, Detail: "no asset"}
		if len(words) > 1 {
			n, err := strconv.Atoi(words[1])
			if err != nil {
				s.t.Fatal(err)
			}
			e.reject.Headers = []event.Header{{Key: "padding", Value: make([]byte, n)}}
		}
	case "label":
		e.label = &event.Label{Position: at, Pipeline: "p", Asset: words[1], Kind: event.KindFailure, Value: math.NaN()}
	case "row":
		seconds, err := strconv.ParseFloat(words[2], 64)
		if err != nil {
			s.t.Fatal(err)
		}
		e.row = &event.Row{Offset: s.w.end, Asset: words[1], Time: int64(seconds * 1e9)}
		for _, w := range words[3:] {
			v := math.NaN()
			if w != "-" {
				if v, err = strconv.ParseFloat(w, 64); err != nil {
					s.t.Fatal(err)
				}
			}
			e.row.Values = append(e.row.Values, v)
		}
	default:
		s.t.Fatalf("unknown record %q", line)
	}
	s.w.log = append(s.w.log, e)
	s.w.end++
}
