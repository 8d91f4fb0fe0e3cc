// Command chaos breaks the appliance at random moments, again and again, and counts by itself what became of every record: the log is read with a
// client of its own, ClickHouse asked with another, and what must come of a record is worked out from its headers. README.md says what is broken and how.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	rounds  int
	seed    uint64
	binary  string
	dir     string
	keep    bool
	rate    int
	only    string
	limit   time.Duration
	patient time.Duration
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 20, "rounds")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of what is sent and what is broken")
	flag.StringVar(&o.binary, "binary", "bin/andon", "the appliance")
	flag.StringVar(&o.dir, "dir", "", "folder for everything; without it a temporary one")
	flag.BoolVar(&o.keep, "keep", false, "keep the folder also when all is well")
	flag.IntVar(&o.rate, "rate", 500, "records a second")
	flag.StringVar(&o.only, "only", "", "only these faults, joined by commas: "+names())
	flag.DurationVar(&o.limit, "limit", 0, "begin no round after this long; 0 for no limit")
	flag.DurationVar(&o.patient, "patience", 2*time.Minute, "how long a round's records may take to be handled once all is whole again")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	r, err := run(ctx, o, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	fmt.Println(r)
	if err != nil || !r.clean() {
		os.Exit(1)
	}
}

func names() string {
	var all []string
	for _, f := range faults {
		all = append(all, string(f.fault))
	}
	return strings.Join(all, ", ")
}

// result is what all rounds came to.
type result struct {
	verdict
	rounds, faults, records, again, surprises int
	recoveries                                []*recovery
}

func (r *result) String() string {
	var own []time.Duration
	for _, x := range r.recoveries {
		if x.took > 0 && x.alone {
			own = append(own, x.took)
		}
	}
	return fmt.Sprintf("chaos: rounds=%d faults=%d records=%d lost=%d doubled=%d wrong=%d unasked_ends=%d recover_n=%d recover_p50=%.1fs recover_max=%.1fs", r.rounds, r.faults, r.records,
		r.lost, r.doubled, r.wrong, r.surprises, len(own), quantile(own, 0.5).Seconds(), quantile(own, 1).Seconds())
}

func (r *result) clean() bool { return r.verdict.clean() && r.surprises == 0 && r.rounds > 0 }

// run plays the rounds.
func run(ctx context.Context, o options, out io.Writer) (r *result, err error) {
	r = &result{}
	only, err := parseFaults(o.only)
	if err != nil {
		return r, err
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "andon-chaos"); err != nil {
			return r, err
		}
	} else if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return r, err
	}
	s, err := newStage(o.binary, o.dir)
	if err != nil {
		return r, err
	}
	p := &play{stage: s, result: r, out: out, o: o, truth: newTruth(), letters: newLetters()}
	defer func() {
		if cerr := s.close(); err == nil {
			err = cerr
		}
		p.tell()
		for _, name := range r.first {
			fmt.Fprintln(out, "  ", name)
		}
		if err == nil && r.clean() && !o.keep {
			_ = os.RemoveAll(o.dir)
		} else {
			fmt.Fprintln(out, "everything is kept in", o.dir)
		}
	}()
	if err := p.open(ctx); err != nil {
		return r, err
	}
	defer p.loader.close()
	begun, rng := time.Now(), rand.New(rand.NewPCG(o.seed, 2))
	for i := range o.rounds {
		if o.limit > 0 && time.Since(begun) > o.limit {
			break
		}
		if err := p.round(ctx, i+1, plan(rng, only)); err != nil {
			return r, fmt.Errorf("round %d: %w", i+1, err)
		}
		if !r.clean() {
			break
		}
	}
	return r, nil
}
