package alerts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Receiver is who is told: a name, and exactly one way to reach it.
type Receiver struct {
	Name string `yaml:"name"`
	// Resolved tells it, too, when a matter is over; true where it is left out.
	Resolved *bool `yaml:"resolved"`

	Webhook      *Webhook      `yaml:"webhook"`
	Alertmanager *Alertmanager `yaml:"alertmanager"`
	Slack        *Slack        `yaml:"slack"`
	SMTP         *SMTP         `yaml:"smtp"`
	MQTT         *MQTT         `yaml:"mqtt"`
	Kafka        *Kafka        `yaml:"kafka"`
}

// way names how it is reached.
func (r *Receiver) way() string {
	switch {
	case r.Webhook != nil:
		return "webhook"
	case r.Alertmanager != nil:
		return "alertmanager"
	case r.Slack != nil:
		return "slack"
	case r.SMTP != nil:
		return "smtp"
	case r.MQTT != nil:
		return "mqtt"
	}
	return "kafka"
}

func (r *Receiver) tellsResolved() bool { return r.Resolved == nil || *r.Resolved }

// sender is one way to tell somebody. send is called by several goroutines; it returns nil when the notice was taken, a refusal where it never will be, and any
// other error where it may be later.
type sender interface {
	send(ctx context.Context, n *Notice) error
	// refresh is how often open matters are told again, since the receiver forgets them otherwise; 0: it does not.
	refresh() time.Duration
	close()
}

// faults reports what is wrong with the receiver, each with its key.
func (r *Receiver) faults() (errs []error) {
	ways := 0
	way := func(key string, set bool, check func() error) {
		if !set {
			return
		}
		ways++
		for _, err := range flatten(check()) {
			errs = append(errs, fmt.Errorf(".%s.%w", key, err))
		}
	}
	way("webhook", r.Webhook != nil, func() error { return r.Webhook.validate() })
	way("alertmanager", r.Alertmanager != nil, func() error { return r.Alertmanager.validate() })
	way("slack", r.Slack != nil, func() error { return r.Slack.validate() })
	way("smtp", r.SMTP != nil, func() error { return r.SMTP.validate() })
	way("mqtt", r.MQTT != nil, func() error { return r.MQTT.validate() })
	way("kafka", r.Kafka != nil, func() error { return r.Kafka.validate() })
	if ways != 1 {
		errs = append(errs, fmt.Errorf(": has %d of webhook, alertmanager, slack, smtp, mqtt and kafka: give it one", ways))
	}
	return errs
}

func flatten(err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}

// receiver is a Receiver at work. Its fields are guarded by the desk's lock.
type receiver struct {
	cfg    *Receiver
	sender sender
	busy   int
	// failures counts the tries that failed since one did not; next is when it is tried again, early when something critical brought a try forward last.
	failures    int
	next, early time.Time
}

func newReceiver(cfg *Receiver, d *Desk) *receiver {
	r := &receiver{cfg: cfg}
	switch {
	case cfg.Webhook != nil:
		r.sender = newWebhook(cfg.Webhook)
	case cfg.Alertmanager != nil:
		r.sender = newAlertmanager(cfg.Alertmanager)
	case cfg.Slack != nil:
		r.sender = newSlack(cfg.Slack)
	case cfg.SMTP != nil:
		r.sender = newSMTP(cfg.SMTP)
	case cfg.MQTT != nil:
		r.sender = newMQTT(cfg.MQTT)
	case cfg.Kafka != nil:
		r.sender = &kafka{cfg.Kafka, d}
	}
	return r
}

// refusal is an error that no further try mends.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func isRefusal(err error) bool {
	var r *refusal
	return errors.As(err, &r)
}

// delayed is an error of a receiver that has said when it wants to be asked again.
type delayed struct {
	err   error
	after time.Duration
}

func (d *delayed) Error() string { return d.err.Error() }
func (d *delayed) Unwrap() error { return d.err }

// wait is the pause after a number of failures in a row, give or take a fifth, and at least what the receiver asked for, up to ten times the longest.
func (r *Retry) wait(failures int, err error) time.Duration {
	d := r.Longest
	if n := failures - 1; n < 32 {
		d = min(r.First<<n, r.Longest)
	}
	d = d - d/5 + rand.N(2*d/5+1)
	var asked *delayed
	if errors.As(err, &asked) {
		d = max(d, min(asked.after, 10*r.Longest))
	}
	return d
}

// HTTP is what all receivers that are asked by HTTP have.
type HTTP struct {
	// URL may hold secrets, as those of Slack do, so it is one: see Secret.
	URL Secret `yaml:"url"`
	// Headers are sent with each request; their values are secrets, as those of Authorization are.
	Headers map[string]Secret `yaml:"headers"`
}

func (h *HTTP) validate() error {
	if h.URL == "" {
		return errors.New("url: is empty")
	}
	s := string(h.URL)
	if variable.MatchString(s) || strings.HasPrefix(s, filePrefix) {
		return nil
	}
	if u, err := url.Parse(s); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("url: it is not an address, as https://example.org/hook")
	}
	return nil
}

// web posts to one address.
type web struct {
	cfg    *HTTP
	client *http.Client
}

func newWeb(cfg *HTTP) *web {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = atOnce
	return &web{cfg, &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (w *web) close() { w.client.CloseIdleConnections() }

// answerMost bounds what is read of an answer, for its text in an error.
const answerMost = 512

// post sends a body, and says of the answer what it means. more is called with the request before it is sent; it may be nil. No error holds the address: that may be a secret.
func (w *web) post(ctx context.Context, path, kind string, body []byte, more func(*http.Request) error) error {
	to, err := w.cfg.URL.value("url")
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(to, "/")+path, strings.NewReader(string(body)))
	if err != nil {
		return &refusal{errors.New("url: it is not an address")}
	}
	if path == "" {
		if req.URL, err = url.Parse(to); err != nil {
			return &refusal{errors.New("url: it is not an address")}
		}
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("User-Agent", "andon")
	for name, v := range w.cfg.Headers {
		text, err := v.value("headers." + name)
		if err != nil {
			return err
		}
		req.Header.Set(name, text)
	}
	if more != nil {
		if err := more(req); err != nil {
			return err
		}
	}
	res, err := w.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return fmt.Errorf("post to %s: %w", req.URL.Host, err)
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(res.Body, answerMost))
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection is used again
	if res.StatusCode/100 == 2 {
		return nil
	}
	err = fmt.Errorf("%s answers %s: %s", req.URL.Host, res.Status, strings.ToValidUTF8(strings.TrimSpace(string(said)), "\uFFFD"))
	switch {
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusServiceUnavailable:
		if after, bad := strconv.Atoi(res.Header.Get("Retry-After")); bad == nil && after > 0 {
			return &delayed{err, time.Duration(min(after, 86_400)) * time.Second}
		}
	case res.StatusCode == http.StatusRequestTimeout, res.StatusCode/100 == 5:
	case res.StatusCode == http.StatusUnauthorized, res.StatusCode == http.StatusForbidden, res.StatusCode == http.StatusNotFound:
		// A person can mend these while the notice waits: a secret that was turned over, a route that is not there yet.
	default:
		return &refusal{err}
	}
	return err
}
