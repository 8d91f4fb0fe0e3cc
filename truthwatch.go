package main

import (
	"bytes"
	"cmp"
	"encoding/gob"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"andon/event"
	"andon/model"
	"andon/processors/drift"
	"andon/trainer/truth"
)

// errorWatch follows how wrong one pipeline's champion is, by its settled outcomes, and tells when that has grown, and when it is over. The loss is taken in blocks of one asset each, since windows
// that overlap, and frames of one second, are wrong together. What the first blocks lose says what is usual; from then on a block is an error if it loses more than four in five of those, and the panel
// of detectors decides whether errors have become more. It is a fold over outcomes in the order in which they were settled: the same ones come to the same, however they are parted.
type errorWatch struct {
	pipeline string
	errorState
	worse *drift.ErrorPanel
	// better gets the blocks' losses less the mean of the first ones, in deviations of those: where it finds a change, less is usual now.
	better *drift.PageHinkley
	open   map[blockKey]*lossBlock
}

// errorState is what an errorWatch knows, beside its detectors and open blocks.
type errorState struct {
	Version string
	// N counts the blocks since it began anew, Sum adds up their losses, Classes does so by what labels said.
	N       int
	Sum     float64
	Classes map[string]tally
	// Mean and SD are those of the first blocks; a block that loses more than Limit is an error.
	Mean, SD, Limit float64
	// Doubt counts down while the panel has found a rise that may be over already.
	Doubt int
	// Newest are the last blocks, at most recentBlocks.
	Newest []lossBlock
	// Statement is when the outcomes were settled that came last, of those that were settled together.
	Statement int64
	// Alarm is what was told and is not over, Untold what there is to tell.
	Alarm  *event.Alarm
	Untold []event.Alarm
}

type tally struct {
	N   int
	Sum float64
}

// blockKey names whose block it is: of frames also what the label said.
type blockKey struct{ Asset, Class string }

type lossBlock struct {
	Key      blockKey
	From, To int64
	N        int
	Sum      float64
	// Truth is the last that was taken of a remaining life.
	Truth float64
}

func (b *lossBlock) mean() float64 { return b.Sum / float64(b.N) }

// firstBlocks say what is usual, and usualRank of them lose no more than what is no error.
const (
	firstBlocks = 30
	usualRank   = 24
)

// dwellBlocks is of how many of the newest blocks the mean must be above what is usual, by errorTolerance deviations, for a rise to be told, and how many more may come until it is.
const (
	dwellBlocks    = 10
	errorTolerance = 0.5
)

const (
	recentBlocks   = 128
	openBlocks     = 4096
	classesTallied = 64
)

// mostDeviations is what one block may count.
const mostDeviations = 4

// leastDeviation is that of a model that is right to a hundredth, and the least loss that is an error.
const leastDeviation = 0.01

// frameBlock is how long frames of one camera show much the same.
const frameBlock = int64(time.Second)

// together is how far apart outcomes that were settled by one statement are at most.
const together = int64(time.Millisecond)

// errorPanel are the panel's settings for blocks, of which there are hundreds where there are thousands of single errors: windows of detectors are short, and they are less easily satisfied. On blocks
// that are independent that is none in 120,000; a rise by three deviations is found within 19, by one within 67 in nine of ten cases (TestErrorWatchChance).
func errorPanel() drift.ErrorPanelConfig {
	c := drift.DefaultErrorPanel()
	c.DDM.Drift = 3
	c.CUSUM.Threshold = 8
	c.STEPD.Drift = 0.001
	c.ADWIN.Delta, c.ADWIN.Clock = 0.02, 1
	c.SEED.Delta, c.SEED.Block = 0.02, 4
	c.Agree, c.Span, c.Cooldown = 3, 50, firstBlocks
	return c
}

func newErrorWatch(pipeline string) *errorWatch {
	w := &errorWatch{pipeline: pipeline, open: map[blockKey]*lossBlock{}}
	w.worse = drift.NewErrorPanel(errorPanel())
	w.better = drift.NewPageHinkley(drift.PageHinkleyConfig{Delta: errorTolerance, Threshold: 15, Alpha: 1, Side: drift.Down})
	w.anew()
	return w
}

// anew learns again what is usual.
func (w *errorWatch) anew() {
	w.worse.Reset()
	w.better.Reset()
	w.N, w.Sum, w.Classes, w.Mean, w.SD, w.Limit, w.Doubt = 0, 0, map[string]tally{}, 0, 0, 0, 0
}

// take takes settled outcomes in the order of settling, of which those of the champion count; none say that all that were settled so far are here. size is how many windows are a block.
func (w *errorWatch) take(champion string, rule *truth.Rule, size int, all []truth.Outcome) {
	if champion != w.Version {
		at := int64(0)
		if len(all) > 0 {
			at = all[len(all)-1].End
		}
		w.over("another model is the champion now", at)
		untold := w.Untold
		*w = *newErrorWatch(w.pipeline)
		w.Version, w.Untold = champion, untold
	}
	for i := range all {
		if o := &all[i]; o.Version == champion && !math.IsNaN(o.Loss) {
			w.outcome(rule, size, o)
		}
	}
	if len(all) == 0 && rule.Task == model.RemainingLife {
		w.ends(rule)
	}
}

// outcome adds to the block of its asset. A block of a remaining life is what was settled at once of one life, of frames a second, of others as many windows as one holds.
func (w *errorWatch) outcome(rule *truth.Rule, size int, o *truth.Outcome) {
	key := blockKey{Asset: o.Asset}
	frame := rule.Task == model.Classification || rule.Task == model.Detection
	life := rule.Task == model.RemainingLife
	if frame {
		key.Class = o.Label
	}
	if life && o.Settled-w.Statement >= together {
		w.ends(rule)
		w.Statement = o.Settled
	}
	b := w.open[key]
	if b != nil && (frame && (o.End-b.From >= frameBlock || o.End <= b.From-frameBlock) || life && o.Truth > b.Truth) {
		w.block(rule, b)
		b = nil
	}
	if b == nil {
		b = &lossBlock{Key: key, From: o.Start}
		w.open[key] = b
	}
	b.From, b.To, b.Truth = min(b.From, o.Start), max(b.To, o.End), o.Truth
	b.N, b.Sum = b.N+1, b.Sum+o.Loss
	if !frame && !life && b.N >= size {
		w.block(rule, b)
	}
	if len(w.open) > openBlocks { // the one that has waited longest is taken as it is
		w.block(rule, slices.MinFunc(slices.Collect(maps.Values(w.open)), func(a, b *lossBlock) int { return cmp.Or(cmp.Compare(a.To, b.To), a.Key.compare(b.Key)) }))
	}
}

func (k blockKey) compare(o blockKey) int {
	return cmp.Or(cmp.Compare(k.Asset, o.Asset), cmp.Compare(k.Class, o.Class))
}

// ends takes the lives that were settled.
func (w *errorWatch) ends(rule *truth.Rule) {
	for _, k := range slices.SortedFunc(maps.Keys(w.open), blockKey.compare) {
		w.block(rule, w.open[k])
	}
}

// block takes a full block.
func (w *errorWatch) block(rule *truth.Rule, b *lossBlock) {
	delete(w.open, b.Key)
	if w.Newest = append(w.Newest, *b); len(w.Newest) > recentBlocks {
		w.Newest = slices.Delete(w.Newest, 0, 1)
	}
	if w.Alarm != nil {
		if w.recovered(rule) {
			w.over("as often right as before", b.To)
			w.anew()
		}
		return
	}
	w.N++
	w.Sum += b.mean()
	if t, ok := w.Classes[b.Key.Class]; ok || len(w.Classes) < classesTallied {
		w.Classes[b.Key.Class] = tally{t.N + 1, t.Sum + b.mean()}
	}
	if w.N < firstBlocks {
		return
	}
	if w.N == firstBlocks {
		w.learn()
		for _, b := range w.Newest[len(w.Newest)-firstBlocks:] {
			w.worse.Update(w.wrong(&b))
		}
		return
	}
	if w.better.Update(w.deviations(b)) {
		w.anew()
		return
	}
	switch {
	case w.Doubt > 0:
		w.Doubt--
	case w.worse.Update(w.wrong(b)):
		w.Doubt = dwellBlocks
	}
	if w.Doubt > 0 && w.stands() {
		w.Doubt = 0
		w.tell(rule, b.To)
	}
}

// learn takes what is usual from the first blocks.
func (w *errorWatch) learn() {
	first := w.Newest[len(w.Newest)-firstBlocks:]
	losses := make([]float64, 0, firstBlocks)
	w.Mean = w.Sum / firstBlocks
	for i := range first {
		x := first[i].mean()
		w.SD += (x - w.Mean) * (x - w.Mean) / (firstBlocks - 1)
		losses = append(losses, x)
	}
	w.SD = max(math.Sqrt(w.SD), leastDeviation)
	slices.Sort(losses)
	w.Limit = losses[usualRank-1]
	if most := losses[firstBlocks-1]; w.Limit == most { // more than most is never lost, as where one frame in three is read wrongly: the next less
		if i, _ := slices.BinarySearch(losses, most); i > 0 {
			w.Limit = losses[i-1]
		}
	}
	w.Limit = max(w.Limit, leastDeviation)
}

// wrong is 1 for a block that is an error.
func (w *errorWatch) wrong(b *lossBlock) float64 {
	if b.mean() > w.Limit {
		return 1
	}
	return 0
}

// deviations is how far a block is above what is usual.
func (w *errorWatch) deviations(b *lossBlock) float64 {
	return min(max((b.mean()-w.Mean)/w.SD, -mostDeviations), mostDeviations)
}

// stands tells whether the newest blocks are still above what is usual.
func (w *errorWatch) stands() bool {
	sum := 0.0
	for i := range dwellBlocks {
		sum += w.deviations(&w.Newest[len(w.Newest)-1-i])
	}
	return sum > dwellBlocks*errorTolerance
}

// errorRecord is an errorWatch as it is kept.
type errorRecord struct {
	Rule          errorRule
	State         errorState
	Open          []lossBlock
	Worse, Better []byte
}

// errorRule is what a pipeline's losses are told by: those of another rule are no measure for what comes.
type errorRule struct {
	Task         model.Task
	Cap, Horizon int
}

// save writes down what is known.
func (w *errorWatch) save(rule *truth.Rule) ([]byte, error) {
	r := errorRecord{Rule: errorRule{rule.Task, rule.Cap, rule.Horizon}, State: w.errorState, Worse: w.worse.AppendState(nil), Better: w.better.AppendState(nil)}
	for _, k := range slices.SortedFunc(maps.Keys(w.open), blockKey.compare) {
		r.Open = append(r.Open, *w.open[k])
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(&r); err != nil {
		return nil, fmt.Errorf("write down the watch of the error of %s: %w", w.pipeline, err)
	}
	return b.Bytes(), nil
}

// restore goes on from what save gave; after an error it is as new. An alarm that stands is told again, to those who were not there.
func (w *errorWatch) restore(rule *truth.Rule, state []byte) (err error) {
	defer func() {
		if err != nil {
			*w = *newErrorWatch(w.pipeline)
			err = fmt.Errorf("go on with the watch of the error of %s: %w", w.pipeline, err)
		}
	}()
	var r errorRecord
	if err := gob.NewDecoder(bytes.NewReader(state)).Decode(&r); err != nil {
		return err
	}
	if now := (errorRule{rule.Task, rule.Cap, rule.Horizon}); r.Rule != now {
		return fmt.Errorf("it is of another task or horizon: %+v, not %+v", r.Rule, now)
	}
	if err := w.worse.Restore(r.Worse); err != nil {
		return err
	}
	if err := w.better.Restore(r.Better); err != nil {
		return err
	}
	w.errorState = r.State
	if w.Classes == nil {
		w.Classes = map[string]tally{}
	}
	for i := range r.Open {
		w.open[r.Open[i].Key] = &r.Open[i]
	}
	if w.Alarm != nil && len(w.Untold) == 0 {
		w.Untold = append(w.Untold, *w.Alarm)
	}
	return nil
}
