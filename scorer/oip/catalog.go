package oip

import (
	"context"
	"slices"
	"sync"

	"andon/model"
)

// served is one version of a model that callers have asked for. It outlives the model's file in memory, for its statistics.
type served struct {
	name, version string
	stats         stats
	// model is nil while the version is not loaded; guarded by catalog.mu.
	model *model.Model
	// asked is set while the version is loaded because a caller said so; guarded by catalog.mu.
	asked bool
}

// catalog finds what is served: each pipeline's versions, of which the champion is the default.
type catalog struct {
	cfg    *Config
	models *model.Registry
	judge  Judge
	// pipelines are the configured ones; the registry may know more.
	pipelines []string

	mu   sync.RWMutex
	seen map[string]*served // by version, which is a digest of a file that names its pipeline
}

// live returns the version that a call without one means, and the model to score with.
func (c *catalog) live(name string) (*served, *model.Model, *fault) {
	m := c.models.Live(name)
	if m == nil {
		if c.knows(name) {
			return nil, nil, busy("model %s has no live version yet: it is made once the pipeline has rows to learn from, or pushed", name)
		}
		return nil, nil, unknown("there is no model %q; POST /v2/repository/index lists the models", name)
	}
	return c.keep(m, false), m, nil
}

// ready returns a version that can be scored with now. The empty version is the champion; an alias's name is what it points at.
func (c *catalog) ready(name, version string) (*served, *model.Model, *fault) {
	if version == "" || version == string(model.Champion) {
		return c.live(name)
	}
	if m := c.models.Named(name, model.Alias(version)); m != nil {
		return c.keep(m, false), m, nil
	}
	c.mu.RLock()
	s := c.seen[version]
	var m *model.Model
	if s != nil && s.name == name {
		m = s.model
	}
	c.mu.RUnlock()
	if m == nil {
		info, f := c.find(name, version)
		if f != nil {
			return nil, nil, f
		}
		if m = c.named(name, info.Version); m != nil {
			return c.keep(m, false), m, nil
		}
	} else if c.named(name, version) != nil || c.judge.Loaded(version) {
		return s, m, nil
	} else {
		c.forget(version) // it was champion, and its grace is over
	}
	return nil, nil, busy("model %s version %s is not loaded: POST /v2/repository/models/%s/load with the parameter version loads it", name, version, name)
}

// named returns the version's model if an alias holds it.
func (c *catalog) named(name, version string) *model.Model {
	for _, a := range c.models.Aliases(name, version) {
		if m := c.models.Named(name, a); m != nil && m.Version == version {
			return m
		}
	}
	return nil
}

// find looks a version up, loaded or not.
func (c *catalog) find(name, version string) (*model.Info, *fault) {
	if version == "" || version == string(model.Champion) {
		s, _, f := c.live(name)
		if f != nil {
			return nil, f
		}
		version = s.version
	} else if m := c.models.Named(name, model.Alias(version)); m != nil {
		version = m.Version
	}
	list := c.models.List(name)
	for i := range list {
		if list[i].Version == version {
			return &list[i], nil
		}
	}
	if !c.knows(name) {
		return nil, unknown("there is no model %q; POST /v2/repository/index lists the models", name)
	}
	return nil, unknown("model %s has no version %q; GET /v2/models/%s lists its versions", name, version, name)
}

func (c *catalog) versions(name string) (all []string) {
	for _, v := range c.models.List(name) {
		all = append(all, v.Version)
	}
	return all
}

func (c *catalog) knows(name string) bool {
	return slices.Contains(c.pipelines, name) || slices.Contains(c.models.Pipelines(), name)
}

// names returns all models' names, sorted.
func (c *catalog) names() []string {
	all := append(c.models.Pipelines(), c.pipelines...)
	slices.Sort(all)
	return slices.Compact(all)
}

// keep remembers a model that is scored with, and lets those go that are not any more.
func (c *catalog) keep(m *model.Model, asked bool) *served {
	c.mu.RLock()
	s := c.seen[m.Version]
	if s != nil && s.model != nil && (s.asked || !asked) {
		c.mu.RUnlock()
		return s
	}
	c.mu.RUnlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s = c.seen[m.Version]; s == nil {
		s = &served{name: m.Pipeline, version: m.Version}
		c.seen[m.Version] = s
	}
	s.asked = s.asked || asked
	if s.model != nil {
		return s
	}
	s.model = m
	for _, o := range c.seen {
		if o != s && o.model != nil && !c.judge.Loaded(o.version) && len(c.models.Aliases(o.name, o.version)) == 0 {
			o.model, o.asked = nil, false
		}
	}
	return s
}

func (c *catalog) forget(version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.seen[version]; s != nil {
		s.model, s.asked = nil, false
	}
}

// loaded reports whether a version can be scored with without being loaded first.
func (c *catalog) loaded(info *model.Info) bool {
	return c.judge.Loaded(info.Version)
}

// load makes a version ready for callers; the empty version is the champion, which is ready as a rule.
func (c *catalog) load(ctx context.Context, name, version string) *fault {
	info, f := c.find(name, version)
	if f != nil {
		return f
	}
	asked := 0
	c.mu.RLock()
	for _, s := range c.seen {
		if s.asked && s.version != info.Version && len(c.models.Aliases(s.name, s.version)) == 0 {
			asked++
		}
	}
	c.mu.RUnlock()
	if len(info.Aliases) == 0 && asked >= c.cfg.Loaded {
		return refused("%d versions are loaded beside those that an alias names, as many as inference.loaded allows: unload one first", asked)
	}
	m, err := c.models.Get(name, info.Version)
	if err != nil {
		return broken("%v", err)
	}
	if err := c.judge.Load(ctx, m); err != nil {
		if ctx.Err() != nil {
			return faultOf(ctx, err)
		}
		return broken("%v", err)
	}
	c.keep(m, true)
	return nil
}

// unload lets a version go. What the line scores with is not a caller's to take away.
func (c *catalog) unload(name, version string) *fault {
	if version == "" {
		// The protocol's unload without a version means the whole model.
		if !c.knows(name) {
			return unknown("there is no model %q; POST /v2/repository/index lists the models", name)
		}
		if m := c.models.Live(name); m != nil {
			return c.refuse(name, m.Version, model.Champion)
		}
		for _, info := range c.models.List(name) {
			if f := c.unload(name, info.Version); f != nil {
				return f
			}
		}
		return nil
	}
	info, f := c.find(name, version)
	if f != nil {
		return f
	}
	for _, a := range info.Aliases {
		if a != model.Challenger { // which is made, and judged by nobody yet
			return c.refuse(name, info.Version, a)
		}
	}
	c.forget(info.Version)
	c.judge.Retire(info.Version)
	return nil
}

func (c *catalog) refuse(name, version string, a model.Alias) *fault {
	return refused("version %s is the %s of %s and the line scores with it: promote another version first, or name a version that no alias holds", version, a, name)
}

// index is one line of the repository's table of contents.
type index struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
}

// index lists every version of every model; with ready only those that can be scored with now.
func (c *catalog) index(ready bool) []index {
	all := []index{}
	for _, name := range c.names() {
		list := c.models.List(name)
		for i := range list {
			info := &list[i]
			line := index{Name: name, Version: info.Version, State: "READY"}
			for j, a := range info.Aliases {
				if j > 0 {
					line.Reason += ", "
				}
				line.Reason += string(a)
			}
			if !c.loaded(info) {
				line.State, line.Reason = "UNAVAILABLE", "not loaded"
			}
			if line.State == "READY" || !ready {
				all = append(all, line)
			}
		}
		if len(list) == 0 && !ready {
			all = append(all, index{Name: name, State: "UNAVAILABLE", Reason: "no version yet"})
		}
	}
	return all
}

// stated is a version's statistics.
type stated struct {
	*served
	snapshot
}

// stats returns the statistics of what was asked for: all models, one, or one version of it. A version that nobody has called is there with zeros if it was
// named.
func (c *catalog) stats(name, version string) ([]stated, *fault) {
	if name != "" && version != "" {
		info, f := c.find(name, version)
		if f != nil {
			return nil, f
		}
		c.mu.RLock()
		s := c.seen[info.Version]
		c.mu.RUnlock()
		if s == nil {
			s = &served{name: name, version: info.Version}
		}
		return []stated{{s, s.stats.take()}}, nil
	}
	if name != "" && !c.knows(name) {
		return nil, unknown("there is no model %q; POST /v2/repository/index lists the models", name)
	}
	for _, n := range c.names() {
		if name == "" || n == name {
			c.live(n) // so that a live version is listed before its first call
		}
	}
	all := []stated{}
	c.mu.RLock()
	for _, s := range c.seen {
		if name == "" || s.name == name {
			all = append(all, stated{s, s.stats.take()})
		}
	}
	c.mu.RUnlock()
	slices.SortFunc(all, func(a, b stated) int {
		if a.name != b.name {
			if a.name < b.name {
				return -1
			}
			return 1
		}
		return b.last.Compare(a.last)
	})
	return all, nil
}
