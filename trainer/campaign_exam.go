package trainer

import (
	"context"
	"errors"

	"andon/model"
	"andon/trainer/evaluate"
)

// examine puts challenger beside champion on what is kept from training, in the pipeline's scenarios.
func (t *Trainer) examine(ctx context.Context, p *Pipeline, champion, challenger *model.Model) (Exam, error) {
	if t.means.Examine != nil {
		return t.means.Examine(ctx, p, champion, challenger)
	}
	data, err := Examination(ctx, t.store, p, t.cfg.Memory)
	if errors.Is(err, ErrNothingKept) {
		return Exam{Missing: err.Error()}, nil
	}
	if err != nil {
		return Exam{}, err
	}
	c := evaluate.Default()
	c.Scenarios = p.Spec.Scenarios
	table, err := evaluate.Run(ctx, c, []*model.Model{champion, challenger}, data)
	if err != nil {
		return Exam{}, err
	}
	if t.means.Examined != nil {
		t.means.Examined(table)
	}
	e := Exam{}
	e.Overall, e.Slices = table.Slices(champion.Version, challenger.Version)
	if a, b := float64(table.Versions[0].CPUSeconds), float64(table.Versions[1].CPUSeconds); a > 0 && b > 0 {
		e.Cost = b / a
	}
	return e, nil
}
