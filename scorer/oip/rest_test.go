package oip

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"

	"andon/model"
)

func TestRESTInfer(t *testing.T) {
	h := newHouse(t, nil)
	w, want := h.windows(t, h.champion, 40)
	var a inferAnswer
	h.get(t, "POST", "/v2/models/pumps/infer", request(w, `"id":"Größe \"1\"",`), &a)
	a.verdicts(t, want)
	if a.ModelName != "pumps" || a.ModelVersion != h.champion.Version || a.ID != `Größe "1"` {
		t.Errorf("%+v", a)
	}

	nested := make([][][]float32, 2)
	for i := range nested {
		for j := range length {
			at := (i*length + j) * width
			nested[i] = append(nested[i], w[at:at+width])
		}
	}
	js, _ := json.Marshal(nested)
	a = inferAnswer{}
	h.get(t, "POST", "/v2/models/pumps/versions/champion/infer", fmt.Sprintf(`{"inputs":[{"data":%s,"shape":[2,%d,%d],"datatype":"FP32","name":"window"}], "outputs":null, "more":{"x":[null,{}]}}`,
		js, length, width), &a)
	a.verdicts(t, want[:2])

	a = inferAnswer{}
	h.get(t, "POST", "/v2/models/pumps/infer", request(w, `"outputs":[{"name":"risk"}],`), &a)
	if len(a.Outputs) != 1 || a.Outputs[0].Name != "risk" || !near(a.Outputs[0].Data[39], want[39].Risk) {
		t.Errorf("one output: %+v", a.Outputs)
	}
}

// Windows in the signals' own units are scaled here.
func TestUnscaled(t *testing.T) {
	h := newHouse(t, nil)
	w, want := h.windows(t, h.champion, 3)
	raw := make([]float32, len(w))
	for i := range w {
		s := h.champion.Recipe.Scale[i%width]
		raw[i] = w[i]*float32(s.Std) + float32(s.Mean)
	}
	var a inferAnswer
	h.get(t, "POST", "/v2/models/pumps/infer", request(raw, `"parameters":{"scaled":false},`), &a)
	a.verdicts(t, want)
	var d description
	h.get(t, "GET", "/v2/models/pumps", "", &d)
	var mean []float64
	if err := json.Unmarshal([]byte(d.Properties["mean"]), &mean); err != nil || len(mean) != width || mean[2] != 70 {
		t.Errorf("%+v", d)
	}
}

// binaryRequest returns a request whose tensor follows the JSON, and the JSON's length.
func binaryRequest(w []float32, extra string) ([]byte, string) {
	js := fmt.Sprintf(`{%s"inputs":[{"name":"window","datatype":"FP32","shape":[%d,%d,%d],"parameters":{"binary_data_size":%d}}]}`,
		extra, len(w)/(length*width), length, width, 4*len(w))
	return append([]byte(js), bytesOf(w)...), strconv.Itoa(len(js))
}

func TestRESTBinary(t *testing.T) {
	h := newHouse(t, nil)
	w, want := h.windows(t, h.champion, 300)
	floats := func(b []byte) []float32 {
		v := make([]float32, len(b)/4)
		copy(bytesOf(v), b)
		return v
	}
	// The length of the JSON decides where the numbers' memory begins: every alignment must do.
	for pad := range 5 {
		body, js := binaryRequest(w, `"id":"`+strings.Repeat("x", pad)+`","parameters":{"binary_data_output":true},`)
		a := h.ask(t, "POST", "/v2/models/pumps/infer", body, headerLength, js)
		n, err := strconv.Atoi(a.header.Get(headerLength))
		if a.status != 200 || err != nil || a.header.Get("Content-Type") != "application/octet-stream" {
			t.Fatalf("%d %v %s", a.status, a.header, a.body[:100])
		}
		var r inferAnswer
		if err := json.Unmarshal(a.body[:n], &r); err != nil || len(r.Outputs) != 2 || r.Outputs[1].Parameters["binary_data_size"] != 1200 {
			t.Fatalf("%v %s", err, a.body[:n])
		}
		value, risk := floats(a.body[n:n+1200]), floats(a.body[n+1200:])
		for i := range want {
			if !near(value[i], want[i].Value) || !near(risk[i], want[i].Risk) {
				t.Fatalf("pad %d, window %d: %v %v; want %v", pad, i, value[i], risk[i], want[i])
			}
		}
	}
	// One as numbers, one as bytes, in the order asked for.
	body, js := binaryRequest(w[:length*width], `"outputs":[{"name":"risk","parameters":{"binary_data":false}},{"name":"value"}],"parameters":{"binary_data_output":true},`)
	a := h.ask(t, "POST", "/v2/models/pumps/infer", body, headerLength, js)
	n, _ := strconv.Atoi(a.header.Get(headerLength))
	var r inferAnswer
	if err := json.Unmarshal(a.body[:n], &r); err != nil || r.Outputs[0].Name != "risk" || !near(r.Outputs[0].Data[0], want[0].Risk) || !near(floats(a.body[n:])[0], want[0].Value) {
		t.Errorf("%v %s", err, a.body)
	}
	fails := func(js, size, says string) {
		t.Helper()
		a := h.ask(t, "POST", "/v2/models/pumps/infer", append([]byte(js), bytesOf(w)...), headerLength, size)
		if a.status != 400 || !strings.Contains(string(a.body), says) {
			t.Errorf("%s, %s: %d %s; want %q", js, size, a.status, a.body, says)
		}
	}
	head := func(n int) string {
		return fmt.Sprintf(`{"inputs":[{"name":"window","datatype":"FP32","shape":[300,6,3],"parameters":{"binary_data_size":%d}}]}`, n)
	}
	fails(head(21600), "x", "the body has")
	fails(head(21600), "999999", "the body has")
	fails(head(21600), "3", "the JSON ends after 3 bytes")
	fails(head(21604), strconv.Itoa(len(head(21604))), "21600 bytes are left")
	fails(head(21596), strconv.Itoa(len(head(21596))), "4 bytes follow")
	fails(head(-1), strconv.Itoa(len(head(-1))), "not negative")
}

func TestRESTPacked(t *testing.T) {
	h := newHouse(t, nil)
	w, want := h.windows(t, h.champion, 200)
	pack := func(z io.WriteCloser, b *bytes.Buffer) []byte {
		_, _ = io.WriteString(z, request(w, ""))
		z.Close()
		return b.Bytes()
	}
	var g, d bytes.Buffer
	gz, zl := pack(gzip.NewWriter(&g), &g), pack(zlib.NewWriter(&d), &d)
	check := func(a reply, unpack func(io.Reader) (io.ReadCloser, error), encoding string) {
		t.Helper()
		if a.status != 200 || a.header.Get("Content-Encoding") != encoding {
			t.Fatalf("%d %v %s", a.status, a.header, a.body)
		}
		z, err := unpack(bytes.NewReader(a.body))
		if err != nil {
			t.Fatal(err)
		}
		var r inferAnswer
		if err := json.NewDecoder(z).Decode(&r); err != nil {
			t.Fatal(err)
		}
		r.verdicts(t, want)
	}
	gunzip := func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }
	inflate := func(r io.Reader) (io.ReadCloser, error) { return zlib.NewReader(r) }
	for range 2 { // packers are used again
		check(h.ask(t, "POST", "/v2/models/pumps/infer", gz, "Content-Encoding", "gzip", "Accept-Encoding", "gzip"), gunzip, "gzip")
		check(h.ask(t, "POST", "/v2/models/pumps/infer", zl, "Content-Encoding", "deflate", "Accept-Encoding", "gzip;q=0, deflate"), inflate, "deflate")
	}
	a := h.ask(t, "POST", "/v2/models/pumps/infer", []byte("no gzip"), "Content-Encoding", "gzip")
	if a.status != 400 || !strings.Contains(string(a.body), "unpack") {
		t.Errorf("%d %s", a.status, a.body)
	}
	a = h.ask(t, "POST", "/v2/models/pumps/infer", gz, "Content-Encoding", "br")
	if a.status != 415 {
		t.Errorf("%d %s", a.status, a.body)
	}
	// What unpacks to more than a request may have ends there.
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 8<<20))
	z.Close()
	a = h.ask(t, "POST", "/v2/models/pumps/infer", bomb.Bytes(), "Content-Encoding", "gzip")
	if a.status != 413 || !strings.Contains(string(a.body), "inference.max_request") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestRESTErrors(t *testing.T) {
	h := newHouse(t, nil)
	w, _ := h.windows(t, h.champion, 1)
	good := request(w, "")
	infer := func(says, body string) {
		t.Helper()
		h.fails(t, 400, "POST", "/v2/models/pumps/infer", body, says)
	}
	swap := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatal(old)
		}
		return strings.Replace(good, old, new, 1)
	}
	infer("the JSON ends after 0 bytes, where an object belongs", "")
	infer(`the JSON has "!" at byte 10, where a colon belongs`, `{"inputs" !`)
	infer("where a comma or a brace belongs", `{"id":"1";}`)
	infer("where the end belongs", good+"{}")
	infer(`there is no input "windows"`, swap(`"window"`, `"windows"`))
	infer(`datatype "FP64"; the model takes FP32 [-1,6,3]`, swap("FP32", "FP64"))
	infer(`input window: shape [1,6]; the model takes FP32 [-1,6,3]`, swap("[1,6,3]", "[1,6]"))
	infer(`shape [1,3,6]`, swap("[1,6,3]", "[1,3,6]"))
	infer(`shape [0,6,3]`, swap("[1,6,3]", "[0,6,3]"))
	infer(`shape [-1,6,3]`, swap("[1,6,3]", "[-1,6,3]"))
	infer(`18 numbers are not shape [2,6,3]`, swap("[1,6,3]", "[2,6,3]"))
	infer(`18 numbers are not shape [9007199254740992,6,3]`, swap("[1,6,3]", "[9007199254740992,6,3]"))
	infer("where a whole number belongs", swap("[1,6,3]", "[1.5,6,3]"))
	infer("strings, and BYTES are not served", swap(`"data":[-1,`, `"data":["-1",`))
	infer("data holds null", swap(`"data":[-1,`, `"data":[null,`))
	infer("numbers and arrays side by side", swap(`"data":[-1,`, `"data":[[-1],`))
	infer("element [0,0,0] is +Inf: not a finite number", swap(`"data":[-1,`, `"data":[1e39,`))
	infer("a number that a float holds", swap(`"data":[-1,`, `"data":[1e999,`))
	infer("0 inputs: the model takes one", `{"inputs":[]}`)
	infer("2 inputs", swap(`"inputs":[`, `"inputs":[{"name":"a","datatype":"FP32","shape":[1],"data":[1]},`))
	infer(`"inputs" is there twice`, swap(`{"inputs":[`, `{"inputs":[],"inputs":[`))
	infer(`there is no output "speed"; the model gives value and risk`, request(w, `"outputs":[{"name":"speed"}],`))
	infer("output risk is asked for twice", request(w, `"outputs":[{"name":"risk"},{"name":"risk"}],`))
	infer("classification is not served", request(w, `"outputs":[{"name":"risk","parameters":{"classification":2}}],`))
	infer("shared memory is not served", swap(`"name":"window"`, `"parameters":{"shared_memory_region":"x"},"name":"window"`))
	infer("true or false belongs", request(w, `"parameters":{"scaled":"no"},`))
	infer("no deeper nesting", `{"x":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`}`)
	infer("send either data", `{"inputs":[{"name":"window","datatype":"FP32","shape":[1,6,3]}]}`)
	h.fails(t, 404, "POST", "/v2/models/cranes/infer", good, `there is no model "cranes"`)
	h.fails(t, 503, "POST", "/v2/models/fans/infer", good, "no live version yet")
	h.fails(t, 404, "POST", "/v2/models/pumps/versions/0123/infer", good, `no version "0123"`)
	h.fails(t, 503, "POST", "/v2/models/pumps/versions/"+h.other.Version+"/infer", good, "is not loaded")
	h.fails(t, 405, "GET", "/v2/models/pumps/infer", "", "use POST")
	h.fails(t, 404, "GET", "/v2/models/pumps/weights", "", "nothing at")
	h.fails(t, 404, "GET", "/v2/nothing", "", "nothing at")
	h.fails(t, 501, "GET", "/v2/systemsharedmemory/status", "", "not served")
	h.fails(t, 413, "POST", "/v2/models/pumps/infer", strings.Repeat(" ", 4<<20)+good, "inference.max_request")

	// NaN has no place in JSON, but in bytes it has.
	nan := append([]float32(nil), w...)
	nan[7] = float32(math.NaN())
	body, js := binaryRequest(nan, "")
	if a := h.ask(t, "POST", "/v2/models/pumps/infer", body, headerLength, js); a.status != 400 || !strings.Contains(string(a.body), "element [0,2,1] is NaN") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if s := h.statistics(t, "/v2/models/pumps/stats"); s[0].Stats.Fail.Count < 25 || s[0].Stats.Success.Count != 0 {
		t.Errorf("%+v", s)
	}
}

func (h *house) statistics(t testing.TB, path string) []modelStats {
	t.Helper()
	var a struct {
		Stats []modelStats `json:"model_stats"`
	}
	h.get(t, "GET", path, "", &a)
	return a.Stats
}

func TestRESTMetadata(t *testing.T) {
	h := newHouse(t, nil)
	var s serverMetadata
	h.get(t, "GET", "/v2", "", &s)
	h.get(t, "GET", "/v2/", "", &s)
	if s.Name != "andon" || s.Version != "1.2.3" || len(s.Extensions) < 4 {
		t.Errorf("%+v", s)
	}
	var live struct{ Live, Ready bool }
	h.get(t, "GET", "/v2/health/live", "", &live)
	h.get(t, "GET", "/v2/health/ready", "", &live)
	if !live.Live || !live.Ready {
		t.Errorf("%+v", live)
	}
	var d description
	h.get(t, "GET", "/v2/models/pumps", "", &d)
	if got := fmt.Sprint(d.Name, d.Platform, d.Inputs, d.Outputs, len(d.Versions)); got != "pumpsonnx_onnxv1[{window FP32 [-1 6 3]}] [{value FP32 [-1 1]} {risk FP32 [-1 1]}] 2" {
		t.Errorf("%s", got)
	}
	if d.Properties["version"] != h.champion.Version || d.Properties["channels"] != `["pressure","flow","temperature"]` || d.Properties["horizon"] != "30" {
		t.Errorf("%+v", d.Properties)
	}
	var c configuration
	h.get(t, "GET", "/v2/models/pumps/versions/"+h.other.Version+"/config", "", &c)
	if c.Input[0].DataType != "TYPE_FP32" || fmt.Sprint(c.Input[0].Dims) != "[6 3]" || c.MaxBatchSize < 1000 {
		t.Errorf("%+v", c)
	}
	var is struct {
		Name  string
		Ready bool
	}
	h.get(t, "GET", "/v2/models/pumps/ready", "", &is)
	if is.Name != "pumps" || !is.Ready {
		t.Errorf("%+v", is)
	}
	if a := h.ask(t, "GET", "/v2/models/fans/ready", nil); a.status != 503 || !strings.Contains(string(a.body), `"ready":false`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := h.ask(t, "GET", "/v2/models/pumps/versions/"+h.other.Version+"/ready", nil); a.status != 503 {
		t.Errorf("%d %s", a.status, a.body)
	}
	h.fails(t, 404, "GET", "/v2/models/cranes/ready", "", "cranes")
	h.fails(t, 404, "GET", "/v2/models/cranes", "", "cranes")
	h.fails(t, 404, "GET", "/v2/models/cranes/stats", "", "cranes")
	h.fails(t, 503, "GET", "/v2/models/fans", "", "no live version")
}

func TestStatistics(t *testing.T) {
	h := newHouse(t, nil)
	w, _ := h.windows(t, h.champion, 5)
	var a inferAnswer
	for range 3 {
		h.get(t, "POST", "/v2/models/pumps/infer", request(w, ""), &a)
	}
	for _, path := range []string{"/v2/models/stats", "/v2/models/pumps/stats", "/v2/models/pumps/versions/" + h.champion.Version + "/stats"} {
		s := h.statistics(t, path)
		if len(s) != 1 || s[0].Version != h.champion.Version || s[0].Inferences != 15 || s[0].Executions < 1 || s[0].Last == 0 {
			t.Fatalf("%s: %+v", path, s)
		}
		i := s[0].Stats
		if i.Success.Count != 3 || i.ComputeInput.Count != 3 || i.ComputeInfer.NS == 0 || i.Success.NS < i.ComputeInfer.NS+i.ComputeInput.NS+i.ComputeOutput.NS || len(s[0].Batches) == 0 {
			t.Errorf("%s: %+v", path, s)
		}
	}
	if s := h.statistics(t, "/v2/models/pumps/versions/"+h.other.Version+"/stats"); len(s) != 1 || s[0].Inferences != 0 {
		t.Errorf("%+v", s)
	}
}

func TestRepository(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Loaded = 1 })
	third := newModel(t, 3, false)
	if err := h.models.Add(third); err != nil {
		t.Fatal(err)
	}
	states := func(body string) map[string]string {
		t.Helper()
		var list []index
		h.get(t, "POST", "/v2/repository/index", body, &list)
		all := map[string]string{}
		for _, i := range list {
			all[i.Name+"/"+i.Version] = i.State + " " + i.Reason
		}
		return all
	}
	if s := states(""); len(s) != 4 || s["pumps/"+h.champion.Version] != "READY champion" || s["pumps/"+h.other.Version] != "UNAVAILABLE not loaded" || s["fans/"] != "UNAVAILABLE no version yet" {
		t.Errorf("%v", s)
	}
	if s := states(`{"ready":true}`); len(s) != 1 {
		t.Errorf("%v", s)
	}
	do := func(act, parameters string) {
		t.Helper()
		var a map[string]any
		h.get(t, "POST", "/v2/repository/models/pumps/"+act, parameters, &a)
	}
	w, want := h.windows(t, h.other, 2)
	h.judge.Retire(h.other.Version) // the scorer loads what it is asked for; the protocol does not
	infer := "/v2/models/pumps/versions/" + h.other.Version + "/infer"
	h.fails(t, 503, "POST", infer, request(w, ""), "is not loaded")
	version := func(m *model.Model) string { return `{"parameters":{"version":"` + m.Version + `"}}` }
	do("load", version(h.other))
	if s := states(`{"ready":true}`); len(s) != 2 {
		t.Errorf("%v", s)
	}
	var a inferAnswer
	h.get(t, "POST", infer, request(w, ""), &a)
	a.verdicts(t, want)
	h.fails(t, 409, "POST", "/v2/repository/models/pumps/load", version(third), "inference.loaded")
	do("load", version(h.other)) // once more is no harm
	do("load", "")
	do("unload", version(h.other))
	h.fails(t, 503, "POST", infer, request(w, ""), "is not loaded")
	do("load", `{"parameters":{"config":"{\"version_policy\":{\"specific\":{\"versions\":[\"`+third.Version+`\"]}}}"}}`)
	if s := states(""); s["pumps/"+third.Version] != "READY " {
		t.Errorf("%v", s)
	}

	h.fails(t, 409, "POST", "/v2/repository/models/pumps/unload", "", "is the champion of pumps")
	h.fails(t, 409, "POST", "/v2/repository/models/pumps/unload", version(h.champion), "promote another version first")
	if err := h.models.Move(t.Context(), "pumps", model.Shadow, h.other.Version, "test", "watch it"); err != nil {
		t.Fatal(err)
	}
	h.fails(t, 409, "POST", "/v2/repository/models/pumps/unload", version(h.other), "is the shadow of pumps")
	h.fails(t, 404, "POST", "/v2/repository/models/cranes/load", "", "cranes")
	h.fails(t, 404, "POST", "/v2/repository/models/pumps/load", `{"parameters":{"version":"00"}}`, `no version "00"`)
	h.fails(t, 503, "POST", "/v2/repository/models/fans/load", "", "no live version")
	h.fails(t, 400, "POST", "/v2/repository/models/pumps/load", `{"parameters":{"file:1/model.onnx":"AAAA"}}`, "andon model push")
	h.fails(t, 400, "POST", "/v2/repository/models/pumps/load", `{"parameters":{"speed":1}}`, `"speed"`)
	h.fails(t, 400, "POST", "/v2/repository/models/pumps/load", `{"parameters":{"config":"{\"backend\":\"x\"}"}}`, "version_policy")
	h.fails(t, 400, "POST", "/v2/repository/index", `[]`, "JSON object")
	a = inferAnswer{}
	h.get(t, "POST", "/v2/models/pumps/versions/shadow/infer", request(w, ""), &a)
	a.verdicts(t, want)

	// The line goes on by itself: when the champion moves, the call without a version follows.
	if err := h.models.Promote("pumps", third.Version, "test", "better"); err != nil {
		t.Fatal(err)
	}
	a = inferAnswer{}
	h.get(t, "POST", "/v2/models/pumps/infer", request(w, ""), &a)
	if a.ModelVersion != third.Version {
		t.Errorf("%+v", a)
	}
}
