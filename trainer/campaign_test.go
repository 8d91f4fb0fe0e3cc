package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
	"andon/model/ort/orttest"
	"andon/trainer/gate"
)

// plant is a line with a loop: a real registry and trainer, on a store, outcomes and examinations that the test makes, in a bubble of virtual time.
type plant struct {
	t        *testing.T
	pipeline Pipeline
	store    *warehouse
	models   *model.Registry
	rng      *rand.Rand
	tr       *Trainer
	stop     func()
	cancel   context.CancelFunc
	// written is called with each decision that the store has taken.
	written func(event.Decision)

	mu        sync.Mutex
	decisions []event.Decision
	outcomes  []event.Outcome
	windows   int // that each version has scored
	failures  float64
	gain      float64   // of the challenger, in the exam
	gains     []float64 // of several, by their order
	golden    [][]gate.Case
	assets    int // in the exam
	cost      float64
	broken    error // of a first run
	slow      float64
	away      bool // the store takes no decisions
	recent    int  // of the fresh, what speaks of the time since an alarm's begin
}

func newPlant(t *testing.T) *plant {
	orttest.Open(t)
	p := &plant{t: t, pipeline: pumps(), store: &warehouse{}, rng: rand.New(rand.NewPCG(1, 1)), windows: 1000, gain: .1, assets: 20, cost: 1, slow: 1}
	p.pipeline.Spec.Epochs = 1
	p.pipeline.Loop = DefaultLoop()
	l := &p.pipeline.Loop
	l.Shadow.Patience, l.Canary.Patience, l.Watch.For = 10*time.Minute, time.Hour, 30*time.Minute
	var err error
	if p.models, err = model.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	return p
}

// run starts a trainer, as an appliance does at a start.
func (p *plant) run() {
	c := Default()
	c.Look = time.Second
	tr := New(c, []Pipeline{p.pipeline}, p.store, p.models, func(event.Training) {}, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry())
	tr.Lead(Means{
		Aliases: p.models,
		Log:     p,
		Try: func(context.Context, *model.Model) (map[string]float64, error) {
			return map[string]float64{"trial_load_seconds": .01}, p.broken
		},
		Examine: func(_ context.Context, _ *Pipeline, _ *model.Model, challengers []*model.Model) (exams []Exam, err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			for i := range challengers {
				gain := p.gain
				if len(p.gains) > 0 {
					gain = p.gains[i]
				}
				s := gate.Slice{Name: "all"}
				for range p.assets {
					s.Blocks = append(s.Blocks, gate.Block{N: 10, Champion: 10 * (.3 + p.rng.Float64()*.02), Challenger: 10 * (.3 - gain + p.rng.Float64()*.02)})
				}
				e := Exam{Overall: s, Slices: []gate.Slice{{Name: "half", Blocks: s.Blocks[:p.assets/2]}}, Cost: p.cost}
				if len(p.golden) > 0 {
					e.Golden = p.golden[i]
				}
				exams = append(exams, e)
			}
			return exams, nil
		},
		Mature: func(_ context.Context, _ string, versions []string, since int64) (out []event.Outcome, next int64, err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			for next = since; len(p.outcomes) > 0 && len(out) < 50; {
				i := slices.IndexFunc(p.outcomes, func(o event.Outcome) bool { return o.Settled > next })
				if i < 0 {
					break
				}
				next = p.outcomes[i].Settled
				for ; i < len(p.outcomes) && p.outcomes[i].Settled == next; i++ {
					if slices.Contains(versions, p.outcomes[i].Version) {
						out = append(out, p.outcomes[i])
					}
				}
			}
			return out, next, nil
		},
		Service: func(_ context.Context, _, version string, _ time.Time) (Service, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			s := Service{Windows: p.windows, Assets: 10, Compute: 1000}
			if live := p.models.Live("pumps"); live != nil && version != live.Version {
				s.Compute *= p.slow
			}
			return s, nil
		},
		Fresh: func(_ context.Context, _ *Pipeline, _ time.Time, since int64) (int, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if since > 0 {
				return p.recent, nil
			}
			return 10, nil
		},
		Failures: func(string) float64 {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.failures
		},
	})
	p.models.OnChange(tr.Moved)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- tr.Run(ctx) }()
	p.cancel = cancel
	p.tr, p.stop = tr, sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	})
}

func (p *plant) WriteDecision(_ context.Context, d event.Decision) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return errors.New("away")
	}
	p.decisions = append(p.decisions, d)
	if p.written != nil {
		p.written(d)
	}
	return nil
}

func (p *plant) Decisions(_ context.Context, _ string, limit int) ([]event.Decision, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return nil, errors.New("away")
	}
	return slices.Clone(p.decisions[max(len(p.decisions)-limit, 0):]), nil
}

// change does something under the lock.
func (p *plant) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// first brings the first champion.
func (p *plant) first() string {
	fill(p.store, 8)
	p.run()
	after(10 * time.Second)
	m := p.models.Live("pumps")
	if m == nil {
		p.t.Fatalf("no champion: %+v", p.decisions)
	}
	return m.Version
}

// fresh lets further pumps fail, so that there is something new to learn.
func (p *plant) fresh() {
	for i := range 4 {
		asset := fmt.Sprintf("fresh-%d", i)
		rows := wear(uint64(100+i), 60, 3000*hour)
		p.store.put(asset, rows)
		p.store.fail(asset, rows[len(rows)-1].Time)
	}
}

// fail lets n assets fail: both versions' windows of each are settled, the challenger's loss being less by the gain, give or take.
func (p *plant) fail(n int, champion, challenger string, gain float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range n {
		asset := fmt.Sprintf("asset-%d", len(p.outcomes))
		luck := p.rng.NormFloat64() * .05
		at := time.Now().UnixNano() + int64(len(p.outcomes))
		for i := range 5 {
			loss := .4 + p.rng.Float64()*.1
			o := event.Outcome{Pipeline: "pumps", Asset: asset, End: int64(i) * hour, Truth: float64(4 - i), Version: champion, Loss: loss, Settled: at}
			p.outcomes = append(p.outcomes, o)
			o.Version, o.Loss = challenger, min(max(loss-gain+luck, 0), 1)
			p.outcomes = append(p.outcomes, o)
		}
	}
}

func (p *plant) drift(id string) {
	p.tr.Notify(event.Alarm{ID: id, Pipeline: "pumps", Kind: event.AlarmInput, Version: p.models.Live("pumps").Version, Detail: "vibration drifts"})
	after(2 * time.Second)
}

// story is what was decided since the last call, without the waits: "stage verdict".
func (p *plant) story(from int) (story []string, next int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.decisions[from:] {
		if d.Verdict != event.DecidedWait {
			story = append(story, d.Stage+" "+d.Verdict)
		}
	}
	return story, len(p.decisions)
}

func (p *plant) last() event.Decision {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.decisions[len(p.decisions)-1]
}

func (p *plant) expect(from int, want ...string) int {
	p.t.Helper()
	story, next := p.story(from)
	if !slices.Equal(story, want) {
		var all []string
		for _, d := range p.decisions[from:] {
			all = append(all, fmt.Sprintf("%s %s by %s: %s", d.Stage, d.Verdict, d.Who, d.Reason))
		}
		p.t.Fatalf("decided\n%q, want\n%q\n%s", story, want, strings.Join(all, "\n"))
	}
	return next
}

func (p *plant) alias(a model.Alias) string {
	mv, _ := p.models.Marker("pumps", a)
	return mv.To
}

func (p *plant) aliases(want string) {
	p.t.Helper()
	var got []string
	for _, a := range []model.Alias{model.Champion, model.Challenger, model.Shadow, model.Canary} {
		if v := p.alias(a); v != "" {
			got = append(got, string(a))
		}
	}
	if strings.Join(got, " ") != want {
		p.t.Fatalf("aliases %q, want %q", got, want)
	}
}

// From an alarm to a proven better model: every step, once.
func TestCampaign(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t)
		old := p.first()
		defer func() { p.stop() }()
		n := p.expect(0, "trigger go", "promote go", "watch go")
		p.fresh()
		p.drift("a1")
		n = p.expect(n, "trigger go", "train go", "gate go")
		p.aliases("champion challenger shadow")
		young := p.alias(model.Challenger)
		if young == old || p.alias(model.Shadow) != young || p.alias(model.Champion) != old {
			t.Fatal("the aliases are not as in a shadow")
		}
		p.fail(5, old, young, .15)
		after(5 * time.Second)
		n = p.expect(n, "shadow go")
		p.aliases("champion challenger shadow canary")
		if _, percent := p.models.Canary("pumps"); percent != 20 {
			t.Errorf("a canary of %v %%", percent)
		}
		p.fail(10, old, young, .15)
		after(5 * time.Second)
		p.expect(n) // ten are not yet proof
		p.fail(150, old, young, .15)
		after(10 * time.Second)
		n = p.expect(n, "canary go", "promote go")
		p.aliases("champion shadow")
		if p.alias(model.Champion) != young || p.alias(model.Shadow) != old {
			t.Fatal("the old champion is not warm")
		}
		p.fail(150, old, young, .15)
		after(10 * time.Second)
		n = p.expect(n, "watch go")
		p.aliases("champion")
		d := p.last()
		var facts campaign
		if err := json.Unmarshal([]byte(d.Facts), &facts); err != nil || facts.Watched.Low <= 0 || facts.Watched.Assets < 16 || facts.Paired.Low <= 0 || len(facts.Gate.Findings) != 2 ||
			facts.Trigger != event.AlarmInput || d.Campaign != facts.ID {
			t.Errorf("%+v, %v", d, err)
		}
		// The same alarm, told again, was answered; a new one waits for the cooldown, and that is told once.
		p.drift("a1")
		after(time.Minute)
		p.expect(n)
		p.drift("a2")
		after(10 * time.Minute)
		if d := p.last(); d.Verdict != event.DecidedWait || !strings.Contains(d.Reason, "loop.cooldown") {
			t.Errorf("%+v", d)
		}
		if _, now := p.story(n); now != n+1 {
			t.Errorf("the same wait was told %d times", now-n)
		}
	})
}

// A person stops a campaign in the middle of its training.
func TestStopTraining(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t)
		old := p.first()
		p.fresh()
		p.stop()
		p.run()
		defer func() { p.stop() }()
		after(time.Second)
		p.tr.turns <- struct{}{} // another pipeline trains
		_, n := p.story(0)
		p.drift("a1")
		if err := p.tr.Order("pumps", Stop, "anna", "not now"); err != nil {
			t.Fatal(err)
		}
		after(3 * time.Second)
		p.expect(n, "trigger go", "train no")
		if d := p.last(); p.alias(model.Champion) != old || d.Who != "anna" || d.Reason != "stopped by anna: not now" {
			t.Errorf("%+v", d)
		}
		<-p.tr.turns
		p.aliases("champion")
	})
}

// Nothing bad gets anywhere.
func TestRefused(t *testing.T) {
	orttest.Open(t)
	for _, c := range []struct {
		name  string
		plan  func(p *plant)
		says  string
		story []string
	}{
		{"worse in the exam", func(p *plant) { p.gain = -.1 }, "worse in all", []string{"trigger go", "train go", "gate no"}},
		{"no better in the exam", func(p *plant) { p.gain = 0 }, "not shown to be better", []string{"trigger go", "train go", "gate no"}},
		{"cannot be served", func(p *plant) { p.broken = errors.New("not finite") }, "cannot be served: not finite", []string{"trigger go", "train go", "gate no"}},
		{"costs too much", func(p *plant) { p.cost = 5 }, "loop.gate.cost", []string{"trigger go", "train go", "gate no"}},
		{"slow on the line", func(p *plant) { p.slow = 9 }, "loop.shadow.slower", []string{"trigger go", "train go", "gate go", "shadow no"}},
		{"never scores", func(p *plant) { p.windows = 3 }, "loop.shadow.windows", []string{"trigger go", "train go", "gate go", "shadow no"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlant(t)
				old := p.first()
				defer func() { p.stop() }()
				p.fresh()
				_, n := p.story(0)
				p.change(func() { c.plan(p) })
				p.drift("a1")
				after(15 * time.Minute)
				p.expect(n, c.story...)
				p.aliases("champion")
				if d := p.last(); p.alias(model.Champion) != old || !strings.Contains(d.Reason, c.says) {
					t.Errorf("%s: %s", p.alias(model.Champion), d.Reason)
				}
			})
		})
	}
}

// A canary that is worse, or breaks the line, is taken back; one that is neither falls back to what the pipeline says, and says so.
func TestCanary(t *testing.T) {
	orttest.Open(t)
	canary := func(t *testing.T, set func(l *Loop), f func(p *plant, old, young string, n int)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			p := newPlant(t)
			set(&p.pipeline.Loop)
			old := p.first()
			defer func() { p.stop() }()
			p.fresh()
			p.drift("a1")
			_, n := p.story(0)
			young := p.alias(model.Challenger)
			p.fail(5, old, young, 0)
			after(5 * time.Second)
			f(p, old, young, n)
		})
	}
	auto := func(*Loop) {}
	canary(t, auto, func(p *plant, old, young string, n int) {
		p.fail(150, old, young, -.15)
		after(10 * time.Second)
		p.expect(n, "shadow go", "canary no")
		p.aliases("champion")
	})
	canary(t, auto, func(p *plant, _, _ string, n int) {
		p.change(func() { p.failures = 10 })
		after(5 * time.Second)
		p.expect(n, "shadow go", "canary no")
	})
	canary(t, auto, func(p *plant, _, young string, n int) { // the default asks
		after(2 * time.Hour)
		n = p.expect(n, "shadow go", "canary ask")
		if err := p.tr.Order("pumps", Approve, "anna", "it looked fine"); err != nil {
			t.Fatal(err)
		}
		after(5 * time.Second)
		p.expect(n, "canary go", "canary go", "promote go")
		if d := p.last(); !strings.Contains(p.decisionOf("promote").Reason, "by the gate's word alone, by loop.fallback, ask") || !strings.Contains(p.decisionOf("promote").Reason, "approved by anna") {
			p.t.Errorf("%+v", d)
		}
		if p.alias(model.Champion) != young {
			p.t.Error("not promoted")
		}
	})
	canary(t, func(l *Loop) { l.Fallback = FallbackPromote }, func(p *plant, _, _ string, n int) {
		after(2 * time.Hour)
		p.expect(n, "shadow go", "canary go", "promote go", "watch go") // no labels come: not shown to be worse
	})
	canary(t, func(l *Loop) { l.Fallback = FallbackRefuse }, func(p *plant, _, _ string, n int) {
		after(2 * time.Hour)
		p.expect(n, "shadow go", "canary no")
		p.aliases("champion")
	})
	canary(t, func(l *Loop) { l.Approval = ApproveAsk }, func(p *plant, _, _ string, n int) {
		n = p.expect(n, "shadow ask")
		p.aliases("champion challenger shadow")
		if err := p.tr.Order("pumps", Deny, "anna", "not before the holidays"); err != nil {
			t.Fatal(err)
		}
		after(time.Second)
		p.expect(n, "shadow no")
		p.aliases("champion")
		if d := p.last(); d.Who != "anna" || d.Reason != "refused by anna: not before the holidays" {
			p.t.Errorf("%+v", d)
		}
		if err := p.tr.Order("pumps", Stop, "anna", ""); err == nil || !strings.Contains(err.Error(), "none goes on") {
			p.t.Error(err)
		}
	})
	canary(t, auto, func(p *plant, _, _ string, n int) { // a person ends the canary by its alias
		if err := p.models.Clear("pumps", model.Canary, "anna", "line 3 complains"); err != nil {
			t.Fatal(err)
		}
		after(5 * time.Second)
		p.expect(n, "shadow go", "canary no")
		p.aliases("champion")
	})
}

func (p *plant) decisionOf(stage string) event.Decision {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range slices.Backward(p.decisions) {
		if d.Stage == stage {
			return d
		}
	}
	return event.Decision{}
}

// A champion that a person forces is watched, too, and taken back when it is worse; a rollback by hand ends what goes on.
func TestByHand(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t)
		old := p.first()
		defer func() { p.stop() }()
		p.fresh()
		p.change(func() { p.gain = -.1 })
		p.drift("a1")
		n := p.expect(0, "trigger go", "promote go", "watch go", "trigger go", "train go", "gate no")
		young := p.decisionOf("gate").Challenger
		if err := p.models.Promote("pumps", young, "anna", "I know better"); err != nil {
			t.Fatal(err)
		}
		after(3 * time.Second)
		n = p.expect(n, "promote go")
		p.aliases("champion shadow")
		if d := p.decisionOf("promote"); d.Who != "anna" || d.Champion != old || d.Challenger != young {
			t.Errorf("%+v", d)
		}
		p.fail(100, old, young, -.15)
		after(5 * time.Second)
		n = p.expect(n, "rollback go")
		p.aliases("champion")
		if p.alias(model.Champion) != old {
			t.Fatal("not rolled back")
		}
		after(time.Minute)
		p.expect(n) // what the loop did is nobody's hand

		// Once more; this time a person goes back first.
		if err := p.models.Promote("pumps", young, "anna", "once more"); err != nil {
			t.Fatal(err)
		}
		after(3 * time.Second)
		if _, err := p.models.Rollback(context.Background(), "pumps", model.Champion, "otto", "enough"); err != nil {
			t.Fatal(err)
		}
		after(3 * time.Second)
		n = p.expect(n, "promote go", "watch no", "rollback go")
		p.aliases("champion")
		if d := p.last(); d.Who != "otto" {
			t.Errorf("%+v", d)
		}

		// A new champion that breaks the line goes at once.
		if err := p.models.Promote("pumps", young, "anna", "a third time"); err != nil {
			t.Fatal(err)
		}
		after(3 * time.Second)
		p.change(func() { p.failures = 10 })
		after(3 * time.Second)
		n = p.expect(n, "promote go", "rollback go")
		if !strings.Contains(p.last().Reason, "runs of the scorer have failed") {
			t.Error(p.last().Reason)
		}

		// One that a person brings goes through the gate like any other, once.
		if err := p.models.Move(context.Background(), "pumps", model.Challenger, young, "otto", "look again"); err != nil {
			t.Fatal(err)
		}
		after(3 * time.Second)
		n = p.expect(n, "trigger go", "gate no")
		p.aliases("champion")
		after(time.Minute)
		p.expect(n)
		if d := p.decisionOf("trigger"); d.Who != "otto" || !strings.Contains(d.Reason, "look again") {
			t.Errorf("%+v", d)
		}
	})
}

// An appliance that ends anywhere goes on where it was, and none of its steps is told twice.
func TestRestart(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t)
		old := p.first()
		p.fresh()
		defer func() { p.stop() }()
		again := func() {
			p.stop()
			after(time.Minute)
			p.run()
			after(3 * time.Second)
		}
		p.drift("a1")
		again()
		n := p.expect(0, "trigger go", "promote go", "watch go", "trigger go", "train go", "gate go")
		young := p.alias(model.Challenger)
		p.fail(5, old, young, .15)
		after(3 * time.Second)
		again()
		n = p.expect(n, "shadow go")
		p.fail(6, old, young, .15)
		after(3 * time.Second)
		again()
		p.expect(n)
		p.fail(60, old, young, .15)
		after(10 * time.Second)
		n = p.expect(n, "canary go", "promote go")
		again()
		p.expect(n)
		p.stop()
		// While nothing runs here, another replica lets a person promote the old one.
		if err := p.models.Promote("pumps", old, "anna", "by another replica"); err != nil {
			t.Fatal(err)
		}
		p.run()
		after(3 * time.Second)
		p.expect(n, "watch no", "promote go")
		if p.alias(model.Shadow) != young {
			t.Error("what anna promoted is not watched")
		}
	})
}

// The store is away for a while: nothing is lost, and what was decided is written later.
func TestDecisionsAway(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t)
		p.first()
		defer func() { p.stop() }()
		p.fresh()
		_, n := p.story(0)
		p.change(func() { p.away = true })
		p.drift("a1")
		p.expect(n)
		p.change(func() { p.away = false })
		after(3 * time.Second)
		p.expect(n, "trigger go", "train go", "gate go")
	})
}

// A replica that does not lead keeps its hands off, and one that takes over goes on.
func TestOwner(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t)
		p.first()
		p.stop()
		p.fresh()
		_, n := p.story(0)
		p.run()
		defer func() { p.stop() }()
		var mu sync.Mutex
		owner := false
		p.stop()
		p.run()
		p.stop()
		means := p.tr.means
		means.Owner = func() bool {
			mu.Lock()
			defer mu.Unlock()
			return owner
		}
		tr := New(Default(), []Pipeline{p.pipeline}, p.store, p.models, func(event.Training) {}, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry())
		tr.Lead(means)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- tr.Run(ctx) }()
		p.tr, p.stop = tr, func() { cancel(); <-done }
		p.drift("a1")
		after(time.Minute)
		p.expect(n)
		mu.Lock()
		owner = true
		mu.Unlock()
		after(5 * time.Second)
		p.expect(n, "trigger go", "train go", "gate go")
	})
}
