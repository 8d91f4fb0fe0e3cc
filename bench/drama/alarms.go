package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/bench/house"
	"andon/event"
)

// raised is an alarm that was raised, as it stood first.
type raised struct {
	kind, version, metric, detail string
	// since and at are cycles of the fleet, told is the wall clock's.
	since, at float64
	told      time.Time
	// loss is what is lost, before what was to be expected.
	loss, before float64
	features     []string
	assets       [][]string // of each feature, the furthest off
}

// alarmSQL gives each alarm as its first row has it.
const alarmSQL = `SELECT kind, version, toUnixTimestamp64Milli(argMin(since, _stored)), toUnixTimestamp64Milli(argMin(at, _stored)), toUnixTimestamp64Milli(min(_stored)), argMin(metric, _stored),
	toString(argMin(loss, _stored)), toString(argMin(before, _stored)), argMin(detail, _stored), arrayStringConcat(argMin(causes.feature, _stored), ';'), arrayStringConcat(argMin(causes.assets, _stored), ';')
	FROM andon.alarms WHERE pipeline = 'engines' GROUP BY id, kind, version ORDER BY min(_stored)`

func (s *engines) alarms(ctx context.Context) (all []raised, err error) {
	rows, err := s.house.SQL(ctx, alarmSQL)
	if err != nil {
		return nil, err
	}
	cycle := func(ms any) float64 { return time.UnixMilli(int64(number(ms))).Sub(start).Hours() }
	real := func(v any) float64 {
		f, err := strconv.ParseFloat(fmt.Sprint(v), 64)
		if err != nil {
			return math.NaN()
		}
		return f
	}
	for _, r := range rows {
		a := raised{kind: fmt.Sprint(r[0]), version: fmt.Sprint(r[1]), since: cycle(r[2]), at: cycle(r[3]), told: time.UnixMilli(int64(number(r[4]))), metric: fmt.Sprint(r[5]), loss: real(r[6]),
			before: real(r[7]), detail: fmt.Sprint(r[8])}
		if text := fmt.Sprint(r[9]); text != "" {
			a.features = strings.Split(text, ";")
			for _, names := range strings.Split(fmt.Sprint(r[10]), ";") {
				a.assets = append(a.assets, strings.FieldsFunc(names, func(c rune) bool { return c == ',' || c == ' ' }))
			}
		}
		all = append(all, a)
	}
	return all, nil
}

// quiet holds the watch to its peace: nothing has changed yet.
func (s *engines) quiet(ctx context.Context) error {
	all, err := s.alarms(ctx)
	if err == nil && len(all) > 0 {
		err = fmt.Errorf("%w: a false alarm, %s: %s", errNot, all[0].kind, all[0].detail)
	}
	return err
}

// alarm waits for one of a kind about the champion, and holds it to what has changed.
func (s *engines) alarm(ctx context.Context, kind string) (a raised, err error) {
	champion, err := s.house.Champion(ctx, s.pipeline)
	if err != nil {
		return a, err
	}
	err = s.await(ctx, kind+" alarm", s.limit, func(ctx context.Context) (bool, error) {
		all, err := s.alarms(ctx)
		if i := slices.IndexFunc(all, func(o raised) bool { return o.kind == kind }); err == nil && i >= 0 {
			a = all[i]
			return true, nil
		}
		return false, err
	})
	if err != nil {
		return a, err
	}
	s.say("%s of %s told %.1f s after the change, at cycle %.0f (the change came at cycle %d): %s", kind, a.version, a.told.Sub(s.changed).Seconds(), a.at, s.crept, a.detail)
	if a.version != champion {
		return a, fmt.Errorf("%w: the alarm speaks of %s, and the champion is %s", errNot, a.version, champion)
	}
	if a.told.Before(s.changed) {
		return a, fmt.Errorf("%w: it was told %v before anything had changed", errNot, s.changed.Sub(a.told))
	}
	return a, s.named(&a)
}

// named holds an alarm of what the model is fed to the channels that have changed, and to the engines that are to blame: by the recordings, the alarm knows nothing of them.
func (s *engines) named(a *raised) error {
	if a.kind == event.AlarmRealised {
		return s.blamed(a.features, a.assets)
	}
	right := map[string]bool{}
	for i, f := range a.features {
		signal := strings.TrimSuffix(f, " change")
		switch {
		case slices.Contains(s.moved, signal):
			right[signal] = true
			if len(right) <= 3 {
				if err := s.blamed(a.features[i:i+1], a.assets[i:i+1]); err != nil {
					return err
				}
			}
		case slices.Contains(signals, signal), f == "age":
			return fmt.Errorf("%w: the alarm names %s, and that has not changed", errNot, f)
		}
	}
	s.say("it names %d of %d signals that have changed, and none that has not: %s", len(right), len(s.moved), strings.Join(slices.Sorted(keys(right)), ", "))
	if a.kind == event.AlarmInput && 2*len(right) < len(s.moved) {
		return fmt.Errorf("%w: the alarm names %d of the %d signals that have changed (%s)", errNot, len(right), len(s.moved), strings.Join(s.moved, ", "))
	}
	return nil
}

func keys(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// blamed tells which engines are furthest off, and holds the first of each to be of the other kind.
func (s *engines) blamed(features []string, assets [][]string) error {
	for i, names := range assets {
		if len(names) == 0 {
			continue
		}
		s.say("furthest off in %s: %s", features[i], strings.Join(names, ", "))
		if !strings.HasPrefix(names[0], "b-") {
			return fmt.Errorf("%w: of %s the alarm blames %s, which runs under the known conditions", errNot, features[i], names[0])
		}
	}
	return nil
}

// estimate is the act in which the loss is known before labels come.
func (s *engines) estimate(ctx context.Context) (err error) {
	if s.estimated, err = s.alarm(ctx, event.AlarmEstimated); err != nil {
		return err
	}
	if !(s.estimated.loss > s.estimated.before) {
		return fmt.Errorf("%w: the loss is estimated to be %v, of %v before", errNot, s.estimated.loss, s.estimated.before)
	}
	_, other, _, _ := s.fleet.state()
	s.say("estimated without a label: %s %.3g, of %.3g at training; %d engines of the other kind have failed by now", s.estimated.metric, s.estimated.loss, s.estimated.before, other)
	return nil
}

// realise is the act in which labels tell what was estimated, later.
func (s *engines) realise(ctx context.Context) error {
	a, err := s.alarm(ctx, event.AlarmRealised)
	if err != nil {
		return err
	}
	ahead := a.told.Sub(s.estimated.told)
	if ahead <= 0 {
		return fmt.Errorf("%w: labels told of the loss %v before it was estimated", errNot, -ahead)
	}
	s.say("by labels: %s %.3g, of %.3g before; the estimate was %.1f s and %.0f cycles ahead", a.metric, a.loss, a.before, ahead.Seconds(), a.at-s.estimated.at)
	return nil
}

// cause holds the campaign to alarms that began after the change.
func (s *engines) cause(d house.Decision) error {
	var facts struct {
		Trigger string   `json:"trigger"`
		Alarms  []string `json:"alarms"`
		Since   int64    `json:"since"`
	}
	if err := json.Unmarshal(d.Facts, &facts); err != nil {
		return err
	}
	began := time.Unix(0, facts.Since).Sub(start).Hours()
	s.say("the campaign was started by %s (%s), about what began at cycle %.0f; the other conditions came at cycle %d", facts.Trigger, strings.Join(facts.Alarms, ", "), began, s.crept)
	if len(facts.Alarms) == 0 {
		return fmt.Errorf("%w: no alarm started the campaign", errNot)
	}
	if !slices.Contains([]string{event.AlarmInput, event.AlarmPrediction, event.AlarmEstimated, event.AlarmRealised}, facts.Trigger) {
		return fmt.Errorf("%w: %s started the campaign", errNot, facts.Trigger)
	}
	return nil
}

// candidates holds a decision to the two challengers that were asked for, each with its exam once the gate has spoken.
func (s *engines) candidates(d house.Decision, judged bool) error {
	var facts struct {
		Candidates []struct {
			Version string                  `json:"version"`
			Passed  bool                    `json:"passed"`
			Reason  string                  `json:"reason"`
			Overall *struct{ Gain float64 } `json:"overall"`
		} `json:"candidates"`
	}
	if err := json.Unmarshal(d.Facts, &facts); err != nil {
		return err
	}
	if len(facts.Candidates) != 2 {
		return fmt.Errorf("%w: %d candidates, not two", errNot, len(facts.Candidates))
	}
	for _, c := range facts.Candidates {
		if !judged {
			continue
		}
		if c.Overall == nil {
			return fmt.Errorf("%w: candidate %s had no exam: %s", errNot, c.Version, c.Reason)
		}
		s.say("candidate %s: gain %.4g, passed: %v", c.Version, c.Overall.Gain, c.Passed)
	}
	return nil
}

// moved returns the signals that are where the known engines never were in at least an eighth of the others' cycles.
func moved(known, other []*engine) (names []string) {
	value := func(e *engine, row, i int) float64 {
		v, err := strconv.ParseFloat(e.rows[row][i], 64)
		if err != nil {
			return math.NaN()
		}
		return v
	}
	for i, name := range signals {
		low, high := math.Inf(1), math.Inf(-1)
		for _, e := range known {
			for r := range e.rows {
				low, high = min(low, value(e, r, i)), max(high, value(e, r, i))
			}
		}
		out, all := 0, 0
		for _, e := range other {
			for r := range e.rows {
				if all++; value(e, r, i) < low || value(e, r, i) > high {
					out++
				}
			}
		}
		if 8*out >= all {
			names = append(names, name)
		}
	}
	return names
}
