// Package audit proves from the tables that each offset of a pipeline's topics was handled exactly once: that it is among the readings, the frames, the labels or the
// dead letters, in one of them and once, or counted within its block by handled, and that no score and no window is there twice. With the log at hand it also tells offsets that hold no record, such as a
// transaction's marker, from records that were lost.
//
// It reads columns of offsets, once, and looks closer only where a count does not add up: a bitmap for each stretch of offsets counts the different ones
// (https://roaringbitmap.org), and the order of the tables makes the search for doubles a merge.
package audit

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"andon/event"
)

// Ask puts one question to ClickHouse, read-only; Params fill {name:Type} in it. The answer has at most limit rows.
type Ask func(ctx context.Context, sql string, params map[string]string, limit int) (*event.Table, error)

// Options say what is looked at.
type Options struct {
	// Pipelines are the pipelines to prove; none means all that ClickHouse has rows of.
	Pipelines []string
	// Topics tells which topics a pipeline reads, as far as known: with Log, a topic without any rows is found by it.
	Topics map[string][]string
	// Since leaves out what was stored longer ago; 0 goes back as far as the tables keep rows.
	Since time.Duration
	// List is how many gaps, and how many doubles, are named for each partition.
	List int
	// Wait is how long a block that is being stored may take until what is missing of it counts.
	Wait time.Duration
	// Log is asked if it is not nil.
	Log *Log
}

// Log is what the brokers are asked.
type Log struct {
	// Extents returns how far the log of each partition of a topic goes, and the pipeline's group in it.
	Extents func(ctx context.Context, pipeline, topic string) (map[int32]Extent, error)
	// Records calls f for each offset of the ranges, which ascend, that holds a record.
	Records func(ctx context.Context, topic string, partition int32, ranges []Range, f func(offset int64)) error
}

// Extent is one partition of the log: [Start, End), and the group's committed offset, -1 when it has none.
type Extent struct {
	Start     int64 `json:"start"`
	End       int64 `json:"end"`
	Committed int64 `json:"committed"`
}

// Range is the offsets [First, Next).
type Range struct {
	First int64 `json:"first"`
	Next  int64 `json:"next"`
}

// Partition is what was found of one partition of a pipeline's topic.
type Partition struct {
	Pipeline  string `json:"pipeline"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// Examined is the range that was looked at. First and Last are the least and greatest offset stored within it; -1 when there is none.
	Examined Range `json:"examined"`
	First    int64 `json:"first"`
	Last     int64 `json:"last"`
	// OK, Duplicate, Filtered, Frames, Labels, Scores, Features and Dead, by reason, count rows.
	OK        uint64            `json:"ok"`
	Duplicate uint64            `json:"duplicate"`
	Filtered  uint64            `json:"filtered"`
	Frames    uint64            `json:"frames"`
	Labels    uint64            `json:"labels"`
	Scores    uint64            `json:"scores"`
	Features  uint64            `json:"features"`
	Dead      map[string]uint64 `json:"dead"`
	// Missing counts the offsets of the range that are stored nowhere, but for those that the log says hold no record: NoRecord. Gaps are the first of them.
	Missing  uint64  `json:"missing"`
	NoRecord uint64  `json:"no_record"`
	Gaps     []Range `json:"gaps"`
	// Doubles counts the rows that are too many. Twice are the first of them.
	Doubles uint64   `json:"doubles"`
	Twice   []Double `json:"twice"`
	// Log is what the brokers said, nil where they were not asked.
	Log *Extent `json:"log,omitempty"`
	// Fault is another fault, in words.
	Fault string `json:"fault,omitempty"`

	whole     Range // the least and greatest offset that are stored at all
	chunks    []chunk
	stretches []stretch // offsets that are counted by blocks
}

// Double is one row that is there more often than once, or in two tables.
type Double struct {
	Offset int64  `json:"offset"`
	What   string `json:"what"`
}

func (p *Partition) at(offset int64) event.Position {
	return event.Position{Topic: p.Topic, Partition: p.Partition, Offset: offset}
}

// Clean tells whether nothing is missing and nothing doubled.
func (p *Partition) Clean() bool { return p.Missing == 0 && p.Doubles == 0 && p.Fault == "" }

// First returns the first fault in words, "" when there is none.
func First(all []*Partition) string {
	for _, p := range all {
		switch {
		case p.Fault != "":
			return fmt.Sprintf("%s %s/%d: %s", p.Pipeline, p.Topic, p.Partition, p.Fault)
		case p.Missing > 0 && len(p.Gaps) > 0:
			g := p.Gaps[0]
			where := ""
			if p.Log != nil && g.First < p.Log.Start {
				where = "; the log, which begins at " + fmt.Sprint(p.Log.Start) + ", can no longer tell what they were"
			}
			return fmt.Sprintf("gap: %s %s-%d: %d offsets are in none of readings, frames, labels and deadletters%s", p.Pipeline, p.at(g.First), g.Next, g.Next-g.First, where)
		case p.Doubles > 0 && len(p.Twice) > 0:
			return fmt.Sprintf("double: %s %s: %s", p.Pipeline, p.at(p.Twice[0].Offset), p.Twice[0].What)
		case !p.Clean():
			return fmt.Sprintf("%s %s/%d: %d offsets missing, %d rows doubled", p.Pipeline, p.Topic, p.Partition, p.Missing, p.Doubles)
		}
	}
	return ""
}

// auditor is one run.
type auditor struct {
	ask   Ask
	o     Options
	parts []*Partition
	// labelled tells which pipeline the labels of a topic came through.
	labelled map[string]string
}

// Run looks at all partitions and returns them in order. The error is about asking; faults found are in the partitions. The line may be running:
// only offsets that were stored, or committed where the log is asked, before Run began are looked at.
func Run(ctx context.Context, ask Ask, o Options) ([]*Partition, error) {
	o.List = max(o.List, 1)
	a := &auditor{ask: ask, o: o, labelled: map[string]string{}}
	if err := a.find(ctx); err != nil {
		return nil, err
	}
	for pipeline, topics := range a.byPipeline() {
		for topic, parts := range topics {
			if err := a.coverage(ctx, pipeline, topic, parts); err != nil {
				return nil, fmt.Errorf("verify %s on %s: %w", pipeline, topic, err)
			}
		}
		for _, w := range []windowed{scored, told} {
			if err := a.windows(ctx, w, pipeline, topics); err != nil {
				return nil, fmt.Errorf("verify the %s of %s: %w", w.table, pipeline, err)
			}
		}
	}
	return a.parts, nil
}

// byPipeline sorts the partitions by pipeline and topic.
func (a *auditor) byPipeline() map[string]map[string][]*Partition {
	out := map[string]map[string][]*Partition{}
	for _, p := range a.parts {
		if out[p.Pipeline] == nil {
			out[p.Pipeline] = map[string][]*Partition{}
		}
		out[p.Pipeline][p.Topic] = append(out[p.Pipeline][p.Topic], p)
	}
	return out
}

// LabelsPipeline is the name under which rows of the table of labels are proved when nothing tells who read them: that table names the pipeline
// that a label is for, which is another thing.
const LabelsPipeline = "labels"

// find lists the partitions and what of each is looked at.
func (a *auditor) find(ctx context.Context) error {
	known, err := a.extremes(ctx, 0)
	if err != nil {
		return err
	}
	floors, err := a.floors(ctx, known)
	if err != nil {
		return err
	}
	wanted := func(pipeline string) bool { return len(a.o.Pipelines) == 0 || slices.Contains(a.o.Pipelines, pipeline) }
	found := map[place]*Partition{}
	add := func(k place) *Partition {
		if found[k] == nil {
			found[k] = &Partition{Pipeline: k.pipeline, Topic: k.topic, Partition: k.partition, First: -1, Last: -1, Dead: map[string]uint64{}, Gaps: []Range{}, Twice: []Double{}}
		}
		return found[k]
	}
	topics := map[string]map[string]bool{}
	read := func(pipeline, topic string) {
		if topics[pipeline] == nil {
			topics[pipeline] = map[string]bool{}
		}
		topics[pipeline][topic] = true
	}
	for pipeline, all := range a.o.Topics {
		for _, t := range all {
			read(pipeline, t)
		}
	}
	for _, e := range known {
		read(e.pipeline, e.topic)
		if wanted(e.pipeline) {
			p := add(e.place)
			p.whole, p.Examined = Range{e.first, e.last + 1}, Range{max(e.first, floors[e.place]), e.last + 1}
		}
	}
	if a.o.Log != nil {
		for pipeline, all := range topics {
			if !wanted(pipeline) {
				continue
			}
			for topic := range all {
				extents, err := a.o.Log.Extents(ctx, pipeline, topic)
				if err != nil {
					return fmt.Errorf("ask the brokers for %s: %w", topic, err)
				}
				for partition, x := range extents {
					add(place{pipeline, topic, partition}).bound(x)
				}
			}
		}
	}
	for _, p := range found {
		a.parts = append(a.parts, p)
	}
	slices.SortFunc(a.parts, func(x, y *Partition) int {
		return cmp.Or(cmp.Compare(x.Pipeline, y.Pipeline), cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
	})
	for _, name := range a.o.Pipelines {
		if !slices.ContainsFunc(a.parts, func(p *Partition) bool { return p.Pipeline == name }) {
			have := slices.Sorted(maps.Keys(topics))
			return fmt.Errorf("ClickHouse has no rows of a pipeline %q; it has of %v", name, have)
		}
	}
	return nil
}

// bound sets what is looked at by what the log and the group say: all that is committed was stored before we ask.
func (p *Partition) bound(x Extent) {
	p.Log = &x
	if p.whole.Next > x.End {
		p.Fault = fmt.Sprintf("ClickHouse holds offset %d, and the log ends at %d: the topic was made anew, or its broker lost records", p.whole.Next-1, x.End)
	}
	next := max(x.Committed, 0)
	if p.whole == (Range{}) {
		p.Examined = Range{min(x.Start, next), next}
		return
	}
	if p.Examined.First == p.whole.First { // else the tables have forgotten what was before
		p.Examined.First = min(p.Examined.First, x.Start)
	}
	p.Examined.Next = max(next, p.Examined.First)
}
