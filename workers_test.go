package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"andon/deploy/kafka/brokertest"
)

// workersConfig is the demo's fleet with trainings that workers do, long enough to be killed in the middle of.
const workersConfig = `
trainer:
  check: 100ms
  workers: {by: kafka, beat: 100ms, missed: 100, parallel: 2, attempts: 6}
pipelines:
  - name: compressors
    partitions: 2
    source: {topic: fleet.compressors, signals: [s_2, s_3, s_4, s_7, s_8, s_9, s_11, s_12, s_13, s_14, s_15, s_17, s_20, s_21]}
    window: {grid: 1h, length: 30, max_gap: 3, smooth: 0.3, baseline: 30, age: true, lateness: 3h, horizon: 48h}
    model: {task: remaining-life, unit: cycles, hidden: 4, layers: 1, epochs: %d, patience: %[1]d, settle: 1s}
demo:
  - name: history
    file: fd001_train.csv.gz
    topic: fleet.compressors
    asset: "retired-{unit:03d}"
    time: {column: cycle, start: 2020-01-01T00:00:00Z, step: 1h}
    signals: [s_2, s_3, s_4, s_7, s_8, s_9, s_11, s_12, s_13, s_14, s_15, s_17, s_20, s_21]
    label: {topic: andon.labels, pipeline: compressors, kind: failure}
`

// hand is a worker process.
type hand struct {
	name  string
	ended chan error
	kill  func(syscall.Signal)
	mu    sync.Mutex
	said  strings.Builder
}

// hireHand starts one on the appliance's data folder, with its configuration.
func hireHand(t *testing.T, name, data, text string, args ...string) *hand {
	t.Helper()
	lib, err := filepath.Abs("lib")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "worker.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "libraries: %q\n%s", lib, text), 0o644); err != nil {
		t.Fatal(err)
	}
	c := command(append([]string{"trainer", "--config", config, "--data", data, "--name", name, "--nice", "0"}, args...)...)
	pipe, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	h := &hand{name: name, ended: make(chan error, 1), kill: func(s syscall.Signal) { _ = c.Process.Signal(s) }}
	over := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(pipe)
		for lines.Scan() {
			h.mu.Lock()
			h.said.WriteString(lines.Text() + "\n")
			h.mu.Unlock()
		}
		h.ended <- c.Wait()
		close(over)
	}()
	t.Cleanup(func() {
		h.kill(syscall.SIGKILL)
		<-over
		if t.Failed() {
			t.Logf("worker %s said:\n%s", h.name, h.said.String())
		}
	})
	return h
}

// Trainings are done by processes that share nothing with the appliance but brokers and ClickHouse: one is killed in the middle, and the other makes the model.
func TestWorkers(t *testing.T) {
	needLibraries(t)
	data := filepath.Join(t.TempDir(), "data")
	text := fmt.Sprintf(workersConfig, 40)
	p := launch(t, data, text, "--demo", "--kafka-listen", "127.0.0.1:0")
	workersTakeOver(t, p, data, text)
}

// The same on Apache Kafka.
func TestKafkaWorkers(t *testing.T) {
	needLibraries(t)
	real := brokertest.Need(t)
	data := filepath.Join(t.TempDir(), "data")
	text := "kafka: {create_topics: true, brokers: [\"" + real.Addr + "\"]}\n" + fmt.Sprintf(workersConfig, 40)
	p := launch(t, data, text, "--demo")
	workersTakeOver(t, p, data, text)
}

func workersTakeOver(t *testing.T, p *program, data, text string) {
	t.Helper()
	p.await(t, "a job that waits", func() bool { return p.number(t, "SELECT count() FROM andon.trainings WHERE state = 'waiting'") > 0 })
	hands := map[string]*hand{}
	for _, name := range []string{"w1", "w2"} {
		hands[name] = hireHand(t, name, data, text)
	}
	who := ""
	p.await(t, "an epoch", func() bool {
		if rows := p.sql(t, "SELECT worker FROM andon.trainings WHERE state = 'epoch' LIMIT 1"); len(rows) > 0 {
			who = fmt.Sprint(rows[0][0])
		}
		return who != ""
	})
	first := hands[who]
	if first == nil {
		t.Fatalf("trained by %q", who)
	}
	first.kill(syscall.SIGKILL)
	p.await(t, "the end of the training", func() bool {
		return p.number(t, "SELECT count() FROM andon.trainings WHERE state IN ('finished', 'failed')") > 0
	})
	rows := p.sql(t, "SELECT state, worker, detail, cpu_seconds > 0, version FROM andon.trainings WHERE state IN ('finished', 'failed')")
	other := map[string]string{"w1": "w2", "w2": "w1"}[who]
	if len(rows) != 1 || fmt.Sprint(rows[0][0]) != "finished" || fmt.Sprint(rows[0][1]) != other || !strings.Contains(fmt.Sprint(rows[0][2]), "made by worker "+other) {
		t.Fatalf("after %s was killed the training ended with %v; %v", who, rows, p.sql(t, "SELECT state, worker, epoch, detail FROM andon.trainings ORDER BY time"))
	}
	if n := p.number(t, "SELECT count() FROM andon.trainings WHERE state = 'waiting' AND detail LIKE '%fell silent%'"); n < 1 {
		t.Errorf("it was told %v times that a worker fell silent", n)
	}
	p.await(t, "the champion", func() bool { return p.number(t, "SELECT count() FROM andon.models WHERE alias = 'champion'") == 1 })
	p.rebuilds(t, "compressors")
	// One that is told to stop ends well.
	last := hands[other]
	last.kill(syscall.SIGTERM)
	if err := <-last.ended; err != nil {
		t.Errorf("stopped: %v", err)
	}
}
