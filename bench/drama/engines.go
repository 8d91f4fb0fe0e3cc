package main

import (
	"context"
	"encoding/json"
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
	// crept is the cycle at which the other conditions came, bad the sabotaged version.
	crept int
	bad   string
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
	s := &engines{stage: st}
	retired := s.retired()
	if s.fleet, err = newFleet(s.house.kafka, s.pace, s.slots, known[retired:], other); err != nil {
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

// config is the appliance's configuration: a small network, and stages of the loop that are as short as the play's clock. All else is the default.
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
      {task: remaining-life, unit: cycles, %s, settle: 2s, holdout: 0.25,
       scenarios: [{name: near the end, left_below: 31}, {name: known, assets: "^(a|retired)-"}, {name: other, assets: "^b-"}]}
    loop:
      cooldown: 5s
      fresh: 64
      fallback: refuse
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
				if _, err := s.decided(ctx, stage, event.DecidedGo, 4*time.Minute); err != nil {
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
			if err := s.await(ctx, "failed engines", 3*time.Minute, func(context.Context) (bool, error) {
				known, _, _, _ := s.fleet.state()
				return known >= s.healthy(), nil
			}); err != nil {
				return err
			}
			all, err := s.house.decisions(ctx, s.pipeline)
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
		{"alarm", func(ctx context.Context) error {
			s.crept = s.fleet.creep()
			s.say("from now on engines under six other conditions (FD002) take the place of those that fail")
			d, err := s.decided(ctx, event.StageTrigger, event.DecidedGo, 6*time.Minute)
			if err != nil {
				return err
			}
			_, other, _, _ := s.fleet.state()
			s.say("%d engines of the other kind had failed by then", other)
			return s.alarms(ctx, d)
		}},
		{"training", func(ctx context.Context) error {
			_, err := s.decided(ctx, event.StageTrain, event.DecidedGo, 4*time.Minute)
			return err
		}},
		{"gate", func(ctx context.Context) error {
			_, err := s.decided(ctx, event.StageGate, event.DecidedGo, 2*time.Minute)
			return err
		}},
		{"shadow", func(ctx context.Context) error {
			_, err := s.decided(ctx, event.StageShadow, event.DecidedGo, 5*time.Minute)
			return err
		}},
		{"canary", func(ctx context.Context) error {
			_, err := s.decided(ctx, event.StageCanary, event.DecidedGo, 6*time.Minute)
			return err
		}},
		{"promotion", func(ctx context.Context) error {
			d, err := s.decided(ctx, event.StagePromote, event.DecidedGo, time.Minute)
			if err != nil {
				return err
			}
			return s.champions(ctx, d.Challenger)
		}},
		{"accuracy regained", func(ctx context.Context) error {
			if _, err := s.decided(ctx, event.StageWatch, event.DecidedGo, 6*time.Minute); err != nil {
				return err
			}
			return s.regained(ctx)
		}},
		{"sabotage refused", s.sabotage},
		{"forced and rolled back", s.force},
		{"exactly once", func(ctx context.Context) error {
			said, err := s.house.command(ctx, "verify")
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
	rows, err := s.house.sql(ctx, lossSQL)
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

// alarms tells which signals were seen, and holds the campaign to the one that it names: an alarm about the champion that is wrong now, begun after the other conditions came.
func (s *engines) alarms(ctx context.Context, d decision) error {
	rows, err := s.house.sql(ctx, "SELECT kind, version, toUnixTimestamp(min(at)), argMin(detail, at), argMin(arrayStringConcat(arraySlice(causes.feature, 1, 3), ', '), at), argMin(arrayElement(causes.assets, 1), at) "+
		"FROM andon.alarms WHERE pipeline = 'engines' GROUP BY id, kind, version ORDER BY min(at)")
	if err != nil {
		return err
	}
	for _, r := range rows {
		at := time.Unix(int64(number(r[2])), 0).UTC()
		s.say("signal %v of %v at %s (cycle %.0f): %v; causes %v; furthest off %v", r[0], r[1], at.Format(time.DateTime), at.Sub(start).Hours(), r[3], r[4], r[5])
	}
	var facts struct {
		Trigger string   `json:"trigger"`
		Alarms  []string `json:"alarms"`
		Since   int64    `json:"since"`
	}
	if err := json.Unmarshal(d.Facts, &facts); err != nil {
		return err
	}
	s.say("the campaign was started by %s, about what began at cycle %.0f; the other conditions came at cycle %d", facts.Trigger, time.Unix(0, facts.Since).Sub(start).Hours(), s.crept)
	if len(facts.Alarms) == 0 {
		return fmt.Errorf("%w: no alarm started the campaign", errNot)
	}
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
