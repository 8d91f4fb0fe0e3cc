package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"andon/event"
)

// maxLabels is the most that one call tells.
const maxLabels = 1000

// Label is one label as it is told; the fields are those of a record of the topic of labels.
type Label struct {
	Pipeline string `json:"pipeline"`
	Asset    string `json:"asset,omitempty"`
	// Time and Until are RFC 3339 with a zone.
	Time      string    `json:"time,omitempty"`
	Until     string    `json:"until,omitempty"`
	Label     string    `json:"label"`
	Value     *float64  `json:"value,omitempty"`
	Box       []float64 `json:"box,omitempty"`
	Of        string    `json:"of,omitempty"`
	Weight    float64   `json:"weight,omitempty"`
	Golden    bool      `json:"golden,omitempty"`
	Withdrawn bool      `json:"withdrawn,omitempty"`
	Who       string    `json:"who,omitempty"`
	Note      string    `json:"note,omitempty"`
}

// missedWeight is how much a label that a person calls missed counts in training, where nobody says: as much as five others.
const missedWeight = 5

// LabelsAsk tells labels: one by its fields, or several.
type LabelsAsk struct {
	Label
	Labels []Label `json:"labels,omitempty"`
	// Missed says of all of them that the model should have seen them: those without a label are "missed", and all are golden and have a weight of 5 where none is given. For those with a label of something that was
	// there, that they were missed is told as a label of its own, behind all of them.
	Missed bool `json:"missed,omitempty"`
}

// something tells whether a label says that something was there.
func something(label string) bool {
	return label != event.KindMissed && label != event.KindClear && label != event.KindNormal && label != event.KindQuarantine
}

// marks are the labels that say of others that what they speak of was missed.
func (a *LabelsAsk) marks(list []Label) (out []Label) {
	if !a.Missed {
		return nil
	}
	for _, l := range list {
		if something(l.Label) {
			l.Label, l.Value = event.KindMissed, nil
			out = append(out, l)
		}
	}
	return out
}

// LabelsAnswer says where in the log the labels are, topic/partition@offset, in their order.
type LabelsAnswer struct {
	At []string `json:"at"`
}

const labelsExample = `{"pipeline":"compressors","asset":"fd001-test-24","time":"2026-01-31T05:00:00Z","label":"failure"}, or {"labels":[…]}`

// all returns the labels that are told, with what is left out filled in.
func (a *LabelsAsk) all() ([]Label, error) {
	list := a.Labels
	if one := a.Label; one.Pipeline != "" || one.Label != "" || one.Asset != "" || one.Of != "" {
		if len(list) > 0 {
			return nil, errors.New("labels: tell one label by its fields, or several in labels")
		}
		list = []Label{one}
	}
	if len(list) == 0 || len(list) > maxLabels {
		return nil, fmt.Errorf("labels: %d labels: tell 1 to %d", len(list), maxLabels)
	}
	for i := range list {
		l := &list[i]
		if a.Missed && !l.Withdrawn {
			if l.Label == "" {
				l.Label = event.KindMissed
			}
			l.Golden = true
			if l.Weight == 0 {
				l.Weight = missedWeight
			}
		} else if a.Missed && l.Label == "" {
			l.Label = event.KindMissed
		}
	}
	return list, nil
}

// postLabels tells labels.
func (c *Console) postLabels(w http.ResponseWriter, r *http.Request) {
	var ask LabelsAsk
	if !readStrict(w, r, &ask, labelsExample) {
		return
	}
	if c.deps.Label == nil {
		fail(w, http.StatusNotImplemented, codeNotFound, "this process tells no labels")
		return
	}
	list, err := ask.all()
	if err != nil {
		fail(w, http.StatusBadRequest, codeBadRequest, err.Error())
		return
	}
	at, err := c.deps.Label(r.Context(), append(list, ask.marks(list)...))
	at = at[:min(len(at), len(list))]
	switch {
	case errors.Is(err, ErrAsk):
		fail(w, http.StatusBadRequest, codeBadRequest, err.Error())
	case errors.Is(err, context.DeadlineExceeded), err != nil:
		fail(w, http.StatusBadGateway, codeBusy, err.Error())
	default:
		answerWith(w, http.StatusAccepted, LabelsAnswer{at})
	}
}
