package trainer

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"andon/event"
	"andon/model"
	"andon/trainer/gate"
)

// progress is a confidence sequence of gains, as it is shown and told.
type progress struct {
	// Since is from when on outcomes count: those that were settled after it, Unix nanoseconds.
	Since int64   `json:"since"`
	Alpha float64 `json:"alpha"`
	// Numbers is how many gains were taken, of so many Assets and Windows; Mean is theirs, within [Low, High] at every moment with a chance of 1-Alpha.
	Numbers int     `json:"numbers"`
	Assets  int     `json:"assets"`
	Windows int     `json:"windows"`
	Mean    float64 `json:"mean"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	// RunningLow and RunningHigh bound the mean gain so far also where what is to be gained goes up and down; Low and High are of one that stays.
	RunningLow  float64 `json:"running_low"`
	RunningHigh float64 `json:"running_high"`
	// Champion and Challenger are mean losses of all windows.
	Champion   float64 `json:"champion"`
	Challenger float64 `json:"challenger"`
	// Points are how the sequence went: numbers, mean, low, high; thinned where there are many.
	Points [][4]float64 `json:"points,omitempty"`

	seq  *gate.Sequence
	sums [2]float64
	told int
}

func newProgress(alpha float64, since int64) *progress {
	return &progress{Since: since, Alpha: alpha, Low: -1, High: 1, RunningLow: -1, RunningHigh: 1, seq: gate.NewSequence(alpha, -1, 1)}
}

// verdict is gate.Promote, gate.Reject or gate.Continue.
func (p *progress) verdict() string {
	switch {
	case p.Low > 0:
		return gate.Promote
	case p.High < 0:
		return gate.Reject
	}
	return gate.Continue
}

// maxPoints bounds what is kept for the chart.
const maxPoints = 256

func (p *progress) add(s *episode) error {
	gain := (s.champion - s.challenger) / float64(s.n)
	if err := p.seq.Add(gain); err != nil {
		return err
	}
	p.Numbers, p.Mean = p.seq.N(), p.seq.Mean()
	p.Low, p.High = p.seq.Interval()
	p.RunningLow, p.RunningHigh = p.seq.Running()
	p.Windows += s.n
	p.sums[0] += s.champion
	p.sums[1] += s.challenger
	p.Champion, p.Challenger = p.sums[0]/float64(p.Windows), p.sums[1]/float64(p.Windows)
	if len(p.Points) == maxPoints {
		kept := p.Points[:0]
		for i := 1; i < maxPoints; i += 2 {
			kept = append(kept, p.Points[i])
		}
		p.Points = kept
	}
	p.Points = append(p.Points, [4]float64{float64(p.Numbers), p.Mean, p.Low, p.High})
	return nil
}

func (p *progress) String() string {
	return fmt.Sprintf("gain %.4g in [%.4g, %.4g] at every look with a chance of %g %%, loss %.4g against %.4g, by %d numbers of %d assets, %d windows", p.Mean, p.Low, p.High, 100*(1-p.Alpha),
		p.Challenger, p.Champion, p.Numbers, p.Assets, p.Windows)
}

// book gathers what two versions' predictions came to, and makes numbers of it. A number is the mean gain of one asset: of a life when it has ended, of other tasks' windows when they cover
// a stretch as long as a window, so that no two numbers share a row, and of frames a stretch of a camera's time as long as picture.block, which counts as an asset. Numbers come in the order in which outcomes were settled, whenever one looks.
type book struct {
	champion, challenger string
	life, frames         bool
	far                  float64 // the cap of a remaining life
	span                 int64   // of event time, of a stretch
	grid                 int64
	since                int64
	halves               map[windowOf]half
	open                 map[string]*episode
	until                map[string]int64 // the last window of each asset that is in a number, or the end of the life that it was of
}

type windowOf struct {
	asset string
	end   int64
}

type half struct {
	challenger bool
	loss       float64
}

// episode sums up paired losses of one asset.
type episode struct {
	n                    int
	champion, challenger float64
	first, last, settled int64
	ends                 int64 // of a life, where it is known
}

// maxHalves bounds the windows of which only one version's outcome is known.
const maxHalves = 500_000

func newBook(c *campaign, p *Pipeline, since int64) *book {
	b := &book{champion: c.Champion, challenger: c.Challenger, life: p.Spec.Task == model.RemainingLife, far: float64(p.Spec.Cap), span: int64(p.Recipe.Length) * int64(p.Recipe.Grid),
		grid: int64(p.Recipe.Grid), since: since,
		halves: map[windowOf]half{}, open: map[string]*episode{}, until: map[string]int64{}}
	if pictured(p.Spec.Task) {
		b.frames, b.span = true, int64(p.Spec.Picture.Block)
	}
	return b
}

// read takes in what has been settled since the last look.
func (b *book) read(ctx context.Context, t *Trainer, pipeline string, into *progress) error {
	if t.means.Mature == nil {
		return nil
	}
	for {
		all, next, err := t.means.Mature(ctx, pipeline, []string{b.champion, b.challenger}, b.since)
		if err != nil {
			return err
		}
		b.since = next
		if len(all) == 0 {
			break
		}
		for i := range all {
			if err := b.take(&all[i], into); err != nil {
				return err
			}
		}
	}
	// What belongs to one life is settled in one round or two, so a life is summed up a little later.
	if err := b.ends(into, time.Now().Add(-2*t.cfg.Look).UnixNano()); err != nil {
		return err
	}
	into.Assets = len(b.until)
	if b.frames { // cameras are few; what one shows in another block of its time is another case
		into.Assets = into.Numbers
	}
	return nil
}

// take takes one outcome. Of a life all that was settled with its failure is one number, also where it is settled in several rounds: what comes after the number was made is of no other life, and is
// left out, since two numbers of one life would say the same twice.
func (b *book) take(o *event.Outcome, into *progress) error {
	if math.IsNaN(o.Loss) || o.Version != b.champion && o.Version != b.challenger {
		return nil
	}
	if until, ok := b.until[o.Asset]; ok && o.End <= until {
		return nil // its label was corrected, and what was counted stays counted
	}
	w := windowOf{o.Asset, o.End}
	mine := half{o.Version == b.challenger, o.Loss}
	other, ok := b.halves[w]
	if !ok || other.challenger == mine.challenger {
		if ok || len(b.halves) < maxHalves {
			b.halves[w] = mine
		}
		return nil
	}
	delete(b.halves, w)
	if mine.challenger {
		mine, other = other, mine
	}
	s := b.open[o.Asset]
	if b.life && s != nil && s.ends > 0 && o.End > s.ends { // the life that followed has ended, too
		if err := b.close(o.Asset, s, into); err != nil {
			return err
		}
		s = nil
	}
	if s == nil {
		s = &episode{first: o.End}
		b.open[o.Asset] = s
	}
	s.n++
	s.champion += mine.loss
	s.challenger += other.loss
	s.first, s.last, s.settled = min(s.first, o.End), max(s.last, o.End), o.Settled
	if b.life && o.Truth < b.far { // where the cap does not hide it, the truth tells when the life ended
		s.ends = max(s.ends, o.End+int64(o.Truth)*b.grid)
	}
	if !b.life && s.last-s.first >= b.span {
		return b.close(o.Asset, s, into)
	}
	return nil
}

// ends makes numbers of the lives whose truth had come by then.
func (b *book) ends(into *progress, by int64) error {
	if !b.life {
		return nil
	}
	assets := slices.SortedFunc(maps.Keys(b.open), func(x, y string) int {
		return cmp.Or(cmp.Compare(b.open[x].settled, b.open[y].settled), cmp.Compare(x, y))
	})
	for _, a := range assets {
		if b.open[a].settled > by {
			break // they are in that order
		}
		if err := b.close(a, b.open[a], into); err != nil {
			return err
		}
	}
	return nil
}

func (b *book) close(asset string, s *episode, into *progress) error {
	delete(b.open, asset)
	b.until[asset] = max(s.last, s.ends)
	return into.add(s)
}
