package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"

	"andon/model"
	"andon/model/adopt"
	"andon/model/ort/orttest"
	train "andon/trainer/exec"
	"andon/trainer/fit"
	"andon/trainer/graph"
)

// The test binary is the program that trains, where this is set: it says how it behaves.
const behaviour = "ANDON_TEST_TRAINER"

func init() {
	if how := os.Getenv(behaviour); how != "" && len(os.Args) > 1 {
		program(how, os.Args[len(os.Args)-1])
		os.Exit(0)
	}
}

// program reads what it is given and writes a model that says the mean target of all windows.
func program(how, dir string) {
	must := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	}
	var m train.Manifest
	text, err := os.ReadFile("manifest.json") // it runs in the folder
	must(err)
	must(json.Unmarshal(text, &m))
	fmt.Fprintln(os.Stderr, "hello from", how)
	switch how {
	case "fails":
		fmt.Fprintln(os.Stderr, "ValueError: no such thing")
		os.Exit(7)
	case "hangs":
		child := exec.Command("sleep", "1000") // what it starts must end with it
		must(child.Start())
		must(os.WriteFile("child", []byte(fmt.Sprint(child.Process.Pid)), 0o644))
		time.Sleep(time.Hour)
	case "idle":
		return
	case "garbage":
		must(os.WriteFile("model.onnx", []byte("garbage"), 0o644))
		return
	}
	targets, count := 0.0, 0
	f, err := file.OpenParquetFile(filepath.Join(dir, "train.parquet"), false)
	must(err)
	r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	must(err)
	table, err := r.ReadTable(context.Background())
	must(err)
	if list := table.Column(0).DataType().String(); !strings.HasPrefix(list, "fixed_size_list") || !strings.HasSuffix(list, fmt.Sprintf("[%d]", m.Length*len(m.Channels))) {
		must(fmt.Errorf("windows are %s", list))
	}
	for _, chunk := range table.Column(0).Data().Chunks() {
		if n := chunk.(*array.FixedSizeList).ListValues().NullN(); n > 0 {
			must(fmt.Errorf("%d numbers of the windows are not there", n))
		}
	}
	for _, chunk := range table.Column(1).Data().Chunks() {
		for _, v := range chunk.(*array.Float32).Float32Values() {
			targets, count = targets+float64(v), count+1
		}
	}
	if count != m.Train || table.Column(3).Data().Chunk(0).(*array.String).Value(0) == "" {
		must(fmt.Errorf("%d windows, the manifest says %d", count, m.Train))
	}
	fmt.Println(`{"epoch": 1, "epochs": 1, "loss": 0.5, "val_loss": 0.25, "rows_per_second": 1000}`)
	g := graph.New()
	x := g.Input(model.Input, graph.Batch, m.Length, len(m.Channels))
	zero := g.Mul(g.Squeeze(g.Slice(g.Slice(x, 2, 0, 1), 1, 0, 1), 2), g.Scalar(0))
	value := g.Add(zero, g.Scalar(float32(targets/float64(count)*float64(m.Cap))))
	risk := g.Add(zero, g.Scalar(0.5))
	if how == "wild" {
		risk = g.Add(zero, g.Scalar(5))
	}
	must(os.WriteFile("model.onnx", g.Model("mean", graph.Output{Name: model.Value, Value: value}, graph.Output{Name: model.Risk, Value: risk}), 0o644))
	must(os.WriteFile("metrics.json", []byte(`{"network": "mean", "metrics": {"windows": `+fmt.Sprint(count)+`}}`), 0o644))
}

// by has a program train a model of pumps.
func by(t *testing.T, run []string, timeout time.Duration, watch Watcher) (*Lesson, string, error) {
	t.Helper()
	orttest.Open(t)
	var w warehouse
	fill(&w, 12)
	p := pumps()
	p.Spec.Network, p.Spec.Command = Command, &train.Config{Run: run, Timeout: timeout}
	if err := p.Spec.Validate(); err != nil {
		t.Fatal(err)
	}
	l := Local{Source: &w, Pipelines: []Pipeline{p}, Memory: Default().Memory, Dir: t.TempDir(), Limits: adopt.DefaultLimits()}
	lessons, err := l.Make(t.Context(), Job{ID: "run-1", Pipeline: p.Name, Watch: watch})
	dir := filepath.Join(l.Dir, p.Name, "run-1")
	if err != nil {
		return nil, dir, err
	}
	return lessons[0], dir, nil
}

func TestCommand(t *testing.T) {
	t.Setenv(behaviour, "good")
	var seen []fit.Progress
	l, dir, err := by(t, []string{os.Args[0]}, time.Minute, Watcher{Epoch: func(p fit.Progress) { seen = append(seen, p) }})
	if err != nil {
		t.Fatal(err)
	}
	m := l.Model
	value, risk := verdict(t, m, wear(77, 60, 0))
	if m.Network != "mean" || m.Metrics["windows"] == 0 || !(value[0] > 15 && value[0] < 30) || risk[0] != 0.5 || m.Horizon != 10 || len(m.Lineage.Digest) != 64 || !(m.Lineage.CPUSeconds > 0) {
		t.Errorf("%s says %v, %v; %+v", m.Network, value[0], risk[0], m.Meta)
	}
	if len(seen) != 1 || seen[0].ValLoss != 0.25 {
		t.Errorf("progress %+v", seen)
	}
	if !(l.Loss > 0) || math.Abs(m.Metrics["validation_rmse"]-40*math.Sqrt(l.Loss)) > 1e-9 {
		t.Errorf("loss %v, rmse %v", l.Loss, m.Metrics["validation_rmse"])
	}
	if log, err := os.ReadFile(filepath.Join(dir, "log")); err != nil || !strings.Contains(string(log), "hello from good") {
		t.Errorf("the log says %q, %v", log, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "train.parquet")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the windows are left: %v", err)
	}
}

func TestCommandRefused(t *testing.T) {
	check := func(how, want string, timeout time.Duration) (dir string) {
		t.Helper()
		t.Setenv(behaviour, how)
		_, dir, err := by(t, []string{os.Args[0]}, timeout, Watcher{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "log") {
			t.Errorf("%s gave %v, want %q", how, err, want)
		}
		return dir
	}
	check("fails", "exit status 7: ValueError: no such thing", time.Minute)
	check("idle", "model.onnx: it ended well and wrote none", time.Minute)
	check("garbage", "model.onnx: ", time.Minute)
	check("wild", "risk 5: the value must be a number, and the risk between 0 and 1", time.Minute)
	dir := check("hangs", "was ended after command.timeout, 2s", 2*time.Second)
	pid := 0
	text, err := os.ReadFile(filepath.Join(dir, "child"))
	if _, scan := fmt.Sscan(string(text), &pid); err != nil || scan != nil {
		t.Fatal(err, scan)
	}
	for range 100 { // its death is seen by whoever inherits it
		if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || strings.Contains(string(state), ") Z ") {
			pid = 0
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		t.Error("what it started lives on")
	}
	if _, _, err := by(t, []string{"/nonexistent/trainer"}, time.Minute, Watcher{}); err == nil || !strings.Contains(err.Error(), "name a program that this machine has") {
		t.Errorf("no program gave %v", err)
	}
}

// The example for people trains what is better than the mean, where Python has what it needs.
func TestPythonExample(t *testing.T) {
	python := os.Getenv("ANDON_TEST_PYTHON")
	if python == "" {
		python = "python3"
	}
	if exec.Command(python, "-c", "import numpy, pyarrow, onnx").Run() != nil {
		t.Skip("no Python with numpy, pyarrow and onnx: name one in ANDON_TEST_PYTHON")
	}
	script, err := filepath.Abs("../python/train_example.py")
	if err != nil {
		t.Fatal(err)
	}
	l, dir, err := by(t, []string{python, script}, time.Minute, Watcher{})
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		t.Fatalf("%v\n%s", err, log)
	}
	value, risk := verdict(t, l.Model, wear(77, 60, 0))
	last := len(value) - 1
	if l.Model.Network != "ridge" || !(value[0] > value[last]+15) || !(risk[last] > 0.5) || !(risk[0] < 0.1) {
		t.Errorf("%s says %v, %v at the begin and %v, %v at the end: %s", l.Model.Network, value[0], risk[0], value[last], risk[last], l.Summary)
	}
}
