package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"andon/ingest/dial"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Security is how the brokers are spoken to. The zero value is plain text without a user.
type Security = dial.Security

// Surroundings are what a replay needs beside its definition.
type Surroundings struct {
	// Brokers are host:port.
	Brokers  []string
	Security Security
	// Files is where the recording is looked up; nil: the disk.
	Files fs.FS
	// Cursor names the file that remembers how far the replay is, so that the next one goes on there; empty: none.
	Cursor string
	// Progress is called about once a second, and at the end, from one goroutine at a time. It may be nil.
	Progress func(Progress)
}

// Progress tells how far a replay is.
type Progress struct {
	Name string
	// Rows have been acknowledged since the very beginning, of Total; Total is 0 for a loop.
	Rows, Total int64
	// Event is the event time of the last row sent.
	Event time.Time
	// RowsPerSecond is of the last second.
	RowsPerSecond float64
	// Behind is how late the last row was sent, measured against the speed.
	Behind time.Duration
	Done   bool
}

// Player plays one recording.
type Player struct {
	def  Replay
	with Surroundings
	tick time.Duration // between cursors
	log  *slog.Logger
}

// window is how many records may be under way: a second of a fast broker, some MiB of memory.
const window = 8192

// New checks the definition; it opens nothing.
func New(def Replay, with Surroundings, log *slog.Logger) (*Player, error) {
	if err := def.Validate(); err != nil {
		return nil, err
	}
	if len(with.Brokers) == 0 {
		return nil, errors.New("brokers: none is named")
	}
	if def.Timeout == 0 {
		def.Timeout = time.Minute
	}
	return &Player{def, with, time.Second, log.With("replay", def.Name)}, nil
}

// Run reads the recording, sends it, and returns nil at its end or when ctx ends: what was sent is then acknowledged and the cursor written. A second Run
// goes on where the first one stopped; rows that were on their way in a crash are sent twice.
func (p *Player) Run(ctx context.Context) error {
	from, err := p.cursor()
	if err != nil {
		return fmt.Errorf("replay %s: %w", p.def.Name, err)
	}
	if from != nil && from.Done {
		p.log.Info("replayed before", "rows", from.Rows)
		p.report(Progress{Name: p.def.Name, Rows: from.Rows, Total: from.Rows, Event: from.Time, Done: true})
		return nil
	}
	rec, err := load(p.def, p.with.Files)
	if err != nil {
		return fmt.Errorf("replay %s: %w", p.def.Name, err)
	}
	r := &run{Player: p, rec: rec, order: newOrder(rec, p.def.Loop, p.def.Gap), print: rec.fingerprint(),
		pace: pace{speed: p.def.Speed, rate: p.def.MaxRate, fast: p.def.FastRows}, slots: make(chan struct{}, window)}
	if err := r.goOn(from); err != nil {
		return fmt.Errorf("replay %s: %w", p.def.Name, err)
	}
	if err := r.play(ctx); err != nil {
		return fmt.Errorf("replay %s: %w", p.def.Name, err)
	}
	return nil
}

func (p *Player) cursor() (*cursor, error) {
	if p.with.Cursor == "" {
		return nil, nil
	}
	return readCursor(p.with.Cursor)
}

func (p *Player) report(at Progress) {
	if p.with.Progress != nil {
		p.with.Progress(at)
	}
}

// run is one Run of a Player.
type run struct {
	*Player
	rec     *recording
	order   *order
	print   string
	pace    pace
	client  *kgo.Client
	trouble dial.Trouble
	tally   tally
	slots   chan struct{} // one a record under way
	at      place         // of the last row sent; the sender's own
	arrived bool          // rows were acknowledged; the sender's own

	event  atomic.Int64 // the same for the watcher
	behind atomic.Int64
	kept   place // what the cursor says
	last   struct {
		rows int64
		at   time.Time
	}
}

// goOn takes up where a cursor points.
func (r *run) goOn(from *cursor) error {
	if from == nil {
		return nil
	}
	if from.Recording != r.print {
		return fmt.Errorf("the cursor %s belongs to another recording, or to other rows of it: delete it to begin again", r.with.Cursor)
	}
	at := slices.IndexFunc(r.rec.assets, func(a *asset) bool { return a.name == from.Asset })
	if at < 0 {
		return fmt.Errorf("the cursor %s names the asset %s, which the recording lacks: delete it to begin again", r.with.Cursor, from.Asset)
	}
	r.at = place{mark{from.Time.UnixNano(), at, from.Position}, from.Rows}
	r.kept, r.tally.done, r.last.rows = r.at, r.at, r.at.rows
	r.pace.fast = max(0, r.pace.fast-from.Rows)
	r.order.seek(r.at.mark)
	r.log.Info("replay goes on", "rows", from.Rows, "event_time", from.Time)
	return nil
}

func (r *run) play(ctx context.Context) error {
	opts, err := dial.Options(r.with.Brokers, "andon-replay", r.with.Security, r.log)
	if err != nil {
		return err
	}
	codec := kgo.Lz4Compression()
	if r.def.Compression == "none" {
		codec = kgo.NoCompression()
	}
	r.client, err = kgo.NewClient(append(opts, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(codec),
		// 5 ms gather a fleet's rows of one instant into one batch, and nobody sees them on a chart.
		kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedRecords(window), kgo.UnknownTopicRetries(8), kgo.RetryBackoffFn(dial.Backoff), kgo.WithHooks(&r.trouble))...)
	if err != nil {
		return err
	}
	defer r.client.Close()
	if err := dial.Refused(ctx, r.client); err != nil {
		return err
	}

	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r.last.at = time.Now()
	watched := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(watched)
		r.watch(stop, fail)
	}()
	finished := r.send(ctx, fail)
	err = r.drain(ctx, finished)
	close(stop)
	<-watched
	if cause := context.Cause(ctx); err == nil && cause != nil && !isStop(cause) {
		err = cause // a record failed while we drained
	}
	return errors.Join(err, r.settle(finished && err == nil && r.tally.settledAll()))
}

// send gives all rows to the client at their time. finished tells that there are no more.
func (r *run) send(ctx context.Context, fail context.CancelCauseFunc) (finished bool) {
	for {
		m, more := r.order.pop()
		if !more {
			return true
		}
		if err := r.pace.wait(ctx, m.time); err != nil {
			return false
		}
		if r.pace.stalls > 0 {
			r.pace.stalls = 0
			r.log.Warn("the replay was held up for more than a minute and goes on from where it is", "event_time", time.Unix(0, m.time).UTC())
		}
		a := r.rec.assets[m.asset]
		w, shift, _ := r.order.row(m.asset, m.pos)
		at := place{m, r.at.rows + 1}
		value := r.rec.appendRecord(make([]byte, 0, len(a.head)+64+len(r.rec.names)*8+int(w.size)), a, w, shift)
		if !r.produce(ctx, fail, at, &kgo.Record{Topic: r.def.Topic, Key: []byte(a.name), Value: value}) {
			return false
		}
		if r.def.Label != nil && a.whole && r.order.ends(m) && !r.sendLabel(ctx, fail, at, r.label(a, m)) {
			return false
		}
		r.at = at
		r.event.Store(m.time)
		r.behind.Store(int64(r.pace.behind))
	}
}

// sendLabel sends the label of a row that went out, also when somebody has asked to stop since: the cursor is going to pass the row. Before the first label it waits until
// the rows so far are acknowledged: of rows that no topic takes nothing may be claimed. It returns false when the label could not go out.
func (r *run) sendLabel(ctx context.Context, fail context.CancelCauseFunc, at place, label *kgo.Record) bool {
	if !r.arrived {
		_ = r.client.Flush(ctx) // what a row met is told by its own callback
	}
	if ctx.Err() != nil {
		if !isStop(context.Cause(ctx)) {
			return false
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if !r.arrived && r.client.Flush(last) != nil {
			return false
		}
		ctx = last
	}
	r.arrived = true
	return r.produce(ctx, fail, at, label)
}

func (r *run) label(a *asset, m mark) *kgo.Record {
	value, _ := json.Marshal(struct {
		Pipeline string    `json:"pipeline"`
		Asset    string    `json:"asset"`
		Time     time.Time `json:"time"`
		Label    string    `json:"label"`
	}{r.def.Label.Pipeline, a.name, time.Unix(0, m.time).UTC(), r.def.Label.Kind})
	return &kgo.Record{Topic: r.def.Label.Topic, Key: []byte(a.name), Value: value}
}

// produce hands a record to the client; it waits while too many are under way, and returns false when ctx has ended.
func (r *run) produce(ctx context.Context, fail context.CancelCauseFunc, at place, record *kgo.Record) bool {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	s := r.tally.sent(at)
	// The record lives on when ctx ends: it is drained.
	r.client.Produce(context.WithoutCancel(ctx), record, func(rec *kgo.Record, err error) {
		<-r.slots
		if err != nil {
			fail(explain(rec.Topic, r.with.Brokers, err))
			return // it stays unacknowledged, and the cursor before it
		}
		r.tally.acknowledged(s)
	})
	return true
}

func explain(topic string, brokers []string, err error) error {
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("send to %s: the topic does not exist on %s: create it, or name another", topic, strings.Join(brokers, ","))
	}
	return fmt.Errorf("send to %s: %w", topic, err)
}

// drain waits for what is under way: as long as the broker answers at the end of the recording, 5 s when asked to stop.
func (r *run) drain(ctx context.Context, finished bool) error {
	if finished {
		if err := r.client.Flush(ctx); err == nil || ctx.Err() == nil {
			return err
		}
	}
	if cause := context.Cause(ctx); !isStop(cause) {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := r.client.Flush(ctx); err != nil {
		r.log.Warn("stopped before the broker acknowledged all: the next replay sends the rest", "error", err)
	}
	return nil
}

// isStop tells that nothing went wrong: somebody asked.
func isStop(cause error) bool {
	return errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded)
}

// watch keeps the cursor, tells progress, and gives up on a broker that is silent.
func (r *run) watch(stop <-chan struct{}, fail context.CancelCauseFunc) {
	tick := time.NewTicker(r.tick)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		done, silent := r.tally.advance()
		if silent > r.def.Timeout {
			err := fmt.Errorf("no acknowledgement from %s for %v: check that the broker runs and has room", strings.Join(r.with.Brokers, ","), r.def.Timeout)
			if why := r.trouble.Err(); why != nil {
				err = fmt.Errorf("%w (%v)", err, why)
			}
			fail(err)
		}
		if err := r.keep(done, false); err != nil {
			fail(err)
		}
		r.tell(done, false)
	}
}

// keep writes the cursor if there is news.
func (r *run) keep(at place, done bool) error {
	if r.with.Cursor == "" || at.rows == 0 || at == r.kept && !done {
		return nil
	}
	r.kept = at
	c := cursor{Recording: r.print, Asset: r.rec.assets[at.mark.asset].name, Position: at.mark.pos, Time: time.Unix(0, at.mark.time).UTC(),
		Rows: at.rows, Done: done}
	if err := c.write(r.with.Cursor); err != nil {
		return fmt.Errorf("keep the cursor: %w", err)
	}
	return nil
}

func (r *run) tell(at place, done bool) {
	now := time.Now()
	p := Progress{Name: r.def.Name, Rows: at.rows, Behind: time.Duration(r.behind.Load()), Done: done}
	if t := r.event.Load(); t != 0 {
		p.Event = time.Unix(0, t).UTC()
	}
	if !r.def.Loop {
		p.Total = r.rec.rows
	}
	if since := now.Sub(r.last.at).Seconds(); since > 0 {
		p.RowsPerSecond = float64(at.rows-r.last.rows) / since
	}
	r.last.rows, r.last.at = at.rows, now
	r.report(p)
}

// settle is the last word: cursor, progress, log.
func (r *run) settle(done bool) error {
	at, _ := r.tally.advance()
	err := r.keep(at, done)
	r.tell(at, done)
	r.log.Info("replay ended", "rows", at.rows, "done", done)
	return err
}
