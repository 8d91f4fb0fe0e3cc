package evaluate

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"andon/model"
	"andon/model/ort"
)

// Cost is what one version takes to make, to hold and to run.
type Cost struct {
	Version string `json:"version"`
	Network string `json:"network"`
	// P50 and P99 are of runs of one window (or frame) alone, nanoseconds.
	P50 int64 `json:"p50_ns"`
	P99 int64 `json:"p99_ns"`
	// CPUSeconds is what a million windows take in runs of 32 (frames: of one), of one core; Joules what they draw, with all else that ran meanwhile on what is measured.
	CPUSeconds Number `json:"cpu_seconds_per_million"`
	Joules     Number `json:"joules_per_million"`
	// Bytes is the file's size. TrainingSeconds and TrainingCPUSeconds are what making it took.
	Bytes              int    `json:"bytes"`
	TrainingSeconds    Number `json:"training_seconds"`
	TrainingCPUSeconds Number `json:"training_cpu_seconds"`
	// TrainingJoules is what was drawn meanwhile, of processors and devices, as far as the machine that made it could measure.
	TrainingJoules Number `json:"training_joules"`
	// Retrainings and Alarms are a week's.
	Retrainings Number `json:"retrainings_a_week"`
	Alarms      Number `json:"alarms_a_week"`
}

// newCost says what is known without a run.
func newCost(m *model.Model, d *Data) Cost {
	c := Cost{Version: m.Version, Network: m.Network, Bytes: len(m.ONNX), CPUSeconds: Unknown(), Joules: Unknown(),
		TrainingSeconds: Unknown(), TrainingCPUSeconds: Unknown(), TrainingJoules: Unknown(), Retrainings: Unknown(), Alarms: Unknown()}
	if m.Lineage.Seconds > 0 {
		c.TrainingSeconds, c.TrainingCPUSeconds = Number(m.Lineage.Seconds), Number(m.Lineage.CPUSeconds)
	}
	if m.Lineage.Joules > 0 {
		c.TrainingJoules = Number(m.Lineage.Joules)
	}
	if u, ok := d.Upkeep[m.Version]; ok {
		c.Retrainings, c.Alarms = u.Retrainings, u.Alarms
	}
	return c
}

// batch is windows on their way through a model.
type batch struct {
	j *judge
	n int
	x []float32
}

func (b *batch) add(window []float32) {
	b.x = append(b.x, window...)
	b.n++
}

// run scores what was added, and empties the batch.
func (b *batch) run() (value, risk []float32, err error) {
	n := int64(b.n)
	value, risk = make([]float32, b.n), make([]float32, b.n)
	var tensors []*ort.Tensor[float32]
	defer func() {
		for _, t := range tensors {
			t.Close()
		}
		b.x, b.n = b.x[:0], 0
	}()
	wrap := func(data []float32, shape ...int64) ort.Value {
		var t *ort.Tensor[float32]
		if err == nil {
			if t, err = ort.Wrap(data, shape...); err == nil {
				tensors = append(tensors, t)
			}
		}
		return t
	}
	x, v, r := wrap(b.x, n, int64(b.j.m.Recipe.Length), int64(b.j.m.Recipe.Width())), wrap(value, n, 1), wrap(risk, n, 1)
	if err != nil {
		return nil, nil, err
	}
	return value, risk, b.j.session.Run([]ort.Value{x}, []ort.Value{v, r})
}

// measure runs a model on windows of the data: one by one for the latencies, in batches for what a million cost.
func measure(ctx context.Context, c *Config, j *judge, d *Data) (Cost, error) {
	cost := newCost(j.m, d)
	var windows [][]float32
	for _, l := range d.Lives {
		if len(windows) >= c.Timed {
			break
		}
		if err := d.Featurize(&j.m.Recipe, l.Rows, func(_ int64, w []float32) {
			if len(windows) < c.Timed {
				windows = append(windows, slices.Clone(w))
			}
		}); err != nil {
			return cost, err
		}
	}
	if len(windows) == 0 {
		return cost, nil
	}
	b := &batch{j: j}
	one := func(i int) error {
		b.add(windows[i%len(windows)])
		_, _, err := b.run()
		return err
	}
	many := func(i int) error {
		for k := range runRows {
			b.add(windows[(i*runRows+k)%len(windows)])
		}
		_, _, err := b.run()
		return err
	}
	return cost, cost.time(ctx, c, one, many, runRows)
}

// time fills in latencies and what a million cost. one runs one window, many so many at once. ONNX Runtime works on the calling thread, whose clock is read.
func (cost *Cost) time(ctx context.Context, c *Config, one, many func(i int) error, at int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	took := make([]int64, 0, c.Timed)
	for i := range c.Timed + 5 {
		if err := ctx.Err(); err != nil {
			return err
		}
		began := time.Now()
		if err := one(i); err != nil {
			return err
		}
		if i >= 5 { // the first ones grow ONNX Runtime's arena
			took = append(took, int64(time.Since(began)))
		}
	}
	slices.Sort(took)
	cost.P50, cost.P99 = took[len(took)/2], took[min(len(took)*99/100, len(took)-1)]
	runs := max(c.Timed/at, 8)
	joules, measured := 0.0, false
	if c.Energy != nil {
		joules, measured = c.Energy()
	}
	spent := make([]time.Duration, runs)
	for i := range spent {
		if err := ctx.Err(); err != nil {
			return err
		}
		before := threadTime()
		if err := many(i); err != nil {
			return err
		}
		spent[i] = threadTime() - before
	}
	million := 1e6 / float64(runs*at)
	slices.Sort(spent)
	cost.CPUSeconds = Number(spent[runs/2].Seconds() / float64(at) * 1e6) // the median: the first run grows the arena, and what else the machine does makes some dear
	if measured {
		if now, ok := c.Energy(); ok && now > joules {
			cost.Joules = Number((now - joules) * million)
		}
	}
	return nil
}

// threadTime returns what the calling thread has spent.
func threadTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// RAPL returns a meter of the processors' energy as Linux's powercap tells it (Documentation/power/powercap/powercap.rst); nil where it cannot be read: most kernels let only root do so.
func RAPL(root string) func() (joules float64, ok bool) {
	zones, _ := filepath.Glob(filepath.Join(root, "intel-rapl:*"))
	zones = slices.DeleteFunc(zones, func(z string) bool { return strings.Count(filepath.Base(z), ":") != 1 }) // packages, not their parts
	read := func(name string) (float64, bool) {
		text, err := os.ReadFile(name)
		if err != nil {
			return 0, false
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
		return v / 1e6, err == nil
	}
	last, over := make([]float64, len(zones)), make([]float64, len(zones))
	meter := func() (float64, bool) {
		sum := 0.0
		for i, z := range zones {
			v, ok := read(filepath.Join(z, "energy_uj"))
			if !ok {
				return math.NaN(), false
			}
			if v < last[i] { // the counter began anew
				top, _ := read(filepath.Join(z, "max_energy_range_uj"))
				over[i] += top
			}
			last[i] = v
			sum += v + over[i]
		}
		return sum, len(zones) > 0
	}
	if _, ok := meter(); !ok {
		return nil
	}
	return meter
}
