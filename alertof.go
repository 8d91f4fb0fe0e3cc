package main

import (
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	"andon/event"
)

// By how much of what was to be expected the loss has risen, from where on an alarm is critical, and a warning. One whose loss nobody knows is a warning.
const (
	lossCritical = 0.2
	lossWarning  = 0.05
)

// alertOf is what people are told of an alarm. One pipeline's alarms of one kind are one matter, resolved when it is over.
func alertOf(a event.Alarm) event.Alert {
	kind, what := event.AlertDrift, "what it is fed has changed"
	switch a.Kind {
	case event.AlarmPrediction:
		what = "what its model says has changed"
	case event.AlarmEstimated:
		kind, what = event.AlertError, "its model is estimated to be wrong more often"
	case event.AlarmRealised:
		kind, what = event.AlertError, "its model is wrong more often, by the labels"
	}
	out := event.Alert{ID: a.Pipeline + "/" + kind + "/" + a.Kind, Pipeline: a.Pipeline, Kind: kind, Severity: severityOf(a.Loss, a.Before), Title: a.Pipeline + ": " + what,
		Since: a.Since, Resolved: a.Over, Evidence: "#/drift?" + url.Values{"pipeline": {a.Pipeline}}.Encode(), Labels: map[string]string{"alarm": a.Kind, "version": a.Version}}
	if a.Metric != "" {
		out.Labels["metric"] = a.Metric
	}
	var d strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&d, format+"\n", args...) }
	if a.Detail != "" {
		line("%s", a.Detail)
	}
	if known(a.Loss) {
		if known(a.Before) && a.Before != 0 {
			line("The model's %s is %.3g, and %.3g was to be expected (%+.0f %%).", a.Metric, a.Loss, a.Before, 100*(a.Loss/a.Before-1))
		} else {
			line("The model's %s is %.3g.", a.Metric, a.Loss)
		}
	}
	for i, c := range a.Causes {
		if i == 5 {
			line("… and %d further causes.", len(a.Causes)-i)
			break
		}
		line("%s", causeText(c))
		if i == 0 { // by which it can be routed
			out.Labels["feature"], out.Labels["group"] = c.Feature, c.Group
		}
	}
	if !a.Over {
		line("Look at the drift page; if the change is real and here to stay, let the pipeline retrain, or start it with: andon train %s", a.Pipeline)
	}
	out.Detail = strings.TrimSpace(d.String())
	return out
}

func known(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

func severityOf(loss, before float64) string {
	if !known(loss) {
		return event.SeverityWarning
	}
	rise := loss // of nothing
	if known(before) {
		if rise = loss - before; before > 0 {
			rise /= before
		}
	}
	switch {
	case rise >= lossCritical:
		return event.SeverityCritical
	case rise >= lossWarning:
		return event.SeverityWarning
	}
	return event.SeverityInfo
}

func causeText(c event.Cause) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s: %s %.3g", c.Feature, c.Group, c.Measure, c.Size)
	if known(c.P) {
		fmt.Fprintf(&b, " (p %.2g)", c.P)
	}
	if known(c.Before) && known(c.Now) {
		fmt.Fprintf(&b, ", mean %.4g, was %.4g", c.Now, c.Before)
	}
	if n := len(c.Assets); n > 0 {
		fmt.Fprintf(&b, "; furthest off: %s", strings.Join(c.Assets[:min(n, 5)], ", "))
	}
	return b.String()
}

// alertOfDecision is what people are told of a step of the loop; false where it is none of the steps that they have to know of. All campaigns of a pipeline are one matter:
// open from the trigger on, resolved when the challenger is promoted or has passed its watch.
func alertOfDecision(d event.Decision) (event.Alert, bool) {
	out := event.Alert{ID: d.Pipeline + "/" + event.AlertTraining, Pipeline: d.Pipeline, Kind: event.AlertTraining, Severity: event.SeverityInfo, Since: d.Time, Time: d.Time,
		Evidence: "#/models?" + url.Values{"pipeline": {d.Pipeline}}.Encode(), Labels: map[string]string{"stage": d.Stage, "verdict": d.Verdict}}
	for k, v := range map[string]string{"campaign": d.Campaign, "champion": d.Champion, "challenger": d.Challenger} {
		if v != "" {
			out.Labels[k] = v
		}
	}
	tell := func(severity, title string, args ...any) {
		out.Severity, out.Title = severity, d.Pipeline+": "+fmt.Sprintf(title, args...)
	}
	switch {
	case d.Verdict == event.DecidedWait:
		return event.Alert{}, false
	case d.Stage == event.StageTrigger && d.Verdict == event.DecidedGo:
		tell(event.SeverityInfo, "retraining has started")
	case d.Stage == event.StageTrigger && d.Verdict == event.DecidedNo:
		return event.Alert{}, false // that nothing is done is no news
	case d.Verdict == event.DecidedAsk:
		tell(event.SeverityWarning, "somebody has to say whether to go on at the %s", d.Stage)
	case d.Verdict == event.DecidedFailed:
		tell(event.SeverityWarning, "the %s failed", d.Stage)
		if d.Stage == event.StageRollback {
			out.Severity = event.SeverityCritical
		}
	case d.Stage == event.StageRollback && d.Verdict == event.DecidedGo:
		tell(event.SeverityCritical, "rolled back to %s", d.Champion)
	case d.Stage == event.StagePromote && d.Verdict == event.DecidedGo:
		tell(event.SeverityInfo, "%s was promoted", d.Challenger)
		out.Resolved = true
	case d.Stage == event.StageWatch && d.Verdict == event.DecidedGo:
		tell(event.SeverityInfo, "%s stays", d.Champion)
		out.Resolved = true
	case d.Verdict == event.DecidedNo:
		tell(event.SeverityWarning, "the challenger %s was refused at the %s", d.Challenger, d.Stage)
	default:
		return event.Alert{}, false // a step on the way
	}
	out.Detail = fmt.Sprintf("%s\nDecided by %s at %s. The models page shows every step with its numbers.", d.Reason, d.Who, time.Unix(0, d.Time).UTC().Format(time.RFC3339))
	return out, true
}
