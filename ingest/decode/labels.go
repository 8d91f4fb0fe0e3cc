package decode

import (
	"strings"

	"andon/event"
)

// labels reads what happened to an asset: {"pipeline":"pumps","asset":"pump-7","time":"2020-01-31T05:00:00Z","label":"failure"}, and, where there is more to say, "until" (an instant), "value" (a
// number), "box" ([x0, y0, x1, y1] of a frame, from 0 to 1), "of" (topic/partition@offset of the record whose score it speaks of, instead of asset and time), "weight" (a number), "golden"
// and "withdrawn" (true or false), "who" and "note".
type labels struct {
	head
	pipeline, label, value, until, box, of, weight, golden, withdrawn, who, note int
	pipelineField, labelField, valueField                                        string
	words                                                                        names
}

// maxNote is the most of a note that is kept, in bytes: it is for people.
const maxNote = 2000

// maxWeight bounds how much one label may count.
const maxWeight = 1000

func newLabels(s Spec) *labels {
	d := &labels{head: newHead(s), pipelineField: s.Pipeline, labelField: s.Label, valueField: s.Value}
	d.pipeline, d.label, d.value = d.want(s.Pipeline), d.want(s.Label), d.want(s.Value)
	d.until, d.box, d.of, d.weight = d.want("until"), d.want("box"), d.want("of"), d.want("weight")
	d.golden, d.withdrawn, d.who, d.note = d.want("golden"), d.want("withdrawn"), d.want("who"), d.want("note")
	return d
}

func (d *labels) Decode(r *event.Record, b *event.Batch) error {
	if len(r.Value) == 0 {
		return malformed("the record has no value: send a JSON object")
	}
	if err := d.scan(r.Value); err != nil {
		return err
	}
	l := event.Label{Position: r.Position, Told: r.Time}
	var err error
	if l.Pipeline, err = d.word(d.pipeline, d.pipelineField); err != nil {
		return err
	}
	if l.Kind, err = d.word(d.label, d.labelField); err != nil {
		return err
	}
	if err := d.what(r, &l); err != nil {
		return err
	}
	if l.Value, err = d.number(&d.values[d.value], d.valueField); err != nil {
		return err
	}
	if err := d.more(&l); err != nil {
		return err
	}
	b.Labels = append(b.Labels, l)
	return nil
}

// what reads what the label is of: an asset and a time, or the record of a score.
func (d *labels) what(r *event.Record, l *event.Label) (err error) {
	if d.there(d.of) {
		if l.Of, err = d.line(d.of, "of", maxNote); err != nil {
			return err
		}
		if _, err := event.ParsePosition(l.Of); err != nil {
			return malformed(`field "of", the record of a score: %v`, err)
		}
		if !d.there(d.time) && d.time != fromRecord {
			if d.there(d.until) || d.there(d.box) {
				return malformed(`fields "until" and "box" need the field %q beside "of": send it`, d.timeField)
			}
			return nil // asset and time are those of the score
		}
	}
	if l.Asset, err = d.readAsset(r); err != nil {
		return err
	}
	if l.Time, err = d.readTime(r, l.Asset); err != nil {
		return err
	}
	if d.there(d.until) {
		field := d.timeField
		d.timeField = "until"
		l.Until, err = d.fieldTime(&d.values[d.until])
		d.timeField = field
		if err != nil {
			return err
		}
		if l.Until <= l.Time {
			return malformed(`field "until": %s is not after the time, %s: leave it out of what did not last`, stamp(l.Until), stamp(l.Time))
		}
	}
	return d.readBox(&l.Box)
}

// more reads what else is told.
func (d *labels) more(l *event.Label) (err error) {
	if l.Weight, err = d.number(&d.values[d.weight], "weight"); err != nil {
		return err
	}
	if l.Weight != l.Weight { // NaN: there is none
		l.Weight = 0
	}
	if l.Weight < 0 || l.Weight > maxWeight {
		return malformed(`field "weight": %v is not between 0 and %d`, l.Weight, maxWeight)
	}
	if l.Golden, err = d.yes(d.golden, "golden"); err != nil {
		return err
	}
	if l.Withdrawn, err = d.yes(d.withdrawn, "withdrawn"); err != nil {
		return err
	}
	if d.there(d.who) {
		if l.Who, err = d.word(d.who, "who"); err != nil {
			return err
		}
	}
	if d.there(d.note) {
		l.Note, err = d.line(d.note, "note", maxNote)
	}
	return err
}

func (d *labels) there(slot int) bool {
	return slot >= 0 && d.values[slot].kind != absent && d.values[slot].kind != null
}

func (d *labels) word(slot int, field string) (string, error) {
	b, err := d.text(&d.values[slot], field)
	if err != nil {
		return "", err
	}
	return d.words.get(b, field)
}

// line reads a text that is seldom the same twice.
func (d *labels) line(slot int, field string, most int) (string, error) {
	b, err := d.text(&d.values[slot], field)
	if err != nil {
		return "", err
	}
	if len(b) > most {
		return "", malformed("field %q is %d bytes long: send at most %d", field, len(b), most)
	}
	return strings.ToValidUTF8(string(b), "\uFFFD"), nil
}

func (d *labels) yes(slot int, field string) (bool, error) {
	v := &d.values[slot]
	switch v.kind {
	case absent, null:
		return false, nil
	case boolean:
		return v.num.mantissa == 1, nil
	}
	return false, malformed("field %q holds %s: send true or false", field, v.kind)
}

// readBox reads four numbers in brackets.
func (d *labels) readBox(box *event.Box) error {
	if !d.there(d.box) {
		return nil
	}
	v := &d.values[d.box]
	refused := func() error {
		return malformed(`field "box": send the corners as [x0, y0, x1, y1], from 0 to 1 of the frame, x0 below x1 and y0 below y1`)
	}
	if v.kind != array {
		return refused()
	}
	b := d.raw(v)
	var corners [4]float64
	i := space(b, 1)
	for n := range corners {
		if n > 0 {
			if i >= len(b) || b[i] != ',' {
				return refused()
			}
			i = space(b, i+1)
		}
		var num numeral
		end := scanNumber(b, i, &num)
		if end < 0 {
			return refused()
		}
		x, ok := num.float(b[i:end])
		if !ok || x < 0 || x > 1 {
			return refused()
		}
		corners[n] = x
		i = space(b, end)
	}
	if i != len(b)-1 || corners[0] >= corners[2] || corners[1] >= corners[3] {
		return refused()
	}
	box.X0, box.Y0, box.X1, box.Y1 = float32(corners[0]), float32(corners[1]), float32(corners[2]), float32(corners[3])
	return nil
}
