package main

import (
	"andon/scorer/gpu"
	"andon/trainer"
	"andon/trainer/evaluate"
)

// meters tell what trainings take of this machine: the energy of its processors where the kernel lets us read it, and what devices do; nil where there are none.
func meters(devices *gpu.Watcher) trainer.Meters {
	m := trainer.Meters{Processors: evaluate.RAPL("/sys/class/powercap")}
	if devices != nil {
		m.Devices = devices.Spent
	}
	return m
}
