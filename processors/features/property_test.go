package features

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"andon/event"
	"andon/model"
)

// random settings over a grid of 10 s, small enough that every rule is met often.
func randomConfig(rng *rand.Rand) (Config, []string) {
	c := Default()
	c.Recipe = model.Recipe{Grid: 10 * time.Second, Length: 1 + rng.IntN(4), MaxGap: rng.IntN(4), Smooth: []float64{1, 0.3}[rng.IntN(2)], Baseline: rng.IntN(4), Age: rng.IntN(2) == 0}
	c.Lateness = time.Duration(rng.IntN(70)) * time.Second
	c.Horizon = c.Lateness + time.Duration(c.Recipe.MaxGap+2)*c.Recipe.Grid + time.Duration(rng.IntN(100))*time.Second
	c.Close = []Close{Complete, Watermark}[rng.IntN(2)]
	c.Stride = 1 + rng.IntN(3)
	c.Remember = 1 + rng.IntN(12)
	signals := []string{"a", "b", "c"}[:1+rng.IntN(3)]
	if rng.IntN(3) == 0 {
		c.Recipe.Signals = []string{signals[len(signals)-1]}
	}
	return c, signals
}

// randomRows makes a disorderly stream: late, doubled, narrow, empty and far rows of assets whose clocks drift apart.
func randomRows(rng *rand.Rand, n, assets, signals int) []event.Row {
	var rows []event.Row
	clock := make([]int64, assets)
	for i := range clock {
		clock[i] = int64(rng.IntN(300)-150) * int64(time.Second)
	}
	for i := range n {
		if len(rows) > 0 && rng.IntN(8) == 0 {
			row := rows[max(0, len(rows)-1-rng.IntN(20))]
			row.Offset = int64(i)
			rows = append(rows, row)
			continue
		}
		a := rng.IntN(assets)
		step := rng.IntN(12)
		switch rng.IntN(20) {
		case 0:
			step = 40 + rng.IntN(60)
		case 1:
			step = 200
		}
		clock[a] += int64(step) * int64(time.Second)
		row := event.Row{Offset: int64(i), Asset: fmt.Sprint("asset-", a), Time: clock[a], Values: make([]float64, signals)}
		if rng.IntN(3) == 0 {
			row.Time -= int64(rng.IntN(50)) * int64(time.Second)
		}
		missing := []int{0, 0, 30, 100}[rng.IntN(4)]
		for s := range row.Values {
			row.Values[s] = math.Round(rng.Float64() * 100)
			if rng.IntN(100) < missing && rng.IntN(10) > 0 {
				row.Values[s] = math.NaN()
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func mustNew(t testing.TB, c Config, signals []string) *Partition {
	t.Helper()
	p, err := New(c, signals)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// play hands rows to p and returns what came of them, a line a row and window.
func play(t testing.TB, p *Partition, rows []event.Row) []string {
	t.Helper()
	var log []string
	for i := range rows {
		var windows []string
		out, err := p.Row(&rows[i], func(w *Window) error {
			windows = append(windows, "  "+window(w.Asset, w.Start, w.End, w.Append(nil, nil), p.width))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, fmt.Sprintf("@%d %s", rows[i].Offset, outcomes[out]))
		log = append(log, windows...)
	}
	return log
}

func equalLogs(t *testing.T, what string, want, got []string) {
	t.Helper()
	if slices.Equal(want, got) {
		return
	}
	i := 0
	for i < len(want) && i < len(got) && want[i] == got[i] {
		i++
	}
	t.Fatalf("%s: differs at line %d:\n--- want\n%s\n--- got\n%s", what, i, strings.Join(want[i:min(i+6, len(want))], "\n"), strings.Join(got[i:min(i+6, len(got))], "\n"))
}

// From the fold offset, with its clock, the rows give the same state to the byte; and so does a snapshot, which also goes on the same.
func TestFoldAndSnapshot(t *testing.T) {
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 1))
		c, signals := randomConfig(rng)
		rows := randomRows(rng, 400, 1+rng.IntN(6), len(signals))
		p := mustNew(t, c, signals)
		want := play(t, mustNew(t, c, signals), rows)
		var got []string
		for at := 0; at < len(rows); {
			n := min(1+rng.IntN(30), len(rows)-at)
			got = append(got, play(t, p, rows[at:at+n])...)
			at += n
			state := p.Snapshot(nil)

			offset, clock := p.Fold(int64(at))
			folded := mustNew(t, c, signals)
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

			restored := mustNew(t, c, signals)
			if err := restored.Restore(state); err != nil {
				t.Fatalf("seed %d at %d: %v", seed, at, err)
			}
			if !bytes.Equal(state, restored.Snapshot(nil)) {
				t.Fatalf("seed %d: the snapshot at %d changes by a restore", seed, at)
			}
			p = []*Partition{p, folded, restored}[rng.IntN(3)]
		}
		equalLogs(t, fmt.Sprint("seed ", seed), want, got)
	}
}

// However the assets of a partition interleave, each gives the same: here none falls silent.
func TestInterleaving(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 2))
		c, signals := randomConfig(rng)
		c.Horizon = 3 * longest
		assets := 2 + rng.IntN(4)
		rows := randomRows(rng, 300, assets, len(signals))
		alone := map[string][]event.Row{}
		for _, r := range rows {
			alone[r.Asset] = append(alone[r.Asset], r)
		}
		mixed := play(t, mustNew(t, c, signals), rows)
		at := 0
		got := map[string][]string{}
		for _, r := range rows {
			for more := true; more; more = at < len(mixed) && mixed[at][0] == ' ' {
				got[r.Asset] = append(got[r.Asset], mixed[at])
				at++
			}
		}
		for asset, rows := range alone {
			equalLogs(t, fmt.Sprintf("seed %d, %s", seed, asset), play(t, mustNew(t, c, signals), rows), got[asset])
		}
	}
}

// Rows in any order within the lateness give the windows that they give in order of time, which are those of training.
func TestOrderWithinLateness(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 3))
		c, signals := randomConfig(rng)
		c.Recipe.Signals, c.Stride, c.Remember = signals, 1, 64
		c.Horizon += 10 * time.Minute
		// Under Complete the first row of an asset and of a slot closes it, so what may be moved is less.
		complete := c.Close == Complete
		var rows []event.Row
		at := int64(0)
		for i := range 80 {
			switch {
			case complete && i > 0:
				at = (at/1e10+int64(1+rng.IntN(c.Recipe.MaxGap+1)))*1e10 + rng.Int64N(1e10)
			case rng.IntN(10) == 0:
				at += rng.Int64N(1e11)
			default:
				at += 1 + rng.Int64N(8e9)
			}
			row := event.Row{Asset: "x", Time: at, Values: make([]float64, len(signals))}
			for s := range row.Values {
				row.Values[s] = math.Round(rng.Float64() * 100)
				if rng.IntN(6) == 0 && i > 0 {
					row.Values[s] = math.NaN()
				}
			}
			rows = append(rows, row)
		}
		var want []string
		err := c.Windows(&c.Recipe, rows, func(end int64, w []float32) {
			r := c.Recipe
			want = append(want, "  "+window("x", end-int64(r.Length)*int64(r.Grid), end, w, r.Width()))
		})
		if err != nil {
			t.Fatal(err)
		}

		// Each row is delayed by less than the lateness.
		delay := map[int64]int64{}
		for i, r := range rows {
			if delay[r.Time] = r.Time; (i > 0 || !complete) && c.Lateness > 0 {
				delay[r.Time] += rng.Int64N(int64(c.Lateness))
			}
		}
		slices.SortStableFunc(rows, func(a, b event.Row) int { return int(min(max(delay[a.Time]-delay[b.Time], -1), 1)) })
		for i := range rows {
			rows[i].Offset = int64(i)
		}
		p := mustNew(t, c, signals)
		var got []string
		for _, line := range play(t, p, rows) {
			if line[0] == ' ' {
				got = append(got, line)
			} else if !strings.HasSuffix(line, "taken") {
				t.Fatalf("seed %d: %s", seed, line)
			}
		}
		if err := p.Finish(func(w *Window) error {
			got = append(got, "  "+window(w.Asset, w.Start, w.End, w.Append(nil, nil), p.width))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		equalLogs(t, fmt.Sprintf("seed %d, %s, lateness %v", seed, c.Close, c.Lateness), want, got)
	}
}

// naive makes windows by the letter of the recipe: last value of each slot, fill, lives, channels.
func naive(r model.Recipe, rows []event.Row) (windows []string) {
	grid := int64(r.Grid)
	type slot struct {
		value []float64
		at    []int64
	}
	slots := map[int64]*slot{}
	low, high := int64(math.MaxInt64), int64(math.MinInt64)
	for _, row := range rows {
		k := int64(math.Floor(float64(row.Time) / float64(grid)))
		for s, v := range row.Values {
			if math.IsNaN(v) {
				continue
			}
			if slots[k] == nil {
				slots[k] = &slot{value: make([]float64, len(r.Signals)), at: slices.Repeat([]int64{never}, len(r.Signals))}
				low, high = min(low, k), max(high, k)
			}
			if row.Time > slots[k].at[s] {
				slots[k].value[s], slots[k].at[s] = v, row.Time
			}
		}
	}
	var raw, smooth [][]float64
	value, since := make([]float64, len(r.Signals)), make([]int, len(r.Signals))
	for s := range since {
		since[s] = math.MaxInt32
	}
	for k := low; k <= high; k++ {
		known := true
		for s := range value {
			if slots[k] != nil && slots[k].at[s] != never {
				value[s], since[s] = slots[k].value[s], 0
			} else {
				since[s]++
			}
			known = known && since[s] <= r.MaxGap
		}
		if !known {
			raw, smooth = nil, nil
			continue
		}
		raw = append(raw, slices.Clone(value))
		row := slices.Clone(value)
		if n := len(smooth); n > 0 {
			for s := range row {
				row[s] = r.Smooth*value[s] + (1-r.Smooth)*smooth[n-1][s]
			}
		}
		smooth = append(smooth, row)
		// The slots of a longer silence are no windows, though a life's first MaxGap of them are filled.
		if len(raw) < r.Length || silent(k, r.MaxGap, func(k int64) bool { return slots[k] != nil }) {
			continue
		}
		var flat []float32
		for i := len(raw) - r.Length; i < len(raw); i++ {
			for _, v := range smooth[i] {
				flat = append(flat, float32(v))
			}
			if r.Baseline > 0 {
				for s, v := range smooth[i] {
					sum, n := 0.0, 0
					for j := 0; j <= i && j < r.Baseline; j++ {
						sum += raw[j][s]
						n++
					}
					flat = append(flat, float32(v-sum/float64(n)))
				}
			}
			if r.Age {
				flat = append(flat, float32(i+1))
			}
		}
		windows = append(windows, rounded((k+1)*grid, flat))
	}
	return windows
}

// silent reports whether slot k lies in a run of more than gap empty slots.
func silent(k int64, gap int, read func(int64) bool) bool {
	if read(k) {
		return false
	}
	n := 1
	for e := k - 1; !read(e) && n <= gap; e-- {
		n++
	}
	for e := k + 1; !read(e) && n <= gap; e++ {
		n++
	}
	return n > gap
}

func rounded(end int64, w []float32) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s:", seconds(end))
	for _, v := range w {
		fmt.Fprintf(&out, " %.3f", math.Round(float64(v)*1000)/1000+0)
	}
	return out.String()
}

func TestAgainstNaive(t *testing.T) {
	made := 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 4))
		c, signals := randomConfig(rng)
		c.Recipe.Signals, c.Close = signals, Watermark
		rows := randomRows(rng, 120, 1, len(signals))
		slices.SortStableFunc(rows, func(a, b event.Row) int { return int(min(max(a.Time-b.Time, -1), 1)) })
		var got []string
		if err := c.Windows(&c.Recipe, rows, func(end int64, w []float32) { got = append(got, rounded(end, w)) }); err != nil {
			t.Fatal(err)
		}
		equalLogs(t, fmt.Sprintf("seed %d %+v", seed, c.Recipe), naive(c.Recipe, rows), got)
		made += len(got)
	}
	if made < 5000 {
		t.Fatalf("only %d windows compared", made)
	}
}

func TestNoAllocationAfterWarmUp(t *testing.T) {
	for _, close := range []Close{Complete, Watermark} {
		cfg, signals := compressors()
		cfg.Close = close
		p := mustNew(t, cfg, signals)
		rows := fleet(20, 80, 14, time.Hour)
		scaler := scaled(*p.Recipe())
		flat := make([]float32, 0, p.recipe.Length*p.width)
		made := 0
		emit := func(w *Window) error {
			flat = w.Append(flat[:0], scaler)
			made++
			return nil
		}
		i := 0
		next := func() {
			if _, err := p.Row(&rows[i], emit); err != nil {
				t.Fatal(err)
			}
			i++
		}
		for i < len(rows)/2 {
			next()
		}
		if n := testing.AllocsPerRun(len(rows)/2-10, next); n != 0 || made == 0 {
			t.Errorf("close: %s: %v allocations a row, %d windows", close, n, made)
		}
	}
}

// A scaled window is the plain one, value by value, wherever its ring begins.
func TestScaler(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for length := 1; length <= 8; length++ {
		r := model.Recipe{Signals: []string{"a", "b"}, Grid: time.Second, Length: length, Smooth: 1, Age: true}
		var rows []event.Row
		for i := range 3 * length {
			rows = append(rows, event.Row{Time: int64(i) * 1e9, Values: []float64{rng.NormFloat64(), rng.NormFloat64()}})
		}
		scaled := r
		scaled.Scale = []model.Scale{{Mean: 1, Std: 2}, {Mean: -1, Std: 0.5}, {Mean: 3, Std: 4}}
		var want, got []float32
		if err := Windows(&r, rows, func(_ int64, w []float32) {
			for i, v := range w {
				s := scaled.Scale[i%3]
				want = append(want, (v-float32(s.Mean))*float32(1/s.Std))
			}
		}); err != nil {
			t.Fatal(err)
		}
		if err := Windows(&scaled, rows, func(_ int64, w []float32) { got = append(got, w...) }); err != nil {
			t.Fatal(err)
		}
		if len(want) != (2*length+1)*length*3 || !slices.Equal(got, want) {
			t.Errorf("length %d: got %v, want %v", length, got, want)
		}
	}
}

func TestMask(t *testing.T) {
	// More signals than one word of a mask holds, and a recipe that needs two of them.
	signals := make([]string, 130)
	for i := range signals {
		signals[i] = fmt.Sprint("s", i)
	}
	c := Default()
	c.Recipe.Grid, c.Recipe.Length, c.Recipe.Signals = time.Second, 1, []string{"s129", "s3"}
	p := mustNew(t, c, signals)
	row := event.Row{Asset: "x", Values: make([]float64, 130)}
	for i := range row.Values {
		row.Values[i] = math.NaN()
	}
	set := func(s int, want Outcome) {
		t.Helper()
		for i := range row.Values {
			row.Values[i] = math.NaN()
		}
		row.Values[s] = float64(s)
		if out, err := p.Row(&row, nil); out != want || err != nil {
			t.Errorf("signal %d: %s, %v; want %s", s, outcomes[out], err, outcomes[want])
		}
	}
	set(3, Taken)
	set(3, Duplicate)
	set(7, Taken) // a signal that the recipe does not use is stored, too
	set(7, Duplicate)
	set(129, Taken)
	set(128, Surplus) // the slot is complete now
	set(128, Duplicate)
	if a := p.assets["x"]; a.ring[0] != 129 || a.ring[1] != 3 {
		t.Errorf("ring %v", a.ring)
	}
}

func TestEmitError(t *testing.T) {
	cfg, signals := compressors()
	cfg.Recipe.Length = 1
	p := mustNew(t, cfg, signals)
	rows := fleet(1, 1, 14, time.Hour)
	want := fmt.Errorf("no scorer")
	if _, err := p.Row(&rows[0], func(*Window) error { return want }); err != want {
		t.Errorf("got %v", err)
	}
	rows[0].Values = rows[0].Values[1:]
	if _, err := p.Row(&rows[0], nil); err == nil {
		t.Error("a row of another width was taken")
	}
}

func FuzzRestore(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 5))
	cfg := Default()
	cfg.Recipe = model.Recipe{Signals: []string{"a", "b"}, Grid: 10 * time.Second, Length: 3, MaxGap: 2, Smooth: 0.5, Baseline: 2}
	cfg.Close, cfg.Lateness, cfg.Remember = Watermark, 30*time.Second, 4
	rows := randomRows(rng, 200, 4, 2)
	p := mustNew(f, cfg, cfg.Recipe.Signals)
	f.Add(p.Snapshot(nil))
	for i := range rows {
		if _, err := p.Row(&rows[i], nil); err != nil {
			f.Fatal(err)
		}
		if i%40 == 39 {
			f.Add(p.Snapshot(nil))
		}
	}
	f.Fuzz(func(t *testing.T, snapshot []byte) {
		p := mustNew(t, cfg, cfg.Recipe.Signals)
		before := p.Snapshot(nil)
		if err := p.Restore(snapshot); err != nil {
			if !bytes.Equal(before, p.Snapshot(nil)) {
				t.Fatal("a refused snapshot changed the state")
			}
			return
		}
		again := mustNew(t, cfg, cfg.Recipe.Signals)
		if err := again.Restore(p.Snapshot(nil)); err != nil {
			t.Fatal(err)
		}
		play(t, p, rows)
		if err := p.Finish(func(*Window) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRestoreRefuses(t *testing.T) {
	cfg, signals := compressors()
	p := mustNew(t, cfg, signals)
	for i, row := range fleet(3, 40, 14, time.Hour) {
		row.Offset = int64(i)
		if _, err := p.Row(&row, nil); err != nil {
			t.Fatal(err)
		}
	}
	good := p.Snapshot(nil)
	refused := func(what, message string, snapshot []byte, by *Partition) {
		t.Helper()
		if err := by.Restore(snapshot); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%s: %v, want an error with %q", what, err, message)
		}
	}
	refused("nothing", "damaged", nil, p)
	refused("another version", "has version 2", append([]byte{2}, good[1:]...), p)
	refused("a tail", "damaged", append(slices.Clone(good), 0), p)
	for n := 1; n < len(good); n += 97 {
		refused("a part", "damaged", good[:n], p)
	}
	other := cfg
	other.Lateness *= 2
	refused("other settings", "other settings", good, mustNew(t, other, signals))
	refused("other signals", "another recipe", good, mustNew(t, cfg, append([]string{"more"}, signals...)))
	if err := p.Restore(good); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	refused := func(key, message string, change func(*Config)) {
		t.Helper()
		c := Default()
		c.Recipe.Grid = time.Minute
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), key+": ") || !strings.Contains(err.Error(), message) {
			t.Errorf("%s: got %v, want %q", key, err, message)
		}
	}
	refused("grid", "not a positive", func(c *Config) { c.Recipe.Grid = 0 })
	refused("lateness", "not between", func(c *Config) { c.Lateness = -1 })
	refused("lateness", "may be open", func(c *Config) { c.Recipe.Grid = time.Microsecond })
	refused("horizon", "set at least 6m0s", func(c *Config) { c.Horizon = time.Minute })
	refused("horizon", "is more than", func(c *Config) { c.Horizon = 4 * longest })
	refused("max_gap", "are more than", func(c *Config) { c.Recipe.MaxGap = math.MaxInt })
	refused("close", `neither "complete"`, func(c *Config) { c.Close = "soon" })
	refused("stride", "not a positive", func(c *Config) { c.Stride = 0 })
	refused("remember", "not between", func(c *Config) { c.Remember = 0 })
	if _, err := New(Default(), []string{"a"}); err == nil {
		t.Error("a pipeline without a grid was made")
	}
	c := Default()
	c.Recipe.Grid, c.Recipe.Signals = time.Minute, []string{"missing"}
	if _, err := New(c, []string{"a"}); err == nil || !strings.Contains(err.Error(), `needs "missing"`) {
		t.Errorf("got %v", err)
	}
}
