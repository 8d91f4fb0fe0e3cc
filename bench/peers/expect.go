package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Tally is what an output topic was found to hold.
type Tally struct {
	Expected int64 `json:"expected"` // results that must be there; for sums, records
	Records  int64 `json:"records"`  // result records in the topic
	Good     int64 `json:"good"`     // distinct right results
	Doubled  int64 `json:"doubled"`  // right results beyond the first
	Wrong    int64 `json:"wrong"`    // results that nobody expects, or with another value
	Fault    string
}

// Missing returns how many expected results are not there.
func (t Tally) Missing() int64 { return t.Expected - t.Good }

// A Checker knows the right output of a job and ticks off what arrives. It computes it from the input's definition, with none of the peers' code.
type Checker interface {
	// Check takes one output record. It returns whether the record was a result that was still missing.
	Check(key, value []byte) bool
	Tally() Tally
}

// A Decode turns one output record into window results; it returns none for a record that is no result.
type Decode func(key, value []byte) ([]Window, error)

// Window is one window's result as a peer published it.
type Window struct {
	Asset string  `json:"asset"`
	Start int64   `json:"start"` // Unix milliseconds
	Count int64   `json:"count"`
	Mean  float64 `json:"mean"`
}

// decodeWindow reads the form that the Java peers write: {"asset":…,"start":…,"count":…,"mean":…}.
func decodeWindow(_, value []byte) ([]Window, error) {
	var w Window
	if err := json.Unmarshal(value, &w); err != nil {
		return nil, err
	}
	return []Window{w}, nil
}

// windows is the checker of the window jobs.
type windows struct {
	decode  Decode
	slide   int64
	firstID int64 // number of the earliest window: its start divided by slide
	perKey  int64
	count   []int32
	sum     []float64
	seen    []bool
	tally   Tally
}

// newWindows computes every window's count and sum by panes of one slide.
func newWindows(in Input, job Job, decode Decode) *windows {
	size, step := job.Window()
	slide := step.Milliseconds()
	panes := size.Milliseconds() / slide
	w := &windows{decode: decode, slide: slide, firstID: first/slide - panes + 1}
	w.perKey = in.End()/slide - w.firstID + 1
	w.count = make([]int32, in.Keys*w.perKey)
	w.sum = make([]float64, in.Keys*w.perKey)
	w.seen = make([]bool, in.Keys*w.perKey)
	paneCount := make([]int32, in.Keys*w.perKey)
	paneSum := make([]float64, in.Keys*w.perKey)
	for i := range in.Records {
		at := in.Asset(i)*w.perKey + in.Time(i)/slide - w.firstID
		paneCount[at]++
		paneSum[at] += Field(i)
	}
	for k := range in.Keys {
		for n := range w.perKey {
			at := k*w.perKey + n
			for p := n; p < min(n+panes, w.perKey); p++ {
				w.count[at] += paneCount[k*w.perKey+p]
				w.sum[at] += paneSum[k*w.perKey+p]
			}
			if w.count[at] > 0 {
				w.tally.Expected++
			}
		}
	}
	return w
}

func (w *windows) Check(key, value []byte) bool {
	results, err := w.decode(key, value)
	if err != nil {
		w.fault("%s: %v", value, err)
		return false
	}
	fresh := false
	for _, r := range results {
		fresh = w.one(r) || fresh
	}
	return fresh
}

func (w *windows) one(r Window) bool {
	if isFlush(r.Asset) {
		return false
	}
	w.tally.Records++
	asset, ok := ParseKey(r.Asset)
	n := r.Start/w.slide - w.firstID
	if !ok || r.Start%w.slide != 0 || n < 0 || n >= w.perKey || asset*w.perKey+n >= int64(len(w.count)) {
		w.fault("%+v: no such window", r)
		return false
	}
	at := asset*w.perKey + n
	if int64(w.count[at]) != r.Count || !near(r.Mean, w.sum[at]/float64(w.count[at])) {
		w.fault("%+v: want count %d, mean %v", r, w.count[at], w.sum[at]/float64(w.count[at]))
		return false
	}
	if w.seen[at] {
		w.tally.Doubled++
		return false
	}
	w.seen[at] = true
	w.tally.Good++
	return true
}

func (w *windows) fault(format string, args ...any) { w.tally.fault(format, args...) }

func (w *windows) Tally() Tally { return w.tally }

// sums is the checker of peers that window by the clock on the wall: what falls into which window is open, so only the totals can be right or wrong.
type sums struct {
	decode Decode
	tally  Tally
	want   float64
	sum    float64
}

func newSums(in Input, decode Decode) *sums {
	s := &sums{decode: decode, tally: Tally{Expected: in.Records}}
	for i := range in.Records {
		s.want += Field(i)
	}
	return s
}

func (s *sums) Check(key, value []byte) bool {
	results, err := s.decode(key, value)
	if err != nil {
		s.tally.fault("%s: %v", value, err)
		return false
	}
	before := s.tally.Good
	for _, r := range results {
		if isFlush(r.Asset) {
			continue
		}
		s.tally.Records++
		s.sum += r.Mean * float64(r.Count)
		room := min(s.tally.Expected-s.tally.Good, r.Count)
		s.tally.Good += room
		s.tally.Doubled += r.Count - room
	}
	return s.tally.Good > before
}

func (s *sums) Tally() Tally {
	t := s.tally
	if t.Good == t.Expected && t.Doubled == 0 && !near(s.sum, s.want) {
		t.fault("the values add up to %v, want %v", s.sum, s.want)
	}
	return t
}

// maps is the checker of the map job: each record by its seq.
type maps struct {
	in    Input
	key   []byte // room for one
	seen  []uint64
	tally Tally
}

func newMaps(in Input) *maps {
	m := &maps{in: in, key: make([]byte, 0, 32), seen: make([]uint64, (in.Records+63)/64)}
	for i := range in.Records {
		if Passes(i) {
			m.tally.Expected++
		}
	}
	return m
}

func (m *maps) Check(key, value []byte) bool {
	seq, ok := number(value, `"seq":`)
	i := int64(seq) - seqBase
	if ok && i == -1 {
		return false
	}
	m.tally.Records++
	added, has := number(value, `"s_5_f":`)
	switch {
	case !ok || i < 0 || i >= m.in.Records || !Passes(i):
		m.tally.fault("%s: no such result", value)
		return false
	case !has || !near(added, Field(i)*1.8+32):
		m.tally.fault("%s: want s_5_f %v", value, Field(i)*1.8+32)
		return false
	case string(key) != string(AppendKey(m.key[:0], m.in.Asset(i))):
		m.tally.fault("%s: under the key %s", value, key)
		return false
	case i%997 == 0 && !m.whole(i, value):
		m.tally.fault("%s: fields were lost", value)
		return false
	}
	if m.seen[i/64]&(1<<(i%64)) != 0 {
		m.tally.Doubled++
		return false
	}
	m.seen[i/64] |= 1 << (i % 64)
	m.tally.Good++
	return true
}

// whole says whether value is JSON that still holds every field of record i.
func (m *maps) whole(i int64, value []byte) bool {
	var want, got map[string]any
	if json.Unmarshal(m.in.AppendRecord(nil, i), &want) != nil || json.Unmarshal(value, &got) != nil || len(got) != len(want)+1 {
		return false
	}
	for k, v := range want {
		if got[k] != v {
			return false
		}
	}
	return true
}

func (m *maps) Tally() Tally { return m.tally }

func (t *Tally) fault(format string, args ...any) {
	t.Wrong++
	if t.Fault == "" {
		t.Fault = fmt.Sprintf(format, args...)
	}
}

// number returns the number after the first occurrence of label.
func number(value []byte, label string) (float64, bool) {
	_, rest, ok := bytes.Cut(value, []byte(label))
	if !ok {
		return 0, false
	}
	end := bytes.IndexAny(rest, ",}")
	if end < 0 {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(bytes.TrimSpace(rest[:end])), 64)
	return f, err == nil
}

// near compares to nine digits: peers add in another order.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(math.Abs(a), math.Abs(b)) }

func isFlush(asset string) bool {
	return len(asset) > len(flushPrefix) && asset[:len(flushPrefix)] == flushPrefix
}
