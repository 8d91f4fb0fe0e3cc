package alerts

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"andon/event"
)

// Config is the section of alerts. Without receivers alerts are shown on the page and kept, and told to nobody.
type Config struct {
	// URL is where people reach the console, for links; empty takes the address that it listens on.
	URL       string     `yaml:"url"`
	Receivers []Receiver `yaml:"receivers"`
	// Routes say who is told of what: the first that matches, and those after it while it says so. Without any, every receiver is told of everything.
	Routes []Route `yaml:"routes"`

	// GroupBy names the labels by which matters are told together. GroupWait is how long the first one of a group waits for others, GroupInterval the least time between
	// two notices of a group. Critical ones wait for neither.
	GroupBy       []string      `yaml:"group_by"`
	GroupWait     time.Duration `yaml:"group_wait"`
	GroupInterval time.Duration `yaml:"group_interval"`
	// Repeat is after how long an open matter that nobody has acknowledged is told again; 0: never.
	Repeat time.Duration `yaml:"repeat"`

	Retry    Retry    `yaml:"retry"`
	Flapping Flapping `yaml:"flapping"`

	// Keep is how long a resolved matter is kept, Most how many there are at most, open and resolved.
	Keep time.Duration `yaml:"keep"`
	Most int           `yaml:"most"`
}

// Retry says how a receiver that fails is tried again. All notices of one receiver share its tries.
type Retry struct {
	// First is the wait after the first failure; it doubles up to Longest, give or take a fifth.
	First   time.Duration `yaml:"first"`
	Longest time.Duration `yaml:"longest"`
	// Timeout bounds one try, GiveUp all tries of a notice, which is dead then.
	Timeout time.Duration `yaml:"timeout"`
	GiveUp  time.Duration `yaml:"give_up"`
}

// Flapping says when a matter comes and goes too often: Turns times within Within. Then it is shown as firing, and told of again when it has kept still for Quiet.
type Flapping struct {
	Turns  int           `yaml:"turns"`
	Within time.Duration `yaml:"within"`
	Quiet  time.Duration `yaml:"quiet"`
}

// Route sends what it matches to receivers. What is left out is taken from the section.
type Route struct {
	// Match holds labels and their values; several values of one are parted by |, and * stands for any that is not empty.
	Match         map[string]string `yaml:"match"`
	Receivers     []string          `yaml:"receivers"`
	GroupBy       []string          `yaml:"group_by"`
	GroupWait     *time.Duration    `yaml:"group_wait"`
	GroupInterval *time.Duration    `yaml:"group_interval"`
	Repeat        *time.Duration    `yaml:"repeat"`
	Continue      bool              `yaml:"continue"`
}

// Default returns the settings of an appliance that few people look after.
func Default() Config {
	return Config{
		GroupBy:       []string{"pipeline", "kind"}, // one cause seldom stays with one asset
		GroupWait:     10 * time.Second,             // what belongs together is found within seconds
		GroupInterval: time.Minute,                  // a second mail within a minute is not read
		Repeat:        4 * time.Hour,                // as Alertmanager does: a shift is twice as long
		// Ten minutes of an outage are 13 tries, 15 where chance is bad; Alertmanager's were about 200.
		Retry:    Retry{First: time.Second, Longest: 90 * time.Second, Timeout: 10 * time.Second, GiveUp: 24 * time.Hour},
		Flapping: Flapping{Turns: 6, Within: 10 * time.Minute, Quiet: 5 * time.Minute},
		Keep:     7 * 24 * time.Hour, // a week is what people look back; the table of alerts keeps all
		Most:     10_000,             // about 1 KiB each
	}
}

var receiverName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,62}$`)

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	fault := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	atLeast := func(key string, d, least time.Duration) {
		if d < least {
			fault(key, "%v is shorter than %v", d, least)
		}
	}
	if u, err := url.Parse(c.URL); c.URL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		fault("url", "%q is not the address of a page, as https://andon.example.org", c.URL)
	}
	atLeast("group_wait", c.GroupWait, 0)
	atLeast("group_interval", c.GroupInterval, 0)
	atLeast("repeat", c.Repeat, 0)
	atLeast("retry.first", c.Retry.First, 100*time.Millisecond)
	atLeast("retry.longest", c.Retry.Longest, c.Retry.First)
	atLeast("retry.timeout", c.Retry.Timeout, 100*time.Millisecond)
	atLeast("retry.give_up", c.Retry.GiveUp, c.Retry.Longest)
	atLeast("flapping.within", c.Flapping.Within, time.Second)
	atLeast("flapping.quiet", c.Flapping.Quiet, time.Second)
	atLeast("keep", c.Keep, time.Minute)
	if c.Flapping.Turns < 3 {
		fault("flapping.turns", "%d is less than 3: what fires, is resolved and fires again does not flap yet", c.Flapping.Turns)
	}
	if c.Most < 100 {
		fault("most", "%d is less than 100", c.Most)
	}
	var names []string
	for i := range c.Receivers {
		r := &c.Receivers[i]
		key := fmt.Sprintf("receivers[%d]", i)
		if !receiverName.MatchString(r.Name) {
			fault(key+".name", "%q is not a name: use lower-case letters, digits, dots and dashes", r.Name)
		} else if key = "receivers." + r.Name; slices.Contains(names, r.Name) {
			fault(key+".name", "%q is taken", r.Name)
		}
		names = append(names, r.Name)
		for _, err := range r.faults() {
			errs = append(errs, fmt.Errorf("%s%w", key, err))
		}
	}
	for i := range c.Routes {
		r := &c.Routes[i]
		key := fmt.Sprintf("routes[%d]", i)
		for _, name := range r.Receivers {
			if !slices.Contains(names, name) {
				fault(key+".receivers", "%q is none of the receivers %q", name, names)
			}
		}
		for label, want := range r.Match {
			known := map[string][]string{
				labelSeverity: {event.SeverityInfo, event.SeverityWarning, event.SeverityCritical},
				labelKind:     {event.AlertRule, event.AlertDrift, event.AlertError, event.AlertTraining, event.AlertAbsent, event.AlertBottleneck},
			}[label]
			for _, v := range strings.Split(want, "|") {
				if known != nil && v != "*" && !slices.Contains(known, v) {
					fault(key+".match."+label, "%q is none of %q", v, known)
				}
			}
		}
		for name, d := range map[string]*time.Duration{"group_wait": r.GroupWait, "group_interval": r.GroupInterval, "repeat": r.Repeat} {
			if d != nil {
				atLeast(key+"."+name, *d, 0)
			}
		}
	}
	return errors.Join(errs...)
}
