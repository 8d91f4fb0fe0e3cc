package fit

import (
	"errors"
	"fmt"

	"andon/model/ort"
)

// Config says how a network is trained. The same Config, Network, sets and machine give the same parameters to the bit.
type Config struct {
	// Epochs is how often every row (a window, a crop) is seen at most; Batch how many rows make one step.
	Epochs int
	Batch  int
	// LearningRate is the highest; it rises over the first twentieth of the steps and falls along half a cosine to a hundredth.
	LearningRate float64
	// Decay is Adam's weight decay, Clip the longest gradient that is taken whole; 0 switches either off.
	Decay, Clip float64
	// Dropout is the share of each recurrent layer's outputs that a step leaves out, the same units at every slot; of a classifier, of the averaged features.
	Dropout float64
	// Average is the weight of the past in the running average of the parameters over steps, which is what is evaluated and kept; 0 keeps the
	// parameters themselves.
	Average float64
	// Patience is how many epochs without a better validation loss end the training.
	Patience int
	// Shards is into how many parts a batch is cut whose gradients are computed at the same time. They are added in a fixed order, so the result
	// depends on the number, not on the timing.
	Shards int
	Seed   uint64
	// Start holds the parameters to begin with, as Start of a network reads them from a model; nil draws them.
	Start []float32
	// Provider is where the steps run, the CPU if it is empty; Device and DeviceMemory (bytes, 0 for no bound) are for CUDA. Where CUDA does not work the CPU is used,
	// and Trained.Fallback says why.
	Provider     ort.Provider
	Device       int
	DeviceMemory int64
}

// options are those of every session of a training.
func (c *Config) options(inputs ...string) ort.Options {
	return ort.Options{Inputs: inputs, Provider: c.Provider, Device: c.Device, DeviceMemory: c.DeviceMemory}
}

// Validate reports every fault.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, key string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %v is not %s", key, value, want))
		}
	}
	check(c.Epochs >= 1, "epochs", c.Epochs, "at least 1")
	check(c.Batch >= 1, "batch", c.Batch, "at least 1")
	check(c.LearningRate > 0 && c.LearningRate < 1, "learning_rate", c.LearningRate, "between 0 and 1")
	check(c.Decay >= 0, "decay", c.Decay, "0 or more")
	check(c.Clip >= 0, "clip", c.Clip, "0 or more")
	check(c.Dropout >= 0 && c.Dropout < 1, "dropout", c.Dropout, "0 or more and less than 1")
	check(c.Average >= 0 && c.Average < 1, "average", c.Average, "0 or more and less than 1")
	check(c.Patience >= 1, "patience", c.Patience, "at least 1")
	check(c.Shards >= 1 && c.Shards <= c.Batch, "shards", c.Shards, "between 1 and the batch")
	return errors.Join(errs...)
}
