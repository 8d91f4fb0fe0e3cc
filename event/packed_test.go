package event

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// A sketch's numbers come back to the bit, packed or plain, and what is damaged is an error.
func TestPackedSketch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	s := Sketch{Pipeline: "p", Version: "v", Windows: 500, Features: make([]SketchFeature, 3)}
	for j := range s.Features {
		f := &s.Features[j]
		f.Name = strings.Repeat("x", j)
		for range 10 * j {
			f.Counts, f.Expected = append(f.Counts, r.Uint32()>>r.IntN(32)), append(f.Expected, r.Float32())
		}
		for i := range f.Tests {
			for _, x := range f.Tests[i].numbers() {
				*x = r.NormFloat64() * math.Pow(10, float64(r.IntN(40)-20))
			}
		}
		if v := reflect.TypeFor[Sums](); v.NumField() != sums {
			t.Fatalf("Sums has %d numbers, of which %d are packed", v.NumField(), sums)
		}
	}
	text, err := json.Marshal(&s)
	if err != nil {
		t.Fatal(err)
	}
	var back Sketch
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	s.Features[0].Counts, s.Features[0].Expected = Counts{}, Shares{} // as nothing comes back
	if !reflect.DeepEqual(s, back) {
		t.Errorf("%+v\n%+v", s, back)
	}
	var plain SketchFeature
	if err := json.Unmarshal([]byte(`{"counts":[1,70000],"expected":[0.5,2],"tests":[{"sum":1.5},{"square":2},{"references":3}]}`), &plain); err != nil {
		t.Fatal(err)
	}
	if plain.Counts[1] != 70000 || plain.Expected[0] != .5 || plain.Tests[0].Sum != 1.5 || plain.Tests[1].Square != 2 || plain.Tests[2].References != 3 || !plain.Tests.Finite() {
		t.Errorf("%+v", plain)
	}
	for _, bad := range []string{`{"counts":"gA=="}`, `{"counts":"%%"}`, `{"counts":"////////fw=="}`, `{"counts":3}`, `{"expected":"AAA="}`, `{"expected":"A\u0041AA"}`, `{"tests":"AAAA"}`, `{"tests":""}`, `{"tests":7}`} {
		if err := json.Unmarshal([]byte(bad), &plain); err == nil {
			t.Errorf("%s is taken: %+v", bad, plain)
		}
	}
	plain.Tests[2].Drift = math.Inf(1)
	if plain.Tests.Finite() {
		t.Error("infinity is finite")
	}
}
