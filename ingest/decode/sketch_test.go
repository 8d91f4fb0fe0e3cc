package decode

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"andon/event"
)

// sketchOf makes a sketch of so many features.
func sketchOf(seed uint64, features int) event.Sketch {
	r := rand.New(rand.NewPCG(seed, 1))
	s := event.Sketch{Position: event.Position{Topic: "fleet.compressors", Partition: 3, Offset: r.Int64()}, Pipeline: "compressors", Version: "fd08ffb26463", Group: "fleet", Piece: 17, Last: true,
		Reference: event.ReferenceModel, Start: 1578628800000000000, End: 1578646800000000000, Windows: 500, Clusters: 25, Squares: 10_000, Blocks: 8, BlockSquares: 31252,
		TP: r.Float64(), FN: 400 * r.Float64(), Brier: r.Float64()}
	for j := range features {
		f := event.SketchFeature{Name: fmt.Sprint("s_", j, " change"), Role: event.RoleInput, Sum: r.NormFloat64() * 1e5, ExpectedSum: r.NormFloat64(), SquaredSum: r.Float64()}
		for range 33 {
			f.Counts, f.Expected = append(f.Counts, uint32(r.IntN(40))), append(f.Expected, 16*r.Float32())
		}
		for t := range f.Tests {
			f.Tests[t].Sum, f.Tests[t].ClusterSquare, f.Tests[t].References = r.NormFloat64(), r.Float64(), 5e4
		}
		if j == features-1 {
			f.Missing, f.ExpectedMissing, f.Weights, f.Furthest = 3, 1.5, make([]float64, 33), []string{"compressor-001", "compressor-017"}
		}
		s.Features = append(s.Features, f)
	}
	return s
}

// What we write is read the quick way.
func TestQuickSketch(t *testing.T) {
	s := sketchOf(1, 32)
	text, err := json.Marshal(&s)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := quickSketch(text)
	if !ok || !reflect.DeepEqual(got, s) {
		t.Fatalf("%v\n%+v\n%+v", ok, got, s)
	}
	s.Group = "Nordhalle \"ä\"" // the slow way
	if text, err = json.Marshal(&s); err != nil {
		t.Fatal(err)
	}
	if _, ok := quickSketch(text); ok {
		t.Error("an escape is read without a look")
	}
	var b event.Batch
	if err := (&sketch{}).Decode(&event.Record{Value: text, Position: event.Position{Offset: 4}}, &b); err != nil || b.Sketches[0].Group != s.Group || b.Sketches[0].Offset != 4 {
		t.Errorf("%+v, %v", b, err)
	}
	s.Features[3].Tests[1].Drift = math.NaN()
	if text, err = json.Marshal(&s); err != nil {
		t.Fatal(err)
	}
	if err := (&sketch{}).Decode(&event.Record{Value: text}, &b); err == nil {
		t.Error("NaN is taken")
	}
}

// What is read the quick way is what encoding/json reads.
func FuzzQuickSketch(f *testing.F) {
	for n := range 3 {
		s := sketchOf(uint64(n), n)
		text, err := json.Marshal(&s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{`{}`, `{"windows":1,"windows":2}`, `{"windows":1e2}`, `{"windows":-0}`, `{"piece":9223372036854775808}`, `{"features":[{"missing":-1}]}`, `{"features":[],"last":tru}`, `{"start":01}`, `{"tp":1e999}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := quickSketch(data)
		if !ok {
			return
		}
		var want event.Sketch
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("%s is read, %v", data, err)
		}
		if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); a != b {
			t.Fatalf("%s\n%s\n%s", data, a, b)
		}
	})
}

func BenchmarkSketch(b *testing.B) {
	s := sketchOf(1, 32)
	text, err := json.Marshal(&s)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		var batch event.Batch
		if err := (&sketch{}).Decode(&event.Record{Value: text}, &batch); err != nil {
			b.Fatal(err)
		}
	}
}
