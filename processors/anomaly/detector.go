package anomaly

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"andon/event"
	"andon/processors/baseline"
	"andon/processors/surprise"
)

// detector watches one asset. What it does is a function of the rows that it was shown.
type detector interface {
	// update takes the values of the next slot. It tells false while it learns. It keeps nothing of the slice.
	update(values []float32) (event.Verdict, bool)
	// gap tells that slots are missing before the next.
	gap()
	// learned tells whether update has something to say.
	learned() bool
	appendState(dst []byte) ([]byte, error)
}

// verdict is that of a size in limits: risk is one half at the limit, three quarters at twice that, and so on.
func verdict(size float64) event.Verdict {
	return event.Verdict{Value: float32(size), Risk: float32(1 - math.Exp2(-size)), Run: event.Run{Batch: 1}}
}

// below is the greatest risk that is no alarm: one half is the limit.
var below = math.Nextafter32(0.5, 0)

// surprises is one detector of surprise a signal; what surprises most counts. The value is of the newest slot; the risk is that of the window, so it stays while the window holds what was an alarm, and a rule sees it.
type surprises struct {
	alarm float64
	look  int
	all   []*surprise.Detector
	// high is the risk of an alarm that is within the window for left slots more.
	high float32
	left int
}

func newSurprises(cfg surprise.Config, look, signals int) *surprises {
	d := &surprises{alarm: cfg.Alarm, look: look}
	for range signals {
		d.all = append(d.all, surprise.New(cfg))
	}
	return d
}

func (d *surprises) update(values []float32) (event.Verdict, bool) {
	most, told := 0.0, d.learned()
	for i, x := range values {
		most = max(most, d.all[i].Update(float64(x)))
	}
	v := verdict(most / d.alarm)
	if d.left > 0 {
		d.left--
		v.Risk = max(v.Risk, d.high)
	}
	if v.Value >= 1 {
		d.high, d.left = v.Risk, d.look-1
	}
	return v, told
}

func (d *surprises) gap() {
	d.left = 0
	for _, s := range d.all {
		s.Gap()
	}
}

func (d *surprises) learned() bool { return d.all[0].Warm() } // all have had as many values

func (d *surprises) appendState(dst []byte) ([]byte, error) {
	dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(d.high))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(d.left)) //nolint:gosec // Validate bounds what it looks back
	for _, s := range d.all {
		at := len(dst)
		dst = s.AppendState(append(dst, 0, 0, 0, 0))
		putLength(dst[at:])
	}
	return dst, nil
}

func restoreSurprises(data []byte, cfg surprise.Config, look, signals int) (*surprises, error) {
	d := &surprises{alarm: cfg.Alarm, look: look}
	if len(data) < 8 {
		return nil, fmt.Errorf("the state of %d bytes is cut short", len(data))
	}
	d.high, d.left, data = math.Float32frombits(binary.LittleEndian.Uint32(data)), int(binary.LittleEndian.Uint32(data[4:])), data[8:]
	if !(d.high >= 0 && d.high <= 1) || d.left >= look {
		return nil, fmt.Errorf("a risk of %v for %d slots is none", d.high, d.left)
	}
	for range signals {
		part, rest, ok := cutLength(data)
		if !ok {
			return nil, fmt.Errorf("the state of signal %d is cut short", len(d.all))
		}
		s, err := surprise.Restore(part, cfg)
		if err != nil {
			return nil, err
		}
		if d.all, data = append(d.all, s), rest; s.Warm() != d.all[0].Warm() {
			return nil, fmt.Errorf("signal %d is not as far as the first", len(d.all)-1)
		}
	}
	if len(data) > 0 {
		return nil, fmt.Errorf("%d bytes are left", len(data))
	}
	return d, nil
}

// departures is a baseline that is learned of the first rows.
type departures struct {
	cfg   Baseline
	width int
	// rows are those that it learns from, until it has.
	rows []float64
	of   *baseline.Detector
	row  []float64
}

func newDepartures(cfg Baseline, signals int) *departures {
	return &departures{cfg: cfg, width: signals, row: make([]float64, signals)}
}

func (d *departures) update(values []float32) (event.Verdict, bool) {
	for i, x := range values {
		d.row[i] = float64(x)
	}
	if d.of == nil {
		if d.rows = append(d.rows, d.row...); len(d.rows) == d.cfg.Learn*d.width {
			var err error
			if d.of, err = baseline.Learn(slices.Collect(slices.Chunk(d.rows, d.width)), d.cfg.Config); err != nil {
				panic(err) // Validate has seen to the number of rows, and slots hold numbers
			}
			d.rows = nil
		}
		return event.Verdict{}, false
	}
	said := d.of.Update(d.row)
	v, told := verdict(said.Level), said.Out
	if d.cfg.Tell == TellChanges {
		v, told = verdict(max(said.Jump, said.Level)), said.Change
	}
	// Whether it is told goes by what was before, too: what remains of a departure is none, and within one the level may be below the limit.
	if told {
		v.Risk = max(v.Risk, 0.5)
	} else {
		v.Risk = min(v.Risk, below)
	}
	return v, true
}

func (d *departures) gap() {}

func (d *departures) learned() bool { return d.of != nil }

func (d *departures) appendState(dst []byte) ([]byte, error) {
	if d.of != nil {
		return d.of.AppendState(append(dst, 1))
	}
	return appendFloats(append(dst, 0), d.rows), nil
}

func restoreDepartures(data []byte, cfg Baseline, signals int) (d *departures, err error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("the state is empty")
	}
	d = newDepartures(cfg, signals)
	if data[0] == 1 {
		if d.of, err = baseline.Restore(data[1:], cfg.Config); err == nil && d.of.Signals() != signals {
			err = fmt.Errorf("the state is of %d signals, not %d", d.of.Signals(), signals)
		}
		return d, err
	}
	var ok bool
	if d.rows, ok = floats(data[1:]); !ok || len(d.rows)%signals != 0 || len(d.rows) >= cfg.Learn*signals {
		return nil, fmt.Errorf("the %d bytes of rows that are learned from are damaged", len(data)-1)
	}
	return d, nil
}
