package alerts

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"andon/event"

	mqttclient "github.com/eclipse/paho.mqtt.golang"
	"github.com/emersion/go-sasl"
	smtpserver "github.com/emersion/go-smtp"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

func notice(state string) *Notice {
	m := &event.Matter{ID: "p/rule/press-1", Pipeline: "p", Kind: event.AlertRule, Severity: event.SeverityCritical, Title: "press <1> is hot", Detail: "cool it", Asset: "press-1",
		Labels: map[string]string{"zone.name": "north"}, Evidence: "#/asset/p/press-1", Since: at("2026-11-01T08:00:00Z"), First: at("2026-11-01T08:00:01Z"), Changed: at("2026-11-01T08:00:01Z"), State: state, Seq: 3, Active: true}
	if state == event.MatterResolved {
		m.Ended = at("2026-11-01T09:00:00Z")
	}
	other := m.Clone()
	other.ID, other.Asset, other.Severity = "p/rule/press-2", "press-2", event.SeverityWarning
	return &Notice{ID: "N1", Receiver: "ops", Key: "ops/0:{pipeline=p}", Labels: map[string]string{"pipeline": "p"}, Matters: []*event.Matter{m, other}, Links: "http://andon", Try: 2}
}

// request is what a server was asked.
type asked struct {
	path   string
	header http.Header
	body   []byte
}

func webServer(t *testing.T, answer func(w http.ResponseWriter)) (string, <-chan asked) {
	t.Helper()
	got := make(chan asked, 16)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- asked{r.URL.String(), r.Header, body}
		if answer != nil {
			answer(w)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, got
}

func TestWebhook(t *testing.T) {
	url, got := webServer(t, nil)
	t.Setenv("ANDON_TEST_TOKEN", "Bearer tok")
	w := newWebhook(&Webhook{HTTP: HTTP{URL: Secret(url + "/hook?key=x"), Headers: map[string]Secret{"Authorization": "${ANDON_TEST_TOKEN}"}}, Secret: "topsecret"})
	defer w.close()
	if err := w.send(t.Context(), notice(event.MatterFiring)); err != nil {
		t.Fatal(err)
	}
	a := <-got
	if a.path != "/hook?key=x" || a.header.Get("Authorization") != "Bearer tok" || a.header.Get(HeaderNotice) != "N1" || a.header.Get(HeaderTry) != "2" {
		t.Errorf("%s %v", a.path, a.header)
	}
	sum, now := a.header.Get(HeaderSignature), time.Now()
	if err := Verify(sum, "topsecret", a.body, now, time.Minute); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"another secret": Verify(sum, "other", a.body, now, time.Minute), "another body": Verify(sum, "topsecret", append(a.body, ' '), now, time.Minute),
		"played again later": Verify(sum, "topsecret", a.body, now.Add(time.Hour), time.Minute), "nothing": Verify("", "topsecret", a.body, now, time.Minute),
		"another time": Verify("t=1"+sum[strings.Index(sum, ","):], "topsecret", a.body, now, time.Minute),
	} {
		if err == nil {
			t.Errorf("%s is taken for signed", what)
		}
	}
	// The body holds what Alertmanager's does, version 4.
	var b map[string]any
	if err := json.Unmarshal(a.body, &b); err != nil {
		t.Fatal(err)
	}
	first := b["alerts"].([]any)[0].(map[string]any)
	for what, got := range map[string]any{"4": b["version"], "firing": b["status"], "ops": b["receiver"], "p": b["groupLabels"].(map[string]any)["pipeline"], "andon-rule": b["commonLabels"].(map[string]any)["alertname"],
		"http://andon": b["externalURL"], "north": first["labels"].(map[string]any)["zone_name"], "0001-01-01T00:00:00Z": first["endsAt"], "2026-11-01T08:00:00Z": first["startsAt"],
		"press <1> is hot": first["annotations"].(map[string]any)["summary"], "http://andon/#/asset/p/press-1": first["annotations"].(map[string]any)["evidence"],
		"http://andon/#/alerts?id=p%2Frule%2Fpress-1": first["generatorURL"]} {
		if got != what {
			t.Errorf("%v, want %q", got, what)
		}
	}
	if _, ok := b["commonLabels"].(map[string]any)["severity"]; ok {
		t.Error("a label that differs is common")
	}
	if err := w.send(t.Context(), notice(event.MatterResolved)); err != nil {
		t.Fatal(err)
	}
	if a = <-got; !bytes.Contains(a.body, []byte(`"status":"resolved"`)) || !bytes.Contains(a.body, []byte(`"endsAt":"2026-11-01T09:00:00Z"`)) {
		t.Errorf("%s", a.body)
	}
}

// What an answer means: refused for good, or tried again, and when.
func TestAnswers(t *testing.T) {
	check := func(status int, after string, refused bool, wait time.Duration) {
		t.Helper()
		url, _ := webServer(t, func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "no such\xff field")
		})
		w := newWebhook(&Webhook{HTTP: HTTP{URL: Secret(url + "/secret-path")}})
		defer w.close()
		err := w.send(t.Context(), notice(event.MatterFiring))
		if err == nil || isRefusal(err) != refused || !strings.Contains(err.Error(), "no such") || strings.Contains(err.Error(), "secret-path") {
			t.Errorf("%d: %v", status, err)
		}
		var d *delayed
		if got := errors.As(err, &d); got != (wait > 0) || got && d.after != wait {
			t.Errorf("%d: %v", status, err)
		}
	}
	check(400, "", true, 0)
	check(422, "", true, 0)
	check(301, "", true, 0)
	check(401, "", false, 0)
	check(404, "", false, 0)
	check(408, "", false, 0)
	check(500, "", false, 0)
	check(429, "30", false, 30*time.Second)
	check(503, "", false, 0)
	w := newWebhook(&Webhook{HTTP: HTTP{URL: "http://127.0.0.1:1/secret-path"}})
	defer w.close()
	if err := w.send(t.Context(), notice(event.MatterFiring)); err == nil || isRefusal(err) || strings.Contains(err.Error(), "secret-path") {
		t.Errorf("%v", err)
	}
	r := Default().Retry
	for n := 1; n < 100; n++ {
		if d := r.wait(n, nil); d < 4*r.First/5 || d > 6*r.Longest/5 {
			t.Errorf("wait %v after %d failures", d, n)
		}
	}
	if d := r.wait(1, &delayed{errors.New(""), time.Minute}); d != time.Minute {
		t.Errorf("%v", d)
	}
}

func TestAlertmanager(t *testing.T) {
	url, got := webServer(t, nil)
	a := newAlertmanager(&Alertmanager{HTTP: HTTP{URL: Secret(url + "/")}, Refresh: time.Minute})
	defer a.close()
	for _, state := range []string{event.MatterFiring, event.MatterResolved} {
		if err := a.send(t.Context(), notice(state)); err != nil {
			t.Fatal(err)
		}
		q := <-got
		var list []posted
		if err := json.Unmarshal(q.body, &list); err != nil || q.path != "/api/v2/alerts" || len(list) != 2 || list[0].Labels["alertname"] != "andon-rule" || list[0].Labels["asset"] != "press-1" {
			t.Fatalf("%v %s %s", err, q.path, q.body)
		}
		if open := list[0].EndsAt.After(time.Now().Add(3 * time.Minute)); open != (state == event.MatterFiring) {
			t.Errorf("%s ends at %v", state, list[0].EndsAt)
		}
	}
}

func TestSlack(t *testing.T) {
	url, got := webServer(t, nil)
	file := filepath.Join(t.TempDir(), "slack")
	if err := os.WriteFile(file, []byte(url+"/services/T/B/x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSlack(&Slack{HTTP: HTTP{URL: Secret("file:" + file)}, Channel: "#ops"})
	defer s.close()
	if err := s.send(t.Context(), notice(event.MatterFiring)); err != nil {
		t.Fatal(err)
	}
	q := <-got
	var m slackMessage
	if err := json.Unmarshal(q.body, &m); err != nil || q.path != "/services/T/B/x" || m.Channel != "#ops" || m.Text != "CRITICAL: press &lt;1&gt; is hot and 1 more" || len(m.Attachments) != 2 ||
		m.Attachments[0].Color != "danger" || !strings.Contains(m.Attachments[0].Text, "<http://andon/#/asset/p/press-1|evidence>") {
		t.Errorf("%v %s %s", err, q.path, q.body)
	}
	os.Remove(file)
	if err := s.send(t.Context(), notice(event.MatterFiring)); err == nil || isRefusal(err) {
		t.Errorf("without its secret: %v", err)
	}
}

// certificate makes one for 127.0.0.1, and the file that trusts it.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// post is a mail server that keeps what it gets.
type post struct {
	mu     sync.Mutex
	mails  [][]byte
	to     []string
	secure bool
	refuse bool
}

func (p *post) NewSession(c *smtpserver.Conn) (smtpserver.Session, error) {
	_, secure := c.TLSConnectionState()
	p.mu.Lock()
	p.secure = secure
	p.mu.Unlock()
	return &postSession{p: p}, nil
}

type postSession struct {
	p    *post
	user bool
}

func (s *postSession) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *postSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "andon" || password != "pw-secret" {
			return errors.New("wrong password")
		}
		s.user = true
		return nil
	}), nil
}
func (s *postSession) Mail(string, *smtpserver.MailOptions) error {
	if !s.user {
		return smtpserver.ErrAuthRequired
	}
	return nil
}
func (s *postSession) Rcpt(to string, _ *smtpserver.RcptOptions) error {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.p.refuse {
		return &smtpserver.SMTPError{Code: 550, EnhancedCode: smtpserver.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	s.p.to = append(s.p.to, to)
	return nil
}
func (s *postSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.mails = append(s.p.mails, b)
	return err
}
func (s *postSession) Reset()        {}
func (s *postSession) Logout() error { return nil }

func TestSMTP(t *testing.T) {
	pair, ca := certificate(t)
	p := &post{}
	server := smtpserver.NewServer(p)
	server.Domain, server.TLSConfig, server.ErrorLog = "localhost", &tls.Config{Certificates: []tls.Certificate{pair}}, nopLog{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
	cfg := SMTP{Server: l.Addr().String(), From: "andon@example.org", To: []string{"a@example.org", "b@example.org"}, CA: ca, User: "andon", Password: "pw-secret"}
	if err := cfg.validate(); err != nil {
		t.Fatal(err)
	}
	s := newSMTP(&cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.send(ctx, notice(event.MatterFiring)); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	m, err := mail.ReadMessage(bytes.NewReader(p.mails[0]))
	if err != nil || !p.secure || fmt.Sprint(p.to) != "[a@example.org b@example.org]" || m.Header.Get("Subject") != "[andon] CRITICAL: press <1> is hot and 1 more" ||
		m.Header.Get("Message-ID") != "<N1@andon>" || m.Header.Get("In-Reply-To") == "" {
		t.Errorf("%v %v %s", err, p.to, p.mails[0])
	}
	body, _ := io.ReadAll(m.Body)
	text := strings.ReplaceAll(string(body), "=\r\n", "")
	for _, want := range []string{"CRITICAL: press <1> is hot", "cool it", "http://andon/#/asset/p/press-1", "WARNING"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	p.refuse = true
	p.mu.Unlock()
	if err := s.send(ctx, notice(event.MatterFiring)); !isRefusal(err) {
		t.Errorf("no such user: %v", err)
	}
	wrong := cfg
	wrong.Password = "wrong-secret"
	if err := newSMTP(&wrong).send(ctx, notice(event.MatterFiring)); err == nil || strings.Contains(err.Error(), "wrong-secret") {
		t.Errorf("a wrong password: %v", err)
	}
	strange := cfg
	strange.CA = ""
	if err := newSMTP(&strange).send(ctx, notice(event.MatterFiring)); err == nil || isRefusal(err) {
		t.Errorf("an unknown authority: %v", err)
	}
}

type nopLog struct{}

func (nopLog) Printf(string, ...any) {}
func (nopLog) Println(...any)        {}

func TestMQTT(t *testing.T) {
	server := mochi.New(&mochi.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	if err := server.AddHook(new(auth.Hook), &auth.Options{Ledger: &auth.Ledger{Auth: auth.AuthRules{{Username: "andon", Password: "mq-secret", Allow: true}, {Username: "reader", Password: "r", Allow: true}}}}); err != nil {
		t.Fatal(err)
	}
	pair, ca := certificate(t)
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0", TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}})
	if err := server.AddListener(l); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	cfg := MQTT{Broker: "mqtts://" + l.Address(), Topic: "plant/alerts", QoS: 1, Retain: true, CA: ca, User: "andon", Password: "mq-secret"}
	if err := cfg.validate(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	q := newMQTT(&cfg)
	defer q.close()
	if err := q.send(ctx, notice(event.MatterFiring)); err != nil {
		t.Fatal(err)
	}
	// Who comes later gets the newest state.
	secure, err := trust(ca)
	if err != nil {
		t.Fatal(err)
	}
	reader := mqttclient.NewClient(mqttclient.NewClientOptions().AddBroker("ssl://" + l.Address()).SetTLSConfig(secure).SetUsername("reader").SetPassword("r"))
	if err := await(ctx, reader.Connect()); err != nil {
		t.Fatal(err)
	}
	defer reader.Disconnect(50)
	got := make(chan mqttclient.Message, 16)
	if err := await(ctx, reader.Subscribe("plant/alerts/p/rule/press-1/#", 1, func(_ mqttclient.Client, m mqttclient.Message) { got <- m })); err != nil {
		t.Fatal(err)
	}
	m := <-got
	var e cloudEvent
	if err := json.Unmarshal(m.Payload(), &e); err != nil || !m.Retained() || e.SpecVersion != "1.0" || e.Type != typeFiring || e.Subject != "p/rule/press-1" || e.ID != "p/rule/press-1#3" || e.Data.Title != "press <1> is hot" {
		t.Errorf("%v %s", err, m.Payload())
	}
	if err := q.send(ctx, notice(event.MatterResolved)); err != nil {
		t.Fatal(err)
	}
	if m = <-got; !bytes.Contains(m.Payload(), []byte(typeResolved)) {
		t.Errorf("%s", m.Payload())
	}
	if m = <-got; len(m.Payload()) != 0 {
		t.Errorf("%s is kept", m.Payload())
	}
	wrong := cfg
	wrong.Password = "wrong-secret"
	w := newMQTT(&wrong)
	defer w.close()
	if err := w.send(ctx, notice(event.MatterFiring)); err == nil || isRefusal(err) || strings.Contains(err.Error(), "wrong-secret") {
		t.Errorf("a wrong password: %v", err)
	}
	// A connection that was lost is made anew.
	for _, c := range server.Clients.GetAll() {
		if string(c.Properties.Username) == "andon" {
			c.Stop(errors.New("cut"))
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		if err = q.send(ctx, notice(event.MatterFiring)); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestKafkaReceiver(t *testing.T) {
	cfg := Default()
	cfg.Receivers = []Receiver{{Name: "bus", Kafka: &Kafka{Topic: "plant.alerts"}}}
	d := New(cfg, slog.New(slog.DiscardHandler), nil)
	var said []string
	send := d.receivers[0].sender.send
	if err := send(t.Context(), notice(event.MatterFiring)); err == nil {
		t.Error("sent nowhere")
	}
	d.deps.Publish = func(_ context.Context, topic, key string, value []byte, headers []event.Header) error {
		var m event.Matter
		if err := json.Unmarshal(value, &m); err != nil {
			t.Error(err)
		}
		line := topic + " " + key + " " + m.Title
		for _, h := range headers {
			line += " " + h.Key + "=" + string(h.Value)
		}
		said = append(said, line)
		return nil
	}
	if err := send(t.Context(), notice(event.MatterResolved)); err != nil || len(said) != 2 {
		t.Fatal(err, said)
	}
	if want := "plant.alerts p/rule/press-1 press <1> is hot ce_specversion=1.0 ce_id=p/rule/press-1#3 ce_source=http://andon ce_type=io.andon.alert.resolved.v1 ce_subject=p/rule/press-1 " +
		"ce_time=2026-11-01T08:00:01Z content-type=application/json"; said[0] != want {
		t.Errorf("%s\nwant\n%s", said[0], want)
	}
}
