package console

import (
	"cmp"
	"slices"
	"sync"

	"andon/event"
)

// What is kept of training: enough for the page, bounded whatever a trainer does.
const (
	maxRuns   = 100
	maxEpochs = 2000
)

// trainings keeps the recent runs, each with its epochs.
type trainings struct {
	mu   sync.RWMutex
	runs map[string]*trainingRun
	// version counts changes; each run holds the version of its last change and each epoch of its own.
	version uint64
}

// trainingRun is one run as JSON.
type trainingRun struct {
	Run      string `json:"run"`
	Pipeline string `json:"pipeline"`
	State    string `json:"state"`
	Started  int64  `json:"started"`
	Updated  int64  `json:"updated"`
	Epoch    int    `json:"epoch"`
	Epochs   int    `json:"epochs"`
	Rows     int    `json:"rows"`
	// Rate is windows a second, Elapsed seconds.
	Rate    number `json:"rate"`
	Elapsed number `json:"elapsed"`
	Version string `json:"version,omitempty"`
	Detail  string `json:"detail,omitempty"`
	// Worker is the process that trains; CPU and GPU are seconds, Joules what the meters that Energy names have counted; null where nothing measures.
	Worker string          `json:"worker,omitempty"`
	CPU    number          `json:"cpu_seconds"`
	GPU    number          `json:"gpu_seconds"`
	Joules number          `json:"joules"`
	Energy string          `json:"energy,omitempty"`
	Losses []trainingEpoch `json:"losses"`

	changed uint64
}

// trainingEpoch is one epoch: its number, losses and speed.
type trainingEpoch struct {
	Epoch   int    `json:"epoch"`
	Loss    number `json:"loss"`
	ValLoss number `json:"val_loss"`
	Rate    number `json:"rate"`

	changed uint64
}

func newTrainings() *trainings { return &trainings{runs: map[string]*trainingRun{}} }

// add takes in one step of a run. Steps may come twice (from the store and from the line): the same epoch replaces itself.
func (t *trainings) add(e event.Training) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.version++
	r := t.runs[e.Run]
	if r == nil {
		r = &trainingRun{Run: e.Run, Pipeline: e.Pipeline, Started: millis(e.Time - e.Elapsed), State: e.State, Losses: []trainingEpoch{}}
		t.runs[e.Run] = r
		t.makeRoomLocked()
	}
	r.changed = t.version
	// An older step must not undo a newer one.
	if at := millis(e.Time); at >= r.Updated {
		r.Updated, r.State = at, e.State
		r.Rate, r.Elapsed = number(e.RowsPerSecond), number(float64(e.Elapsed)/1e9)
		if e.Detail != "" {
			r.Detail = e.Detail
		}
		r.Worker, r.CPU, r.GPU, r.Joules, r.Energy = e.Worker, number(e.CPUSeconds), number(e.GPUSeconds), number(e.Joules), e.Energy
		if e.State == event.TrainingWaiting { // another worker begins anew
			r.Epoch, r.Losses = 0, []trainingEpoch{}
		}
	}
	r.Epoch, r.Epochs, r.Rows = max(r.Epoch, e.Epoch), max(r.Epochs, e.Epochs), max(r.Rows, e.Rows)
	r.Version = cmp.Or(e.Version, r.Version)
	if e.State != event.TrainingEpoch || e.Epoch < 1 {
		return
	}
	p := trainingEpoch{Epoch: e.Epoch, Loss: number(e.Loss), ValLoss: number(e.ValLoss), Rate: number(e.RowsPerSecond), changed: t.version}
	at, found := slices.BinarySearchFunc(r.Losses, e.Epoch, func(p trainingEpoch, epoch int) int { return p.Epoch - epoch })
	switch {
	case found:
		r.Losses[at] = p
	case len(r.Losses) < maxEpochs:
		r.Losses = slices.Insert(r.Losses, at, p)
	}
}

func (t *trainings) makeRoomLocked() {
	if len(t.runs) <= maxRuns {
		return
	}
	var oldest *trainingRun
	for _, r := range t.runs {
		if oldest == nil || r.Started < oldest.Started {
			oldest = r
		}
	}
	delete(t.runs, oldest.Run)
}

func (t *trainings) at() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.version
}

// since returns the runs that changed after the version, newest first, each with the epochs that changed after it, and the version now.
func (t *trainings) since(version uint64) ([]trainingRun, uint64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	list := []trainingRun{}
	for _, r := range t.runs {
		if r.changed <= version {
			continue
		}
		c := *r
		c.Losses = []trainingEpoch{}
		for _, p := range r.Losses {
			if p.changed > version {
				c.Losses = append(c.Losses, p)
			}
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b trainingRun) int {
		return cmp.Or(cmp.Compare(b.Started, a.Started), cmp.Compare(a.Run, b.Run))
	})
	return list, t.version
}
