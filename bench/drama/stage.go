package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"andon/bench/house"
	"andon/event"
)

var errNot = errors.New("did not go as written")

// plan says how the plays are staged.
type plan struct {
	binary, dir string
	libraries   string
	pace        float64
	slots       int
	short, keep bool
	limit       time.Duration
	out         io.Writer
}

// play is one story with an appliance of its own, which is new. perform opens it by s.open, plays its acts by s.perform, and closes what it has opened. An error says which act did not go as written.
type play struct {
	name    string
	perform func(ctx context.Context, s *stage) error
}

// perform plays one story after the other, each in a folder of its own, and sums up.
func perform(ctx context.Context, p plan, plays ...play) error {
	if len(plays) == 0 {
		return fmt.Errorf("there is no play of that name: see plays in main.go")
	}
	began := time.Now()
	var err error
	if p.binary, err = filepath.Abs(p.binary); err != nil {
		return err
	}
	if p.libraries == "" {
		p.libraries = filepath.Join(filepath.Dir(p.binary), "..", "lib")
	}
	if p.dir == "" {
		if p.dir, err = os.MkdirTemp("", "andon-drama-"); err != nil {
			return err
		}
		if !p.keep {
			defer os.RemoveAll(p.dir)
		}
	}
	var took []timed
	for _, y := range plays {
		s := &stage{plan: p, began: began}
		s.dir = filepath.Join(p.dir, y.name)
		if err := os.MkdirAll(s.dir, 0o755); err != nil {
			return err
		}
		limited, cancel := context.WithTimeout(ctx, p.limit)
		err := y.perform(limited, s)
		cancel()
		if s.house != nil {
			if err == nil && p.keep {
				s.say("the page of %s stays up until you interrupt: %s", y.name, s.house.Console)
				<-ctx.Done()
			}
			s.house.Close()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", y.name, err)
		}
		took = append(took, s.took...)
	}
	parts := make([]string, len(took))
	for i, t := range took {
		parts[i] = fmt.Sprintf("%s %.0f s", t.act, t.took.Seconds())
	}
	fmt.Fprintf(p.out, "drama: all %d acts went as written in %.0f s: %s\n", len(took), time.Since(began).Seconds(), strings.Join(parts, ", "))
	return nil
}

// stage is one play as it goes. A play opens it with its configuration, whose only pipeline it names, and may set feeder, which tells that what feeds the appliance has failed.
type stage struct {
	plan
	house    *house.House
	pipeline string
	feeder   func() error
	began    time.Time
	act      string
	took     []timed
	// seen is how many decisions were looked at.
	seen int
}

type timed struct {
	act  string
	took time.Duration
}

// act is a part of a play that must go as written.
type act struct {
	name string
	do   func(ctx context.Context) error
}

// open starts the appliance.
func (s *stage) open(ctx context.Context, pipeline, config string) (err error) {
	s.pipeline = pipeline
	s.say("the appliance starts, for %s", pipeline)
	if s.house, err = house.Open(ctx, s.binary, s.dir, config); err == nil {
		s.say("it is up: %s", s.house.Console)
	}
	return err
}

// perform plays acts; the first that does not go as written ends it.
func (s *stage) perform(ctx context.Context, acts ...act) error {
	for _, a := range acts {
		end := s.begin(a.name)
		if err := a.do(ctx); err != nil {
			s.curtain(ctx)
			return fmt.Errorf("act %q: %w", s.act, err)
		}
		end()
	}
	return nil
}

func (s *stage) say(format string, a ...any) {
	fmt.Fprintf(s.out, "%6.1f s  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, a...))
}

// begin begins an act; what comes back ends it.
func (s *stage) begin(act string) (end func()) {
	s.act = act
	began := time.Now()
	fmt.Fprintf(s.out, "\n-- %s\n", act)
	return func() { s.took = append(s.took, timed{act, time.Since(began)}) }
}

// await asks until something is so.
func (s *stage) await(ctx context.Context, what string, within time.Duration, so func(ctx context.Context) (bool, error)) error {
	deadline := time.Now().Add(within)
	for {
		if err := s.house.Alive(); err != nil {
			return err
		}
		if s.feeder != nil {
			if err := s.feeder(); err != nil {
				return err
			}
		}
		ok, err := so(ctx)
		if ok || err != nil && ctx.Err() == nil && time.Now().After(deadline) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: no %s within %v", errNot, what, within)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("while waiting for %s: %w", what, ctx.Err())
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// decided waits for the next decision that is not a wait, and holds it to what is written.
func (s *stage) decided(ctx context.Context, stage, verdict string, within time.Duration) (d house.Decision, err error) {
	err = s.await(ctx, stage+" "+verdict, within, func(ctx context.Context) (bool, error) {
		all, err := s.house.Decisions(ctx, s.pipeline)
		if err != nil {
			return false, nil // asked again
		}
		for ; s.seen < len(all); s.seen++ {
			d = all[s.seen]
			if d.Verdict == event.DecidedWait {
				continue
			}
			if d.Stage == event.StageTrigger && d.Verdict == event.DecidedNo { // an alarm that nothing is done about
				s.say("%s %s, by %s: %s", d.Stage, d.Verdict, d.Who, d.Reason)
				continue
			}
			s.seen++
			s.say("%s %s, by %s: %s", d.Stage, d.Verdict, d.Who, d.Reason)
			if d.Stage != stage || d.Verdict != verdict {
				return true, fmt.Errorf("%w: decided %s %s, and %s %s was written", errNot, d.Stage, d.Verdict, stage, verdict)
			}
			return true, nil
		}
		return false, nil
	})
	return d, err
}

// champions holds the champion to what is written.
func (s *stage) champions(ctx context.Context, want string) error {
	is, err := s.house.Champion(ctx, s.pipeline)
	if err == nil && is != want {
		err = fmt.Errorf("%w: the champion is %s, not %s", errNot, is, want)
	}
	return err
}

// curtain tells what is known when an act went wrong.
func (s *stage) curtain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	if all, err := s.house.Decisions(ctx, s.pipeline); err == nil {
		for _, d := range all {
			s.say("  %s %s %s: %s", d.Time.Format(time.TimeOnly), d.Stage, d.Verdict, d.Reason)
		}
	}
	s.say("the appliance's last words:\n%s", s.house.Tail())
}
