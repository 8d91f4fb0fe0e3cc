package console

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/event"
	"andon/model"
)

// Drift is what is known of one pipeline: whether what its model sees, says and is expected to lose is as it was.
type Drift struct {
	// Pipelines are all that were watched, the one with the newest round first.
	Pipelines []DriftSummary `json:"pipelines"`
	Pipeline  string         `json:"pipeline"`
	Version   string         `json:"version"`
	// Reference is model, or line where the model has none of its own.
	Reference string `json:"reference"`
	// Unit is what a window is called: windows, or frames of a pipeline of cameras.
	Unit string `json:"unit"`
	// Versions are the pipeline's models that were watched, the one with the newest round first, and its canary, which may not have a round yet.
	Versions []DriftVersion `json:"versions"`
	// Windows of Rounds were looked at, in which Alarms began.
	Windows int64 `json:"windows"`
	Rounds  int64 `json:"rounds"`
	Began   int   `json:"began"`
	// Features are each those of its newest round, the furthest off first, with its rounds before.
	Features  []DriftFeature  `json:"features"`
	Estimates []DriftEstimate `json:"estimates"`
	Alarms    []DriftAlarm    `json:"alarms"`
}

// DriftSummary is one pipeline in a line.
type DriftSummary struct {
	Pipeline string    `json:"pipeline"`
	Version  string    `json:"version"`
	Rounds   int64     `json:"rounds"`
	End      time.Time `json:"end"`
	// Drifted features of the newest round, and alarms that stand.
	Drifted  int64 `json:"drifted"`
	Standing int64 `json:"standing"`
}

// DriftVersion is a model that was watched.
type DriftVersion struct {
	Version string    `json:"version"`
	Rounds  int64     `json:"rounds"`
	End     time.Time `json:"end"`
	// Alias is champion or canary, empty for another.
	Alias string `json:"alias"`
}

// DriftFeature is one feature of one asset group.
type DriftFeature struct {
	Feature   string    `json:"feature"`
	Role      string    `json:"role"`
	Group     string    `json:"group"`
	Windows   int64     `json:"windows"`
	Assets    int64     `json:"assets"`
	Effective number    `json:"effective"`
	Before    number    `json:"before"`
	Now       number    `json:"now"`
	Deviation number    `json:"deviation"`
	KS        number    `json:"ks"`
	PSI       number    `json:"psi"`
	JS        number    `json:"js"`
	Place     number    `json:"place"`
	Missing   number    `json:"missing"`
	Q         number    `json:"q"`
	Measure   string    `json:"measure"`
	Drifted   bool      `json:"drifted"`
	Streak    int64     `json:"streak"`
	Furthest  []string  `json:"furthest"`
	Counts    []float64 `json:"counts"`
	Expected  []number  `json:"expected"`
	// History are its rounds, oldest first.
	History []DriftPoint `json:"history"`
}

// DriftPoint is one round of a feature.
type DriftPoint struct {
	Ms      int64  `json:"ms"`
	KS      number `json:"ks"`
	Q       number `json:"q"`
	Now     number `json:"now"`
	Before  number `json:"before"`
	Drifted bool   `json:"drifted"`
}

// DriftEstimate is one metric over rounds, oldest first.
type DriftEstimate struct {
	Metric string          `json:"metric"`
	Points []EstimatePoint `json:"points"`
}

// EstimatePoint is what was expected in a round, and what came true, as far as labels tell.
type EstimatePoint struct {
	Ms     int64  `json:"ms"`
	Value  number `json:"value"`
	Before number `json:"before"`
	Error  number `json:"error"`
	// Realised is of Settled windows; null where no truth is settled.
	Realised number `json:"realised"`
	Settled  int64  `json:"settled"`
}

// DriftAlarm is one alarm by its last word.
type DriftAlarm struct {
	ID      string       `json:"id"`
	Kind    string       `json:"kind"`
	Version string       `json:"version"`
	Since   time.Time    `json:"since"`
	At      time.Time    `json:"at"`
	Over    bool         `json:"over"`
	Metric  string       `json:"metric"`
	Loss    number       `json:"loss"`
	Before  number       `json:"before"`
	Detail  string       `json:"detail"`
	Causes  []DriftCause `json:"causes"`
}

// DriftCause is one thing that has changed.
type DriftCause struct {
	Feature string   `json:"feature"`
	Group   string   `json:"group"`
	Assets  []string `json:"assets"`
	Measure string   `json:"measure"`
	Size    number   `json:"size"`
	P       number   `json:"p"`
	Before  number   `json:"before"`
	Now     number   `json:"now"`
}

// mostRounds bounds the rounds of one answer, and mostFindings their rows.
const (
	defaultRounds = 60
	mostRounds    = 500
	mostFindings  = 200_000
)

func (c *Console) getDrift(w http.ResponseWriter, r *http.Request) {
	rounds := defaultRounds
	if text := r.FormValue("rounds"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostRounds {
			fail(w, http.StatusBadRequest, codeBadRequest, "rounds: "+strconv.Quote(text)+" is not a number between 1 and "+strconv.Itoa(mostRounds))
			return
		}
		rounds = n
	}
	d, err := c.pages.drift(r.Context(), r.FormValue("pipeline"), r.FormValue("version"), rounds, c.aliases)
	if err != nil {
		failStore(w, err)
		return
	}
	if d.Unit = "windows"; c.eyes != nil {
		if _, ok := c.eyes[d.Pipeline]; ok {
			d.Unit = "frames"
		}
	}
	answer(w, d)
}

// aliases returns which versions are a pipeline's champion and canary, empty where there is none.
func (c *Console) aliases(pipeline string) (champion, canary string) {
	if c.deps.Models == nil || pipeline == "" {
		return "", ""
	}
	all, err := c.deps.Models.Models(pipeline)
	if err != nil {
		return "", "" // then the newest is shown
	}
	for i := range all {
		if slices.Contains(all[i].Aliases, model.Champion) {
			champion = all[i].Version
		}
		if slices.Contains(all[i].Aliases, model.Canary) {
			canary = all[i].Version
		}
	}
	return champion, canary
}

// drift reads what the panel has said of a pipeline, the one with the newest round where none is named, and of a version, where none is named the champion if it was watched, else the newest.
func (h *history) drift(ctx context.Context, pipeline, version string, rounds int, aliases func(pipeline string) (champion, canary string)) (*Drift, error) {
	ask := func(what, sql string, params map[string]string, row func(v []any)) error {
		t, err := h.query(ctx, sql, params, mostFindings)
		if err != nil {
			return fmt.Errorf("read %s of drift: %w", what, err)
		}
		for _, v := range t.Rows {
			row(v)
		}
		return nil
	}
	d := &Drift{Pipelines: []DriftSummary{}, Versions: []DriftVersion{}, Features: []DriftFeature{}, Estimates: []DriftEstimate{}, Alarms: []DriftAlarm{}, Pipeline: pipeline, Version: version}
	if err := ask("pipelines", driftPipelines, nil, func(v []any) {
		d.Pipelines = append(d.Pipelines, DriftSummary{Pipeline: asText(v[0]), Version: asText(v[1]), Rounds: asInt(v[2]), End: time.UnixMilli(asInt(v[3])).UTC(), Drifted: asInt(v[4]), Standing: asInt(v[5])})
	}); err != nil {
		return nil, err
	}
	for _, p := range d.Pipelines {
		if d.Pipeline == "" {
			d.Pipeline = p.Pipeline
		}
	}
	champion, canary := aliases(d.Pipeline)
	if err := ask("versions", driftVersions, map[string]string{"pipeline": d.Pipeline}, func(v []any) {
		o := DriftVersion{Version: asText(v[0]), Rounds: asInt(v[1]), End: time.UnixMilli(asInt(v[2])).UTC()}
		switch o.Version {
		case champion:
			o.Alias = string(model.Champion)
		case canary:
			o.Alias, canary = string(model.Canary), ""
		}
		d.Versions = append(d.Versions, o)
	}); err != nil {
		return nil, err
	}
	for _, o := range d.Versions {
		if version == "" && (d.Version == "" || o.Alias == string(model.Champion)) {
			d.Version = o.Version
		}
	}
	if canary != "" {
		d.Versions = append(d.Versions, DriftVersion{Version: canary, Alias: string(model.Canary)})
	}
	params := map[string]string{"pipeline": d.Pipeline, "version": d.Version, "rounds": strconv.Itoa(rounds)}
	place := map[string]int{}
	var last int64
	if err := ask("findings", driftFindings, params, func(v []any) {
		f := DriftFeature{Feature: asText(v[2]), Role: asText(v[3]), Group: asText(v[4]), Windows: asInt(v[5]), Assets: asInt(v[6]), Effective: number(asFloat(v[7])), Before: number(asFloat(v[8])),
			Now: number(asFloat(v[9])), Deviation: number(asFloat(v[10])), KS: number(asFloat(v[11])), PSI: number(asFloat(v[12])), JS: number(asFloat(v[13])), Place: number(asFloat(v[14])),
			Missing: number(asFloat(v[15])), Q: number(asFloat(v[16])), Measure: asText(v[17]), Drifted: asBool(v[18]), Streak: asInt(v[19]), Furthest: asTexts(v[20])}
		last = max(last, asInt(v[0]))
		if of := asText(v[21]); d.Reference == "" || of == event.ReferenceModel { // a camera that came later is held against itself, too
			d.Reference = of
		}
		key := f.Group + "\x00" + f.Feature
		i, ok := place[key]
		if !ok {
			i = len(d.Features)
			place[key] = i
			d.Features = append(d.Features, f)
		} else {
			f.History = d.Features[i].History
			d.Features[i] = f
		}
		d.Features[i].History = append(d.Features[i].History, DriftPoint{Ms: asInt(v[1]), KS: f.KS, Q: f.Q, Now: f.Now, Before: f.Before, Drifted: f.Drifted})
	}); err != nil {
		return nil, err
	}
	slices.SortStableFunc(d.Features, func(a, b DriftFeature) int {
		if a.Drifted != b.Drifted {
			return cmp.Compare(asNumber(b.Drifted), asNumber(a.Drifted))
		}
		return cmp.Compare(b.KS, a.KS)
	})
	for i, f := range d.Features {
		place[f.Group+"\x00"+f.Feature] = i
	}
	params["round"] = strconv.FormatInt(last, 10)
	if err := ask("histograms", driftHistograms, params, func(v []any) {
		if i, ok := place[asText(v[1])+"\x00"+asText(v[0])]; ok {
			d.Features[i].Counts = asFloats(v[2])
			d.Features[i].Expected = []number{}
			for _, x := range asFloats(v[3]) {
				d.Features[i].Expected = append(d.Features[i].Expected, number(x))
			}
		}
	}); err != nil {
		return nil, err
	}
	if err := h.estimates(ctx, d, params); err != nil {
		return nil, err
	}
	if err := ask("alarms", driftAlarms, params, func(v []any) {
		a := DriftAlarm{ID: asText(v[0]), Kind: asText(v[1]), Version: asText(v[2]), Since: time.UnixMilli(asInt(v[3])).UTC(), At: time.UnixMilli(asInt(v[4])).UTC(), Over: asBool(v[5]), Metric: asText(v[6]),
			Loss: number(asFloat(v[7])), Before: number(asFloat(v[8])), Detail: asText(v[9]), Causes: []DriftCause{}}
		features, groups, assets, measures := asTexts(v[10]), asTexts(v[11]), asTexts(v[12]), asTexts(v[13])
		sizes, ps, before, now := asFloats(v[14]), asFloats(v[15]), asFloats(v[16]), asFloats(v[17])
		for i := range features {
			cause := DriftCause{Feature: features[i], Group: groups[i], Measure: measures[i], Size: number(sizes[i]), P: number(ps[i]), Before: number(before[i]), Now: number(now[i]), Assets: []string{}}
			if assets[i] != "" {
				cause.Assets = strings.Split(assets[i], ",")
			}
			a.Causes = append(a.Causes, cause)
		}
		if a.Version == d.Version {
			d.Began++
		}
		d.Alarms = append(d.Alarms, a)
	}); err != nil {
		return nil, err
	}
	return d, ask("windows", driftWindows, params, func(v []any) { d.Windows, d.Rounds = asInt(v[0]), asInt(v[1]) })
}

// estimates reads what was expected, and sets beside it what came true.
func (h *history) estimates(ctx context.Context, d *Drift, params map[string]string) error {
	t, err := h.query(ctx, driftEstimates, params, mostFindings)
	if err != nil {
		return fmt.Errorf("read estimates of drift: %w", err)
	}
	place := map[string]int{}
	for _, v := range t.Rows {
		metric := asText(v[0])
		i, ok := place[metric]
		if !ok {
			i = len(d.Estimates)
			place[metric] = i
			d.Estimates = append(d.Estimates, DriftEstimate{Metric: metric})
		}
		p := EstimatePoint{Ms: asInt(v[2]), Value: number(asFloat(v[3])), Before: number(asFloat(v[4])), Error: number(asFloat(v[5])), Settled: asInt(v[6])}
		switch metric {
		case "loss":
			p.Realised, p.Settled = number(asFloat(v[7])), asInt(v[10])
		case "brier":
			p.Realised = number(asFloat(v[8]))
		case "accuracy":
			p.Realised = number(asFloat(v[9]))
		default:
			p.Settled = 0
		}
		if p.Settled == 0 {
			p.Realised = number(nan)
		}
		d.Estimates[i].Points = append(d.Estimates[i].Points, p)
	}
	return nil
}

func asNumber(b bool) int {
	if b {
		return 1
	}
	return 0
}
