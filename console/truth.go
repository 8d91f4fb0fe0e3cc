package console

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Truth is what the API answers of one pipeline's predictions and labels.
type Truth struct {
	// Accuracy is by version and day of event time, the oldest first; Truncated where there are more days.
	Accuracy  []Accuracy      `json:"accuracy"`
	Lag       []LabelLag      `json:"lag"`
	Coverage  []LabelCoverage `json:"coverage"`
	Conflicts []LabelConflict `json:"conflicts"`
	// Queue are windows that nobody has labelled and of which the model was least sure, one an asset.
	Queue     []Unlabelled `json:"queue"`
	Truncated bool         `json:"truncated,omitempty"`
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

// Unlabelled is a window that waits for a label.
type Unlabelled struct {
	Asset   string    `json:"asset"`
	Start   time.Time `json:"start"`
	End     time.Time `json:"end"`
	Risk    float64   `json:"risk"`
	Value   float64   `json:"value"`
	Version string    `json:"version"`
}

// The most of each that one answer holds.
const (
	maxAccuracy  = 2000
	maxConflicts = 100
	maxQueue     = 50
)

const accuracyByDay = `
SELECT toString(version), toUnixTimestamp64Milli(toDateTime64(day, 3, 'UTC')), outcomes, positives, shadows, loss, brier, rmse, mae, accuracy, precision, recall, f1, auc
FROM (SELECT * FROM accuracy WHERE pipeline = {pipeline:String} ORDER BY day DESC, version LIMIT {most:UInt32})
ORDER BY day, version`

const labelLags = `
SELECT label, labels, p50_seconds, p95_seconds FROM label_lag WHERE pipeline = {pipeline:String} ORDER BY labels DESC LIMIT 100`

const labelCoverages = `
SELECT toString(version), sum(predictions), sum(settled), sum(labelled) FROM label_coverage WHERE pipeline = {pipeline:String} GROUP BY version ORDER BY max(day) DESC, version LIMIT 20`

const labelConflicts = `
SELECT asset, toUnixTimestamp64Micro(time), toUnixTimestamp64Micro(until), label, who, note, toUnixTimestamp64Micro(told), box
FROM label_opinions WHERE pipeline = {pipeline:String} AND conflict ORDER BY told DESC, asset, time, label LIMIT {most:UInt32}`

// unlabelled looks at the newest thousand windows of each asset, which the key finds.
const unlabelled = `
SELECT asset, toUnixTimestamp64Micro(start), toUnixTimestamp64Micro(end), risk, value, toString(version)
FROM (SELECT asset, start, end, risk, value, version FROM scores WHERE pipeline = {pipeline:String} ORDER BY asset, end DESC LIMIT 1000 BY asset) AS s
LEFT ANTI JOIN (SELECT asset, end FROM outcomes WHERE pipeline = {pipeline:String} AND by = 'label' AND gone = 0) AS o ON s.asset = o.asset AND s.end = o.end
ORDER BY abs(risk - 0.5), end DESC
LIMIT 1 BY asset
LIMIT {most:UInt32}`

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
	t, err := c.pages.truth(r.Context(), pipeline)
	if err != nil {
		failStore(w, err)
		return
	}
	answer(w, t)
}

// truth asks the views of accuracy and labels.
func (h *history) truth(ctx context.Context, pipeline string) (*Truth, error) {
	out := &Truth{Accuracy: []Accuracy{}, Lag: []LabelLag{}, Coverage: []LabelCoverage{}, Conflicts: []LabelConflict{}, Queue: []Unlabelled{}}
	for _, q := range []struct {
		sql  string
		most int
		row  func(r []any)
	}{
		{accuracyByDay, maxAccuracy, func(r []any) {
			out.Accuracy = append(out.Accuracy, Accuracy{asText(r[0]), time.UnixMilli(asInt(r[1])).UTC(), asInt(r[2]), asInt(r[3]), asInt(r[4]), maybe(r[5]), maybe(r[6]), maybe(r[7]), maybe(r[8]),
				maybe(r[9]), maybe(r[10]), maybe(r[11]), maybe(r[12]), maybe(r[13])})
		}},
		{labelLags, 100, func(r []any) {
			out.Lag = append(out.Lag, LabelLag{asText(r[0]), asInt(r[1]), maybe(r[2]), maybe(r[3])})
		}},
		{labelCoverages, 20, func(r []any) {
			out.Coverage = append(out.Coverage, LabelCoverage{asText(r[0]), asInt(r[1]), asInt(r[2]), asInt(r[3])})
		}},
		{labelConflicts, maxConflicts, func(r []any) {
			k := LabelConflict{Asset: asText(r[0]), Time: micro(r[1]), Until: micro(r[2]), Label: asText(r[3]), Who: asText(r[4]), Note: text(asText(r[5])), Told: micro(r[6])}
			if box := asFloats(r[7]); slices.ContainsFunc(box, func(x float64) bool { return x != 0 }) {
				k.Box = box
			}
			out.Conflicts = append(out.Conflicts, k)
		}},
		{unlabelled, maxQueue, func(r []any) {
			u := Unlabelled{Asset: asText(r[0]), Start: micro(r[1]), End: micro(r[2]), Version: asText(r[5])}
			if f := maybe(r[3]); f != nil {
				u.Risk = *f
			}
			if f := maybe(r[4]); f != nil {
				u.Value = *f
			}
			out.Queue = append(out.Queue, u)
		}},
	} {
		t, err := h.query(ctx, q.sql, map[string]string{"pipeline": pipeline, "most": strconv.Itoa(q.most)}, q.most)
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
