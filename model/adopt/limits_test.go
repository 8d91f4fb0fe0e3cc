package adopt

import (
	"strings"
	"testing"

	"andon/model/onnx"
)

func TestLimits(t *testing.T) {
	l := DefaultLimits()
	if err := l.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"torch_script", "torch_dynamo", "sklearn_classifier", "sklearn_regression", "sklearn_forest"} {
		if err := l.Check(file(t, name+".onnx")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := func(l Limits, file []byte, says string) {
		t.Helper()
		if err := l.Check(file); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	small := l
	small.MaxBytes = 1 << 10
	bad(small, file(t, "torch_script.onnx"), "models.max_bytes, 1KiB")
	few := l
	few.MaxNodes = 3
	bad(few, file(t, "torch_script.onnx"), "models.max_nodes, 3")
	plain := l
	plain.Domains = []string{"ai.onnx"}
	bad(plain, file(t, "sklearn_forest.onnx"), "domain ai.onnx.ml, as LabelEncoder, TreeEnsembleRegressor")
	bad(l, []byte("no model"), "not an ONNX file")
	bad(l, nil, "empty")

	wrong := Limits{}
	err := wrong.Validate()
	for _, key := range []string{"max_bytes", "max_nodes", "domains", "trial_time", "trial_memory"} {
		if err == nil || !strings.Contains(err.Error(), key+":") {
			t.Errorf("faults %v lack %s", err, key)
		}
	}
	if !reads[onnx.Op{Domain: "com.microsoft", Name: "EPContext"}] {
		t.Error("EPContext is taken for harmless")
	}
}
