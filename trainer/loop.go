package trainer

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/robfig/cron/v3"

	"andon/event"
	"andon/trainer/gate"
)

// Loop says when a pipeline's model is made anew by itself, and how a challenger gets to the fleet.
type Loop struct {
	// Approval says how far the loop goes alone: auto, all the way; ask, as far as a person's word is needed for a challenger's scores to count; never, nowhere, though a person may start
	// a campaign, which then asks.
	Approval Approval `yaml:"approval"`
	// Triggers are what starts a campaign beside Schedule, Labels and a person: kinds of alarms, and "missed" for a defect that somebody marked.
	Triggers []string `yaml:"triggers"`
	// Schedule is five fields of cron in UTC, or "@every 168h"; empty: none.
	Schedule string `yaml:"schedule"`
	// Labels starts a campaign when that many assets have failed, or labels come, since the champion was trained; 0: never.
	Labels int `yaml:"labels"`
	// Fresh is how many assets must have failed, or labels have come, since the champion was trained before a trigger is acted on: what was learned already teaches nothing new. Where an alarm tells since
	// when things are different, what failed after a life without the change does not count: an asset must have lived half of its life since, or as long as the model's cap.
	Fresh int `yaml:"fresh"`
	// Cooldown is the pause after a campaign; alarms of the pause are looked at when it is over.
	Cooldown time.Duration `yaml:"cooldown"`
	// Budget is how much CPU time of training a day may cost, all threads together; a person may go beyond it.
	Budget time.Duration `yaml:"budget"`
	// Fallback is what becomes of a challenger that passed the gate when the labels that would prove it do not come: ask a person, promote it, or refuse it.
	Fallback Fallback `yaml:"fallback"`

	Gate   GateConfig   `yaml:"gate"`
	Shadow ShadowConfig `yaml:"shadow"`
	Canary CanaryConfig `yaml:"canary"`
	Watch  WatchConfig  `yaml:"watch"`
}

// Approval says how far the loop goes alone.
type Approval string

// The approvals.
const (
	ApproveAuto  Approval = "auto"
	ApproveAsk   Approval = "ask"
	ApproveNever Approval = "never"
)

// Fallback is what is done where proof does not come.
type Fallback string

// The fallbacks.
const (
	FallbackAsk     Fallback = "ask"
	FallbackPromote Fallback = "promote"
	FallbackRefuse  Fallback = "refuse"
)

// GateConfig says what a challenger must show before any window of the line is its.
type GateConfig struct {
	// Alpha is the chance of letting any of a campaign's challengers through that is no better, over all slices.
	Alpha float64 `yaml:"alpha"`
	// Margin is how much mean loss, of 1, a slice may lose and still count as not worse.
	Margin float64 `yaml:"margin"`
	// Assets is how many assets a verdict takes; a slice with fewer is told and not judged.
	Assets int `yaml:"assets"`
	// Cost is how many times the champion's compute a window of the challenger may take.
	Cost float64 `yaml:"cost"`
	// Golden is the rule of the golden set.
	Golden gate.Golden `yaml:"golden"`
}

// ShadowConfig says what a challenger must show beside the champion, before its scores count anywhere.
type ShadowConfig struct {
	// Windows is how many of the line's windows it must have scored.
	Windows int `yaml:"windows"`
	// Outcomes is on how many of them, counted in assets, the truth must have come.
	Outcomes int `yaml:"outcomes"`
	// Patience is how long to wait for both.
	Patience time.Duration `yaml:"patience"`
	// Slower is how many times the champion's compute a window may take here.
	Slower float64 `yaml:"slower"`
}

// CanaryConfig says how a challenger is tried on a share of the assets.
type CanaryConfig struct {
	// Percent is the share of the assets whose scores are the challenger's.
	Percent float64 `yaml:"percent"`
	// Alpha is the chance that a challenger which is no better is taken for better, however often one looks.
	Alpha float64 `yaml:"alpha"`
	// Assets is on how many assets, beyond those of the shadow, a promotion must rest at least.
	Assets int `yaml:"assets"`
	// Patience is how long to wait for a verdict.
	Patience time.Duration `yaml:"patience"`
}

// WatchConfig says how a new champion is watched, with the old one warm beside it.
type WatchConfig struct {
	// Alpha is the chance that a champion which is no worse is rolled back, however often one looks.
	Alpha float64 `yaml:"alpha"`
	// For is how long it is watched; it ends earlier when the new one is shown to be better on Assets assets.
	For    time.Duration `yaml:"for"`
	Assets int           `yaml:"assets"`
	// Failures is how many runs of the scorer may fail in the first minute and ever after in any minute; more roll back.
	Failures int `yaml:"failures"`
	// Slower is how many times the old champion's compute a window may take.
	Slower float64 `yaml:"slower"`
}

// TriggerMissed is a defect that somebody marked, TriggerSchedule and TriggerLabels are the clock's and the labels', TriggerHand is a person's.
const (
	TriggerMissed   = "missed"
	TriggerSchedule = "schedule"
	TriggerLabels   = "labels"
	TriggerHand     = "hand"
)

// triggers are what Loop.Triggers may name, the most urgent first.
var triggers = []string{TriggerMissed, event.AlarmRealised, event.AlarmEstimated, event.AlarmPrediction, event.AlarmInput}

// DefaultLoop returns the settings of a fleet that is trained within minutes and whose labels come within days.
func DefaultLoop() Loop {
	return Loop{
		Approval: ApproveAuto, // the gate, the canary and the way back are what makes that safe
		Triggers: slices.Clone(triggers),
		// With 15 % held back, eight fresh assets put one or two into the exam; the rest of it is the old ones, on which it must not get worse.
		Fresh:    8,
		Cooldown: time.Hour,     // alarms of one cause come in swarms
		Budget:   2 * time.Hour, // a twelfth of one core
		Fallback: FallbackAsk,   // nobody promised that labels come, and an offline gate alone has been wrong before
		Gate: GateConfig{
			Alpha:  0.05,
			Margin: 0.01, // a hundredth of the loss is noise to whoever acts on scores
			Assets: gate.Default().MinBlocks,
			Cost:   4, // a network of twice the units
			Golden: gate.Default().Golden,
		},
		Shadow: ShadowConfig{
			Windows:  500,
			Outcomes: 4, // enough to see that truth arrives at all; the canary counts it
			Patience: 24 * time.Hour,
			Slower:   4,
		},
		Canary: CanaryConfig{
			Percent:  20,
			Alpha:    0.05,
			Assets:   8,
			Patience: 7 * 24 * time.Hour,
		},
		Watch: WatchConfig{
			Alpha:    0.05,
			For:      24 * time.Hour,
			Assets:   16,
			Failures: 3, // one may be the machine's
			Slower:   4,
		},
	}
}

// UnmarshalYAML reads a section over the defaults.
func (l *Loop) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Loop
	*l = DefaultLoop()
	return unmarshal((*plain)(l))
}

// Validate reports every fault with its key.
func (l *Loop) Validate() error {
	var f faults
	f.check(l.Approval == ApproveAuto || l.Approval == ApproveAsk || l.Approval == ApproveNever, "approval", string(l.Approval), "auto, ask or never")
	f.check(l.Fallback == FallbackAsk || l.Fallback == FallbackPromote || l.Fallback == FallbackRefuse, "fallback", string(l.Fallback), "ask, promote or refuse")
	for i, t := range l.Triggers {
		f.check(slices.Contains(triggers, t), fmt.Sprintf("triggers[%d]", i), t, fmt.Sprintf("one of %q", triggers))
	}
	if l.Schedule != "" {
		if _, err := cron.ParseStandard(l.Schedule); err != nil {
			f = append(f, fmt.Errorf("schedule: %q is not five fields of cron nor @every: %w", l.Schedule, err))
		}
	}
	f.check(l.Labels >= 0, "labels", l.Labels, "0 or more")
	f.check(l.Fresh >= 0, "fresh", l.Fresh, "0 or more")
	f.check(l.Cooldown >= 0, "cooldown", l.Cooldown, "0 or more")
	f.check(l.Budget > 0, "budget", l.Budget, "a positive duration of CPU time")
	share := func(key string, v float64) { f.check(v > 0 && v < 1, key, v, "between 0 and 1") }
	share("gate.alpha", l.Gate.Alpha)
	share("canary.alpha", l.Canary.Alpha)
	share("watch.alpha", l.Watch.Alpha)
	f.check(l.Gate.Margin >= 0 && l.Gate.Margin < 1, "gate.margin", l.Gate.Margin, "0 or more and less than 1")
	f.check(l.Gate.Assets >= 2, "gate.assets", l.Gate.Assets, "at least 2")
	f.check(l.Gate.Cost >= 1, "gate.cost", l.Gate.Cost, "at least 1")
	f.check(l.Gate.Golden.Lost >= -1, "gate.golden.lost", l.Gate.Golden.Lost, "0 or more, or -1 for any number")
	f.check(l.Gate.Golden.Right > 0 && l.Gate.Golden.Right <= 1, "gate.golden.right", l.Gate.Golden.Right, "more than 0 and at most 1")
	f.check(l.Shadow.Windows >= 1, "shadow.windows", l.Shadow.Windows, "at least 1")
	f.check(l.Shadow.Outcomes >= 0, "shadow.outcomes", l.Shadow.Outcomes, "0 or more")
	f.check(l.Shadow.Patience > 0, "shadow.patience", l.Shadow.Patience, "a positive duration")
	f.check(l.Shadow.Slower >= 1, "shadow.slower", l.Shadow.Slower, "at least 1")
	f.check(l.Canary.Percent > 0 && l.Canary.Percent <= 100, "canary.percent", l.Canary.Percent, "more than 0 and at most 100")
	f.check(l.Canary.Assets >= 2, "canary.assets", l.Canary.Assets, "at least 2")
	f.check(l.Canary.Patience > 0, "canary.patience", l.Canary.Patience, "a positive duration")
	f.check(l.Watch.For > 0, "watch.for", l.Watch.For, "a positive duration")
	f.check(l.Watch.Assets >= 2, "watch.assets", l.Watch.Assets, "at least 2")
	f.check(l.Watch.Failures >= 1, "watch.failures", l.Watch.Failures, "at least 1")
	f.check(l.Watch.Slower >= 1, "watch.slower", l.Watch.Slower, "at least 1")
	return errors.Join(f...)
}

// next returns when the schedule is due after a time; false where there is none.
func (l *Loop) next(after time.Time) (time.Time, bool) {
	if l.Schedule == "" {
		return time.Time{}, false
	}
	s, err := cron.ParseStandard(l.Schedule)
	if err != nil {
		return time.Time{}, false // Validate told
	}
	return s.Next(after.UTC()), true
}
