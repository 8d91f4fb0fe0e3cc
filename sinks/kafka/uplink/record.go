package uplink

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The headers that we add behind a record's own, so that the last one of a name counts. Site, Log, Topic, Partition and Offset name the record among all that ever
// went up; After is the offset of the record before it, -1 for the first: the chain proves on the central side alone that none is missing.
const (
	HeaderSite      = "andon.site"
	HeaderLog       = "andon.site.log"       // the local topic's id; another one after the site's disk was new
	HeaderTopic     = "andon.site.topic"     // the local topic
	HeaderPartition = "andon.site.partition" // decimal, as those below
	HeaderOffset    = "andon.site.offset"
	HeaderAfter     = "andon.site.after"
	HeaderLost      = "andon.site.lost"    // so many offsets before this record were let go of by the local log before they were up
	HeaderCut       = "andon.site.cut"     // the value's size, when its end was left out
	HeaderRefused   = "andon.site.refused" // why the cluster would not have the record; it is here without its value
	HeaderMissing   = "andon.site.missing" // evidence that did not go up, and why: "REF: why"

	// Of evidence: its key is the reference; chunks of one are in one partition, in their order.
	HeaderEvidence = "andon.evidence"       // the reference
	HeaderChunk    = "andon.evidence.chunk" // decimal, from 0
	HeaderChunks   = "andon.evidence.chunks"
	HeaderBytes    = "andon.evidence.bytes" // of the whole
)

func decimal(n int64) []byte { return strconv.AppendInt(nil, n, 10) }

// lift makes the record that goes up: key, value, timestamp and headers as they were, and ours. Above limit bytes the value's end is left out; cut tells so.
func (u *Uplink) lift(r *route, rec *kgo.Record, after, lost int64, why string, limit int) (out *kgo.Record, cut bool) {
	out = &kgo.Record{Topic: r.to, Key: rec.Key, Value: rec.Value, Timestamp: rec.Timestamp, Partition: r.partition}
	out.Headers = append(rec.Headers[:len(rec.Headers):len(rec.Headers)],
		kgo.RecordHeader{Key: HeaderSite, Value: []byte(u.cfg.Site)},
		kgo.RecordHeader{Key: HeaderLog, Value: []byte(r.log)},
		kgo.RecordHeader{Key: HeaderTopic, Value: []byte(r.topic)},
		kgo.RecordHeader{Key: HeaderPartition, Value: decimal(int64(r.partition))},
		kgo.RecordHeader{Key: HeaderOffset, Value: decimal(rec.Offset)},
		kgo.RecordHeader{Key: HeaderAfter, Value: decimal(after)})
	if lost > 0 {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: HeaderLost, Value: decimal(lost)})
	}
	if why != "" {
		// What kept it out may be the timestamp, too: the cluster's clock is near ours.
		stub := &kgo.Record{Topic: out.Topic, Key: clip(out.Key, 1<<10), Partition: out.Partition, Headers: out.Headers[len(rec.Headers):]}
		if len(stub.Key) == 0 { // a compacted topic wants one
			stub.Key = []byte(u.cfg.Site + "/" + r.key.String())
		}
		stub.Headers = append(stub.Headers, kgo.RecordHeader{Key: HeaderCut, Value: decimal(int64(len(rec.Value)))}, kgo.RecordHeader{Key: HeaderRefused, Value: clip([]byte(why), 1<<10)})
		return stub, false
	}
	if size(out) <= limit {
		return out, false
	}
	out.Headers = append(out.Headers, kgo.RecordHeader{Key: HeaderCut, Value: decimal(int64(len(rec.Value)))})
	over := size(out) - limit
	if over > len(out.Value) { // its headers and key alone are too much
		out.Headers, out.Key = out.Headers[len(rec.Headers):], clip(out.Key, limit/4)
		over = size(out) - limit
	}
	out.Value = out.Value[:len(out.Value)-min(max(over, 0), len(out.Value))]
	return out, true
}

// chunks makes the records of a piece of evidence.
func (u *Uplink) chunks(r *route, rec *kgo.Record, ref string, data []byte) (all []*kgo.Record) {
	most := int(u.cfg.Evidence.Chunk)
	n := max(1, (len(data)+most-1)/most)
	for i := range n {
		all = append(all, &kgo.Record{Topic: u.cfg.Evidence.Topic, Key: []byte(ref), Value: data[i*most : min(len(data), (i+1)*most)], Timestamp: rec.Timestamp, Headers: []kgo.RecordHeader{
			{Key: HeaderSite, Value: []byte(u.cfg.Site)},
			{Key: HeaderLog, Value: []byte(r.log)},
			{Key: HeaderTopic, Value: []byte(r.topic)},
			{Key: HeaderPartition, Value: decimal(int64(r.partition))},
			{Key: HeaderOffset, Value: decimal(rec.Offset)},
			{Key: HeaderEvidence, Value: []byte(ref)},
			{Key: HeaderChunk, Value: decimal(int64(i))},
			{Key: HeaderChunks, Value: decimal(int64(n))},
			{Key: HeaderBytes, Value: decimal(int64(len(data)))},
		}})
	}
	return all
}

func clip(b []byte, n int) []byte { return b[:min(len(b), n)] }

// size is at least what a record takes in a batch.
func size(r *kgo.Record) int {
	n := 64 + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += 10 + len(h.Key) + len(h.Value)
	}
	return n
}

// origin is where a record of the central cluster came from.
type origin struct {
	site, log string
	key
	offset, after, lost int64
	refused, cut        bool
}

// originOf reads our headers; false where a record has none of them.
func originOf(rec *kgo.Record) (o origin, ok bool) {
	o.offset, o.after = -1, -1
	number := func(b []byte) int64 {
		n, err := strconv.ParseInt(string(b), 10, 64)
		if err != nil {
			return -1
		}
		return n
	}
	for _, h := range rec.Headers {
		switch h.Key {
		case HeaderSite:
			o = origin{site: string(h.Value), offset: -1, after: -1} // of the last site it came through
		case HeaderLog:
			o.log = string(h.Value)
		case HeaderTopic:
			o.topic = string(h.Value)
		case HeaderPartition:
			o.partition = int32(number(h.Value))
		case HeaderOffset:
			o.offset = number(h.Value)
		case HeaderAfter:
			o.after = number(h.Value)
		case HeaderLost:
			o.lost = number(h.Value)
		case HeaderRefused:
			o.refused = true
		case HeaderCut:
			o.cut = true
		}
	}
	return o, o.site != "" && o.offset >= 0
}

// spread keeps what shares a key, and what has none, in one partition each: by Kafka's own hash of the key, as any producer would, and without one by the local
// partition. A local partition has all records of its keys, so their order is kept.
func spread() kgo.Opt {
	return kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		keyed := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
		return func(r *kgo.Record, n int) int {
			if r.Key == nil {
				return int(r.Partition) % n
			}
			return keyed.Partition(r, n)
		}
	}))
}
