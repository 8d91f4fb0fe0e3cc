package gpu

import (
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	info, utilization, used, total, power, temperature, throttled, energy *prometheus.GaugeVec
	perScores                                                             prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	device := []string{"device"}
	vec := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, append(slices.Clone(device), labels...))
		reg.MustRegister(v)
		return v
	}
	m := &metrics{
		info:        vec("andon_gpu_info", "1 for each device.", "name", "uuid", "driver"),
		utilization: vec("andon_gpu_utilization_ratio", "Share of the last moment in which a kernel ran."),
		used:        vec("andon_gpu_memory_used_bytes", "Memory in use on the device, by whomever."),
		total:       vec("andon_gpu_memory_total_bytes", "Memory of the device."),
		power:       vec("andon_gpu_power_watts", "Power that the device draws."),
		temperature: vec("andon_gpu_temperature_celsius", "Temperature of the device."),
		throttled:   vec("andon_gpu_throttled", "1 while the clocks are held back for the reason.", "reason"),
		// A gauge by type, since it is set and not added to; it only grows while the driver stays loaded.
		energy: vec("andon_gpu_energy_joules_total", "Energy that the device has drawn since the driver was loaded."),
		perScores: prometheus.NewGauge(prometheus.GaugeOpts{Name: "andon_gpu_energy_per_1000_scores_joules",
			Help: "Energy that all devices drew for 1,000 scores, since the reading before, whoever else used the devices."}),
	}
	reg.MustRegister(m.perScores)
	return m
}

// set tells one reading of a device. What it did not tell is no series; a device with a fault has none.
func (m *metrics) set(d *Device, driver string) {
	id := strconv.Itoa(d.Index)
	if d.Fault != "" {
		m.forget(d)
		return
	}
	m.info.WithLabelValues(id, d.Name, d.UUID, driver).Set(1)
	for vec, v := range map[*prometheus.GaugeVec]float64{m.utilization: d.Utilization, m.used: d.MemoryUsed, m.total: d.MemoryTotal, m.power: d.Power,
		m.temperature: d.Temperature, m.energy: d.Energy} {
		if v >= 0 {
			vec.WithLabelValues(id).Set(v)
		} else {
			vec.DeleteLabelValues(id)
		}
	}
	for _, r := range reasons {
		on := 0.0
		if slices.Contains(d.Throttled, r.name) {
			on = 1
		}
		m.throttled.WithLabelValues(id, r.name).Set(on)
	}
}

// forget ends a device's series.
func (m *metrics) forget(d *Device) {
	for _, vec := range []*prometheus.GaugeVec{m.info, m.utilization, m.used, m.total, m.power, m.temperature, m.throttled, m.energy} {
		vec.DeletePartialMatch(prometheus.Labels{"device": strconv.Itoa(d.Index)})
	}
}
