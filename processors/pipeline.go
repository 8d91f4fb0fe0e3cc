package processors

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"andon/event"
	"andon/processors/features"
	"andon/processors/vision"
)

// Pipeline is one partition's line. Its methods are called by one goroutine. After an error it is of no use: what it held is formed again from
// the log by the next to open the partition.
type Pipeline struct {
	line   *Line
	log    *slog.Logger
	commit func(ctx context.Context, next int64, note string) error
	read   func(ctx context.Context, offsets []int64) ([]event.Record, error)
	// transactor is nil for those that publish before they store, at least once; transact is the group's part in it.
	transactor Transactor
	transact   func(ctx context.Context, send func(ctx context.Context, identity func() (event.Member, error)) error) error
	state      state // nil without features
	// eye looks at frames; nil in a pipeline of rows.
	eye *vision.Partition
	// ended is the end of the block of frames that is being stored; beside is what stores one beside the line.
	ended  *vision.Cut
	beside beside

	// at is the next offset to be handled. Rows before committed, which stays as it was at Open, are folded only.
	at, committed int64
	// from is where reading began.
	from int64
	// reform is the intent found at Open, until its block is stored.
	reform *intent
	// note belongs to the offset committed last, which is block.First.
	note note
	// tried is where the last snapshot was tried, and size how large the last was.
	tried int64
	size  int
	// keepSoon asks for a snapshot at the next flush. watch is nil for a line that is not watched.
	keepSoon bool
	watch    *watch
	trial    *trial // the canary's

	block  event.Block
	due    time.Time
	broken error

	letterBytes int
	boxes       int // of the block's sights
	surplus     int64
	taken       []event.Row

	// learning is how many assets the detector learns, as the line was told.
	learning int

	// What the next windows are scored by, with the windows of the last scores of the block, which wait for their verdicts: the canary has those of the assets in its share.
	champion, canary lane
	percent          float64
	waiting          int
	// version tells the models of the block's last scores.
	version string
	shades  [2]shade
}

func (p *Pipeline) name() string {
	return fmt.Sprintf("%s %s/%d", p.block.Pipeline, p.block.Topic, p.block.Partition)
}

// fail makes the error that ends this Pipeline.
func (p *Pipeline) fail(act string, first, next int64, err error) error {
	p.broken = fmt.Errorf("%s %s@%d-%d: %w", act, p.name(), first, next, err)
	return p.broken
}

// cursor is how far a batch's rows, rejects, labels and frames are used.
type cursor struct{ row, reject, label, frame int }

// Handle takes the next batch. What becomes of it is held until the block is flushed, by Handle itself when the block is full, else by Flush.
func (p *Pipeline) Handle(ctx context.Context, b *event.Batch) error {
	if p.broken != nil {
		return p.broken
	}
	if b.First != p.at {
		return p.fail("handle", b.First, b.Next, fmt.Errorf("the batch begins at %d, not at %d", b.First, p.at))
	}
	c := cursor{}
	for p.at < b.Next {
		if p.at < p.committed {
			if err := p.fold(b, &c, min(b.Next, p.committed)); err != nil {
				return err
			}
			continue
		}
		work := p.work
		if p.eye != nil {
			work = p.look
		}
		if err := work(ctx, b, &c, p.cut(b, &c)); err != nil {
			return err
		}
		if p.full() {
			flush := p.flush
			if p.eye != nil {
				flush = p.Tend
			}
			if err := flush(ctx); err != nil {
				return err
			}
		}
	}
	switch {
	case p.state != nil:
		p.assets(p.state.Assets())
		p.learns()
	case p.eye != nil:
		p.assets(p.eye.Cameras())
	}
	return nil
}

func (p *Pipeline) assets(n int) {
	p.line.all.assets.WithLabelValues(p.block.Pipeline, strconv.Itoa(int(p.block.Partition))).Set(float64(n))
}

// cut returns how far to work before the block may be full.
func (p *Pipeline) cut(b *event.Batch, c *cursor) int64 {
	if p.reform != nil {
		return min(b.Next, p.reform.Next)
	}
	left := p.most() - p.records() - 1
	if last := c.row + left; last < len(b.Rows) {
		return b.Rows[last].Offset + 1
	}
	if last := c.frame + left; last < len(b.Frames) {
		return b.Frames[last].Offset + 1
	}
	return b.Next
}

// records returns how many input records the block accounts for.
func (p *Pipeline) records() int {
	return p.block.Tally.Rows() + len(p.block.Labels) + len(p.block.Sights) + len(p.block.DeadLetters)
}

// countedRows is how many times the rows of a block it may stand for where they are counted only. If it must be formed again it has them all in memory.
const countedRows = 4

// most returns how many records make the block full.
func (p *Pipeline) most() int {
	if r := &p.line.cfg.Readings; r.Store || r.Publish {
		return p.line.cfg.Flush.Rows
	}
	return countedRows * p.line.cfg.Flush.Rows
}

// full tells whether the block must be flushed now.
func (p *Pipeline) full() bool {
	if p.reform != nil {
		return p.at == p.reform.Next
	}
	f := &p.line.cfg.Flush
	return p.records() >= p.most() || p.bytes() >= int(f.Bytes) || !p.line.now().Before(p.due)
}

// bytes estimates the block's size in memory.
func (p *Pipeline) bytes() int {
	b := &p.block
	// The sizes of a row's other columns, and of a score with its strings shared.
	return b.Readings.Len()*(8*len(b.Readings.Signals)+40) + p.values() + (len(b.Scores)+len(b.Shadows))*168 + len(b.Sketches)*sketchBytes + len(b.Labels)*128 + p.sightBytes() + p.letterBytes
}

// sketchBytes is about what a sketch of 30 features takes.
const sketchBytes = 24 << 10

// values estimates what the values of windows take of that.
func (p *Pipeline) values() int {
	f := &p.block.Features
	return f.Len() * (8*len(f.Names) + 40)
}

// fold takes rows that are stored already into the state.
func (p *Pipeline) fold(b *event.Batch, c *cursor, to int64) error {
	from := c.row
	var row *event.Row
	emit := p.watch.emit(p, &row)
	for c.row < len(b.Rows) && b.Rows[c.row].Offset < to {
		if row = &b.Rows[c.row]; p.state != nil && !row.Filtered {
			if _, err := p.state.Row(row, emit); err != nil {
				return p.fail("fold", p.at, to, err)
			}
		}
		c.row++
	}
	for c.reject < len(b.Rejects) && b.Rejects[c.reject].Offset < to {
		c.reject++
	}
	for c.label < len(b.Labels) && b.Labels[c.label].Offset < to {
		c.label++
	}
	for c.frame < len(b.Frames) && b.Frames[c.frame].Offset < to { // what was seen in them is in the snapshot
		c.frame++
	}
	p.line.meters.folded.Add(float64(c.row - from))
	if p.at = to; to == p.committed {
		p.log.Info("state folded", "from", p.from, "to", to)
	}
	return nil
}

// work takes what is new, up to an offset, into state and block.
func (p *Pipeline) work(ctx context.Context, b *event.Batch, c *cursor, to int64) error {
	var row *event.Row
	var made int
	emit := func(w *features.Window) error {
		made++
		return p.window(ctx, b, row, w)
	}
	var counts [outcomes]int
	scored, told, from, sparse := len(p.block.Scores), p.block.Features.Len(), c.row, false
	only := p.line.cfg.Rescore != nil
	if err := p.watch.folded(ctx, p); err != nil {
		return p.fail("watch", p.at, to, err)
	}
	p.choose()
	for c.row < len(b.Rows) && b.Rows[c.row].Offset < to {
		row = &b.Rows[c.row]
		p.rejects(b, c, row.Offset)
		out := features.Taken
		switch {
		case row.Filtered:
			out = filtered
		case p.state != nil:
			var err error
			if out, err = p.state.Row(row, emit); err != nil {
				return p.fail("handle", p.at, to, err)
			}
		}
		counts[out]++
		switch {
		case only:
		case out == features.Late:
			p.letter(p.late(b, row))
		case out == features.Duplicate:
			p.reading(row, event.StatusDuplicate)
		case out == filtered:
			p.reading(row, event.StatusFiltered)
		default:
			p.reading(row, event.StatusOK)
		}
		switch untaken := out >= features.Duplicate; {
		case untaken && !sparse:
			p.taken, sparse = append(p.taken[:0], b.Rows[from:c.row]...), true
		case !untaken && sparse:
			p.taken = append(p.taken, *row)
		}
		c.row++
		// One row may close the windows of many assets, so those are counted as they come.
		if p.values() >= int(p.line.cfg.Flush.Bytes) && p.reform == nil && (c.row == len(b.Rows) || b.Rows[c.row].Offset > row.Offset) {
			to = min(to, row.Offset+1)
			break
		}
	}
	p.rejects(b, c, to)
	for c.label < len(b.Labels) && b.Labels[c.label].Offset < to {
		if !only {
			p.block.Labels = append(p.block.Labels, b.Labels[c.label])
		}
		c.label++
	}
	if err := p.score(ctx, b); err != nil {
		return p.fail("score", p.at, to, err)
	}
	p.at, p.block.Next = to, to
	if p.due.IsZero() {
		p.due = p.line.now().Add(p.line.cfg.Flush.Interval)
	}
	p.count(&counts, made+p.block.Features.Len()-told)
	if w := p.line.out.Watch; w != nil {
		rows, scores := b.Rows[from:c.row], p.block.Scores[scored:]
		if sparse {
			rows = p.taken
		}
		if len(rows)+len(scores) > 0 {
			w.Observe(p.block.Pipeline, rows, scores)
		}
	}
	return nil
}

// reading counts a row, and puts it into the block if it is stored or published. A block that is formed again has them all: see settle.
func (p *Pipeline) reading(row *event.Row, s event.Status) {
	p.block.Tally.Add(s, row.Time)
	if r := &p.line.cfg.Readings; r.Store || p.reform != nil || r.Publish && s == event.StatusOK {
		p.block.Readings.Append(row, s)
	}
}

// rejects puts the records that did not decode, up to an offset, into the block.
func (p *Pipeline) rejects(b *event.Batch, c *cursor, to int64) {
	for c.reject < len(b.Rejects) && b.Rejects[c.reject].Offset < to {
		if p.line.cfg.Rescore == nil {
			p.letter(b.Rejects[c.reject])
		}
		c.reject++
	}
}

func (p *Pipeline) letter(d event.DeadLetter) {
	p.letterBytes += 256 + len(d.Key) + len(d.Value) + len(d.Detail)
	for _, h := range d.Headers {
		p.letterBytes += 48 + len(h.Key) + len(h.Value)
	}
	p.block.DeadLetters = append(p.block.DeadLetters, d)
}

// late makes the dead letter of a row whose slot is closed.
func (p *Pipeline) late(b *event.Batch, row *event.Row) event.DeadLetter {
	d := event.DeadLetter{Record: b.Raw(row.Offset), Pipeline: p.block.Pipeline, Reason: event.ReasonLate}
	at := time.Unix(0, row.Time).UTC().Format(time.RFC3339Nano)
	newest, ok := p.state.Newest(row.Asset)
	if !ok || newest < row.Time {
		d.Detail = fmt.Sprintf("event time %s of %q is out of range", at, row.Asset)
		return d
	}
	what := "its slot is"
	if p.line.cfg.Aggregate != nil {
		what = "its windows are"
	}
	d.Detail = fmt.Sprintf("event time %s of %q is %v behind its newest row, and %s closed; the pipeline allows a lateness of %v", at, row.Asset,
		time.Duration(newest-row.Time), what, p.line.cfg.lateness())
	return d
}

func (p *Pipeline) count(counts *[outcomes]int, windows int) {
	m := &p.line.meters
	for out, n := range counts {
		if n > 0 {
			m.rows[out].Add(float64(n))
		}
	}
	m.windows.Add(float64(windows))
	if n := counts[features.Surplus]; n > 0 {
		m.surplus.Add(float64(n))
		if p.surplus == 0 {
			p.log.Warn("rows come more often than the grid: the first complete one of a slot counts; set close to watermark for the last, or a finer grid for all")
		}
		p.surplus += int64(n)
	}
}

// Flush stores what is held and commits it. While a block of the pipeline before must be formed again there is nothing that may be flushed.
func (p *Pipeline) Flush(ctx context.Context) error {
	if p.broken != nil {
		return p.broken
	}
	if err := p.landed(); err != nil {
		return err
	}
	if p.block.Next == p.block.First || p.reform != nil {
		return nil
	}
	return p.flush(ctx)
}

// Due returns when what is held must be flushed, zero when there is nothing to flush.
func (p *Pipeline) Due() time.Time {
	if p.broken != nil || p.reform != nil {
		return time.Time{}
	}
	return p.beside.due(p.line.now(), p.due)
}

// Close ends the partition's metrics. Whoever lets go of the partition may call it.
func (p *Pipeline) Close() {
	if p.beside.done != nil {
		<-p.beside.done
	}
	if p.eye != nil {
		p.eye.Close()
	}
	p.line.all.assets.DeleteLabelValues(p.block.Pipeline, strconv.Itoa(int(p.block.Partition)))
	p.line.all.learning.DeleteLabelValues(p.block.Pipeline, strconv.Itoa(int(p.block.Partition)))
	p.line.learning.Add(-int64(p.learning))
	p.learning = 0
}
