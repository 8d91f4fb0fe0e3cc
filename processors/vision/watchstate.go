package vision

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"slices"

	"andon/event"
)

// savedWatch is a watch in a snapshot: of a model's version, with either rows or a monitor, and the reference where the line has learned it.
type savedWatch struct {
	Version   string   `json:"version"`
	Cameras   []string `json:"cameras"`
	Strangers []string `json:"strangers,omitempty"`
	Inputs    []string `json:"inputs,omitempty"` // of the rows
	Rows      []byte   `json:"rows,omitempty"`   // of each its time, then its values in single precision
	Reference []byte   `json:"reference,omitempty"`
	Monitor   []byte   `json:"monitor,omitempty"`
	Swarms    []byte   `json:"swarms,omitempty"`
	// Guests are the strangers', by name.
	Guests map[string]*savedWatch `json:"guests,omitempty"`
	// Trial is the canary's.
	Trial *savedWatch `json:"trial,omitempty"`
}

// save returns the state, nil where there is none.
func (w *watch) save() *savedWatch {
	if w.model == nil {
		return w.saved
	}
	s := &savedWatch{Version: w.model.Version, Cameras: w.names, Strangers: w.strangers, Reference: w.file}
	if w.monitor != nil {
		s.Monitor = w.monitor.AppendState(nil)
	}
	if w.swarms != nil {
		s.Swarms = w.swarms.AppendState(nil)
	}
	for name, g := range w.guests {
		if s.Guests == nil {
			s.Guests = map[string]*savedWatch{}
		}
		s.Guests[name] = g.save()
	}
	d := len(w.rows.Names)
	if len(w.rows.At) > 0 {
		s.Inputs = w.rows.Names
	}
	for i, at := range w.rows.At {
		s.Rows = binary.LittleEndian.AppendUint64(s.Rows, uint64(at))
		for _, v := range w.rows.Values[i*d : (i+1)*d] {
			s.Rows = binary.LittleEndian.AppendUint32(s.Rows, math.Float32bits(float32(v)))
		}
	}
	return s
}

// resume goes on from a snapshot of the same model, whose own reference, if it has one, is taken already.
func (w *watch) resume(s *savedWatch) error {
	if len(s.Reference) > 0 {
		if w.monitor != nil {
			return errors.New("it has another reference")
		}
		if err := w.compare(s.Reference); err != nil {
			return err
		}
	}
	if w.reference != nil {
		for _, name := range s.Strangers {
			w.estrange(name)
			if g := s.Guests[name]; g != nil {
				w.guest(name).saved = g
				w.guests[name].turn(w.model)
			}
		}
		w.observe()
		err := w.monitor.Restore(s.Monitor)
		if err == nil && w.swarms != nil {
			err = w.swarms.Restore(s.Swarms)
		}
		if err != nil {
			w.monitor.Reset()
			w.line.log.Warn("what was watched of frames since the last piece is lost", "model", w.model.Version, "error", err)
		}
		return nil
	}
	for i, name := range s.Cameras {
		w.cameras[name], w.names = i, append(w.names, name)
	}
	d := len(w.rows.Names)
	size := 8 + 4*d
	if len(s.Rows)%size != 0 || len(s.Rows) > 0 && !slices.Equal(s.Inputs, w.rows.Names) {
		return errors.New("its rows are of other inputs")
	}
	r := &w.rows
	for b := s.Rows; len(b) > 0; b = b[size:] {
		r.At = append(r.At, int64(binary.LittleEndian.Uint64(b)))
		for i := range d {
			r.Values = append(r.Values, float64(math.Float32frombits(binary.LittleEndian.Uint32(b[8+4*i:]))))
		}
		r.Asset = append(r.Asset, int32(r.Values[len(r.Values)-d]))
	}
	return nil
}

// watched returns the state of the partition's watches as JSON, nil where there is none.
func (p *Partition) watched() []byte {
	if p.watch == nil {
		return nil
	}
	s, trial := p.watch.save(), p.trial.save()
	if s == nil && trial == nil {
		return nil
	}
	if s == nil {
		s = &savedWatch{}
	}
	of := *s
	of.Trial = trial
	js, err := json.Marshal(&of)
	if err != nil {
		panic(err) // only numbers and strings
	}
	return js
}

// rewatch takes the state, nil for none, until it is known which models score.
func (p *Partition) rewatch(s *savedWatch) {
	if p.watch == nil {
		return
	}
	p.watch.saved, p.trial.saved = nil, nil
	if s == nil {
		return
	}
	p.trial.saved, s.Trial = s.Trial, nil
	if s.Version != "" {
		p.watch.saved = s
	}
}

// sees has the watch of the chunk's model take a frame. A canary that becomes the champion keeps its watch.
func (p *Partition) sees(c *chunk, f *looked, s *event.Sight) {
	if p.watch == nil {
		return
	}
	if c.model != p.canary {
		if t := p.trial.model; t != nil && t.Version == c.model.Version {
			p.watch, p.trial = p.trial, p.watch
			p.trial.turn(nil)
		} else if s := p.trial.saved; s != nil && s.Version == c.model.Version { // it became that while nothing ran
			p.watch.saved, p.trial.saved = s, nil
		}
		p.watch.see(c, f, s)
		return
	}
	p.trial.see(c, f, s)
}
