package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"andon/event"
)

// Alerts is the desk of alerts as the API serves it. Errors are shown to whoever asked; ErrMissing and ErrAsk among them are told apart. Safe to call concurrently.
type Alerts interface {
	// List returns the chosen alerts, at most limit, the open and worst ones first, and how many there are.
	List(choice AlertChoice, limit int) (list []*event.Matter, all int)
	// Get returns one, and the newest tries to tell of it.
	Get(id string) (*event.Matter, []event.Delivery, error)
	// Act does what a person wants done about one.
	Act(id string, a AlertAct) (*event.Matter, error)
	Silences() []AlertSilence
	Silence(s AlertSilence) (*AlertSilence, error)
	Unsilence(id string) error
	Receivers() []AlertReceiver
	// Test sends a test to a receiver and waits for what comes of it.
	Test(ctx context.Context, receiver, who string) (*AlertOutcome, error)
}

// ErrMissing means that there is no such thing. It is wrapped with the words for the person.
var ErrMissing = errors.New("not found")

// AlertChoice chooses alerts. What is empty does not choose; State is open, resolved or dead (given up by a receiver).
type AlertChoice struct {
	State, Pipeline, Kind, Severity, Asset string
}

// AlertAct is what a person does about an alert. What is ack, unack, snooze, resolve or resend.
type AlertAct struct {
	What    string    `json:"-"`
	Who     string    `json:"who"`
	Comment string    `json:"comment"`
	Until   time.Time `json:"until,omitzero"`
	// Seconds says how long it holds, instead of Until.
	Seconds int `json:"seconds"`
}

// AlertSilence keeps alerts that match from the receivers.
type AlertSilence struct {
	ID      string            `json:"id"`
	Match   map[string]string `json:"match"`
	Who     string            `json:"who"`
	Comment string            `json:"comment"`
	From    time.Time         `json:"from,omitzero"`
	Until   time.Time         `json:"until,omitzero"`
	// Seconds says how long it holds, instead of Until.
	Seconds int `json:"seconds,omitempty"`
}

// AlertReceiver is how a receiver is. Failures counts the tries that failed since one did not; Next is when it is tried again.
type AlertReceiver struct {
	Name     string    `json:"name"`
	Way      string    `json:"way"`
	Failures int       `json:"failures"`
	Next     time.Time `json:"next,omitzero"`
}

// AlertOutcome is what came of a test.
type AlertOutcome struct {
	Receiver string  `json:"receiver"`
	Way      string  `json:"way"`
	OK       bool    `json:"ok"`
	Error    string  `json:"error,omitempty"`
	Millis   float64 `json:"millis"`
}

// AlertList is what the API answers about a choice. Count is of the choice, Open of all.
type AlertList struct {
	Alerts    []*event.Matter `json:"alerts"`
	Count     int             `json:"count"`
	Open      int             `json:"open"`
	Receivers []AlertReceiver `json:"receivers"`
}

// AlertWhole is one alert with the tries to tell of it, the newest first.
type AlertWhole struct {
	*event.Matter
	Deliveries []AlertTry `json:"deliveries"`
}

// AlertTry is one try to tell a receiver.
type AlertTry struct {
	Time     time.Time `json:"time"`
	Receiver string    `json:"receiver"`
	Group    string    `json:"group"`
	Notice   string    `json:"notice"`
	Alerts   int       `json:"alerts"`
	Try      int       `json:"try"`
	// State is delivered, pending (it is tried again) or dead.
	State     string  `json:"state"`
	LatencyMS float64 `json:"latency_ms"`
	AgeMS     float64 `json:"age_ms"`
	Error     string  `json:"error,omitempty"`
}

const (
	maxAlerts     = 10_000
	defaultAlerts = 500
	maxTries      = 200
	actExample    = `{"who":"eva","comment":"on it","seconds":3600}`
	testExample   = `{"receiver":"ops","who":"eva"}`
	quietExample  = `{"match":{"pipeline":"compressors"},"who":"eva","comment":"maintenance","seconds":3600}`
)

// alerts refuses requests where there is no desk.
func (c *Console) alerts(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c.deps.Alerts == nil {
			fail(w, http.StatusNotImplemented, codeNotFound, "this process tells nobody of anything")
			return
		}
		next(w, r)
	}
}

func failAlert(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, ErrMissing):
		fail(w, http.StatusNotFound, codeNotFound, err.Error())
	case errors.Is(err, ErrAsk):
		fail(w, http.StatusBadRequest, codeBadRequest, err.Error())
	default:
		fail(w, http.StatusInternalServerError, "internal", err.Error())
	}
}

func (c *Console) getAlerts(w http.ResponseWriter, r *http.Request) {
	choice := AlertChoice{State: r.FormValue("state"), Pipeline: r.FormValue("pipeline"), Kind: r.FormValue("kind"), Severity: r.FormValue("severity"), Asset: r.FormValue("asset")}
	switch choice.State {
	case "", "open", "resolved", "dead":
	default:
		fail(w, http.StatusBadRequest, codeBadRequest, fmt.Sprintf("state: %q is none of open, resolved and dead", choice.State))
		return
	}
	limit := defaultAlerts
	if s := r.FormValue("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxAlerts {
			fail(w, http.StatusBadRequest, codeBadRequest, fmt.Sprintf("limit: %q is not a number from 1 to %d", s, maxAlerts))
			return
		}
		limit = n
	}
	list, all := c.deps.Alerts.List(choice, limit)
	_, open := c.deps.Alerts.List(AlertChoice{State: "open"}, 1)
	if list == nil {
		list = []*event.Matter{}
	}
	answer(w, AlertList{list, all, open, c.deps.Alerts.Receivers()})
}

// getAlert answers with one alert; tries that are no longer at hand come from the store, as far as it answers.
func (c *Console) getAlert(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	m, tries, err := c.deps.Alerts.Get(id)
	if err != nil {
		failAlert(w, err)
		return
	}
	out := AlertWhole{m, []AlertTry{}}
	have := map[string]bool{}
	add := func(t AlertTry) {
		key := fmt.Sprint(t.Notice, t.Try, t.Receiver)
		if !have[key] && len(out.Deliveries) < maxTries {
			have[key] = true
			out.Deliveries = append(out.Deliveries, t)
		}
	}
	for i := range tries {
		d := &tries[i]
		add(AlertTry{time.Unix(0, d.Time).UTC(), d.Receiver, d.Group, d.Notice, len(d.Matters), d.Try, d.State, float64(d.Latency) / 1e6, float64(d.Age) / 1e6, d.Error})
	}
	if t, err := c.pages.query(r.Context(), alertTries, map[string]string{"id": id}, maxTries); err == nil {
		for _, row := range t.Rows {
			add(AlertTry{time.UnixMicro(asInt(row[0])).UTC(), asText(row[1]), asText(row[2]), asText(row[3]), int(asInt(row[4])), int(asInt(row[5])), asText(row[6]),
				float64(asInt(row[7])) / 1e3, float64(asInt(row[8])) / 1e3, text(asText(row[9]))})
		}
	}
	answer(w, out)
}

// alertTries gives the tries to tell of an alert, the newest first.
const alertTries = `
SELECT toUnixTimestamp64Micro(time), receiver, group_key, notice, length(ids), try, state, intDiv(latency_ns, 1000), intDiv(age_ns, 1000), error
FROM alert_deliveries
WHERE has(ids, {id:String})
ORDER BY time DESC
LIMIT 200`

// actAlert does one of the acts.
func (c *Console) actAlert(what string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var a AlertAct
		if !readStrict(w, r, &a, actExample) {
			return
		}
		a.What = what
		until, err := holds(a.Until, a.Seconds)
		if err != nil {
			failAlert(w, err)
			return
		}
		a.Until = until
		m, err := c.deps.Alerts.Act(r.PathValue("id"), a)
		if err != nil {
			failAlert(w, err)
			return
		}
		answer(w, m)
	}
}

// holds returns until when something holds; zero where neither says so.
func holds(until time.Time, seconds int) (time.Time, error) {
	const most = 366 * 24 * 3600
	switch {
	case seconds < 0 || seconds > most:
		return until, fmt.Errorf("%w: seconds: %d is not between 0 and %d", ErrAsk, seconds, most)
	case seconds > 0 && !until.IsZero():
		return until, fmt.Errorf("%w: seconds, until: write one of the two", ErrAsk)
	case seconds > 0:
		return time.Now().Add(time.Duration(seconds) * time.Second), nil
	}
	return until, nil
}

func (c *Console) testAlert(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Receiver string `json:"receiver"`
		Who      string `json:"who"`
	}
	if !readStrict(w, r, &ask, testExample) {
		return
	}
	out, err := c.deps.Alerts.Test(r.Context(), ask.Receiver, ask.Who)
	if err != nil {
		failAlert(w, err)
		return
	}
	answer(w, out)
}

func (c *Console) getSilences(w http.ResponseWriter, _ *http.Request) {
	answer(w, c.deps.Alerts.Silences())
}

func (c *Console) postSilence(w http.ResponseWriter, r *http.Request) {
	var s AlertSilence
	if !readStrict(w, r, &s, quietExample) {
		return
	}
	until, err := holds(s.Until, s.Seconds)
	if err == nil {
		s.Until, s.Seconds = until, 0
		var made *AlertSilence
		if made, err = c.deps.Alerts.Silence(s); err == nil {
			answerWith(w, http.StatusCreated, made)
			return
		}
	}
	failAlert(w, err)
}

func (c *Console) deleteSilence(w http.ResponseWriter, r *http.Request) {
	if err := c.deps.Alerts.Unsilence(r.PathValue("id")); err != nil {
		failAlert(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
