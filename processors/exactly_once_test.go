package processors

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"andon/event"
	"andon/processors/features"
)

// randomLog makes records of a disorderly fleet, with gaps in the offsets.
func randomLog(rng *rand.Rand, n, assets, signals int) (log []entry, end int64) {
	clock := make([]int64, assets)
	for i := range clock {
		clock[i] = rng.Int64N(100) * 1e9
	}
	for range n {
		end += 1 + int64(rng.IntN(6)/5)*int64(rng.IntN(4))
		at := event.Position{Topic: "t", Partition: 1, Offset: end - 1}
		e := entry{offset: at.Offset}
		switch rng.IntN(30) {
		case 0:
			e.reject = &event.DeadLetter{Record: event.Record{Position: at, Value: []byte("?")}, Pipeline: "p", Reason: event.ReasonMalformed}
		case 1:
			e.label = &event.Label{Position: at, Pipeline: "p", Asset: "x", Kind: event.KindFailure, Value: math.NaN()}
		default:
			a := rng.IntN(assets)
			clock[a] += rng.Int64N(12) * 1e9
			if rng.IntN(40) == 0 {
				clock[a] += 60e9
			}
			row := event.Row{Offset: at.Offset, Asset: fmt.Sprint("asset-", a), Time: clock[a]}
			if rng.IntN(4) == 0 {
				row.Time -= rng.Int64N(40) * 1e9
			}
			for range signals {
				v := math.Round(100 * rng.Float64())
				if rng.IntN(15) == 0 {
					v = math.NaN()
				}
				row.Values = append(row.Values, v)
			}
			if last := len(log) - 1; rng.IntN(10) == 0 && last >= 0 && log[last].row != nil {
				doubled := *log[last].row
				doubled.Offset = row.Offset
				row = doubled
			}
			row.Filtered = at.Offset%13 == 5
			e.row = &row
		}
		log = append(log, e)
	}
	return log, end
}

// stored lists all that is in the tables, and fails on an offset that two inserts of a table share.
func (w *world) stored(t *testing.T) []string {
	t.Helper()
	var all []string
	for table, inserts := range w.tables {
		if table == "shadow_scores" {
			continue // may be shed
		}
		ranges := make([]token, 0, len(inserts))
		for at, rows := range inserts {
			ranges = append(ranges, at)
			for _, r := range rows {
				all = append(all, table+" "+r)
			}
		}
		slices.SortFunc(ranges, func(a, b token) int { return int(a.first - b.first) })
		for i := 1; i < len(ranges); i++ {
			if ranges[i].first < ranges[i-1].next {
				t.Fatalf("%s: inserts %v and %v overlap", table, ranges[i-1], ranges[i])
			}
		}
	}
	sort.Strings(all)
	return all
}

// shadowed counts each row of the shadows.
func (w *world) shadowed() map[string]int {
	all := map[string]int{}
	for _, rows := range w.tables["shadow_scores"] {
		for _, r := range rows {
			all[r]++
		}
	}
	return all
}

// run hands the log to the line in random batches with random flushes until all is committed or a call fails.
func (w *world) run(ctx context.Context, l *Line, rng *rand.Rand) error {
	p, at, err := l.Open(ctx, w.assignment())
	if err != nil {
		return err
	}
	defer p.Close()
	if at > w.committed {
		return fmt.Errorf("reads from %d, committed is %d", at, w.committed)
	}
	w.longest = max(w.longest, w.committed-at)
	if most := max(l.cfg.Snapshot.Records, int64(w.largest/perRecord)); w.bounded && w.committed-at > most {
		return fmt.Errorf("reads from %d, which is %d before the committed offset, with a limit of %d", at, w.committed-at, most)
	}
	for at < w.end {
		next := min(at+1+rng.Int64N(60), w.end)
		if err := p.Handle(ctx, w.batch(at, next)); err != nil {
			return err
		}
		at = next
		if rng.IntN(3) == 0 {
			if err := p.Flush(ctx); err != nil {
				return err
			}
		}
	}
	return p.Flush(ctx)
}

// age does to log and snapshots what time does: with snapshots, the log loses what it may lose; without a log that can, a snapshot is lost or damaged.
func (w *world) age(t *testing.T, rng *rand.Rand, kind int) {
	t.Helper()
	n, err := parseNote(w.note, w.committed)
	if err != nil {
		t.Fatal(err)
	}
	if n.Kept == nil {
		return
	}
	s, whole := w.vault[n.Kept.Ref]
	if whole = whole && !s.damaged; !whole {
		return
	}
	w.bounded = kind != agesNot
	switch {
	case kind == agesLog:
		w.trimmed = max(w.trimmed, n.Kept.At-rng.Int64N(5))
	case kind == agesVault && rng.IntN(4) == 0:
		w.bounded = false
		w.losses++
		if rng.IntN(2) == 0 {
			delete(w.vault, n.Kept.Ref)
			return
		}
		w.vault[n.Kept.Ref] = saved{s.key, s.data[:rng.IntN(len(s.data))], true}
	}
}

// What ages.
const (
	agesNot = iota // and no snapshots
	agesLog
	agesVault
)

// pieceOfCanary tells a sketch of the canary m2, whose pieces a crash may lose.
func pieceOfCanary(row string) bool {
	f := strings.Fields(row)
	return f[0] == "drift" && slices.Contains(f[:3], "m2")
}

// For a fixed model or detector, any batch split, any flush and any crash give the same rows and scores, or values of windows, once; and all dead letters and scores are published. So it is
// with snapshots, of which some are lost, or after which the log drops what was before; and they bound what a restart reads back.
func TestExactlyOnce(t *testing.T) {
	ctx := context.Background()
	crashes, again, scores, values, saves, losses := 0, 0, 0, 0, 0, 0
	shadows, missed, tried, pieces, detected, risky, canaries := 0, 0, 0, 0, 0, 0, 0
	for seed := range uint64(520) {
		rng := rand.New(rand.NewPCG(seed, 1))
		cfg := small()
		cfg.Features.Stride = 1 + rng.IntN(2)
		cfg.Features.Lateness = time.Duration(rng.IntN(40)) * time.Second
		cfg.Features.Horizon = 2 * time.Minute
		cfg.Features.Close = []features.Close{features.Complete, features.Watermark}[rng.IntN(2)]
		ends := seed >= 300 && seed < 400 // at the values of its windows
		detects := seed >= 400            // by a detector, without a model
		n := 300
		if detects {
			cfg, n = detecting(cfg, seed%2 == 0), 500
		}
		if ends {
			cfg = aggregated(cfg, 30*time.Second, []time.Duration{30 * time.Second, 10 * time.Second, 7 * time.Second}[rng.IntN(3)])
			cfg.Aggregate.Remember = []int{0, 5}[rng.IntN(2)]
		}
		cfg.Drift.Windows, cfg.Drift.Groups = pieceWindows, map[string]string{"even": "asset-[024]"}
		log, end := randomLog(rng, n, 1+rng.IntN(5), 2)

		calm := newWorld()
		calm.log, calm.end = log, end
		line := calm.line(t, cfg)
		if !ends && !detects {
			calm.model = fits(line, "m1")
			if seed%2 == 0 {
				calm.canary, calm.percent, calm.shadow = scaled(line, "m2", 3), 50, scaled(line, "m3", 7)
			}
		}
		p, _, err := line.Open(ctx, calm.assignment())
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.Handle(ctx, calm.batch(0, end)), p.Flush(ctx)); err != nil {
			t.Fatal(err)
		}
		want := calm.stored(t)
		if slices.ContainsFunc(want, pieceOfCanary) {
			canaries++
		}
		want = slices.DeleteFunc(want, pieceOfCanary)

		w := newWorld()
		w.log, w.end, w.rng, w.model = log, end, rng, calm.model
		w.canary, w.percent, w.shadow = calm.canary, calm.percent, calm.shadow
		w.busy = func() fate { return []fate{fateNow, fateNow, fateInTime, fateNever, fateFull}[rng.IntN(5)] }
		kind := int(seed % 3)
		cfg.Snapshot.Records = 0
		if kind != agesNot {
			cfg.Snapshot.Records = 1 + rng.Int64N(60)
		}
		for tries := 0; ; tries++ {
			if tries == 10000 {
				t.Fatalf("seed %d: does not end", seed)
			}
			// How blocks and chunks are cut may change from start to start.
			cfg.Flush.Rows = 1 + rng.IntN(100)
			cfg.ScoreChunk = 1 + rng.IntN(8)
			if strings.Contains(w.note, "intent") {
				again++
			}
			if tries == 0 {
				w.bounded = kind != agesNot
			}
			w.age(t, rng, kind)
			w.fuse = rng.IntN(40) - 3
			err := w.run(ctx, w.line(t, cfg), rng)
			if err == nil && w.committed == end {
				break
			}
			if crashes++; err != nil && !errors.Is(err, errCrash) {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		got := slices.DeleteFunc(w.stored(t), pieceOfCanary)
		if !slices.Equal(want, got) {
			i := 0
			for i < len(want) && i < len(got) && want[i] == got[i] {
				i++
			}
			t.Fatalf("seed %d: %d rows stored, want %d; the first difference is at %d:\nwant %s\ngot  %s", seed, len(got), len(want), i, want[i:min(i+1, len(want))], got[i:min(i+1, len(got))])
		}
		for offset := range calm.sent {
			if w.sent[offset] == 0 {
				t.Fatalf("seed %d: what came of offset %d was not published", seed, offset)
			}
		}
		for _, r := range calm.tables["scores"][token{0, end}] {
			if strings.HasSuffix(r, "model=m2") {
				tried++
			}
		}
		all := calm.shadowed()
		for row, n := range w.shadowed() {
			if n > all[row] {
				t.Fatalf("seed %d: a shadow's row is there %d times, and without crashes %d times: %s", seed, n, all[row], row)
			}
			shadows += n
			all[row] -= n
		}
		for _, n := range all {
			missed += n
		}
		pieces += len(calm.tables["drift"][token{0, end}])
		if detects {
			for _, r := range calm.tables["scores"][token{0, end}] {
				if detected++; !strings.Contains(r, "value=0 ") {
					risky++
				}
			}
		} else {
			scores += len(calm.tables["scores"][token{0, end}])
		}
		values += len(calm.tables["features"][token{0, end}])
		saves, losses = saves+w.saves, losses+w.losses
	}
	if crashes < 1000 || again < 300 || scores < 1000 || values < 1000 || saves < 500 || losses < 100 || shadows < 1000 || missed < 300 || tried < 300 || pieces < 3000 || detected < 3000 || risky < 2000 || canaries < 5 {
		t.Fatalf("too easy: %d crashes, %d blocks formed again, %d scores, %d windows' values, %d snapshots of which %d lost, %d rows of shadows and %d missed, %d scores of canaries, %d features of pieces, %d scores of detectors of which %d are something, %d runs with pieces of canaries",
			crashes, again, scores, values, saves, losses, shadows, missed, tried, pieces, detected, risky, canaries)
	}
}

// A writer that is thought dead wakes after another has stored its block and gone on: it stores nothing and cannot commit.
func TestZombie(t *testing.T) {
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(7, 7))
	w := newWorld()
	w.log, w.end = randomLog(rng, 200, 3, 2)
	line := w.line(t, small())
	w.model = fits(line, "m1")
	zombie, at, err := line.Open(ctx, w.assignment())
	if err != nil {
		t.Fatal(err)
	}
	if err := zombie.Handle(ctx, w.batch(at, 120)); err != nil {
		t.Fatal(err)
	}
	w.before = func() {
		w.before = nil
		if err := w.run(ctx, line, rng); err != nil {
			t.Fatal(err)
		}
	}
	err = zombie.Flush(ctx)
	if err == nil || !strings.Contains(err.Error(), "commit p t/1@0-120: fenced") {
		t.Fatalf("the zombie's commit: %v", err)
	}
	if w.committed != w.end {
		t.Fatalf("committed %d of %d", w.committed, w.end)
	}
	// What the two stored overlaps nowhere, and a third pass over the calm world agrees.
	calm := newWorld()
	calm.log, calm.end, calm.model = w.log, w.end, w.model
	if err := calm.run(ctx, calm.line(t, small()), rng); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(calm.stored(t), w.stored(t)) {
		t.Error("the stored rows differ")
	}
	// It is of no use any more.
	if e := zombie.Handle(ctx, w.batch(120, 130)); e != err {
		t.Errorf("got %v", e)
	}
	if e := zombie.Flush(ctx); e != err || !zombie.Due().IsZero() {
		t.Errorf("got %v, due %v", e, zombie.Due())
	}
}
