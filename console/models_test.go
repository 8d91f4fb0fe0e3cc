package console

import (
	"bytes"
	"context"
	"errors"
	"mime/multipart"
	"strings"
	"testing"
	"time"

	"andon/model"
	"andon/model/ort/orttest"
)

// desk is a registry in a folder behind the console's interface; what is pushed must say "good".
type desk struct {
	*model.Registry
	pushed Push
}

func (d *desk) Models(pipeline string) ([]model.Info, error) {
	if pipeline == "" {
		pipeline = "compressors"
	}
	return d.List(pipeline), nil
}

func (d *desk) File(pipeline, version string) ([]byte, error) {
	m, err := d.Get(pipeline, version)
	if err != nil {
		return nil, err
	}
	return m.ONNX, nil
}

func (d *desk) Moves(pipeline string) ([]model.Move, error) { return d.History(pipeline) }

func (d *desk) Push(_ context.Context, p Push) (model.Info, bool, error) {
	d.pushed = p
	if string(p.File) != "good" {
		return model.Info{}, false, errors.New("it is not good")
	}
	return d.List("compressors")[0], string(p.Spec) == "again", nil
}

func (d *desk) Move(ctx context.Context, m model.Move) (model.Move, error) {
	var err error
	switch {
	case m.To == "":
		err = d.Clear(m.Pipeline, m.Alias, m.Who, m.Why)
	case m.Alias == model.Canary:
		err = d.MoveCanary(ctx, m.Pipeline, m.To, m.Percent, m.Who, m.Why)
	default:
		err = d.Registry.Move(ctx, m.Pipeline, m.Alias, m.To, m.Who, m.Why)
	}
	mv, _ := d.Marker(m.Pipeline, m.Alias)
	return mv, err
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	r, err := model.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		m, err := model.Seal(orttest.Sum(3, 1, float32(i)), model.Meta{Pipeline: "compressors", Task: model.Score, Network: "sum",
			Recipe: model.Recipe{Signals: []string{"a"}, Grid: time.Hour, Length: 3, Smooth: 1}})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	return &desk{Registry: r}
}

func TestModelsAPI(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 1)
	d := newDesk(t)
	a.deps.Models, a.deps.ModelBytes = d, 100
	a.start(t)
	get := func(want int, path, says string) string {
		t.Helper()
		code, body, _ := a.ask(t, "GET", path, "")
		if code != want || !strings.Contains(body, says) {
			t.Errorf("%s: %d %s; want %d and %q", path, code, body, want, says)
		}
		return body
	}
	post := func(want int, path, body, says string) {
		t.Helper()
		code, got, _ := a.ask(t, "POST", path, body, "Content-Type", "application/json")
		if code != want || !strings.Contains(got, says) {
			t.Errorf("%s %s: %d %s; want %d and %q", path, body, code, got, want, says)
		}
	}
	list := decode[[]apiModel](t, get(200, "/api/v1/models?pipeline=compressors", `"network":"sum"`))
	if len(list) != 2 || len(list[0].Version) != 12 || list[0].Bytes == 0 {
		t.Fatalf("models %+v", list)
	}
	one, two := list[0].Version, list[1].Version
	get(200, "/api/v1/models/-/"+one[:9], `"inputs":["window float[-1 3 1]"]`)
	get(200, "/api/v1/models/compressors/"+one, `"opsets":{"ai.onnx":17}`)
	get(404, "/api/v1/models/compressors/zzz", "no such model")
	if m, err := model.Parse([]byte(get(200, "/api/v1/models/compressors/"+one+"/file", ""))); err != nil || m.Version != one {
		t.Errorf("the file: %v", err)
	}
	get(404, "/api/v1/models/pumps/"+one+"/file", "no such model")

	post(200, "/api/v1/models/compressors/moves", `{"version":"`+one+`","who":"anna","why":"first"}`, `"who":"anna"`)
	post(200, "/api/v1/models/compressors/moves", `{"version":"`+two[:9]+`"}`, `"from":"`+one+`"`)
	post(200, "/api/v1/models/compressors/moves", `{"version":"`+two+`","alias":"shadow"}`, `"alias":"shadow"`)
	post(400, "/api/v1/models/compressors/moves", `{"version":"`+two+`","alias":"boss"}`, "champion, challenger, shadow or canary")
	post(404, "/api/v1/models/compressors/moves", `{"version":"nothing"}`, "no such model")
	post(400, "/api/v1/models/compressors/moves", `{`, "send JSON")
	post(200, "/api/v1/models/compressors/moves", `{"alias":"shadow","why":"seen enough"}`, `"to":""`)
	post(409, "/api/v1/models/compressors/moves", `{"alias":"canary","version":"`+one+`"}`, "share of 0 %")
	post(200, "/api/v1/models/compressors/moves", `{"alias":"canary","version":"`+one+`","percent":5}`, `"percent":5`)
	post(200, "/api/v1/models/compressors/rollback", `{"why":"worse"}`, `"to":"`+one+`"`)
	post(409, "/api/v1/models/compressors/rollback", `{}`, "no earlier version")
	if moves := decode[[]model.Move](t, get(200, "/api/v1/models/compressors/moves", "")); len(moves) != 7 || !moves[5].Rollback || moves[1].Who != "api" {
		t.Errorf("moves %+v", moves)
	}

	push := func(want int, says string, fields ...string) {
		t.Helper()
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for i := 0; i < len(fields); i += 2 {
			part, err := w.CreateFormField(fields[i])
			if fields[i] == "model" {
				part, err = w.CreateFormFile("model", "a.onnx")
			}
			if err != nil {
				t.Fatal(err)
			}
			_, _ = part.Write([]byte(fields[i+1]))
		}
		w.Close()
		code, got, _ := a.ask(t, "POST", "/api/v1/models", b.String(), "Content-Type", w.FormDataContentType())
		if code != want || !strings.Contains(got, says) {
			t.Errorf("push %q: %d %s; want %d and %q", fields, code, got, want, says)
		}
	}
	push(201, `"version":"`, "pipeline", "compressors", "who", "anna", "model", "good")
	if d.pushed.Who != "anna" || d.pushed.Name != "a.onnx" || d.pushed.Why == "" {
		t.Errorf("pushed %+v", d.pushed)
	}
	push(200, `"known":true`, "pipeline", "compressors", "spec", "again", "model", "good")
	push(422, "not good", "pipeline", "compressors", "model", "bad")
	push(400, "lacks", "model", "good")
	push(400, "lacks", "pipeline", "compressors")
	push(400, "not a field", "colour", "red")
	push(413, "models.max_bytes", "pipeline", "compressors", "model", strings.Repeat("x", 101))
	if code, _, _ := a.ask(t, "POST", "/api/v1/models", "{}", "Content-Type", "application/json"); code != 415 {
		t.Errorf("a push in JSON: %d", code)
	}
	if code, _, _ := a.ask(t, "POST", "/api/v1/models", "x", "Content-Type", "multipart/form-data; boundary=x", "Origin", "https://elsewhere.example"); code != 403 {
		t.Errorf("a push by a page of another origin: %d", code)
	}
}

func TestNoRegistry(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 1)
	a.start(t)
	if code, body, _ := a.ask(t, "GET", "/api/v1/models", ""); code != 501 {
		t.Errorf("%d %s", code, body)
	}
}
