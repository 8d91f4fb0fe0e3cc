package console

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"andon/event"
)

// Truth is what the API answers of one pipeline's predictions and labels.
type Truth struct {
	// Accuracy is by version and day of event time, the oldest first; Truncated where there are more days.
	Accuracy  []Accuracy      `json:"accuracy"`
	Lag       []LabelLag      `json:"lag"`
	Coverage  []LabelCoverage `json:"coverage"`
	Conflicts []LabelConflict `json:"conflicts"`
	// Queue are windows or frames that nobody has labelled, those first that tell most.
	Queue []Unlabelled `json:"queue"`
	// Labels are what the model of a pipeline of frames knows.
	Labels    []string `json:"labels,omitempty"`
	Truncated bool     `json:"truncated,omitempty"`
	// Since is the first day that accuracy and coverage are of: they end with the newest day of event time.
	Since time.Time `json:"since,omitzero"`
}

// Accuracy is what predictions of one version and day came to. What cannot be told is null.
type Accuracy struct {
	Version   string    `json:"version"`
	Day       time.Time `json:"day"`
	Outcomes  int64     `json:"outcomes"`
	Positives int64     `json:"positives"`
	Shadows   int64     `json:"shadows"`
	Loss      *float64  `json:"loss"`
	Brier     *float64  `json:"brier"`
	RMSE      *float64  `json:"rmse"`
	MAE       *float64  `json:"mae"`
	Accuracy  *float64  `json:"accuracy"`
	Precision *float64  `json:"precision"`
	Recall    *float64  `json:"recall"`
	F1        *float64  `json:"f1"`
	AUC       *float64  `json:"auc"`
}

// LabelLag is how long after it happened, by event time, labels of a kind are told, in seconds.
type LabelLag struct {
	Label  string   `json:"label"`
	Labels int64    `json:"labels"`
	P50    *float64 `json:"p50"`
	P95    *float64 `json:"p95"`
}

// LabelCoverage is how many of a version's predictions that counted are settled, and by a label.
type LabelCoverage struct {
	Version     string `json:"version"`
	Predictions int64  `json:"predictions"`
	Settled     int64  `json:"settled"`
	Labelled    int64  `json:"labelled"`
}

// LabelConflict is one asset and time of which two sources say the contrary.
type LabelConflict struct {
	Asset string    `json:"asset"`
	Time  time.Time `json:"time"`
	Until time.Time `json:"until,omitzero"`
	Label string    `json:"label"`
	Who   string    `json:"who"`
	Note  string    `json:"note,omitempty"`
	Told  time.Time `json:"told"`
	Box   []float64 `json:"box,omitempty"`
}

// The most of each that one answer holds.
const (
	maxAccuracy  = 2000
	maxConflicts = 100

	// truthDays is how many days accuracy and coverage are of where nobody says, maxTruthDays how many they may be of.
	truthDays    = 30
	maxTruthDays = 3650
)

// newestDay is the newest of what a pipeline said; the projection of the scores knows it.
const newestDay = `
SELECT toUnixTimestamp(toStartOfDay(greatest(
    (SELECT max(end) FROM outcomes WHERE pipeline = {pipeline:String}),
    (SELECT max(last) FROM (SELECT pipeline, asset, max(end) AS last FROM scores WHERE pipeline = {pipeline:String} GROUP BY pipeline, asset)),
    (SELECT max(captured) FROM frames WHERE pipeline = {pipeline:String} AND status = 'scored'))))`

const accuracyByDay = `
SELECT toString(version), toUnixTimestamp64Milli(toDateTime64(day, 3, 'UTC')), outcomes, positives, shadows, loss, brier, rmse, mae, accuracy, precision, recall, f1, auc
FROM (SELECT * FROM accuracy_days WHERE pipeline = {pipeline:String} AND day >= toDateTime({since:Int64}, 'UTC') ORDER BY day DESC, version LIMIT {most:UInt32})
ORDER BY day, version`

const labelLags = `
SELECT label, labels, p50_seconds, p95_seconds FROM label_lag WHERE pipeline = {pipeline:String} ORDER BY labels DESC LIMIT 100`

const labelCoverages = `
SELECT toString(version), sum(predictions), sum(settled), sum(labelled) FROM label_coverage_days WHERE pipeline = {pipeline:String} AND day >= toDateTime({since:Int64}, 'UTC')
GROUP BY version ORDER BY max(day) DESC, version LIMIT 20`

const labelConflicts = `
SELECT asset, toUnixTimestamp64Micro(time), toUnixTimestamp64Micro(until), label, who, note, toUnixTimestamp64Micro(told), box
FROM label_opinions WHERE pipeline = {pipeline:String} AND conflict ORDER BY told DESC, asset, time, label LIMIT {most:UInt32}`

func micro(v any) time.Time {
	us := asInt(v)
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// maybe is a number that JSON can carry, or null.
func maybe(v any) *float64 {
	f := asFloat(v)
	if f != f {
		return nil
	}
	return &f
}

// getTruth answers what the predictions of one pipeline came to.
func (c *Console) getTruth(w http.ResponseWriter, r *http.Request) {
	pipeline := r.FormValue("pipeline")
	known := false
	for _, p := range c.deps.Status().Pipelines {
		known = known || p.Name == pipeline
	}
	if !known {
		fail(w, http.StatusNotFound, codeNotFound, "pipeline: there is none of the name "+strconv.Quote(pipeline))
		return
	}
	days := truthDays
	if text := r.FormValue("days"); text != "" {
		var err error
		if days, err = strconv.Atoi(text); err != nil || days < 1 || days > maxTruthDays {
			fail(w, http.StatusBadRequest, codeBadRequest, fmt.Sprintf("days: %q is not between 1 and %d", text, maxTruthDays))
			return
		}
	}
	_, frames := c.eyes[pipeline]
	t, err := c.pages.truth(r.Context(), pipeline, frames, days)
	if err != nil {
		failStore(w, err)
		return
	}
	if frames {
		if c.eyeLabels != nil {
			t.Labels = c.eyeLabels(pipeline)
		}
		t.Queue = c.shown(pipeline, t.Queue)
	}
	t.Queue = t.Queue[:min(len(t.Queue), maxQueue)]
	answer(w, t)
}

// truth asks the views of accuracy and labels about the newest days. What follows from rows of which none have come is not asked again.
func (h *history) truth(ctx context.Context, pipeline string, frames bool, days int) (*Truth, error) {
	out := &Truth{Accuracy: []Accuracy{}, Lag: []LabelLag{}, Coverage: []LabelCoverage{}, Conflicts: []LabelConflict{}, Queue: []Unlabelled{}}
	params := map[string]string{"pipeline": pipeline}
	m, err := h.query(ctx, truthMarks, params, 1)
	if err != nil {
		return nil, err
	}
	labels, outcomes, said := asText(m.Rows[0][0]), asText(m.Rows[0][1]), asText(m.Rows[0][2])
	newest, err := h.memo.ask(ctx, h, newestDay, outcomes+" "+said, params, 1)
	if err != nil {
		return nil, err
	}
	if at := asInt(newest.Rows[0][0]); at > 0 {
		out.Since = time.Unix(at, 0).UTC().AddDate(0, 0, 1-days)
	}
	since := strconv.FormatInt(max(out.Since.Unix(), 0), 10)
	queue := unlabelledWindows
	if frames {
		queue = unlabelledFrames
	}
	for _, q := range []struct {
		sql, mark string
		most      int
		row       func(r []any)
	}{
		{accuracyByDay, outcomes, maxAccuracy, func(r []any) {
			out.Accuracy = append(out.Accuracy, Accuracy{asText(r[0]), time.UnixMilli(asInt(r[1])).UTC(), asInt(r[2]), asInt(r[3]), asInt(r[4]), maybe(r[5]), maybe(r[6]), maybe(r[7]), maybe(r[8]),
				maybe(r[9]), maybe(r[10]), maybe(r[11]), maybe(r[12]), maybe(r[13])})
		}},
		{labelLags, labels, 100, func(r []any) {
			out.Lag = append(out.Lag, LabelLag{asText(r[0]), asInt(r[1]), maybe(r[2]), maybe(r[3])})
		}},
		{labelCoverages, outcomes + " " + said, 20, func(r []any) {
			out.Coverage = append(out.Coverage, LabelCoverage{asText(r[0]), asInt(r[1]), asInt(r[2]), asInt(r[3])})
		}},
		{labelConflicts, labels, maxConflicts, func(r []any) {
			k := LabelConflict{Asset: asText(r[0]), Time: micro(r[1]), Until: micro(r[2]), Label: asText(r[3]), Who: asText(r[4]), Note: text(asText(r[5])), Told: micro(r[6])}
			if box := asFloats(r[7]); slices.ContainsFunc(box, func(x float64) bool { return x != 0 }) {
				k.Box = box
			}
			out.Conflicts = append(out.Conflicts, k)
		}},
		{queue, labels + " " + outcomes + " " + said, queueAsked, func(r []any) { out.Queue = append(out.Queue, unlabelled(r)) }},
	} {
		of := map[string]string{"pipeline": pipeline, "most": strconv.Itoa(q.most), "since": since}
		t, err := h.memo.ask(ctx, h, q.sql, q.mark, of, q.most)
		if err != nil {
			return nil, err
		}
		for _, r := range t.Rows {
			q.row(r)
		}
	}
	out.Truncated = len(out.Accuracy) == maxAccuracy
	return out, nil
}

// truthMarks count what the answers follow from, without reading any of it.
const truthMarks = `
SELECT toString((SELECT count() FROM labels)), toString((SELECT count() FROM outcomes WHERE pipeline = {pipeline:String})),
    toString((SELECT count() FROM scores WHERE pipeline = {pipeline:String}) + (SELECT count() FROM frames WHERE pipeline = {pipeline:String}))`

// memo keeps answers of the store until what they follow from has changed. Safe for concurrent use.
type memo struct {
	mu sync.Mutex
	of map[string]memoed
}

type memoed struct {
	mark string
	at   time.Time
	t    *event.Table
}

const (
	// memoMost bounds what is kept; each is an answer of a page.
	memoMost = 256
	// memoLeast is how long an answer is given whatever has come: several who look at one page ask once.
	memoLeast = 3 * time.Second
	// memoLongest is when it is asked again all the same: a label may speak of a score that came after it.
	memoLongest = 5 * time.Minute
)

// ask returns the answer to a question, whose rows must not be changed.
func (m *memo) ask(ctx context.Context, h *history, sql, mark string, params map[string]string, limit int) (*event.Table, error) {
	var key strings.Builder
	key.WriteString(sql)
	for _, k := range slices.Sorted(maps.Keys(params)) {
		key.WriteString("\x00" + k + "=" + params[k])
	}
	m.mu.Lock()
	was, ok := m.of[key.String()]
	m.mu.Unlock()
	age := time.Since(was.at)
	if ok && (was.mark == mark && age < memoLongest || age < memoLeast) {
		return was.t, nil
	}
	t, err := h.query(ctx, sql, params, limit)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == nil || len(m.of) >= memoMost {
		m.of = map[string]memoed{}
	}
	m.of[key.String()] = memoed{mark, time.Now(), t}
	return t, nil
}
