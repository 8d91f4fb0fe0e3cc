package anomaly

import (
	"fmt"

	"andon/event"
	"andon/model"
	"andon/processors/features"
)

// Partition is the state of one partition's assets: their slots, as features makes them, and what each asset's detector knows. An asset's detector begins with its first slot and is gone when the asset is
// forgotten, so it is a function of the same rows as its slots are. It is not safe for concurrent use.
type Partition struct {
	*features.Partition
	cfg     Config
	look    int64
	signals int
	version string
	assets  map[string]*asset
	// learning is how many assets have a detector that learns.
	learning int
	values   []float32
}

// asset is one asset's.
type asset struct {
	// end is that of the newest slot, Unix nanoseconds.
	end int64
	detector
}

// Emit is told of each slot that has a verdict: the window is the slots that it speaks of, up to this one. An error ends the row's handling, and with it the Partition's use.
type Emit func(*features.Window, event.Verdict) error

// New makes the state of a partition whose rows hold the named signals in this order.
func New(cfg Config, slots features.Config, signals []string) (*Partition, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("make a detector: %w", err)
	}
	p := &Partition{cfg: cfg, assets: map[string]*asset{}}
	var err error
	if p.Partition, err = features.NewSlots(slots, signals, p.forget); err != nil {
		return nil, err
	}
	r := p.Partition.Recipe()
	p.look, p.signals, p.version = int64(cfg.Look())*int64(r.Grid), len(r.Signals), cfg.Version(r)
	return p, nil
}

// Version names what gives the scores.
func (p *Partition) Version() string { return p.version }

// Recipe returns how rows become slots. It must not be changed.
func (p *Partition) Recipe() *model.Recipe { return p.Partition.Recipe() }

// Learning returns how many of the assets have no scores yet because their detector learns.
func (p *Partition) Learning() int { return p.learning }

// Row takes one row and tells emit, which may be nil, of the verdicts on the slots that close by it.
func (p *Partition) Row(row *event.Row, emit Emit) (features.Outcome, error) {
	return p.Partition.Row(row, func(w *features.Window) error {
		v, told := p.slot(w)
		if !told || emit == nil {
			return nil
		}
		w.Start = w.End - p.look
		return emit(w, v)
	})
}

// slot shows a slot to its asset's detector.
func (p *Partition) slot(w *features.Window) (event.Verdict, bool) {
	p.values = w.Append(p.values[:0], nil)
	a := p.assets[w.Asset]
	switch {
	case a == nil:
		a = &asset{detector: p.detector()}
		p.assets[w.Asset] = a // the name is the slots' own copy
		p.learning++
	case w.Start > a.end:
		a.gap()
	}
	a.end = w.End
	learned := a.learned()
	v, told := a.update(p.values)
	if !learned && a.learned() {
		p.learning--
	}
	return v, told
}

func (p *Partition) detector() detector {
	if p.cfg.Baseline != nil {
		return newDepartures(*p.cfg.Baseline, p.signals)
	}
	return newSurprises(*p.cfg.Surprise, p.cfg.Look(), p.signals)
}

func (p *Partition) forget(name string) {
	if a := p.assets[name]; a != nil {
		if !a.learned() {
			p.learning--
		}
		delete(p.assets, name)
	}
}
