package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// house is the appliance: its process, and how it is asked.
type house struct {
	binary, data, log string
	cmd               *exec.Cmd
	ended             chan struct{}
	console, kafka    string
}

// open starts the appliance and waits until it is ready.
func open(ctx context.Context, binary, dir, config string) (*house, error) {
	h := &house{binary: binary, data: filepath.Join(dir, "data"), log: filepath.Join(dir, "andon.log"), ended: make(chan struct{})}
	file := filepath.Join(dir, "drama.yaml")
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
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a play that is killed leaves nothing behind
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
			h.console, h.kafka = "http://"+at.Console, at.Kafka
			return h, nil
		}
		select {
		case <-h.ended:
			return nil, fmt.Errorf("the appliance ended before it was ready: %s", h.tail())
		case <-ctx.Done():
			h.close()
			return nil, fmt.Errorf("the appliance is not ready: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (h *house) close() {
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-h.ended:
	case <-time.After(20 * time.Second):
		_ = h.cmd.Process.Kill()
		<-h.ended
	}
}

func (h *house) alive() error {
	select {
	case <-h.ended:
		return fmt.Errorf("the appliance has ended: %s", h.tail())
	default:
		return nil
	}
}

// tail is the end of the appliance's log.
func (h *house) tail() string {
	text, _ := os.ReadFile(h.log)
	return string(text[max(len(text)-3000, 0):])
}

// ask sends a request to the API.
func (h *house) ask(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		js, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(js)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, h.console+path, body)
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
	return json.Unmarshal(data, out)
}

// sql asks ClickHouse.
func (h *house) sql(ctx context.Context, query string) ([][]any, error) {
	var table struct {
		Rows [][]any `json:"rows"`
	}
	err := h.ask(ctx, "POST", "/api/v1/sql", map[string]string{"sql": query}, &table)
	return table.Rows, err
}

// command runs one of the program's own.
func (h *house) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, h.binary, append(args, "--data", h.data)...)
	var out, talk strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("andon %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(talk.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// decision is one step of the loop, as the API tells of it.
type decision struct {
	Time                                                                  time.Time
	Pipeline, Campaign, Stage, Verdict, Reason, Champion, Challenger, Who string
	Facts                                                                 json.RawMessage
}

// decisions are oldest first.
func (h *house) decisions(ctx context.Context, pipeline string) ([]decision, error) {
	var all []decision
	if err := h.ask(ctx, "GET", "/api/v1/decisions?limit=1000&pipeline="+pipeline, nil, &all); err != nil {
		return nil, err
	}
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	return all, nil
}

// champion is a pipeline's live version; empty when there is none.
func (h *house) champion(ctx context.Context, pipeline string) (string, error) {
	var all []struct {
		Version string
		Aliases []string
	}
	if err := h.ask(ctx, "GET", "/api/v1/models?pipeline="+pipeline, nil, &all); err != nil {
		return "", err
	}
	for _, m := range all {
		for _, a := range m.Aliases {
			if a == "champion" {
				return m.Version, nil
			}
		}
	}
	return "", nil
}

var errNot = errors.New("did not go as written")
