package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"andon/event"
	"andon/model"
	"andon/model/ort"
	"andon/scorer"
)

// trialCommand is the process in which a stranger's model runs for the first time: what it does to its process, it does not do to the appliance.
type trialCommand struct {
	Library     string `help:"ONNX Runtime."`
	MaxBatch    int    `help:"Windows in a run."`
	MaxPictures int    `help:"Pictures in a run."`
	Memory      int64  `help:"Bytes that the process may have."`
}

// trialResult is what the process says on standard output.
type trialResult struct {
	Error    string             `json:"error,omitempty"`
	Measured map[string]float64 `json:"measured,omitempty"`
}

// tryModel runs a model in a process of its own, as the scorer would, on windows of zeros and of noise, and returns how long it took and the memory it needed.
func tryModel(ctx context.Context, cfg *Config, m *model.Model) (map[string]float64, error) {
	limits := &cfg.Models.Limits
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	short, cancel := context.WithTimeout(ctx, limits.TrialTime)
	defer cancel()
	cmd := exec.CommandContext(short, self, "trial", "--library", cfg.library("libonnxruntime.so"), "--max-batch", strconv.Itoa(cfg.Scorer.MaxBatch),
		"--max-pictures", strconv.Itoa(cfg.Scorer.MaxPictures), "--memory", strconv.FormatInt(int64(limits.TrialMemory), 10))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stdin = bytes.NewReader(m.ONNX)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err = cmd.Run()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if short.Err() != nil {
		return nil, fmt.Errorf("it had not ended after models.trial_time, %v", limits.TrialTime)
	}
	var result trialResult
	if json.Unmarshal(out.Bytes(), &result) == nil && result.Error != "" {
		if strings.Contains(result.Error, "allocate memory") || strings.Contains(result.Error, "bad_alloc") || strings.Contains(result.Error, "bad allocation") {
			result.Error += fmt.Sprintf("; it may have models.trial_memory, %s", limits.TrialMemory)
		}
		return nil, errors.New(result.Error)
	}
	if err != nil {
		said, _, _ := strings.Cut(strings.TrimSpace(talk.String()), "\n")
		return nil, fmt.Errorf("the process that ran it ended: %w: %.200s (a model that needs more than models.trial_memory, %s, ends so)", err, said, limits.TrialMemory)
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		result.Measured["trial_memory_bytes"] = float64(usage.Maxrss << 10)
	}
	return result.Measured, nil
}

func (c *trialCommand) Run(t *talk) error {
	measured, err := c.trial(t.ctx, os.Stdin)
	result := trialResult{Measured: measured}
	if err != nil {
		result.Error = err.Error()
	}
	return json.NewEncoder(t.out).Encode(result)
}

func (c *trialCommand) trial(ctx context.Context, from io.Reader) (map[string]float64, error) {
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: uint64(c.Memory), Max: uint64(c.Memory)}); err != nil {
		return nil, err
	}
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 10) // the line goes first
	file, err := io.ReadAll(from)
	if err != nil {
		return nil, err
	}
	m, err := model.Parse(file)
	if err != nil {
		return nil, err
	}
	if err := ort.Open(c.Library); err != nil {
		return nil, err
	}
	cfg := scorer.Default()
	cfg.Workers, cfg.MaxBatch, cfg.MaxPictures = 1, c.MaxBatch, c.MaxPictures
	judge := scorer.New(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	defer judge.Close()
	began := time.Now()
	if err := judge.Load(ctx, m); err != nil {
		if inner := errors.Unwrap(err); inner != nil { // the version says nothing to who brought the file
			err = inner
		}
		return nil, err
	}
	measured := map[string]float64{"trial_load_seconds": time.Since(began).Seconds()}
	if m.Picture != nil {
		return measured, trySeeing(ctx, judge, m, measured)
	}
	size := m.Recipe.Length * m.Recipe.Width()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, batch := range []int{1, 32} {
		out := make([]event.Verdict, batch)
		windows := make([]float32, batch*size)
		if err := judge.Score(ctx, m, windows, out); err != nil {
			return nil, fmt.Errorf("%d windows of zeros: %w", batch, err)
		}
		best := time.Duration(0)
		for range 5 {
			for i := range windows {
				windows[i] = float32(rng.NormFloat64())
			}
			began := time.Now()
			if err := judge.Score(ctx, m, windows, out); err != nil {
				return nil, fmt.Errorf("%d windows of noise: %w", batch, err)
			}
			if took := time.Since(began); best == 0 || took < best {
				best = took
			}
		}
		measured[fmt.Sprintf("trial_seconds_batch_%d", batch)] = best.Seconds()
	}
	return measured, nil
}
