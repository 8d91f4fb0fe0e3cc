// Package house runs the appliance for a bench that plays with the real program: it starts `andon up` in a folder of its own, waits until it is ready, asks its API and its SQL, runs the program's commands on its
// data, and ends it.
package house

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// House is the appliance: its process, and how it is asked.
type House struct {
	// Console is the address of the API and the page, with http://; Kafka is that of the embedded broker.
	Console, Kafka string

	binary, data, log string
	cmd               *exec.Cmd
	ended             chan struct{}
}

// Open starts the program binary with a configuration and waits until it is ready or ctx is done. The configuration, the log and the data lie in dir, which is there.
func Open(ctx context.Context, binary, dir, config string) (*House, error) {
	h := &House{binary: binary, data: filepath.Join(dir, "data"), log: filepath.Join(dir, "andon.log"), ended: make(chan struct{})}
	file := filepath.Join(dir, "andon.yaml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	log, err := os.Create(h.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	h.cmd = exec.Command(binary, "up", "--config", file, "--data", h.data, "--listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0")
	h.cmd.Stdout, h.cmd.Stderr = log, log
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a bench that is killed leaves nothing behind
	if err := h.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = h.cmd.Wait()
		close(h.ended)
	}()
	for {
		var at struct {
			Console, Kafka string
			PID            int
		}
		js, err := os.ReadFile(filepath.Join(h.data, "run", "addresses.json"))
		if err == nil && json.Unmarshal(js, &at) == nil && at.PID == h.cmd.Process.Pid {
			h.Console, h.Kafka = "http://"+at.Console, at.Kafka
			return h, nil
		}
		select {
		case <-h.ended:
			return nil, fmt.Errorf("the appliance ended before it was ready: %s", h.Tail())
		case <-ctx.Done():
			h.Close()
			return nil, fmt.Errorf("the appliance is not ready: %w: %s", ctx.Err(), h.Tail())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Close ends the appliance, by force after twenty seconds. It may be called again.
func (h *House) Close() {
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-h.ended:
	case <-time.After(20 * time.Second):
		_ = h.cmd.Process.Kill()
		<-h.ended
	}
}

// Alive is an error with the last words once the process has ended.
func (h *House) Alive() error {
	select {
	case <-h.ended:
		return fmt.Errorf("the appliance has ended: %s", h.Tail())
	default:
		return nil
	}
}

// Tail is the end of the appliance's log: 3,000 bytes at most.
func (h *House) Tail() string {
	text, _ := os.ReadFile(h.log)
	return string(text[max(len(text)-3000, 0):])
}

// Ask sends a request to the API, with in as its JSON unless it is nil, and reads the answer's JSON into out unless that is nil. An answer that is not 2xx is an error with its text. It may take a minute.
func (h *House) Ask(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		js, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(js)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, h.Console+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, bytes.TrimSpace(data))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}

// SQL asks ClickHouse; what comes back is rows of JSON values.
func (h *House) SQL(ctx context.Context, query string) ([][]any, error) {
	var table struct {
		Rows [][]any `json:"rows"`
	}
	err := h.Ask(ctx, "POST", "/api/v1/sql", map[string]string{"sql": query}, &table)
	return table.Rows, err
}

// Command runs one of the program's own on the appliance's data, and returns what it prints.
func (h *House) Command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, h.binary, append(args, "--data", h.data)...)
	var out, talk strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("andon %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(talk.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// Decision is one step of the loop, as the API tells of it.
type Decision struct {
	Time                                                                  time.Time
	Pipeline, Campaign, Stage, Verdict, Reason, Champion, Challenger, Who string
	Facts                                                                 json.RawMessage
}

// Decisions are a pipeline's newest thousand, oldest first.
func (h *House) Decisions(ctx context.Context, pipeline string) ([]Decision, error) {
	var all []Decision
	if err := h.Ask(ctx, "GET", "/api/v1/decisions?limit=1000&pipeline="+pipeline, nil, &all); err != nil {
		return nil, err
	}
	slices.Reverse(all)
	return all, nil
}

// Champion is a pipeline's live version; empty when there is none.
func (h *House) Champion(ctx context.Context, pipeline string) (string, error) {
	var all []struct {
		Version string
		Aliases []string
	}
	if err := h.Ask(ctx, "GET", "/api/v1/models?pipeline="+pipeline, nil, &all); err != nil {
		return "", err
	}
	for _, m := range all {
		if slices.Contains(m.Aliases, "champion") {
			return m.Version, nil
		}
	}
	return "", nil
}
