package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// play is the run of rounds.
type play struct {
	*stage
	result  *result
	out     io.Writer
	o       options
	loader  *loader
	truth   *truth
	letters *letters
	// checked is up to where the log has been held against what is stored.
	checked [partitions]int64
}

// open starts A and the loader.
func (p *play) open(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := p.settle(ctx); err != nil {
		return err
	}
	p.loader, err = newLoader(p.broker, p.o.seed)
	return err
}

// round sends records while things break, waits until all is handled, and counts.
func (p *play) round(ctx context.Context, n int, events []event) error {
	p.result.rounds, p.result.faults = n, p.result.faults+len(events)
	switch {
	case needsB(events):
		p.wantB = true
	case n%2 == 0 && p.wantB: // or it would stay for good
		p.wantB = false
		if err := p.b.end(syscall.SIGTERM, 25*time.Second); err != nil {
			return err
		}
	}
	start, cancel := context.WithTimeout(ctx, p.o.patient)
	defer cancel()
	if err := p.settle(start); err != nil {
		return err
	}
	begun := time.Now()
	first := len(p.watch.all)
	if err := p.load(ctx, events); err != nil {
		return err
	}
	loaded := time.Now()
	acked, to, err := p.drain(ctx)
	if err != nil {
		return err
	}
	handled := time.Now()
	v, records, err := p.count(ctx, acked, to)
	if err != nil {
		return err
	}
	p.result.join(v)
	p.result.records += records
	for _, err := range slices.Concat(p.a.surprises(), p.b.surprises()) {
		p.result.surprises++
		p.result.first = append(p.result.first, fmt.Sprintf("round %d: %v", n, err))
	}
	var took []string
	for _, r := range p.watch.all[first:] {
		took = append(took, fmt.Sprintf("%s %.1fs", r.fault, r.took.Seconds()))
	}
	texts := make([]string, len(events))
	for i, e := range events {
		texts[i] = e.String()
	}
	fmt.Fprintf(p.out, "round %d: %s; %d records in %.1fs, handled %.1fs later; lost %d doubled %d wrong %d; scores again after: %s\n", n, strings.Join(texts, " "), records,
		loaded.Sub(begun).Seconds(), handled.Sub(loaded).Seconds(), v.lost, v.doubled, v.wrong, strings.Join(took, ", "))
	return p.verify(ctx)
}

// load sends records until all events have happened and what they interrupted goes on.
func (p *play) load(ctx context.Context, events []event) error {
	ctx, cancel := context.WithTimeout(ctx, p.o.patient+2*time.Minute)
	defer cancel()
	sending, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	all.Go(func() { p.loader.run(sending, p.o.rate) })
	all.Go(func() { p.watch.run(sending) })
	begun := time.Now()
	for _, e := range events {
		if err := sleep(ctx, time.Until(begun.Add(e.at))); err != nil {
			return err
		}
		if err := p.strike(ctx, e); err != nil {
			return fmt.Errorf("%v: %w", e, err)
		}
	}
	p.lingering.Wait()
	if err := p.settle(ctx); err != nil {
		return err
	}
	for deadline := time.Now().Add(p.o.patient); p.watch.pending() > 0; {
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
		if !p.a.up() || p.wantB && !p.b.up() { // it ended by itself: an operator's supervisor starts it again, and we tell of it
			if err := p.settle(ctx); err != nil {
				return err
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not every partition has new scores %v after the last fault", p.o.patient)
		}
	}
	return sleep(ctx, max(0, time.Until(begun.Add(2*time.Second))))
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drain waits until all that was sent is in the log and the group has committed it. It returns what the broker acknowledged, and the log's ends.
func (p *play) drain(ctx context.Context) (acked []uint64, to [partitions]int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.patient)
	defer cancel()
	if acked, err = p.loader.settle(ctx); err != nil {
		return nil, to, err
	}
	if to, err = ends(ctx, p.broker); err != nil {
		return nil, to, err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.broker), kgo.ClientID("chaos-drain"), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return nil, to, err
	}
	defer cl.Close()
	for {
		if !p.a.up() || p.wantB && !p.b.up() {
			if err := p.settle(ctx); err != nil {
				return nil, to, err
			}
		}
		var waiting []string
		ask, cancel := context.WithTimeout(ctx, 5*time.Second)
		offsets, err := kadm.NewClient(cl).FetchOffsets(ask, "andon."+pipeline)
		cancel()
		for id, end := range to {
			if o, _ := offsets.Lookup(topic, int32(id)); err != nil || o.At < end && end > 0 {
				waiting = append(waiting, fmt.Sprintf("%d: %d of %d", id, o.At, end))
			}
		}
		if len(waiting) == 0 {
			return acked, to, nil
		}
		if werr := sleep(ctx, 100*time.Millisecond); werr != nil {
			return nil, to, fmt.Errorf("not handled after %v: %s (%w)", p.o.patient, strings.Join(waiting, ", "), errors.Join(err, werr))
		}
	}
}

// count holds what is stored against the log.
func (p *play) count(ctx context.Context, acked []uint64, to [partitions]int64) (*verdict, int, error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.patient)
	defer cancel()
	log, err := p.truth.read(ctx, p.broker, to)
	if err != nil {
		return nil, 0, err
	}
	at, err := p.a.ready(ctx)
	if err != nil {
		return nil, 0, err
	}
	c, err := dial(at)
	if err != nil {
		return nil, 0, err
	}
	defer c.Close()
	have, err := rows(ctx, c, p.checked, to)
	if err != nil {
		return nil, 0, err
	}
	v := compare(log, have)
	for _, id := range acked {
		if !p.truth.seen[id] {
			v.add(&v.lost, "record %d was acknowledged and is not in the log", id)
		}
	}
	sum, err := totals(ctx, c, to)
	if err != nil {
		return nil, 0, err
	}
	if v.clean() { // else the same faults would be counted again
		v.join(sum)
	}
	if err := p.letters.read(ctx, p.broker); err != nil {
		return nil, 0, err
	}
	v.join(deadLetters(p.letters.published, log))
	p.checked = to
	n := 0
	for _, entries := range log {
		n += len(entries)
	}
	return v, n, p.a.orphans(20 * time.Second)
}

// verify asks the appliance's own proof.
func (p *play) verify(ctx context.Context) error {
	if !p.result.verdict.clean() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.o.patient)
	defer cancel()
	out, err := exec.CommandContext(ctx, p.a.binary, "verify", "--data", p.a.dir, "--kafka", "auto").CombinedOutput()
	if err != nil {
		p.result.add(&p.result.wrong, "andon verify finds what we do not: %v\n%s", err, out)
	}
	return nil
}

// tell says how long each kind of interruption took.
func (p *play) tell() {
	p.result.again = p.truth.doubled
	by := map[string][]time.Duration{}
	for _, r := range p.watch.all {
		p.result.recoveries = append(p.result.recoveries, r)
		if r.took > 0 {
			key := string(r.fault)
			if r.alone {
				key += ", alone"
			}
			by[key] = append(by[key], r.took)
		}
	}
	for _, f := range slices.Sorted(maps.Keys(by)) {
		fmt.Fprintf(p.out, "scores again in every partition after %-28s n=%d p50=%.1fs max=%.1fs\n", f, len(by[f]), quantile(by[f], 0.5).Seconds(), quantile(by[f], 1).Seconds())
	}
	fmt.Fprintf(p.out, "the log holds %d records that producers had to send again; the topic of dead letters holds %d records\n", p.result.again, p.letters.records)
}
