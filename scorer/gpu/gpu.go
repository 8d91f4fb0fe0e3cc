// Package gpu watches NVIDIA devices through NVML (https://docs.nvidia.com/deploy/nvml-api): how busy they are, what they draw, and whether they are held back.
//
// Metrics, none on a machine without a driver: andon_gpu_info{device,name,uuid,driver}, andon_gpu_utilization_ratio{device}, andon_gpu_memory_used_bytes{device},
// andon_gpu_memory_total_bytes{device}, andon_gpu_power_watts{device}, andon_gpu_temperature_celsius{device}, andon_gpu_throttled{device,reason},
// andon_gpu_energy_joules_total{device}, andon_gpu_energy_per_1000_scores_joules.
package gpu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/prometheus/client_golang/prometheus"
)

// Device is one device as it was last seen. A number that the device does not tell is -1.
type Device struct {
	Index int    `json:"index"`
	Name  string `json:"name"`
	UUID  string `json:"uuid"`
	// Utilization is the share of the last moment, 0 to 1, in which a kernel ran.
	Utilization float64 `json:"utilization"`
	MemoryUsed  float64 `json:"memory_used"` // bytes
	MemoryTotal float64 `json:"memory_total"`
	Power       float64 `json:"power"`       // watts
	Temperature float64 `json:"temperature"` // degrees Celsius
	// Energy is what it has drawn since the driver was loaded, joules.
	Energy float64 `json:"energy"`
	// Throttled names why its clocks are held back, empty when they are not.
	Throttled []string `json:"throttled"`
	// Fault says why the device tells nothing any more.
	Fault string `json:"fault,omitempty"`
}

// reasons are the bits of NVML's clocks event reasons that mean that work is slower than it could be. An idle device and clocks set by a person are no faults.
var reasons = []struct {
	bit  uint64
	name string
}{
	{nvml.ClocksEventReasonSwPowerCap, "power_cap"},
	{nvml.ClocksThrottleReasonHwSlowdown, "hardware"},
	{nvml.ClocksEventReasonSyncBoost, "sync_boost"},
	{nvml.ClocksEventReasonSwThermalSlowdown, "thermal"},
	{nvml.ClocksThrottleReasonHwThermalSlowdown, "hardware_thermal"},
	{nvml.ClocksThrottleReasonHwPowerBrakeSlowdown, "power_brake"},
}

// Watcher reads the devices at a pace.
type Watcher struct {
	lib nvml.Interface
	log *slog.Logger
	// scores returns how many scores were given since the start.
	scores  func() float64
	every   time.Duration
	metrics *metrics
	driver  string
	told    map[string]bool // what was logged once

	mu      sync.Mutex
	devices []Device

	// lastEnergy and lastScores are those of the reading before.
	lastEnergy, lastScores float64
	begun                  bool
	// busy is how long kernels ran on the devices together, as far as readings tell, and readAt when they were last read; mu guards busy.
	busy   float64
	readAt time.Time
}

// Spent returns for how many seconds kernels have run on the devices since Open, all together and as far as the readings tell, and what the devices have drawn since the driver was loaded, in joules, NaN
// where one does not tell; false where none tells anything. Safe for concurrent use.
func (w *Watcher) Spent() (seconds, joules float64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.devices {
		ok = ok || d.Fault == "" && d.Utilization >= 0
		if d.Energy < 0 {
			joules = math.NaN()
		}
		joules += d.Energy
	}
	return w.busy, joules, ok
}

// ErrNone means that this machine has no NVIDIA driver, or no device.
var ErrNone = errors.New("no NVIDIA device here")

// Library is NVML as the driver installed it. It is loaded by Open and not before.
func Library() nvml.Interface { return nvml.New() }

// Open loads NVML and finds the devices. scores tells how many scores were given since the start, for the energy that they take. An error that is ErrNone is no fault: there
// is nothing to watch, and no metric is registered. Close the Watcher.
func Open(lib nvml.Interface, scores func() float64, every time.Duration, log *slog.Logger, reg prometheus.Registerer) (*Watcher, error) {
	switch ret := lib.Init(); ret {
	case nvml.SUCCESS:
	case nvml.ERROR_LIBRARY_NOT_FOUND, nvml.ERROR_DRIVER_NOT_LOADED:
		return nil, fmt.Errorf("%w: %s", ErrNone, words(ret))
	default:
		return nil, fmt.Errorf("start NVML: %s", words(ret))
	}
	w := &Watcher{lib: lib, log: log, scores: scores, every: every, told: map[string]bool{}}
	n, ret := lib.DeviceGetCount()
	if ret != nvml.SUCCESS || n == 0 {
		w.Close()
		if ret == nvml.SUCCESS {
			return nil, fmt.Errorf("%w: the driver knows of none", ErrNone)
		}
		return nil, fmt.Errorf("count the NVIDIA devices: %s", words(ret))
	}
	if w.driver, ret = lib.SystemGetDriverVersion(); ret != nvml.SUCCESS {
		w.driver = "unknown"
	}
	w.metrics = newMetrics(reg)
	w.read(n)
	for _, d := range w.Devices() {
		log.Info("NVIDIA device found", "device", d.Index, "name", d.Name, "memory", d.MemoryTotal, "driver", w.driver)
	}
	return w, nil
}

// words says what NVML's code means without asking the library, which may not be there.
func words(ret nvml.Return) string {
	switch ret {
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		return "the driver's library libnvidia-ml.so.1 is not installed"
	case nvml.ERROR_DRIVER_NOT_LOADED:
		return "the NVIDIA driver is not loaded"
	case nvml.ERROR_NO_PERMISSION:
		return "no permission to talk to the NVIDIA driver: add the user to the group that owns /dev/nvidia*"
	case nvml.ERROR_LIB_RM_VERSION_MISMATCH:
		return "the driver and its library have different versions: restart the machine after the driver's update"
	case nvml.ERROR_GPU_IS_LOST:
		return "the device has fallen off the bus or is lost: reset it"
	case nvml.ERROR_NOT_SUPPORTED:
		return "the device does not tell"
	}
	return fmt.Sprintf("NVML error %d", ret)
}

// Run reads the devices until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			n, ret := w.lib.DeviceGetCount()
			if ret != nvml.SUCCESS {
				w.once("count", "the NVIDIA devices cannot be counted", ret)
				continue
			}
			w.read(n)
		}
	}
}

// Devices returns the devices as they were last seen; the slice is the caller's.
func (w *Watcher) Devices() []Device {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Device(nil), w.devices...)
}

// Close lets go of NVML. Run must have ended.
func (w *Watcher) Close() error {
	if ret := w.lib.Shutdown(); ret != nvml.SUCCESS {
		return fmt.Errorf("stop NVML: %s", words(ret))
	}
	return nil
}

// read looks at n devices and tells the metrics.
func (w *Watcher) read(n int) {
	devices := make([]Device, 0, n)
	energy, known := 0.0, false
	for i := range n {
		d := w.look(i)
		if d.Energy >= 0 && d.Fault == "" {
			energy, known = energy+d.Energy, true
		}
		w.metrics.set(&d, w.driver)
		devices = append(devices, d)
	}
	if known {
		w.cost(energy)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for i := range devices {
		if !w.readAt.IsZero() && devices[i].Utilization > 0 {
			w.busy += devices[i].Utilization * now.Sub(w.readAt).Seconds()
		}
	}
	w.readAt = now
	for _, old := range w.devices[min(n, len(w.devices)):] {
		w.metrics.forget(&old)
	}
	w.devices = devices
}

// cost tells what 1,000 scores took of the devices' energy since there was last something to tell: all of it, whoever used the devices.
func (w *Watcher) cost(energy float64) {
	scores := w.scores()
	if w.begun && energy < w.lastEnergy { // the driver was loaded anew
		w.begun = false
	}
	if !w.begun {
		w.begun, w.lastEnergy, w.lastScores = true, energy, scores
		return
	}
	if n := scores - w.lastScores; n > 0 {
		w.metrics.perScores.Set((energy - w.lastEnergy) / n * 1000)
		w.lastEnergy, w.lastScores = energy, scores
	} else {
		w.lastEnergy = energy // idle: no score is to blame
	}
}

// look reads one device.
func (w *Watcher) look(index int) Device {
	d := Device{Index: index, Utilization: -1, MemoryUsed: -1, MemoryTotal: -1, Power: -1, Temperature: -1, Energy: -1, Throttled: []string{}}
	h, ret := w.lib.DeviceGetHandleByIndex(index)
	if ret != nvml.SUCCESS {
		d.Fault = words(ret)
		w.once(fmt.Sprintf("%d handle", index), "an NVIDIA device cannot be reached", ret, "device", index)
		return d
	}
	ask := func(what string, f func() nvml.Return) {
		ret := f()
		switch ret {
		case nvml.SUCCESS:
		case nvml.ERROR_GPU_IS_LOST, nvml.ERROR_UNKNOWN, nvml.ERROR_RESET_REQUIRED:
			d.Fault = words(ret)
			fallthrough
		default:
			w.once(fmt.Sprintf("%d %s", index, what), "an NVIDIA device does not tell all", ret, "device", index, "what", what)
		}
	}
	ask("name", func() (ret nvml.Return) { d.Name, ret = h.GetName(); return })
	ask("uuid", func() (ret nvml.Return) { d.UUID, ret = h.GetUUID(); return })
	ask("utilization", func() nvml.Return {
		u, ret := h.GetUtilizationRates()
		if ret == nvml.SUCCESS {
			d.Utilization = float64(u.Gpu) / 100
		}
		return ret
	})
	ask("memory", func() nvml.Return {
		m, ret := h.GetMemoryInfo()
		if ret == nvml.SUCCESS {
			d.MemoryUsed, d.MemoryTotal = float64(m.Used), float64(m.Total)
		}
		return ret
	})
	number := func(what string, scale float64, to *float64, f func() (float64, nvml.Return)) {
		ask(what, func() nvml.Return {
			v, ret := f()
			if ret == nvml.SUCCESS {
				*to = v * scale
			}
			return ret
		})
	}
	number("power", 1e-3, &d.Power, func() (float64, nvml.Return) { v, ret := h.GetPowerUsage(); return float64(v), ret })
	number("temperature", 1, &d.Temperature, func() (float64, nvml.Return) {
		v, ret := h.GetTemperature(nvml.TEMPERATURE_GPU)
		return float64(v), ret
	})
	number("energy", 1e-3, &d.Energy, func() (float64, nvml.Return) { v, ret := h.GetTotalEnergyConsumption(); return float64(v), ret })
	ask("throttling", func() nvml.Return {
		bits, ret := h.GetCurrentClocksEventReasons()
		for _, r := range reasons {
			if ret == nvml.SUCCESS && bits&r.bit != 0 {
				d.Throttled = append(d.Throttled, r.name)
			}
		}
		return ret
	})
	return d
}

// once logs a fault the first time.
func (w *Watcher) once(key, text string, ret nvml.Return, facts ...any) {
	if !w.told[key] {
		w.told[key] = true
		w.log.Warn(text, append(facts, "why", strings.TrimSpace(words(ret)))...)
	}
}
