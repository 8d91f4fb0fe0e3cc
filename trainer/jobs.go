package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"andon/trainer/evaluate"
	"andon/trainer/fit"
)

// Board is what submitters of jobs and workers share: a queue of jobs, talk that all of them hear, and room for files. Each is kept by a log that may give again what it gave, and loses nothing.
type Board interface {
	// Post puts a job into the queue, Tell says a word to all; both return when it is kept.
	Post(ctx context.Context, job string, order []byte) error
	Tell(ctx context.Context, job string, word []byte) error
	// Hear calls f with every word that is said from when the board was opened on, in order, until ctx ends.
	Hear(ctx context.Context, f func(word []byte)) error
	// Save keeps a file and returns where; Load gets it from there.
	Save(ctx context.Context, job string, file []byte) (place string, err error)
	Load(ctx context.Context, place string) ([]byte, error)
	// Take waits for the next job and takes it out of the queue: accept is called with it first, and only when that has returned nil no other gets it. What accept returns is returned as it is. A job may come to
	// two where one dies, or the log goes away, in between.
	Take(ctx context.Context, accept func(order []byte) error) error
}

// Workers says who makes challengers.
type Workers struct {
	// By is local, in this process, or kafka: by processes andon trainer, wherever they run, that take jobs from topics.jobs.
	By string `yaml:"by"`
	// Parallel is how many jobs this appliance has under way at once, where workers make them.
	Parallel int `yaml:"parallel"`
	// Wait is how long a job waits to be taken.
	Wait time.Duration `yaml:"wait"`
	// Beat is how often a worker says that it is at it, and this appliance that it still waits. Who misses Missed of them in a row is taken for dead.
	Beat   time.Duration `yaml:"beat"`
	Missed int           `yaml:"missed"`
	// Attempts is how many workers may die of a job.
	Attempts int `yaml:"attempts"`
	// Limit is how long a worker may take for it.
	Limit time.Duration `yaml:"limit"`
}

// Who makes challengers.
const (
	ByLocal = "local"
	ByKafka = "kafka"
)

// DefaultWorkers returns the settings of an appliance that trains itself.
func DefaultWorkers() Workers {
	return Workers{
		By:       ByLocal,
		Parallel: 4,
		// A machine with a GPU, started from nothing for this, takes some minutes; and what waits for an hour is not of now any more.
		Wait: time.Hour,
		// Half a minute of silence is a dead machine, or one that nobody should wait for; a broker that elects a leader takes some seconds.
		Beat: 2 * time.Second, Missed: 15,
		Attempts: 3, // the job itself may be what kills them
		Limit:    6 * time.Hour,
	}
}

func (w *Workers) validate() error {
	var f faults
	f.check(w.By == ByLocal || w.By == ByKafka, "workers.by", w.By, "local or kafka")
	f.check(w.Parallel >= 1 && w.Parallel <= 100, "workers.parallel", w.Parallel, "between 1 and 100")
	f.check(w.Wait > 0, "workers.wait", w.Wait, "a positive duration")
	f.check(w.Beat >= 10*time.Millisecond, "workers.beat", w.Beat, "at least 10ms")
	f.check(w.Missed >= 3, "workers.missed", w.Missed, "at least 3: a word or two may be late")
	f.check(w.Attempts >= 1, "workers.attempts", w.Attempts, "at least 1")
	f.check(w.Limit > 0, "workers.limit", w.Limit, "a positive duration")
	return errors.Join(f...)
}

// assignment is a job as it stands in the queue: with all that a worker needs beside the addresses of the store.
type assignment struct {
	Job
	// Attempt counts from 1.
	Attempt int `json:"attempt"`
	// Section is what Pipeline.Section wrote, Memory the bound on windows.
	Section string `json:"section"`
	Memory  int64  `json:"memory"`
	// Start is where the champion's file is that a training begins with; empty for none.
	Start string `json:"start,omitempty"`
	// Posted is when the job came into the queue first, Until when it must have been taken, Unix nanoseconds. Limit is how long it may take, Beat and Missed are those of Workers.
	Posted int64         `json:"posted"`
	Until  int64         `json:"until"`
	Limit  time.Duration `json:"limit"`
	Beat   time.Duration `json:"beat"`
	Missed int           `json:"missed"`
	// Digest is the SHA-256 of all of this without it: a worker of another version, that would not see all of it, finds it wrong.
	Digest string `json:"digest"`
}

func (a *assignment) sum() (string, error) {
	bare := *a
	bare.Digest = ""
	text, err := json.Marshal(&bare)
	return digest(text), err
}

func (a *assignment) encode() ([]byte, error) {
	var err error
	if a.Digest, err = a.sum(); err != nil {
		return nil, err
	}
	return json.Marshal(a)
}

func readAssignment(order []byte) (*assignment, error) {
	a := &assignment{}
	if err := json.Unmarshal(order, a); err != nil {
		return a, fmt.Errorf("it is no job: %w", err)
	}
	if sum, err := a.sum(); err != nil || sum != a.Digest {
		return a, errors.New("its digest is of something else: it was changed, or comes from another version of andon")
	}
	return a, nil
}

// The kinds of words. The first two are the submitter's.
const (
	wordWanted = "wanted" // the submitter waits for it
	wordCancel = "cancel" // nobody waits any more
	wordTaken  = "taken"
	wordReady  = "ready"
	wordEpoch  = "epoch"
	wordBeat   = "beat"
	wordDone   = "done"
	wordFailed = "failed"
	wordLeft   = "left" // the worker is stopped, and gives it back
)

// word is what submitters and workers say of a job.
type word struct {
	Kind    string     `json:"kind"`
	Job     string     `json:"job"`
	Attempt int        `json:"attempt"`
	Worker  string     `json:"worker,omitempty"`
	Why     string     `json:"why,omitempty"`
	Data    *Data      `json:"data,omitempty"`
	Epoch   *epochFact `json:"epoch,omitempty"`
	Usage   *usageFact `json:"usage,omitempty"`
	Lessons []handed   `json:"lessons,omitempty"`
	// Diverged tells that a training failed since its loss was no number any more.
	Diverged bool `json:"diverged,omitempty"`
}

// epochFact is fit.Progress in JSON.
type epochFact struct {
	Epoch         int             `json:"epoch"`
	Epochs        int             `json:"epochs"`
	Loss          evaluate.Number `json:"loss"`
	ValLoss       evaluate.Number `json:"val_loss"`
	RowsPerSecond evaluate.Number `json:"rows_per_second"`
}

func factOf(p fit.Progress) *epochFact {
	return &epochFact{p.Epoch, p.Epochs, evaluate.Number(p.Loss), evaluate.Number(p.ValLoss), evaluate.Number(p.RowsPerSecond)}
}

func (e *epochFact) progress() fit.Progress {
	return fit.Progress{Epoch: e.Epoch, Epochs: e.Epochs, Loss: float64(e.Loss), ValLoss: float64(e.ValLoss), RowsPerSecond: float64(e.RowsPerSecond)}
}

// usageFact is Usage in JSON.
type usageFact struct {
	Seconds    float64         `json:"seconds"`
	CPUSeconds float64         `json:"cpu_seconds"`
	GPUSeconds evaluate.Number `json:"gpu_seconds"`
	Joules     evaluate.Number `json:"joules"`
	Energy     string          `json:"energy,omitempty"`
}

func (u *Usage) fact() *usageFact {
	return &usageFact{u.Seconds, u.CPUSeconds, evaluate.Number(u.GPUSeconds), evaluate.Number(u.Joules), u.Energy}
}

func (u *usageFact) usage(worker string) Usage {
	if u == nil {
		return unmeasured(worker)
	}
	return Usage{worker, u.Seconds, u.CPUSeconds, float64(u.GPUSeconds), float64(u.Joules), u.Energy}
}

// handed is a lesson as a worker hands it over.
type handed struct {
	Version string  `json:"version"`
	Place   string  `json:"place"`
	Loss    float64 `json:"loss"`
	Summary string  `json:"summary"`
}
