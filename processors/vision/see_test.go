package vision

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"andon/event"
	"andon/model"
	"andon/processors/vision/rules"
)

// Of each camera's frames that wait the newest is scored, if it is not too old; each of the others says why it was not.
func TestNewestFirst(t *testing.T) {
	w := newWorld(t)
	w.live = classifier("one")
	p := w.open(w.line(nil))
	sights := w.see(p, w.frame(0, "a", 300*time.Millisecond, "0.1"), w.frame(1, "b", 250*time.Millisecond, "0.2"), w.frame(3, "a", 100*time.Millisecond, "0.9"),
		w.frame(4, "c", 5*time.Second, "0.3"), w.frame(5, "b", 50*time.Millisecond, "torn"))
	equal(t, "statuses", statuses(sights), []string{"busy", "busy", "scored", "late", "broken"})
	s := sights[2]
	if s.Label != "person" || s.Risk < 0.89 || s.Version != "one" || s.Age != 100e6 || s.ScoredAt != w.now.UnixNano() || s.Offset != 3 || s.Partition != 2 || s.Topic != "in" || s.Pipeline != "gate" || s.Bytes != 3 {
		t.Errorf("scored %+v", s)
	}
	equal(t, "what is shown", w.shown, []string{"a 0 busy", "b 1 busy", "c 4 late", "b 5 broken", "a 3 scored"})
	if v := p.Version(); v != "one" || p.Version() != "" {
		t.Errorf("version %q", v)
	}
	_, broken, err := p.See(context.Background(), []event.Frame{w.frame(6, "a", 0, "torn"), w.frame(7, "b", 0, "0.4")}, 0, nil)
	if err != nil || len(broken) != 1 || broken[0].Offset != 6 || !strings.Contains(broken[0].Err.Error(), "torn") {
		t.Errorf("broken %+v, %v", broken, err)
	}

	// For inspection each is scored, however late, in calls of so many pictures.
	w.calls = nil
	all := w.open(w.line(func(c *Config) { c.Newest, c.MaxAge, c.Pictures = false, 0, 2 }))
	sights = w.see(all, w.frame(0, "a", time.Hour, "0.1"), w.frame(1, "a", 59*time.Minute, "0.2"), w.frame(2, "a", 58*time.Minute, "0.3"))
	equal(t, "statuses", statuses(sights), []string{"scored", "scored", "scored"})
	equal(t, "calls", w.calls, []string{"one×2", "one×1"})

	w.live = nil
	equal(t, "without a model", statuses(w.see(p, w.frame(8, "a", 0, "0.1"))), []string{"no-model"})
	w.live = &model.Model{Version: "windows"}
	equal(t, "with one of windows", statuses(w.see(p, w.frame(9, "a", 0, "0.1"))), []string{"no-model"})
}

// A model that cannot look does not stop the line; its end does.
func TestModelFails(t *testing.T) {
	w := newWorld(t)
	w.live, w.fails = classifier("one"), errors.New("out of memory")
	p := w.open(w.line(nil))
	equal(t, "statuses", statuses(w.see(p, w.frame(0, "a", 0, "0.1"))), []string{"failed"})
	w.fails = nil
	w.live.Picture.Form = model.FormYOLOv8 // which its outputs are not
	equal(t, "statuses", statuses(w.see(p, w.frame(1, "a", 0, "0.1"))), []string{"failed"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.fails = ctx.Err()
	if _, _, err := p.See(ctx, []event.Frame{w.frame(2, "a", 0, "0.1")}, 0, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// Zones that want a crop have a picture each; boxes found in one are told where they are in the frame.
func TestCrops(t *testing.T) {
	w := newWorld(t)
	w.live = boxer("b")
	half := gate
	half.Name, half.Crop = "lower", true
	p := w.open(w.line(func(c *Config) {
		c.Zones = []rules.Zone{half, {Name: "left", Crop: true, Inertia: 1, Cameras: []string{"a"}, Polygon: []rules.Point{{X: 0, Y: 0}, {X: 0.25, Y: 0}, {X: 0.25, Y: 1}}}}
	}))
	sights := w.see(p, w.frame(0, "a", 0, "box 0.5 0.5 1 1"), w.frame(1, "b", 0, "box 0 0 0.5 0.5"))
	equal(t, "calls", w.calls, []string{"b×3"})
	if got := sights[0].Boxes; len(got) != 2 || got[0].X0 != 0.5 || got[0].Y0 != 0.75 || got[0].Y1 != 1 || got[1].X0 != 0.125 || got[1].X1 != 0.25 || got[1].Y0 != 0.5 || got[0].Track == got[1].Track {
		t.Errorf("boxes %+v", got)
	}
	if got := sights[1].Boxes; len(got) != 1 || got[0].Y0 != 0.5 || got[0].Y1 != 0.75 || got[0].X1 != 0.5 || !slices.Equal(sights[1].Zones, []string{"lower"}) {
		t.Errorf("boxes %+v, zones %v", got, sights[1].Zones)
	}
	// A class of a crop is what the zone holds.
	w.now = w.now.Add(time.Second)
	w.live = classifier("c")
	sights = w.see(p, w.frame(2, "a", 0, "0.9"), w.frame(3, "b", 0, "0.1"))
	equal(t, "zones of a", sights[0].Zones, []string{"lower", "left"})
	equal(t, "zones of b", sights[1].Zones, nil)
}

// What fires is told at once, with the frame that is kept; and told again when it is over.
func TestFires(t *testing.T) {
	w := newWorld(t)
	w.live = boxer("b")
	l := w.line(func(c *Config) {
		c.Zones = []rules.Zone{gate}
		c.Rules = []rules.Rule{{Name: "intruder", Zone: "gate", Severity: event.SeverityCritical, Detail: "Stop the press."}}
	})
	p := w.open(l)
	sights := w.see(p, w.frame(0, "a", 40*time.Millisecond, "box 0.1 0.1 0.2 0.9"))
	if len(w.alerts) != 1 {
		t.Fatalf("alerts %+v", w.alerts)
	}
	a := w.alerts[0]
	if a.ID != "gate/rule/intruder/a" || a.Kind != event.AlertRule || a.Severity != "critical" || a.Title != "intruder: person in gate at a" || a.Detail != "Stop the press." || a.Asset != "a" || a.Resolved ||
		a.Since != sights[0].Captured || a.Time != w.now.UnixNano() || a.Evidence != EvidencePath+sights[0].Evidence || a.Labels["zone"] != "gate" || a.Labels["object"] != "person" {
		t.Errorf("alert %+v", a)
	}
	equal(t, "fired", sights[0].Fired, []string{"intruder"})
	p.Cut().Settle(sights, nil)
	kept := w.kept[sights[0].Evidence]
	if kept.Kind != KeptFired || string(kept.JPEG) != "box 0.1 0.1 0.2 0.9" || kept.Camera != "a" {
		t.Errorf("kept %+v", w.kept)
	}
	if note := kept.Note.(Note); len(note.Boxes) != 1 || note.Version != "b" || note.Position != "in/2@0" || !slices.Equal(note.Fired, []string{"intruder"}) {
		t.Errorf("note %+v", note)
	}
	w.now = w.now.Add(time.Second)
	sights = w.see(p, w.frame(1, "a", 0, "box 0.1 0.1 0.2 0.2"))
	if len(w.alerts) != 2 || !w.alerts[1].Resolved || w.alerts[1].ID != a.ID || len(sights[0].Fired) != 0 {
		t.Errorf("alerts %+v", w.alerts)
	}

	// Where the picture cannot be kept the action is the same, and the row does not say that it is.
	w.refuse, w.now = true, w.now.Add(time.Hour)
	sights = w.see(p, w.frame(2, "a", 0, "box 0.1 0.1 0.2 0.9"))
	p.Cut().Settle(sights, nil)
	if len(w.alerts) != 3 || sights[0].Evidence != "" || len(sights[0].Fired) != 1 {
		t.Errorf("alerts %+v, sights %+v", w.alerts, sights)
	}
}

// Frames are kept for training at their pace, also before there is a model.
func TestSamples(t *testing.T) {
	w := newWorld(t)
	p := w.open(w.line(func(c *Config) { c.Keep.Every = time.Second }))
	var all []event.Sight
	for i := range int64(10) {
		if i == 5 {
			w.live = classifier("one")
		}
		all = append(all, w.see(p, w.frame(i, "a", 0, "0.1"))...)
		w.now = w.now.Add(400 * time.Millisecond)
	}
	p.Cut().Settle(all, nil)
	var kept []int64
	for _, s := range all {
		if s.Evidence != "" {
			kept = append(kept, s.Offset)
			if w.kept[s.Evidence].Kind != KeptSampled {
				t.Errorf("%+v", w.kept[s.Evidence])
			}
		}
	}
	if !slices.Equal(kept, []int64{0, 3, 6, 9}) || len(w.kept) != 4 {
		t.Errorf("kept %v of 10, %d in the store", kept, len(w.kept))
	}
	// A frame whose picture was too large for its record is looked at where it is kept.
	ref := all[0].Evidence
	large := w.frame(20, "b", 0, "")
	large.JPEG, large.Reference = nil, ref
	gone := large
	gone.Offset, gone.Camera, gone.Reference = 21, "c", "gone.jpg"
	equal(t, "kept apart", statuses(w.see(p, large, gone)), []string{"scored", "lost"})
}

// A canary has its share of the cameras; others look at the same frames beside it and act on nothing.
func TestShadows(t *testing.T) {
	w := newWorld(t)
	w.live, w.shade = classifier("one"), classifier("dark")
	p := w.open(w.line(nil))
	sights := w.see(p, w.frame(0, "a", 0, "0.9"), w.frame(1, "b", 0, "0.2"))
	<-p.shade.done
	dark := p.Cut().Settle(sights, nil)
	if len(dark) != 2 || dark[0].Version != "dark" || dark[0].Offset != 0 || dark[0].Label != "person" || dark[1].Camera != "b" || dark[1].Risk > 0.21 {
		t.Errorf("the shadow says %+v", dark)
	}
	w.other, w.share, w.shade = classifier("canary"), 100, nil
	sights = w.see(p, w.frame(2, "a", 0, "0.9"))
	<-p.shade.done
	dark = p.Cut().Settle(sights, nil)
	if sights[0].Version != "canary" || len(dark) != 1 || dark[0].Version != "one" {
		t.Errorf("canary %+v beside %+v", sights, dark)
	}
	// What was begun before a flush and ends after it is of no block.
	p.shade.look(make(chan struct{}), 0, []*model.Model{classifier("late")}, []looked{{Frame: w.frame(3, "a", 0, "0.9")}}, make([]event.Sight, 1))
	if dark = p.Cut().Settle(nil, nil); len(dark) != 0 {
		t.Errorf("another block has %+v", dark)
	}
}

// What is known of a camera outlives a restart, and not a change of settings.
func TestSnapshot(t *testing.T) {
	w := newWorld(t)
	w.live = boxer("b")
	config := func(c *Config) {
		c.Zones = []rules.Zone{gate}
		c.Rules = []rules.Rule{{Name: "stays", Zone: "gate", Severity: "info", Dwell: time.Second}}
	}
	l := w.line(config)
	p := w.open(l)
	see := func(p *Partition, offset int64) []string {
		w.now = w.now.Add(400 * time.Millisecond)
		return w.see(p, w.frame(offset, "a", 0, "box 0.1 0.1 0.2 0.9"))[0].Fired
	}
	see(p, 0)
	see(p, 1)
	state := p.Snapshot(nil)
	q := w.open(l)
	if err := q.Restore(state); err != nil {
		t.Fatal(err)
	}
	if again := q.Snapshot(nil); string(again) != string(state) {
		t.Errorf("%s became %s", state, again)
	}
	equal(t, "0.8 s", see(q, 2), nil)
	equal(t, "1.2 s", see(q, 3), []string{"stays"})
	other := w.open(w.line(nil))
	if err := other.Restore(state); err == nil || !strings.Contains(err.Error(), "other settings") {
		t.Errorf("other settings: %v", err)
	}
	for _, bad := range [][]byte{nil, {9}, state[:12]} {
		if err := q.Restore(bad); err == nil {
			t.Errorf("%q was restored", bad)
		}
	}
}

// Cameras that are made up do not fill the memory.
func TestManyCameras(t *testing.T) {
	w := newWorld(t)
	w.live = classifier("one")
	p := w.open(w.line(nil))
	for i := range 2 * maxCameras {
		w.now = w.now.Add(time.Millisecond)
		w.see(p, w.frame(int64(i), "camera-"+time.Duration(i).String(), 0, "0.1"))
	}
	if n := p.Cameras(); n != maxCameras {
		t.Errorf("%d cameras are remembered", n)
	}
}

func TestMachines(t *testing.T) {
	var m Machines
	half := 0.5
	while := &rules.While{Pipeline: "press", Asset: "press-1", Signal: "running", Above: &half, MaxAge: 5 * time.Second}
	if !m.Want(while, []string{"load", "running"}) || m.Want(&rules.While{Pipeline: "press", Asset: "a", Signal: "none"}, []string{"load"}) {
		t.Fatal("which signals there are")
	}
	at := int64(100e9)
	row := func(asset string, at int64, running float64) event.Row {
		return event.Row{Asset: asset, Time: at, Values: []float64{7, running}}
	}
	check := func(at int64, wantHolds, wantKnown bool) {
		t.Helper()
		if holds, known := m.Facts(while, at); holds != wantHolds || known != wantKnown {
			t.Errorf("at %v: holds %v, known %v", at, holds, known)
		}
	}
	check(at, false, false)
	m.Observe("press", []event.Row{row("press-1", at, 1), row("press-2", at, 0)}, nil)
	m.Observe("other", []event.Row{row("press-1", at, 0)}, nil)
	check(at+1e9, true, true)
	check(at+6e9, false, false)
	check(at-6e9, false, false)
	m.Observe("press", []event.Row{row("press-1", at+3e9, 0), row("press-1", at+2e9, 1), {Asset: "press-1", Time: at + 4e9, Values: []float64{1, nan()}}}, nil)
	check(at+6e9, false, true)
	if holds, known := (*Machines)(nil).Facts(while, at); holds || known {
		t.Error("without machines something is known")
	}
}

func nan() float64 { var z float64; return z / z }

func TestConfig(t *testing.T) {
	c := Default()
	c.MaxAge, c.Pictures, c.Keep.Every, c.Track.Overlap = -1, 0, -1, 2
	err := c.Validate()
	for _, part := range []string{"max_age: -1ns is negative", "pictures: 0", "keep.every: -1ns", "track.overlap: 2"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %v", part, err)
		}
	}
	if c := Default(); c.Validate() != nil {
		t.Error("the defaults do not hold")
	}
}
