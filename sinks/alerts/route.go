package alerts

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"andon/event"
)

// route is a Route with everything filled in.
type route struct {
	match                  []matcher
	receivers              []*receiver
	groupBy                []string
	wait, interval, repeat time.Duration
	further                bool
}

// matcher holds where one label of a matter has one of the values; "*" stands for any that is not empty.
type matcher struct {
	label  string
	values []string
}

func (m *matcher) holds(x *event.Matter) bool {
	v := label(x, m.label)
	return slices.Contains(m.values, v) || v != "" && slices.Contains(m.values, "*")
}

func matchers(match map[string]string) (all []matcher) {
	for name, values := range match {
		all = append(all, matcher{name, strings.Split(values, "|")})
	}
	slices.SortFunc(all, func(a, b matcher) int { return cmp.Compare(a.label, b.label) })
	return all
}

func matched(all []matcher, m *event.Matter) bool {
	for i := range all {
		if !all[i].holds(m) {
			return false
		}
	}
	return true
}

// base is a route with what the section says.
func (d *Desk) base() *route {
	c := &d.cfg
	return &route{groupBy: c.GroupBy, wait: c.GroupWait, interval: c.GroupInterval, repeat: c.Repeat}
}

// compile fills in the routes; without any there is one to every receiver.
func (d *Desk) compile() (all []*route) {
	c := &d.cfg
	routes := c.Routes
	if len(routes) == 0 {
		routes = []Route{{}}
	}
	for i := range routes {
		r := &routes[i]
		to := d.base()
		to.match, to.further = matchers(r.Match), r.Continue
		if r.GroupBy != nil {
			to.groupBy = r.GroupBy
		}
		for own, settled := range map[*time.Duration]*time.Duration{r.GroupWait: &to.wait, r.GroupInterval: &to.interval, r.Repeat: &to.repeat} {
			if own != nil {
				*settled = *own
			}
		}
		for _, x := range d.receivers {
			if len(c.Routes) == 0 || slices.Contains(r.Receivers, x.cfg.Name) {
				to.receivers = append(to.receivers, x)
			}
		}
		all = append(all, to)
	}
	return all
}

// group returns the labels by which a matter is told together with others, and their text.
func (r *route) group(m *event.Matter) (map[string]string, string) {
	labels := make(map[string]string, len(r.groupBy))
	var b strings.Builder
	b.WriteByte('{')
	for i, name := range r.groupBy {
		v := label(m, name)
		labels[name] = v
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name + "=" + v)
	}
	b.WriteByte('}')
	return labels, b.String()
}
