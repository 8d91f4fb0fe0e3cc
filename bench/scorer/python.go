package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

//go:embed loop.py
var script string

// python is a process with Python's ONNX Runtime, which waits while others have their turn.
type python struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	ask     *json.Encoder
	answers *json.Decoder
	version string
}

// answer is what loop.py says; times are in nanoseconds.
type answer struct {
	Version     string
	CPU         time.Duration
	Times       []time.Duration
	Value, Risk []float32
}

// startPython makes the environment in dir, if need be, and loads every network.
func startPython(ctx context.Context, dir string, nets []*loaded) (*python, error) {
	made := exec.CommandContext(ctx, "sh", filepath.Join("python", "venv.sh"), filepath.Join("bench", "scorer", "requirements.txt"), dir)
	made.Stderr = os.Stderr
	bin, err := made.Output()
	if err != nil {
		return nil, fmt.Errorf("its environment cannot be made (run this at the repository's root, with Python 3.11 or newer and PyPI): %w", err)
	}
	p := &python{cmd: exec.CommandContext(ctx, strings.TrimSpace(string(bin)), "-c", script)}
	p.cmd.Stderr, p.cmd.SysProcAttr = os.Stderr, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.in, p.ask, p.answers = in, json.NewEncoder(in), json.NewDecoder(out)
	for _, n := range nets {
		a, err := p.do(map[string]any{"do": "load", "name": n.name, "file": n.onnx, "windows": n.raw, "shape": []int{most, n.length, n.width}})
		if err != nil {
			p.close()
			return nil, err
		}
		p.version = a.Version
	}
	return p, nil
}

func (p *python) do(q map[string]any) (a answer, err error) {
	if err = p.ask.Encode(q); err == nil {
		err = p.answers.Decode(&a)
	}
	if err != nil {
		err = fmt.Errorf("ask Python's ONNX Runtime to %v: %w", q["do"], err)
	}
	return a, err
}

func (p *python) close() {
	_ = p.in.Close()
	_ = p.cmd.Wait()
}
