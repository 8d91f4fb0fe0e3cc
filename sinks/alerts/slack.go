package alerts

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"andon/event"
)

// Slack posts to an incoming webhook of Slack, or of what speaks as it does (Mattermost, Rocket.Chat). URL is a secret, for whoever has it may post.
type Slack struct {
	HTTP `yaml:",inline"`
	// Channel is for those that let the sender choose.
	Channel string `yaml:"channel"`
}

func (s *Slack) validate() error { return s.HTTP.validate() }

type slack struct {
	*web
	cfg *Slack
}

func newSlack(cfg *Slack) *slack { return &slack{newWeb(&cfg.HTTP), cfg} }

func (s *slack) refresh() time.Duration { return 0 }

type slackMessage struct {
	Channel     string            `json:"channel,omitempty"`
	Text        string            `json:"text"`
	Attachments []slackAttachment `json:"attachments"`
}

type slackAttachment struct {
	Color     string   `json:"color"`
	Fallback  string   `json:"fallback"`
	Title     string   `json:"title"`
	TitleLink string   `json:"title_link,omitempty"`
	Text      string   `json:"text"`
	Footer    string   `json:"footer"`
	Time      int64    `json:"ts"`
	Markdown  []string `json:"mrkdwn_in"`
}

// slackMost is how many matters a message shows; the rest is counted.
const slackMost = 10

func (s *slack) send(ctx context.Context, n *Notice) error {
	msg := slackMessage{Channel: s.cfg.Channel, Text: slackText(headline(n)), Attachments: []slackAttachment{}}
	for i, m := range n.Matters {
		if i == slackMost {
			msg.Text += fmt.Sprintf(" (the worst %d are shown)", slackMost)
			break
		}
		a := slackAttachment{Color: slackColor(m), Fallback: slackText(m.Title), Title: slackText(m.Title), TitleLink: linkOf(m, n.Links), Text: slackText(m.Detail),
			Footer: slackText(facts(m)), Time: m.Since.Unix(), Markdown: []string{"text"}}
		if m.Evidence != "" {
			a.Text += "\n<" + evidenceOf(m, n.Links) + "|evidence>"
		}
		msg.Attachments = append(msg.Attachments, a)
	}
	body, err := json.Marshal(msg)
	if err != nil {
		return &refusal{err}
	}
	return s.post(ctx, "", "application/json", body, nil)
}

// slackText keeps text from being read as Slack's markup.
func slackText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

func slackColor(m *event.Matter) string {
	switch {
	case m.State == event.MatterResolved:
		return "good"
	case m.Severity == event.SeverityCritical:
		return "danger"
	case m.Severity == event.SeverityWarning:
		return "warning"
	}
	return "#439fe0"
}

// headline says in one line what a notice is about.
func headline(n *Notice) string {
	firing := 0
	var first *event.Matter
	for _, m := range n.Matters {
		if m.State == event.MatterFiring {
			if firing++; firing == 1 {
				first = m
			}
		}
	}
	more := func(k int) string {
		if k > 0 {
			return fmt.Sprintf(" and %d more", k)
		}
		return ""
	}
	if first != nil {
		return strings.ToUpper(first.Severity) + ": " + first.Title + more(firing-1+n.Left)
	}
	return "Resolved: " + n.Matters[0].Title + more(len(n.Matters)-1+n.Left)
}

// facts names where a matter is and since when, on one line.
func facts(m *event.Matter) string {
	var all []string
	for _, s := range []string{m.Severity, m.Kind, m.Pipeline, m.Asset} {
		if s != "" {
			all = append(all, s)
		}
	}
	all = append(all, "since "+m.Since.UTC().Format(time.RFC3339))
	if m.State == event.MatterResolved {
		all = append(all, "resolved "+m.Ended.UTC().Format(time.RFC3339))
	}
	if m.Ack != nil {
		all = append(all, "acknowledged by "+m.Ack.Who)
	}
	return strings.Join(all, " · ")
}
