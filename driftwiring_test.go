package main

import (
	"testing"

	"andon/processors/drift"
	"andon/processors/features"
	"andon/processors/vision"
)

// Windows and frames are watched unless a pipeline says otherwise; rows that no model sees are not. Only models of windows bring a reference from their training.
func TestWhatIsWatched(t *testing.T) {
	off := drift.Default()
	off.Enabled = false
	for name, c := range map[string]struct {
		p              Pipeline
		watched, refer bool
	}{
		"windows":     {Pipeline{Window: &features.Config{}}, true, true},
		"windows off": {Pipeline{Window: &features.Config{}, Drift: &off}, false, false},
		"frames":      {Pipeline{Vision: &vision.Config{}}, true, false},
		"frames off":  {Pipeline{Vision: &vision.Config{}, Drift: &off}, false, false},
		"rows":        {Pipeline{}, false, false},
	} {
		if watched, refer := c.p.drift().Enabled, c.p.refer() != nil; watched != c.watched || refer != c.refer {
			t.Errorf("%s: watched %v, with a reference of training %v", name, watched, refer)
		}
	}
}
