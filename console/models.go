package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"

	"andon/model"
	"andon/model/onnx"
	"andon/model/ort"
)

// Models is the registry as the API serves it. Errors are shown to whoever asked; model.ErrUnknown and model.ErrNoEarlier among them are told apart.
type Models interface {
	// Models lists the versions of a pipeline, or of all where it is empty.
	Models(pipeline string) ([]model.Info, error)
	// Find returns the version that begins so; pipeline may be empty.
	Find(pipeline, version string) (model.Info, error)
	File(pipeline, version string) ([]byte, error)
	// Moves is the history of a pipeline's aliases, oldest first.
	Moves(pipeline string) ([]model.Move, error)
	// Push takes a file in; known tells that it was there already.
	Push(ctx context.Context, p Push) (info model.Info, known bool, err error)
	// Move points an alias at a version, or with none at nothing; percent is a canary's.
	Move(ctx context.Context, m model.Move) (model.Move, error)
	Rollback(ctx context.Context, pipeline string, alias model.Alias, who, why string) (model.Move, error)
}

// Push is a model that somebody brings.
type Push struct {
	Pipeline string
	Name     string // of the file, for people
	File     []byte
	// Spec and MLmodel are the YAML beside it, where there is one.
	Spec, MLmodel []byte
	Who, Why      string
}

// apiModel is a version as the API tells of it.
type apiModel struct {
	model.Meta
	Version  string             `json:"version"`
	Bytes    int64              `json:"bytes"`
	Added    time.Time          `json:"added"`
	Who      string             `json:"who,omitempty"`
	Why      string             `json:"why,omitempty"`
	Aliases  []model.Alias      `json:"aliases"`
	Measured map[string]float64 `json:"measured,omitempty"`
	// What the file declares; only in the answer about one version.
	Inputs   []string         `json:"inputs,omitempty"`
	Outputs  []string         `json:"outputs,omitempty"`
	Nodes    int              `json:"nodes,omitempty"`
	Opsets   map[string]int64 `json:"opsets,omitempty"`
	Known    bool             `json:"known,omitempty"`
	Channels []string         `json:"channels,omitempty"`
}

func newAPIModel(i model.Info) apiModel {
	return apiModel{Meta: i.Meta, Version: i.Version, Bytes: i.Bytes, Added: i.Added, Who: i.Who, Why: i.Why,
		Aliases: append([]model.Alias{}, i.Aliases...), Measured: i.Measured}
}

// describe adds what the file declares.
func (m *apiModel) describe(file []byte) error {
	inputs, outputs, err := ort.Signature(file)
	if err != nil {
		return err
	}
	for _, p := range inputs {
		m.Inputs = append(m.Inputs, p.String())
	}
	for _, p := range outputs {
		m.Outputs = append(m.Outputs, p.String())
	}
	f, err := onnx.Inspect(file)
	if err != nil {
		return err
	}
	m.Nodes, m.Opsets, m.Channels = f.Nodes, map[string]int64{}, m.Recipe.Channels()
	for domain, set := range f.Opsets {
		if domain == "" {
			domain = "ai.onnx"
		}
		m.Opsets[domain] = set
	}
	return nil
}

// registry refuses requests where no registry is served.
func (c *Console) registry(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c.deps.Models == nil {
			fail(w, http.StatusNotImplemented, codeNotFound, "this process keeps no models")
			return
		}
		next(w, r)
	}
}

func (c *Console) getModels(w http.ResponseWriter, r *http.Request) {
	infos, err := c.deps.Models.Models(r.FormValue("pipeline"))
	if err != nil {
		failModel(w, err, http.StatusInternalServerError)
		return
	}
	list := []apiModel{}
	for _, i := range infos {
		list = append(list, newAPIModel(i))
	}
	answer(w, list)
}

func (c *Console) getModel(w http.ResponseWriter, r *http.Request) {
	info, file, ok := c.modelFile(w, r)
	if !ok {
		return
	}
	m := newAPIModel(info)
	if err := m.describe(file); err != nil {
		failModel(w, err, http.StatusInternalServerError)
		return
	}
	answer(w, m)
}

func (c *Console) getModelFile(w http.ResponseWriter, r *http.Request) {
	info, file, ok := c.modelFile(w, r)
	if !ok {
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": info.Pipeline + "-" + info.Version + ".onnx"}))
	h.Set("Cache-Control", "private, max-age=31536000, immutable")
	h.Set("X-Andon-Version", info.Version)
	_, _ = w.Write(file)
}

// modelFile finds the version that the path names, or answers why it cannot. The pipeline "-" stands for any.
func (c *Console) modelFile(w http.ResponseWriter, r *http.Request) (info model.Info, file []byte, ok bool) {
	pipeline := r.PathValue("pipeline")
	if pipeline == "-" {
		pipeline = ""
	}
	info, err := c.deps.Models.Find(pipeline, r.PathValue("version"))
	if err == nil {
		file, err = c.deps.Models.File(info.Pipeline, info.Version)
	}
	if err != nil {
		failModel(w, err, http.StatusConflict)
		return info, nil, false
	}
	return info, file, true
}

func (c *Console) getMoves(w http.ResponseWriter, r *http.Request) {
	moves, err := c.deps.Models.Moves(r.PathValue("pipeline"))
	if err != nil {
		failModel(w, err, http.StatusInternalServerError)
		return
	}
	answer(w, append([]model.Move{}, moves...))
}

// askMove is what a move or a rollback is asked with.
type askMove struct {
	Alias   model.Alias `json:"alias"`
	Version string      `json:"version"` // empty clears the alias
	Percent float64     `json:"percent"` // a canary's
	Who     string      `json:"who"`
	Why     string      `json:"why"`
}

func readMove(w http.ResponseWriter, r *http.Request, example string) (ask askMove, ok bool) {
	if !readJSON(w, r, &ask, example) {
		return ask, false
	}
	if ask.Alias == "" {
		ask.Alias = model.Champion
	}
	if !slices.Contains([]model.Alias{model.Champion, model.Challenger, model.Shadow, model.Canary}, ask.Alias) {
		fail(w, http.StatusBadRequest, codeBadRequest, fmt.Sprintf("%q is not an alias: use champion, challenger, shadow or canary", ask.Alias))
		return ask, false
	}
	ask.Who, ask.Why = orElse(ask.Who, "api"), orElse(ask.Why, "asked by hand")
	return ask, true
}

func orElse(s, none string) string {
	if s == "" {
		return none
	}
	return s
}

// postMove points an alias at a version.
func (c *Console) postMove(w http.ResponseWriter, r *http.Request) {
	ask, ok := readMove(w, r, `{"alias":"champion","version":"0123456789ab","who":"anna","why":"better on line 3"}`)
	if !ok {
		return
	}
	to := model.Move{Pipeline: r.PathValue("pipeline"), Alias: ask.Alias, Percent: ask.Percent, Who: ask.Who, Why: ask.Why}
	if ask.Version != "" {
		info, err := c.deps.Models.Find(to.Pipeline, ask.Version)
		if err != nil {
			failModel(w, err, http.StatusConflict)
			return
		}
		to.To = info.Version
	}
	mv, err := c.deps.Models.Move(r.Context(), to)
	if err != nil {
		failModel(w, err, http.StatusConflict)
		return
	}
	answer(w, mv)
}

func (c *Console) postRollback(w http.ResponseWriter, r *http.Request) {
	ask, ok := readMove(w, r, `{"alias":"champion","who":"anna","why":"false alarms"}`)
	if !ok {
		return
	}
	mv, err := c.deps.Models.Rollback(r.Context(), r.PathValue("pipeline"), ask.Alias, ask.Who, ask.Why)
	if err != nil {
		failModel(w, err, http.StatusConflict)
		return
	}
	answer(w, mv)
}

// uploadWithin is how long a model may take to arrive: half a gigabyte at 1 MiB a second.
const uploadWithin = 10 * time.Minute

// postModel takes a model in, as multipart/form-data: pipeline, who, why, spec, mlmodel, and last the file as model.
func (c *Console) postModel(w http.ResponseWriter, r *http.Request) {
	if !c.pushing.TryLock() { // one file of the largest size in memory at a time
		fail(w, http.StatusTooManyRequests, codeBusy, "another model is being taken in: try again in a moment")
		return
	}
	defer c.pushing.Unlock()
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(uploadWithin)) // where it cannot be set, the server's own holds
	r.Body = http.MaxBytesReader(w, r.Body, c.deps.ModelBytes+2*maxBody)
	parts, err := r.MultipartReader()
	if err != nil {
		fail(w, http.StatusUnsupportedMediaType, codeBadRequest, "send multipart/form-data with the fields pipeline and model: "+err.Error())
		return
	}
	var p Push
	fields := map[string]func([]byte){
		"pipeline": func(b []byte) { p.Pipeline = string(b) }, "who": func(b []byte) { p.Who = string(b) }, "why": func(b []byte) { p.Why = string(b) },
		"spec": func(b []byte) { p.Spec = b }, "mlmodel": func(b []byte) { p.MLmodel = b }, "model": func(b []byte) { p.File = b },
	}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		var body []byte
		if err == nil {
			limit := int64(maxBody)
			if part.FormName() == "model" {
				limit, p.Name = c.deps.ModelBytes, part.FileName()
			}
			if body, err = io.ReadAll(io.LimitReader(part, limit+1)); err == nil && int64(len(body)) > limit {
				fail(w, http.StatusRequestEntityTooLarge, codeBadRequest, fmt.Sprintf("%s: more than %d bytes; models.max_bytes bounds a model", part.FormName(), limit))
				return
			}
		}
		if err != nil {
			fail(w, http.StatusBadRequest, codeBadRequest, "read the form: "+err.Error())
			return
		}
		set, ok := fields[part.FormName()]
		if !ok {
			fail(w, http.StatusBadRequest, codeBadRequest, fmt.Sprintf("%q is not a field: use pipeline, who, why, spec, mlmodel and model", part.FormName()))
			return
		}
		set(body)
	}
	if p.Pipeline == "" || p.File == nil {
		fail(w, http.StatusBadRequest, codeBadRequest, "the form lacks the field pipeline or the file model")
		return
	}
	p.Who, p.Why = orElse(p.Who, "api"), orElse(p.Why, "pushed by hand")
	info, known, err := c.deps.Models.Push(r.Context(), p)
	if err != nil {
		failModel(w, err, http.StatusUnprocessableEntity)
		return
	}
	m := newAPIModel(info)
	m.Known = known
	status := http.StatusCreated
	if known {
		status = http.StatusOK
	}
	answerWith(w, status, m)
}

func failModel(w http.ResponseWriter, err error, status int) {
	switch {
	case errors.Is(err, model.ErrUnknown):
		fail(w, http.StatusNotFound, codeNotFound, err.Error()+"; /api/v1/models lists those there are")
	case errors.Is(err, context.Canceled):
		fail(w, 499, codeBusy, "the request was given up")
	default:
		fail(w, status, codeModel, err.Error())
	}
}
