package console

import (
	"context"
	"encoding/json"
	"math"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
)

// panelStore answers the questions of drift, by what they ask.
type panelStore struct {
	asked []map[string]string
	fails string
}

func (s *panelStore) QueryParams(_ context.Context, sql string, params map[string]string, _ int) (*event.Table, error) {
	s.asked = append(s.asked, params)
	if s.fails != "" && sql == s.fails {
		return nil, context.DeadlineExceeded
	}
	finding := func(round, ms int64, feature string, ks float64, drifted bool) []any {
		return []any{round, ms, feature, "input", "fleet", uint64(2000), uint64(90), 60.5, 1.0, 2.0, .5, ks, .3, .2, .1, 0.0, .001, "ks", drifted, uint64(2), []string{"a", "b"}, "model"}
	}
	switch sql {
	case driftPipelines:
		return &event.Table{Rows: [][]any{{"pumps", "v2", int64(7), int64(7000), uint64(1), uint64(1)}, {"ovens", "v9", int64(1), int64(5000), uint64(0), uint64(0)}}}, nil
	case driftVersions:
		if params["pipeline"] == "ovens" {
			return &event.Table{Rows: [][]any{{"v9", int64(1), int64(5000)}}}, nil
		}
		return &event.Table{Rows: [][]any{{"v3", int64(2), int64(7500)}, {"v2", int64(7), int64(7000)}, {"v1", int64(9), int64(3000)}}}, nil
	case driftFindings:
		return &event.Table{Rows: [][]any{finding(6, 6000, "flow", .4, false), finding(6, 6000, "heat", .3, false), finding(7, 7000, "flow", .1, false), finding(7, 7000, "heat", .6, true)}}, nil
	case driftHistograms:
		return &event.Table{Rows: [][]any{{"heat", "fleet", []float64{1, 2}, []float64{1.5, 1.5}}}}, nil
	case driftEstimates:
		return &event.Table{Rows: [][]any{{"loss", int64(6), int64(6000), .1, .09, .01, uint64(0), math.NaN(), math.NaN(), math.NaN(), uint64(0)},
			{"loss", int64(7), int64(7000), .2, .09, .01, uint64(12), .25, .1, .9, uint64(10)}}}, nil
	case driftAlarms:
		return &event.Table{Rows: [][]any{{"x", "input-drift", "v2", int64(6000), int64(7000), false, "", math.NaN(), math.NaN(), "heat went up", []string{"heat"}, []string{"fleet"}, []string{"a,b"}, []string{"ks"},
			[]float64{.6}, []float64{.001}, []float64{1}, []float64{2}}}}, nil
	case driftWindows:
		return &event.Table{Rows: [][]any{{uint64(14000), uint64(7)}}}, nil
	}
	return &event.Table{}, nil
}

// registry is Models by another name, so that aliased can have a method of it.
type registry interface{ Models }

// aliased is a registry of versions.
type aliased struct {
	registry
	of map[string][]model.Alias
}

func (a aliased) Models(string) (all []model.Info, err error) {
	for version, names := range a.of {
		all = append(all, model.Info{Version: version, Aliases: names})
	}
	return all, nil
}

func TestDriftAnswer(t *testing.T) {
	s := &panelStore{}
	c := &Console{pages: newHistory(s, 1, 1e10, newMetrics(prometheus.NewRegistry())), eyes: map[string]Eye{"ovens": {}}}
	c.deps.Models = aliased{of: map[string][]model.Alias{"v2": {model.Champion}, "v3": {model.Canary}, "v1": nil}}
	get := func(query string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		c.getDrift(w, httptest.NewRequest("GET", "/api/v1/drift?"+query, nil))
		return w
	}
	w := get("")
	var d Drift
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Code != 200 {
		t.Fatalf("%d %s %v", w.Code, w.Body, err)
	}
	if d.Pipeline != "pumps" || d.Version != "v2" || d.Reference != "model" || len(d.Pipelines) != 2 || d.Pipelines[0].Standing != 1 || d.Windows != 14000 || d.Began != 1 {
		t.Errorf("%+v", d)
	}
	if len(d.Features) != 2 || d.Features[0].Feature != "heat" || !d.Features[0].Drifted || len(d.Features[0].History) != 2 || d.Features[0].History[0].KS != .3 || len(d.Features[0].Counts) != 2 || len(d.Features[1].Counts) != 0 {
		t.Errorf("features %+v", d.Features)
	}
	if p := d.Estimates[0].Points; len(p) != 2 || p[0].Settled != 0 || p[1].Realised != .25 || p[1].Settled != 10 || !strings.Contains(w.Body.String(), `"realised":null`) {
		t.Errorf("estimates %+v", d.Estimates)
	}
	if a := d.Alarms[0]; a.Over || len(a.Causes) != 1 || len(a.Causes[0].Assets) != 2 || !strings.Contains(w.Body.String(), `"loss":null`) {
		t.Errorf("alarm %+v", a)
	}
	// The canary has the newest round, and the champion is shown.
	if v := d.Versions; d.Unit != "windows" || len(v) != 3 || v[0].Alias != "canary" || v[1].Alias != "champion" || v[1].Rounds != 7 || v[2].Alias != "" {
		t.Errorf("unit %s, versions %+v", d.Unit, d.Versions)
	}
	if last := s.asked[len(s.asked)-1]; last["version"] != "v2" {
		t.Errorf("asked with %v", last)
	}
	// A canary without a round is told of.
	if w := get("pipeline=ovens"); !strings.Contains(w.Body.String(), `"unit":"frames"`) || !strings.Contains(w.Body.String(), `{"version":"v3","rounds":0,"end":"0001-01-01T00:00:00Z","alias":"canary"}`) {
		t.Errorf("%s", w.Body)
	}
	get("pipeline=ovens&rounds=5")
	if last := s.asked[len(s.asked)-1]; last["pipeline"] != "ovens" || last["version"] != "v9" || last["rounds"] != "5" {
		t.Errorf("asked with %v", last)
	}
	if w := get("rounds=0"); w.Code != 400 {
		t.Errorf("rounds=0: %d", w.Code)
	}
	s.fails = driftEstimates
	if w := get(""); w.Code != 504 {
		t.Errorf("a store that is away: %d %s", w.Code, w.Body)
	}
}
