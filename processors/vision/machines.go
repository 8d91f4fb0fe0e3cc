package vision

import (
	"sync"

	"andon/event"
	"andon/processors/vision/rules"
)

// Machines remembers the newest readings that rules ask for. It is a Watch of the other pipelines: it is shown rows that were taken, in this process; what other replicas see it does not know. It is safe for
// concurrent use, and costs nothing where no rule asks.
type Machines struct {
	mu sync.RWMutex
	// wanted is written before the first row only.
	wanted map[string]*machines // by pipeline
}

// machines are those of one pipeline that are asked for.
type machines struct {
	signals []string
	columns []int // of signals, in the pipeline's rows
	assets  map[string][]reading
}

type reading struct {
	value float64
	at    int64
}

// Want says that a rule will ask, before the first row is shown. columns are the pipeline's signals in the order of its rows' values; false: it has no such signal.
func (m *Machines) Want(w *rules.While, columns []string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	column := -1
	for i, c := range columns {
		if c == w.Signal {
			column = i
		}
	}
	if column < 0 {
		return false
	}
	if m.wanted == nil {
		m.wanted = map[string]*machines{}
	}
	of := m.wanted[w.Pipeline]
	if of == nil {
		of = &machines{assets: map[string][]reading{}}
		m.wanted[w.Pipeline] = of
	}
	at := of.signal(w.Signal)
	if at < 0 {
		of.signals, of.columns = append(of.signals, w.Signal), append(of.columns, column)
		for asset, had := range of.assets {
			of.assets[asset] = append(had, reading{})
		}
	}
	if of.assets[w.Asset] == nil {
		of.assets[w.Asset] = make([]reading, len(of.signals))
	}
	return true
}

func (m *machines) signal(name string) int {
	for i, s := range m.signals {
		if s == name {
			return i
		}
	}
	return -1
}

// Observe takes in rows. Of each signal the newest value counts; a row without one leaves it as it is.
func (m *Machines) Observe(pipeline string, rows []event.Row, _ []event.Score) {
	m.mu.RLock()
	of := m.wanted[pipeline]
	m.mu.RUnlock()
	if of == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range rows {
		r := &rows[i]
		known := of.assets[r.Asset]
		if known == nil {
			continue
		}
		for s, column := range of.columns {
			if v := r.Values[column]; v == v && r.Time >= known[s].at {
				known[s] = reading{v, r.Time}
			}
		}
	}
}

// Facts tells whether what a rule asks for holds; see rules.Facts.
func (m *Machines) Facts(w *rules.While, at int64) (holds, known bool) {
	if m == nil {
		return false, false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	of := m.wanted[w.Pipeline]
	if of == nil || of.assets[w.Asset] == nil {
		return false, false
	}
	s := of.signal(w.Signal)
	if s < 0 {
		return false, false
	}
	r := of.assets[w.Asset][s]
	if age := at - r.at; r.at == 0 || max(age, -age) > int64(w.MaxAge) {
		return false, false
	}
	return w.Holds(r.value), true
}
