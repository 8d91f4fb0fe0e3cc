package kafka

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"andon/event"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The headers that we add. A record published twice, after a crash, has the same topic, partition, offset and pipeline both times, and the same end where it is of a
// window, of which one record may complete several: a reader drops doubles by them. A dead letter keeps its own headers before ours, so that the last one of a name counts.
const (
	HeaderPipeline  = "andon.pipeline"  // who could not use the record, made the score or told of the window
	HeaderTopic     = "andon.topic"     // where the record was, or the record that completed the scored window, or closed the one that is told of
	HeaderPartition = "andon.partition" // decimal
	HeaderOffset    = "andon.offset"    // decimal
	HeaderEnd       = "andon.end"       // scores and windows' values: where the window ends in event time, RFC 3339
	HeaderReason    = "andon.reason"    // dead letters: one of event's Reason constants
	HeaderDetail    = "andon.detail"    // dead letters: what was wrong, for people
	HeaderTime      = "andon.time"      // dead letters: the record's own timestamp, RFC 3339
	HeaderTruncated = "andon.truncated" // dead letters: the value's size, decimal, when its end was cut off
)

func position(p event.Position, pipeline string) []kgo.RecordHeader {
	return []kgo.RecordHeader{
		{Key: HeaderPipeline, Value: []byte(pipeline)},
		{Key: HeaderTopic, Value: []byte(p.Topic)},
		{Key: HeaderPartition, Value: strconv.AppendInt(nil, int64(p.Partition), 10)},
		{Key: HeaderOffset, Value: strconv.AppendInt(nil, p.Offset, 10)},
	}
}

// deadLetter is the record as it came, with ours after its headers. If it passes limit bytes it is cut: first the value's end, then the headers it came
// with, then the key.
func deadLetter(topic string, d *event.DeadLetter, limit int) (r *kgo.Record, cut bool) {
	ours := append(position(d.Position, d.Pipeline),
		kgo.RecordHeader{Key: HeaderReason, Value: []byte(d.Reason)},
		kgo.RecordHeader{Key: HeaderDetail, Value: []byte(clip(d.Detail, 4096))},
		kgo.RecordHeader{Key: HeaderTime, Value: time.Unix(0, d.Time).UTC().AppendFormat(nil, time.RFC3339Nano)})
	r = &kgo.Record{Topic: topic, Key: d.Key, Value: d.Value}
	for _, h := range d.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	r.Headers = append(r.Headers, ours...)
	over := size(r) - limit
	if over <= 0 {
		return r, false
	}
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: HeaderTruncated, Value: strconv.AppendInt(nil, int64(len(d.Value)), 10)})
	over += 64
	if over > len(r.Value) {
		r.Headers = r.Headers[len(d.Headers):]
		over = size(r) - limit
	}
	if over > len(r.Value) {
		r.Key = r.Key[:min(len(r.Key), limit/4)]
		over = size(r) - limit
	}
	r.Value = r.Value[:len(r.Value)-min(max(over, 0), len(r.Value))]
	return r, true
}

// size is at least what a record takes in a batch.
func size(r *kgo.Record) int {
	n := 64 + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += 10 + len(h.Key) + len(h.Value)
	}
	return n
}

// clip shortens text to at most n bytes of whole characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// score is the record of a score: the asset is the key, and the value is flat JSON,
//
//	{"pipeline":"compressors","asset":"compressor-017","start":"2020-01-01T00:00:00Z","end":"2020-01-02T06:00:00Z","value":87.5,"risk":0.12,
//	 "version":"…","topic":"fleet.compressors","partition":3,"offset":1842,"latency_ms":4.2,"batch":32,"queue_ms":0.12,"compute_ms":0.8}
//
// start and end bound the window in event time; value is in the model's unit (null if it is not a finite number) and risk between 0 and 1; topic,
// partition and offset are of the record that completed the window; latency_ms is from that record's arrival to the verdict;
// batch is the number of windows in the run of the model that gave it, queue_ms how long the window waited for the run, compute_ms how long the run took.
func score(topic string, s *event.Score) *kgo.Record {
	v := make([]byte, 0, 320+len(s.Pipeline)+len(s.Asset)+len(s.Version)+len(s.Topic))
	v = appendString(append(v, `{"pipeline":`...), s.Pipeline)
	v = appendString(append(v, `,"asset":`...), s.Asset)
	v = appendTime(append(v, `,"start":`...), s.Start)
	v = appendTime(append(v, `,"end":`...), s.End)
	v = appendFloat(append(v, `,"value":`...), float64(s.Value), 32)
	v = appendFloat(append(v, `,"risk":`...), float64(s.Risk), 32)
	v = appendString(append(v, `,"version":`...), s.Version)
	v = appendString(append(v, `,"topic":`...), s.Topic)
	v = strconv.AppendInt(append(v, `,"partition":`...), int64(s.Partition), 10)
	v = strconv.AppendInt(append(v, `,"offset":`...), s.Offset, 10)
	v = appendMillis(append(v, `,"latency_ms":`...), s.Latency)
	v = strconv.AppendUint(append(v, `,"batch":`...), uint64(s.Batch), 10)
	v = appendMillis(append(v, `,"queue_ms":`...), s.Queue)
	v = appendMillis(append(v, `,"compute_ms":`...), s.Compute)
	v = append(v, '}')
	return &kgo.Record{Topic: topic, Key: []byte(s.Asset), Value: v,
		Headers: append(position(s.Position, s.Pipeline), end(s.End))}
}

func end(nanos int64) kgo.RecordHeader {
	return kgo.RecordHeader{Key: HeaderEnd, Value: time.Unix(0, nanos).UTC().AppendFormat(nil, time.RFC3339Nano)}
}

// keys returns what stands before each value of a block's features in JSON, as ,"flow_mean":
func keys(names []string) [][]byte {
	all := make([][]byte, len(names))
	for i, name := range names {
		all[i] = append(appendString([]byte{','}, name), ':')
	}
	return all
}

// feature is the record of a window's values: the asset is the key, and the value is flat JSON,
//
//	{"pipeline":"pumps","asset":"pump-7","start":"2020-01-01T00:00:00Z","end":"2020-01-01T00:01:00Z","flow_count":60,"flow_mean":3.1,"flow_slope":null,
//	 "topic":"plant.pumps","partition":3,"offset":1842}
//
// start and end bound the window in event time, end is the first instant after it; a function without a value is null; topic, partition and offset are of
// the record that closed the window.
func feature(topic string, b *event.Block, i int, keys [][]byte) *kgo.Record {
	f := &b.Features
	size := 192 + len(b.Pipeline) + len(f.Asset[i]) + len(b.Topic)
	for _, key := range keys {
		size += len(key) + 20
	}
	v := make([]byte, 0, size)
	v = appendString(append(v, `{"pipeline":`...), b.Pipeline)
	v = appendString(append(v, `,"asset":`...), f.Asset[i])
	v = appendTime(append(v, `,"start":`...), f.Start[i])
	v = appendTime(append(v, `,"end":`...), f.End[i])
	for s, x := range f.Row(i) {
		v = appendFloat(append(v, keys[s]...), x, 64)
	}
	v = appendString(append(v, `,"topic":`...), b.Topic)
	v = strconv.AppendInt(append(v, `,"partition":`...), int64(b.Partition), 10)
	v = strconv.AppendInt(append(v, `,"offset":`...), f.Offset[i], 10)
	v = append(v, '}')
	at := event.Position{Topic: b.Topic, Partition: b.Partition, Offset: f.Offset[i]}
	return &kgo.Record{Topic: topic, Key: []byte(f.Asset[i]), Value: v, Headers: append(position(at, b.Pipeline), end(f.End[i]))}
}

func appendTime(dst []byte, nanos int64) []byte {
	dst = time.Unix(0, nanos).UTC().AppendFormat(append(dst, '"'), time.RFC3339Nano)
	return append(dst, '"')
}

// appendMillis writes nanoseconds as milliseconds, to the microsecond.
func appendMillis(dst []byte, nanos int64) []byte {
	return appendFloat(dst, math.Round(float64(nanos)/1e3)/1e3, 64)
}

func appendFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, bits)
}

const hex = "0123456789abcdef"

// appendString writes s as a JSON string; bytes that are not UTF-8 become the replacement character.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] >= ' ' && s[i] < utf8.RuneSelf && s[i] != '"' && s[i] != '\\'
	}
	if plain {
		return append(append(dst, s...), '"')
	}
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', byte(c))
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = utf8.AppendRune(dst, c)
		}
	}
	return append(dst, '"')
}
