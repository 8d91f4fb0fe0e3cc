package absence

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"andon/event"
)

const (
	every = 10 * time.Second // how often it is looked
	stuck = 5 * time.Second  // a batch that takes longer holds the partition up
	names = 20               // are told by name
)

// The labels of an alert that say of a replica's own matter whose it is, and who is missed, so that a restart knows.
const (
	labelReplica = "replica"
	labelAssets  = "assets"
	labelSource  = "source"
)

// Watch looks after the pipelines' assets. It is safe for concurrent use.
type Watch struct {
	raise  func(event.Alert)
	open   func() []*event.Matter
	behind func() func(pipeline string, partition int32) bool
	where  string
	log    *slog.Logger
	all    map[string]*pipeline
}

// pipeline is one, with the seats of its partitions.
type pipeline struct {
	name   string
	cfg    Config
	except *regexp.Regexp
	log    *slog.Logger
	count  atomic.Int64 // assets of all seats

	mu     sync.Mutex
	seats  []*Seat
	any    rhythm           // of all assets together
	waits  map[string]int64 // who is missed from before, by name: since when
	full   bool             // it was said that there are too many assets
	told   string           // who was told of, sorted
	source bool             // it was told that the whole source has stopped
}

// New makes a watch of pipelines by name. open returns the open matters of this kind, as of an earlier process; behind tells at each look which partitions have a backlog; where names this replica, for it sees its
// own partitions only, and is empty where there is but one.
func New(all map[string]Config, raise func(event.Alert), open func() []*event.Matter, behind func() func(string, int32) bool, where string, log *slog.Logger) *Watch {
	w := &Watch{raise: raise, open: open, behind: behind, where: where, log: log, all: map[string]*pipeline{}}
	for name, cfg := range all {
		if cfg.Times > 0 {
			p := &pipeline{name: name, cfg: cfg, log: log, waits: map[string]int64{}}
			if cfg.Except != "" {
				p.except = regexp.MustCompile(cfg.Except) // validated
			}
			w.all[name] = p
		}
	}
	return w
}

// Sit begins to watch a partition; nil for a pipeline where nobody is missed.
func (w *Watch) Sit(name string, partition int32) *Seat {
	p := w.all[name]
	if p == nil {
		return nil
	}
	s := &Seat{of: p, partition: partition, assets: map[string]*asset{}, blind: true} // what waits in the log comes first
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seats = append(p.seats, s)
	return s
}

// Retire tells that an asset's life ended at an event time: it is not missed until something newer comes of it.
func (w *Watch) Retire(name, asset string, at int64) {
	p := w.all[name]
	if p == nil {
		return
	}
	p.mu.Lock()
	delete(p.waits, asset)
	seats := slices.Clone(p.seats)
	p.mu.Unlock()
	for _, s := range seats {
		s.retire(asset, at)
	}
}

// Run looks until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	w.resume()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			w.look(now)
		}
	}
}

// resume takes over what an earlier process has told.
func (w *Watch) resume() {
	for _, m := range w.open() {
		p := w.all[m.Pipeline]
		if m.Labels[labelReplica] != w.where {
			continue
		}
		if p == nil { // nobody is missed there any more
			w.raise(event.Alert{ID: m.ID, Pipeline: m.Pipeline, Kind: event.AlertAbsent, Severity: m.Severity, Resolved: true, Time: time.Now().UnixNano(), Detail: "It is not watched any more.", Labels: m.Labels})
			continue
		}
		p.mu.Lock()
		if m.Labels[labelSource] != "" {
			p.source = true
		} else {
			p.told = m.Labels[labelAssets]
			for name := range strings.SplitSeq(p.told, ", ") {
				p.waits[name] = m.Since.UnixNano()
			}
		}
		p.mu.Unlock()
	}
}

func (w *Watch) look(now time.Time) {
	behind := w.behind()
	for _, p := range w.all {
		p.look(w, now.UnixNano(), behind)
	}
}

// missed is an asset that is.
type missed struct {
	name         string
	since, usual int64
	camera       bool
}

func (p *pipeline) look(w *Watch, now int64, behind func(string, int32) bool) {
	p.mu.Lock()
	seats := slices.Clone(p.seats)
	p.mu.Unlock()
	blind, assets := false, 0
	for _, s := range seats {
		b, n := s.see(now, behind(p.name, s.partition))
		blind, assets = blind || b, assets+n
	}
	p.mu.Lock()
	if blind && p.any.last != 0 {
		p.any.last = now
	}
	any := p.any
	p.mu.Unlock()
	var gone []missed
	for _, s := range seats {
		gone = append(gone, s.missed(now, any.last, assets == 1)...)
	}
	p.mu.Lock()
	for name, since := range p.waits {
		if time.Duration(now-since) > p.cfg.Forget {
			delete(p.waits, name)
		} else {
			gone = append(gone, missed{name: name, since: since})
		}
	}
	p.mu.Unlock()
	slices.SortFunc(gone, func(a, b missed) int { return cmp.Compare(a.name, b.name) })
	// What one knows of the others says nothing while nothing comes at all.
	stopped := assets > 1 && any.known() && now-any.last >= any.patience(&p.cfg)
	if stopped != p.source && (stopped || now-any.last < any.patience(&p.cfg) && any.last != 0) {
		p.source = stopped
		w.raise(p.sourceAlert(w.where, now, &any, stopped))
	}
	if stopped {
		return
	}
	list := make([]string, len(gone))
	for i := range gone {
		list[i] = gone[i].name
	}
	if told := strings.Join(list[:min(len(list), 100)], ", "); told != p.told {
		p.told = told
		w.raise(p.alert(w.where, now, gone))
	}
}

// missed returns who of a seat is, and forgets who has been for too long. others is when any asset of the pipeline came last, alone tells that there is but one.
func (s *Seat) missed(now, others int64, alone bool) (gone []missed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, a := range s.assets {
		silence, patience := a.silence(now), a.patience(&s.of.cfg)
		if silence > s.of.cfg.Forget && int64(silence) > patience {
			delete(s.assets, name)
			s.of.count.Add(-1)
			continue
		}
		if !a.counts() {
			continue
		}
		// When all stop together, no one has been outlived by the others.
		if a.known() && int64(silence) >= patience && (alone || others-a.last >= patience/2) {
			gone = append(gone, missed{name, a.last, a.usual, a.camera})
		}
	}
	return gone
}

func (p *pipeline) came(now int64, learn bool) {
	p.mu.Lock()
	p.any.came(now, &p.cfg, learn)
	p.mu.Unlock()
}

// room tells whether one asset more can be watched, and counts it.
func (p *pipeline) room() bool {
	if p.count.Add(1) <= most {
		return true
	}
	p.count.Add(-1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.full {
		p.full = true
		p.log.Warn("further assets are not watched for silence", "pipeline", p.name, "watched", most)
	}
	return false
}

// back tells that somebody new is there: who was missed from before is no longer.
func (p *pipeline) back(name string) {
	p.mu.Lock()
	delete(p.waits, name)
	p.mu.Unlock()
}

func (p *pipeline) leave(s *Seat) {
	now := time.Now().UnixNano()
	p.mu.Lock()
	others := p.any.last
	p.mu.Unlock()
	gone := s.missed(now, others, false)
	s.mu.Lock()
	p.count.Add(-int64(len(s.assets)))
	s.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range gone {
		p.waits[m.name] = m.since
	}
	p.seats = slices.DeleteFunc(p.seats, func(o *Seat) bool { return o == s })
}

// ID is the ID of a pipeline's matter, and that of the whole source.
func ID(pipeline, where string, source bool) string {
	id := pipeline + "/" + event.AlertAbsent
	if source {
		id += "/source"
	}
	if where != "" {
		id += "/" + where
	}
	return id
}

func (p *pipeline) alert(where string, now int64, gone []missed) event.Alert {
	out := event.Alert{ID: ID(p.name, where, false), Pipeline: p.name, Kind: event.AlertAbsent, Severity: p.cfg.Severity, Time: now, Resolved: len(gone) == 0, Evidence: "#/line", Labels: map[string]string{}}
	if where != "" {
		out.Labels[labelReplica] = where
	}
	if len(gone) == 0 {
		out.Title, out.Detail = p.name+": all send again", "Or what did not has ended its life, or is taken to be gone for good."
		return out
	}
	out.Labels[labelAssets] = p.told
	if one := gone[0]; len(gone) == 1 {
		out.Title, out.Asset = fmt.Sprintf("%s of %s sends nothing any more", one.name, p.name), one.name
		out.Evidence = "#/asset/" + url.PathEscape(p.name) + "/" + url.PathEscape(one.name)
		if one.camera {
			out.Evidence = "#/cameras"
		}
	} else {
		out.Title = fmt.Sprintf("%d of %s send nothing any more", len(gone), p.name)
	}
	out.Since = slices.MinFunc(gone, func(a, b missed) int { return cmp.Compare(a.since, b.since) }).since
	var b strings.Builder
	for i, m := range gone {
		if i == names {
			fmt.Fprintf(&b, "… and %d more.\n", len(gone)-i)
			break
		}
		fmt.Fprintf(&b, "%s since %s", m.name, time.Unix(0, m.since).UTC().Format(time.RFC3339))
		if m.usual > 0 {
			fmt.Fprintf(&b, "; it used to send at least every %v", time.Duration(m.usual).Round(time.Millisecond))
		}
		b.WriteString("\n")
	}
	b.WriteString("Look at the sender, its power and its network; the others of the pipeline go on. If it was taken out of service, tell so with a label of the kind failure, or name it in absent.except.")
	out.Detail = b.String()
	return out
}

func (p *pipeline) sourceAlert(where string, now int64, any *rhythm, stopped bool) event.Alert {
	out := event.Alert{ID: ID(p.name, where, true), Pipeline: p.name, Kind: event.AlertAbsent, Severity: p.cfg.Severity, Time: now, Since: any.last, Resolved: !stopped, Evidence: "#/line", Labels: map[string]string{labelSource: "all"},
		Title: "nothing comes from " + p.name + " any more", Detail: fmt.Sprintf("The last record came at %s; before, one came at least every %v. Look at what sends to the topic, and at Kafka itself; its assets are not missed one by one meanwhile.",
			time.Unix(0, any.last).UTC().Format(time.RFC3339), time.Duration(any.usual).Round(time.Millisecond))}
	if where != "" {
		out.Labels[labelReplica] = where
	}
	if !stopped {
		out.Title, out.Detail = p.name+" sends again", "The first record came at "+time.Unix(0, any.last).UTC().Format(time.RFC3339)+"."
	}
	return out
}
