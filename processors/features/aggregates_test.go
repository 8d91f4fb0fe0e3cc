package features

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"time"

	"andon/event"
)

// randomAggregate is settings small enough that every rule is met often.
func randomAggregate(rng *rand.Rand) (Aggregate, []string) {
	c := DefaultAggregate()
	c.Every = time.Duration(1+rng.IntN(12)) * time.Second
	switch rng.IntN(3) {
	case 0:
		c.Size = c.Every
	case 1:
		c.Size = c.Every * time.Duration(1+rng.IntN(9))
	default:
		c.Size = c.Every + time.Duration(rng.IntN(30))*time.Second
	}
	c.Lateness = time.Duration(rng.IntN(50)) * time.Second
	c.Horizon = c.Lateness + c.Size + time.Duration(rng.IntN(100))*time.Second
	c.Remember = []int{0, 1 + rng.IntN(12)}[rng.IntN(2)]
	for _, f := range Functions {
		if rng.IntN(2) == 0 {
			c.Functions = append(c.Functions, f)
		}
	}
	signals := []string{"a", "b", "c"}[:1+rng.IntN(3)]
	if rng.IntN(3) == 0 {
		c.Signals = []string{signals[len(signals)-1]}
	}
	return c, signals
}

func mustAggregate(t testing.TB, c Aggregate, signals []string) *Aggregates {
	t.Helper()
	p, err := NewAggregates(c, signals)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// told hands rows to p and returns what came of them, a line a row and window, values to the bit.
func told(t testing.TB, p *Aggregates, rows []event.Row) []string {
	t.Helper()
	var log []string
	into := event.Features{Names: p.Names()}
	for i := range rows {
		into.Reset()
		out, err := p.Row(&rows[i], &into)
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, fmt.Sprintf("@%d %s", rows[i].Offset, outcomes[out]))
		for w := range into.Asset {
			if into.Offset[w] != rows[i].Offset {
				t.Fatalf("a window closed by offset %d names %d", rows[i].Offset, into.Offset[w])
			}
			line := fmt.Sprintf("  %s [%v,%v)", into.Asset[w], time.Duration(into.Start[w]), time.Duration(into.End[w]))
			for _, v := range into.Row(w) {
				line += fmt.Sprintf(" %x", math.Float64bits(v))
			}
			log = append(log, line)
		}
	}
	return log
}

// From the fold offset, with its clock, the rows give the same state to the byte; and so does a snapshot, which also goes on the same.
func TestAggregatesFoldAndSnapshot(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 11))
		c, signals := randomAggregate(rng)
		rows := randomRows(rng, 400, 1+rng.IntN(6), len(signals))
		p := mustAggregate(t, c, signals)
		want := told(t, mustAggregate(t, c, signals), rows)
		var got []string
		for at := 0; at < len(rows); {
			n := min(1+rng.IntN(30), len(rows)-at)
			got = append(got, told(t, p, rows[at:at+n])...)
			at += n
			state := p.Snapshot(nil)

			offset, clock := p.Fold(int64(at))
			folded := mustAggregate(t, c, signals)
			folded.SetClock(clock)
			for i := int(offset); i < at; i++ {
				if _, err := folded.Row(&rows[i], nil); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(state, folded.Snapshot(nil)) {
				t.Fatalf("seed %d: state at %d differs when folded from %d", seed, at, offset)
			}
			if o, c := folded.Fold(int64(at)); o != offset || c != clock {
				t.Fatalf("seed %d: fold at %d is %d, %d; folded it is %d, %d", seed, at, offset, clock, o, c)
			}

			restored := mustAggregate(t, c, signals)
			if err := restored.Restore(state); err != nil {
				t.Fatalf("seed %d at %d: %v", seed, at, err)
			}
			if !bytes.Equal(state, restored.Snapshot(nil)) {
				t.Fatalf("seed %d: the snapshot at %d changes by a restore", seed, at)
			}
			p = []*Aggregates{p, folded, restored}[rng.IntN(3)]
		}
		equalLogs(t, fmt.Sprint("seed ", seed), want, got)
	}
}

// However the assets of a partition interleave, each gives the same: here none falls silent.
func TestAggregatesInterleaving(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 12))
		c, signals := randomAggregate(rng)
		c.Horizon = 3 * longest
		rows := randomRows(rng, 300, 2+rng.IntN(4), len(signals))
		alone := map[string][]event.Row{}
		for _, r := range rows {
			alone[r.Asset] = append(alone[r.Asset], r)
		}
		mixed := told(t, mustAggregate(t, c, signals), rows)
		at := 0
		got := map[string][]string{}
		for _, r := range rows {
			for more := true; more; more = at < len(mixed) && mixed[at][0] == ' ' {
				got[r.Asset] = append(got[r.Asset], mixed[at])
				at++
			}
		}
		for asset, rows := range alone {
			equalLogs(t, fmt.Sprintf("seed %d, %s", seed, asset), told(t, mustAggregate(t, c, signals), rows), got[asset])
		}
	}
}

// plainWindow is a window as the letter of the rules makes it.
type plainWindow struct {
	asset      string
	start, end int64
	offset     int64
	values     []float64
}

// plainly makes what Aggregates makes, by the letter: it keeps all rows of each asset and looks at all of them for each window.
func plainly(c Aggregate, signals []string, rows []event.Row) (outcomes []Outcome, windows []plainWindow) {
	c = c.Settled(signals)
	size, every, late := int64(c.Size), int64(c.Every), int64(c.Lateness)
	type taken struct {
		t      int64
		values []float64
	}
	type known struct {
		newest, touched int64
		rows            []taken
		times           map[int64]map[int]bool // remembered: which signals were read
		order           int
		closed          int64 // windows that end until then
	}
	assets := map[string]*known{}
	clock, order := int64(math.MinInt64), 0
	ends := func(t int64) (all []int64) { // of the windows that t lies in
		for start := floorDiv(t, every) * every; start+size > t; start -= every {
			all = append(all, start+size)
		}
		return all
	}
	tell := func(name string, a *known, upTo, offset int64) {
		open := map[int64]bool{}
		for _, r := range a.rows {
			for _, end := range ends(r.t) {
				if end <= upTo && end > a.closed {
					open[end] = true
				}
			}
		}
		var closing []int64
		for end := range open {
			closing = append(closing, end)
		}
		slices.Sort(closing)
		for _, end := range closing {
			w := plainWindow{asset: name, start: end - size, end: end, offset: offset}
			for _, signal := range c.Signals {
				var x, at []float64
				for _, r := range a.rows {
					if v := r.values[slices.Index(signals, signal)]; !math.IsNaN(v) && r.t >= w.start && r.t < end {
						x, at = append(x, v), append(at, float64(r.t-w.start)/1e9)
					}
				}
				for _, f := range c.Functions {
					w.values = append(w.values, plain(f, x, at))
				}
			}
			windows = append(windows, w)
		}
		a.closed = max(a.closed, upTo)
	}
	for _, row := range rows {
		if row.Time > clock {
			clock = row.Time
			var gone []string
			for name, a := range assets {
				if a.touched < clock-int64(c.Horizon) {
					gone = append(gone, name)
				}
			}
			sort.Slice(gone, func(i, j int) bool { return assets[gone[i]].order < assets[gone[j]].order })
			for _, name := range gone {
				tell(name, assets[name], math.MaxInt64, row.Offset)
				delete(assets, name)
			}
		}
		a := assets[row.Asset]
		if a == nil {
			a = &known{newest: math.MinInt64, times: map[int64]map[int]bool{}, closed: row.Time - late}
			assets[row.Asset] = a
		}
		order++
		a.touched, a.order = clock, order
		doubled := a.times[row.Time] != nil
		for s, v := range row.Values {
			doubled = doubled && (math.IsNaN(v) || a.times[row.Time][s])
		}
		if doubled && c.Remember > 0 {
			outcomes = append(outcomes, Duplicate)
			continue
		}
		if newest := max(a.newest, row.Time); slices.Max(ends(row.Time)) <= newest-late {
			outcomes = append(outcomes, Late)
			continue
		}
		outcomes = append(outcomes, Taken)
		remembered := 1
		for remembered < c.Remember {
			remembered *= 2
		}
		if a.times[row.Time] == nil {
			a.times[row.Time] = map[int]bool{}
		}
		for s, v := range row.Values {
			if !math.IsNaN(v) {
				a.times[row.Time][s] = true
			}
		}
		if len(a.times) > remembered {
			oldest := int64(math.MaxInt64)
			for at := range a.times {
				oldest = min(oldest, at)
			}
			delete(a.times, oldest)
		}
		if row.Time > a.newest {
			a.newest = row.Time
			tell(row.Asset, a, a.newest-late, row.Offset)
		}
		some := false
		for _, signal := range c.Signals {
			some = some || !math.IsNaN(row.Values[slices.Index(signals, signal)])
		}
		if some {
			a.rows = append(a.rows, taken{row.Time, slices.Clone(row.Values)})
		}
	}
	return outcomes, windows
}

// plain is a function by its definition, in two passes; at are seconds.
func plain(f Function, x, at []float64) float64 {
	n := float64(len(x))
	if f == Count {
		return n
	}
	if n == 0 {
		return math.NaN()
	}
	mean, when, newest, last := 0.0, 0.0, math.Inf(-1), 0.0
	for i, v := range x {
		mean, when = mean+v/n, when+at[i]/n
		if at[i] > newest {
			newest, last = at[i], v
		}
	}
	xx, tt, xt := 0.0, 0.0, 0.0
	for i, v := range x {
		xx, tt, xt = xx+(v-mean)*(v-mean), tt+(at[i]-when)*(at[i]-when), xt+(v-mean)*(at[i]-when)
	}
	switch {
	case f == Mean:
		return mean
	case f == Deviation && n > 1:
		return math.Sqrt(xx / (n - 1))
	case f == Min:
		return slices.Min(x)
	case f == Max:
		return slices.Max(x)
	case f == Last:
		return last
	case f == Slope && slices.Min(at) < slices.Max(at):
		return xt / tt
	}
	return math.NaN()
}

// near allows what sums in another order differ by, for values up to 100.
func near(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b))
}

// Rows out of order, doubled, narrow, empty and far, in windows of every kind, give what the letter of the rules gives.
func TestAggregatesPlainly(t *testing.T) {
	windows, late, doubled := 0, 0, 0
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 13))
		c, signals := randomAggregate(rng)
		rows := randomRows(rng, 300, 1+rng.IntN(5), len(signals))
		want, whole := plainly(c, signals, rows)
		p := mustAggregate(t, c, signals)
		into := event.Features{Names: p.Names()}
		for i := range rows {
			out, err := p.Row(&rows[i], &into)
			if err != nil || out != want[i] {
				t.Fatalf("seed %d: row %d is %s, %v; want %s", seed, i, outcomes[out], err, outcomes[want[i]])
			}
			switch out {
			case Late:
				late++
			case Duplicate:
				doubled++
			}
		}
		if into.Len() != len(whole) {
			t.Fatalf("seed %d: %d windows, want %d", seed, into.Len(), len(whole))
		}
		for i, w := range whole {
			if into.Asset[i] != w.asset || into.Start[i] != w.start || into.End[i] != w.end || into.Offset[i] != w.offset || !slices.EqualFunc(into.Row(i), w.values, near) {
				t.Fatalf("seed %d: window %d of %v every %v is %s [%d,%d) @%d %v\nwant %+v", seed, i, c.Size, c.Every, into.Asset[i], into.Start[i], into.End[i], into.Offset[i], into.Row(i), w)
			}
		}
		windows += len(whole)
	}
	if windows < 10000 || late < 1000 || doubled < 1000 {
		t.Fatalf("too easy: %d windows, %d late rows, %d doubled", windows, late, doubled)
	}
}

// Values far from 0 and close together keep their deviation and slope, where sums of squares would lose them.
func TestAggregatesKeepDigits(t *testing.T) {
	c := DefaultAggregate()
	c.Size, c.Every = time.Minute, 2*time.Second
	p := mustAggregate(t, c, []string{"v"})
	into := event.Features{Names: p.Names()}
	const first = 1_700_000_000_000_000_000
	for i := range int64(400) {
		row := event.Row{Offset: i, Asset: "x", Time: first + i*500e6, Values: []float64{1e9 + float64(i)/2 + float64(i%2)}}
		if _, err := p.Row(&row, &into); err != nil {
			t.Fatal(err)
		}
	}
	w := into.Len() - 1
	got := into.Row(w)
	var x, at []float64
	for i := range int64(400) {
		if when := first + i*500e6; when >= into.Start[w] && when < into.End[w] {
			x, at = append(x, float64(i)/2+float64(i%2)), append(at, float64(when-into.Start[w])/1e9)
		}
	}
	for i, f := range Functions {
		want := plain(f, x, at)
		if f == Mean || f == Min || f == Max || f == Last {
			want += 1e9
		}
		if math.Abs(got[i]-want) > 1e-6*math.Abs(want) || f == Deviation && math.Abs(got[i]-want) > 1e-7 {
			t.Errorf("%s is %v, want %v", f, got[i], want)
		}
	}
}

// A damaged snapshot is refused, or is one of another state; it is never a panic.
func TestAggregatesDamagedSnapshot(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 14))
	c, signals := randomAggregate(rng)
	p := mustAggregate(t, c, signals)
	told(t, p, randomRows(rng, 200, 4, len(signals)))
	state := p.Snapshot(nil)
	for i := range state {
		if err := mustAggregate(t, c, signals).Restore(state[:i]); err == nil {
			t.Fatalf("%d of %d bytes are taken", i, len(state))
		}
		bad := slices.Clone(state)
		bad[i] ^= 1 << rng.IntN(8)
		if q := mustAggregate(t, c, signals); q.Restore(bad) == nil {
			told(t, q, randomRows(rng, 50, 4, len(signals)))
		}
	}
	other := c
	other.Size, other.Every, other.Horizon = 2*c.Size, 2*c.Size, 2*c.Size+c.Lateness+c.Horizon
	if err := mustAggregate(t, other, signals).Restore(state); err == nil {
		t.Error("a snapshot of other settings is taken")
	}
}

func TestAggregateFaults(t *testing.T) {
	fault := func(key string, change func(*Aggregate)) {
		t.Helper()
		c := DefaultAggregate()
		c.Size, c.Every = time.Minute, 10*time.Second
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&c)
		if err := c.Validate(); err == nil || !bytes.HasPrefix([]byte(err.Error()), []byte(key+": ")) {
			t.Errorf("want a fault of %s, got %v", key, err)
		}
	}
	fault("size", func(c *Aggregate) { c.Size = 0 })
	fault("size", func(c *Aggregate) { c.Size, c.Horizon = 200*24*time.Hour, 300*24*time.Hour })
	fault("every", func(c *Aggregate) { c.Every = -1 })
	fault("every", func(c *Aggregate) { c.Every = 2 * time.Minute })
	fault("every", func(c *Aggregate) { c.Every = 10*time.Second + 1 })
	fault("functions", func(c *Aggregate) { c.Functions = []Function{"median"} })
	fault("functions", func(c *Aggregate) { c.Functions = []Function{Mean, Mean} })
	fault("signals", func(c *Aggregate) { c.Signals = []string{"a", "a"} })
	fault("lateness", func(c *Aggregate) { c.Lateness = -1 })
	fault("horizon", func(c *Aggregate) { c.Horizon = time.Minute })
	fault("remember", func(c *Aggregate) { c.Remember = -1 })
	if _, err := NewAggregates(Aggregate{Size: time.Minute, Horizon: time.Hour, Signals: []string{"b"}}, []string{"a"}); err == nil {
		t.Error("a signal that the rows lack is taken")
	}
}
