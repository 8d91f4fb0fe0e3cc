// Package rules turns the scores of a pipeline into alerts: an asset whose risk stays high fires, and is over when its risk has stayed low. It goes by event time and by the
// order of an asset's windows alone, so the same scores give the same alerts however they come.
package rules

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	"andon/event"
)

// Config is a pipeline's rule on its scores.
type Config struct {
	// Risk is from where on a window counts, 0 to 1; For how many of an asset's windows in a row must.
	Risk float64 `yaml:"risk"`
	For  int     `yaml:"for"`
	// ResolveBelow is the risk below which For windows in a row end it: less than Risk, so that one at the edge does not come and go.
	ResolveBelow float64 `yaml:"resolve_below"`
	Severity     string  `yaml:"severity"`
	// Cooldown is for how long, in event time, an asset that was over does not fire again.
	Cooldown time.Duration `yaml:"cooldown"`
}

// UnmarshalYAML reads a section over the defaults.
func (c *Config) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Config
	*c = Config{
		Risk:         0.8, // where the page draws red
		For:          3,   // one window may be wrong
		ResolveBelow: 0.6,
		Severity:     event.SeverityCritical,
	}
	return unmarshal((*plain)(c))
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !(c.Risk > 0 && c.Risk <= 1) {
		fault("risk: %v is not between 0 and 1", c.Risk)
	}
	if !(c.ResolveBelow > 0 && c.ResolveBelow <= c.Risk) {
		fault("resolve_below: %v is not between 0 and risk, %v", c.ResolveBelow, c.Risk)
	}
	if c.For < 1 || c.For > 1000 {
		fault("for: %d is not between 1 and 1000 windows", c.For)
	}
	if !slices.Contains([]string{event.SeverityInfo, event.SeverityWarning, event.SeverityCritical}, c.Severity) {
		fault("severity: %q is none of info, warning and critical", c.Severity)
	}
	if c.Cooldown < 0 {
		fault("cooldown: %v is negative", c.Cooldown)
	}
	return errors.Join(errs...)
}

// Rules watches the scores of pipelines. Several goroutines may call it, one for each asset at a time.
type Rules struct {
	raise  func(event.Alert)
	firing func(id string) bool
	all    map[string]*rule // by pipeline
}

// rule is one pipeline's.
type rule struct {
	cfg      Config
	pipeline string

	mu     sync.Mutex
	assets map[string]*asset
	turn   uint32    // counts how often it was asked anew which assets fire
	asked  time.Time // when it was asked last
}

// asset is how far one has come.
type asset struct {
	high, low int   // windows in a row
	since     int64 // where the first high window ends
	quiet     int64 // event time until which it does not fire again
	last      int64 // end of the newest window
	firing    bool
	turn      uint32 // when it was asked whether it fires
}

const (
	// most bounds the assets that a pipeline remembers, about 100 bytes each; those that are well are forgotten first.
	most = 200_000
	// askEvery is how often it is asked anew whether an asset fires: another replica may have had it meanwhile.
	askEvery = time.Minute
)

// New makes the rules of the pipelines that have one. firing tells whether an alert is open, as of an earlier process.
func New(all map[string]Config, raise func(event.Alert), firing func(id string) bool) *Rules {
	r := &Rules{raise: raise, firing: firing, all: map[string]*rule{}}
	for name, cfg := range all {
		r.all[name] = &rule{cfg: cfg, pipeline: name, assets: map[string]*asset{}}
	}
	return r
}

// ID is the ID of an asset's alert.
func ID(pipeline, asset string) string { return pipeline + "/" + event.AlertRule + "/risk/" + asset }

// Observe looks at scores in the order of each asset's windows. It keeps nothing of its arguments.
func (r *Rules) Observe(pipeline string, _ []event.Row, scores []event.Score) {
	u := r.all[pipeline]
	if u == nil || len(scores) == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if now := time.Now(); now.Sub(u.asked) > askEvery {
		u.turn++
		u.asked = now
	}
	for i := range scores {
		u.look(r, &scores[i])
	}
}

func (u *rule) look(r *Rules, s *event.Score) {
	a := u.assets[s.Asset]
	risk := float64(s.Risk)
	if a == nil {
		if len(u.assets) >= most {
			maps.DeleteFunc(u.assets, func(_ string, a *asset) bool { return !a.firing && a.high == 0 })
		}
		if len(u.assets) >= most {
			return
		}
		a = &asset{}
		u.assets[s.Asset] = a
	}
	if a.turn != u.turn {
		a.turn = u.turn
		if !a.firing && r.firing(ID(u.pipeline, s.Asset)) {
			a.firing = true
		}
	}
	if s.End <= a.last { // seen: a batch that was begun again
		return
	}
	a.last = s.End
	if risk >= u.cfg.Risk {
		if a.high++; a.high == 1 {
			a.since = s.End
		}
		a.low = 0
	} else {
		a.high = 0
		if risk < u.cfg.ResolveBelow {
			a.low++
		} else {
			a.low = 0
		}
	}
	switch {
	case !a.firing && a.high >= u.cfg.For && s.End >= a.quiet:
		a.firing = true
		r.raise(u.alert(s, a, false))
	case a.firing && a.low >= u.cfg.For:
		a.firing, a.quiet = false, s.End+int64(u.cfg.Cooldown)
		r.raise(u.alert(s, a, true))
	}
}

func (u *rule) alert(s *event.Score, a *asset, over bool) event.Alert {
	out := event.Alert{ID: ID(u.pipeline, s.Asset), Pipeline: u.pipeline, Kind: event.AlertRule, Severity: u.cfg.Severity, Asset: s.Asset, Resolved: over, Since: a.since,
		Title:  fmt.Sprintf("%s of %s is at risk", s.Asset, u.pipeline),
		Labels: map[string]string{"rule": "risk", "version": s.Version},
		Evidence: "#/asset/" + url.PathEscape(u.pipeline) + "/" + url.PathEscape(s.Asset) + "?" +
			url.Values{"from": {fmt.Sprint(s.Start / 1e6)}, "to": {fmt.Sprint(s.End / 1e6)}}.Encode()}
	if over {
		out.Detail = fmt.Sprintf("Its risk was below %g for %d windows, up to the one that ended at %s.", u.cfg.ResolveBelow, u.cfg.For, instant(s.End))
		return out
	}
	out.Detail = fmt.Sprintf("Its risk was %g or more for %d windows in a row; it is %.3g (value %.4g) in the window from %s to %s, record %s, by model %s. Look at the asset; if it is well, mark the window as wrong, and it is learned from.",
		u.cfg.Risk, u.cfg.For, s.Risk, s.Value, instant(s.Start), instant(s.End), s.Position, s.Version)
	return out
}

func instant(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339) }
