package console

import (
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// route is one way in. API tells that openapi.yaml describes it.
type route struct {
	method, path string
	api          bool
	handle       http.HandlerFunc
}

func (c *Console) routes() []route {
	return []route{
		{"GET", "/api/v1/status", true, c.getStatus},
		{"GET", "/api/v1/pipelines", true, c.getPipelines},
		{"GET", "/api/v1/line", true, c.getLine},
		{"GET", "/api/v1/fleet", true, c.getFleet},
		{"GET", "/api/v1/assets/{pipeline}/{asset}", true, c.getAsset},
		{"GET", "/api/v1/assets/{pipeline}/{asset}/series", true, c.getSeries},
		{"GET", "/api/v1/trainings", true, c.getTrainings},
		{"GET", "/api/v1/queries", true, c.getQueries},
		{"POST", "/api/v1/sql", true, c.postSQL},
		{"GET", "/api/v1/openapi.yaml", true, c.page.openapiYAML},
		{"GET", "/api/v1/openapi.json", true, c.page.openapiJSON},
		{"GET", "/metrics", true, promhttp.HandlerFor(c.deps.Metrics, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}).ServeHTTP},
		{"GET", "/healthz", true, c.getHealth},
		{"GET", "/readyz", true, c.getReady},
		{"GET", "/ws", true, c.feed},
		{"GET", "/", false, c.page.serve},
	}
}

func (c *Console) handler(addr string) http.Handler {
	mux := http.NewServeMux()
	for _, r := range c.routes() {
		mux.HandleFunc(r.method+" "+r.path, r.handle)
	}
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, codeNotFound, "there is no "+r.Method+" "+r.URL.Path+"; /api/v1/openapi.yaml lists what there is")
	})
	return c.guard(mux, addr)
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, v any) {
	js, err := json.Marshal(v)
	if err != nil {
		fail(w, http.StatusInternalServerError, "internal", "encode the answer: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(js, '\n'))
}

// fail writes an error as JSON: {"error":{"code":…,"message":…}}.
func fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	var body struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	body.Error.Code, body.Error.Message = code, message
	_, _ = w.Write(append(mustJSON(body), '\n'))
}
