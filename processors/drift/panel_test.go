package drift

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"andon/event"
)

// plant is a fleet whose assets have levels of their own, move slowly about them, wear as they age, and share the weather.
type plant struct {
	rng     *rand.Rand
	level   [][2]float64
	state   [][2]float64
	age     []float64
	weather float64
	// pull, when set, changes a row before it is seen.
	pull func(asset int, row []float64)
}

// plantInputs are two channels, one of both, noise, the age, and what a model says: a loss that grows with the first channel, and a risk.
var (
	plantInputs = []string{"heat", "flow", "sum", "noise", "age", "prediction", "risk"}
	plantRoles  = []string{event.RoleInput, event.RoleInput, event.RoleInput, event.RoleInput, event.RoleInput, event.RolePrediction, event.RolePrediction}
)

func newPlant(seed uint64, assets int) *plant {
	p := &plant{rng: rand.New(rand.NewPCG(seed, 9))}
	for range assets {
		p.level = append(p.level, [2]float64{p.rng.NormFloat64(), p.rng.NormFloat64()})
		p.state = append(p.state, [2]float64{p.rng.NormFloat64(), p.rng.NormFloat64()})
		p.age = append(p.age, float64(p.rng.IntN(200)))
	}
	return p
}

// tick moves all assets on by a slot and tells of each.
func (p *plant) tick(see func(asset int, row []float64)) {
	p.weather = .9*p.weather + .1*p.rng.NormFloat64()
	for a := range p.level {
		for k := range 2 { // an autoregression whose memory is twenty slots
			p.state[a][k] = .95*p.state[a][k] + math.Sqrt(1-.95*.95)*p.rng.NormFloat64()
		}
		if p.age[a]++; p.age[a] > 200 {
			p.age[a] = 0
			p.level[a] = [2]float64{p.rng.NormFloat64(), p.rng.NormFloat64()}
		}
		wear := p.age[a] / 50
		heat := p.level[a][0] + p.state[a][0] + wear + p.weather
		flow := p.level[a][1] + p.state[a][1] - wear/2
		row := []float64{heat, flow, heat + flow + .3*p.rng.NormFloat64(), p.rng.NormFloat64(), p.age[a], 0, 0}
		if p.pull != nil {
			p.pull(a, row)
		}
		row[5] = 100 - 10*row[0] + 5*row[1]
		row[6] = 1 / (1 + math.Exp(-(row[0] - 2)))
		see(a, row)
	}
}

// plantProfile learns a reference of so many assets and ticks.
func plantProfile(t testing.TB, seed uint64, assets, ticks int) *Profile {
	t.Helper()
	p := newPlant(seed, assets)
	r := Rows{From: event.ReferenceModel, Names: plantInputs, Roles: plantRoles, Condition: 4, Piece: 500, Risk: 6, Threshold: .5, Guess: .4}
	for at := range ticks {
		p.tick(func(a int, row []float64) {
			r.Values = append(r.Values, row...)
			r.Asset, r.At = append(r.Asset, int32(a)), append(r.At, int64(at))
			yes := int8(0)
			if p.rng.Float64() < row[6] {
				yes = 1
			}
			r.Yes = append(r.Yes, yes)
			r.Loss = append(r.Loss, math.Min(math.Max(.1+.05*row[0]+.02*p.rng.NormFloat64(), 0), 1))
		})
	}
	profile, err := NewProfile(r)
	if err != nil {
		t.Fatal(err)
	}
	data, err := profile.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 40_000 {
		t.Errorf("the profile takes %d bytes", len(data))
	}
	if profile, err = ReadProfile(data); err != nil {
		t.Fatal(err)
	}
	return profile
}

// play lets a plant run through monitors of so many partitions into a panel.
type play struct {
	profile  *Profile
	monitors []*Monitor
	panel    *Panel
	config   Config
	at       int64
	windows  int
	rounds   []event.Round
	alarms   []event.Alarm
	// each is called with every sketch before the panel has it.
	each func(s *event.Sketch)
}

func newPlay(profile *Profile, partitions int, c Config) *play {
	p := &play{profile: profile, config: c}
	for range partitions {
		p.monitors = append(p.monitors, NewMonitor(profile, c.Windows, c.Compile()))
	}
	p.panel = NewPanel(p.settings)
	return p
}

func (p *play) settings(string) (Config, bool) { return p.config, true }

func (p *play) run(plant *plant, ticks int) {
	for range ticks {
		p.at++
		plant.tick(func(a int, row []float64) {
			k := a % len(p.monitors)
			p.windows++
			all := p.monitors[k].Add(fmt.Sprintf("asset-%d", a), p.at*3600e9, event.Position{Topic: "t", Partition: int32(k), Offset: p.at}, row)
			for i := range all {
				s := &all[i]
				s.Pipeline, s.Version = "p", "v1"
				if p.each != nil {
					p.each(s)
				}
				rounds, alarms := p.panel.Add(s)
				p.rounds, p.alarms = append(p.rounds, rounds...), append(p.alarms, alarms...)
			}
		})
	}
}

func (p *play) kinds() (out []string) {
	for _, a := range p.alarms {
		k := a.Kind
		if a.Over {
			k += " over"
		}
		out = append(out, k)
	}
	return out
}

// On plants where nothing changes, of many assets and of few, with autocorrelation, wear and weather, there are fewer than 0.05 alarms in 1,000 windows; a test that counts rows as if they were independent
// cries wolf on the very same pieces, so the plants are not too easy.
func TestPanelKeepsQuiet(t *testing.T) {
	windows, alarms, naive, rounds := 0, 0, 0, 0
	for seed := range uint64(12) {
		assets := []int{100, 40, 12}[seed%3]
		profile := plantProfile(t, 1000+seed, 60, 200)
		p := newPlay(profile, 1+int(seed%4), Default())
		p.run(newPlant(seed, assets), 20_000/assets)
		windows += p.windows
		for _, a := range p.alarms {
			if !a.Over {
				alarms++
				t.Logf("seed %d: %s", seed, a.Detail)
			}
		}
		for _, r := range p.rounds {
			rounds++
			if slices.ContainsFunc(r.Findings, func(f Finding) bool { return kolmogorov(f.KS*math.Sqrt(float64(f.Windows))) < .001 }) {
				naive++
			}
		}
	}
	rate := 1000 * float64(alarms) / float64(windows)
	t.Logf("%d alarms in %d windows, %.4f in 1,000; a plain test is sure of a change in %d of %d rounds", alarms, windows, rate, naive, rounds)
	if rate >= .05 {
		t.Errorf("%.4f false alarms in 1,000 windows", rate)
	}
	if naive < rounds/2 {
		t.Errorf("too easy: a plain test finds a change in %d of %d rounds only", naive, rounds)
	}
}

// A change is found, with its cause, on the side where it is; its end is told; and what did not change is not blamed.
func TestPanelFindsCauses(t *testing.T) {
	profile := plantProfile(t, 77, 80, 200)
	for name, c := range map[string]struct {
		pull   func(a int, row []float64)
		kinds  []string
		blamed []string
	}{
		"noise moves":    {func(_ int, row []float64) { row[3] += .7 }, []string{event.AlarmInput}, []string{"noise"}},
		"noise grows":    {func(_ int, row []float64) { row[3] *= 2 }, []string{event.AlarmInput}, []string{"noise", "together"}},
		"flow stuck":     {func(_ int, row []float64) { row[2], row[1] = row[0]+2+.3*row[3], 2 }, []string{event.AlarmInput}, []string{"flow"}},
		"noise is lost":  {func(_ int, row []float64) { row[3] = math.NaN() }, []string{event.AlarmInput}, []string{"noise"}},
		"heat rises":     {func(_ int, row []float64) { row[0] += 4; row[2] += 4 }, []string{event.AlarmInput, event.AlarmPrediction, event.AlarmEstimated}, []string{"heat", "sum"}},
		"pair comes off": {func(_ int, row []float64) { row[2] = -row[2] + 3 }, []string{event.AlarmInput}, []string{"together", "sum"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(profile, 2, Default())
			plant := newPlant(5, 60)
			p.run(plant, 100)
			if len(p.alarms) > 0 {
				t.Fatalf("before anything changed: %v %s", p.kinds(), p.alarms[0].Detail)
			}
			changed := p.at
			plant.pull = c.pull
			p.run(plant, 100)
			for _, kind := range c.kinds {
				i := slices.IndexFunc(p.alarms, func(a event.Alarm) bool { return a.Kind == kind })
				if i < 0 {
					t.Fatalf("no %s; alarms %v", kind, p.kinds())
				}
				a := p.alarms[i]
				// Two rounds of 1,000 windows are 34 slots; the change may begin within a round.
				if since := a.Since / 3600e9; since < changed-20 || since > changed+20 || a.At/3600e9 > changed+70 {
					t.Errorf("%s since %d at %d, the change was at %d", kind, since, a.At/3600e9, changed)
				}
				if kind == event.AlarmInput && !slices.Contains(c.blamed, a.Causes[0].Feature) {
					t.Errorf("%s is blamed: %s", a.Causes[0].Feature, a.Detail)
				}
				if kind == event.AlarmEstimated && !(a.Loss > 1.3*a.Before && a.Before > .05) {
					t.Errorf("loss %v, before %v", a.Loss, a.Before)
				}
			}
			for _, a := range p.alarms {
				for _, cause := range a.Causes {
					if cause.Feature == "age" || c.blamed[0] == "noise" && cause.Feature != "noise" && cause.Feature != "together" {
						t.Errorf("%s is blamed, too: %s", cause.Feature, a.Detail)
					}
				}
			}
			plant.pull = nil
			p.alarms = nil
			p.run(plant, 200)
			for _, kind := range c.kinds {
				if !slices.Contains(p.kinds(), kind+" over") {
					t.Errorf("%s does not end: %v", kind, p.kinds())
				}
			}
		})
	}
}

// A group's own change is the group's, and the assets that are furthest off are of it.
func TestPanelNamesGroups(t *testing.T) {
	c := Default()
	c.Groups = map[string]string{"north": "-[0-9]$", "south": "-[1-3][0-9]$"} // ten and thirty of sixty
	p := newPlay(plantProfile(t, 78, 80, 200), 2, c)
	plant := newPlant(6, 60)
	p.run(plant, 80)
	plant.pull = func(a int, row []float64) {
		if a < 10 {
			row[3] += 2
		}
	}
	p.run(plant, 150)
	if len(p.alarms) == 0 {
		t.Fatal("no alarm")
	}
	a := p.alarms[0]
	if a.Kind != event.AlarmInput || a.Causes[0].Group != "north" || a.Causes[0].Feature != "noise" || len(a.Causes[0].Assets) == 0 {
		t.Fatalf("%+v", a)
	}
	for _, asset := range a.Causes[0].Assets {
		if len(asset) != len("asset-0") {
			t.Errorf("%s is not in the north", asset)
		}
	}
	for _, cause := range a.Causes {
		if cause.Group == "south" {
			t.Errorf("the south is blamed: %s", a.Detail)
		}
	}
}

// The panel and the monitors go on from their states as if they had never stopped, to the bit.
func TestPanelGoesOn(t *testing.T) {
	profile := plantProfile(t, 79, 80, 200)
	c := Default()
	c.Groups = map[string]string{"north": "[024]$"}
	run := func(stop bool) *play {
		p, plant := newPlay(profile, 3, c), newPlant(8, 50)
		for step := range 60 {
			if step == 20 {
				plant.pull = func(_ int, row []float64) { row[0] += 3 }
			}
			if step == 45 {
				plant.pull = nil
			}
			p.run(plant, 7)
			if !stop {
				continue
			}
			state, err := p.panel.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			p.panel = NewPanel(p.settings)
			if err := p.panel.Restore(state); err != nil {
				t.Fatal(err)
			}
			for i, m := range p.monitors {
				state := m.AppendState(nil)
				n := NewMonitor(profile, c.Windows, c.Compile())
				if err := n.Restore(state); err != nil {
					t.Fatal(err)
				}
				if again := n.AppendState(nil); !slices.Equal(again, state) {
					t.Fatal("the state changes by being read back")
				}
				p.monitors[i] = n
			}
		}
		return p
	}
	whole, parts := run(false), run(true)
	if len(whole.rounds) < 10 || len(whole.alarms) < 3 {
		t.Fatalf("too easy: %d rounds, %v", len(whole.rounds), whole.kinds())
	}
	text := func(v any) string { return fmt.Sprintf("%+v", v) } // NaN is not equal to itself
	if text(whole.alarms) != text(parts.alarms) || text(whole.rounds) != text(parts.rounds) {
		t.Errorf("%v, and %v with stops", whole.kinds(), parts.kinds())
	}
	state := whole.monitors[0].AppendState(nil)
	for n := range state {
		m := NewMonitor(profile, c.Windows, c.Compile())
		if err := m.Restore(state[:n]); err == nil || m.Pending() != 0 {
			t.Fatalf("%d of %d bytes were taken", n, len(state))
		}
	}
	if err := NewMonitor(profile, c.Windows, nil).Restore(state); err == nil {
		t.Error("a state of other groups was taken")
	}
	if err := whole.panel.Restore([]byte(`{"V":2}`)); err == nil {
		t.Error("a state of another version was taken")
	}
}

// How rows are spread over partitions changes how they are summed, and nothing else.
func TestSketchesAddUp(t *testing.T) {
	profile := plantProfile(t, 80, 80, 200)
	c := Default()
	c.Windows = 1000
	plant := newPlant(4, 50)
	one, two := NewMonitor(profile, 1000, nil), []*Monitor{NewMonitor(profile, 500, nil), NewMonitor(profile, 500, nil)}
	var whole, sum event.Sketch
	for at := range int64(20) {
		plant.tick(func(a int, row []float64) {
			name := fmt.Sprint(a)
			for _, s := range one.Add(name, at, event.Position{}, row) {
				whole = s
			}
			for _, s := range two[a%2].Add(name, at, event.Position{}, row) {
				Add(&sum, &s)
			}
		})
	}
	if whole.Windows != 1000 || sum.Windows != 1000 || sum.Clusters != whole.Clusters || sum.Squares != whole.Squares {
		t.Fatalf("%d and %d windows of %d and %d assets", whole.Windows, sum.Windows, whole.Clusters, sum.Clusters)
	}
	for j := range whole.Features {
		a, b := whole.Features[j], sum.Features[j]
		if !reflect.DeepEqual(a.Counts, b.Counts) || math.Abs(a.Sum-b.Sum) > 1e-6 || math.Abs(a.Tests[0].ClusterSquare-b.Tests[0].ClusterSquare) > 1e-6 {
			t.Errorf("%s: %v and %v", a.Name, a, b)
		}
	}
	if x, y := Compare(&whole), Compare(&sum); math.Abs(x[0].KS-y[0].KS) > 1e-6 {
		t.Errorf("KS %v and %v", x[0].KS, y[0].KS)
	}
}

// The reference's loss estimator tells more than the mean, on assets that it was not learned from, and CBPE of the sketch is that of the rows.
func TestEstimates(t *testing.T) {
	profile := plantProfile(t, 81, 80, 200)
	plant, m := newPlant(3, 50), NewMonitor(profile, 1000, nil)
	plant.pull = func(_ int, row []float64) { row[0] += 1.5 }
	var truth, said, mean, brier float64
	var risks []float64
	var s event.Sketch
	for at := range int64(20) {
		plant.tick(func(a int, row []float64) {
			loss := math.Max(.1+.05*row[0], 0)
			e := profile.losses(row)
			truth += loss / 1000
			said += e / 1000
			mean += (loss - profile.Measured["loss"]) * (loss - profile.Measured["loss"])
			brier += (loss - e) * (loss - e)
			risks = append(risks, row[6])
			for _, done := range m.Add(fmt.Sprint(a), at, event.Position{}, row) {
				s = done
			}
		})
	}
	if brier > mean/4 {
		t.Errorf("the estimator's squared error is %v, the mean's %v", brier, mean)
	}
	all := map[string]Estimate{}
	for _, e := range Estimates(&s) {
		all[e.Metric] = e
	}
	near(t, "loss", all["loss"].Value, truth, .1*truth)
	near(t, "loss of the sketch", all["loss"].Value, said, 1e-9)
	if e := all["loss"]; !(e.Value > e.Before) || e.P > .01 || !(e.Error > 0) {
		t.Errorf("%+v", e)
	}
	want, err := CBPE(risks, risks, .5)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "accuracy", all["accuracy"].Value, want.Accuracy, .02)
	near(t, "F1", all["f1"].Value, want.F1, .03)
	near(t, "ROC AUC", all["roc_auc"].Value, want.ROCAUC, .03)
}

// A profile's file is checked: what was damaged is refused, and never a crash.
func TestProfileFile(t *testing.T) {
	p := plantProfile(t, 82, 20, 100)
	data, err := p.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		bad := slices.Clone(data)
		bad[rng.IntN(len(bad))] ^= byte(1 + rng.IntN(255))
		if q, err := ReadProfile(bad); err == nil {
			NewMonitor(q, 50, nil).Add("a", 0, event.Position{}, make([]float64, len(q.Inputs)))
		}
	}
	if _, err := ReadProfile(nil); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Error(err)
	}
	few := Rows{Names: []string{"a"}, Roles: []string{event.RoleInput}, Values: make([]float64, 50), Asset: make([]int32, 50), At: make([]int64, 50), Condition: -1, Piece: 50, Risk: -1}
	if _, err := NewProfile(few); err == nil || !strings.Contains(err.Error(), "fewer than") {
		t.Error(err)
	}
}
