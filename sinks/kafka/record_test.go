package kafka

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"andon/event"

	"github.com/twmb/franz-go/pkg/kgo"
)

func headers(r *kgo.Record) string {
	var b strings.Builder
	for _, h := range r.Headers {
		b.WriteString(h.Key + "=" + string(h.Value) + "\n")
	}
	return b.String()
}

func TestDeadLetterRecord(t *testing.T) {
	d := event.DeadLetter{
		Record: event.Record{Position: event.Position{Topic: "fleet", Partition: 3, Offset: 42}, Time: 1577836800_500000000, Key: []byte("k"), Value: []byte(`{"bad`),
			Headers: []event.Header{{Key: "trace", Value: []byte{1, 2}}, {Key: "andon.reason", Value: []byte("older")}, {Key: "none"}}},
		Pipeline: "compressors", Reason: event.ReasonMalformed, Detail: "field time: is missing",
	}
	r, cut := deadLetter("dead", &d, 1<<20)
	want := "trace=\x01\x02\nandon.reason=older\nnone=\nandon.pipeline=compressors\nandon.topic=fleet\nandon.partition=3\nandon.offset=42\n" +
		"andon.reason=malformed\nandon.detail=field time: is missing\nandon.time=2020-01-01T00:00:00.5Z\n"
	if cut || r.Topic != "dead" || string(r.Key) != "k" || string(r.Value) != `{"bad` || headers(r) != want {
		t.Errorf("%+v\n%s", r, headers(r))
	}
	d.Key, d.Value, d.Headers = nil, nil, nil
	if r, _ := deadLetter("dead", &d, 1<<20); r.Key != nil || r.Value != nil {
		t.Errorf("a null key and value became %v, %v", r.Key, r.Value)
	}
}

// However large the parts of a record are, its dead letter fits and says where it came from and how large it was.
func TestDeadLetterFits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const limit = 16 << 10
	some := func() int { return r.IntN(1 << r.IntN(18)) }
	cuts := 0
	for range 2000 {
		d := event.DeadLetter{Reason: "r", Detail: strings.Repeat("ü", some())}
		d.Topic, d.Offset = "t", 7
		d.Key, d.Value = make([]byte, some()), make([]byte, some())
		for range r.IntN(4) {
			d.Headers = append(d.Headers, event.Header{Key: "h", Value: make([]byte, some())})
		}
		whole := len(d.Value)
		rec, cut := deadLetter("dead", &d, limit)
		if size(rec) > limit {
			t.Fatalf("%d bytes; key %d, value %d, headers %d", size(rec), len(d.Key), len(d.Value), len(d.Headers))
		}
		text := headers(rec)
		if cut != strings.Contains(text, "andon.truncated=") || !strings.Contains(text, "andon.offset=7\n") || !strings.Contains(text, "andon.reason=r\n") {
			t.Fatal(text)
		}
		if !cut && (len(rec.Value) != whole || len(rec.Key) != len(d.Key) || len(rec.Headers) != len(d.Headers)+7) {
			t.Fatal("something is missing and it does not say so")
		}
		if cut {
			cuts++
		}
		if !utf8.ValidString(text) {
			t.Fatal("the detail was cut within a character")
		}
	}
	if cuts < 200 || cuts > 1800 {
		t.Errorf("%d of 2000 were cut", cuts)
	}
}

func TestScoreRecord(t *testing.T) {
	s := event.Score{Verdict: event.Verdict{Value: 87.5, Risk: 0.12, Run: event.Run{Batch: 32, Queue: 120_400, Compute: 800_000}}, Pipeline: "compressors", Asset: "compressor-017", Start: 1577836800e9, End: 1577944800e9 + 5e8,
		Version: "v1", Position: event.Position{Topic: "fleet.compressors", Partition: 3, Offset: 1842}, Latency: 4_200_400, ScoredAt: 1}
	r := score("scores", &s)
	want := `{"pipeline":"compressors","asset":"compressor-017","start":"2020-01-01T00:00:00Z","end":"2020-01-02T06:00:00.5Z","value":87.5,"risk":0.12,` +
		`"version":"v1","topic":"fleet.compressors","partition":3,"offset":1842,"latency_ms":4.2,"batch":32,"queue_ms":0.12,"compute_ms":0.8}`
	if string(r.Value) != want || string(r.Key) != "compressor-017" || r.Topic != "scores" {
		t.Errorf("%s: %s\nwant %s", r.Key, r.Value, want)
	}
	if got := headers(r); got != "andon.pipeline=compressors\nandon.topic=fleet.compressors\nandon.partition=3\nandon.offset=1842\nandon.end=2020-01-02T06:00:00.5Z\n" {
		t.Error(got)
	}
	s.Value, s.Risk = float32(math.NaN()), float32(math.Inf(1))
	if v := string(score("scores", &s).Value); !strings.Contains(v, `"value":null,"risk":null,`) || !json.Valid([]byte(v)) {
		t.Error(v)
	}
}

func TestFeatureRecord(t *testing.T) {
	b := &event.Block{Pipeline: "pumps", Topic: "plant.pumps", Partition: 3, Features: event.Features{Names: []string{"flow_count", "flow_mean", "fl\"w_slope"}}}
	copy(b.Features.Append("pump-6", 0, 1, 5), []float64{1, 2, 3})
	copy(b.Features.Append("pump-7", 1577836800e9, 1577836860e9, 1842), []float64{60, 3.25, math.NaN()})
	r := feature("features", b, 1, keys(b.Features.Names))
	want := `{"pipeline":"pumps","asset":"pump-7","start":"2020-01-01T00:00:00Z","end":"2020-01-01T00:01:00Z","flow_count":60,"flow_mean":3.25,"fl\"w_slope":null,` +
		`"topic":"plant.pumps","partition":3,"offset":1842}`
	if string(r.Value) != want || !json.Valid(r.Value) || string(r.Key) != "pump-7" || r.Topic != "features" {
		t.Errorf("%s: %s\nwant %s", r.Key, r.Value, want)
	}
	if got := headers(r); got != "andon.pipeline=pumps\nandon.topic=plant.pumps\nandon.partition=3\nandon.offset=1842\nandon.end=2020-01-01T00:01:00Z\n" {
		t.Error(got)
	}
}

func FuzzString(f *testing.F) {
	for _, s := range []string{"", `a"b\c`, "\x00\x1f\n", "ü\u2028", "\xff\xfe", "\U0001F600"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		if err := json.Unmarshal(appendString(nil, s), &back); err != nil || back != strings.ToValidUTF8(s, "\uFFFD") && utf8.ValidString(s) {
			t.Fatalf("%q became %q, %v", s, back, err)
		}
	})
}

func BenchmarkScoreRecord(b *testing.B) {
	s := event.Score{Pipeline: "compressors", Asset: "compressor-017", Version: "compressors-20260101-0001", Position: event.Position{Topic: "fleet.compressors"}}
	b.ReportAllocs()
	for b.Loop() {
		score("scores", &s)
	}
}
