package scorer

import (
	"errors"
	"fmt"
	"time"

	"andon/event"
	"andon/model/ort"
)

// Config is the section that an operator writes.
type Config struct {
	// MaxBatch is the largest number of windows in one run.
	MaxBatch int `yaml:"max_batch"`
	// MaxPictures is the largest number of pictures in one run.
	MaxPictures int `yaml:"max_pictures"`
	// MaxDelay is how long a run that is not full waits for windows of other calls while such calls are in progress.
	MaxDelay time.Duration `yaml:"max_delay"`
	// Workers is the number of runs at a time, over all models; 0 is one a core.
	Workers int `yaml:"workers"`
	// Queue is the number of calls inside the scorer; further ones wait at the door.
	Queue int `yaml:"queue"`
	// Deadline is the longest that a request to the inference server waits for its first run before it is refused. Windows of the line wait as long as it takes.
	Deadline time.Duration `yaml:"deadline"`
	// ShadowQueue is the number of calls of shadows that may wait; further ones are shed.
	ShadowQueue int `yaml:"shadow_queue"`
	// Threads is the number of threads inside one run.
	Threads int `yaml:"threads"`
	// Provider is cpu or cuda; Device and DeviceMemory are for cuda, DeviceMemory 0 sets no bound.
	Provider     ort.Provider `yaml:"provider"`
	Device       int          `yaml:"device"`
	DeviceMemory event.Bytes  `yaml:"device_memory"`
	// DevicesEvery is how often NVIDIA devices are looked at, where there are any; 0 never.
	DevicesEvery time.Duration `yaml:"devices_every"`
	// Grace is how long a retired model stays loaded for calls that still name it.
	Grace time.Duration `yaml:"grace"`
}

// Default returns the configuration that suits a few shared cores.
func Default() Config {
	return Config{
		// For GRU models of 64 cells a window costs the same CPU in any run of 8 to 64, 0.55 of what it costs alone, and more again beyond 128.
		MaxBatch: 32,
		// On a CPU a convolution costs the same in any run; a device is busy with this many. 640x640 pixels take 5 MB each, in every run at a time.
		MaxPictures: 8,
		// Only a run that has less than its even share of the windows inside waits, and only for runs in progress, which end in about this time; a lone call never
		// waits.
		MaxDelay: time.Millisecond,
		Workers:  0,
		// A call waits for its answer, so this many is more than partitions and requests together; it bounds memory, not speed.
		Queue: 1024,
		// Who has waited for a second has mostly gone, and what waits for longer only makes the next wait, too.
		Deadline: time.Second,
		// Two of each of 32 partitions; what waits is the line's memory, which has its own bound.
		ShadowQueue: 64,
		// One thread a run and one run a core scores more a second than one run on all cores.
		Threads:  1,
		Provider: ort.CPU,
		// A reading takes the driver some milliseconds a device; the page draws minutes.
		DevicesEvery: 5 * time.Second,
		// Longer than any call takes between reading which model is live and scoring with it.
		Grace: 30 * time.Second,
	}
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	fault(c.MaxBatch < 1 || c.MaxBatch > 65536, "max_batch: %d is not between 1 and 65536 windows", c.MaxBatch)
	fault(c.MaxPictures < 1 || c.MaxPictures > 1024, "max_pictures: %d is not between 1 and 1024 pictures", c.MaxPictures)
	fault(c.MaxDelay < 0 || c.MaxDelay > time.Second, "max_delay: %v is not between 0 and 1s", c.MaxDelay)
	fault(c.Workers < 0, "workers: %d is negative; 0 is one a core", c.Workers)
	fault(c.Queue < 1, "queue: %d is not a positive number of calls", c.Queue)
	fault(c.Deadline <= 0, "deadline: %v is not a positive duration", c.Deadline)
	fault(c.ShadowQueue < 1, "shadow_queue: %d is not a positive number of calls", c.ShadowQueue)
	fault(c.Threads < 1, "threads: %d is not a positive number", c.Threads)
	fault(c.Provider != ort.CPU && c.Provider != ort.CUDA, "provider: %q is not cpu or cuda", string(c.Provider))
	fault(c.Device < 0, "device: %d is negative", c.Device)
	fault(c.DeviceMemory < 0, "device_memory: %v is negative", int64(c.DeviceMemory))
	fault(c.DevicesEvery < 0 || c.DevicesEvery > 0 && c.DevicesEvery < 100*time.Millisecond, "devices_every: %v is neither 0 nor at least 100ms", c.DevicesEvery)
	fault(c.Grace < 0, "grace: %v is negative", c.Grace)
	return errors.Join(errs...)
}
