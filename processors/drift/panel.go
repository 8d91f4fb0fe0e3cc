package drift

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"andon/event"
)

// Panel decides over all partitions of all pipelines what counts as a change. It takes sketches in the order of their topic and asks no clock: the same sketches lead to the same rounds and alarms. It
// is not safe for concurrent use.
//
// A round is one piece of each partition that has one; it ends when all partitions of the round before have theirs, or when one is ahead by a piece. In it every feature of every group, and
// of the fleet, which is all groups together, is held against its reference. A feature has changed where the test says so after correction for false discoveries, as many distances
// as agree says are beyond their limits, and that for dwell rounds in a row.
type Panel struct {
	config func(pipeline string) (Config, bool)
	lines  map[string]*panelLine // by pipeline and version
	// rounds counts those of a pipeline, so that versions that are gone can be told.
	rounds map[string]int64
	// told are marks of the newest sketches, by partition.
	told map[string][]string
}

// panelLine is one version of one pipeline. Its exported fields are its state.
type panelLine struct {
	Pipeline, Version, Reference string
	// Apart is as in event.Sketch; such a line has no fleet.
	Apart string `json:",omitempty"`
	// Number counts its rounds, Seen is the pipeline's count at the last.
	Number, Seen int64
	// Until is the event time of its newest window, Span that of its longest piece: a canary of few assets takes long for one.
	Until, Span int64
	// Pieces are of the round that is not over, by partition; Before names the partitions of the one before.
	Pieces map[string]*piece
	Before []string
	// Streaks are of features, by group and name, that are changed now.
	Streaks map[string]streak
	Alarms  map[string]*standing // by kind
	// Trends are ADWIN's states of the fleet's features, by name.
	Trends map[string]*trend

	Last event.Position
}

type piece struct {
	Number   int64
	Complete bool
	Sketches []event.Sketch
}

type streak struct {
	Rounds int
	Since  int64
	// Quiet counts rounds without it.
	Quiet int
}

// standing is one kind of alarm.
type standing struct {
	Alarm *event.Alarm `json:",omitempty"`
	// Known tells that the alarm's losses are: NaN is no JSON.
	Known  bool
	Quiet  int
	Cool   int
	Causes []string // that were told
}

// trend follows the place and the spread of a feature over rounds.
type trend struct {
	Place, Spread []byte
	// Left is for how many rounds a change that was found still counts.
	Left int

	place, spread *ADWIN
}

// gone is after how many rounds of the pipeline's other versions, and as many times as long as a piece of its own, a version is taken for gone.
const gone = 3

// NewPanel makes a panel; config tells a pipeline's settings, false for one that is not watched.
func NewPanel(config func(pipeline string) (Config, bool)) *Panel {
	return &Panel{config: config, lines: map[string]*panelLine{}, rounds: map[string]int64{}, told: map[string][]string{}}
}

// mostTold are as many sketches as a partition's block may have: 64 groups, twice.
const mostTold = 128

// Twice tells whether a sketch came before, and remembers it: a line that is killed between telling a block's sketches and its commit tells them again, and at times some of them only.
func (p *Panel) Twice(s *event.Sketch) bool {
	from := fmt.Sprintf("%s %s/%d", s.Pipeline, s.Topic, s.Partition)
	mark := fmt.Sprintf("%d %d %s %s", s.Offset, s.Piece, s.Version, s.Group)
	told := p.told[from]
	if slices.Contains(told, mark) {
		return true
	}
	if told = append(told, mark); len(told) > mostTold {
		told = slices.Delete(told, 0, len(told)-mostTold)
	}
	p.told[from] = told
	return false
}

// Add takes the next sketch, and returns the rounds that end by it, and the alarms that begin, grow or end.
func (p *Panel) Add(s *event.Sketch) (rounds []event.Round, alarms []event.Alarm) {
	c, ok := p.config(s.Pipeline)
	if !ok || !c.Enabled {
		return nil, nil
	}
	key := lineKey(s.Pipeline, s.Version, s.Apart)
	l := p.lines[key]
	if l == nil {
		l = &panelLine{Pipeline: s.Pipeline, Version: s.Version, Apart: s.Apart, Pieces: map[string]*piece{}, Streaks: map[string]streak{}, Alarms: map[string]*standing{}, Trends: map[string]*trend{},
			Seen: p.rounds[s.Pipeline]}
		p.lines[key] = l
	}
	l.Reference, l.Last = s.Reference, s.Position
	l.Until, l.Span = max(l.Until, s.End), max(l.Span, s.End-s.Start)
	from := fmt.Sprintf("%s/%d", s.Topic, s.Partition)
	end := func() {
		r, a := p.end(l, &c)
		rounds, alarms = append(rounds, r), append(alarms, a...)
	}
	if old := l.Pieces[from]; old != nil && (old.Number != s.Piece || old.Complete) {
		end()
	}
	at := l.Pieces[from]
	if at == nil {
		at = &piece{Number: s.Piece}
		l.Pieces[from] = at
	}
	at.Sketches = append(at.Sketches, *s)
	at.Complete = s.Last
	if s.Last && len(l.Before) > 0 && !slices.ContainsFunc(l.Before, func(other string) bool { return l.Pieces[other] == nil || !l.Pieces[other].Complete }) {
		end()
	}
	return rounds, alarms
}

// number returns that of a line's next round; those of one version, and of what is apart in it, are told apart by their numbers.
func (p *Panel) number(l *panelLine) int64 {
	n := l.Number
	for _, o := range p.lines {
		if o.Pipeline == l.Pipeline && o.Version == l.Version {
			n = max(n, o.Number)
		}
	}
	return n + 1
}

func lineKey(pipeline, version, apart string) string {
	if apart == "" {
		return pipeline + "\x00" + version
	}
	return pipeline + "\x00" + version + "\x00" + apart
}

// end ends a round of a line.
func (p *Panel) end(l *panelLine, c *Config) (event.Round, []event.Alarm) {
	p.rounds[l.Pipeline]++
	l.Number = p.number(l)
	l.Seen = p.rounds[l.Pipeline]
	groups := map[string]*event.Sketch{}
	fleet, whole := event.Sketch{Group: Fleet}, event.Sketch{Group: Fleet}
	l.Before = slices.Sorted(maps.Keys(l.Pieces))
	for _, from := range l.Before {
		for i := range l.Pieces[from].Sketches {
			s := &l.Pieces[from].Sketches[i]
			Add(&whole, s)
			if !s.Stranger { // what it differs by from the reference's is not what the others have come to
				Add(&fleet, s)
			}
			if s.Group == Fleet {
				continue // those of no group are looked at in the fleet
			}
			g := groups[s.Group]
			if g == nil {
				g = &event.Sketch{Group: s.Group}
				groups[s.Group] = g
			}
			Add(g, s)
		}
	}
	clear(l.Pieces)
	r := event.Round{Position: l.Last, Pipeline: l.Pipeline, Version: l.Version, Reference: l.Reference, Number: l.Number, Start: whole.Start, End: whole.End, Windows: whole.Windows}
	if l.Apart == "" {
		r.Findings = Compare(&fleet)
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		r.Findings = append(r.Findings, Compare(groups[name])...)
	}
	r.Estimates = Estimates(&whole)
	if r.Windows < c.Windows/2 { // a piece that another model cut short says too little
		if l.Apart != "" {
			r.Estimates = nil
		}
		return r, nil
	}
	l.judge(&r, c)
	var alarms []event.Alarm
	alarms = append(alarms, l.decide(event.AlarmInput, &r, c, func(f *Finding) bool { return f.Role == event.RoleInput || f.Role == event.RoleTogether })...)
	alarms = append(alarms, l.decide(event.AlarmPrediction, &r, c, func(f *Finding) bool { return f.Role == event.RolePrediction })...)
	alarms = append(alarms, l.decide(event.AlarmEstimated, &r, c, func(f *Finding) bool { return f.Role == event.RoleLoss })...)
	alarms = append(alarms, p.retire(l, &r)...)
	if l.Apart != "" { // its frames are part of another round's estimates
		r.Estimates = nil
	}
	return r, alarms
}

// judge says of each finding whether it counts.
func (l *panelLine) judge(r *event.Round, c *Config) {
	families := map[string][]*Finding{}
	for i := range r.Findings {
		f := &r.Findings[i]
		family := f.Role
		if family == event.RoleTogether {
			family = event.RoleInput
		}
		families[family] = append(families[family], f)
	}
	for _, all := range families {
		falseDiscovery(all)
	}
	now := map[string]bool{}
	for i := range r.Findings {
		f := &r.Findings[i]
		for _, beyond := range []bool{f.KS >= c.Limits.KS, f.PSI >= c.Limits.PSI, f.JS >= c.Limits.JS, math.Abs(f.Place) >= c.Limits.Place} {
			if beyond {
				f.Votes++
			}
		}
		trending := f.Group == Fleet && f.Role != event.RoleLoss && l.follow(f, c)
		switch {
		case f.Role == event.RoleLoss:
			// Upward only.
			f.Drifted = f.Q <= c.FalseDiscovery && f.Now > f.Before*(1+c.Loss)
		case trending && f.Votes >= c.Agree: // the reference's own noise hides what the line has seen to begin
			f.Drifted, f.Measure = true, string(KindADWIN)
		default:
			alone := f.Measure == MeasureMissing && math.Abs(f.Missing) >= c.Limits.Place || f.Measure == MeasureMMD && f.Size >= c.Limits.MMD
			f.Drifted = f.Q <= c.FalseDiscovery && (f.Votes >= c.Agree || alone)
		}
		if !f.Drifted {
			continue
		}
		key := f.Group + "\x00" + f.Feature
		now[key] = true
		s := l.Streaks[key]
		if s.Rounds == 0 {
			s.Since = r.Start
		}
		s.Rounds++
		s.Quiet = 0
		l.Streaks[key] = s
		f.Streak = s.Rounds
	}
	for key, s := range l.Streaks {
		if now[key] {
			continue
		}
		if s.Quiet++; s.Rounds < c.Dwell || s.Quiet >= c.Dwell {
			delete(l.Streaks, key)
			continue
		}
		l.Streaks[key] = s
	}
}

// follow gives a feature's place and spread to ADWIN, which finds a change of the line itself, and tells whether it did of late.
func (l *panelLine) follow(f *Finding, c *Config) bool {
	t := l.Trends[f.Feature]
	if t == nil {
		t = newTrend()
		l.Trends[f.Feature] = t
	}
	// Ranks less one half have a mean square of a twelfth.
	if place, spread := t.place.Update(f.Place+.5), t.spread.Update(4*(f.Spread+1./12)); place || spread {
		t.Left = c.Dwell + 1
	}
	if t.Left == 0 {
		return false
	}
	t.Left--
	return true
}

func newTrend() *trend {
	s := DefaultADWIN()
	s.Clock, s.MinWindow, s.Grace = 1, 3, 8 // its numbers are rounds, of hundreds of windows each
	return &trend{place: NewADWIN(s), spread: NewADWIN(s)}
}

// decide raises, changes or ends the alarm of one kind.
func (l *panelLine) decide(kind string, r *event.Round, c *Config, of func(*Finding) bool) []event.Alarm {
	st := l.Alarms[kind]
	if st == nil {
		st = &standing{}
		l.Alarms[kind] = st
	}
	var causes []event.Cause
	since, settled := int64(math.MaxInt64), false
	for i := range r.Findings {
		f := &r.Findings[i]
		if !of(f) || f.Streak == 0 {
			continue
		}
		causes = append(causes, causeOf(f))
		since = min(since, l.Streaks[f.Group+"\x00"+f.Feature].Since)
		settled = settled || f.Streak >= c.Dwell
	}
	if kind == event.AlarmEstimated && len(causes) > 0 {
		for i := range r.Findings {
			if f := &r.Findings[i]; f.Streak > 0 && f.Role != event.RoleLoss {
				causes = append(causes, causeOf(f))
			}
		}
	}
	slices.SortStableFunc(causes, func(a, b event.Cause) int {
		last := func(c event.Cause) int { // it tells that something has changed, and not what
			if c.Feature == togetherName || c.Feature == EmbeddingName {
				return 1
			}
			return 0
		}
		return cmp.Or(last(a)-last(b), cmp.Compare(math.Abs(b.Size), math.Abs(a.Size)))
	})
	var names []string
	for _, cause := range causes {
		names = append(names, cause.Group+" "+cause.Feature)
	}
	slices.Sort(names)
	switch {
	case st.Alarm == nil && st.Cool > 0:
		st.Cool--
	case st.Alarm == nil && settled:
		a := event.Alarm{ID: fmt.Sprintf("%s/%s/%s/%d", l.Pipeline, kind, strings.TrimSuffix(l.Version+"/"+l.Apart, "/"), since), Pipeline: l.Pipeline, Kind: kind, Version: l.Version, Since: since, At: r.End}
		st.Causes = nil
		st.Alarm = &a
		st.tell(r, causes, names)
		return []event.Alarm{st.copy()}
	case st.Alarm != nil && len(causes) == 0:
		if st.Quiet++; st.Quiet >= c.Dwell {
			return []event.Alarm{st.over(r.End, "it is as it used to be", c.Cooldown)}
		}
	case st.Alarm != nil:
		st.Quiet = 0
		if slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(st.Causes, n) }) { // it has grown
			st.tell(r, causes, names)
			return []event.Alarm{st.copy()}
		}
	}
	return nil
}

// copy returns the alarm as it is told.
func (s *standing) copy() event.Alarm {
	out := *s.Alarm
	out.Causes = slices.Clone(out.Causes)
	if !s.Known {
		out.Loss, out.Before = math.NaN(), math.NaN()
	}
	return out
}

// tell brings an alarm up to the round.
func (s *standing) tell(r *event.Round, causes []event.Cause, names []string) {
	a := s.Alarm
	a.At, a.Causes, s.Quiet = r.End, causes, 0
	for _, n := range names {
		if !slices.Contains(s.Causes, n) {
			s.Causes = append(s.Causes, n)
		}
	}
	for _, e := range r.Estimates {
		if e.Metric == "loss" {
			a.Metric, a.Loss, a.Before, s.Known = "loss", e.Value, e.Before, true
		}
	}
	a.Detail = describe(r, a, s.Known)
}

// over ends an alarm.
func (s *standing) over(at int64, why string, cooldown int) event.Alarm {
	a := s.copy()
	a.Over, a.At, a.Detail = true, at, why
	*s = standing{Cool: cooldown}
	return a
}

// retire ends the alarms of versions of the pipeline that score no more.
func (p *Panel) retire(l *panelLine, r *event.Round) (alarms []event.Alarm) {
	for _, key := range slices.Sorted(maps.Keys(p.lines)) {
		o := p.lines[key]
		if o == l || o.Pipeline != l.Pipeline {
			continue
		}
		if p.rounds[l.Pipeline]-o.Seen < gone || r.End-o.Until < gone*o.Span {
			continue
		}
		for _, kind := range slices.Sorted(maps.Keys(o.Alarms)) {
			if st := o.Alarms[kind]; st.Alarm != nil {
				why := fmt.Sprintf("model %s scores no more, %s does", o.Version, l.Version)
				if o.Version == l.Version {
					why = fmt.Sprintf("nothing is seen of %s any more", cmp.Or(o.Apart, "the others"))
				}
				alarms = append(alarms, st.over(r.End, why, 0))
			}
		}
		delete(p.lines, key)
	}
	return alarms
}

func causeOf(f *Finding) event.Cause {
	return event.Cause{Feature: f.Feature, Group: f.Group, Assets: f.Furthest[:min(len(f.Furthest), 5)], Measure: f.Measure, Size: size(f), P: f.Q, Before: f.Before, Now: f.Now}
}

// size is what causes are sorted by: the distance of the distributions, or of a loss how much of it is new.
func size(f *Finding) float64 {
	if f.Measure == MeasureMMD {
		return f.Size
	}
	if f.Role == event.RoleLoss {
		return (f.Now - f.Before) / math.Max(f.Before, 1e-9)
	}
	return f.KS
}

// describe says in a sentence what has changed.
func describe(r *event.Round, a *event.Alarm, known bool) string {
	var parts []string
	for _, c := range a.Causes[:min(len(a.Causes), 3)] {
		where := ""
		if c.Group != Fleet {
			where = " of " + c.Group
		}
		parts = append(parts, fmt.Sprintf("%s%s went from %.4g to %.4g (%s %.2f)", c.Feature, where, c.Before, c.Now, c.Measure, c.Size))
	}
	if more := len(a.Causes) - 3; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	text := strings.Join(parts, ", ")
	if known {
		text += fmt.Sprintf("; the model is expected to lose %.3g by each, and %.3g before", a.Loss, a.Before)
	}
	if r.Reference == event.ReferenceLine {
		text += "; held against the first that the model scored here, of which it brings no reference"
	}
	return text + "; since " + time.Unix(0, a.Since).UTC().Format("2006-01-02 15:04") + " of event time"
}

// panelState is a Panel's state.
type panelState struct {
	V      int
	Rounds map[string]int64
	Lines  []*panelLine
	Told   map[string][]string `json:",omitempty"`
}

// Snapshot returns the panel's state; the same state gives the same bytes.
func (p *Panel) Snapshot() ([]byte, error) {
	s := panelState{V: 1, Rounds: p.rounds, Told: p.told}
	for _, key := range slices.Sorted(maps.Keys(p.lines)) {
		l := p.lines[key]
		for _, t := range l.Trends {
			t.Place, t.Spread = t.place.AppendState(nil), t.spread.AppendState(nil)
		}
		s.Lines = append(s.Lines, l)
	}
	return json.Marshal(&s)
}

// Restore goes on from a state. After an error the panel is as before.
func (p *Panel) Restore(data []byte) error {
	var s panelState
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("restore the drift panel: %w", err)
	}
	if s.V != 1 {
		return errors.New("restore the drift panel: the state is of another version")
	}
	lines := map[string]*panelLine{}
	for _, l := range s.Lines {
		for name, t := range l.Trends {
			n := newTrend()
			if err := errors.Join(n.place.Restore(t.Place), n.spread.Restore(t.Spread)); err != nil {
				return fmt.Errorf("restore the drift panel: %s of %s: %w", name, l.Pipeline, err)
			}
			n.Left = t.Left
			l.Trends[name] = n
		}
		lines[lineKey(l.Pipeline, l.Version, l.Apart)] = l
	}
	p.rounds, p.lines, p.told = s.Rounds, lines, s.Told
	if p.rounds == nil {
		p.rounds = map[string]int64{}
	}
	if p.told == nil {
		p.told = map[string][]string{}
	}
	return nil
}
