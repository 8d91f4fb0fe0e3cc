// Package decode turns one Kafka record into rows: one file a shape.
package decode

import (
	"fmt"
	"time"

	"andon/event"
)

// Decoder turns records of one partition into rows; it keeps buffers and is not safe for concurrent use.
//
// Decode appends what the record holds to the batch and returns nil, or appends nothing and returns a *Rejection, whose text is for the dead letter.
// It keeps nothing of the record. After warm-up a record that decodes allocates nothing.
type Decoder interface {
	Decode(r *event.Record, b *event.Batch) error
}

// Rejection says why a record is a dead letter.
type Rejection struct {
	// Reason is event.ReasonMalformed, ReasonFuture or ReasonAncient.
	Reason string
	// Detail names the field and says what to do.
	Detail string
}

func (r *Rejection) Error() string { return r.Detail }

func malformed(format string, args ...any) error {
	return &Rejection{Reason: event.ReasonMalformed, Detail: fmt.Sprintf(format, args...)}
}

// New returns a decoder for the spec, whose empty fields take their defaults; the error is that of Validate.
func New(s Spec) (Decoder, error) {
	s = s.WithDefaults()
	if err := s.Validate(); err != nil {
		return nil, err
	}
	switch s.Shape {
	case ShapeWide:
		return newWide(s), nil
	case ShapeNarrow:
		return newNarrow(s), nil
	case ShapeSketch:
		return &sketch{}, nil
	case ShapeFrame:
		return newFrame(s), nil
	default: // Validate lets no other shape pass
		return newLabels(s), nil
	}
}

// head reads what all shapes have: a flat JSON object with an asset and an event time within bounds.
type head struct {
	scanner
	assets names
	asset  int // slot, or fromKey
	time   int // slot, or fromRecord

	assetField string
	timeField  string
	unit       string
	times      timeBounds
}

// Places to take a value from that are not fields.
const (
	fromKey    = -1
	fromRecord = -1
)

func newHead(s Spec) head {
	h := head{assetField: s.Asset, timeField: s.Time, unit: s.TimeUnit, times: timesOf(s), asset: fromKey, time: fromRecord}
	if s.Asset != Key {
		h.asset = h.want(s.Asset)
	}
	if s.Time != Timestamp {
		h.time = h.want(s.Time)
	}
	return h
}

// read scans the record and returns its asset and event time.
func (h *head) read(r *event.Record) (asset string, at int64, err error) {
	if len(r.Value) == 0 {
		return "", 0, malformed("the record has no value: send a JSON object")
	}
	if err := h.scan(r.Value); err != nil {
		return "", 0, err
	}
	if asset, err = h.readAsset(r); err != nil {
		return "", 0, err
	}
	at, err = h.readTime(r, asset)
	return asset, at, err
}

func (h *head) readAsset(r *event.Record) (string, error) {
	if h.asset == fromKey {
		if len(r.Key) == 0 {
			return "", malformed("the record has no key, which names the asset (asset: %s): set the key, or name a field in asset", Key)
		}
		return h.assets.get(r.Key, "the key")
	}
	v := &h.values[h.asset]
	if v.kind == number {
		return h.assets.get(h.raw(v), h.assetField)
	}
	text, err := h.text(v, h.assetField)
	if err != nil {
		return "", err
	}
	return h.assets.get(text, h.assetField)
}

func (h *head) readTime(r *event.Record, asset string) (int64, error) {
	at := r.Time
	if h.time != fromRecord {
		var err error
		if at, err = h.fieldTime(&h.values[h.time]); err != nil {
			return 0, err
		}
	}
	return at, h.times.check(asset, at, r)
}

func timesOf(s Spec) timeBounds { return timeBounds{int64(s.MaxAhead), s.Earliest.UnixNano()} }

// timeBounds are those of event time.
type timeBounds struct {
	ahead    int64
	earliest int64
}

func (h timeBounds) check(asset string, at int64, r *event.Record) error {
	if at < h.earliest {
		return &Rejection{Reason: event.ReasonAncient, Detail: fmt.Sprintf("asset %s: event time %s is before %s: check the device's clock and time_unit, or set earliest lower",
			asset, stamp(at), stamp(h.earliest))}
	}
	// A record without a timestamp of its own cannot be judged.
	if r.Time > 0 && at > r.Time && at-r.Time > h.ahead {
		return &Rejection{Reason: event.ReasonFuture, Detail: fmt.Sprintf("asset %s: event time %s is %s ahead of the record's timestamp %s: check the device's clock, or set max_ahead higher",
			asset, stamp(at), time.Duration(at-r.Time), stamp(r.Time))}
	}
	return nil
}

func (h *head) fieldTime(v *value) (int64, error) {
	switch v.kind {
	case absent, null:
		return 0, malformed("field %q, the event time, is %s: send it, name another field in time, or use time: %s", h.timeField, v.kind, Timestamp)
	case text, number:
	default:
		return 0, malformed("field %q, the event time, holds %s: send %s", h.timeField, v.kind, unitForm[h.unit])
	}
	b := h.raw(v)
	if v.escaped {
		b = h.unescape(b)
	}
	var at int64
	ok := false
	if h.unit == UnitRFC3339 {
		if v.kind == text {
			at, ok = parseRFC3339(b)
		}
	} else {
		at, ok = parseUnix(b, unitExponent[h.unit])
	}
	if !ok {
		return 0, malformed("field %q, the event time: %s is not %s: send it so, or set time_unit to what it is", h.timeField, quoted(b), unitForm[h.unit])
	}
	return at, nil
}

// text returns the bytes of a string field, unescaped; they are good until the next call.
func (h *head) text(v *value, field string) ([]byte, error) {
	switch v.kind {
	case text:
		if v.escaped {
			return h.unescape(h.raw(v)), nil
		}
		return h.raw(v), nil
	case absent, null:
		return nil, malformed("field %q is %s: send it, or name another field in the pipeline's source", field, v.kind)
	default:
		return nil, malformed("field %q holds %s, not a string: send a string", field, v.kind)
	}
}

// number returns a signal's value, NaN for null and for an absent field.
func (h *head) number(v *value, field string) (float64, error) {
	switch v.kind {
	case number:
		if f, ok := v.num.float(h.raw(v)); ok {
			return f, nil
		}
		return 0, malformed("field %q: %s does not fit a 64-bit float: send a smaller number, or null", field, quoted(h.raw(v)))
	case absent, null:
		return nan, nil
	case boolean:
		return v.num.bool(), nil
	case text:
		b := h.raw(v)
		var n numeral
		if end := scanNumber(b, 0, &n); end == len(b) && end > 0 {
			if f, ok := n.float(b); ok {
				return f, nil
			}
		}
		return 0, malformed("field %q: the string %s is not a finite number: send a number, or null where there is none", field, quoted(b))
	default:
		return 0, malformed("field %q holds %s, not a number: send a number, or take the signal out of the pipeline", field, v.kind)
	}
}
