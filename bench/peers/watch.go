package main

import (
	"context"
	"os"
	"slices"
	"sync"
	"time"
)

// sampleEvery is the resolution of a wall time.
const sampleEvery = 100 * time.Millisecond

// sample is what was seen at one moment of a peer's run.
type sample struct {
	at          time.Duration // since the peer's start
	cpu, broker time.Duration
	harness     time.Duration
	machine     machine
	ends        []int64
}

// watch samples a peer from outside while it runs.
type watch struct {
	b       *Bench
	pid     int
	topic   string
	started time.Time
	own     time.Duration // the harness's CPU time at the start
	broker0 time.Duration
	machine machine

	mu      sync.Mutex
	samples []sample
	peak    int64 // bytes
}

func newWatch(b *Bench, pid int, topic string, started time.Time) *watch {
	return &watch{
		b: b, pid: pid, topic: topic, started: started,
		own: cpuTime([]int{os.Getpid()}), broker0: brokerCPU(b.broker), machine: machineTime(),
	}
}

// Run samples until ctx ends.
func (w *watch) Run(ctx context.Context) {
	pids := family(w.pid)
	for n := 0; ; n++ {
		if n%10 == 0 {
			pids = family(w.pid)
		}
		ends, err := w.b.broker.ends(ctx, w.topic, w.b.cfg.Partitions)
		if err == nil {
			s := sample{
				at: time.Since(w.started), cpu: cpuTime(pids), broker: brokerCPU(w.b.broker) - w.broker0,
				harness: cpuTime([]int{os.Getpid()}) - w.own, machine: machineTime(), ends: ends,
			}
			rss := max(residentBytes(pids), peakBytes(w.pid))
			w.mu.Lock()
			w.samples = append(w.samples, s)
			w.peak = max(w.peak, rss)
			w.mu.Unlock()
		}
		if pause(ctx, sampleEvery) != nil {
			return
		}
	}
}

func (w *watch) latest() []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.samples) == 0 {
		return nil
	}
	return w.samples[len(w.samples)-1].ends
}

func brokerCPU(b *Broker) time.Duration {
	if b.PID == 0 {
		return 0
	}
	return cpuTime([]int{b.PID})
}

func idleShare(from, to machine) float64 {
	idle, busy := to.idle-from.idle, to.busy-from.busy
	if idle+busy == 0 {
		return 0
	}
	return float64(idle) / float64(idle+busy)
}

// done returns the first sample at which every result was readable, or the last one if that never was.
func (w *watch) done(last []int64) (sample, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.samples) == 0 {
		return sample{}, false
	}
	need := make([]int64, len(last))
	for p, o := range last {
		need[p] = o + 1
	}
	i := slices.IndexFunc(w.samples, func(s sample) bool { return reached(s.ends, need) })
	if i < 0 {
		i = len(w.samples) - 1
	}
	return w.samples[i], true
}

// warm returns the share of the output that came between the first fifth of it and the end, and the CPU and wall time of that stretch: by then a JVM has
// started and compiled what is hot. It returns zeros where the output came in too few steps to tell.
func (w *watch) warm(end sample) (share float64, cpu, wall time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := total(end.ends)
	from, steps := -1, 0
	for i, s := range w.samples {
		sum := total(s.ends)
		switch {
		case s.at > end.at:
		case from < 0:
			if sum*5 >= all {
				from = i
			}
		case sum > total(w.samples[i-1].ends):
			steps++
		}
	}
	if from < 0 || steps < 5 || all == 0 {
		return 0, 0, 0
	}
	s := w.samples[from]
	return 1 - float64(total(s.ends))/float64(all), end.cpu - s.cpu, end.at - s.at
}

// firstOutput returns when the first output was readable.
func (w *watch) firstOutput() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.samples {
		if total(s.ends) > 0 {
			return s.at
		}
	}
	return 0
}
