package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/deploy/kafka/brokertest"
	"andon/model"
	"andon/model/onnx"
)

const pumpsConfig = `
pipelines:
  - name: pumps
    partitions: 1
    source: {topic: plant.pumps, signals: [flow, pressure]}
    window: {grid: 1m, length: 8, max_gap: 2, lateness: 0s, horizon: 24h}
flush: {rows: 1000, bytes: 1MiB, interval: 200ms}
`

const pumpsTorch = `name: pump-cnn-gru
task: remaining-life
unit: minutes
horizon: 15
inputs:
  - {tensor: readings, layout: channels-time, signals: [pressure, flow], mean: [5, 40], std: [0.5, 4]}
value: {tensor: life, scale: 60}
`

const pumpsForest = `name: pump-forest
task: anomaly
inputs:
  - {tensor: pressure, signals: [pressure]}
  - {tensor: flow, signals: [flow]}
value: {tensor: scores}
risk: {tensor: scores, map: logistic, steep: -20}
`

// bucket starts a bucket server in this process, and returns the configuration's section.
func bucket(t *testing.T) string {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("models"); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(s.Close)
	t.Setenv("ANDON_TEST_S3_SECRET", "hunter2")
	return fmt.Sprintf("models: {s3: {endpoint: %q, bucket: models, prefix: plant-7, region: us-east-1, access_key: key, secret_key: '${ANDON_TEST_S3_SECRET}', tls: {enabled: false}}}\n",
		strings.TrimPrefix(s.URL, "http://"))
}

// Models that a stranger made with PyTorch and scikit-learn are pushed, promoted and rolled back while the line runs; scores come with their versions, and
// are those that Python computed.
func TestBringYourOwnModel(t *testing.T) {
	needLibraries(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := pumpsConfig + bucket(t)
	p := launch(t, filepath.Join(dir, "data"), config, "--kafka-listen", "127.0.0.1:0")
	andon := func(args ...string) (code int, out, talk string) {
		return ask(t, append(append([]string{"model"}, args...), "--data", p.data)...)
	}
	done := func(args ...string) (out string) {
		t.Helper()
		code, out, talk := andon(args...)
		if code != exitOK {
			t.Fatalf("%q: exit code %d: %s", args, code, talk)
		}
		return strings.TrimSpace(out)
	}
	testdata := func(name string) string { return filepath.Join("model", "adopt", "testdata", name) }

	// Nothing that is bad changes anything.
	garbage := file("garbage.onnx", "this is no model")
	flip := onnx.NewGraph("nan")
	x := flip.Input("x", onnx.Float, append([]onnx.Dim{{Name: "n"}}, onnx.Fixed(8, 2)...)...)
	flip.Node("Log", []string{flip.Op("Neg", []string{flip.Op("Abs", []string{x})})}, []string{"y"})
	flip.Output("y", onnx.Float, append([]onnx.Dim{{Name: "n"}}, onnx.Fixed(8, 2)...)...)
	infinite := file("infinite.onnx", string(flip.Model()))
	broken := onnx.NewGraph("broken")
	broken.Input("x", onnx.Float, append([]onnx.Dim{{Name: "n"}}, onnx.Fixed(8, 2)...)...)
	broken.Node("NoSuchOperator", []string{"x"}, []string{"y"})
	broken.Output("y", onnx.Float, onnx.Dim{Name: "n"})
	unknown := file("unknown.onnx", string(broken.Model()))
	refused := func(says string, args ...string) {
		t.Helper()
		code, _, talk := andon(append([]string{"push"}, args...)...)
		if code != exitFailed && code != exitUsage || !strings.Contains(talk, says) || strings.Contains(talk, "goroutine") {
			t.Errorf("push %q: exit code %d, %s; want %q", args, code, talk, says)
		}
	}
	refused("garbage.onnx is not taken in: onnx: not an ONNX file", garbage, "--pipeline", "pumps")
	refused("not finite", infinite, "--pipeline", "pumps")
	refused("NoSuchOperator", unknown, "--pipeline", "pumps")
	refused(`no pipeline "fans" to use it; there are: pumps`, testdata("torch_dynamo.onnx"), "--pipeline", "fans")
	refused("cannot fill", testdata("torch_dynamo.onnx"), "--pipeline", "pumps", "--spec", file("one.yaml", "inputs: [{signals: [pressure]}]"))
	single := onnx.NewGraph("single")
	x = single.Input("x", onnx.Float, onnx.Fixed(1, 8, 2)...)
	flat := single.Op("Reshape", []string{x, single.Ints("shape", 1, -1)}) // what Flatten becomes
	single.Node("Sigmoid", []string{flat}, []string{"y"})
	single.Output("y", onnx.Float, onnx.Fixed(1, 16)...)
	refused("exported for one window at a time", file("single.onnx", string(single.Model())), "--pipeline", "pumps")
	alone, err := os.ReadFile(testdata("torch_external.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	refused("torch_external.onnx.data: no such file", file("alone.onnx", string(alone)), "--pipeline", "pumps")
	refused("colour", testdata("torch_dynamo.onnx"), "--pipeline", "pumps", "--spec", file("bad.yaml", "colour: red"))
	if out := done("list", "--json"); out != "[]" {
		t.Errorf("refused files left %s", out)
	}

	life := done("push", testdata("torch_dynamo.onnx"), "--pipeline", "pumps", "--spec", file("torch.yaml", pumpsTorch), "--who", "anna", "--why", "trained at home")
	if again := done("push", testdata("torch_dynamo.onnx"), "--pipeline", "pumps", "--spec", filepath.Join(dir, "torch.yaml")); again != life {
		t.Errorf("the same file again is version %s, was %s", again, life)
	}
	// PyTorch keeps the numbers in a second file unless it is told otherwise.
	done("push", testdata("torch_external.onnx"), "--pipeline", "pumps", "--spec", filepath.Join(dir, "torch.yaml"))
	done("promote", life[:6], "--who", "anna", "--why", "the first")
	var want struct {
		Windows [][][]float64
		Value   []float64
	}
	expect := func(name string) {
		t.Helper()
		text, err := os.ReadFile(testdata(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
	}
	a, err := readAddresses(p.data)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(a.Kafka))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	// scored sends Python's windows as rows of new assets and holds the scores against Python's.
	scored := func(round, version, values string) {
		t.Helper()
		expect(values)
		began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for i, w := range want.Windows {
			// The pipeline's windows are two steps longer; the last row closes the slot of the one before.
			rows := append([][]float64{{9, 90}, {9, 90}}, append(w, []float64{0, 0})...)
			for step, row := range rows {
				v := fmt.Sprintf(`{"asset":"%s-%d","time":%q,"pressure":%v,"flow":%v}`, round, i, began.Add(time.Duration(step)*time.Minute).Format(time.RFC3339), row[0], row[1])
				if err := client.ProduceSync(ctx, &kgo.Record{Topic: "plant.pumps", Value: []byte(v)}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
		}
		query := fmt.Sprintf("SELECT asset, argMin(value, end), argMin(version, end) FROM andon.scores WHERE startsWith(asset, '%s-') GROUP BY asset ORDER BY asset", round)
		p.await(t, "scores of "+round, func() bool { return len(p.sql(t, query)) == len(want.Windows) })
		for i, r := range p.sql(t, query) {
			if got := asNumber(r[1]); math.Abs(got-want.Value[i]) > 1e-4*max(1, math.Abs(want.Value[i])) || r[2] != version {
				t.Errorf("%v: value %v by %v; Python says %v, the champion is %s", r[0], got, r[2], want.Value[i], version)
			}
		}
	}
	scored("a", life, "torch_dynamo.json")

	forest := done("push", testdata("sklearn_forest.onnx"), "--pipeline", "pumps", "--spec", file("forest.yaml", pumpsForest), "--alias", "champion", "--who", "bert")
	scored("b", forest, "sklearn_forest.json")
	done("rollback", "pumps", "--who", "anna", "--why", "false alarms")
	scored("c", life, "torch_dynamo.json")
	if code, _, talk := andon("rollback", "pumps"); code != exitFailed || !strings.Contains(talk, "no earlier version") {
		t.Errorf("rollback beyond the first: exit code %d: %s", code, talk)
	}
	if code, _, talk := andon("promote", "ffffffffffff"); code != exitFailed || !strings.Contains(talk, "no such model") {
		t.Errorf("promotion of nothing: exit code %d: %s", code, talk)
	}

	var moves []model.Move
	if err := json.Unmarshal([]byte(done("history", "pumps", "--json")), &moves); err != nil || len(moves) != 3 {
		t.Fatalf("history %+v, %v", moves, err)
	}
	if m := moves[2]; m.From != forest || m.To != life || m.Who != "anna" || m.Why != "false alarms" || !m.Rollback {
		t.Errorf("the last move is %+v", m)
	}
	p.await(t, "the moves in ClickHouse", func() bool {
		return p.number(t, "SELECT count() FROM andon.models WHERE pipeline = 'pumps' AND (alias = 'champion' OR who IN ('anna', 'bert'))") == 5
	})

	mlflow := done("push", "--mlmodel", testdata("mlflow"), "--pipeline", "pumps", "--spec", file("six.yaml", "inputs: [{length: 6, signals: [pressure, flow]}]"))
	var shown shownModel
	if err := json.Unmarshal([]byte(done("show", mlflow)), &shown); err != nil || shown.Network != "pump-classifier" || len(shown.Lineage.Source) != 64 ||
		!strings.HasPrefix(shown.Lineage.Run, "mlflow ") || shown.Measured["trial_seconds_batch_32"] <= 0 || len(shown.Inputs) != 1 {
		t.Errorf("show: %+v, %v", shown, err)
	}
	if out := done("compare", life, forest); !strings.Contains(out, "pump-cnn-gru") || !strings.Contains(out, "pump-forest") || !strings.Contains(out, "mean risk") {
		t.Errorf("compare says\n%s", out)
	}
	pulled := filepath.Join(dir, "pulled.onnx")
	done("pull", forest, "-o", pulled)
	if again := done("push", pulled, "--pipeline", "pumps"); again != forest {
		t.Errorf("what was pulled is pushed as %s, was %s", again, forest)
	}

	// The folder can be looked at when nothing runs.
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if out := done("list"); !strings.Contains(out, forest) || !strings.Contains(out, "champion") {
		t.Errorf("list of the folder:\n%s", out)
	}

	// Aliases and history are on Kafka, the files in the bucket: a replica that has lost its folder has all of it again.
	if err := os.RemoveAll(filepath.Join(p.data, "models")); err != nil {
		t.Fatal(err)
	}
	p = launch(t, p.data, config, "--kafka-listen", "127.0.0.1:0")
	if out := done("list", "--json"); !strings.Contains(out, `"`+life+`"`) || !strings.Contains(out, `["champion"]`) {
		t.Errorf("list after the loss: %s", out)
	}
	if err := json.Unmarshal([]byte(done("history", "pumps", "--json")), &moves); err != nil || len(moves) != 3 || moves[2].To != life {
		t.Errorf("history after the loss: %+v, %v", moves, err)
	}
	client.Close()
	if a, err = readAddresses(p.data); err == nil {
		client, err = kgo.NewClient(kgo.SeedBrokers(a.Kafka))
	}
	if err != nil {
		t.Fatal(err)
	}
	scored("d", life, "torch_dynamo.json")
	if n := p.number(t, "SELECT count() FROM andon.models WHERE pipeline = 'pumps' AND alias = 'champion'"); n != 3 {
		t.Errorf("%v moves in ClickHouse, want 3", n)
	}
}

// Replicas on a cluster follow each other's moves, also one that comes later with nothing but the cluster and the bucket.
func TestReplicasFollowMoves(t *testing.T) {
	needLibraries(t)
	real := brokertest.Need(t)
	t.Setenv("ANDON_TEST_KAFKA_PASSWORD", brokertest.Password)
	dir := t.TempDir()
	config := fmt.Sprintf(kafkaConfig, real.CA, brokertest.User)
	config = config[:strings.Index(config, "pipelines:")] + strings.Split(pumpsConfig, "flush:")[0] + bucket(t) + "topics: {models: replicas.models}\n"
	up := func(name string) *program { return launch(t, filepath.Join(dir, name), config, "--kafka", real.Login) }
	andon := func(p *program, args ...string) string {
		t.Helper()
		code, out, talk := ask(t, append(append([]string{"model"}, args...), "--data", p.data)...)
		if code != exitOK {
			t.Fatalf("%q: exit code %d: %s", args, code, talk)
		}
		return strings.TrimSpace(out)
	}
	champion := func(p *program, want string) {
		t.Helper()
		p.await(t, "champion "+want, func() bool {
			var moves []model.Move
			if err := json.Unmarshal([]byte(andon(p, "history", "pumps", "--json")), &moves); err != nil {
				t.Fatal(err)
			}
			return len(moves) > 0 && moves[len(moves)-1].To == want && strings.Contains(andon(p, "list"), want+"  champion")
		})
	}
	a, b := up("a"), up("b")
	spec := filepath.Join(dir, "forest.yaml")
	if err := os.WriteFile(spec, []byte(pumpsForest), 0o644); err != nil {
		t.Fatal(err)
	}
	forest := andon(a, "push", filepath.Join("model", "adopt", "testdata", "sklearn_forest.onnx"), "--pipeline", "pumps", "--spec", spec, "--alias", "champion")
	champion(b, forest)
	if err := os.WriteFile(spec, []byte(pumpsTorch), 0o644); err != nil {
		t.Fatal(err)
	}
	life := andon(b, "push", filepath.Join("model", "adopt", "testdata", "torch_script.onnx"), "--pipeline", "pumps", "--spec", spec, "--alias", "champion")
	champion(a, life)
	if err := a.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-a.ended
	andon(b, "rollback", "pumps", "--why", "worse")
	c := up("c")
	champion(c, forest)
	a = up("a")
	champion(a, forest)
}
