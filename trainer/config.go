package trainer

import (
	"errors"
	"fmt"
	"time"

	"andon/event"
	"andon/model"
	"andon/model/ort"
	"andon/trainer/evaluate"
	"andon/trainer/exec"
	"andon/trainer/fit"
)

// Config is what all pipelines share.
type Config struct {
	// Check is how often the policy looks at each pipeline.
	Check time.Duration `yaml:"check"`
	// Look is how often a campaign asks ClickHouse how its models do on the line.
	Look time.Duration `yaml:"look"`
	// Backoff is the wait after a failed run; each further failure doubles it, up to BackoffLimit.
	Backoff      time.Duration `yaml:"backoff"`
	BackoffLimit time.Duration `yaml:"backoff_limit"`
	// Memory bounds the windows of one run; where there are more, every n-th is taken.
	Memory event.Bytes `yaml:"memory"`
	// Dir is where trainings by a command have their folders; empty: trainings in the data folder.
	Dir string `yaml:"dir"`
	// Workers says who trains.
	Workers Workers `yaml:"workers"`
}

// Default returns the settings of one machine that also serves.
func Default() Config {
	return Config{
		Check:        time.Second,            // two small queries a pipeline without a model; nothing for one that has it
		Look:         5 * time.Second,        // three queries over the pipeline's scores
		Backoff:      time.Minute,            // time for a person to read the reason, or for ClickHouse to come back
		BackoffLimit: time.Hour,              // data that could not be learned from seldom mends itself sooner
		Memory:       event.Bytes(512 << 20), // 150,000 windows of 30 x 29: more teach little and take minutes an epoch
		Workers:      DefaultWorkers(),
	}
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var f faults
	f.check(c.Check >= 10*time.Millisecond, "check", c.Check, "at least 10ms")
	f.check(c.Look >= 10*time.Millisecond, "look", c.Look, "at least 10ms")
	f.check(c.Backoff > 0, "backoff", c.Backoff, "a positive duration")
	f.check(c.BackoffLimit >= c.Backoff, "backoff_limit", c.BackoffLimit, "at least backoff")
	f.check(c.Memory >= 1<<20, "memory", c.Memory, "at least 1MiB")
	f.add(c.Workers.validate())
	return errors.Join(f...)
}

// Spec says what one pipeline's model is, how it is trained and when its data is enough.
type Spec struct {
	Task model.Task `yaml:"task"`
	// Unit is the value's unit, for people; empty takes the task's.
	Unit string `yaml:"unit"`

	// Network is gru or lstm, whose Hidden are units a layer and Layers their number; or, for anomaly, autoencoder, with Hidden units around a code of a quarter of them. command has
	// the program of Command train.
	Network string `yaml:"network"`
	Hidden  int    `yaml:"hidden"`
	Layers  int    `yaml:"layers"`

	// Command says which program trains, for the network command; nil for others.
	Command *exec.Config `yaml:"command"`

	// Warm begins with the champion's parameters, and its scale of the channels, where it is of the same network; else, and where there is none, from scratch.
	Warm bool `yaml:"warm"`
	// Search tries other settings than these.
	Search Search `yaml:"search"`

	// Provider is where it is trained, cpu or cuda; Device is the number of the CUDA device.
	Provider ort.Provider `yaml:"provider"`
	Device   int          `yaml:"device"`

	Epochs       int     `yaml:"epochs"`
	Batch        int     `yaml:"batch"`
	LearningRate float64 `yaml:"learning_rate"`
	Decay        float64 `yaml:"decay"`
	Clip         float64 `yaml:"clip"`
	Dropout      float64 `yaml:"dropout"`
	Average      float64 `yaml:"average"`
	Patience     int     `yaml:"patience"`
	Shards       int     `yaml:"shards"`
	Seed         uint64  `yaml:"seed"`

	// Validation is the share of assets, or of time where there is one asset, that is kept from training to choose the epoch and calibrate the risk.
	Validation float64 `yaml:"validation"`

	// Holdout is the share of assets, chosen for good by their names, that no run learns from: champion and challengers are judged on them. Where there are only one or two assets it is the newest
	// share of time, of what a later run learns from. 0 keeps none, and no challenger can be judged before it serves.
	Holdout float64 `yaml:"holdout"`
	// Recent is how far back recent windows reach, where the reason for a run does not say since when things are different; Replay is the share of weight, and of room, that older ones keep, so
	// that the old is not forgotten over the new. 0 treats all alike. Both are for runs with a champion.
	Recent time.Duration `yaml:"recent"`
	Replay float64       `yaml:"replay"`
	// Exclude are stretches of time that no run learns from.
	Exclude []Excluded `yaml:"exclude"`
	// Scenarios are those in which models are put side by side; none takes the task's own.
	Scenarios []evaluate.Scenario `yaml:"scenarios"`

	// Censored also learns from assets that have not failed, where they surely had more than the cap left. For remaining-life.
	Censored bool `yaml:"censored"`
	// Cap is the remaining life beyond which a network need not tell, in grid steps; Horizon the steps that the risk speaks of. For remaining-life.
	Cap     int `yaml:"cap"`
	Horizon int `yaml:"horizon"`
	// MinAssets is how many assets must have failed before the first training. For remaining-life.
	MinAssets int `yaml:"min_assets"`
	// MinRows is how many rows must be there before the first training, which takes each asset's first MinRows. For anomaly.
	MinRows int `yaml:"min_rows"`
	// Settle is how long no new label must have come before the first training. For remaining-life and tasks of pictures.
	Settle time.Duration `yaml:"settle"`
	// Picture is of the tasks classification and detection; its network is cnn. Keys that are for other networks and tasks are refused where they are not as they would be without being named.
	Picture *PictureSpec `yaml:"picture"`
}

// DefaultSpec returns a task's settings.
func DefaultSpec(task model.Task) Spec {
	s := Spec{
		Task:    task,
		Network: "gru",
		// On C-MAPSS FD001, cross-validated (bench/rul -folds), two layers of 16 and of 32 units are equal within 1 %, one layer is 3 % worse. This
		// size leaves room for fleets of more than one failure, and trains in 10 s on an idle core.
		Hidden: 32,
		Layers: 2,

		Epochs:       8, // twice as many gained nothing
		Batch:        64,
		LearningRate: 0.003, // twice of it is 2 % worse
		Decay:        0.1,
		Clip:         1,    // far above the usual gradient: it stops a bad batch, not the training
		Average:      0.99, // over the last hundred steps, half an epoch
		Patience:     4,
		// Two parts were 1.4 times as fast with two layers of 64 units on two idle cores, no faster below, and slower on busy ones.
		Shards:     1,
		Seed:       1,
		Validation: 0.15,
		// Of the demo's hundred engines fifteen, nearly twice what the gate wants at least.
		Holdout: 0.15,
		Recent:  30 * 24 * time.Hour,
		Replay:  0.5,
	}
	switch task {
	case model.RemainingLife:
		s.Unit = "steps"
		s.Cap = 125      // the custom of the field (Heimes 2008): far from its end an asset shows no wear that could tell more
		s.Horizon = 30   // the last quarter of the cap: time enough to order a part
		s.MinAssets = 20 // fewer leave three for validation
		// Rows and labels come by different topics and are stored within a second or two of each other.
		s.Settle = 5 * time.Second
	case model.Anomaly:
		s.Unit = "sd"
		s.MinRows = 3400 // twelve days at five minutes; NAB's probation period of its machine temperature is 3,404 rows
		// One signal has little to tell: on NAB's machine temperature 32 units learned more of its noise and raised twice as many false alarms.
		s.Hidden, s.Layers = 16, 1
		s.Epochs = 20 // few windows, so few steps an epoch
	case model.Classification, model.Detection:
		s.pictureDefaults()
	}
	return s
}

// UnmarshalYAML reads a section over the defaults of the task that it names.
func (s *Spec) UnmarshalYAML(unmarshal func(any) error) error {
	var keys map[string]any
	if err := unmarshal(&keys); err != nil {
		return err
	}
	task, _ := keys["task"].(string)
	type plain Spec
	*s = DefaultSpec(model.Task(task))
	if keys["command"] != nil {
		c := defaultCommand()
		s.Command = &c
	}
	return unmarshal((*plain)(s))
}

// Validate reports every fault with its key.
func (s *Spec) Validate() error {
	var f faults
	switch s.Task {
	case model.RemainingLife:
		f.check(s.Cap >= 2, "cap", s.Cap, "at least 2 steps")
		f.check(s.Horizon >= 1 && s.Horizon < s.Cap, "horizon", s.Horizon, "at least 1 and less than cap")
		f.check(s.MinAssets >= 2, "min_assets", s.MinAssets, "at least 2: one to learn from, one to check with")
		f.check(s.Settle >= 0, "settle", s.Settle, "0 or more")
	case model.Anomaly:
		f.check(s.MinRows >= 100, "min_rows", s.MinRows, "at least 100")
	case model.Classification, model.Detection:
		s.pictureFaults(&f)
	default:
		f.check(false, "task", string(s.Task), fmt.Sprintf("%s, %s, %s or %s", model.RemainingLife, model.Anomaly, model.Classification, model.Detection))
	}
	f.check(pictured(s.Task) || s.Network == fit.GRU || s.Network == fit.LSTM || s.Network == Command || s.Network == Autoencoder && s.Task == model.Anomaly, "network", s.Network,
		"gru, lstm or command, or for anomaly autoencoder")
	f.check(!pictured(s.Task) || s.Network != Command, "network", s.Network, "for pictures: those are trained here, or pushed")
	f.check((s.Network == Command) == (s.Command != nil), "command", s.Command != nil, "there exactly when network is command: name the program in command.run")
	if s.Command != nil {
		f.add(s.Command.Validate())
		f.check(!s.Warm && s.Search.Trials < 2, "network", s.Network, "for warm or search: those are of networks that are trained here")
	}
	f.add(s.Search.validate())
	if s.Warm && s.Search.Trials > 1 {
		f.check(false, "warm", s.Warm, "for search.trials above 1: networks of other sizes cannot begin with the champion's parameters")
	}
	f.check(s.Picture == nil || pictured(s.Task), "picture", "it", "for models of windows")
	f.check(s.Hidden >= 1 && s.Hidden <= 1024, "hidden", s.Hidden, "between 1 and 1024")
	f.check(s.Layers >= 1 && s.Layers <= 8, "layers", s.Layers, "between 1 and 8")
	f.check(s.Validation > 0 && s.Validation < 1, "validation", s.Validation, "between 0 and 1")
	f.check(s.Holdout >= 0 && s.Holdout <= 0.5, "holdout", s.Holdout, "between 0 and 0.5")
	f.check(s.Recent >= 0, "recent", s.Recent, "0 or more")
	f.check(s.Replay >= 0 && s.Replay < 1, "replay", s.Replay, "0 or more and less than 1")
	for i := range s.Exclude {
		if err := s.Exclude[i].validate(); err != nil {
			f = append(f, fmt.Errorf("exclude[%d].%w", i, err))
		}
	}
	f.add(evaluate.ValidateScenarios(s.Scenarios))
	f.check(s.Provider == "" || s.Provider == ort.CPU || s.Provider == ort.CUDA, "provider", string(s.Provider), "cpu or cuda")
	f.check(s.Device >= 0, "device", s.Device, "0 or more")
	return errors.Join(append(f, s.fit().Validate())...)
}

func (s *Spec) fit() fit.Config {
	return fit.Config{Epochs: s.Epochs, Batch: s.Batch, LearningRate: s.LearningRate, Decay: s.Decay, Clip: s.Clip, Dropout: s.Dropout,
		Average: s.Average, Patience: s.Patience, Shards: s.Shards, Seed: s.Seed, Provider: s.Provider, Device: s.Device}
}

type faults []error

// add takes the faults of a part, which have their keys.
func (f *faults) add(err error) {
	if err != nil {
		*f = append(*f, err)
	}
}

func (f *faults) check(ok bool, key string, value any, want string) {
	if !ok {
		*f = append(*f, fmt.Errorf("%s: %v is not %s", key, value, want))
	}
}
