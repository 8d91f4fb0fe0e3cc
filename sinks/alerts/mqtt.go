package alerts

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"andon/event"

	mqttclient "github.com/eclipse/paho.mqtt.golang"
)

// MQTT publishes each matter to a topic of its own below Topic, as a CloudEvent 1.0 in structured JSON: the pipeline, the kind and the asset are its levels.
type MQTT struct {
	// Broker is mqtt://host:1883, or mqtts://host:8883.
	Broker string `yaml:"broker"`
	Topic  string `yaml:"topic"`
	// QoS is 0, 1 or 2; Retain keeps the newest state of each open matter for those who come later, and clears it when it is resolved.
	QoS      byte   `yaml:"qos"`
	Retain   bool   `yaml:"retain"`
	ClientID string `yaml:"client_id"`
	CA       string `yaml:"ca"`
	User     string `yaml:"user"`
	Password Secret `yaml:"password"`
}

// UnmarshalYAML reads a section over the defaults.
func (m *MQTT) UnmarshalYAML(unmarshal func(any) error) error {
	type plain MQTT
	m.Topic, m.QoS = "andon/alerts", 1
	return unmarshal((*plain)(m))
}

func (m *MQTT) validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if u, err := url.Parse(m.Broker); err != nil || u.Scheme != "mqtt" && u.Scheme != "mqtts" || u.Host == "" || u.User != nil {
		fault("broker: it is not the address of a broker, as mqtt://plant.example.org:1883; user and password have keys of their own")
	} else if m.CA != "" && u.Scheme != "mqtts" {
		fault("ca: the broker is not asked over TLS: write mqtts://")
	}
	if m.Topic == "" || strings.ContainsAny(m.Topic, "+#") {
		fault("topic: %q is not a topic to publish to", m.Topic)
	}
	if m.QoS > 2 {
		fault("qos: %d is none of 0, 1 and 2", m.QoS)
	}
	if m.User == "" && m.Password != "" {
		fault("user: a password needs one")
	}
	return errors.Join(errs...)
}

// mqtt keeps one connection, made anew when it is needed and lost.
type mqtt struct {
	cfg    *MQTT
	mu     sync.Mutex
	client mqttclient.Client
}

func newMQTT(cfg *MQTT) *mqtt { return &mqtt{cfg: cfg} }

func (q *mqtt) refresh() time.Duration { return 0 }

func (q *mqtt) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.client != nil {
		q.client.Disconnect(100)
		q.client = nil
	}
}

func (q *mqtt) send(ctx context.Context, n *Notice) error {
	c, err := q.connection(ctx)
	if err != nil {
		return err
	}
	for _, m := range n.Matters {
		topic := q.topic(m)
		if err := await(ctx, c.Publish(topic, q.cfg.QoS, q.cfg.Retain && m.State == event.MatterFiring, cloudEventOf(m, n.Links).structured())); err != nil {
			return fmt.Errorf("publish to %s: %w", topic, err)
		}
		if q.cfg.Retain && m.State == event.MatterResolved { // nothing is kept of what is over
			if err := await(ctx, c.Publish(topic, q.cfg.QoS, true, []byte{})); err != nil {
				return fmt.Errorf("clear %s: %w", topic, err)
			}
		}
	}
	return nil
}

// topic is where a matter is published; its last level is of the ID, for one asset may have several.
func (q *mqtt) topic(m *event.Matter) string {
	levels := []string{strings.TrimSuffix(q.cfg.Topic, "/")}
	for _, s := range []string{m.Pipeline, m.Kind, m.Asset, fingerprint(m.ID)} {
		if s == "" {
			s = "-"
		}
		levels = append(levels, strings.NewReplacer("/", "_", "+", "_", "#", "_", "\x00", "_").Replace(s))
	}
	return strings.Join(levels, "/")
}

func (q *mqtt) connection(ctx context.Context) (mqttclient.Client, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.client != nil && q.client.IsConnectionOpen() {
		return q.client, nil
	}
	u, err := url.Parse(q.cfg.Broker)
	if err != nil {
		return nil, &refusal{errors.New("broker: it is not an address")}
	}
	scheme := "tcp://"
	o := mqttclient.NewClientOptions().SetAutoReconnect(false).SetConnectRetry(false).SetClientID(q.cfg.ClientID).SetCleanSession(true).SetOrderMatters(false).SetKeepAlive(30 * time.Second)
	if q.cfg.ClientID == "" { // two replicas must not throw each other out
		o.SetClientID("andon-" + fingerprint(fmt.Sprint(os.Getpid(), time.Now().UnixNano())))
	}
	if u.Scheme == "mqtts" {
		scheme = "ssl://"
		secure, err := trust(q.cfg.CA)
		if err != nil {
			return nil, err
		}
		secure.ServerName = u.Hostname()
		o.SetTLSConfig(secure)
	}
	if q.cfg.User != "" {
		password, err := q.cfg.Password.value("password")
		if err != nil {
			return nil, err
		}
		o.SetUsername(q.cfg.User).SetPassword(password)
	}
	if deadline, ok := ctx.Deadline(); ok {
		o.SetConnectTimeout(max(time.Until(deadline), time.Millisecond))
	}
	c := mqttclient.NewClient(o.AddBroker(scheme + u.Host))
	if err := await(ctx, c.Connect()); err != nil {
		c.Disconnect(0)
		return nil, fmt.Errorf("connect to %s: %w", u.Host, err)
	}
	q.client = c
	return c, nil
}

func await(ctx context.Context, t mqttclient.Token) error {
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return ctx.Err()
	}
}
