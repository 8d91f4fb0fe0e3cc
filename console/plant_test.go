package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"sync"
	"time"

	"andon/event"
	"andon/model"
)

type modelsAPI = Models

// cabinet is a plant's models and the loop that leads them: a champion, a challenger that is tried as a canary, and what was decided on the way.
type cabinet struct {
	modelsAPI // what nobody asks for here
	mu        sync.Mutex
	changed   func()
	versions  []model.Info
	decisions []event.Decision
	stage     string
}

func newCabinet() *cabinet {
	now := time.Now()
	info := func(version string, alias model.Alias, ago time.Duration) model.Info {
		return model.Info{Version: version, Bytes: 31_000, Added: now.Add(-ago), Aliases: []model.Alias{alias}, Who: "loop", Why: "the input has drifted: s_11 of the fleet, by 0.4 of Kolmogorov and Smirnov",
			Meta: model.Meta{Pipeline: "compressors", Task: model.RemainingLife, Unit: "cycles", Network: "gru 2x32", Lineage: model.Lineage{Run: "compressors-20200101", Windows: 17_731, Assets: 85, CPUSeconds: 31}}}
	}
	return &cabinet{stage: event.StageCanary, versions: []model.Info{info("c0ffee15600d", model.Canary, time.Minute), info("3f9a1c77b2e0", model.Champion, time.Hour)},
		decisions: []event.Decision{{Pipeline: "compressors", Campaign: "c1", Stage: event.StageTrigger, Verdict: event.DecidedGo, Reason: "the input has drifted", Time: now.UnixNano(), Who: "loop"},
			{Pipeline: "compressors", Campaign: "c1", Stage: event.StageGate, Verdict: event.DecidedGo, Reason: "better by 0.08 over all, worse in no scenario", Challenger: "c0ffee15600d", Time: now.UnixNano() + 1e9, Who: "loop"}}}
}

func (c *cabinet) Status() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := map[string]any{"pipeline": "compressors", "champion": "3f9a1c77b2e0", "verdict": "wait", "reason": "a campaign goes on", "approval": "auto", "alarms": []string{"input-drift: s_11 of the fleet"}, "campaign": nil}
	if c.stage != "" {
		gain := map[string]any{"alpha": .05, "numbers": 12, "assets": 12, "windows": 3400, "mean": .21, "low": .04, "high": .38, "champion": .9, "challenger": .7,
			"points": [][4]float64{{1, .1, -.9, .9}, {6, .2, -.1, .5}, {12, .21, .04, .38}}}
		findings := []map[string]any{{"slice": "all", "windows": 3400, "assets": 12, "champion": .9, "challenger": .7, "gain": .2, "low": .1, "high": .3, "worse": .9, "better": .001}}
		one["campaign"] = map[string]any{"id": "c1", "stage": c.stage, "trigger": "input-drift", "why": "the input has drifted: s_11 of the fleet", "champion": "3f9a1c77b2e0", "challenger": "c0ffee15600d",
			"began": time.Now().UnixNano(), "entered": time.Now().Add(-time.Minute).Truncate(time.Hour).UnixNano(), "gate": map[string]any{"reason": "better over all", "findings": findings},
			"beside": map[string]any{"windows": 3400, "assets": 12}, "paired": gain}
	}
	return []any{one, map[string]any{"pipeline": "machine-temperature", "champion": "b07d52e4aa19", "verdict": "wait", "reason": "nothing has changed", "approval": "auto", "alarms": []string{}, "campaign": nil}}
}

func (c *cabinet) Order(pipeline, act, who, why string) error {
	if act != "stop" {
		return errors.New("a campaign goes on")
	}
	c.mu.Lock()
	c.stage = ""
	c.decisions = append(c.decisions, event.Decision{Pipeline: pipeline, Campaign: "c1", Stage: event.StageCanary, Verdict: event.DecidedNo, Reason: why, Time: time.Now().UnixNano(), Who: who})
	c.mu.Unlock()
	c.changed()
	return nil
}

func (c *cabinet) Decisions(_ context.Context, pipeline string, _ int) (list []event.Decision, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.decisions {
		if pipeline == "" || d.Pipeline == pipeline {
			list = append(list, d)
		}
	}
	return list, nil
}

func (c *cabinet) Models(pipeline string) (list []model.Info, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.versions {
		if pipeline == "" || v.Pipeline == pipeline {
			list = append(list, v)
		}
	}
	return list, nil
}

// Evaluations tells of no comparison.
func (c *cabinet) Evaluations(context.Context, string, int) (any, error) { return []any{}, nil }

func (c *cabinet) Evaluate(context.Context, EvaluationAsk) (any, error) {
	return nil, errors.New("there is nothing to compare them by")
}

// came is what a plant's predictions came to.
func came(sql string) [][]any {
	now := time.Now()
	switch sql {
	case truthMarks:
		return [][]any{{"40", "900", "3400"}}
	case newestDay:
		return [][]any{{now.Unix()}}
	case accuracyByDay:
		return [][]any{{"3f9a1c77b2e0", now.Add(-24 * time.Hour).UnixMilli(), int64(400), int64(12), int64(0), .08, .03, 14.2, 9.1, nil, nil, nil, nil, nil},
			{"3f9a1c77b2e0", now.UnixMilli(), int64(500), int64(14), int64(0), .09, .04, 15.0, 9.8, nil, nil, nil, nil, nil}}
	case labelLags:
		return [][]any{{"failure", int64(40), 3600., 86400.}}
	case labelCoverages:
		return [][]any{{"3f9a1c77b2e0", int64(3400), int64(900), int64(40)}}
	case labelConflicts:
		return [][]any{{"c-7", now.UnixMicro(), int64(0), "failure", "ann", "the seal", now.UnixMicro(), []float64{0, 0, 0, 0}}}
	case unlabelledWindows:
		return [][]any{{"uncertain", "c-7", now.Add(-time.Hour).UnixMicro(), now.UnixMicro(), .48, 31., "3f9a1c77b2e0", "", "", ""}}
	}
	return nil
}

// film shows frames of a dock, one a second or so, with a box that moves.
func (a *appliance) film(n int) {
	picture := image.NewRGBA(image.Rect(0, 0, 320, 180))
	for x := range 320 {
		for y := range 180 {
			picture.Set(x, y, color.RGBA{uint8(x / 2), uint8(y), uint8(n * 8), 255})
		}
	}
	var jpg bytes.Buffer
	if err := jpeg.Encode(&jpg, picture, nil); err != nil {
		panic(err)
	}
	at := .1 + .02*float32(n%30)
	s := event.Sight{Pipeline: "dock", Camera: "dock-1", Captured: time.Now().UnixNano(), Sequence: int64(n), Width: 320, Height: 180, Bytes: jpg.Len(), Status: event.SightScored, Version: "d0cc", Age: 40e6, Latency: 22e6, Risk: .8,
		Boxes: []event.Box{{Label: "vest", Score: .8, X0: at, Y0: .3, X1: at + .2, Y1: .9, Track: 1}}}
	if n%5 == 0 {
		s.Fired = []string{"no-helmet"}
	}
	a.Sight("dock", &event.Frame{Camera: "dock-1", JPEG: jpg.Bytes(), Captured: s.Captured}, &s)
}

// bells are alerts of a plant: one of each kind, half of them over.
func (a *appliance) bells() {
	for i, kind := range []string{event.AlertRule, event.AlertDrift, event.AlertError, event.AlertTraining, event.AlertAbsent, event.AlertBottleneck} {
		now := time.Now().Add(-time.Duration(i) * time.Minute)
		m := &event.Matter{ID: "compressors/" + kind, Pipeline: "compressors", Kind: kind, Severity: []string{event.SeverityCritical, event.SeverityWarning, event.SeverityInfo}[i%3], Title: fmt.Sprintf("compressors: a matter of kind %s", kind),
			Detail: "What happened, and what to do.", Evidence: "#/line", Since: now, Time: now, First: now, Changed: now, Active: i%2 == 0, State: event.MatterFiring, Fired: 1}
		if i%2 == 1 {
			m.State, m.Ended = event.MatterResolved, now
		}
		a.Alert(m)
	}
}
