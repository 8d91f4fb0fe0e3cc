package trainer

import (
	"context"
	"errors"

	"andon/model"
	"andon/trainer/evaluate"
)

// examine puts challengers beside the champion on what is kept from training, in the pipeline's scenarios: one table, and an exam of each.
func (t *Trainer) examine(ctx context.Context, p *Pipeline, champion *model.Model, challengers []*model.Model) ([]Exam, error) {
	if t.means.Examine != nil {
		return t.means.Examine(ctx, p, champion, challengers)
	}
	exams := make([]Exam, len(challengers))
	data, err := Examination(ctx, t.store, p, t.cfg.Memory)
	if errors.Is(err, ErrNothingKept) {
		for i := range exams {
			exams[i].Missing = err.Error()
		}
		return exams, nil
	}
	if err != nil {
		return nil, err
	}
	c := evaluate.Default()
	c.Scenarios = p.Spec.Scenarios
	models := append([]*model.Model{champion}, challengers...)
	if t.means.Equip != nil {
		if err := t.means.Equip(ctx, &c, &data, models); err != nil {
			return nil, err
		}
	}
	table, err := evaluate.Run(ctx, c, models, data)
	if err != nil {
		return nil, err
	}
	if t.means.Examined != nil {
		t.means.Examined(table)
	}
	for i, m := range challengers {
		e := &exams[i]
		e.Overall, e.Slices = table.Slices(champion.Version, m.Version)
		e.Golden = table.Cases(champion.Version, m.Version)
		if a, b := float64(table.Versions[0].CPUSeconds), float64(table.Versions[i+1].CPUSeconds); a > 0 && b > 0 {
			e.Cost = b / a
		}
	}
	return exams, nil
}
