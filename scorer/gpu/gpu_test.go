package gpu

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxa100"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// machine is NVML's own mock of a server, with two devices that tell what the mock leaves out.
type machine struct {
	*dgxa100.Server
	devices []*dgxa100.Device
	// energy is in mJ, reasons as NVML's bits, for the first device.
	energy, reasons uint64
	lost            bool
}

func newMachine() *machine {
	m := &machine{Server: dgxa100.New(), energy: 5_000_000}
	for i := range 2 {
		d := m.Devices[i].(*dgxa100.Device)
		d.MemoryInfo = nvml.Memory{Total: 40 << 30, Used: 10 << 30, Free: 30 << 30}
		d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 75, Memory: 20}, nvml.SUCCESS }
		d.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 61, nvml.SUCCESS }
		d.GetCurrentClocksEventReasonsFunc = func() (uint64, nvml.Return) {
			if i == 0 {
				return m.reasons, nvml.SUCCESS
			}
			return nvml.ClocksEventReasonGpuIdle, nvml.SUCCESS
		}
		d.GetPowerUsageFunc = func() (uint32, nvml.Return) { return 250_500, nvml.SUCCESS }
		d.GetTotalEnergyConsumptionFunc = func() (uint64, nvml.Return) {
			if i == 0 {
				return m.energy, nvml.SUCCESS
			}
			return 0, nvml.ERROR_NOT_SUPPORTED // as cards before Volta
		}
		m.devices = append(m.devices, d)
	}
	m.DeviceGetCountFunc = func() (int, nvml.Return) { return 2, nvml.SUCCESS }
	of := m.DeviceGetHandleByIndexFunc
	m.DeviceGetHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) {
		if i == 1 && m.lost {
			return nil, nvml.ERROR_GPU_IS_LOST
		}
		return of(i)
	}
	return m
}

func open(t *testing.T, lib nvml.Interface, scores func() float64) (*Watcher, *prometheus.Registry, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	reg := prometheus.NewRegistry()
	w, err := Open(lib, scores, time.Hour, slog.New(slog.NewTextHandler(&out, nil)), reg)
	if err != nil {
		t.Fatal(err)
	}
	return w, reg, &out
}

func expect(t *testing.T, reg *prometheus.Registry, want string, names ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

func TestDevices(t *testing.T) {
	m := newMachine()
	m.reasons = nvml.ClocksEventReasonSwPowerCap | nvml.ClocksThrottleReasonHwThermalSlowdown | nvml.ClocksEventReasonGpuIdle
	scores := 1000.0
	w, reg, out := open(t, m, func() float64 { return scores })
	d := w.Devices()
	if len(d) != 2 || d[0].Utilization != .75 || d[0].MemoryUsed != 10<<30 || d[0].Power != 250.5 || d[0].Temperature != 61 || d[0].Energy != 5000 ||
		strings.Join(d[0].Throttled, " ") != "power_cap hardware_thermal" || len(d[1].Throttled) != 0 || d[1].Energy != -1 || d[1].Fault != "" {
		t.Fatalf("%+v", d)
	}
	expect(t, reg, `
# HELP andon_gpu_energy_joules_total Energy that the device has drawn since the driver was loaded.
# TYPE andon_gpu_energy_joules_total gauge
andon_gpu_energy_joules_total{device="0"} 5000
# HELP andon_gpu_power_watts Power that the device draws.
# TYPE andon_gpu_power_watts gauge
andon_gpu_power_watts{device="0"} 250.5
andon_gpu_power_watts{device="1"} 250.5
`, "andon_gpu_energy_joules_total", "andon_gpu_power_watts")

	// 3,000 scores on 600 J, then a pause that draws 900 J, which no score is to blame for.
	energyOf := func(want string) {
		t.Helper()
		w.read(2)
		expect(t, reg, "# HELP andon_gpu_energy_per_1000_scores_joules Energy that all devices drew for 1,000 scores, since the reading before, whoever else used the devices.\n"+
			"# TYPE andon_gpu_energy_per_1000_scores_joules gauge\nandon_gpu_energy_per_1000_scores_joules "+want+"\n", "andon_gpu_energy_per_1000_scores_joules")
	}
	scores, m.energy = scores+3000, m.energy+600_000
	energyOf("200")
	m.energy += 900_000
	energyOf("200")
	scores, m.energy = scores+1000, m.energy+50_000
	energyOf("50")
	m.energy = 10 // the driver was loaded anew
	energyOf("50")

	// The devices were busy for as long as a kernel ran on them; of the second's energy nothing is known.
	busy, joules, ok := w.Spent()
	w.readAt = w.readAt.Add(-time.Minute)
	w.read(2)
	if more, _, _ := w.Spent(); !ok || !math.IsNaN(joules) || more-busy < 2*0.75*60 {
		t.Errorf("%v seconds, then %v; %v J, %v", busy, more, joules, ok)
	}
	// What a device does not tell is said once and is no series.
	if n := strings.Count(out.String(), "does not tell all"); n != 1 || !strings.Contains(out.String(), "what=energy") {
		t.Errorf("%d warnings:\n%s", n, out)
	}
	// A lost device ends its series and names the fault; the other goes on.
	m.lost = true
	w.read(2)
	w.read(2)
	if d := w.Devices(); !strings.Contains(d[1].Fault, "lost") || d[0].Fault != "" {
		t.Errorf("%+v", d)
	}
	if n := strings.Count(out.String(), "cannot be reached"); n != 1 {
		t.Errorf("told %d times:\n%s", n, out)
	}
	expect(t, reg, `
# HELP andon_gpu_power_watts Power that the device draws.
# TYPE andon_gpu_power_watts gauge
andon_gpu_power_watts{device="0"} 250.5
`, "andon_gpu_power_watts")
	// One that left is forgotten.
	w.read(0)
	if n, err := testutil.GatherAndCount(reg, "andon_gpu_power_watts", "andon_gpu_info", "andon_gpu_throttled"); err != nil || n != 0 {
		t.Errorf("%d series, %v", n, err)
	}
}

func TestRun(t *testing.T) {
	m := newMachine()
	w, _, _ := open(t, m, func() float64 { return 0 })
	w.every = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	deadline := time.Now().Add(5 * time.Second)
	reads := func() int { return len(m.devices[0].GetPowerUsageCalls()) } // the mock's own count
	for time.Now().Before(deadline) && reads() < 4 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil || reads() < 4 {
		t.Errorf("%d readings, %v", reads(), err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// Without a driver there is nothing to watch and no metric; other faults are errors that say what to do.
func TestNoDriver(t *testing.T) {
	fails := func(init nvml.Return, none bool, part string) {
		t.Helper()
		m := newMachine()
		m.InitFunc = func() nvml.Return { return init }
		reg := prometheus.NewRegistry()
		_, err := Open(m, func() float64 { return 0 }, time.Second, slog.New(slog.DiscardHandler), reg)
		if errors.Is(err, ErrNone) != none || err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%d: %v", init, err)
		}
		if families, err := reg.Gather(); len(families) != 0 || err != nil {
			t.Errorf("%d metrics, %v", len(families), err)
		}
	}
	fails(nvml.ERROR_LIBRARY_NOT_FOUND, true, "libnvidia-ml.so.1 is not installed")
	fails(nvml.ERROR_DRIVER_NOT_LOADED, true, "not loaded")
	fails(nvml.ERROR_NO_PERMISSION, false, "/dev/nvidia*")
	fails(nvml.ERROR_LIB_RM_VERSION_MISMATCH, false, "restart the machine")
	fails(nvml.ERROR_UNKNOWN, false, "NVML error 999")

	m := newMachine()
	m.DeviceGetCountFunc = func() (int, nvml.Return) { return 0, nvml.SUCCESS }
	if _, err := Open(m, func() float64 { return 0 }, time.Second, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
}

// The real library, whatever this machine has.
func TestLibrary(t *testing.T) {
	w, err := Open(Library(), func() float64 { return 0 }, time.Second, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if errors.Is(err, ErrNone) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, d := range w.Devices() {
		if d.Name == "" || d.MemoryTotal <= 0 || d.Fault != "" {
			t.Errorf("%+v", d)
		}
	}
}
