package oip

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"andon/model"
)

// ServeHTTP answers what is asked below /v2, with JSON always; errors are {"error": "…"}.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["Cache-Control"] = noStore
	way, ok := strings.CutPrefix(r.URL.Path, "/v2")
	if !ok || way != "" && way[0] != '/' {
		fail(w, unknown("there is nothing at %s", r.URL.Path))
		return
	}
	p := strings.Split(strings.Trim(way, "/"), "/")
	name, version := "", ""
	if p[0] == "models" && len(p) > 1 && !(len(p) == 2 && p[1] == "stats") {
		name, p = p[1], p[2:]
		if len(p) >= 2 && p[0] == "versions" {
			version, p = p[1], p[2:]
		}
		s.model(w, r, name, version, p)
		return
	}
	switch what := strings.Join(p, "/"); {
	case what == "":
		if method(w, r, http.MethodGet) {
			answer(w, r, http.StatusOK, s.metadata())
		}
	case what == "health/live":
		if method(w, r, http.MethodGet) {
			answer(w, r, http.StatusOK, map[string]bool{"live": true})
		}
	case what == "health/ready":
		if method(w, r, http.MethodGet) {
			ready(w, r, map[string]any{}, s.ready() == nil)
		}
	case what == "models/stats":
		if method(w, r, http.MethodGet) {
			s.getStats(w, r, "", "")
		}
	case what == "models":
		if method(w, r, http.MethodGet) {
			answer(w, r, http.StatusOK, map[string]any{"models": s.catalog.names()})
		}
	case what == "repository/index":
		if method(w, r, http.MethodPost) {
			s.postIndex(w, r)
		}
	case len(p) == 4 && p[0] == "repository" && p[1] == "models" && (p[3] == "load" || p[3] == "unload"):
		if method(w, r, http.MethodPost) {
			s.postLoad(w, r, p[2], p[3] == "load")
		}
	case p[0] == "systemsharedmemory" || p[0] == "cudasharedmemory" || p[0] == "trace" || p[0] == "logging":
		fail(w, &fault{status: http.StatusNotImplemented, text: "the extension " + p[0] + " is not served; GET /v2 lists those that are"})
	default:
		fail(w, unknown("there is nothing at %s", r.URL.Path))
	}
}

// model answers what is asked of one model, or one version of it.
func (s *Server) model(w http.ResponseWriter, r *http.Request, name, version string, p []string) {
	switch what := strings.Join(p, "/"); what {
	case "infer":
		if method(w, r, http.MethodPost) {
			s.postInfer(w, r, name, version)
		}
	case "":
		if method(w, r, http.MethodGet) {
			d, f := s.describe(name, version)
			if f != nil {
				fail(w, f)
				return
			}
			answer(w, r, http.StatusOK, d)
		}
	case "ready":
		if method(w, r, http.MethodGet) {
			is, f := s.modelReady(name, version)
			if f != nil {
				fail(w, f)
				return
			}
			ready(w, r, map[string]any{"name": name}, is)
		}
	case "stats":
		if method(w, r, http.MethodGet) {
			s.getStats(w, r, name, version)
		}
	case "config":
		if method(w, r, http.MethodGet) {
			d, f := s.describe(name, version)
			if f != nil {
				fail(w, f)
				return
			}
			answer(w, r, http.StatusOK, d.config())
		}
	default:
		fail(w, unknown("there is nothing at %s; of a model there is infer, ready, stats, config, and its metadata", r.URL.Path))
	}
}

// method refuses any but one.
func method(w http.ResponseWriter, r *http.Request, want string) bool {
	if r.Method == want || want == http.MethodGet && r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", want)
	fail(w, &fault{status: http.StatusMethodNotAllowed, text: r.Method + " is not for " + r.URL.Path + ": use " + want})
	return false
}

// ready tells by the status, too: that is what probes look at.
func ready(w http.ResponseWriter, r *http.Request, body map[string]any, is bool) {
	body["ready"] = is
	status := http.StatusOK
	if !is {
		status = http.StatusServiceUnavailable
	}
	answer(w, r, status, body)
}

func answer(w http.ResponseWriter, r *http.Request, status int, v any) {
	js, err := json.Marshal(v)
	if err != nil {
		fail(w, broken("encode the answer: %v", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	write(w, r, status, js)
}

func fail(w http.ResponseWriter, f *fault) {
	b := appendText([]byte(`{"error":`), f.text)
	w.Header().Set("Content-Type", "application/json")
	if f.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(f.status)
	_, _ = w.Write(append(b, '}', '\n'))
}

func setLength(h http.Header, n int) { h.Set("Content-Length", strconv.Itoa(n)) }

// headerLength is the header that tells where a body's JSON ends and its binary tensors begin.
const headerLength = "Inference-Header-Content-Length"

// postInfer scores.
func (s *Server) postInfer(w http.ResponseWriter, r *http.Request, name, version string) {
	if f := s.enter(); f != nil {
		fail(w, f)
		return
	}
	defer s.leave()
	v, m, f := s.catalog.ready(name, version)
	if f != nil {
		s.metrics.refused(rest)
		fail(w, f)
		return
	}
	c := newCall()
	defer c.free()
	f = s.inferREST(r, m, c)
	js := 0
	if f == nil {
		js = c.respond(v)
	}
	s.done(rest, v, c, f)
	if f != nil {
		fail(w, f)
		return
	}
	h := w.Header()
	if js == len(c.answer) {
		h["Content-Type"] = typeJSON
	} else {
		h["Content-Type"] = typeBinary
		h.Set(headerLength, strconv.Itoa(js))
	}
	write(w, r, http.StatusOK, c.answer)
}

// Headers' values that never change; nobody adds to them.
var typeJSON, typeBinary, noStore = []string{"application/json"}, []string{"application/octet-stream"}, []string{"no-store"}

func (s *Server) inferREST(r *http.Request, m *model.Model, c *call) *fault {
	body, f := c.readBody(r, int64(s.cfg.MaxRequest))
	if f != nil {
		return f
	}
	js, rest := body, []byte(nil)
	if h := r.Header.Get(headerLength); h != "" {
		n, err := strconv.Atoi(h)
		if err != nil || n < 0 || n > len(body) {
			return wrong("the header %s says %q, and the body has %d bytes", headerLength, h, len(body))
		}
		js, rest = body[:n], body[n:]
	}
	if f := c.request(js, rest); f != nil {
		return f
	}
	if f := c.accept(m); f != nil {
		return f
	}
	return s.score(r.Context(), m, c)
}

func (s *Server) getStats(w http.ResponseWriter, r *http.Request, name, version string) {
	list, f := s.catalog.stats(name, version)
	if f != nil {
		fail(w, f)
		return
	}
	answer(w, r, http.StatusOK, map[string]any{"model_stats": statsJSON(list)})
}

// small reads a body that is a JSON object or nothing.
func small(w http.ResponseWriter, r *http.Request, v any) bool {
	const limit = 64 << 10
	body, f := readAll(nil, r.Body, limit, "")
	if f == nil && len(bytes.TrimSpace(body)) > 0 {
		d := json.NewDecoder(bytes.NewReader(body))
		err := d.Decode(v)
		if err == nil {
			if _, more := d.Token(); more != io.EOF {
				err = io.ErrUnexpectedEOF
			}
		}
		if err != nil {
			f = wrong("the body is no JSON object as the protocol has it: %v", err)
		}
	}
	if f != nil {
		fail(w, f)
		return false
	}
	return true
}

func (s *Server) postIndex(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Ready bool `json:"ready"`
	}
	if small(w, r, &ask) {
		answer(w, r, http.StatusOK, s.catalog.index(ask.Ready))
	}
}

func (s *Server) postLoad(w http.ResponseWriter, r *http.Request, name string, load bool) {
	var ask struct {
		Parameters map[string]any `json:"parameters"`
	}
	if !small(w, r, &ask) {
		return
	}
	if f := s.control(r.Context(), name, load, ask.Parameters); f != nil {
		fail(w, f)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	setLength(w.Header(), 2)
	_, _ = w.Write([]byte("{}"))
}
