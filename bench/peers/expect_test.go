package main

import (
	"encoding/json"
	"fmt"
	"testing"
)

// bruteForce computes windows record by record, with none of the checker's panes.
func bruteForce(in Input, job Job) map[string]Window {
	size, slide := job.Window()
	out := make(map[string]Window)
	for i := range in.Records {
		at := in.Time(i)
		for start := at - at%slide.Milliseconds(); start > at-size.Milliseconds(); start -= slide.Milliseconds() {
			asset := string(AppendKey(nil, in.Asset(i)))
			k := fmt.Sprint(asset, "@", start)
			w := out[k]
			w.Asset, w.Start, w.Count, w.Mean = asset, start, w.Count+1, w.Mean+Field(i) // a sum until the end
			out[k] = w
		}
	}
	for k, w := range out {
		w.Mean /= float64(w.Count)
		out[k] = w
	}
	return out
}

func encode(t *testing.T, w Window) []byte {
	t.Helper()
	text, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWindows(t *testing.T) {
	in := Input{Records: 30_000, Keys: 50}
	for _, job := range []Job{Tumbling, Sliding} {
		check := newWindows(in, job, decodeWindow)
		right := bruteForce(in, job)
		if check.Tally().Expected != int64(len(right)) {
			t.Fatalf("%s: %d windows expected, want %d", job, check.Tally().Expected, len(right))
		}
		var some Window
		n := 0
		for _, w := range right {
			if n++; n == 1 {
				some = w
				continue
			}
			if !check.Check(nil, encode(t, w)) {
				t.Fatalf("%s: %+v is not new: %s", job, w, check.Tally().Fault)
			}
		}
		want := func(missing, doubled, wrong int64) {
			t.Helper()
			got := check.Tally()
			if got.Missing() != missing || got.Doubled != doubled || got.Wrong != wrong {
				t.Fatalf("%s: missing %d, doubled %d, wrong %d (%s), want %d, %d, %d", job, got.Missing(), got.Doubled, got.Wrong, got.Fault, missing, doubled, wrong)
			}
		}
		want(1, 0, 0)
		bad := some
		bad.Count++
		check.Check(nil, encode(t, bad))
		want(1, 0, 1)
		bad = some
		bad.Mean *= 1.0001
		check.Check(nil, encode(t, bad))
		want(1, 0, 2)
		bad = some
		bad.Start += 1
		check.Check(nil, encode(t, bad))
		want(1, 0, 3)
		check.Check(nil, encode(t, some))
		want(0, 0, 3)
		check.Check(nil, encode(t, some))
		want(0, 1, 3)
		check.Check(nil, encode(t, Window{Asset: string(AppendFlushKey(nil, 0)), Start: some.Start, Count: 1}))
		want(0, 1, 3)
		check.Check(nil, []byte("no JSON"))
		want(0, 1, 4)
	}
}

func TestMaps(t *testing.T) {
	in := Input{Records: 20_000, Keys: 10}
	check := newMaps(in)
	mapped := func(i int64) []byte {
		text := in.AppendRecord(nil, i)
		return fmt.Appendf(text[:len(text)-1], `,"s_5_f":%v}`, Field(i)*1.8+32)
	}
	give := func(i int64, value []byte) bool { return check.Check(AppendKey(nil, in.Asset(i)), value) }
	var dropped int64 = -1
	for i := range in.Records {
		if !Passes(i) {
			dropped = i
			continue
		}
		if i == 3 {
			continue
		}
		if !give(i, mapped(i)) {
			t.Fatalf("record %d is not new: %s", i, check.Tally().Fault)
		}
	}
	if got := check.Tally(); got.Missing() != 1 || got.Wrong != 0 || got.Doubled != 0 {
		t.Fatalf("%+v", got)
	}
	give(2, mapped(2))
	if got := check.Tally(); got.Doubled != 1 {
		t.Fatalf("a double went unseen: %+v", got)
	}
	give(dropped, mapped(dropped))
	give(3, in.AppendRecord(nil, 3))
	give(3, []byte(`{"seq":100000003,"s_5_f":1}`))
	check.Check([]byte("pump-station-0000"), mapped(3))
	if got := check.Tally(); got.Wrong != 4 || got.Missing() != 1 {
		t.Fatalf("wrong results went unseen: %+v", got)
	}
	// Every so often the whole record is compared; 0 is such a one.
	fresh := newMaps(in)
	if Passes(0) && fresh.Check(AppendKey(nil, 0), fmt.Appendf(nil, `{"seq":%d,"s_5_f":%v}`, int64(seqBase), Field(0)*1.8+32)) {
		t.Fatal("lost fields went unseen")
	}
}

func TestSums(t *testing.T) {
	in := Input{Records: 5000, Keys: 10}
	result := func(from, to int64) []byte {
		w := Window{Asset: "pump-station-0001", Count: to - from}
		for i := from; i < to; i++ {
			w.Mean += Field(i) / float64(w.Count)
		}
		return encode(t, w)
	}
	check := newSums(in, decodeWindow)
	check.Check(nil, result(0, 2000))
	if got := check.Tally(); got.Missing() != 3000 {
		t.Fatalf("%+v", got)
	}
	check.Check(nil, result(2000, 5000))
	if got := check.Tally(); got.Missing() != 0 || got.Wrong != 0 || got.Doubled != 0 {
		t.Fatalf("%+v", got)
	}
	check.Check(nil, result(0, 10))
	if got := check.Tally(); got.Doubled != 10 {
		t.Fatalf("%+v", got)
	}
	check = newSums(in, decodeWindow)
	check.Check(nil, encode(t, Window{Asset: "pump-station-0001", Count: 5000, Mean: 500}))
	if got := check.Tally(); got.Wrong != 1 {
		t.Fatalf("a wrong sum went unseen: %+v", got)
	}
}

func TestDecodeFeatures(t *testing.T) {
	got, err := decodeFeatures(nil, []byte(`{"pipeline":"job","asset":"pump-station-0007","start":"2020-01-01T00:00:10Z","end":"2020-01-01T00:00:20Z","s_5_count":100,"s_5_mean":549.25}`))
	if want := (Window{"pump-station-0007", first + 10_000, 100, 549.25}); err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}
