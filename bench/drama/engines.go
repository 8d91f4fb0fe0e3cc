package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"andon/event"
)

// engines is the fleet's play: a model that knows one condition, six others that creep in, the way to a better one, and a saboteur.
type engines struct {
	*stage
	fleet *fleet
	// crept is the cycle at which the other conditions came, and changed the wall clock's time; bad is the sabotaged version.
	crept   int
	changed time.Time
	bad     string
	// moved are the signals that the other conditions take to where the known ones never were, by the recordings.
	moved []string
	// estimated is the alarm that came before labels.
	estimated raised
}

// playEngines plays it.
func playEngines(ctx context.Context, st *stage) error {
	known, other, err := readAll()
	if err != nil {
		return err
	}
	if err := st.open(ctx, pipeline, st.config()); err != nil {
		return err
	}
	s := &engines{stage: st, moved: moved(known, other)}
	retired := s.retired()
	if s.fleet, err = newFleet(s.house.Kafka, s.pace, s.slots, known[retired:], other); err != nil {
		return err
	}
	defer s.fleet.client.Close()
	s.feeder = s.fleet.fault
	running, stop := context.WithCancel(ctx)
	defer stop()
	err = s.perform(ctx, s.acts(running, known[:retired])...)
	if err != nil {
		s.epilogue(ctx)
	}
	return err
}

// retired is how many engines of the known kind have failed before the play begins.
func (p *plan) retired() int {
	if p.short {
		return 40
	}
	return 60
}

// config is the appliance's configuration: a small network, and stages of the loop that are as short as the play's clock; compute decides nothing. All else is the default.
func (p *plan) config() string {
	network := "hidden: 24, layers: 1, epochs: 5"
	if p.short {
		network = "hidden: 16, layers: 1, epochs: 3"
	}
	return fmt.Sprintf(`
libraries: %q
log: {level: INFO}
broker: {partitions: 2, topic_bytes: 128MiB}
flush: {interval: 300ms}
trainer: {check: 500ms, look: 2s}
pipelines:
  - name: %s
    partitions: 2
    source: {topic: %s, signals: [%s]}
    window: {grid: 1h, length: 20, max_gap: 3, smooth: 0.5, baseline: 20, age: true, lateness: 3h, horizon: 720h}
    model:
      {task: remaining-life, unit: cycles, %s, settle: 2s, holdout: 0.25, search: {trials: 2, keep: 2},
       scenarios: [{name: near the end, left_below: 31}, {name: known, assets: "^(a|retired)-"}, {name: other, assets: "^b-"}]}
    loop:
      cooldown: 30m
      fresh: 40
      fallback: refuse
      gate: {cost: 20} # networks as small as these cost so little that what else a machine does weighs more
      shadow: {windows: 300, outcomes: 4, patience: 5m}
      canary: {percent: 30, assets: 8, patience: 5m}
      watch: {for: 5m, assets: 8}
`, p.libraries, pipeline, topic, strings.Join(signals, ", "), network)
}

// acts are the play. The fleet runs until running ends.
func (s *engines) acts(running context.Context, retired []*engine) []act {
	for _, e := range retired {
		e.name = "retired-" + e.name[2:]
	}
	return []act{
		{"first champion", func(ctx context.Context) error {
			if err := s.fleet.history(ctx, retired); err != nil {
				return err
			}
			for _, stage := range []string{event.StageTrigger, event.StagePromote, event.StageWatch} {
				if _, err := s.decided(ctx, stage, event.DecidedGo, s.limit); err != nil {
					return err
				}
			}
			return nil
		}},
		{"healthy fleet", func(ctx context.Context) error {
			if err := s.fleet.age(ctx); err != nil {
				return err
			}
			go s.fleet.run(running)
			if err := s.await(ctx, "failed engines", s.limit, func(context.Context) (bool, error) {
				known, _, _, _ := s.fleet.state()
				return known >= s.healthy(), nil
			}); err != nil {
				return err
			}
			if err := s.quiet(ctx); err != nil {
				return err
			}
			all, err := s.house.Decisions(ctx, s.pipeline)
			if err != nil {
				return err
			}
			for _, d := range all[s.seen:] {
				if d.Verdict == event.DecidedGo {
					return fmt.Errorf("%w: a campaign was started for nothing: %s", errNot, d.Reason)
				}
			}
			return s.losses(ctx)
		}},
		{"drift alarm", func(ctx context.Context) error {
			s.crept, s.changed = s.fleet.creep(), time.Now()
			s.say("from now on engines under six other conditions (FD002) take the place of those that fail")
			_, err := s.alarm(ctx, event.AlarmInput)
			return err
		}},
		{"estimated loss", s.estimate},
		{"realised loss", s.realise},
		{"campaign", func(ctx context.Context) error {
			d, err := s.decided(ctx, event.StageTrigger, event.DecidedGo, s.limit)
			if err != nil {
				return err
			}
			_, other, _, _ := s.fleet.state()
			s.say("%d engines of the other kind have failed by now", other)
			return s.cause(d)
		}},
		{"training", func(ctx context.Context) error {
			d, err := s.decided(ctx, event.StageTrain, event.DecidedGo, s.limit)
			if err != nil {
				return err
			}
			return s.candidates(d, false)
		}},
		{"gate", func(ctx context.Context) error {
			d, err := s.decided(ctx, event.StageGate, event.DecidedGo, s.limit)
			if err != nil {
				return err
			}
			return s.candidates(d, true)
		}},
		{"shadow", func(ctx context.Context) error {
			_, err := s.decided(ctx, event.StageShadow, event.DecidedGo, s.limit)
			return err
		}},
		{"canary", func(ctx context.Context) error {
			_, err := s.decided(ctx, event.StageCanary, event.DecidedGo, s.limit)
			return err
		}},
		{"promotion", func(ctx context.Context) error {
			d, err := s.decided(ctx, event.StagePromote, event.DecidedGo, s.limit)
			if err != nil {
				return err
			}
			return s.champions(ctx, d.Challenger)
		}},
		{"accuracy regained", func(ctx context.Context) error {
			if _, err := s.decided(ctx, event.StageWatch, event.DecidedGo, s.limit); err != nil {
				return err
			}
			return s.regained(ctx)
		}},
		{"sabotage refused", s.sabotage},
		{"forced and rolled back", s.force},
		{"exactly once", func(ctx context.Context) error {
			said, err := s.house.Command(ctx, "verify")
			if err != nil {
				return err
			}
			s.say("andon verify finds that each of the records of %d partitions was handled exactly once", max(strings.Count(said, "\n"), 1))
			return nil
		}},
	}
}

// healthy is how many engines of the known kind fail before the others come.
func (s *engines) healthy() int {
	if s.short {
		return 6
	}
	return 12
}

// lossSQL is the mean loss of what counted: of windows whose engine has failed since, by kind of engine and version.
const lossSQL = `SELECT startsWith(asset, 'b-') AS other, version, count() AS windows, uniqExact(asset) AS engines,
	avg(abs(least(greatest(value, 0), 125) - least(125., toFloat64(dateDiff('hour', end - INTERVAL 1 HOUR, failed))))) / 125 AS loss, min(scored_at) AS since
	FROM (SELECT asset, end, value, version, scored_at FROM andon.scores WHERE pipeline = 'engines') AS s
	INNER JOIN (SELECT asset, max(time) AS failed FROM andon.labels WHERE pipeline = 'engines' AND label = 'failure' GROUP BY asset) AS l USING (asset)
	GROUP BY other, version ORDER BY since`

type loss struct {
	other            bool
	version          string
	windows, engines int
	loss             float64
}

func (s *engines) measured(ctx context.Context) (all []loss, err error) {
	rows, err := s.house.SQL(ctx, lossSQL)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		all = append(all, loss{number(r[0]) == 1, fmt.Sprint(r[1]), int(number(r[2])), int(number(r[3])), number(r[4])})
	}
	return all, nil
}

func number(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case string:
		var f float64
		_, _ = fmt.Sscan(v, &f)
		return f
	case bool:
		if v {
			return 1
		}
	}
	return 0
}

// losses tells how right the versions were, by what the feeder knows to be true.
func (s *engines) losses(ctx context.Context) error {
	all, err := s.measured(ctx)
	for _, l := range all {
		kind := "known conditions"
		if l.other {
			kind = "other conditions"
		}
		s.say("%s under %s: mean error %.1f cycles (%d windows of %d engines)", l.version, kind, l.loss*125, l.windows, l.engines)
	}
	return err
}

// regained holds the new champion to the old one, under the other conditions.
func (s *engines) regained(ctx context.Context) error {
	if err := s.losses(ctx); err != nil {
		return err
	}
	all, err := s.measured(ctx)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(l loss) bool { return !l.other })
	if len(all) < 2 {
		return fmt.Errorf("%w: one version alone has scored engines under the other conditions", errNot)
	}
	stale, young := all[0], all[len(all)-1]
	if !(young.loss < .75*stale.loss) {
		return fmt.Errorf("%w: the error went from %.1f cycles to %.1f only", errNot, stale.loss*125, young.loss*125)
	}
	s.say("the error went from %.1f cycles to %.1f", stale.loss*125, young.loss*125)
	return nil
}

// epilogue tells what is known of the fleet when an act went wrong.
func (s *engines) epilogue(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	known, other, left, err := s.fleet.state()
	s.say("failed engines: %d of the known kind, %d of the other, %d are left; %v", known, other, left, err)
	_ = s.losses(ctx)
}
