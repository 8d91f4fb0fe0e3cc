package oip

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"andon/event"
	"andon/model"
	"andon/model/ort/orttest"
	"andon/scorer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const length, width = 6, 3

// house is a server of both protocols on real models: pumps with a champion and another version, and fans without any.
type house struct {
	*Server
	judge    *scorer.Scorer
	models   *model.Registry
	champion *model.Model
	other    *model.Model
	url      string
	conn     *grpc.ClientConn
}

// newModel makes a model of pumps; scaled ones have a mean and deviation that differ by channel.
func newModel(t testing.TB, seed uint64, scaled bool) *model.Model {
	t.Helper()
	r := model.Recipe{Signals: []string{"pressure", "flow", "temperature"}, Grid: time.Minute, Length: length, Smooth: 1}
	if scaled {
		r.Scale = []model.Scale{{Mean: 10, Std: 2}, {Mean: -3, Std: 0.5}, {Mean: 70, Std: 8}}
	}
	m, err := model.Seal(orttest.GRU(length, width, 8, 1, seed), model.Meta{Pipeline: "pumps", Task: model.RemainingLife, Unit: "cycles", Horizon: 30, Recipe: r})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newHouse(t testing.TB, change func(*Config)) *house {
	t.Helper()
	orttest.Open(t)
	log := slog.New(slog.DiscardHandler)
	h := &house{judge: scorer.New(scorer.Default(), log, prometheus.NewRegistry()), champion: newModel(t, 1, true), other: newModel(t, 2, true)}
	t.Cleanup(h.judge.Close)
	var err error
	if h.models, err = model.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	h.models.Prepare(h.judge.Load)
	for _, m := range []*model.Model{h.champion, h.other} {
		if err := h.models.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.models.Promote("pumps", h.champion.Version, "test", "first"); err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	if change != nil {
		change(&cfg)
	}
	h.Server = New(cfg, Deps{Judge: h.judge, Models: h.models, Pipelines: []string{"pumps", "fans"}, Ready: func() error { return nil }, Version: "1.2.3"},
		log, prometheus.NewRegistry())
	web := httptest.NewServer(h.Server)
	t.Cleanup(web.Close)
	h.url = web.URL
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- h.ServeRPC(ctx, l) }()
	if h.conn, err = grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.conn.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return h
}

// windows returns n windows, and what the model says to them.
func (h *house) windows(t testing.TB, m *model.Model, n int) ([]float32, []event.Verdict) {
	t.Helper()
	w := make([]float32, n*length*width)
	for i := range w {
		w[i] = float32((i*37)%23)/11 - 1
	}
	out := make([]event.Verdict, n)
	if err := h.judge.Score(t.Context(), m, w, out); err != nil {
		t.Fatal(err)
	}
	return w, out
}

// reply is an answer of REST.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (h *house) ask(t testing.TB, method, path string, body []byte, header ...string) reply {
	t.Helper()
	r, err := http.NewRequest(method, h.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}, Timeout: time.Minute}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, b}
}

// get reads an answer of status 200 into v.
func (h *house) get(t testing.TB, method, path, body string, v any) {
	t.Helper()
	a := h.ask(t, method, path, []byte(body))
	if a.status != 200 || a.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s %s: %d %v %s", method, path, a.status, a.header, a.body)
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%s: %v: %s", path, err, a.body)
	}
}

// fails asks for what must be refused, and why.
func (h *house) fails(t testing.TB, status int, method, path, body, says string) {
	t.Helper()
	a := h.ask(t, method, path, []byte(body))
	var e struct{ Error string }
	if err := json.Unmarshal(a.body, &e); err != nil || a.status != status || !strings.Contains(e.Error, says) {
		t.Errorf("%s %s %.80s: %d %s; want %d and %q", method, path, body, a.status, a.body, status, says)
	}
}

type inferAnswer struct {
	ModelName    string `json:"model_name"`
	ModelVersion string `json:"model_version"`
	ID           string `json:"id"`
	Outputs      []struct {
		Name       string
		Datatype   string
		Shape      []int64
		Data       []float32
		Parameters map[string]int
	}
}

// verdicts checks an answer with numbers against what the model says.
func (a *inferAnswer) verdicts(t testing.TB, want []event.Verdict) {
	t.Helper()
	if len(a.Outputs) != 2 || a.Outputs[0].Name != "value" || a.Outputs[1].Name != "risk" {
		t.Fatalf("outputs %+v", a.Outputs)
	}
	for _, o := range a.Outputs {
		if o.Datatype != "FP32" || fmt.Sprint(o.Shape) != fmt.Sprint([]int{len(want), 1}) || len(o.Data) != len(want) {
			t.Fatalf("output %+v", o)
		}
	}
	for i, w := range want {
		if !near(a.Outputs[0].Data[i], w.Value) || !near(a.Outputs[1].Data[i], w.Risk) {
			t.Fatalf("window %d: %v, %v; want %v", i, a.Outputs[0].Data[i], a.Outputs[1].Data[i], w)
		}
	}
}

// near allows for the last bits, which differ with the size of a run.
func near(a, b float32) bool { return a-b < 1e-5 && b-a < 1e-5 }

// request returns an inference request with flat data.
func request(w []float32, extra string) string {
	js, _ := json.Marshal(w)
	return fmt.Sprintf(`{%s"inputs":[{"name":"window","datatype":"FP32","shape":[%d,%d,%d],"data":%s}]}`, extra, len(w)/(length*width), length, width, js)
}
