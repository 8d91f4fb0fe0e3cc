package trainer

import (
	"math"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Usage is what a training took so far, with all else that its process, and on what is measured its machine, did meanwhile.
type Usage struct {
	// Worker is the process that trains; empty where it is this one.
	Worker     string
	Seconds    float64
	CPUSeconds float64
	// GPUSeconds is how long kernels ran on the NVIDIA devices, Joules what the meters that Energy names have counted; NaN where nothing measures.
	GPUSeconds, Joules float64
	Energy             string
}

// unmeasured is the usage of which nothing is known.
func unmeasured(worker string) Usage {
	return Usage{Worker: worker, GPUSeconds: math.NaN(), Joules: math.NaN()}
}

// Meters read what a machine has spent since some time in the past; either may be nil, and tells by false that it cannot measure.
type Meters struct {
	// Processors is their energy, joules.
	Processors func() (joules float64, ok bool)
	// Devices is how long kernels ran on the NVIDIA devices, and their energy.
	Devices func() (seconds, joules float64, ok bool)
}

// reading is what meters say at one moment; NaN for what they do not.
type reading struct{ cpu, gpu, processors, devices float64 }

func (m *Meters) read() reading {
	r := reading{cpuTime().Seconds(), math.NaN(), math.NaN(), math.NaN()}
	if m.Processors != nil {
		if j, ok := m.Processors(); ok {
			r.processors = j
		}
	}
	if m.Devices != nil {
		if s, j, ok := m.Devices(); ok {
			r.gpu, r.devices = s, j
		}
	}
	return r
}

// stopwatch tells what was spent since it was started.
type stopwatch struct {
	meters Meters
	began  time.Time
	at     reading
	more   time.Duration // CPU time of other processes that worked on it
}

func (m Meters) start() *stopwatch {
	return &stopwatch{meters: m, began: time.Now(), at: m.read()}
}

func (s *stopwatch) usage() Usage {
	now := s.meters.read()
	u := Usage{Seconds: time.Since(s.began).Seconds(), CPUSeconds: now.cpu - s.at.cpu + s.more.Seconds(), GPUSeconds: now.gpu - s.at.gpu, Joules: math.NaN()}
	var by []string
	for _, m := range []struct {
		name   string
		joules float64
	}{{"processors", now.processors - s.at.processors}, {"NVIDIA devices", now.devices - s.at.devices}} {
		if m.joules >= 0 { // a counter that began anew tells nothing
			if by = append(by, m.name); len(by) == 1 {
				u.Joules = 0
			}
			u.Joules += m.joules
		}
	}
	u.Energy = strings.Join(by, ", ")
	if !(u.GPUSeconds >= 0) {
		u.GPUSeconds = math.NaN()
	}
	return u
}

// cpuTime returns what the process has spent on all its threads; 0 where the system does not tell.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// took keeps what a run has taken, for what is told of it next and for the metrics.
func (r *run) took(u Usage) {
	was, m := r.last, r.t.metrics
	if u.Worker != was.Worker { // another process counts from its own begin
		was.CPUSeconds, was.GPUSeconds, was.Joules = 0, 0, 0
	}
	r.last.Worker, r.last.CPUSeconds, r.last.GPUSeconds, r.last.Joules, r.last.Energy = u.Worker, u.CPUSeconds, u.GPUSeconds, u.Joules, u.Energy
	for _, c := range []struct {
		of       *prometheus.CounterVec
		was, now float64
	}{{m.cpu, was.CPUSeconds, u.CPUSeconds}, {m.gpu, was.GPUSeconds, u.GPUSeconds}, {m.joules, was.Joules, u.Joules}} {
		if more := c.now - max(c.was, 0); more > 0 {
			c.of.WithLabelValues(r.s.Name).Add(more)
		} else if c.now > 0 && math.IsNaN(c.was) {
			c.of.WithLabelValues(r.s.Name).Add(c.now)
		}
	}
}
