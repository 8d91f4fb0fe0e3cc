package alerts

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"andon/event"
)

// Webhook posts the body that Alertmanager posts, version 4, so that whatever takes that takes ours. With a secret it signs it; see Verify.
type Webhook struct {
	HTTP   `yaml:",inline"`
	Secret Secret `yaml:"secret"`
}

func (w *Webhook) validate() error { return w.HTTP.validate() }

// The headers of a notice: its name, the same over all tries; the number of the try; and the signature, t=<Unix seconds>,v1=<hexadecimal HMAC-SHA256 of "<t>.<body>">.
const (
	HeaderNotice    = "Andon-Notice"
	HeaderTry       = "Andon-Try"
	HeaderSignature = "Andon-Signature"
)

type webhook struct {
	*web
	cfg *Webhook
}

func newWebhook(cfg *Webhook) *webhook { return &webhook{newWeb(&cfg.HTTP), cfg} }

func (w *webhook) refresh() time.Duration { return 0 }

func (w *webhook) send(ctx context.Context, n *Notice) error {
	body, err := json.Marshal(bodyOf(n))
	if err != nil {
		return &refusal{err}
	}
	secret, err := w.cfg.Secret.value("secret")
	if err != nil {
		return err
	}
	return w.post(ctx, "", "application/json", body, func(r *http.Request) error {
		r.Header.Set(HeaderNotice, n.ID)
		r.Header.Set(HeaderTry, strconv.Itoa(n.Try))
		if secret != "" {
			r.Header.Set(HeaderSignature, sign(secret, body, time.Now()))
		}
		return nil
	})
}

func sign(secret string, body []byte, now time.Time) string {
	t := strconv.FormatInt(now.Unix(), 10)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac(secret, t, body))
}

func mac(secret, t string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(t))
	h.Write([]byte{'.'})
	h.Write(body)
	return h.Sum(nil)
}

// Verify checks a signature as a receiver does: it must be of the body and the secret, and no further from now than within, so that an old one cannot be played again.
func Verify(signature, secret string, body []byte, now time.Time, within time.Duration) error {
	var t string
	var sums []string
	for part := range strings.SplitSeq(signature, ",") {
		switch name, v, _ := strings.Cut(part, "="); name {
		case "t":
			t = v
		case "v1":
			sums = append(sums, v)
		}
	}
	at, err := strconv.ParseInt(t, 10, 64)
	if err != nil || len(sums) == 0 {
		return errors.New("the signature has no time or no sum")
	}
	want := mac(secret, t, body)
	for _, s := range sums {
		if got, err := hex.DecodeString(s); err == nil && hmac.Equal(got, want) {
			if off := now.Sub(time.Unix(at, 0)).Abs(); off > within {
				return fmt.Errorf("the signature is %v off", off)
			}
			return nil
		}
	}
	return errors.New("the signature is not of this body and secret")
}

// body is Alertmanager's webhook body, version 4.
type body struct {
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   int               `json:"truncatedAlerts"`
	Status            string            `json:"status"`
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Alerts            []bodyAlert       `json:"alerts"`
}

type bodyAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"` // the zero time while it is open
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

func bodyOf(n *Notice) *body {
	b := &body{Version: "4", GroupKey: n.Key, TruncatedAlerts: n.Left, Status: event.MatterResolved, Receiver: n.Receiver, GroupLabels: n.Labels, ExternalURL: n.Links,
		Alerts: []bodyAlert{}}
	if n.Firing() {
		b.Status = event.MatterFiring
	}
	for i, m := range n.Matters {
		a := bodyAlert{Status: m.State, Labels: labelsOf(m), Annotations: annotationsOf(m, n.Links), StartsAt: m.Since, EndsAt: m.Ended, GeneratorURL: linkOf(m, n.Links), Fingerprint: fingerprint(m.ID)}
		if m.State == event.MatterFiring {
			a.EndsAt = time.Time{}
		}
		b.Alerts = append(b.Alerts, a)
		if i == 0 {
			b.CommonLabels, b.CommonAnnotations = maps.Clone(a.Labels), maps.Clone(a.Annotations)
			continue
		}
		same := func(common, of map[string]string) {
			maps.DeleteFunc(common, func(k, v string) bool { o, ok := of[k]; return !ok || o != v })
		}
		same(b.CommonLabels, a.Labels)
		same(b.CommonAnnotations, a.Annotations)
	}
	return b
}

// labelsOf returns a matter's labels as Prometheus would have them.
func labelsOf(m *event.Matter) map[string]string {
	all := map[string]string{}
	for k, v := range m.Labels {
		if v != "" {
			all[labelText(k)] = v
		}
	}
	for k, v := range map[string]string{labelName: "andon-" + m.Kind, "id": m.ID, labelPipeline: m.Pipeline, labelKind: m.Kind, labelSeverity: m.Severity, labelAsset: m.Asset} {
		if v != "" {
			all[k] = v
		}
	}
	return all
}

// labelText makes a name that Prometheus accepts: letters, digits and underscores, no digit first.
func labelText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, s)
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		s = "_" + s
	}
	return s
}

func annotationsOf(m *event.Matter, links string) map[string]string {
	all := map[string]string{"summary": m.Title}
	if m.Detail != "" {
		all["description"] = m.Detail
	}
	if m.Evidence != "" {
		all["evidence"] = evidenceOf(m, links)
	}
	if m.Ack != nil {
		all["acknowledged_by"] = m.Ack.Who
		if m.Ack.Comment != "" {
			all["acknowledged_why"] = m.Ack.Comment
		}
	}
	if m.ResolvedBy != "" {
		all["resolved_by"] = m.ResolvedBy
	}
	return all
}

// linkOf is where the console shows a matter; evidenceOf where it shows what caused it.
func linkOf(m *event.Matter, links string) string {
	return links + "/#/alerts?id=" + escape(m.ID)
}

func evidenceOf(m *event.Matter, links string) string {
	if strings.HasPrefix(m.Evidence, "http") {
		return m.Evidence
	}
	return links + "/" + strings.TrimPrefix(m.Evidence, "/")
}

func fingerprint(id string) string {
	h := fnv.New64a()
	h.Write([]byte(id))
	return fmt.Sprintf("%016x", h.Sum64())
}
