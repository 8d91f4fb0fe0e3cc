package features

import (
	"slices"
	"time"

	"andon/event"
	"andon/model"
)

// Windows makes all windows of one asset's rows, which hold the recipe's signals and are in order of time, under the default Config. See Config.Windows.
func Windows(recipe *model.Recipe, rows []event.Row, emit func(end int64, window []float32)) error {
	return Default().Windows(recipe, rows, emit)
}

// Windows makes all windows of one asset's rows, as the line would: rows hold the recipe's signals in its order and are in order of time.
// Of c only Lateness, Close and Remember count. Windows are scaled if the recipe has a Scale; window, row-major [Length, Width], is reused
// after emit returns. Rows that the line would not have taken are skipped.
func (c Config) Windows(recipe *model.Recipe, rows []event.Row, emit func(end int64, window []float32)) error {
	c.Recipe = *recipe
	c.Recipe.Signals = slices.Clone(recipe.Signals)
	// For one asset alone every valid horizon does what its gap does.
	c.Stride, c.Horizon = 1, c.Lateness+time.Duration(recipe.MaxGap+2)*recipe.Grid
	p, err := New(c, c.Recipe.Signals)
	if err != nil {
		return err
	}
	scaler := NewScaler(recipe)
	window := make([]float32, 0, recipe.Length*recipe.Width())
	tell := func(w *Window) error {
		emit(w.End, w.Append(window[:0], scaler))
		return nil
	}
	for i := range rows {
		if _, err := p.Row(&rows[i], tell); err != nil {
			return err
		}
	}
	return p.Finish(tell)
}
