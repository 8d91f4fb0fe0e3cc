package console

import (
	"context"
	"strconv"
)

// lineFeed tells how the line flows, sample by sample, and the status when it changes.
type lineFeed struct {
	line          *line
	next, version uint64
}

func (f *lineFeed) load() func(context.Context) *fault { return nil }
func (f *lineFeed) close()                             {}

func (f *lineFeed) dirty() bool {
	next, version := f.line.at()
	return next != f.next || version != f.version
}

func (f *lineFeed) snapshot(w *writer) error {
	js := openMessage(w.head("snapshot"))
	js = append(js, `,"fields":`...)
	js = append(js, mustJSON(map[string][]string{"pipeline": pipelineFields, "parts": partFields})...)
	js, _ = f.body(js)
	return w.text(js)
}

func (f *lineFeed) delta(w *writer) error {
	js, lost := f.body(openMessage(w.head("delta")))
	if err := w.text(js); err != nil || lost == 0 {
		return err
	}
	w.c.hub.metrics.gaps.Add(float64(lost))
	return w.json(gap{head: w.head("gap"), Count: int(lost)})
}

func (f *lineFeed) body(js []byte) (_ []byte, lost uint64) {
	samples, lost, next := f.line.since(f.next)
	f.next = next
	js = append(js, `,"samples":[`...)
	for i, s := range samples {
		if i > 0 {
			js = append(js, ',')
		}
		js = append(js, s...)
	}
	js = append(js, ']')
	facts, version := f.line.status(f.version)
	if f.version = version; facts != nil {
		js = append(js, `,"status":`...)
		js = append(js, facts...)
	}
	return append(js, '}'), lost
}

// fleetFeed tells each asset's newest score. What changes several times between two messages is told once, as it is now.
type fleetFeed struct {
	hub      *hub
	pipeline string
	version  uint64
}

// fleetColumns name the values of a fleet's row in order; a snapshot's rows have the trend too. Times are milliseconds, the latency microseconds.
var fleetColumns = []string{"asset", "risk", "value", "start", "end", "version", "latency", "scored_at", "partition", "offset", "seen", "trend"}

func (f *fleetFeed) load() func(context.Context) *fault { return nil }
func (f *fleetFeed) close()                             {}
func (f *fleetFeed) dirty() bool                        { return f.hub.board.version(f.pipeline) != f.version }

func (f *fleetFeed) snapshot(w *writer) error {
	d := f.hub.fleetSince(f.pipeline, 0, true)
	f.version = d.version
	js := openMessage(w.head("snapshot"))
	js = append(js, `,"pipeline":`...)
	js = append(js, mustJSON(f.pipeline)...)
	js = append(js, `,"most":`...)
	js = strconv.AppendInt(js, int64(f.hub.board.maxAssets), 10)
	js = append(js, `,"columns":`...)
	js = append(js, mustJSON(fleetColumns)...)
	return w.text(closeRows(js, d))
}

func (f *fleetFeed) delta(w *writer) error {
	d := f.hub.fleetSince(f.pipeline, f.version, false)
	f.version = d.version
	if d.rows == 0 {
		return nil
	}
	return w.text(closeRows(openMessage(w.head("delta")), d))
}

func closeRows(js []byte, d fleetDelta) []byte {
	js = append(js, `,"rows":`...)
	js = append(js, d.js...)
	return append(js, '}')
}

// fleetRows encodes standings as arrays in the order of fleetColumns, with whole the trend too.
func fleetRows(list []standing, whole bool) []byte {
	js := []byte{'['}
	for i := range list {
		s := &list[i]
		if i > 0 {
			js = append(js, ',')
		}
		js = append(js, '[')
		js = append(js, mustJSON(s.Asset)...)
		if s.Scored {
			js = appendScore(js, s)
		} else {
			js = append(js, ",null,null,null,null,null,null,null,null,null,"...)
		}
		js = strconv.AppendInt(js, millis(s.Time), 10)
		if whole {
			js = append(js, ",["...)
			for j, r := range s.Trend {
				if j > 0 {
					js = append(js, ',')
				}
				js = appendNumber(js, float64(r), 3)
			}
			js = append(js, ']')
		}
		js = append(js, ']')
	}
	return append(js, ']')
}

func appendScore(js []byte, s *standing) []byte {
	comma := func() { js = append(js, ',') }
	comma()
	js = appendNumber(js, float64(s.Score.Risk), 4)
	comma()
	js = appendNumber(js, float64(s.Score.Value), 5)
	comma()
	js = strconv.AppendInt(js, millis(s.Score.Start), 10)
	comma()
	js = strconv.AppendInt(js, millis(s.Score.End), 10)
	comma()
	js = append(js, mustJSON(s.Score.Version)...)
	comma()
	js = strconv.AppendInt(js, s.Score.Latency/1000, 10)
	comma()
	js = strconv.AppendInt(js, millis(s.Score.ScoredAt), 10)
	comma()
	js = strconv.AppendInt(js, int64(s.Score.Partition), 10)
	comma()
	js = strconv.AppendInt(js, s.Score.Offset, 10)
	comma()
	return js
}

// trainingFeed tells of training runs: each run that changed, with its new epochs.
type trainingFeed struct {
	trainings *trainings
	version   uint64
}

func (f *trainingFeed) load() func(context.Context) *fault { return nil }
func (f *trainingFeed) close()                             {}
func (f *trainingFeed) dirty() bool                        { return f.trainings.at() != f.version }

func (f *trainingFeed) snapshot(w *writer) error { return f.send(w, "snapshot") }
func (f *trainingFeed) delta(w *writer) error    { return f.send(w, "delta") }

func (f *trainingFeed) send(w *writer, kind string) error {
	runs, version := f.trainings.since(f.version)
	f.version = version
	return w.json(struct {
		head
		Runs []trainingRun `json:"runs"`
	}{w.head(kind), runs})
}
