package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"andon/console"
	"andon/model"
	"andon/model/onnx"
)

// house is the appliance, the central cluster, and the line between them.
type house struct {
	o                    options
	binary, data, config string
	root                 string
	proxy                *proxy
	central              string // past the proxy
	kafka, andon         *exec.Cmd
	at                   struct {
		Console string `json:"console"`
		Kafka   string `json:"kafka"`
	}
}

const (
	pipeline   = "line"
	topic      = "line.rows"
	partitions = 4
	length     = 8
)

func (h *house) start(ctx context.Context) error {
	base, err := freePorts(4)
	if err != nil {
		return err
	}
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", base+i) }
	h.central = at(0)
	if h.proxy, err = newProxy(at(3), at(2)); err != nil {
		return err
	}
	extra := fmt.Sprintf("listeners=PLAINTEXT://%s,PROXIED://%s,CONTROLLER://%s\nadvertised.listeners=PLAINTEXT://%s,PROXIED://%s\n"+
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT\n", at(0), at(2), at(1), at(0), at(3))
	h.kafka, err = h.run("kafka", []string{"KAFKA_LIBS=" + filepath.Join(h.o.lib, "kafka"), "KAFKA_EXTRA=" + extra}, "sh", "deploy/kafka/start-broker.sh", filepath.Join(h.o.dir, "kafka"), strconv.Itoa(base), "384m")
	if err != nil {
		return err
	}
	if err := until(ctx, 90*time.Second, "the central cluster to listen", func() bool {
		c, err := net.DialTimeout("tcp", h.central, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	}); err != nil {
		return err
	}
	if err := addModel(filepath.Join(h.data, "models")); err != nil {
		return err
	}
	config := fmt.Sprintf(`
libraries: %q
uplink:
  brokers: [%q]
  site: plant-7
  create_topics: true
  bandwidth: %s
pipelines:
  - name: %s
    partitions: %d
    source: {topic: %s, signals: [v]}
    window: {grid: 1s, length: %d, lateness: 0s, horizon: 1h}
`, h.o.lib, at(3), h.o.bandwidth, pipeline, partitions, topic, length)
	if err := os.WriteFile(h.config, []byte(config), 0o644); err != nil {
		return err
	}
	if h.andon, err = h.run("andon", nil, h.binary, "up", "--config", h.config, "--data", h.data, "--listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0"); err != nil {
		return err
	}
	return until(ctx, 90*time.Second, "the appliance and its uplink to be up", func() bool {
		text, err := os.ReadFile(filepath.Join(h.data, "run", "addresses.json"))
		return err == nil && json.Unmarshal(text, &h.at) == nil && h.uplink().State == "up"
	})
}

func (h *house) run(name string, env []string, args ...string) (*exec.Cmd, error) {
	log, err := os.Create(filepath.Join(h.o.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = h.root
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	return cmd, cmd.Start()
}

func (h *house) close() {
	for _, cmd := range []*exec.Cmd{h.andon, h.kafka} {
		if cmd == nil {
			continue
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
	}
	if h.proxy != nil {
		h.proxy.close()
	}
}

// uplink asks the appliance.
func (h *house) uplink() (u console.Uplink) {
	res, err := http.Get("http://" + h.at.Console + "/api/v1/uplink")
	if err != nil {
		return u
	}
	defer res.Body.Close()
	_ = json.NewDecoder(res.Body).Decode(&u)
	return u
}

// logBytes is what the local log takes on disk.
func (h *house) logBytes() (n int64) {
	_ = filepath.WalkDir(filepath.Join(h.data, "broker", "log"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// cpu is the CPU time of the appliance without its ClickHouse.
func (h *house) cpu() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.andon.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond // a tick is a hundredth of a second
}

func until(ctx context.Context, within time.Duration, what string, f func() bool) error {
	for deadline := time.Now().Add(within); !f(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v for %s: see the logs in -dir", within, what)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// freePorts returns the first of n free ports in a row, below the range from which the system gives clients theirs.
func freePorts(n int) (int, error) {
next:
	for range 200 {
		base := 20000 + rand.IntN(12000)
		for i := range n {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+i))
			if err != nil {
				continue next
			}
			l.Close()
		}
		return base, nil
	}
	return 0, errors.New("no free ports")
}

// addModel puts a model into a data folder that scores a window by its mean.
func addModel(dir string) error {
	batch := onnx.Dim{Name: "batch"}
	g := onnx.NewGraph("mean")
	g.Input(model.Input, onnx.Float, append([]onnx.Dim{batch}, onnx.Fixed(length, 1)...)...)
	mean := g.Op("ReduceMean", []string{model.Input}, onnx.Ints("axes", 1), onnx.Int("keepdims", 0))
	g.Node("Identity", []string{mean}, []string{model.Value})
	g.Node("Sigmoid", []string{mean}, []string{model.Risk})
	g.Output(model.Value, onnx.Float, batch, onnx.Dim{Size: 1})
	g.Output(model.Risk, onnx.Float, batch, onnx.Dim{Size: 1})
	m, err := model.Seal(g.Model(), model.Meta{Pipeline: pipeline, Task: model.Anomaly, Unit: "v", Network: "mean", Lineage: model.Lineage{Run: "bench"},
		Recipe: model.Recipe{Signals: []string{"v"}, Grid: time.Second, Length: length, MaxGap: 3, Smooth: 1, Scale: []model.Scale{{Mean: 0, Std: 1}}}})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	r, err := model.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(r.Add(m), r.Promote(pipeline, m.Version, "bench", "it says the mean"))
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the working folder")
		}
		dir = filepath.Dir(dir)
	}
}
