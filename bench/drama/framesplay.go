package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"andon/event"
	"andon/model/onnx"
)

const (
	framesPipeline = "counters"
	// clipBlock is the stretch of a camera's time, in seconds, that is kept together when frames are parted.
	clipBlock = 10
)

// watchers is the play of the cameras: a model that knows the counters by day, lamps that go out, the alarm that names the light, people who say what the cameras show since, the way to a model that sees in
// the dark, and a saboteur.
type watchers struct {
	*stage
	crew *crew
	dark int
}

// playFrames plays it.
func playFrames(ctx context.Context, st *stage) error {
	day, err := develop(ctx, st.dir, "")
	if err != nil {
		return err
	}
	night, err := develop(ctx, st.dir, gloom)
	if err != nil {
		return err
	}
	all, err := readSaid()
	if err != nil {
		return err
	}
	if err := st.open(ctx, framesPipeline, st.framesConfig(len(day[0]))); err != nil {
		return err
	}
	s := &watchers{stage: st}
	if s.crew, err = newCrew(s.house.Kafka, day, night, all); err != nil {
		return err
	}
	defer s.crew.client.Close()
	s.feeder = s.crew.fault
	running, stop := context.WithCancel(ctx)
	defer stop()
	err = s.perform(ctx, s.acts(running)...)
	if err != nil {
		_ = s.errors(context.WithoutCancel(ctx))
	}
	return err
}

// framesConfig is the appliance's configuration: a network of the default's kind that looks at smaller pictures and begins with the champion's parameters, a watch whose piece is a quarter of the clip, and stages of the loop that are as short as the play's clock.
func (p *plan) framesConfig(frames int) string {
	size := "width: 96, height: 54"
	if p.short {
		size = "width: 64, height: 36"
	}
	// A frame a second of each camera. What labels tell of at the begin is the reference, a bit more than a half of the clip: in pieces of a quarter it has some, by which what differs between pieces is known.
	piece := int(float64(frames)/clipRate) * len(counters) / 4
	return fmt.Sprintf(`
libraries: %q
log: {level: INFO}
broker: {topic_bytes: 192MiB}
flush: {interval: 300ms}
evidence: {max_bytes: 256MiB}
truth: {every: 1s}
trainer: {check: 500ms, look: 2s}
pipelines:
  - name: %s
    partitions: 1
    source: {topic: %s}
    vision: {max_age: 0s, newest: false, keep: {every: 1s}}
    model:
      task: classification
      settle: 2s
      warm: true
      epochs: 20
      holdout: 0.25
      scenarios:
        - {name: of, group: "^counter-.$"}
        - {name: class, classes: true, judged: false}   # a model that always says person is never wrong where one is
        - {name: blurred, perturb: {kind: blur}, judged: false}
        - {name: occluded, perturb: {kind: occlusion}, judged: false}
      picture: {labels: [clear, person], normal: clear, %s, min_frames: 100, block: %ds}
    drift: {windows: %d, learn: %d, dwell: 2, false_discovery: 0.2}   # few pieces say little of what is usual between them: no light passes for it, and as much as it fell is a q of 0.1
    loop:
      cooldown: 5s
      fresh: 120
      fallback: refuse
      shadow: {windows: 300, outcomes: 4, patience: 5m}
      canary: {percent: 50, assets: 8, patience: 5m}
      watch: {for: 5m, assets: 16}
`, p.libraries, framesPipeline, framesFrom, size, clipBlock, piece, 4*piece)
}

// acts are the play. The cameras run until running ends.
func (s *watchers) acts(running context.Context) []act {
	next := func(name, stage string, within time.Duration) act {
		return act{name, func(ctx context.Context) error {
			_, err := s.decided(ctx, stage, event.DecidedGo, within)
			return err
		}}
	}
	return []act{
		{"first champion of the cameras", func(ctx context.Context) error {
			steps := len(s.crew.day[0])
			if err := s.crew.history(ctx, steps); err != nil {
				return err
			}
			if err := s.await(ctx, "frames that are stored", 2*time.Minute, func(ctx context.Context) (bool, error) {
				rows, err := s.house.SQL(ctx, "SELECT count() FROM andon.frames WHERE pipeline = '"+s.pipeline+"'")
				return err == nil && len(rows) == 1 && int(number(rows[0][0])) >= steps*len(counters), nil
			}); err != nil {
				return err
			}
			if err := s.crew.tell(ctx, 0, steps); err != nil {
				return err
			}
			for _, stage := range []string{event.StageTrigger, event.StagePromote, event.StageWatch} {
				if _, err := s.decided(ctx, stage, event.DecidedGo, 4*time.Minute); err != nil {
					return err
				}
			}
			return nil
		}},
		{"by day", s.day(running)},
		{"the light falls", s.falls},
		{"people label", func(ctx context.Context) error {
			s.crew.listen(s.dark)
			s.say("people say what the cameras show since")
			d, err := s.decided(ctx, event.StageTrigger, event.DecidedGo, 4*time.Minute)
			if err != nil {
				return err
			}
			var facts struct {
				Trigger string   `json:"trigger"`
				Alarms  []string `json:"alarms"`
			}
			if err := json.Unmarshal(d.Facts, &facts); err != nil {
				return err
			}
			if len(facts.Alarms) == 0 {
				return fmt.Errorf("%w: no alarm started the campaign", errNot)
			}
			s.say("the campaign was started by %s, %d alarms", facts.Trigger, len(facts.Alarms))
			return s.errors(ctx)
		}},
		next("training in the dark", event.StageTrain, 4*time.Minute),
		next("gate of the cameras", event.StageGate, 3*time.Minute),
		next("shadow of the cameras", event.StageShadow, 5*time.Minute),
		next("canary of the cameras", event.StageCanary, 6*time.Minute),
		{"promotion of the cameras", func(ctx context.Context) error {
			d, err := s.decided(ctx, event.StagePromote, event.DecidedGo, time.Minute)
			if err != nil {
				return err
			}
			return s.champions(ctx, d.Challenger)
		}},
		{"it sees in the dark", func(ctx context.Context) error {
			if _, err := s.decided(ctx, event.StageWatch, event.DecidedGo, 6*time.Minute); err != nil {
				return err
			}
			return s.regained(ctx)
		}},
		{"sabotage of the cameras refused", s.sabotage},
		{"frames exactly once", func(ctx context.Context) error {
			said, err := s.house.Command(ctx, "verify")
			if err != nil {
				return err
			}
			s.say("andon verify finds that each of the records of %d partitions was handled exactly once", max(strings.Count(said, "\n"), 1))
			return nil
		}},
	}
}

// day lets the cameras run under the light that the champion knows, until the watch has seen rounds enough to say so; nothing may be started.
func (s *watchers) day(running context.Context) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		go s.crew.run(running)
		const quiet = 6
		if err := s.await(ctx, fmt.Sprintf("%d rounds of the watch", quiet), 4*time.Minute, func(ctx context.Context) (bool, error) {
			rows, err := s.house.SQL(ctx, "SELECT uniqExact(round) FROM andon.drift_findings WHERE pipeline = '"+s.pipeline+"'")
			return err == nil && len(rows) == 1 && number(rows[0][0]) >= quiet, nil
		}); err != nil {
			return err
		}
		if all, err := s.alarmed(ctx); err != nil || len(all) > 0 {
			return firstError(err, fmt.Errorf("%w: an alarm for nothing: %v", errNot, all))
		}
		return s.errors(ctx)
	}
}

// alarm is one as it was raised, or as it grew, with what it names as its causes, the foremost first.
type alarm struct {
	kind, detail string
	causes       []string
}

func (s *watchers) alarmed(ctx context.Context) (all []alarm, err error) {
	rows, err := s.house.SQL(ctx, "SELECT kind, detail, arrayStringConcat(causes.feature, ' ') FROM andon.alarms WHERE pipeline = '"+s.pipeline+"' ORDER BY at")
	for _, r := range rows {
		all = append(all, alarm{fmt.Sprint(r[0]), fmt.Sprint(r[1]), strings.Fields(fmt.Sprint(r[2]))})
	}
	return all, err
}

// light are the features that tell of the light.
var light = []string{"brightness", "red", "blue", "contrast", "saturation"}

// falls lets the light fall, and wants an alarm of the frames that names it: before all else that has a name. What a model's embedding and all features together are says that something has changed, and not what; an alarm may
// begin with those alone, and grows.
func (s *watchers) falls(ctx context.Context) error {
	s.dark = s.crew.fall()
	s.say("from now on a fifth of the light is left")
	var found alarm
	if err := s.await(ctx, "alarm of what the frames are like", 4*time.Minute, func(ctx context.Context) (bool, error) {
		all, err := s.alarmed(ctx)
		if err != nil {
			return false, nil // asked again
		}
		for _, a := range all {
			a.causes = slices.DeleteFunc(a.causes, func(f string) bool { return f == "embedding" || f == "together" })
			if a.kind == event.AlarmInput && len(a.causes) > 0 {
				found = a
				return true, nil
			}
		}
		return false, nil
	}); err != nil {
		return err
	}
	s.say("signal %s: %s; causes %s", found.kind, found.detail, strings.Join(found.causes, ", "))
	if !slices.Contains(light, found.causes[0]) {
		return fmt.Errorf("%w: the light fell, and the alarm names %q", errNot, found.causes)
	}
	return nil
}

// wrong is how often a version was wrong.
type wrong struct {
	dark    bool
	version string
	frames  int
	share   float64
}

func (s *watchers) measured(ctx context.Context) (all []wrong, err error) {
	dark := s.dark
	if dark == 0 {
		dark = 1 << 40
	}
	rows, err := s.house.SQL(ctx, fmt.Sprintf(`SELECT dark, version, count(), avg(label != truth) FROM (SELECT sequence >= %d AS dark, version, label, scored_at, %s FROM andon.frames
		WHERE pipeline = '%s' AND status = 'scored') WHERE truth != '' GROUP BY dark, version ORDER BY min(scored_at)`, dark, s.crew.truthSQL(), s.pipeline))
	for _, r := range rows {
		all = append(all, wrong{number(r[0]) == 1, fmt.Sprint(r[1]), int(number(r[2])), number(r[3])})
	}
	return all, err
}

// errors tells how right the versions were, by what is known of the clip.
func (s *watchers) errors(ctx context.Context) error {
	all, err := s.measured(ctx)
	for _, w := range all {
		when := "by day"
		if w.dark {
			when = "in the dark"
		}
		s.say("%s %s: wrong on %.1f %% of %d frames", w.version, when, 100*w.share, w.frames)
	}
	return err
}

// regained holds the new champion to the old one, in the dark.
func (s *watchers) regained(ctx context.Context) error {
	if err := s.errors(ctx); err != nil {
		return err
	}
	all, err := s.measured(ctx)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(w wrong) bool { return !w.dark })
	if len(all) < 2 {
		return fmt.Errorf("%w: one version alone has seen the dark", errNot)
	}
	stale, young := all[0], all[len(all)-1]
	if !(young.share < stale.share/2) {
		return fmt.Errorf("%w: it is wrong on %.1f %% in the dark, and the old one was on %.1f %%", errNot, 100*young.share, 100*stale.share)
	}
	s.say("in the dark the share of wrong frames went from %.1f %% to %.1f %%", 100*stale.share, 100*young.share)
	return nil
}

// sabotage brings a model that says of every frame that somebody is there.
func (s *watchers) sabotage(ctx context.Context) error {
	before, err := s.house.Champion(ctx, s.pipeline)
	if err != nil {
		return err
	}
	file, spec := filepath.Join(s.dir, "sabotage.onnx"), filepath.Join(s.dir, "sabotage.yaml")
	g := onnx.NewGraph("sabotage")
	x := g.Input("x", onnx.Float, append([]onnx.Dim{{Name: "n"}}, onnx.Fixed(3, 72, 128)...)...)
	nothing := g.Op("Mul", []string{x, g.Floats("nothing", []int{1}, []float32{0})})
	column := g.Op("Unsqueeze", []string{g.Op("ReduceSum", []string{nothing, g.Ints("axes", 1, 2, 3)}, onnx.Int("keepdims", 0)), g.Ints("last", 1)})
	g.Node("Add", []string{g.Op("Concat", []string{column, column}, onnx.Int("axis", 1)), g.Floats("always", []int{2}, []float32{0.1, 0.9})}, []string{"said"})
	g.Output("said", onnx.Float, onnx.Dim{Name: "n"}, onnx.Dim{Size: 2})
	if err := os.WriteFile(file, g.Model(), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(spec, []byte("name: sabotage\ntask: classification\npicture: {labels: [clear, person], normal: clear, form: probabilities}\n"), 0o644); err != nil {
		return err
	}
	version, err := s.house.Command(ctx, "model", "push", file, "--pipeline", s.pipeline, "--spec", spec, "--alias", "challenger", "--who", "saboteur", "--why", "trust me")
	if err != nil {
		return err
	}
	s.say("model %s is pushed as challenger", version)
	if _, err := s.decided(ctx, event.StageTrigger, event.DecidedGo, time.Minute); err != nil {
		return err
	}
	d, err := s.decided(ctx, event.StageGate, event.DecidedNo, 3*time.Minute)
	if err != nil {
		return err
	}
	if d.Challenger != version {
		return fmt.Errorf("%w: the gate refused %s, and %s was sabotaged", errNot, d.Challenger, version)
	}
	return s.champions(ctx, before)
}
