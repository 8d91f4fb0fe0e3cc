package uplink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/ingest/dial"
	"andon/sinks/kafka"
)

// Range is the offsets from First up to, and without, Next.
type Range struct {
	First int64 `json:"first"`
	Next  int64 `json:"next"`
}

// Part is what both sides say of one local partition.
type Part struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	To        string `json:"to"`
	Log       string `json:"log"`
	// Old tells that the records are of a local log that is no more; there is only the central side to look at.
	Old bool `json:"old,omitempty"`
	// Start and End bound the local log, Position is the first offset that is not up as the cluster has it, -1 for none; Waiting is from there to End.
	Start    int64 `json:"start"`
	End      int64 `json:"end"`
	Position int64 `json:"position"`
	Waiting  int64 `json:"waiting"`
	// Records of the site are in the central topic, from offset First to Last of the local log; -1 for none.
	Records int64 `json:"records"`
	First   int64 `json:"first"`
	Last    int64 `json:"last"`
	// Gaps are stretches of which records are missing by what the records themselves say; Missing counts records that the local log still has below Position and
	// the central topic lacks.
	Gaps    []Range `json:"gaps"`
	Missing int64   `json:"missing"`
	Absent  []int64 `json:"absent,omitempty"` // the first of them
	// Doubles counts records that are there again, Turned those that came after a later one in their partition, Beyond those above Position.
	Doubles int64   `json:"doubles"`
	Twice   []int64 `json:"twice,omitempty"`
	Turned  int64   `json:"turned"`
	Beyond  int64   `json:"beyond"`
	// Lost offsets were let go of by the local log before they were up, as was told then; Cut and Refused records are there without the end of their value, or without it.
	Lost    int64 `json:"lost"`
	Cut     int64 `json:"cut"`
	Refused int64 `json:"refused"`
	// Fault says what is wrong, empty when nothing is.
	Fault string `json:"fault,omitempty"`
}

// Audit compares the local log with what the central cluster holds of the site, as a reader of committed records sees it. It reads the site's topics there from their
// begin, and the local ones, too. The uplink may be running: what goes up meanwhile is left out.
func Audit(ctx context.Context, cfg Config, deps Deps, log *slog.Logger) ([]*Part, error) {
	local, err := dial.Options(deps.Brokers, cfg.ClientID, deps.Security, log)
	if err != nil {
		return nil, fmt.Errorf("the local log: %w", err)
	}
	central, err := dial.Options(cfg.Brokers, cfg.ClientID, cfg.security(), log)
	if err != nil {
		return nil, ours(err)
	}
	a := audit{cfg: cfg, local: local, central: central, parts: map[partKey]*Part{}, seen: map[partKey]*ledger{}}
	if a.ask, err = kgo.NewClient(central...); err != nil {
		return nil, err
	}
	defer a.ask.Close()
	if err := a.extents(ctx); err != nil {
		return nil, err
	}
	if err := a.positions(ctx, func(p *Part, at int64) { p.Position = at }); err != nil {
		return nil, err
	}
	if err := a.read(ctx); err != nil {
		return nil, err
	}
	after := map[*Part]int64{}
	if err := a.positions(ctx, func(p *Part, at int64) { after[p] = at }); err != nil {
		return nil, err
	}
	return a.verdicts(ctx, after)
}

// partKey names a partition of one local log.
type partKey struct {
	key
	log string
}

type audit struct {
	cfg            Config
	local, central []kgo.Opt
	ask            *kgo.Client
	parts          map[partKey]*Part
	seen           map[partKey]*ledger
	whole          map[string]bool // central topics of which nothing was let go of
}

// extents asks the local log what it holds.
func (a *audit) extents(ctx context.Context) error {
	adm, err := kadm.NewOptClient(a.local...)
	if err != nil {
		return err
	}
	defer adm.Close()
	var names []string
	to := map[string]string{}
	for _, t := range a.cfg.Topics {
		names = append(names, t.From)
		to[t.From] = a.cfg.Central(t)
	}
	meta, err := adm.Metadata(ctx, names...)
	if err != nil {
		return fmt.Errorf("ask the local log: %w", err)
	}
	var there []string
	for _, name := range names {
		if t := meta.Topics[name]; t.Err == nil && len(t.Partitions) > 0 {
			there = append(there, name)
		}
	}
	if len(there) == 0 {
		return nil
	}
	starts, err1 := adm.ListStartOffsets(ctx, there...)
	ends, err2 := adm.ListCommittedOffsets(ctx, there...)
	if err := errors.Join(err1, err2, starts.Error(), ends.Error()); err != nil {
		return fmt.Errorf("ask the local log: %w", err)
	}
	for _, name := range there {
		id := logID(meta.Topics[name].ID)
		for p := range meta.Topics[name].Partitions {
			a.parts[partKey{key{name, p}, id}] = &Part{Topic: name, Partition: p, To: to[name], Log: id, Start: starts[name][p].Offset, End: ends[name][p].Offset, Position: -1}
		}
	}
	return nil
}

// positions asks the central cluster how far each partition is.
func (a *audit) positions(ctx context.Context, set func(p *Part, at int64)) error {
	for _, p := range a.parts {
		if p.Old {
			continue
		}
		next, note, err := kafka.Commit(ctx, a.ask, a.cfg.place(p.Topic, p.To, p.Partition))
		if err != nil {
			return fmt.Errorf("ask the central cluster for the position of %s/%d: %w", p.Topic, p.Partition, ours(err))
		}
		if next < 0 {
			set(p, -1)
			continue
		}
		at, err := placeOf(next, note)
		if err != nil {
			return err
		}
		if at.Log != p.Log { // of an earlier log: nothing of this one is up
			next = -1
		}
		set(p, next)
	}
	return nil
}

// read looks at all that the central topics hold of the site.
func (a *audit) read(ctx context.Context) error {
	adm := kadm.NewClient(a.ask)
	a.whole = map[string]bool{}
	from := map[string][]string{}
	for _, t := range a.cfg.Topics {
		from[a.cfg.Central(t)] = append(from[a.cfg.Central(t)], t.From)
	}
	for to, sources := range from {
		meta, err := adm.Metadata(ctx, to)
		if err != nil {
			return fmt.Errorf("ask the central cluster: %w", ours(err))
		}
		if meta.Topics[to].Err != nil || len(meta.Topics[to].Partitions) == 0 {
			a.whole[to] = true
			continue
		}
		starts, err := adm.ListStartOffsets(ctx, to)
		if err := errors.Join(err, starts.Error()); err != nil {
			return fmt.Errorf("ask the central cluster: %w", ours(err))
		}
		a.whole[to] = true
		for _, s := range starts[to] {
			a.whole[to] = a.whole[to] && s.Offset == 0
		}
		err = scan(ctx, a.central, to, nil, func(r *kgo.Record) {
			o, ok := originOf(r)
			if !ok || o.site != a.cfg.Site || !slices.Contains(sources, o.topic) {
				return
			}
			k := partKey{o.key, o.log}
			l := a.seen[k]
			if l == nil {
				l = newLedger()
				a.seen[k] = l
			}
			l.add(o, r.Partition)
		})
		if err != nil {
			return fmt.Errorf("the central cluster: %w", ours(err))
		}
	}
	for k := range a.seen {
		if a.parts[k] == nil {
			to := ""
			for _, t := range a.cfg.Topics {
				if t.From == k.topic {
					to = a.cfg.Central(t)
				}
			}
			a.parts[k] = &Part{Topic: k.topic, Partition: k.partition, To: to, Log: k.log, Old: true, Start: -1, End: -1, Position: -1}
		}
	}
	return nil
}

// verdicts says what is wrong with each part.
func (a *audit) verdicts(ctx context.Context, after map[*Part]int64) ([]*Part, error) {
	var all []*Part
	for k, p := range a.parts {
		l := a.seen[k]
		if l == nil {
			l = newLedger()
		}
		var forks int64
		var begun bool
		p.First, p.Last, begun, p.Gaps, forks = l.chain()
		if p.Gaps == nil {
			p.Gaps = []Range{}
		}
		if p.First >= 0 && !begun && a.whole[p.To] {
			p.Gaps = append([]Range{{max(p.Start, 0), p.First}}, p.Gaps...)
		}
		p.Records, p.Doubles, p.Twice, p.Turned = l.records, l.doubles, l.twice, l.turned
		p.Lost, p.Cut, p.Refused = l.lost, l.cut, l.refused
		if !p.Old {
			p.Waiting = p.End - max(p.Position, p.Start)
			if err := a.compare(ctx, p, l); err != nil {
				return nil, err
			}
			for o := max(after[p], 0); p.Last >= o && o <= p.Last; o++ {
				if l.has(o) {
					p.Beyond++
				}
			}
		}
		switch {
		case len(p.Gaps) > 0:
			p.Fault = fmt.Sprintf("records between offsets %d and %d are not in %s", p.Gaps[0].First, p.Gaps[0].Next, p.To)
		case p.Missing > 0:
			p.Fault = fmt.Sprintf("%d records that count as up are not in %s, the first is %d", p.Missing, p.To, p.Absent[0])
		case p.Doubles > 0:
			p.Fault = fmt.Sprintf("%d records are in %s again, the first is %d", p.Doubles, p.To, p.Twice[0])
		case p.Turned > 0 || forks > 0:
			p.Fault = fmt.Sprintf("%d records are not in their order", p.Turned+forks)
		case p.Beyond > 0:
			p.Fault = fmt.Sprintf("%d records are there beyond the position %d: they were not sent in transactions", p.Beyond, after[p])
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(x, y *Part) int {
		return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition), cmp.Compare(x.Log, y.Log))
	})
	return all, nil
}

// compare looks for records of the local log that count as up and are not.
func (a *audit) compare(ctx context.Context, p *Part, l *ledger) error {
	floor := p.First // before it the central topic has let go of some, or there was no uplink
	if p.First < 0 {
		if !a.whole[p.To] {
			return nil
		}
		floor = p.Start
	}
	first := max(p.Start, floor)
	if first >= p.Position {
		return nil
	}
	client, err := kgo.NewClient(append(a.local[:len(a.local):len(a.local)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{p.Topic: {p.Partition: kgo.NewOffset().At(first)}}), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	if err != nil {
		return err
	}
	defer client.Close()
	for at := first; at < p.Position; {
		poll, cancel := context.WithTimeout(ctx, 30*time.Second)
		fetches := client.PollFetches(poll)
		cancel()
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s/%d of the local log: %w", p.Topic, p.Partition, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			at = r.Offset + 1
			if r.Offset >= p.Position || r.Attrs.IsControl() || l.has(r.Offset) {
				return
			}
			p.Missing++
			if len(p.Absent) < listMost {
				p.Absent = append(p.Absent, r.Offset)
			}
		})
	}
	return nil
}
