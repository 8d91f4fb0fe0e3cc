package evaluate

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"andon/event"
	"andon/model"
)

// Scenario is a part of the data, or the data as a fault would show it, or both. Conditions that are set must all hold.
type Scenario struct {
	Name string `yaml:"name"`
	// Assets is a regular expression of assets' (or cameras') names. Group is one, too, and makes a scenario of each text that its first group, or all of it, matches.
	Assets string `yaml:"assets"`
	Group  string `yaml:"group"`
	// Signal's last reading before the window's end lies in [From, Below): an operating point.
	Signal string   `yaml:"signal"`
	From   *float64 `yaml:"from"`
	Below  *float64 `yaml:"below"`
	// LeftFrom and LeftBelow bound the true remaining life in grid steps; 0 does not.
	LeftFrom  int `yaml:"left_from"`
	LeftBelow int `yaml:"left_below"`
	// Class is what truly is there: an event's kind, a frame's class, or one of the things in it (clear where there are none). Classes makes a scenario of each.
	Class   string `yaml:"class"`
	Classes bool   `yaml:"classes"`
	// Golden takes what every model is examined on.
	Golden bool `yaml:"golden"`
	// Recent takes the newest stretch of event time.
	Recent time.Duration `yaml:"recent"`
	// Every makes a scenario of each stretch of event time so long, of the newest Last of them (0: 4).
	Every time.Duration `yaml:"every"`
	Last  int           `yaml:"last"`
	// Perturb changes rows or frames before the models see them.
	Perturb *Perturbation `yaml:"perturb"`
	// Judged scenarios are asked about by the gate, which refuses a challenger that is worse there; nil: judged, but for faults that no model is made to bear.
	Judged *bool `yaml:"judged"`
}

// judged says whether the gate asks.
func (s *Scenario) judged() bool {
	switch {
	case s.Judged != nil:
		return *s.Judged
	case s.Perturb != nil:
		return s.Perturb.bearable()
	}
	return s.Every == 0
}

// ValidateScenarios reports every fault with its key.
func ValidateScenarios(all []Scenario) error {
	var errs []error
	seen := map[string]bool{All: true}
	for i := range all {
		s := &all[i]
		key := "scenarios." + s.Name
		bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(key+format, a...)) }
		if s.Name == "" {
			key = "scenarios[" + strconv.Itoa(i) + "]"
			bad(".name: name it")
		} else if seen[s.Name] {
			bad(".name: %q is taken", s.Name)
		}
		seen[s.Name] = true
		for name, text := range map[string]string{"assets": s.Assets, "group": s.Group} {
			if _, err := regexp.Compile(text); err != nil {
				bad(".%s: %v", name, err)
			}
		}
		if (s.From != nil || s.Below != nil) != (s.Signal != "") {
			bad(".signal: a signal and from or below go together")
		}
		if s.From != nil && s.Below != nil && !(*s.From < *s.Below) {
			bad(".below: %v is not above from", *s.Below)
		}
		if s.LeftFrom < 0 || s.LeftBelow < 0 || s.LeftBelow > 0 && s.LeftFrom >= s.LeftBelow {
			bad(".left_below: %d is not above left_from", s.LeftBelow)
		}
		if s.Recent < 0 || s.Every < 0 || s.Last < 0 {
			bad(".recent, every, last: none may be negative")
		}
		parts := 0
		for _, set := range []bool{s.Group != "", s.Classes, s.Every > 0} {
			if set {
				parts++
			}
		}
		if parts > 1 {
			bad(": of group, classes and every only one may be set")
		}
		if s.Perturb != nil {
			if err := s.Perturb.Validate(); err != nil {
				bad(".perturb.%v", err)
			}
		}
	}
	return errors.Join(errs...)
}

// DefaultScenarios returns what suits a task: parts that have nothing in the data come out empty and are not judged.
func DefaultScenarios(d *Data) []Scenario {
	told := false
	fault := func(name string, p Perturbation) Scenario { return Scenario{Name: name, Perturb: &p} }
	var all []Scenario
	if d.Task == model.Classification || d.Task == model.Detection {
		all = append(all, Scenario{Name: "class", Classes: true}, Scenario{Name: "golden", Golden: true}, Scenario{Name: "recent", Recent: 24 * time.Hour})
		return append(all, fault("dark", Perturbation{Kind: Dark}), fault("exposed", Perturbation{Kind: Exposure}), fault("blurred", Perturbation{Kind: Blur}),
			fault("occluded", Perturbation{Kind: Occlusion}), fault("noisy", Perturbation{Kind: Noise}))
	}
	if d.Task == model.RemainingLife {
		all = append(all, Scenario{Name: "near the end", LeftBelow: d.Horizon + 1}, Scenario{Name: "far from the end", LeftFrom: d.Horizon + 1})
	} else {
		all = append(all, Scenario{Name: "event", Classes: true})
	}
	return append(all,
		Scenario{Name: "golden", Golden: true},
		Scenario{Name: "recent", Recent: 7 * 24 * time.Hour},
		Scenario{Name: "week", Every: 7 * 24 * time.Hour, Judged: &told},
		fault("noise", Perturbation{Kind: Noise}), fault("lost rows", Perturbation{Kind: Dropout}),
		fault("stuck sensor", Perturbation{Kind: Stuck}), fault("other unit", Perturbation{Kind: Unit}), fault("wrong clock", Perturbation{Kind: Skew}))
}

// sample is one window (or frame) that all models have answered.
type sample struct {
	asset string
	block int
	end   int64
	// truth is as Outcome has it; left the true remaining steps.
	truth, left float64
	// classes are what truly is there.
	classes []string
	// golden tells that the sample is of the golden case that begins at goldenFrom; extra, that it is there for that alone, and learned, that it is so since models have learned from it.
	golden, extra, learned bool
	goldenFrom             int64
	row                    *event.Row // the last before end
}

// part is a scenario without anything left to spread out.
type part struct {
	name, detail string
	judged       bool
	// ours lists samples by index.
	ours []int
}

// parts spreads a scenario over the samples of its pass.
func (s *Scenario) parts(samples []sample, signals []string) ([]part, error) {
	assets, group := compile(s.Assets), compile(s.Group)
	column := -1
	if s.Signal != "" {
		for i, name := range signals {
			if name == s.Signal {
				column = i
			}
		}
		if column < 0 {
			return nil, fmt.Errorf("scenarios.%s.signal: the models read no %q: they read %v", s.Name, s.Signal, signals)
		}
	}
	newest := int64(0)
	for i := range samples {
		newest = max(newest, samples[i].end)
	}
	keyed := map[string]*part{}
	var order []string
	take := func(key, name string, i int) {
		p := keyed[key]
		if p == nil {
			p = &part{name: name, judged: s.judged()}
			if s.Perturb != nil {
				p.detail = s.Perturb.String()
			}
			keyed[key] = p
			order = append(order, key)
		}
		p.ours = append(p.ours, i)
	}
	for i := range samples {
		x := &samples[i]
		switch {
		case x.extra && !s.Golden, assets != nil && !assets.MatchString(x.asset),
			column >= 0 && (x.row == nil || s.From != nil && !(x.row.Values[column] >= *s.From) || s.Below != nil && !(x.row.Values[column] < *s.Below)),
			s.LeftFrom > 0 && !(x.left >= float64(s.LeftFrom)), s.LeftBelow > 0 && !(x.left < float64(s.LeftBelow)),
			s.Class != "" && !slices.Contains(x.classes, s.Class), s.Golden && !x.golden, s.Recent > 0 && x.end <= newest-int64(s.Recent):
			continue
		}
		switch {
		case group != nil:
			m := group.FindStringSubmatch(x.asset)
			if m != nil {
				take(m[len(m)-1], s.Name+" "+m[len(m)-1], i)
			}
		case s.Classes:
			for _, class := range x.classes {
				take(class, s.Name+" "+class, i)
			}
		case s.Every > 0:
			last := s.Last
			if last == 0 {
				last = 4
			}
			k, now := (x.end-1)/int64(s.Every), (newest-1)/int64(s.Every)
			if now-k < int64(last) {
				take(strconv.FormatInt(k, 10), s.Name+" of "+time.Unix(0, k*int64(s.Every)).UTC().Format(time.DateOnly), i)
			}
		default:
			take("", s.Name, i)
		}
	}
	if len(order) == 0 && group == nil && !s.Classes && s.Every == 0 {
		p := part{name: s.Name, judged: s.judged()}
		if s.Perturb != nil {
			p.detail = s.Perturb.String()
		}
		return []part{p}, nil
	}
	var out []part
	for _, k := range order {
		out = append(out, *keyed[k])
	}
	sortParts(out)
	return out, nil
}

func compile(text string) *regexp.Regexp {
	if text == "" {
		return nil
	}
	return regexp.MustCompile(text) // Validate has compiled it
}
