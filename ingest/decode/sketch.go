package decode

import (
	"encoding/json"
	"math"
	"slices"

	"andon/event"
)

// sketch reads what a line tells of one of its pieces, as sinks/kafka writes it.
type sketch struct{}

func (d *sketch) Decode(r *event.Record, b *event.Batch) error {
	var s event.Sketch
	if err := json.Unmarshal(r.Value, &s); err != nil {
		return malformed("the record is no sketch of a line: %v", err)
	}
	// What is held against what: the position of the line's record says whose piece it is.
	if s.Pipeline == "" || s.Version == "" || s.Group == "" || s.Windows < 1 || s.Clusters < 1 || s.Blocks < 1 || s.Topic == "" {
		return malformed("the sketch names no pipeline, version, group or topic, or has no windows, assets or parts of time")
	}
	for i := range s.Features {
		f := &s.Features[i]
		if f.Name == "" || len(f.Counts) != len(f.Expected) || len(f.Counts) == 0 || len(f.Weights) > 0 && len(f.Weights) != len(f.Counts) || uint64(f.Missing) > uint64(s.Windows) ||
			slices.ContainsFunc(f.Expected, func(x float32) bool { return !(x >= 0) || math.IsInf(float64(x), 0) }) {
			return malformed("the sketch's feature %q does not hold together: %d counts, %d expected, %d missing of %d windows", f.Name, len(f.Counts), len(f.Expected), f.Missing, s.Windows)
		}
		if f.Vector != nil && !f.Vector.Whole() {
			return malformed("the sketch's vector of %q does not hold together", f.Name)
		}
	}
	b.Sketches = append(b.Sketches, event.SketchAt{Offset: r.Offset, Sketch: s})
	return nil
}
