package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (c *Console) getStatus(w http.ResponseWriter, _ *http.Request)    { answer(w, c.view()) }
func (c *Console) getPipelines(w http.ResponseWriter, _ *http.Request) { answer(w, c.view().Pipelines) }
func (c *Console) getQueries(w http.ResponseWriter, _ *http.Request)   { answer(w, examples) }

func (c *Console) getTrainings(w http.ResponseWriter, _ *http.Request) {
	runs, _ := c.hub.trainings.since(0)
	answer(w, runs)
}

// getLine answers with the recent samples.
func (c *Console) getLine(w http.ResponseWriter, _ *http.Request) {
	samples, _, _ := c.hub.line.since(0)
	list := make([]json.RawMessage, len(samples))
	for i, s := range samples {
		list[i] = s
	}
	answer(w, struct {
		Fields  map[string][]string `json:"fields"`
		Samples []json.RawMessage   `json:"samples"`
	}{map[string][]string{"pipeline": pipelineFields, "parts": partFields}, list})
}

// apiAsset is an asset as the API tells of it. Times are RFC 3339.
type apiAsset struct {
	Pipeline string    `json:"pipeline"`
	Asset    string    `json:"asset"`
	Seen     time.Time `json:"seen,omitzero"`
	Score    *apiScore `json:"score,omitempty"`
	// Values are the newest row's, by signal; only in the answer about one asset.
	Values map[string]number `json:"values,omitempty"`
}

type apiScore struct {
	Risk      number    `json:"risk"`
	Value     number    `json:"value"`
	Start     time.Time `json:"start"`
	End       time.Time `json:"end"`
	Version   string    `json:"version"`
	LatencyMS number    `json:"latency_ms"`
	ScoredAt  time.Time `json:"scored_at"`
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
}

func (s *standing) api(pipeline string) apiAsset {
	a := apiAsset{Pipeline: pipeline, Asset: s.Asset}
	if s.Time > 0 {
		a.Seen = time.Unix(0, s.Time).UTC()
	}
	if s.Scored {
		v := &s.Score
		a.Score = &apiScore{
			Risk: number(v.Risk), Value: number(v.Value), Start: time.Unix(0, v.Start).UTC(), End: time.Unix(0, v.End).UTC(), Version: v.Version,
			LatencyMS: number(float64(v.Latency) / 1e6), ScoredAt: time.Unix(0, v.ScoredAt).UTC(), Topic: v.Topic, Partition: v.Partition, Offset: v.Offset,
		}
	}
	return a
}

// getFleet answers with a pipeline's assets, those at the highest risk first.
func (c *Console) getFleet(w http.ResponseWriter, r *http.Request) {
	p, ok := c.pipeline(r.FormValue("pipeline"))
	if !ok {
		fail(w, http.StatusNotFound, codeNotFound, fmt.Sprintf("there is no pipeline %q; /api/v1/pipelines lists them", r.FormValue("pipeline")))
		return
	}
	limit := 1000
	if s := r.FormValue("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			fail(w, http.StatusBadRequest, codeBadRequest, fmt.Sprintf("limit: %q is not a positive number", s))
			return
		}
		limit = n
	}
	list, _ := c.hub.board.since(p.Name, 0, false)
	slices.SortFunc(list, func(a, b standing) int {
		if a.Scored != b.Scored {
			if a.Scored {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.Score.Risk, a.Score.Risk), strings.Compare(a.Asset, b.Asset))
	})
	out := struct {
		Pipeline string     `json:"pipeline"`
		Unit     string     `json:"unit"`
		Count    int        `json:"count"`
		Assets   []apiAsset `json:"assets"`
	}{p.Name, p.Unit, len(list), []apiAsset{}}
	for i := range list[:min(limit, len(list))] {
		out.Assets = append(out.Assets, list[i].api(p.Name))
	}
	answer(w, out)
}

func (c *Console) getAsset(w http.ResponseWriter, r *http.Request) {
	p, ok := c.pipeline(r.PathValue("pipeline"))
	s, seen := c.hub.board.asset(p.Name, r.PathValue("asset"))
	if !ok || !seen {
		fail(w, http.StatusNotFound, codeNotFound, fmt.Sprintf("no asset %q of pipeline %q has been seen since the start", r.PathValue("asset"), r.PathValue("pipeline")))
		return
	}
	a := s.api(p.Name)
	a.Values = map[string]number{}
	for i, v := range s.Values {
		if i < len(p.Signals) {
			a.Values[p.Signals[i]] = number(v)
		}
	}
	answer(w, a)
}

// apiSeries holds columns: Values[i] belongs to Signals[i] and has one entry a time.
type apiSeries struct {
	Pipeline string       `json:"pipeline"`
	Asset    string       `json:"asset"`
	From     int64        `json:"from"`
	Step     int64        `json:"step"`
	Signals  []string     `json:"signals"`
	Times    []float64    `json:"times"`
	Values   [][]number32 `json:"values"`
	Scores   struct {
		Times []float64  `json:"times"`
		Value []number32 `json:"value"`
		Risk  []number32 `json:"risk"`
	} `json:"scores"`
}

// number32 is a float32 that JSON can carry.
type number32 float32

// MarshalJSON writes seven significant digits, or null.
func (n number32) MarshalJSON() ([]byte, error) { return appendNumber(nil, float64(n), 7), nil }

// getSeries answers with what the store remembers of an asset.
func (c *Console) getSeries(w http.ResponseWriter, r *http.Request) {
	p, ok := c.pipeline(r.PathValue("pipeline"))
	if !ok {
		fail(w, http.StatusNotFound, codeNotFound, fmt.Sprintf("there is no pipeline %q; /api/v1/pipelines lists them", r.PathValue("pipeline")))
		return
	}
	from, err := instant(r.FormValue("from"), 0)
	to, err2 := instant(r.FormValue("to"), endOfTime)
	points := c.cfg.SeriesPoints
	var err3 error
	if s := r.FormValue("points"); s != "" {
		if points, err3 = strconv.Atoi(s); err3 != nil || points < 1 || points > 100_000 {
			err3 = fmt.Errorf("points: %q is not a number from 1 to 100,000", s)
		}
	}
	if err := errors.Join(err, err2, err3); err != nil {
		fail(w, http.StatusBadRequest, codeBadRequest, err.Error())
		return
	}
	s, err := c.pages.readSeries(r.Context(), p, r.PathValue("asset"), from, to, points)
	if err != nil {
		failStore(w, err)
		return
	}
	out := apiSeries{Pipeline: p.Name, Asset: r.PathValue("asset"), From: s.from, Step: s.step, Signals: p.Signals, Times: append([]float64{}, s.rows.times...)}
	for _, col := range s.rows.cols {
		out.Values = append(out.Values, numbers(col))
	}
	out.Scores.Times, out.Scores.Value, out.Scores.Risk = append([]float64{}, s.scores.times...), numbers(s.scores.cols[0]), numbers(s.scores.cols[1])
	answer(w, out)
}

func numbers(col []float32) []number32 {
	out := make([]number32, len(col))
	for i, v := range col {
		out[i] = number32(v)
	}
	return out
}

// instant reads a time as RFC 3339 or as Unix milliseconds; negative milliseconds count back from the newest.
func instant(s string, none int64) (int64, error) {
	if s == "" {
		return none, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, fmt.Errorf("%q is neither a time as 2020-01-01T05:00:00Z nor Unix milliseconds", s)
	}
	return t.UnixMilli(), nil
}

// maxBody bounds what is sent to us: the text of a query is the longest.
const maxBody = 1 << 20

// readJSON decodes a request's body into v, or answers why it cannot and returns false.
func readJSON(w http.ResponseWriter, r *http.Request, v any, example string) bool {
	return readBody(w, r, example, func(body []byte) error { return json.Unmarshal(body, v) })
}

// readStrict is readJSON for what changes something: a field that is not known, such as a misspelt choice, is refused.
func readStrict(w http.ResponseWriter, r *http.Request, v any, example string) bool {
	return readBody(w, r, example, func(body []byte) error {
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(v); err != nil {
			return err
		}
		if _, err := d.Token(); err != io.EOF {
			return errors.New("there is more after the object")
		}
		return nil
	})
}

func readBody(w http.ResponseWriter, r *http.Request, example string, decode func([]byte) error) bool {
	// A form of a foreign page cannot send this type without asking first.
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		fail(w, http.StatusUnsupportedMediaType, codeBadRequest, "send JSON, as "+example)
		return false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = decode(body)
	}
	if err != nil {
		fail(w, http.StatusBadRequest, codeBadRequest, "send JSON, as "+example+": "+err.Error())
		return false
	}
	return true
}

// postTraining asks for a training run.
func (c *Console) postTraining(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Pipeline string `json:"pipeline"`
	}
	if !readJSON(w, r, &ask, `{"pipeline":"compressors"}`) {
		return
	}
	if c.deps.Train == nil {
		fail(w, http.StatusNotImplemented, codeNotFound, "this process does not train")
		return
	}
	if _, ok := c.pipeline(ask.Pipeline); !ok {
		fail(w, http.StatusNotFound, codeNotFound, fmt.Sprintf("there is no pipeline %q; /api/v1/pipelines lists them", ask.Pipeline))
		return
	}
	if err := c.deps.Train(ask.Pipeline); err != nil {
		fail(w, http.StatusConflict, codeBusy, err.Error())
		return
	}
	answerWith(w, http.StatusAccepted, ask)
}

// postSQL puts a person's query to the store, read-only.
func (c *Console) postSQL(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		SQL    string            `json:"sql"`
		Params map[string]string `json:"params"`
		Limit  int               `json:"limit"`
	}
	if !readJSON(w, r, &ask, `{"sql":"SELECT 1","limit":100}`) {
		return
	}
	if strings.TrimSpace(ask.SQL) == "" || ask.Limit < 0 {
		fail(w, http.StatusBadRequest, codeBadRequest, `"sql" is empty, or "limit" negative`)
		return
	}
	if ask.Limit == 0 || ask.Limit > c.cfg.QueryRows {
		ask.Limit = c.cfg.QueryRows
	}
	began := time.Now()
	t, err := c.people.query(r.Context(), ask.SQL, ask.Params, ask.Limit)
	if err != nil {
		failStore(w, err)
		return
	}
	t = tableJSON(t)
	answer(w, struct {
		Columns   []string `json:"columns"`
		Types     []string `json:"types"`
		Rows      [][]any  `json:"rows"`
		Truncated bool     `json:"truncated"`
		ElapsedMS number   `json:"elapsed_ms"`
	}{t.Columns, t.Types, t.Rows, t.Truncated, number(float64(time.Since(began)) / 1e6)})
}

func failStore(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, context.Canceled):
		fail(w, 499, codeStore, "the request was given up")
	case errors.Is(err, context.DeadlineExceeded):
		fail(w, http.StatusGatewayTimeout, codeStore, err.Error())
	default:
		fail(w, http.StatusUnprocessableEntity, codeStore, err.Error())
	}
}

func (c *Console) getHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}

// getReady answers 200, or 503 with a line for each part that is not ready.
func (c *Console) getReady(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err := c.deps.Ready(); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, err.Error()+"\n")
		return
	}
	_, _ = io.WriteString(w, "ready\n")
}
