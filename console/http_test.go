package console

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.yaml.in/yaml/v3"
)

// ask sends a request and returns the answer's status and body.
func (a *appliance) ask(t *testing.T, method, path, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+a.addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	tr := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	res, err := (&http.Client{Transport: tr, Timeout: time.Minute}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

func decode[T any](t *testing.T, js string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(js), &v); err != nil {
		t.Fatalf("%s: %v", js, err)
	}
	return v
}

func TestAPI(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 12)
	a.past(60)
	a.start(t)
	get := func(path string) string {
		t.Helper()
		code, body, h := a.ask(t, "GET", path, "")
		if code != 200 || h.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %d %s", path, code, body)
		}
		return body
	}
	fails := func(want int, path, says string) {
		t.Helper()
		code, body, _ := a.ask(t, "GET", path, "")
		if code != want || !strings.Contains(body, says) || !strings.Contains(body, `"error"`) {
			t.Errorf("%s: %d %s; want %d and %q", path, code, body, want, says)
		}
	}
	if s := decode[view](t, get("/api/v1/status")); s.Version != "0.1.0" || len(s.Pipelines) != 2 || s.Epoch != a.epoch {
		t.Errorf("status %+v", s)
	}
	if p := decode[[]Pipeline](t, get("/api/v1/pipelines")); len(p) != 2 || p[1].GridSeconds != 300 {
		t.Errorf("pipelines %+v", p)
	}
	type fleetAnswer struct {
		Count  int
		Assets []struct {
			Asset string
			Seen  time.Time
			Score struct {
				Risk  float64
				Topic string
			}
		}
	}
	var f fleetAnswer
	for range 200 {
		if f = decode[fleetAnswer](t, get("/api/v1/fleet?pipeline=compressors&limit=10")); f.Count == 12 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if f.Count != 12 || len(f.Assets) != 10 {
		t.Fatalf("fleet %+v", f)
	}
	for i := 1; i < len(f.Assets); i++ {
		if f.Assets[i].Score.Risk > f.Assets[i-1].Score.Risk {
			t.Errorf("%s is riskier than %s before it", f.Assets[i].Asset, f.Assets[i-1].Asset)
		}
	}
	a.step()
	for range 200 {
		code, body, _ := a.ask(t, "GET", "/api/v1/assets/compressors/compressor-001", "")
		if code == 200 && strings.Contains(body, `"s_21":23`) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if body := get("/api/v1/assets/compressors/compressor-001"); !strings.Contains(body, `"s_2":64`) || !strings.Contains(body, `"seen":"2020-01-`) {
		t.Errorf("asset %s", body)
	}
	all := decode[apiSeries](t, get("/api/v1/assets/compressors/compressor-001/series"))
	if len(all.Times) < 40 || len(all.Values) != 14 || len(all.Values[13]) != len(all.Times) || all.Step != 0 || len(all.Scores.Risk) != len(all.Scores.Times) {
		t.Errorf("series of %d times, %d signals, step %d", len(all.Times), len(all.Values), all.Step)
	}
	part := decode[apiSeries](t, get("/api/v1/assets/compressors/compressor-001/series?from=2020-01-01T10:00:00Z&to=2020-01-01T15:00:00Z"))
	if len(part.Times) != 5 || int64(part.Times[0]) != firstCycle.Add(10*time.Hour).UnixMilli() {
		t.Errorf("part %+v", part.Times)
	}
	last := decode[apiSeries](t, get("/api/v1/assets/compressors/compressor-001/series?from=-7200000"))
	if len(last.Times) != 3 || last.Times[2] != all.Times[len(all.Times)-1] {
		t.Errorf("the last two hours %+v", last.Times)
	}
	thin := decode[apiSeries](t, get("/api/v1/assets/compressors/compressor-001/series?points=10"))
	if len(thin.Times) > 11 || len(thin.Times) < 5 || thin.Step%3_600_000 != 0 || thin.Step == 0 {
		t.Errorf("thinned to %d points by %d", len(thin.Times), thin.Step)
	}
	samples := 0
	for range 200 { // the first is taken beside this test
		if samples = len(decode[struct{ Samples []decodedSample }](t, get("/api/v1/line")).Samples); samples > 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if samples == 0 {
		t.Error("no samples")
	}
	decode[[]trainingRun](t, get("/api/v1/trainings"))
	if q := decode[[]example](t, get("/api/v1/queries")); len(q) < 3 {
		t.Errorf("%d example queries", len(q))
	}
	fails(404, "/api/v1/fleet?pipeline=x", `there is no pipeline \"x\"`)
	fails(400, "/api/v1/fleet?pipeline=compressors&limit=-1", "limit")
	fails(404, "/api/v1/assets/compressors/nope", "nope")
	fails(404, "/api/v1/assets/x/nope/series", "there is no pipeline")
	fails(400, "/api/v1/assets/compressors/a/series?from=yesterday&points=0", "yesterday")
	fails(404, "/api/v1/nothing", "openapi.yaml")
	fails(404, "/nothing.js", "openapi.yaml")
	if code, body, _ := a.ask(t, "DELETE", "/api/v1/status", ""); code != 405 {
		t.Errorf("DELETE: %d %s", code, body)
	}
	if code, body, _ := a.ask(t, "GET", "/metrics", ""); code != 200 || !strings.Contains(body, "andon_console_clients 0") || !strings.Contains(body, "andon_ingest_records_total") {
		t.Errorf("metrics %d", code)
	}
	a.mu.Lock()
	a.refuse = errors.New("code: 241, message: Memory limit exceeded")
	a.mu.Unlock()
	fails(422, "/api/v1/assets/compressors/compressor-001/series", "Memory limit exceeded")
}

func TestSQL(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 30)
	a.past(40)
	a.start(t)
	post := func(body string, header ...string) (int, string) {
		code, out, _ := a.ask(t, "POST", "/api/v1/sql", body, append([]string{"Content-Type", "application/json"}, header...)...)
		return code, out
	}
	code, body := post(`{"sql":"SELECT * FROM scores","limit":20}`)
	table := decode[struct {
		Columns   []string
		Types     []string
		Rows      [][]any
		Truncated bool
	}](t, body)
	if code != 200 || len(table.Rows) != 20 || !table.Truncated || table.Columns[2] != "risk" || len(table.Types) != 6 {
		t.Errorf("%d %s", code, body)
	}
	if code, body = post(`{"sql":"SELEKT 1"}`); code != 422 || !strings.Contains(body, "Syntax error: failed at position 1 (SELEKT)") {
		t.Errorf("%d %s", code, body)
	}
	if code, _ = post(`{"sql":"  "}`); code != 400 {
		t.Errorf("no query: %d", code)
	}
	if code, _ = post(`{"sql":`); code != 400 {
		t.Errorf("half a body: %d", code)
	}
	if code, _ = post(`{"sql":"SELECT 1"}`, "Content-Type", "text/plain"); code != 415 {
		t.Errorf("a form's type: %d", code)
	}
	if code, _ = post(`{"sql":"SELECT 1"}`, "Origin", "https://evil.example"); code != 403 {
		t.Errorf("a foreign page: %d", code)
	}
	if code, _ = post(`{"sql":"SELECT 1"}`, "Sec-Fetch-Site", "cross-site"); code != 403 {
		t.Errorf("a foreign page without an origin: %d", code)
	}
	if code, _ = post(`{"sql":"SELECT 1"}`, "Origin", "http://"+a.addr); code != 200 {
		t.Errorf("our own page: %d", code)
	}
	if code, _ = post(`{"sql":"` + strings.Repeat("x", maxBody) + `"}`); code != 400 {
		t.Errorf("too long: %d", code)
	}
}

func TestTrain(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 1)
	asked := make(chan string, 1)
	a.start(t)
	post := func(want int, body string) {
		t.Helper()
		if code, out, _ := a.ask(t, "POST", "/api/v1/trainings", body, "Content-Type", "application/json"); code != want {
			t.Errorf("%s: %d %s; want %d", body, code, out, want)
		}
	}
	post(501, `{"pipeline":"compressors"}`)
	b := newAppliance(t, syntheticConfig(), 1)
	b.deps.Train = func(pipeline string) error {
		select {
		case asked <- pipeline:
			return nil
		default:
			return errors.New("a run of compressors is going on")
		}
	}
	b.start(t)
	a = b
	post(404, `{"pipeline":"x"}`)
	post(202, `{"pipeline":"compressors"}`)
	post(409, `{"pipeline":"compressors"}`)
	if p := <-asked; p != "compressors" {
		t.Errorf("asked for %q", p)
	}
}

func TestHealth(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 1)
	a.start(t)
	if code, body, _ := a.ask(t, "GET", "/readyz", ""); code != 200 || body != "ready\n" {
		t.Errorf("%d %q", code, body)
	}
	a.mu.Lock()
	a.ready = errors.Join(errors.New("store: starting"), errors.New("pipeline compressors: no model yet"))
	a.mu.Unlock()
	if code, body, _ := a.ask(t, "GET", "/readyz", ""); code != 503 || body != "store: starting\npipeline compressors: no model yet\n" {
		t.Errorf("%d %q", code, body)
	}
	if code, _, _ := a.ask(t, "GET", "/healthz", ""); code != 200 {
		t.Errorf("health %d", code)
	}
	if code, _, _ := a.ask(t, "GET", "/healthz", "", "Host", "evil.example"); code != 421 {
		t.Errorf("a foreign name: %d", code)
	}
	if code, _, _ := a.ask(t, "GET", "/healthz", "", "Host", "LOCALHOST:1"); code != 200 {
		t.Errorf("localhost: %d", code)
	}
}

func TestAllowedHosts(t *testing.T) {
	if h := allowedHosts("0.0.0.0:8080", nil); h != nil {
		t.Errorf("on every address any name is good, got %v", h)
	}
	if h := fmt.Sprint(allowedHosts("10.0.0.5:8080", []string{"Andon.Plant"})); !strings.Contains(h, "andon.plant") || !strings.Contains(h, "10.0.0.5") {
		t.Errorf("%v", h)
	}
}

// The description lists every route, and nothing else.
func TestOpenAPI(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 0)
	var doc struct {
		OpenAPI    string
		Paths      map[string]map[string]struct{ Responses map[string]any }
		Components struct{ Schemas, Responses map[string]any }
	}
	if err := yaml.Unmarshal(openapi, &doc); err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			described[strings.ToUpper(method)+" "+path] = true
			if len(op.Responses) == 0 {
				t.Errorf("%s %s has no responses", method, path)
			}
		}
	}
	for _, r := range a.routes() {
		k := r.method + " " + r.path
		if !described[k] {
			t.Errorf("openapi.yaml does not describe %s", k)
		}
		delete(described, k)
	}
	for k := range described {
		t.Errorf("openapi.yaml describes %s, which does not exist", k)
	}
	for _, ref := range strings.Split(string(openapi), `$ref: "#/components/`)[1:] {
		kind, name, _ := strings.Cut(ref[:strings.IndexByte(ref, '"')], "/")
		if kind == "schemas" && doc.Components.Schemas[name] == nil || kind == "responses" && doc.Components.Responses[name] == nil {
			t.Errorf("openapi.yaml refers to %s/%s, which does not exist", kind, name)
		}
	}
	if !json.Valid(a.page.description) {
		t.Error("the description is no JSON")
	}
}

func TestPage(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 0)
	a.page.files = map[string]*file{}
	a.page.load(fstest.MapFS{
		".gitkeep":            {},
		"index.html":          {Data: []byte("<!doctype html><title>x</title>" + strings.Repeat(" ", 500))},
		"assets/app-1a2b.js":  {Data: []byte(strings.Repeat("let a = 1;", 100))},
		"assets/a-9f8e.woff2": {Data: []byte("font")},
	})
	a.start(t)
	code, body, h := a.ask(t, "GET", "/", "")
	if code != 200 || !strings.HasPrefix(body, "<!doctype") || h.Get("Cache-Control") != "no-cache" || h.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%d %v", code, h)
	}
	if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy %q", csp)
	}
	if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("headers %v", h)
	}
	if code, _, _ := a.ask(t, "GET", "/", "", "If-None-Match", h.Get("ETag")); code != 304 {
		t.Errorf("the same page again: %d", code)
	}
	_, zipped, h := a.ask(t, "GET", "/assets/app-1a2b.js", "", "Accept-Encoding", "gzip, br")
	if h.Get("Content-Encoding") != "gzip" || !strings.Contains(h.Get("Cache-Control"), "immutable") || h.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%v", h)
	}
	z, err := gzip.NewReader(strings.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || len(b) != 1000 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, _, h := a.ask(t, "GET", "/assets/a-9f8e.woff2", ""); h.Get("Content-Type") != "font/woff2" || h.Get("Content-Encoding") != "" {
		t.Errorf("%v", h)
	}
	if code, _, _ := a.ask(t, "GET", "/.gitkeep", ""); code != 404 {
		t.Errorf("hidden file: %d", code)
	}
}

func TestPageUnbuilt(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 0)
	a.page.files = map[string]*file{}
	a.page.load(fstest.MapFS{".gitkeep": {}})
	a.start(t)
	if code, body, _ := a.ask(t, "GET", "/", ""); code != 200 || !strings.Contains(body, "make build") {
		t.Errorf("%d %s", code, body)
	}
}
