package console

import (
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// route is one way in; openapi.yaml describes each.
type route struct {
	method, path string
	handle       http.HandlerFunc
}

func (c *Console) routes() []route {
	return []route{
		{"GET", "/api/v1/status", c.getStatus},
		{"GET", "/api/v1/uplink", c.getUplink},
		{"GET", "/api/v1/pipelines", c.getPipelines},
		{"GET", "/api/v1/line", c.getLine},
		{"GET", "/api/v1/fleet", c.getFleet},
		{"GET", "/api/v1/assets/{pipeline}/{asset}", c.getAsset},
		{"GET", "/api/v1/assets/{pipeline}/{asset}/series", c.getSeries},
		{"GET", "/api/v1/trainings", c.getTrainings},
		{"POST", "/api/v1/trainings", c.postTraining},
		{"GET", "/api/v1/deadletters", c.getLetters},
		{"GET", "/api/v1/deadletters/{topic}/{partition}/{offset}", c.getLetter},
		{"POST", "/api/v1/deadletters/replay", c.postReplay},
		{"GET", "/api/v1/cameras", c.getCameras},
		{"GET", "/api/v1/cameras/{pipeline}/{camera}", c.getCamera},
		{"GET", "/api/v1/cameras/{pipeline}/{camera}/frame", c.getCameraFrame},
		{"GET", "/api/v1/evidence", c.getKept},
		{"POST", "/api/v1/evidence", c.postEvidence},
		{"GET", "/api/v1/evidence/{ref...}", c.getEvidence},
		{"POST", "/api/v1/labels", c.postLabels},
		{"GET", "/api/v1/truth", c.getTruth},
		{"GET", "/api/v1/models", c.registry(c.getModels)},
		{"POST", "/api/v1/models", c.registry(c.postModel)},
		{"GET", "/api/v1/models/{pipeline}/{version}", c.registry(c.getModel)},
		{"GET", "/api/v1/models/{pipeline}/{version}/file", c.registry(c.getModelFile)},
		{"GET", "/api/v1/models/{pipeline}/moves", c.registry(c.getMoves)},
		{"POST", "/api/v1/models/{pipeline}/moves", c.registry(c.postMove)},
		{"POST", "/api/v1/models/{pipeline}/rollback", c.registry(c.postRollback)},
		{"GET", "/api/v1/loop", c.leads(c.getLoop)},
		{"POST", "/api/v1/loop/{pipeline}", c.leads(c.postLoop)},
		{"GET", "/api/v1/decisions", c.leads(c.getDecisions)},
		{"GET", "/api/v1/alerts", c.alerts(c.getAlerts)},
		{"GET", "/api/v1/alerts/{id}", c.alerts(c.getAlert)},
		{"POST", "/api/v1/alerts/{id}/ack", c.alerts(c.actAlert("ack"))},
		{"POST", "/api/v1/alerts/{id}/unack", c.alerts(c.actAlert("unack"))},
		{"POST", "/api/v1/alerts/{id}/snooze", c.alerts(c.actAlert("snooze"))},
		{"POST", "/api/v1/alerts/{id}/resolve", c.alerts(c.actAlert("resolve"))},
		{"POST", "/api/v1/alerts/{id}/resend", c.alerts(c.actAlert("resend"))},
		{"POST", "/api/v1/alerts/test", c.alerts(c.testAlert)},
		{"GET", "/api/v1/alerts/silences", c.alerts(c.getSilences)},
		{"POST", "/api/v1/alerts/silences", c.alerts(c.postSilence)},
		{"DELETE", "/api/v1/alerts/silences/{id}", c.alerts(c.deleteSilence)},
		{"GET", "/api/v1/evaluations", c.getEvaluations},
		{"POST", "/api/v1/evaluations", c.postEvaluation},
		{"GET", "/api/v1/drift", c.getDrift},
		{"GET", "/api/v1/queries", c.getQueries},
		{"POST", "/api/v1/sql", c.postSQL},
		{"GET", "/api/v1/openapi.yaml", c.page.openapiYAML},
		{"GET", "/api/v1/openapi.json", c.page.openapiJSON},
		{"GET", "/metrics", promhttp.HandlerFor(c.deps.Metrics, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}).ServeHTTP},
		{"GET", "/healthz", c.getHealth},
		{"GET", "/readyz", c.getReady},
		{"GET", "/ws", c.feed},
	}
}

func (c *Console) handler(addr string) http.Handler {
	mux := http.NewServeMux()
	for _, r := range c.routes() {
		mux.HandleFunc(r.method+" "+r.path, r.handle)
	}
	if c.models != nil {
		mux.Handle("/v2", c.models)
		mux.Handle("/v2/", c.models)
	}
	mux.HandleFunc("/", c.page.serve)
	return c.guard(mux, addr)
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, v any) { answerWith(w, http.StatusOK, v) }

func answerWith(w http.ResponseWriter, status int, v any) {
	js, err := json.Marshal(v)
	if err != nil {
		fail(w, http.StatusInternalServerError, "internal", "encode the answer: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(js, '\n'))
}

// fail writes an error as JSON: {"error":…,"code":…}.
func fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	body := struct {
		Error string `json:"error"`
		Code  string `json:"code"`
	}{message, code}
	_, _ = w.Write(append(mustJSON(body), '\n'))
}
