package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"andon/console"
	"andon/deploy/kafka/brokertest"
	"andon/event"
)

// The test binary is the program, too: for the appliance that a test starts, and for the ClickHouse child that the appliance starts.
func TestMain(m *testing.M) {
	if os.Getenv("ANDON_TEST_PROGRAM") != "" || len(os.Args) > 1 && os.Args[1] == "engine" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	code := m.Run()
	brokertest.Stop()
	os.Exit(code)
}

// program is one run of the appliance.
type program struct {
	*exec.Cmd
	data  string
	ended chan struct{}
	mu    sync.Mutex
	said  bytes.Buffer
}

func command(args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), "ANDON_TEST_PROGRAM=1")
	return c
}

// ask runs a command to its end.
func ask(t *testing.T, args ...string) (code int, out, talk string) {
	t.Helper()
	c := command(args...)
	var o, e strings.Builder
	c.Stdout, c.Stderr = &o, &e
	err := c.Run()
	if c.ProcessState == nil {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), o.String(), e.String()
}

func needLibraries(t *testing.T) {
	t.Helper()
	for _, name := range []string{"libchdb.so", "libonnxruntime.so"} {
		if _, err := os.Stat(filepath.Join("lib", name)); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%v: run make deps", err)
			}
			t.Skipf("%v: run make deps", err)
		}
	}
}

// start runs the appliance on a data folder and waits until it is ready.
func start(t *testing.T, data string) *program {
	t.Helper()
	text, err := os.ReadFile("testdata/e2e.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return launch(t, data, string(text), "--demo", "--kafka-listen", "127.0.0.1:0")
}

// launch is start with another configuration and other arguments.
func launch(t *testing.T, data, text string, args ...string) *program {
	t.Helper()
	lib, err := filepath.Abs("lib")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "e2e.yaml")
	if err := os.WriteFile(config, []byte("libraries: "+strconv.Quote(lib)+"\n"+text), 0o644); err != nil {
		t.Fatal(err)
	}
	os.Remove(addressesFile(data))
	p := &program{data: data, ended: make(chan struct{})}
	p.Cmd = command(append([]string{"up", "--config", config, "--data", data, "--listen", "127.0.0.1:0"}, args...)...)
	pipe, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(pipe)
		for lines.Scan() {
			p.mu.Lock()
			p.said.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
		}
		_ = p.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("the appliance said:\n%s", p.log())
		}
	})
	p.await(t, "readiness", func() bool {
		a, err := readAddresses(data)
		if err != nil {
			return false
		}
		res, err := http.Get("http://" + a.Console + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return p
}

func (p *program) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

func (p *program) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(8 * time.Minute); !ok(); time.Sleep(100 * time.Millisecond) {
		select {
		case <-p.ended:
			t.Fatalf("the appliance ended while waiting for %s: %v\n%s", what, p.ProcessState, p.log())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s within eight minutes", what)
		}
	}
}

// sql asks by the command line and returns the rows.
func (p *program) sql(t *testing.T, query string) [][]any {
	t.Helper()
	code, out, talk := ask(t, "sql", "--json", "--data", p.data, query)
	if code != exitOK {
		t.Fatalf("%s: exit code %d: %s", query, code, talk)
	}
	var table event.Table
	if err := json.Unmarshal([]byte(out), &table); err != nil {
		t.Fatal(err)
	}
	return table.Rows
}

// number asks for one.
func (p *program) number(t *testing.T, query string) float64 {
	t.Helper()
	rows := p.sql(t, query)
	switch n := rows[0][0].(type) {
	case float64:
		return n
	case string: // 64-bit numbers may come as text
		f, err := strconv.ParseFloat(n, 64)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	t.Fatalf("%s: %v is not a number", query, rows[0][0])
	return 0
}

// once checks from the stored offsets that each record was handled exactly once, and that no score is doubled.
func (p *program) once(t *testing.T) {
	t.Helper()
	rows := p.sql(t, `SELECT pipeline, _topic, _partition, count() AS n, uniqExact(_offset) AS different, min(_offset) AS first, max(_offset) AS last FROM
		(SELECT pipeline, _topic, _partition, _offset FROM andon.readings UNION ALL SELECT pipeline, _topic, _partition, _offset FROM andon.deadletters)
		GROUP BY ALL ORDER BY ALL`)
	if len(rows) < 5 {
		t.Errorf("rows of %d partitions, want 5", len(rows))
	}
	for _, r := range rows {
		n, different, first, last := fmt.Sprint(r[3]), fmt.Sprint(r[4]), asNumber(r[5]), asNumber(r[6])
		if n != different || first != 0 || asNumber(r[3]) != last+1 {
			t.Errorf("%v %v/%v: %s rows of %s offsets from %v to %v", r[0], r[1], r[2], n, different, first, last)
		}
	}
	if n := p.number(t, "SELECT count() - uniqExact(pipeline, asset, end, _topic, _partition, _offset) FROM andon.scores"); n != 0 {
		t.Errorf("%v scores are doubled", n)
	}
}

func asNumber(v any) float64 {
	f, _ := strconv.ParseFloat(fmt.Sprint(v), 64)
	return f
}

// The whole program: from an empty folder to scores, through a killed ClickHouse, a kill -9 and a clean end, with nothing lost and nothing doubled.
func TestTheLineRuns(t *testing.T) {
	needLibraries(t)
	data := filepath.Join(t.TempDir(), "data")
	p := start(t, data)

	const scored = "SELECT count() FROM andon.scores WHERE pipeline = '%s' AND value = value AND risk BETWEEN 0 AND 1 AND start < end AND version != '' AND latency_ns > 0"
	for _, pipeline := range []string{"compressors", "machine-temperature", "machine-surprise"} {
		p.await(t, "scores of "+pipeline, func() bool { return p.number(t, fmt.Sprintf(scored, pipeline)) > 0 })
	}
	if n := p.number(t, "SELECT uniqExact(asset) FROM andon.readings WHERE startsWith(asset, 'retired-')"); n != 100 {
		t.Errorf("%v failed units are stored, want 100", n)
	}
	if n := p.number(t, "SELECT count() FROM andon.scores WHERE pipeline = 'compressors' AND NOT startsWith(asset, 'compressor-')"); n != 0 {
		t.Errorf("%v scores are of units seen in training", n)
	}
	if n := p.number(t, "SELECT count() FROM andon.trainings WHERE state = 'finished'"); n != 2 {
		t.Errorf("%v finished trainings, want 2", n)
	}

	p.detects(t)
	p.savedQueries(t)
	p.evaluates(t)
	p.rebuilds(t, "compressors")
	p.rebuilds(t, "machine-temperature")

	bad := "{\"asset\":\"compressor-001\",\"time\":\"yesterday\",\"s_2\":1}"
	a, err := readAddresses(data)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(a.Kafka), kgo.ConsumeTopics("andon.deadletter", "andon.scores"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	record := &kgo.Record{Topic: "fleet.compressors", Key: []byte("compressor-001"), Value: []byte(bad), Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("7")}}}
	if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
		t.Fatal(err)
	}
	var letter, score *kgo.Record
	for letter == nil || score == nil {
		for r := range client.PollFetches(ctx).RecordsAll() {
			if r.Topic == "andon.deadletter" {
				letter = r
			} else {
				score = r
			}
		}
		if ctx.Err() != nil {
			t.Fatalf("no dead letter (%v) or no score (%v) on Kafka", letter, score)
		}
	}
	headers := map[string]string{}
	for _, h := range letter.Headers {
		headers[h.Key] = string(h.Value)
	}
	if string(letter.Value) != bad || string(letter.Key) != "compressor-001" || headers["trace"] != "7" || headers["andon.reason"] != "malformed" ||
		!strings.Contains(headers["andon.detail"], "time") || headers["andon.offset"] != fmt.Sprint(record.Offset) {
		t.Errorf("the dead letter is %s %s %v", letter.Key, letter.Value, headers)
	}
	p.await(t, "the dead letter in ClickHouse", func() bool {
		return p.number(t, "SELECT count() FROM andon.deadletters WHERE reason = 'malformed'") == 1
	})

	engines := children(t, p.Process.Pid)
	if len(engines) != 1 {
		t.Fatalf("the appliance has the children %v, want ClickHouse alone", engines)
	}
	before := p.number(t, "SELECT count() FROM andon.scores")
	if err := syscall.Kill(engines[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.await(t, "ClickHouse after its death", func() bool {
		code, out, _ := ask(t, "sql", "--json", "--data", data, "SELECT count() FROM andon.scores")
		var table event.Table
		return code == exitOK && json.Unmarshal([]byte(out), &table) == nil && asNumber(table.Rows[0][0]) > before
	})
	p.once(t)

	if code, _, talk := ask(t, "up", "--data", data, "--listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0"); code != exitEnvironment || !strings.Contains(talk, "another appliance") {
		t.Errorf("a second appliance on the same folder: exit code %d: %s", code, talk)
	}

	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	p = start(t, data)
	scores := p.number(t, "SELECT count() FROM andon.scores WHERE pipeline = 'compressors'")
	p.await(t, "a score after kill -9", func() bool {
		return p.number(t, "SELECT count() FROM andon.scores WHERE pipeline = 'compressors'") > scores
	})
	p.once(t)
	if n := p.number(t, "SELECT count() FROM andon.trainings WHERE state = 'finished'"); n != 2 {
		t.Errorf("%v finished trainings after the restart, want the same 2", n)
	}

	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if code := p.ProcessState.ExitCode(); code != exitOK {
		t.Errorf("after SIGTERM the exit code is %d:\n%s", code, p.log())
	}
	if left := children(t, p.Process.Pid); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	p = start(t, data)
	p.once(t)
}

// metricsOf reads what an appliance exposes for Prometheus.
func metricsOf(t *testing.T, address string) string {
	t.Helper()
	res, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// detects finds the pipeline with a detector in the status, under the version that its scores have, and a model refused that nobody would ask.
func (p *program) detects(t *testing.T) {
	t.Helper()
	a, err := readAddresses(p.data)
	if err != nil {
		t.Fatal(err)
	}
	var status struct{ Pipelines []console.Pipeline }
	if err := call(t.Context(), "GET", "http://"+a.Console+"/api/v1/status", nil, &status); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(status.Pipelines, func(v console.Pipeline) bool { return v.Name == "machine-surprise" })
	v := status.Pipelines[i]
	if v.Detector != "surprise" || v.Task != "anomaly" || v.Unit != "limits" || v.Learning != 0 || !strings.HasPrefix(v.Model, "surprise-") {
		t.Errorf("the status of a pipeline with a detector is %+v", v)
	}
	if n := p.number(t, "SELECT uniqExact(version) + 10 * any(version = '"+v.Model+"') FROM andon.scores WHERE pipeline = 'machine-surprise'"); n != 11 {
		t.Errorf("its scores are not of %s alone: %v", v.Model, n)
	}
	text := metricsOf(t, a.Console)
	if _, n, _ := strings.Cut(text, "andon_detector_scores_total{pipeline=\"machine-surprise\"} "); n == "" || n[0] == '0' {
		t.Error("its scores are not counted")
	}
	file := filepath.Join(t.TempDir(), "m.onnx")
	if err := os.WriteFile(file, []byte("any"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, talk := ask(t, "model", "push", file, "--pipeline", "machine-surprise", "--data", p.data); code == exitOK || !strings.Contains(talk, "is scored by its detector") {
		t.Errorf("a model for it: exit code %d: %s", code, talk)
	}
}

// savedQueries holds the console's own SQL against the real schema.
func (p *program) savedQueries(t *testing.T) {
	t.Helper()
	a, err := readAddresses(p.data)
	if err != nil {
		t.Fatal(err)
	}
	var saved []struct{ Name, SQL string }
	if err := call(t.Context(), "GET", "http://"+a.Console+"/api/v1/queries", nil, &saved); err != nil || len(saved) < 5 {
		t.Fatalf("%d saved queries, %v", len(saved), err)
	}
	for _, q := range saved {
		var table event.Table
		if err := call(t.Context(), "POST", "http://"+a.Console+"/api/v1/sql", map[string]any{"sql": q.SQL, "limit": 10}, &table); err != nil {
			t.Errorf("%s: %v", q.Name, err)
		}
	}
	var series map[string]any
	if err := call(t.Context(), "GET", "http://"+a.Console+"/api/v1/assets/machine-temperature/machine-1/series", nil, &series); err != nil || len(series) == 0 {
		t.Errorf("series: %v, %v", series, err)
	}
}

// children returns the processes whose parent is pid.
func children(t *testing.T, pid int) []int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if os.IsNotExist(err) {
		return nil
	}
	all, err2 := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	text = text[:0]
	for _, name := range all {
		more, _ := os.ReadFile(name) // a thread may have ended
		text = append(append(text, more...), ' ')
	}
	var out []int
	for _, f := range strings.Fields(string(text)) {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, n)
	}
	return out
}

// What can be wrong with the machine gets one clear line and its exit code.
func TestStartFaults(t *testing.T) {
	needLibraries(t)
	lib, _ := filepath.Abs("lib")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken.yaml")
	if err := os.WriteFile(broken, []byte("kafka: ["), 0o644); err != nil {
		t.Fatal(err)
	}
	config := func(name, text string) string {
		f := filepath.Join(dir, name)
		if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return f
	}
	good := config("good.yaml", "libraries: "+lib+"\n")
	empty := config("empty.yaml", "libraries: "+dir+"\n")
	fault := func(name string, code int, words []string, args ...string) {
		t.Helper()
		got, _, talk := ask(t, args...)
		if got != code {
			t.Errorf("%s: exit code %d, want %d: %s", name, got, code, talk)
		}
		last := strings.TrimSpace(talk[strings.LastIndex(strings.TrimSpace(talk), "\n")+1:])
		for _, w := range words {
			if !strings.Contains(talk, w) {
				t.Errorf("%s: %q lacks %q", name, last, w)
			}
		}
		if strings.Contains(talk, "goroutine") {
			t.Errorf("%s: a stack trace: %s", name, talk)
		}
	}
	free := []string{"--kafka-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"}
	up := func(more ...string) []string { return append(append([]string{"up"}, free...), more...) }
	fault("wrong flag", exitUsage, []string{"--bogus"}, "up", "--bogus")
	fault("no such command", exitUsage, []string{"fly"}, "fly")
	fault("broken YAML", exitUsage, []string{broken, "line 1"}, up("--config", broken, "--data", filepath.Join(dir, "a"))...)
	fault("no such config", exitUsage, []string{"nowhere.yaml"}, up("--config", filepath.Join(dir, "nowhere.yaml"))...)
	fault("console port taken", exitEnvironment, []string{taken.Addr().String()}, up("--config", good, "--data", filepath.Join(dir, "b"), "--listen", taken.Addr().String())...)
	fault("kafka port taken", exitEnvironment, []string{taken.Addr().String()}, up("--config", good, "--data", filepath.Join(dir, "c"), "--kafka-listen", taken.Addr().String())...)
	fault("data folder is a file", exitEnvironment, []string{file, "--data"}, up("--config", good, "--data", file)...)
	fault("missing library", exitEnvironment, []string{"libonnxruntime.so", "make deps"}, up("--config", empty, "--data", filepath.Join(dir, "d"))...)
	fault("nothing runs", exitEnvironment, []string{"andon up"}, "sql", "--data", filepath.Join(dir, "e"), "select 1")
	if code, out, _ := ask(t, "version"); code != exitOK || !strings.HasPrefix(out, "andon ") {
		t.Errorf("version: exit code %d, %q", code, out)
	}
	code, out, _ := ask(t, "doctor", "--json", "--config", good, "--data", filepath.Join(dir, "f"))
	var findings []finding
	if err := json.Unmarshal([]byte(out), &findings); err != nil || len(findings) < 6 {
		t.Errorf("doctor: exit code %d, %v: %s", code, err, out)
	}
	if code, out, _ := ask(t, "doctor", "--config", empty, "--data", filepath.Join(dir, "g")); code != exitFailed || !strings.Contains(out, "✗ onnx runtime") {
		t.Errorf("doctor without libraries: exit code %d: %s", code, out)
	}
}

// Dead letters are told, shown to the byte, and sent again as they were, once each.
func TestDeadLetters(t *testing.T) {
	needLibraries(t)
	data := filepath.Join(t.TempDir(), "data")
	p := launch(t, data, `
pipelines:
  - name: pumps
    partitions: 3
    source: {topic: plant.pumps, signals: [pressure]}
    window: {grid: 10s, length: 6, lateness: 30s}
  - name: mended
    partitions: 2
    source: {topic: plant.mended, time: when, signals: [pressure]}
    window: {grid: 10s, length: 6, lateness: 30s}
`, "--kafka-listen", "127.0.0.1:0")
	a, err := readAddresses(data)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(a.Kafka), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ConsumeTopics("plant.pumps"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	base := time.Now().UTC().Truncate(time.Hour)
	at := func(d time.Duration) string { return base.Add(d).Format(time.RFC3339) }
	send := func(key, value []byte, headers ...kgo.RecordHeader) *kgo.Record {
		t.Helper()
		r := &kgo.Record{Topic: "plant.pumps", Partition: 1, Key: key, Value: value, Headers: headers, Timestamp: base.Add(7 * time.Millisecond)}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		return r
	}
	reading := func(asset string, d time.Duration) []byte {
		return fmt.Appendf(nil, `{"asset":%q,"time":%q,"pressure":1.5}`, asset, at(d))
	}
	binary := []byte{0, 1, 0xff, '\n', 0xfe, '"', '\\', 0x7f}
	bad := send(binary, binary, kgo.RecordHeader{Key: "trace", Value: []byte{0xff, 0}}, kgo.RecordHeader{Key: "trace", Value: []byte("7")})
	send(nil, nil)
	send([]byte("pump-1"), reading("pump-1", -time.Minute*30))
	send([]byte("pump-1"), reading("pump-1", -time.Minute*10))
	send([]byte("pump-1"), reading("pump-1", -time.Minute*20)) // its slot is closed
	if r := (&kgo.Record{Topic: "andon.labels", Value: []byte("nonsense")}); client.ProduceSync(t.Context(), r).FirstErr() != nil {
		t.Fatal("no label")
	}
	const letters = "SELECT count() FROM andon.deadletters"
	p.await(t, "four dead letters", func() bool { return p.number(t, letters) == 4 })

	dlq := func(want int, args ...string) (out, talk string) {
		t.Helper()
		code, out, talk := ask(t, append(append([]string{"dlq"}, args...), "--data", data)...)
		if code != want {
			t.Fatalf("dlq %v: exit code %d: %s%s", args, code, out, talk)
		}
		return out, talk
	}
	has := func(what, text string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("%s lacks %q:\n%s", what, w, text)
			}
		}
	}
	place := fmt.Sprintf("plant.pumps/1@%d", bad.Offset)
	out, _ := dlq(exitOK, "list")
	has("the list", out, place, "plant.pumps/1@4", "andon.labels/0@0", "pumps", "labels", "malformed", "late", "NULL")
	out, _ = dlq(exitOK, "list", "--pipeline", "pumps", "--reason", "late", "--since", "1h")
	if strings.Contains(out, "malformed") || !strings.Contains(out, "behind its newest row") {
		t.Errorf("the late ones:\n%s", out)
	}
	out, _ = dlq(exitOK, "show", place)
	has("the letter", out, "trace = 0xff00", "trace = 7", "key         0x0001ff", "00000000  00 01 ff 0a fe 22 5c 7f", "sent again  no")
	if out, _ = dlq(exitOK, "show", "--raw", place); out != string(binary) {
		t.Errorf("raw: %q", out)
	}
	dlq(exitUsage, "show", "plant.pumps")
	dlq(exitFailed, "show", "plant.pumps/1@77")
	dlq(exitUsage, "replay")
	if _, talk := dlq(exitFailed, "replay", "--all", "--to", "andon.state"); !strings.Contains(talk, "andon alone writes topic andon.state") {
		t.Error(talk)
	}

	// To another topic, where somebody mends them.
	if _, talk := dlq(exitFailed, "replay", "--pipeline", "pumps", "--to", "plant.nowhere"); !strings.Contains(talk, "3 failed") {
		t.Errorf("to no topic: %s", talk)
	}
	out, talk := dlq(exitOK, "replay", "--pipeline", "pumps", "--reason", "malformed", "--dry-run")
	if !strings.Contains(talk, "2 would be sent") || p.number(t, "SELECT count() FROM andon.deadletter_replays WHERE state = 'sent'") != 0 {
		t.Errorf("a dry run:\n%s%s", out, talk)
	}

	// To their own: what is still wrong is a dead letter again, and tells what it was.
	out, talk = dlq(exitOK, "replay", "--pipeline", "pumps", "--limit", "2")
	has("the replay", out, place+" → plant.pumps/1@", ": sent")
	has("the talk", talk, "3 chosen", "2 sent")
	if out, talk = dlq(exitOK, "replay", "--pipeline", "pumps", "plant.pumps/1@0", "plant.pumps/1@1", "plant.pumps/1@4"); !strings.Contains(talk, "2 were sent before") || !strings.Contains(talk, "1 sent") {
		t.Errorf("the rest:\n%s%s", out, talk)
	}
	p.await(t, "what failed again", func() bool { return p.number(t, letters) == 7 })
	if _, talk = dlq(exitOK, "replay", place); !strings.Contains(talk, "1 were sent before") || !strings.Contains(talk, "0 sent") {
		t.Error(talk)
	}
	if _, talk = dlq(exitOK, "replay", place, "--again"); !strings.Contains(talk, "1 sent") {
		t.Error(talk)
	}
	p.await(t, "what failed again", func() bool { return p.number(t, letters) == 8 })
	out, _ = dlq(exitOK, "show", "plant.pumps/1@5")
	has("the second letter", out, "was         "+place+" pumps", "trace = 0xff00", "timestamp   "+base.Add(7*time.Millisecond).Format(time.RFC3339Nano))
	out, _ = dlq(exitOK, "list", "--limit", "100")
	has("the list", out, place+"  ", "(2 times)")

	// A pipeline that understands it takes it from another topic, once: what is sent again all the same is found a duplicate.
	odd := send([]byte("pump-2"), fmt.Appendf(nil, `{"asset":"pump-2","when":%q,"pressure":2.5}`, at(0)))
	p.await(t, "a malformed reading", func() bool { return p.number(t, letters) == 9 })
	fix := []string{"replay", "--to", "plant.mended", fmt.Sprintf("plant.pumps/1@%d", odd.Offset)}
	out, _ = dlq(exitOK, fix...)
	has("the mended", out, fmt.Sprintf("plant.pumps/1@%d → plant.mended/", odd.Offset))
	const mended = "SELECT countIf(status = 'ok'), countIf(status = 'duplicate') FROM andon.readings WHERE pipeline = 'mended' AND asset = 'pump-2'"
	p.await(t, "the mended reading", func() bool { return fmt.Sprint(p.sql(t, mended)) == "[[1 0]]" })
	dlq(exitOK, fix...)
	dlq(exitOK, append(fix, "--again")...)
	p.await(t, "its double", func() bool { return fmt.Sprint(p.sql(t, mended)) == "[[1 1]]" })

	// The bytes on the log are those that were sent first.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var copies []*kgo.Record
	for len(copies) < 10 && ctx.Err() == nil {
		copies = append(copies, client.PollFetches(ctx).Records()...)
	}
	same := 0
	for _, r := range copies {
		if !bytes.Equal(r.Value, binary) || r.Offset == bad.Offset {
			continue
		}
		same++
		if !bytes.Equal(r.Key, binary) || r.Partition != 1 || !r.Timestamp.Equal(bad.Timestamp) || len(r.Headers) != 3 || !bytes.Equal(r.Headers[0].Value, []byte{0xff, 0}) ||
			string(r.Headers[1].Value) != "7" || r.Headers[2].Key != "andon.replayed-from" || string(r.Headers[2].Value) != place+" pumps" {
			t.Errorf("the record came back as %v", r)
		}
	}
	if same != 2 {
		t.Errorf("%d copies of the record, want 2", same)
	}
	if n := len(copies); n != 10 || copies[6].Key != nil && copies[6].Value != nil {
		t.Errorf("%d records; the tombstone came back as %v", n, copies[6])
	}
	text := metricsOf(t, a.Console)
	has("the metrics", text, `andon_kafka_replayed_total{outcome="sent",pipeline="pumps"} 6`, `andon_kafka_replayed_total{outcome="failed",pipeline="pumps"} 3`,
		`andon_pipeline_dead_letters_total{pipeline="pumps",reason="malformed"} 6`, `andon_pipeline_dead_letters_total{pipeline="labels",reason="malformed"} 1`)
}
