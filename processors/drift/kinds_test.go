package drift

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"

	"andon/event"
)

// hall is cameras, each of which looks at something else, whose frames resemble the ones before and share the daylight.
type hall struct {
	rng   *rand.Rand
	level [][3]float64
	state [][3]float64
	day   float64
	// apart is the standard deviation between cameras; within one it is 1.
	apart float64
	pull  func(camera int, row []float64)
}

var (
	hallInputs = []string{"camera", "light", "edges", "hue", "risk"}
	hallRoles  = []string{event.RoleInput, event.RoleInput, event.RoleInput, event.RoleInput, event.RolePrediction}
)

func newHall(seed uint64, cameras int, apart float64) *hall {
	h := &hall{rng: rand.New(rand.NewPCG(seed, 11)), apart: apart}
	for range cameras {
		h.install()
	}
	return h
}

func (h *hall) install() {
	var level, state [3]float64
	for k := range level {
		level[k], state[k] = h.apart*h.rng.NormFloat64(), h.rng.NormFloat64()
	}
	h.level, h.state = append(h.level, level), append(h.state, state)
}

// tick takes a frame of each camera; a frame's memory is twenty frames long.
func (h *hall) tick(see func(camera int, row []float64)) {
	h.day = .95*h.day + .1*h.rng.NormFloat64()
	for c := range h.level {
		row := make([]float64, 5)
		row[0] = float64(c)
		for k := range 3 {
			h.state[c][k] = .95*h.state[c][k] + math.Sqrt(1-.95*.95)*h.rng.NormFloat64()
			row[1+k] = h.level[c][k] + h.state[c][k]
		}
		row[1] += h.day
		if h.pull != nil {
			h.pull(c, row)
		}
		row[4] = 1 / (1 + math.Exp(-row[1]-row[2]))
		see(c, row)
	}
}

// reference learns of so many frames of each camera.
func (h *hall) reference(t testing.TB, frames int) *Profile {
	t.Helper()
	r := Rows{From: event.ReferenceModel, Names: hallInputs, Roles: hallRoles, Kinds: len(h.level), Piece: 500, Least: 60, Risk: -1, Threshold: .5, Alone: true}
	for at := range frames {
		h.tick(func(c int, row []float64) {
			r.Values = append(r.Values, row...)
			r.Asset, r.At = append(r.Asset, int32(c)), append(r.At, int64(at))
		})
	}
	p, err := NewProfile(r)
	if err != nil {
		t.Fatal(err)
	}
	data, err := p.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 40_000 {
		t.Errorf("the profile takes %d bytes", len(data))
	}
	if p, err = ReadProfile(data); err != nil {
		t.Fatal(err)
	}
	return p
}

// watch lets the hall run before one partition's monitor and a panel; cameras that the profile does not know are strangers.
func (h *hall) watch(p *Profile, ticks int) (rounds []event.Round, alarms []event.Alarm, frames int) {
	c := Default()
	var groups []Group
	for i := range h.level {
		name := fmt.Sprint("cam-", i)
		groups = append(groups, Group{Name: name, Match: regexp.MustCompile("^" + name + "$"), Stranger: i >= p.Kinds})
	}
	m, panel := NewMonitor(p, c.Windows, groups), NewPanel(func(string) (Config, bool) { return c, true })
	for at := range ticks {
		h.tick(func(i int, row []float64) {
			frames++
			row[0] = float64(min(i, p.Kinds))
			for _, s := range m.Add(fmt.Sprint("cam-", i), int64(at)*1e9, event.Position{Topic: "t", Offset: int64(at)}, row) {
				s.Pipeline, s.Version = "p", "v1"
				r, a := panel.Add(&s)
				rounds, alarms = append(rounds, r...), append(alarms, a...)
			}
		})
	}
	return rounds, alarms, frames
}

// On halls where nothing changes, of few cameras and many, alike and unlike, and of cameras that come later and are of the same nature, there are fewer than 0.05 alarms in 1,000 frames. A later camera that were held
// against its like as if it were one of them would be called changed in most rounds.
func TestKindsKeepQuiet(t *testing.T) {
	frames, raised, naive, rounds := 0, 0, 0, 0
	for seed := range uint64(24) {
		cameras := []int{1, 2, 3, 5, 8, 12}[seed%6]
		h := newHall(seed, cameras, []float64{0, 1, 4, 10}[seed/6])
		p := h.reference(t, 2400/cameras)
		h.install()
		h.install()
		r, alarms, n := h.watch(p, 20_000/cameras)
		frames += n
		for _, a := range alarms {
			if !a.Over {
				raised++
				t.Logf("seed %d, %d cameras %v apart: %s", seed, cameras, h.apart, a.Detail)
			}
		}
		for i := range r {
			for _, f := range r[i].Findings {
				if f.Group == fmt.Sprint("cam-", cameras) && f.Feature == "light" && h.apart > 0 {
					rounds++
					if f.KS > 0.15 && f.Votes >= 2 {
						naive++
					}
				}
			}
		}
	}
	rate := 1000 * float64(raised) / float64(frames)
	t.Logf("%d alarms in %d frames, %.4f in 1,000; a later camera is far from the others by its distances in %d of %d rounds", raised, frames, rate, naive, rounds)
	if rate >= .05 {
		t.Errorf("%.4f false alarms in 1,000 frames", rate)
	}
	if naive < rounds/2 {
		t.Errorf("too easy: a later camera is far from the others in %d of %d rounds only", naive, rounds)
	}
}

// A later camera that is far beyond what cameras differ by is told, by its own name; the others are not blamed, and the fleet is as it was.
func TestStrangers(t *testing.T) {
	find := func(cameras int, by float64) (alarms []event.Alarm) {
		h := newHall(3, cameras, 1)
		p := h.reference(t, 300)
		h.install()
		h.level[cameras] = [3]float64{by, 0, 0}
		_, alarms, _ = h.watch(p, 1500)
		return alarms
	}
	alarms := find(8, 15)
	i := slices.IndexFunc(alarms, func(a event.Alarm) bool { return a.Kind == event.AlarmInput })
	if i < 0 {
		t.Fatal("no alarm")
	}
	c := alarms[i].Causes[0]
	if c.Feature != "light" || c.Group != "cam-8" || c.Measure != MeasureKind || c.Now < 12 || math.Abs(c.Before) > 2 {
		t.Errorf("%+v", alarms[i])
	}
	for _, c := range alarms[i].Causes {
		if c.Group != "cam-8" {
			t.Errorf("%+v is blamed, too", c)
		}
	}
	// Of one camera nothing is known of how cameras differ.
	if alarms := find(1, 15); len(alarms) > 0 {
		t.Errorf("one camera knows nothing of others: %+v", alarms)
	}
}

// A camera's own change is found against itself, however unlike the others it is.
func TestKindsFindChanges(t *testing.T) {
	h := newHall(5, 6, 5)
	p := h.reference(t, 400)
	h.pull = func(c int, row []float64) {
		if c == 2 {
			row[3] += 2
		}
	}
	_, alarms, _ := h.watch(p, 600)
	if len(alarms) == 0 {
		t.Fatal("no alarm")
	}
	for _, c := range alarms[0].Causes {
		if c.Feature != "hue" && c.Feature != togetherName || c.Group != "cam-2" && c.Group != Fleet {
			t.Errorf("%s of %s is blamed", c.Feature, c.Group)
		}
	}
}
