package console

import (
	"context"
	"errors"
	"net/http"
	"strconv"
)

// Evaluations puts models side by side.
type Evaluations interface {
	// Evaluations returns a pipeline's newest tables of models × scenarios as JSON may show them, newest first; an empty pipeline means all.
	Evaluations(ctx context.Context, pipeline string, limit int) (tables any, err error)
	// Evaluate makes one now, and keeps it. ErrBusy tells that another is being made, ErrAsk that it cannot be.
	Evaluate(ctx context.Context, ask EvaluationAsk) (table any, err error)
}

// EvaluationAsk names models to be put side by side.
type EvaluationAsk struct {
	// Pipeline may be left away where no other has such versions.
	Pipeline string `json:"pipeline"`
	// Versions are their first digits, or aliases; none: champion and challenger.
	Versions []string `json:"versions"`
	// Only names scenarios of the pipeline's; none: all. Scenarios are others, YAML as in the model section, instead of the pipeline's.
	Only      []string `json:"only"`
	Scenarios string   `json:"scenarios"`
	Who       string   `json:"who"`
	Why       string   `json:"why"`
}

// defaultTables and maxTables bound one answer.
const (
	defaultTables = 10
	maxTables     = 100
)

func (c *Console) getEvaluations(w http.ResponseWriter, r *http.Request) {
	if c.deps.Evaluations == nil {
		fail(w, http.StatusNotImplemented, codeNotFound, "this process keeps no models")
		return
	}
	limit := defaultTables
	if text := r.FormValue("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxTables {
			fail(w, http.StatusBadRequest, codeBadRequest, "limit: "+strconv.Quote(text)+" is not a number between 1 and "+strconv.Itoa(maxTables))
			return
		}
		limit = n
	}
	tables, err := c.deps.Evaluations.Evaluations(r.Context(), r.FormValue("pipeline"), limit)
	if err != nil {
		failStore(w, err)
		return
	}
	answer(w, tables)
}

func (c *Console) postEvaluation(w http.ResponseWriter, r *http.Request) {
	if c.deps.Evaluations == nil {
		fail(w, http.StatusNotImplemented, codeNotFound, "this process keeps no models")
		return
	}
	var ask EvaluationAsk
	if !readJSON(w, r, &ask, `{"pipeline":"compressors","versions":["champion","challenger"]}`) {
		return
	}
	table, err := c.deps.Evaluations.Evaluate(r.Context(), ask)
	c.hub.loops.told()
	switch {
	case errors.Is(err, ErrBusy):
		fail(w, http.StatusConflict, codeBusy, err.Error())
	case errors.Is(err, ErrAsk):
		fail(w, http.StatusUnprocessableEntity, codeModel, err.Error())
	case err != nil:
		failModel(w, err, http.StatusUnprocessableEntity)
	default:
		answer(w, table)
	}
}
