package decode

import "andon/event"

// labels reads what happened to an asset: {"pipeline":"pumps","asset":"pump-7","time":"2020-01-31T05:00:00Z","label":"failure"}, with a "value" for labels that
// carry a number.
type labels struct {
	head
	pipeline, label, value                int
	pipelineField, labelField, valueField string
	words                                 names
}

func newLabels(s Spec) *labels {
	d := &labels{head: newHead(s), pipelineField: s.Pipeline, labelField: s.Label, valueField: s.Value}
	d.pipeline, d.label, d.value = d.want(s.Pipeline), d.want(s.Label), d.want(s.Value)
	return d
}

func (d *labels) Decode(r *event.Record, b *event.Batch) error {
	asset, at, err := d.read(r)
	if err != nil {
		return err
	}
	pipeline, err := d.word(&d.values[d.pipeline], d.pipelineField)
	if err != nil {
		return err
	}
	kind, err := d.word(&d.values[d.label], d.labelField)
	if err != nil {
		return err
	}
	x, err := d.number(&d.values[d.value], d.valueField)
	if err != nil {
		return err
	}
	b.Labels = append(b.Labels, event.Label{Position: r.Position, Pipeline: pipeline, Asset: asset, Time: at, Kind: kind, Value: x})
	return nil
}

func (d *labels) word(v *value, field string) (string, error) {
	b, err := d.text(v, field)
	if err != nil {
		return "", err
	}
	return d.words.get(b, field)
}
