package main

import (
	"context"
	"log/slog"

	"andon/model"
	"andon/scorer"
)

// warm loads every model that a pipeline scores with, so that the first window finds it ready. One that does not load is told here, and again by the line when it needs it.
func warm(ctx context.Context, cfg *Config, models *model.Registry, judge *scorer.Scorer, log *slog.Logger) {
	for i := range cfg.Pipelines {
		for _, alias := range []model.Alias{model.Champion, model.Canary, model.Shadow} {
			m := models.Named(cfg.Pipelines[i].Name, alias)
			if m == nil {
				continue
			}
			if err := judge.Load(ctx, m); err != nil {
				log.Error("a model is not ready", "alias", alias, "error", err)
			}
		}
	}
}
