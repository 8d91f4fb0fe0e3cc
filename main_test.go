package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

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
	for deadline := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(100 * time.Millisecond) {
		select {
		case <-p.ended:
			t.Fatalf("the appliance ended while waiting for %s: %v\n%s", what, p.ProcessState, p.log())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s within three minutes", what)
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
	for _, pipeline := range []string{"compressors", "machine-temperature"} {
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

	p.savedQueries(t)

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
