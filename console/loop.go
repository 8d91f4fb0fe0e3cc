package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"andon/event"
)

// Loop is what brings models to the fleet, as the API asks it.
type Loop interface {
	// Status tells of each pipeline's loop: one JSON object a pipeline.
	Status() any
	// Order starts a campaign, or tells the one that goes on what a person wants; the error says why that makes no sense.
	Order(pipeline, act, who, why string) error
	// Decisions returns a pipeline's newest, of all where it is empty, oldest of them first.
	Decisions(ctx context.Context, pipeline string, limit int) ([]event.Decision, error)
}

// loopActs are what a person may want of a loop.
var loopActs = []string{"start", "approve", "refuse", "stop"}

// apiDecision is a decision as JSON.
type apiDecision struct {
	Time       time.Time       `json:"time"`
	Pipeline   string          `json:"pipeline"`
	Campaign   string          `json:"campaign,omitempty"`
	Stage      string          `json:"stage"`
	Verdict    string          `json:"verdict"`
	Reason     string          `json:"reason"`
	Champion   string          `json:"champion,omitempty"`
	Challenger string          `json:"challenger,omitempty"`
	Who        string          `json:"who"`
	Facts      json.RawMessage `json:"facts,omitempty"`
}

// leads refuses requests where nothing leads models.
func (c *Console) leads(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c.deps.Loop == nil {
			fail(w, http.StatusNotImplemented, codeNotFound, "this process leads no models to the fleet")
			return
		}
		next(w, r)
	}
}

func (c *Console) getLoop(w http.ResponseWriter, _ *http.Request) { answer(w, c.deps.Loop.Status()) }

// maxDecisions bounds one answer.
const maxDecisions = 2000

func (c *Console) getDecisions(w http.ResponseWriter, r *http.Request) {
	limit := 200
	if text := r.FormValue("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxDecisions {
			fail(w, http.StatusBadRequest, codeBadRequest, fmt.Sprintf("limit: %q is not between 1 and %d", text, maxDecisions))
			return
		}
		limit = n
	}
	list, err := c.deps.Loop.Decisions(r.Context(), r.FormValue("pipeline"), limit)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, codeBusy, err.Error())
		return
	}
	facts := r.FormValue("facts") != "0"
	out := make([]apiDecision, 0, len(list))
	for _, d := range slices.Backward(list) {
		a := apiDecision{time.Unix(0, d.Time).UTC(), d.Pipeline, d.Campaign, d.Stage, d.Verdict, d.Reason, d.Champion, d.Challenger, d.Who, nil}
		if facts && json.Valid([]byte(d.Facts)) {
			a.Facts = json.RawMessage(d.Facts)
		}
		out = append(out, a)
	}
	answer(w, out)
}

// postLoop tells a pipeline's loop what a person wants.
func (c *Console) postLoop(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Act string `json:"act"`
		Who string `json:"who"`
		Why string `json:"why"`
	}
	if !readJSON(w, r, &ask, `{"act":"start","who":"anna","why":"the supplier of bearings changed"}`) {
		return
	}
	if !slices.Contains(loopActs, ask.Act) {
		fail(w, http.StatusBadRequest, codeBadRequest, fmt.Sprintf("act: %q is none of %q", ask.Act, loopActs))
		return
	}
	pipeline := r.PathValue("pipeline")
	if _, ok := c.pipeline(pipeline); !ok {
		fail(w, http.StatusNotFound, codeNotFound, fmt.Sprintf("there is no pipeline %q; /api/v1/pipelines lists them", pipeline))
		return
	}
	if err := c.deps.Loop.Order(pipeline, ask.Act, orElse(ask.Who, "api"), ask.Why); err != nil {
		fail(w, http.StatusConflict, codeBusy, err.Error())
		return
	}
	answerWith(w, http.StatusAccepted, ask)
}
