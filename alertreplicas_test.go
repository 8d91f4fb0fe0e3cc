package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.yaml.in/yaml/v3"

	"andon/deploy/kafka/brokertest"
	"andon/event"
	"andon/sinks/alerts"
	"andon/sinks/kafka"
)

// hook is a webhook that remembers what it was told, as "firing a" for each alert of a notice.
type hook struct {
	*httptest.Server
	mu   sync.Mutex
	said []string
	down bool
}

func newHook(t *testing.T) *hook {
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var n struct {
			Alerts []struct {
				Status string            `json:"status"`
				Labels map[string]string `json:"labels"`
			} `json:"alerts"`
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.down {
			w.WriteHeader(500)
			return
		}
		if err := json.Unmarshal(body, &n); err != nil {
			t.Error(err)
		}
		for _, a := range n.Alerts {
			h.said = append(h.said, a.Status+" "+a.Labels["id"])
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) heard() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.said)
}

// replica is a desk over a cluster.
type replica struct {
	desk *alerts.Desk
	logs *lockedBuffer
	stop func()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newReplica(t *testing.T, seeds []string, topic, instance, url string) *replica {
	t.Helper()
	r := &replica{logs: &lockedBuffer{}}
	log := slog.New(slog.NewTextHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelInfo}))
	k := kafka.Default()
	k.Seeds, k.ClientID, k.DeadLetters = seeds, instance, "dead"
	p, err := kafka.Open(k, nil, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := alerts.Default()
	cfg.GroupBy = []string{"asset"}
	cfg.Receivers = []alerts.Receiver{{Name: "ops", Webhook: &alerts.Webhook{HTTP: alerts.HTTP{URL: alerts.Secret(url + "/hidden-path")}, Secret: "hidden-secret"}}}
	r.desk = alerts.New(cfg, log, nil)
	journal, err := p.Journal(topic, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.desk.Open(t.Context(), alerts.Deps{Journal: journal, Lead: p.Lead(topic, topic, instance, log), Instance: instance}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.desk.Run(ctx) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := errors.Join(journal.Close(), p.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(r.stop)
	return r
}

func (r *replica) leads() bool {
	said := r.logs.String()
	return strings.LastIndex(said, "this replica delivers") > strings.LastIndex(said, "another replica delivers")
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func critical(id string) event.Alert {
	return event.Alert{ID: id, Pipeline: "p", Kind: event.AlertRule, Severity: event.SeverityCritical, Title: id, Asset: id}
}

// Of several replicas one delivers, whichever was told; another takes over with all that is known, and tells nothing twice.
func TestAlertReplicas(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "andon.alerts"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	alertReplicas(t, cluster.ListenAddrs(), "andon.alerts")
}

// The same on Apache Kafka, whose groups move as they like.
func TestAlertReplicasOnKafka(t *testing.T) {
	real := brokertest.Need(t)
	real.Topics(t, 1, "replicas.alerts")
	alertReplicas(t, []string{real.Addr}, "replicas.alerts")
}

// settled tells whether the group that elects has so many members and moves nothing.
func settled(t *testing.T, seeds []string, group string, members int) bool {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	d, err := kadm.NewClient(cl).DescribeGroups(t.Context(), group)
	return err == nil && d[group].State == "Stable" && len(d[group].Members) == members
}

func alertReplicas(t *testing.T, seeds []string, topic string) {
	t.Helper()
	h := newHook(t)
	a := newReplica(t, seeds, topic, "a", h.URL)
	eventually(t, "a leads", a.leads)
	b := newReplica(t, seeds, topic, "b", h.URL)
	eventually(t, "one of both leads", func() bool { return settled(t, seeds, topic, 2) && a.leads() != b.leads() })
	a.desk.Raise(critical("m1"))
	eventually(t, "b knows m1", func() bool { return b.desk.Firing("m1") })
	for i := range 20 { // each replica is told of each
		id := fmt.Sprint("n", i)
		a.desk.Raise(critical(id))
		b.desk.Raise(critical(id))
	}
	b.desk.Raise(critical("only-b"))
	count := func(want string) (n int) {
		for _, s := range h.heard() {
			if s == want {
				n++
			}
		}
		return n
	}
	eventually(t, "all are told", func() bool {
		for i := range 20 {
			if count(fmt.Sprint("firing n", i)) == 0 {
				return false
			}
		}
		return count("firing m1") > 0 && count("firing only-b") > 0
	})
	leader, other := a, b
	if b.leads() && !a.leads() { // the group may have moved
		leader, other = b, a
	}
	if _, err := other.desk.Ack("n3", "eva", "on it", time.Time{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the leader knows of the acknowledgement", func() bool {
		m, _, err := leader.desk.Get("n3")
		return err == nil && m.Ack != nil && m.Ack.Who == "eva"
	})
	delivered := func(d *alerts.Desk, id string) bool {
		m, _, err := d.Get(id)
		return err == nil && m.Told["ops"].State == event.ToldDelivered
	}
	eventually(t, "the other knows what was delivered", func() bool { return delivered(other.desk, "only-b") && delivered(other.desk, "n19") })
	h.mu.Lock()
	h.down = true
	h.mu.Unlock()
	leader.desk.Raise(critical("late"))
	eventually(t, "the other knows of what is on its way", func() bool {
		m, _, err := other.desk.Get("late")
		return err == nil && m.Told["ops"].State == event.ToldPending
	})
	leader.stop()
	eventually(t, "the other leads", other.leads)
	h.mu.Lock()
	h.down = false
	h.mu.Unlock()
	for i := range 20 { // told once more by whoever found it again
		other.desk.Raise(critical(fmt.Sprint("n", i)))
	}
	over := critical("m1")
	over.Resolved = true
	other.desk.Raise(over)
	eventually(t, "it goes on", func() bool { return count("resolved m1") == 1 && count("firing late") == 1 })
	time.Sleep(200 * time.Millisecond)
	seen := map[string]int{}
	for _, s := range h.heard() {
		if seen[s]++; seen[s] > 1 {
			t.Errorf("%q was told %d times", s, seen[s])
		}
	}
	// A third one that starts later knows it all.
	other.stop()
	c := newReplica(t, seeds, topic, "c", h.URL)
	if m, _, err := c.desk.Get("n3"); err != nil || m.Ack == nil || m.Ack.Comment != "on it" {
		t.Errorf("%+v %v", m, err)
	}
	eventually(t, "c leads", c.leads)
	time.Sleep(200 * time.Millisecond)
	if n := len(h.heard()); n != len(seen) {
		t.Errorf("%d were told after the restart", n-len(seen))
	}
	for _, r := range []*replica{a, b, c} {
		if said := r.logs.String(); strings.Contains(said, "hidden") {
			t.Errorf("a secret is in the log: %s", said)
		}
	}
}

func TestAlertSecretsArePrintedNowhere(t *testing.T) {
	c, err := parseConfig([]byte(`
alerts:
  receivers:
    - {name: a, webhook: {url: "http://h/hidden", secret: hidden, headers: {Authorization: hidden}}}
    - {name: b, slack: {url: "${SLACK}"}}
    - {name: c, smtp: {server: "m:25", from: a@b.c, to: [a@b.c], user: u, password: hidden}}
    - {name: d, mqtt: {broker: "mqtt://h:1", user: u, password: "file:/run/secret"}}
    - {name: e, alertmanager: {url: "http://am"}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Alerts.Validate(); err != nil {
		t.Fatal(err)
	}
	yml, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	text := string(yml)
	for _, s := range []string{text, fmt.Sprintf("%+v", *c.Alerts.Receivers[0].Webhook), fmt.Sprintf("%#v", *c.Alerts.Receivers[2].SMTP)} {
		if !strings.Contains(s, "(hidden)") || strings.Contains(strings.ReplaceAll(s, "(hidden)", ""), "hidden") {
			t.Errorf("a secret is printed: %s", s)
		}
	}
	if !strings.Contains(text, "${SLACK}") || !strings.Contains(text, "file:/run/secret") || !strings.Contains(text, "refresh: 1m0s") || !strings.Contains(text, "topic: andon/alerts") {
		t.Error(text)
	}
}
