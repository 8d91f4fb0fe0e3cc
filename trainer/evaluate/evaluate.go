// Package evaluate puts models side by side: how right each is in every scenario, and what each costs. A scenario is a part of the data (a group of assets, an operating point, a week, a class, the
// golden set), or all of it as a fault would show it to the models (noise, lost rows, a stuck sensor, another unit, a wrong clock; for frames darkness, blur, occlusion, exposure).
//
// All models are judged on the same windows, which the line's own code makes of stored rows. Same data, scenarios and seed give the same losses to the bit on one machine; what things cost is
// measured and differs a little each time. A loss is between 0, right, and 1, as wrong as can be: |min(value, cap) - truth|/cap of a remaining life, (risk - truth)² of a probability (Brier 1950),
// 0 or 1 of a class, 1 - F1 of a frame's boxes.
package evaluate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"andon/event"
	"andon/model"
	"andon/trainer/gate"
)

// Config says what is looked at and how closely.
type Config struct {
	// Scenarios beside "all"; none takes DefaultScenarios of the data.
	Scenarios []Scenario
	// Level is that of the intervals, Draws how often the bootstrap draws for them, Seed starts its lots and those of the perturbations.
	Level float64
	Draws int
	Seed  uint64
	// Windows bounds the windows of one pass over the data: where there are more, every n-th of each asset is taken. Frames bounds frames likewise.
	Windows, Frames int
	// Timed is how many runs of one window the latencies are of.
	Timed int
	// Energy returns joules drawn so far by what the models run on; nil, or false, where nothing tells.
	Energy func() (joules float64, ok bool)
}

// Default returns the settings of one machine that also serves.
func Default() Config {
	return Config{
		Level:   0.95,
		Draws:   1000, // the interval's ends are then known to a few hundredths of its width
		Seed:    1,
		Windows: 6000, // a fifth of a second a pass of the default network
		Frames:  400,
		Timed:   300, // three runs above the 99th percentile
	}
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, key string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %v is not %s", key, value, want))
		}
	}
	check(c.Level > 0.5 && c.Level < 1, "level", c.Level, "between 0.5 and 1")
	check(c.Draws >= 100, "draws", c.Draws, "at least 100")
	check(c.Windows >= 10, "windows", c.Windows, "at least 10")
	check(c.Frames >= 1, "frames", c.Frames, "at least 1")
	check(c.Timed >= 10, "timed", c.Timed, "at least 10")
	return errors.Join(append(errs, ValidateScenarios(c.Scenarios))...)
}

// Featurize makes the windows of one asset's rows as serving does; it is trainer.Featurize. The window is the callee's only until emit returns.
type Featurize = func(recipe *model.Recipe, rows []event.Row, emit func(end int64, window []float32)) error

// Data is what models are judged on: rows with their truth, or frames with theirs. Nothing of it may have been trained on.
type Data struct {
	Pipeline string
	Task     model.Task
	// Unit is the value's, for people; Cap and Horizon are the task's, in grid steps, of remaining-life.
	Unit         string
	Cap, Horizon int
	Lives        []Life
	Featurize    Featurize
	// Pictures are of models of frames, Block is how long a camera's time must go on at least before what it shows counts as something else, Read tells what a model's outputs say of the i-th; see boxes.Read. Read may be nil for classifications.
	Pictures []Picture
	Block    time.Duration
	Read     func(p *model.Picture, outs []model.Tensor, i int) (boxes []event.Box, label string, risk float32, err error)
	// Upkeep is what is known of versions in service.
	Upkeep map[string]Upkeep
	// Digest names the rows and their truth.
	Digest string
}

// Life is an asset's rows from its begin, in order of time, Values in the order of the recipe's signals.
type Life struct {
	Asset string
	Rows  []event.Row
	// From is where judging begins, Unix nanoseconds: rows before it only lead up to it.
	From int64
	// Failed is the slot of the grid in which it failed; Alive where that is not known: then a remaining life counts only where it is surely above the cap.
	Failed int64
	// Only takes its golden stretches alone: the rest of it was learned from.
	Only bool
	// Events are when something was wrong with it, Golden what every model is examined on.
	Events, Golden []Interval
}

// Alive is the slot of failure of an asset that has not failed.
const Alive = math.MaxInt64

// Interval is a stretch of event time, [From, Until), Unix nanoseconds.
type Interval struct {
	From, Until int64
	// Kind says what it was; empty for a golden one.
	Kind string
}

// Upkeep is what a model costs people and machines while it serves, both a week; NaN where it is not known.
type Upkeep struct{ Retrainings, Alarms Number }

// Table is models × scenarios, and models × costs.
type Table struct {
	// ID names it; Who asked for it, and Why.
	ID       string     `json:"id"`
	Who      string     `json:"who,omitempty"`
	Why      string     `json:"why,omitempty"`
	Pipeline string     `json:"pipeline"`
	Task     model.Task `json:"task"`
	// Time is the wall clock's, Unix nanoseconds. Digest names the data.
	Time   int64  `json:"time"`
	Digest string `json:"digest"`
	// Metric says what Value of a cell is: "rmse", "brier", "error" (of classes) or "1-f1" (of boxes), all the smaller the better; Unit is its unit.
	Metric string `json:"metric"`
	Unit   string `json:"unit,omitempty"`
	// Level is that of the intervals.
	Level     float64 `json:"level"`
	Scenarios []Shown `json:"scenarios"`
	Versions  []Cost  `json:"versions"`
	// Cells hold one for each scenario and version, scenario by scenario, versions in the order of Versions.
	Cells []Cell `json:"cells"`
	// Golden are the golden cases one by one; a table that came out of a store has none.
	Golden []Case `json:"golden,omitempty"`
}

// Shown is a scenario as it came out.
type Shown struct {
	Name string `json:"name"`
	// Judged scenarios are asked about by the gate; others only tell.
	Judged bool   `json:"judged"`
	Detail string `json:"detail,omitempty"`
	// Windows (or frames) and Assets (or cameras) are how many it has.
	Windows int `json:"windows"`
	Assets  int `json:"assets"`
}

// Cell is how one version did in one scenario; its numbers are NaN where the scenario has nothing.
type Cell struct {
	Scenario string `json:"scenario"`
	Version  string `json:"version"`
	// Value is the table's metric, with its interval.
	Value Number `json:"value"`
	Low   Number `json:"low"`
	High  Number `json:"high"`
	// Loss is the mean loss.
	Loss Number `json:"loss"`

	blocks []block
	// losses are of each window, which is of the block that in names; only of classes.
	losses []float32
	in     []int
}

// block sums up the windows of one asset, or of a stretch of time where there are few assets.
type block struct {
	n            int
	loss, square float64
}

// Cell returns one cell; nil where there is none.
func (t *Table) Cell(scenario, version string) *Cell {
	for i := range t.Cells {
		if c := &t.Cells[i]; c.Scenario == scenario && c.Version == version {
			return c
		}
	}
	return nil
}

// All is the scenario of the whole data.
const All = "all"

// Slices returns what the gate judges by: the paired losses of two versions over all, and in every judged scenario that has windows. A table that came out of a store has none.
func (t *Table) Slices(champion, challenger string) (overall gate.Slice, slices []gate.Slice) {
	overall = t.slice(All, champion, challenger)
	for _, s := range t.Scenarios {
		if s.Judged && s.Name != All && s.Windows > 0 {
			slices = append(slices, t.slice(s.Name, champion, challenger))
		}
	}
	return overall, slices
}

func (t *Table) slice(name, champion, challenger string) gate.Slice {
	s := gate.Slice{Name: name}
	a, b := t.Cell(name, champion), t.Cell(name, challenger)
	if a == nil || b == nil {
		return s
	}
	for i := range a.blocks {
		if i < len(b.blocks) && a.blocks[i].n > 0 {
			s.Blocks = append(s.Blocks, gate.Block{N: a.blocks[i].n, Champion: a.blocks[i].loss, Challenger: b.blocks[i].loss})
		}
	}
	if s.Classes = t.Task == model.Classification && len(a.losses) > 0 && len(a.losses) == len(b.losses); s.Classes {
		pairs(a, b, s.Blocks)
	}
	return s
}

// Run judges the contenders in every scenario. ONNX Runtime must be open. A contender that cannot be run on the data is an error that names it.
func Run(ctx context.Context, c Config, contenders []*model.Model, data Data) (Table, error) {
	t := Table{ID: rand.Text()[:12], Pipeline: data.Pipeline, Task: data.Task, Time: time.Now().UnixNano(), Digest: data.Digest, Level: c.Level}
	if err := c.Validate(); err != nil {
		return t, fmt.Errorf("evaluate models of %s: %w", data.Pipeline, err)
	}
	if len(contenders) == 0 {
		return t, fmt.Errorf("evaluate models of %s: there is no model", data.Pipeline)
	}
	for i, m := range contenders {
		if (m.Picture != nil) != (contenders[0].Picture != nil) {
			return t, fmt.Errorf("evaluate models of %s: %s and %s do not take the same: one reads windows, the other pictures", data.Pipeline, contenders[0].Version, m.Version)
		}
		if slices.ContainsFunc(contenders[:i], func(o *model.Model) bool { return o.Version == m.Version }) {
			return t, fmt.Errorf("evaluate models of %s: %s is named twice", data.Pipeline, m.Version)
		}
	}
	if len(c.Scenarios) == 0 {
		c.Scenarios = DefaultScenarios(&data)
	}
	var err error
	if contenders[0].Picture != nil {
		err = runPictures(ctx, &c, contenders, &data, &t)
	} else {
		err = runWindows(ctx, &c, contenders, &data, &t)
	}
	if err != nil {
		return t, fmt.Errorf("evaluate models of %s: %w", data.Pipeline, err)
	}
	return t, nil
}
