package main

import (
	"context"
	"errors"
	"fmt"

	"andon/console"
	"andon/event"
	"andon/sinks/alerts"
)

// alertDesk is the desk of alerts as the console asks it.
type alertDesk struct{ *alerts.Desk }

// forConsole sorts an error for the API.
func forConsole(err error) error {
	switch {
	case errors.Is(err, alerts.ErrUnknown):
		return fmt.Errorf("%w: %w", console.ErrMissing, err)
	case errors.Is(err, alerts.ErrAsk):
		return fmt.Errorf("%w: %w", console.ErrAsk, err)
	}
	return err
}

func (d alertDesk) List(c console.AlertChoice, limit int) ([]*event.Matter, int) {
	return d.Desk.List(alerts.Filter{State: c.State, Pipeline: c.Pipeline, Kind: c.Kind, Severity: c.Severity, Asset: c.Asset, Limit: limit})
}

func (d alertDesk) Get(id string) (*event.Matter, []event.Delivery, error) {
	m, tries, err := d.Desk.Get(id)
	return m, tries, forConsole(err)
}

func (d alertDesk) Act(id string, a console.AlertAct) (m *event.Matter, err error) {
	switch a.What {
	case "ack":
		m, err = d.Ack(id, a.Who, a.Comment, a.Until)
	case "unack":
		m, err = d.Unack(id, a.Who, a.Comment)
	case "snooze":
		m, err = d.Snooze(id, a.Who, a.Comment, a.Until)
	case "resolve":
		m, err = d.Resolve(id, a.Who, a.Comment)
	case "resend":
		m, err = d.Resend(id, a.Who)
	default:
		err = fmt.Errorf("%w: %q is nothing that can be done", alerts.ErrAsk, a.What)
	}
	return m, forConsole(err)
}

func (d alertDesk) Silences() []console.AlertSilence {
	all := []console.AlertSilence{}
	for _, s := range d.Desk.Silences() {
		all = append(all, silenceOf(&s))
	}
	return all
}

func silenceOf(s *alerts.Silence) console.AlertSilence {
	return console.AlertSilence{ID: s.ID, Match: s.Match, Who: s.Who, Comment: s.Comment, From: s.From, Until: s.Until}
}

func (d alertDesk) Silence(s console.AlertSilence) (*console.AlertSilence, error) {
	made, err := d.Desk.Silence(s.Match, s.Who, s.Comment, s.Until)
	if err != nil {
		return nil, forConsole(err)
	}
	out := silenceOf(made)
	return &out, nil
}

func (d alertDesk) Unsilence(id string) error { return forConsole(d.Desk.Unsilence(id)) }

func (d alertDesk) Receivers() []console.AlertReceiver {
	all := []console.AlertReceiver{}
	for _, r := range d.Desk.Receivers() {
		all = append(all, console.AlertReceiver(r))
	}
	return all
}

func (d alertDesk) Test(ctx context.Context, receiver, who string) (*console.AlertOutcome, error) {
	o, err := d.Desk.Test(ctx, receiver, who)
	if err != nil {
		return nil, forConsole(err)
	}
	out := console.AlertOutcome(*o)
	return &out, nil
}
