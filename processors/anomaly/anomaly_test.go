package anomaly

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"andon/event"
	"andon/processors/features"
	"andon/processors/surprise"
)

// slots is ten seconds a slot.
func slots() features.Config {
	c := features.Default()
	c.Recipe.Grid, c.Recipe.MaxGap, c.Lateness, c.Horizon = 10*time.Second, 1, 20*time.Second, time.Hour
	return c
}

// quick learn as fast as they can.
func quick() map[string]Config {
	s := surprise.Default()
	s.Warm, s.Lengths, s.Slow, s.Past, s.Long, s.Rest = 60, []int{1, 3}, 10, 150, []int{200, 300}, 10
	b := DefaultBaseline()
	b.Learn, b.Smooth, b.Steps = 60, 5, []int{3, 5}
	changes := b
	changes.Tell = TellChanges
	return map[string]Config{"surprise": {Surprise: &s}, "departures": {Baseline: &b}, "changes": {Baseline: &changes}}
}

func open(t *testing.T, cfg Config) *Partition {
	t.Helper()
	p, err := New(cfg, slots(), []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// day is two signals of an asset at a slot; at 400 to 449 the second is off.
func day(rng *rand.Rand, i int) []float64 {
	shift := 0.0
	if i >= 400 && i < 450 {
		shift = 6
	}
	return []float64{20 + 5*math.Sin(2*math.Pi*float64(i)/48) + 0.1*rng.NormFloat64(), shift + rng.NormFloat64()/2}
}

type said struct {
	asset      string
	start, end int64
	event.Verdict
}

func feed(t *testing.T, p *Partition, rows []event.Row) (all []said) {
	t.Helper()
	for i := range rows {
		if _, err := p.Row(&rows[i], func(w *features.Window, v event.Verdict) error {
			all = append(all, said{w.Asset, w.Start, w.End, v})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func rowsOf(asset string, seed uint64, n int) (rows []event.Row) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		rows = append(rows, event.Row{Asset: asset, Time: int64(i)*10e9 + 1, Offset: int64(i), Values: day(rng, i)})
	}
	return rows
}

// Nothing is said while the first rows are learned, which is told; then each slot has a score, below one half where all is as usual, and above it where it is not.
func TestScores(t *testing.T) {
	for name, cfg := range quick() {
		p := open(t, cfg)
		rows := rowsOf("x", 1, 600)
		first := feed(t, p, rows[:59])
		if p.Learning() != 1 || len(first) != 0 {
			t.Errorf("%s: %d learn, %d scores of the first 59 rows", name, p.Learning(), len(first))
		}
		all := feed(t, p, rows[59:])
		if p.Learning() != 0 || len(all) != 540 {
			t.Errorf("%s: %d learn, %d scores after 600 rows, want 540", name, p.Learning(), len(all))
		}
		before, within := 0, 0
		for i, s := range all {
			high := s.Risk >= 0.5
			if name == "surprise" { // an alarm is at one slot, and the risk stays for as long as the window holds it
				for back := 0; high && back < cfg.Look() && all[i-back].Value < 1; back++ {
					if back == cfg.Look()-1 || i == back {
						t.Fatalf("a risk of %v at score %d, and no alarm in its window", s.Risk, i)
					}
				}
				if high = s.Value >= 1; high && (s.Risk < 0.5 || i+cfg.Look() <= len(all) && all[i+cfg.Look()-1].Risk < 0.5) {
					t.Fatalf("the alarm at score %d is not in all windows that hold it", i)
				}
			}
			if s.end != int64(61+i)*10e9 || s.start != s.end-int64(cfg.Look())*10e9 || !(s.Risk >= 0 && s.Risk <= 1) || s.Value < 0 {
				t.Fatalf("%s: score %d is %+v", name, i, s)
			}
			switch at := 60 + i; {
			case !high:
			case at >= 400 && at < 480: // and back
				within++
			default:
				before++
			}
		}
		if within == 0 || before > 2 || name == "departures" && within < 40 || name != "departures" && within > 20 {
			t.Errorf("%s: %d alarms where the signal is off, %d elsewhere", name, within, before)
		}
	}
}

// An asset's scores do not depend on who else is there, and a state that was kept and restored anywhere goes on to the bit.
func TestInterleaving(t *testing.T) {
	for name, cfg := range quick() {
		alone := map[string][]said{}
		var mixed []event.Row
		rng := rand.New(rand.NewPCG(3, 3))
		var each [][]event.Row
		for k := range 4 {
			asset := fmt.Sprint("asset-", k)
			rows := rowsOf(asset, uint64(k), 300)
			alone[asset] = feed(t, open(t, cfg), rows)
			each = append(each, rows)
		}
		for at := make([]int, 4); len(mixed) < 4*300; {
			if k := rng.IntN(4); at[k] < 300 {
				row := each[k][at[k]]
				row.Offset = int64(len(mixed))
				mixed = append(mixed, row)
				at[k]++
			}
		}
		p := open(t, cfg)
		got := map[string][]said{}
		for i := range mixed {
			for _, s := range feed(t, p, mixed[i:i+1]) {
				got[s.asset] = append(got[s.asset], s)
			}
			if rng.IntN(20) == 0 {
				kept := p.Snapshot(nil)
				again := open(t, cfg)
				if err := again.Restore(kept); err != nil {
					t.Fatal(err)
				}
				if again.Learning() != p.Learning() || !bytes.Equal(again.Snapshot(nil), kept) {
					t.Fatalf("%s: row %d: what was restored is not what was kept", name, i)
				}
				p = again
			}
		}
		if !reflect.DeepEqual(got, alone) {
			t.Errorf("%s: scores of assets together are not those of each alone", name)
		}
	}
}

// A gap within the horizon takes nothing of what is known; behind it the asset is new, and its memory is free.
func TestGaps(t *testing.T) {
	for name, cfg := range quick() {
		p := open(t, cfg)
		rows := rowsOf("x", 1, 400)
		for i := 200; i < len(rows); i++ {
			rows[i].Time += int64(30 * time.Minute) // the machine is off
		}
		if all := feed(t, p, rows); len(all) != 340 || p.Learning() != 0 {
			t.Errorf("%s: %d scores over a gap, want 340", name, len(all))
		}
		late := rowsOf("x", 2, 59)
		for i := range late {
			late[i].Time += int64(100 * time.Hour)
		}
		if all := feed(t, p, late); len(all) != 0 || p.Learning() != 1 {
			t.Errorf("%s: %d scores after it was forgotten", name, len(all))
		}
		other := event.Row{Asset: "y", Time: int64(200 * time.Hour), Values: []float64{1, 2}}
		feed(t, p, []event.Row{other})
		if len(p.assets) != 1 || p.Learning() != 1 || p.Assets() != 1 {
			t.Errorf("%s: %d detectors, %d learn, of %d assets", name, len(p.assets), p.Learning(), p.Assets())
		}
	}
}

// A snapshot that is cut, damaged or of other settings is refused with a reason, and the state stays as it was.
func TestDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for name, cfg := range quick() {
		for _, n := range []int{30, 200} {
			p := open(t, cfg)
			feed(t, p, append(rowsOf("x", 1, n), rowsOf("y", 1, 20)...))
			kept := p.Snapshot(nil)
			fresh := open(t, cfg)
			empty := fresh.Snapshot(nil)
			for range 300 {
				bad := bytes.Clone(kept[:rng.IntN(len(kept))])
				if err := fresh.Restore(bad); err == nil || !strings.Contains(err.Error(), "fold the log instead") {
					t.Fatalf("%s: %d of %d bytes: %v", name, len(bad), len(kept), err)
				}
				if !bytes.Equal(fresh.Snapshot(nil), empty) {
					t.Fatalf("%s: the state is not as before", name)
				}
			}
			for range 300 { // no damage may panic, be it noticed or not
				bad := bytes.Clone(kept)
				bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
				if again := open(t, cfg); again.Restore(bad) == nil {
					feed(t, again, rowsOf("x", 1, 250)[n:])
				}
			}
			other := cfg
			if other.Surprise != nil {
				s := *other.Surprise
				s.Past++
				other.Surprise = &s
			} else {
				b := *other.Baseline
				b.Limit++
				other.Baseline = &b
			}
			if err := open(t, other).Restore(kept); err == nil || !strings.Contains(err.Error(), "other settings") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// The version names the settings, and nothing else.
func TestVersion(t *testing.T) {
	seen := map[string]string{}
	for name, cfg := range quick() {
		v := open(t, cfg).Version()
		if !strings.HasPrefix(v, cfg.Kind()+"-") || v != open(t, cfg).Version() || seen[v] != "" {
			t.Errorf("%s: %s, as %s", name, v, seen[v])
		}
		seen[v] = name
		s := slots()
		s.Recipe.Grid *= 2
		p, err := New(cfg, s, []string{"a", "b"})
		if err != nil || p.Version() == v {
			t.Errorf("%s: %v, %s with another grid", name, err, v)
		}
	}
}

func TestConfig(t *testing.T) {
	read := func(text string) (*Config, error) {
		d := yaml.NewDecoder(strings.NewReader(text))
		d.KnownFields(true)
		c := &Config{}
		if err := d.Decode(c); err != nil {
			return nil, err
		}
		return c, c.Validate()
	}
	c, err := read("surprise: {warm: 300}")
	if err != nil || c.Surprise.Warm != 300 || c.Surprise.Past != surprise.Default().Past || c.Rows() != 300 {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err = read("baseline: {learn: 500, limit: 6}"); err != nil || c.Baseline.Limit != 6 || c.Baseline.Smooth != 20 || c.Baseline.Tell != TellDepartures || c.Rows() != 500 {
		t.Errorf("%+v, %v", c, err)
	}
	for text, want := range map[string]string{
		"{}":                                    "surprise: name a detector",
		"{surprise: {}, baseline: {}}":          "one pipeline has one detector",
		"surprise: {warm: 3, alarm: 0}":         "surprise.alarm: 0 is not above 0",
		"surprise: {past: 900000}":              "surprise.past: 900000",
		"surprise: {horizon: 3}":                "horizon",
		"baseline: {learn: 239}":                "baseline.learn: 239 is not between 240",
		"baseline: {tell: all, limit: -1}":      "baseline.tell: \"all\" is neither departures nor changes",
		"baseline: {smooth: 0, learn: 1000000}": "baseline.smooth: 0",
		"isolation: {}":                         "isolation",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}
