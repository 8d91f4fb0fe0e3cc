package alerts

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"andon/event"
)

// Alertmanager posts to Alertmanager's own API, version 2. It forgets what it is not told of again, so open matters are told every Refresh, acknowledged ones too.
type Alertmanager struct {
	// URL is Alertmanager's address, without the path of its API.
	HTTP    `yaml:",inline"`
	Refresh time.Duration `yaml:"refresh"`
}

// UnmarshalYAML reads a section over the defaults.
func (a *Alertmanager) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Alertmanager
	a.Refresh = time.Minute // as Prometheus does
	return unmarshal((*plain)(a))
}

func (a *Alertmanager) validate() error {
	var errs []error
	if a.Refresh < 5*time.Second {
		errs = append(errs, errors.New("refresh: is shorter than 5s"))
	}
	return errors.Join(append(errs, a.HTTP.validate())...)
}

type alertmanager struct {
	*web
	cfg *Alertmanager
}

func newAlertmanager(cfg *Alertmanager) *alertmanager { return &alertmanager{newWeb(&cfg.HTTP), cfg} }

func (a *alertmanager) refresh() time.Duration { return a.cfg.Refresh }

// posted is an alert as the API takes it.
type posted struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

func (a *alertmanager) send(ctx context.Context, n *Notice) error {
	list := make([]posted, 0, len(n.Matters))
	for _, m := range n.Matters {
		p := posted{Labels: labelsOf(m), Annotations: annotationsOf(m, n.Links), StartsAt: m.First, EndsAt: m.Ended, GeneratorURL: linkOf(m, n.Links)}
		// Alertmanager knows an alert by its labels: one that gets worse would be another one.
		p.Annotations[labelSeverity] = p.Labels[labelSeverity]
		if m.State == event.MatterFiring {
			p.EndsAt = time.Now().Add(4 * a.cfg.Refresh) // if we fall silent, it ends by itself
		}
		list = append(list, p)
	}
	body, err := json.Marshal(list)
	if err != nil {
		return &refusal{err}
	}
	return a.post(ctx, "/api/v2/alerts", "application/json", body, nil)
}
