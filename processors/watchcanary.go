package processors

import (
	"andon/event"
	"andon/model"
	"andon/processors/drift"
)

// trial holds what a canary is fed and what it says against the reference that came with it, as watch does for the champion: in pieces of its own version, of the assets of its share. A canary without a reference is not
// watched, since it has too few windows to learn one; nothing is lost by that which the champion's watch does not see once it is promoted.
//
// Its piece that is not full is not made again after a restart: the fold scores the champion's windows again, and a canary ends in hours. A block that is formed again may lack a piece that the first one held, which is then
// dropped by its token, or told by nobody.
type trial struct {
	line    *Line
	model   *model.Model
	monitor *drift.Monitor // nil while there is nothing to watch
	values  []float64
}

// trial makes that of a partition, nil for a line that is not watched.
func (l *Line) trial() *trial {
	if l.watch() == nil {
		return nil
	}
	return &trial{line: l}
}

// turn goes over to another canary, nil for none, and ends the piece of the one before.
func (t *trial) turn(p *Pipeline, m *model.Model) {
	if t == nil || m == t.model || same(m, t.model) {
		return
	}
	if t.monitor != nil {
		p.sketchedBy(t.model, t.monitor.Cut())
	}
	t.model, t.monitor = m, nil
	if m == nil {
		return
	}
	profile, err := t.line.profiles.of(m)
	switch {
	case err != nil:
		p.log.Error("the canary's drift reference is of no use: its windows are not watched", "model", m.Version, "error", err)
	case profile == nil:
		p.log.Info("the canary has no drift reference of its own: its windows are not watched", "model", m.Version)
	default:
		t.monitor = drift.NewMonitor(profile, t.line.cfg.Drift.Windows, t.line.groups)
	}
}

// see takes a window that the canary scored, as watch.see does.
func (t *trial) see(p *Pipeline, s *event.Score, newest []float32) {
	if t.monitor == nil {
		return
	}
	t.values = t.values[:0]
	for _, x := range newest {
		t.values = append(t.values, float64(x))
	}
	t.values = append(t.values, float64(s.Value), float64(s.Risk))
	p.sketchedBy(t.model, t.monitor.Add(s.Asset, s.End, s.Position, t.values))
}
