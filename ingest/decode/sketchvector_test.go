package decode

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"andon/event"
)

// What a line of cameras tells arrives whole: a camera that the reference does not know, and what embeddings are like.
func TestSketchOfFrames(t *testing.T) {
	want := event.Sketch{Position: event.Position{Topic: "frames", Partition: 1, Offset: 9}, Pipeline: "gate", Version: "v", Group: "hall-9", Stranger: true, Apart: "hall-9", Reference: event.ReferenceModel, Windows: 3, Clusters: 1, Blocks: 2,
		Features: []event.SketchFeature{{Name: "embedding", Role: event.RoleTogether, Counts: []uint32{1, 2}, Expected: []float32{1.5, 1.5},
			Vector: &event.SketchVector{Sum: []float32{0.25, -1}, ClusterCross: []float32{1, 2}, BlockCross: []float32{3, 4.5}, Within: 1.5, Freedom: 12, Sums: event.Sums{Square: 2, BlockSquare: 7, Noise: 0.5, References: 30}}}}}
	read := func(s event.Sketch) (event.Batch, error) {
		js, err := json.Marshal(&s)
		if err != nil {
			t.Fatal(err)
		}
		var b event.Batch
		return b, (&sketch{}).Decode(&event.Record{Value: js}, &b)
	}
	js, _ := json.Marshal(&want)
	var b event.Batch
	if err := (&sketch{}).Decode(&event.Record{Value: js}, &b); err != nil || len(b.Sketches) != 1 {
		t.Fatal(b.Sketches, err)
	}
	if got := b.Sketches[0].Sketch; got.Stranger != want.Stranger || got.Apart != want.Apart || !reflect.DeepEqual(got.Features[0].Vector, want.Features[0].Vector) {
		t.Errorf("%+v", got)
	}
	want.Features[0].Vector.BlockCross = nil
	if _, err := read(want); err == nil || !strings.Contains(err.Error(), "vector of \"embedding\" does not hold together") {
		t.Errorf("%v", err)
	}
}
