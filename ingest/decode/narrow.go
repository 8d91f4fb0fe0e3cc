package decode

import (
	"andon/event"
)

// narrow reads one signal a record: {"asset":"pump-7","time":"2020-01-31T05:00:00Z","signal":"pressure","value":3.2}.
//
// A narrow topic may hold signals that the pipeline does not want. Such a record is not malformed, and its offset must still be accounted for: it becomes a row
// whose values are all NaN, which no window takes a value from, and which is stored like any row, so that every offset is found again.
type narrow struct {
	head
	rules
	signal, value           int
	signalField, valueField string
	index                   map[string]int
}

func newNarrow(s Spec) *narrow {
	d := &narrow{head: newHead(s), rules: newRules(s), signalField: s.Signal, valueField: s.Value, index: map[string]int{}}
	d.signal, d.value = d.want(s.Signal), d.want(s.Value)
	for i, name := range s.Signals {
		d.index[s.field(name)] = i
	}
	return d
}

func (d *narrow) Decode(r *event.Record, b *event.Batch) error {
	asset, at, err := d.read(r)
	if err != nil {
		return err
	}
	name, err := d.text(&d.values[d.signal], d.signalField)
	if err != nil {
		return err
	}
	at2, wanted := d.index[string(name)]
	v := &d.values[d.value]
	if v.kind == absent {
		return malformed("asset %s: field %q, the signal's value, is absent: send it, or null where there is none", asset, d.valueField)
	}
	x := nan
	if wanted { // what an unwanted signal holds is not ours to judge
		if x, err = d.number(v, d.valueField); err != nil {
			return err
		}
	}
	row := b.Values(d.width)
	for i := range row {
		row[i] = nan
	}
	if wanted {
		row[at2] = x
	}
	b.Rows = append(b.Rows, event.Row{Offset: r.Offset, Asset: asset, Time: at, Values: row, Filtered: d.apply(row)})
	return nil
}
