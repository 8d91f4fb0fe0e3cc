package main

import (
	"math"
	"strings"
	"testing"

	"andon/event"
)

func TestAlertOfAlarm(t *testing.T) {
	a := event.Alarm{ID: "x1", Pipeline: "compressors", Kind: event.AlarmEstimated, Version: "v3", Since: 5, Loss: 0.12, Before: 0.09, Metric: "loss", Detail: "said the panel",
		Causes: []event.Cause{{Feature: "s_4_mean", Group: "fleet", Assets: []string{"c-1", "c-2"}, Measure: "ks", Size: 0.4, P: 1e-9, Before: 1, Now: 2}}}
	got := alertOf(a)
	if got.ID != "compressors/error/estimated-loss" || got.Severity != event.SeverityCritical || got.Kind != event.AlertError || got.Since != 5 || got.Resolved || got.Labels["feature"] != "s_4_mean" {
		t.Errorf("%+v", got)
	}
	for _, want := range []string{"said the panel", "loss is 0.12, and 0.09 was to be expected (+33 %)", "s_4_mean of fleet: ks 0.4 (p 1e-09), mean 2, was 1; furthest off: c-1, c-2", "andon train compressors"} {
		if !strings.Contains(got.Detail, want) {
			t.Errorf("no %q in %q", want, got.Detail)
		}
	}
	a.ID, a.Over = "x2", true
	if over := alertOf(a); over.ID != got.ID || !over.Resolved {
		t.Errorf("%+v", over)
	}
	for _, c := range []struct {
		loss, before float64
		want         string
	}{{math.NaN(), 1, event.SeverityWarning}, {1.1, 1, event.SeverityWarning}, {1.01, 1, event.SeverityInfo}, {0.25, math.NaN(), event.SeverityCritical}, {25, 20, event.SeverityCritical}, {15, 20, event.SeverityInfo}, {0.1, 0, event.SeverityWarning}} {
		if got := severityOf(c.loss, c.before); got != c.want {
			t.Errorf("loss %v of %v is %s, want %s", c.loss, c.before, got, c.want)
		}
	}
}

func TestAlertOfDecision(t *testing.T) {
	for _, c := range []struct {
		stage, verdict, severity string
		told, resolved           bool
	}{
		{event.StageTrigger, event.DecidedGo, event.SeverityInfo, true, false},
		{event.StageTrigger, event.DecidedNo, "", false, false},
		{event.StageTrain, event.DecidedFailed, event.SeverityWarning, true, false},
		{event.StageTrain, event.DecidedGo, "", false, false},
		{event.StageGate, event.DecidedNo, event.SeverityWarning, true, false},
		{event.StageShadow, event.DecidedWait, "", false, false},
		{event.StageCanary, event.DecidedAsk, event.SeverityWarning, true, false},
		{event.StagePromote, event.DecidedGo, event.SeverityInfo, true, true},
		{event.StageRollback, event.DecidedGo, event.SeverityCritical, true, false},
		{event.StageRollback, event.DecidedFailed, event.SeverityCritical, true, false},
	} {
		a, told := alertOfDecision(event.Decision{Campaign: "c1", Pipeline: "p", Stage: c.stage, Verdict: c.verdict, Reason: "because", Who: "gate", Champion: "v1", Challenger: "v2", Time: 9})
		if told != c.told || a.Severity != c.severity || a.Resolved != c.resolved || told && (a.ID != "p/training" || !strings.Contains(a.Detail, "because")) {
			t.Errorf("%s %s: %v %+v", c.stage, c.verdict, told, a)
		}
	}
}
