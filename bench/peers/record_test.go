package main

import (
	"encoding/json"
	"testing"
	"time"
)

func TestRecords(t *testing.T) {
	in := Input{Records: 20_000, Keys: 1000}
	newest := make(map[int64]int64)
	for _, from := range []int64{0, 9_990_000, 199_990_000} {
		for i := from; i < from+10_000; i++ {
			text := in.AppendRecord(nil, i)
			if len(text) != RecordBytes {
				t.Fatalf("record %d has %d bytes, want %d: %s", i, len(text), RecordBytes, text)
			}
			if i%97 != 0 {
				continue
			}
			var r struct {
				Asset string
				Time  int64
				Seq   int64
				S5    float64 `json:"s_5"`
			}
			if err := json.Unmarshal(text, &r); err != nil {
				t.Fatalf("record %d: %v: %s", i, err, text)
			}
			asset, ok := ParseKey(r.Asset)
			if !ok || asset != in.Asset(i) || r.Time != in.Time(i) || r.Seq != seqBase+i || r.S5 != Field(i) {
				t.Fatalf("record %d reads as %+v", i, r)
			}
		}
	}
	for i := range in.Records {
		at := in.Time(i)
		if at < first || at >= in.End() {
			t.Fatalf("record %d lies at %d, outside [%d, %d)", i, at, first, in.End())
		}
		if behind := newest[0] - at; behind > Disorder.Milliseconds() {
			t.Fatalf("record %d lies %d ms behind an earlier one", i, behind)
		}
		newest[0] = max(newest[0], at)
	}
}

func TestFlushRecordsBelongToNoAsset(t *testing.T) {
	text := AppendFlush(nil, 3, first+time.Hour.Milliseconds())
	var r struct{ Asset string }
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if _, ok := ParseKey(r.Asset); ok || !isFlush(r.Asset) || r.Asset != string(AppendFlushKey(nil, 3)) {
		t.Fatalf("asset %q passes for a real one", r.Asset)
	}
}

func TestPassShare(t *testing.T) {
	passed := 0
	const n = 100_000
	for i := range int64(n) {
		if Passes(i) {
			passed++
		}
	}
	if passed < n*89/100 || passed > n*91/100 {
		t.Fatalf("%d of %d pass, want nine of ten", passed, n)
	}
}
