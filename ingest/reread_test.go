package ingest

import (
	"log/slog"
	"testing"
)

func TestReread(t *testing.T) {
	c := broker(t, 2)
	produce(t, producer(t, c), 2, 10)
	got, err := reread(t.Context(), testConfig(c), topic, 1, []int64{3, 7, 8}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`{"x":3}`, `{"x":7}`, `{"x":8}`}
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i, r := range got {
		if string(r.Value) != want[i] || string(r.Key) != "asset-1" || r.Partition != 1 || r.Topic != topic || r.Time == 0 {
			t.Errorf("record %d is %s %s of %v", i, r.Key, r.Value, r.Position)
		}
	}
}
