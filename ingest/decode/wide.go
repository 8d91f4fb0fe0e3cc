package decode

import (
	"strings"

	"andon/event"
)

// wide reads one row a record: {"asset":"pump-7","time":"2020-01-31T05:00:00Z","pressure":3.2,"flow":null}. A signal that is absent or null is NaN; a string that
// holds a number is a number; true and false are 1 and 0. A record that has none of the signals, not even as null, is malformed.
type wide struct {
	head
	rules
	signals []int
	fields  []string
}

func newWide(s Spec) *wide {
	d := &wide{head: newHead(s), rules: newRules(s)}
	for _, name := range s.Signals {
		field := s.field(name)
		d.fields = append(d.fields, field)
		d.signals = append(d.signals, d.want(field))
	}
	return d
}

func (d *wide) Decode(r *event.Record, b *event.Batch) error {
	asset, at, err := d.read(r)
	if err != nil {
		return err
	}
	row := b.Values(d.width)
	found := false
	for i, slot := range d.signals {
		v := &d.values[slot]
		if v.kind == number && v.num.plain {
			found, row[i] = true, v.num.small()
			continue
		}
		found = found || v.kind != absent
		if row[i], err = d.number(v, d.fields[i]); err != nil {
			return err
		}
	}
	if !found {
		return malformed("asset %s: none of the signals is in the record: send one of %s, or map their names in fields", asset, some(d.fields))
	}
	b.Rows = append(b.Rows, event.Row{Offset: r.Offset, Asset: asset, Time: at, Values: row, Filtered: d.apply(row)})
	return nil
}

// some lists names for people.
func some(names []string) string {
	if len(names) > 8 {
		return strings.Join(names[:8], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}
