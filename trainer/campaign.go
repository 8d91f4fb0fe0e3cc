package trainer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"andon/event"
	"andon/model"
	"andon/trainer/evaluate"
	"andon/trainer/gate"
)

// who signs what the loop does by itself.
const who = "loop"

// Means is what the loop needs beside the store: who keeps its decisions, moves aliases, tries models and knows what predictions came to.
type Means struct {
	Aliases Aliases
	Log     DecisionLog
	// Tell hands every decision to the page, to alerts and to Kafka. It must not block.
	Tell func(event.Decision)
	// Try runs a model for the first time where it can do no harm, and returns what it took; see Registration.Measured.
	Try func(ctx context.Context, m *model.Model) (map[string]float64, error)
	// Examine puts challengers beside the champion on data that none has learned from, and returns an exam of each; nil does so on what Spec.Holdout keeps. Examined is told of each table; it may be nil.
	Examine  func(ctx context.Context, p *Pipeline, champion *model.Model, challengers []*model.Model) ([]Exam, error)
	Examined func(evaluate.Table)
	// Equip adds to an examination what it cannot know: meters, and what versions took of people and machines in service. It may be nil.
	Equip func(ctx context.Context, c *evaluate.Config, d *evaluate.Data, models []*model.Model) error
	// Mature returns what the predictions of versions came to that were settled after since, in the order in which they were settled, and the since to go on with; none when there are no more.
	Mature func(ctx context.Context, pipeline string, versions []string, since int64) ([]event.Outcome, int64, error)
	// Service says how a version did on the line since a time.
	Service func(ctx context.Context, pipeline, version string, since time.Time) (Service, error)
	// Fresh is how many assets have failed, or labels of other tasks come, since the champion was trained; of those only what speaks of the event time after since (Unix nanoseconds), where that is not 0.
	Fresh func(ctx context.Context, p *Pipeline, trained time.Time, since int64) (int, error)
	// Failures counts the runs of the scorer that failed, of all versions of a pipeline that count.
	Failures func(pipeline string) float64
	// Owner tells whether this replica leads the campaigns; nil: it is the only one.
	Owner func() bool
}

// Aliases is the registry as the loop moves it.
type Aliases interface {
	Get(pipeline, version string) (*model.Model, error)
	List(pipeline string) []model.Info
	Named(pipeline string, alias model.Alias) *model.Model
	Marker(pipeline string, alias model.Alias) (model.Move, bool)
	Move(ctx context.Context, pipeline string, alias model.Alias, version, who, why string) error
	MoveCanary(ctx context.Context, pipeline, version string, percent float64, who, why string) error
	Clear(pipeline string, alias model.Alias, who, why string) error
	Rollback(ctx context.Context, pipeline string, alias model.Alias, who, why string) (model.Move, error)
}

// DecisionLog keeps decisions for good.
type DecisionLog interface {
	WriteDecision(ctx context.Context, d event.Decision) error
	// Decisions returns a pipeline's newest, oldest of them first.
	Decisions(ctx context.Context, pipeline string, limit int) ([]event.Decision, error)
}

// Exam is how challenger and champion did on the same data.
type Exam struct {
	// Overall holds all of it, Slices its parts that are judged.
	Overall gate.Slice
	Slices  []gate.Slice
	// Golden are the golden cases.
	Golden []gate.Case
	// Cost is the challenger's compute a window over the champion's; 0 where it is not known.
	Cost float64
	// Missing says why there is no exam; then nothing else is set.
	Missing string
}

// Service is how a version did on the line.
type Service struct {
	Windows, Assets int
	// Compute is the time of the scorer a window, the median, nanoseconds; Latency the 99th percentile from a record's arrival to the verdict.
	Compute, Latency float64
	// Distance is the mean distance of the risk from that of the version whose scores counted for the same windows; NaN where none did.
	Distance float64
}

// campaign is the way of one challenger from its trigger to its end. It travels in the facts of its decisions, so that a restart goes on where it was.
type campaign struct {
	ID      string   `json:"id"`
	Stage   string   `json:"stage"`
	Trigger string   `json:"trigger"`
	Why     string   `json:"why"`
	Alarms  []string `json:"alarms,omitempty"`
	// Since is the event time at which what the alarms speak of began, Unix nanoseconds; 0 where that is not known.
	Since int64 `json:"since,omitempty"`
	// Estimated is the loss that an alarm told of the champion by then, where one of its estimate did.
	Estimated *estimate `json:"estimated,omitempty"`
	// By is the person who started it, or moved the champion.
	By         string `json:"by,omitempty"`
	Champion   string `json:"champion,omitempty"`
	Challenger string `json:"challenger,omitempty"`
	// Candidates are the challengers that were trained, the best on the validation part first; Challenger is the first of them, and from the gate on the one that it has chosen.
	Candidates []candidate `json:"candidates,omitempty"`
	// Began is when it began, Entered when its stage did, Unix nanoseconds.
	Began   int64 `json:"began"`
	Entered int64 `json:"entered"`
	// Asking is what a person is asked, Next the stage that follows a yes. Yes is the stage that a person has said yes to, Approved who that was.
	Asking   string `json:"asking,omitempty"`
	Next     string `json:"next,omitempty"`
	Yes      string `json:"yes,omitempty"`
	Approved string `json:"approved,omitempty"`
	// Unjudged tells that the exam was too small for a verdict, so that the line must give one. Unproven tells that labels did not come, and what was done instead.
	Unjudged bool   `json:"unjudged,omitempty"`
	Unproven string `json:"unproven,omitempty"`

	Gate   *gateFacts   `json:"gate,omitempty"`
	Beside *besideFacts `json:"beside,omitempty"`
	// Paired is the sequence of gains of shadow and canary, Watched that after the promotion.
	Paired *progress `json:"paired,omitempty"`
	// Before is how many assets the sequence rested on when the canary began.
	Before  int       `json:"before,omitempty"`
	Watched *progress `json:"watched,omitempty"`

	// book gathers outcomes of the stage; it is filled anew after a restart.
	book *book
	// kind is the kind of the last decision that was told, and told when.
	kind string
	told time.Time
	// again is when a training that was put off is tried again.
	again time.Time
	// failures is the scorer's count when the stage began, or at the last look that was a minute ago.
	failures float64
	counted  time.Time
}

// candidate is a challenger that was trained for the campaign, and what the gate said of it.
type candidate struct {
	Version string   `json:"version"`
	Loss    *float64 `json:"validation_loss,omitempty"`
	Passed  bool     `json:"passed"`
	Reason  string   `json:"reason,omitempty"`

	// Measured is what its first run took, Cost its compute over the champion's.
	Measured map[string]float64 `json:"measured,omitempty"`
	Cost     float64            `json:"cost,omitempty"`
	// Overall is how it did over all, Golden how many golden cases there were, Lost those that the champion has right and it gets wrong.
	Overall *finding `json:"overall,omitempty"`
	Golden  int      `json:"golden,omitempty"`
	Lost    []string `json:"lost,omitempty"`

	findings []finding
}

// gateFacts are the numbers by which the gate decided, of the candidate that it chose; where it chose none, of the first.
type gateFacts struct {
	Measured map[string]float64 `json:"measured,omitempty"`
	Cost     float64            `json:"cost,omitempty"`
	Reason   string             `json:"reason"`
	Findings []finding          `json:"findings,omitempty"`
	Golden   int                `json:"golden,omitempty"`
	Lost     []string           `json:"lost,omitempty"`
}

// finding is gate.Finding as JSON, which has no NaN.
type finding struct {
	Slice      string   `json:"slice"`
	Windows    int      `json:"windows"`
	Assets     int      `json:"assets"`
	Champion   float64  `json:"champion"`
	Challenger float64  `json:"challenger"`
	Gain       float64  `json:"gain"`
	Low        *float64 `json:"low"`
	High       *float64 `json:"high"`
	Worse      *float64 `json:"worse"`
	Better     *float64 `json:"better"`
	// Of classes: windows that just the one has right, blocks that are for the one, and McNemar's P value by those.
	OnlyChampion   int      `json:"only_champion,omitempty"`
	OnlyChallenger int      `json:"only_challenger,omitempty"`
	ForChampion    int      `json:"for_champion,omitempty"`
	ForChallenger  int      `json:"for_challenger,omitempty"`
	McNemar        *float64 `json:"mcnemar,omitempty"`
}

func found(f *gate.Finding) finding {
	return finding{f.Slice, f.Windows, f.Blocks, f.Champion, f.Challenger, f.Gain, real(f.Low), real(f.High), real(f.Worse), real(f.Better), f.OnlyChampion, f.OnlyChallenger, f.ForChampion,
		f.ForChallenger, real(f.McNemar)}
}

// besideFacts say how the challenger does on the line.
type besideFacts struct {
	Windows  int      `json:"windows"`
	Assets   int      `json:"assets"`
	Slower   *float64 `json:"slower"`
	Distance *float64 `json:"distance"`
}

// estimate is a loss that is estimated before labels come.
type estimate struct {
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
}

func finite(v float64) bool { return v-v == 0 } //nolint:staticcheck // not for NaN and infinities

// real is a number for JSON: nil where it is not finite.
func real(v float64) *float64 {
	if !finite(v) {
		return nil
	}
	return &v
}

func (c *campaign) entered() time.Time { return time.Unix(0, c.Entered) }

// enter begins a stage.
func (c *campaign) enter(stage string) {
	c.Stage, c.Entered = stage, time.Now().UnixNano()
	c.Asking, c.Next, c.kind, c.counted = "", "", "", time.Time{}
}

// follow begins the stage that follows the one which was passed last.
func (c *campaign) follow() {
	next := map[string]string{event.StageTrigger: event.StageTrain, event.StageTrain: event.StageGate, event.StageGate: event.StageShadow, event.StageShadow: event.StageCanary,
		event.StageCanary: event.StagePromote, event.StagePromote: event.StageWatch}[c.Stage]
	switch {
	case c.Unproven != "" && c.Stage != event.StagePromote:
		next = event.StagePromote
	case c.Stage == event.StageTrigger && c.Challenger != "": // a person brought it
		next = event.StageGate
	case c.Stage == event.StageShadow && c.Paired != nil:
		c.Before = c.Paired.Assets
	}
	c.enter(next)
}

// over tells whether a decision ends its campaign.
func over(d *event.Decision) bool {
	switch d.Verdict {
	case event.DecidedNo, event.DecidedFailed:
		return true
	case event.DecidedGo:
		return d.Stage == event.StageWatch || d.Stage == event.StageRollback
	}
	return false
}

// decided records a decision of a campaign and tells the world. A wait of the same kind is recorded again only when renew has gone by.
func (t *Trainer) decided(ctx context.Context, s *student, verdict, kind, format string, a ...any) {
	const renew = time.Minute
	c := s.campaign
	wait := verdict == event.DecidedWait || verdict == event.DecidedAsk
	if kind = verdict + " " + kind; wait && kind == c.kind && (verdict == event.DecidedAsk || time.Since(c.told) < renew || !c.moved()) {
		return
	}
	c.kind, c.told = kind, time.Now()
	by := who
	if c.By != "" && c.Stage == event.StageTrigger {
		by = c.By
	}
	t.record(ctx, event.Decision{Campaign: c.ID, Pipeline: s.Name, Stage: c.Stage, Verdict: verdict, Reason: fmt.Sprintf(format, a...), Champion: c.Champion, Challenger: c.Challenger,
		Facts: c.facts(), Who: by})
	t.publish(s) // a training or an exam may follow, which takes long and can be stopped
}

// moved reports whether there is something new to tell of a stage that waits.
func (c *campaign) moved() bool {
	n := 0
	for _, p := range []*progress{c.Paired, c.Watched} {
		if p != nil {
			n += p.Numbers - p.told
			p.told = p.Numbers
		}
	}
	return n > 0
}

func (c *campaign) facts() string {
	js, err := json.Marshal(c)
	if err != nil { // numbers are finite, so it is a bug
		panic(fmt.Sprintf("campaign %s: %v", c.ID, err))
	}
	return string(js)
}

// record keeps a decision and hands it on. Where the store is away it is kept here and tried again: the loop does nothing before what it decided is on record.
func (t *Trainer) record(ctx context.Context, d event.Decision) {
	d.Time = time.Now().UnixNano()
	t.metrics.decisions.WithLabelValues(d.Pipeline, d.Stage, d.Verdict).Inc()
	t.log.Info("decided", "pipeline", d.Pipeline, "stage", d.Stage, "verdict", d.Verdict, "reason", d.Reason, "campaign", d.Campaign, "champion", d.Champion, "challenger", d.Challenger)
	if t.means.Log != nil {
		// Also when the appliance is about to stop.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := t.means.Log.WriteDecision(ctx, d); err != nil {
			t.log.Error("record a decision", "pipeline", d.Pipeline, "stage", d.Stage, "error", err)
			t.unwritten(d)
		}
	}
	if t.means.Tell != nil {
		t.means.Tell(d)
	}
}

// maxUnwritten bounds the decisions that the store has not taken.
const maxUnwritten = 1000

func (t *Trainer) unwritten(d event.Decision) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.owed) < maxUnwritten {
		t.owed = append(t.owed, d)
	}
}

// settleUp writes what the store did not take before.
func (t *Trainer) settleUp(ctx context.Context) {
	t.mu.Lock()
	owed := t.owed
	t.owed = nil
	t.mu.Unlock()
	for i, d := range owed {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := t.means.Log.WriteDecision(limited, d)
		cancel()
		if err != nil {
			t.mu.Lock()
			t.owed = append(owed[i:], t.owed...)
			t.mu.Unlock()
			return
		}
	}
}

// resume takes up the campaign that was going on when the last owner ended.
func (t *Trainer) resume(ctx context.Context, s *student) error {
	const back = 200
	past, err := t.means.Log.Decisions(ctx, s.Name, back)
	if err != nil {
		return fmt.Errorf("read the decisions on %s: %w", s.Name, err)
	}
	s.campaign, s.resumed, s.settled = nil, true, map[string]bool{}
	var last *event.Decision
	for i := range past {
		d := &past[i]
		var c campaign
		if d.Campaign == "" || json.Unmarshal([]byte(d.Facts), &c) != nil {
			continue
		}
		for _, id := range c.Alarms {
			s.settled[id] = true
		}
		if c.Champion != "" { // after the first champion there is nothing to cool from
			s.cooling = time.Unix(0, d.Time)
		}
		last = d
		if mv, ok := t.means.Aliases.Marker(s.Name, model.Challenger); ok && mv.To == d.Challenger && d.Time > mv.Time.UnixNano() {
			s.brought = mv.Time
		}
	}
	s.moved = t.lastMove(s)
	if last == nil || over(last) {
		return nil
	}
	var c campaign
	if err := json.Unmarshal([]byte(last.Facts), &c); err != nil || c.ID != last.Campaign {
		return nil // an older version's
	}
	// It ended between a stage and the next. What a person has started, or promoted, is a stage that was passed; what a person has approved is yet to be done.
	if last.Verdict == event.DecidedGo && (last.Who == who || last.Stage == event.StageTrigger || last.Stage == event.StagePromote) {
		c.follow()
	}
	s.campaign, s.cooling = &c, time.Time{}
	if last.Time < s.moved.Time.UnixNano() {
		s.moved.Time = time.Unix(0, last.Time) // what was moved since is a person's
	}
	t.log.Info("the campaign goes on", "pipeline", s.Name, "campaign", c.ID, "stage", c.Stage)
	return nil
}

// lastMove is the move that made the champion what it is.
func (t *Trainer) lastMove(s *student) model.Move {
	mv, _ := t.means.Aliases.Marker(s.Name, model.Champion)
	return mv
}

// start begins a campaign against a champion, "" where there is none. A challenger that a person brings goes to the gate, and none is trained.
func (t *Trainer) start(ctx context.Context, s *student, d Decision, champion, challenger, by string) {
	now := time.Now()
	c := &campaign{ID: s.Name + "-" + now.UTC().Format("20060102T150405.000"), Stage: event.StageTrigger, Trigger: d.Trigger, Why: d.Reason, Alarms: d.Alarms, By: by,
		Champion: champion, Challenger: challenger, Began: now.UnixNano(), Entered: now.UnixNano()}
	t.mu.Lock()
	for _, a := range s.alarms {
		if !slices.Contains(d.Alarms, a.ID) {
			continue
		}
		if a.Since > 0 && (c.Since == 0 || a.Since < c.Since) {
			c.Since = a.Since
		}
		if a.Kind == event.AlarmEstimated && finite(a.Loss) {
			c.Estimated = &estimate{a.Metric, a.Loss}
		}
	}
	t.mu.Unlock()
	t.settle(s, d.Alarms)
	s.campaign, s.told = c, ""
	t.metrics.campaign.WithLabelValues(s.Name).Set(1)
	t.decided(ctx, s, event.DecidedGo, d.Trigger, "%s", d.Reason)
	c.follow()
}

// end ends a campaign with a decision; the aliases that it has moved, but for the champion, are cleared.
func (t *Trainer) end(ctx context.Context, s *student, verdict, kind, format string, a ...any) {
	t.clear(s, s.campaign, fmt.Sprintf(format, a...))
	t.decided(ctx, s, verdict, kind, format, a...)
	t.ended(s)
}

func (t *Trainer) ended(s *student) {
	s.campaign, s.cooling = nil, time.Now()
	t.metrics.campaign.WithLabelValues(s.Name).Set(0)
}

// advance does the campaign's next step.
func (t *Trainer) advance(ctx context.Context, s *student) {
	switch s.campaign.Stage {
	case event.StageTrain:
		t.make(ctx, s)
	case event.StageGate:
		t.judge(ctx, s)
	case event.StageShadow:
		t.beside(ctx, s)
	case event.StageCanary:
		t.canary(ctx, s)
	case event.StagePromote:
		t.promote(ctx, s)
	case event.StageWatch:
		t.watch(ctx, s)
	}
}

// clear lets the aliases go that point at the campaign's models for its sake.
func (t *Trainer) clear(s *student, c *campaign, why string) {
	for _, a := range []model.Alias{model.Canary, model.Shadow, model.Challenger} {
		mv, ok := t.means.Aliases.Marker(s.Name, a)
		ours := mv.To == c.Challenger || mv.To == c.Champion || slices.ContainsFunc(c.Candidates, func(o candidate) bool { return o.Version == mv.To })
		if !ok || mv.To == "" || mv.Who != who && a != model.Challenger || !ours {
			continue
		}
		if err := t.means.Aliases.Clear(s.Name, a, who, why); err != nil {
			t.log.Error("clear an alias", "pipeline", s.Name, "alias", a, "error", err)
		}
	}
}
