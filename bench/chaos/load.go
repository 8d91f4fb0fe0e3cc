package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The input: one topic whose assets each send one value a second of event time, in order, but for what is planted.
const (
	topic      = "chaos.in"
	pipeline   = "chaos"
	partitions = 4
	// length is the windows' length in slots of one second.
	length = 5
	// living is how many assets of a partition send at a time, and lifetime how many records each sends until another takes its place: the state that a
	// crash throws away is worth nothing if no asset ever begins or ends.
	living, lifetime = 3, 150
)

// What a record is, in the header "kind".
const (
	kindOK        = "ok"
	kindDuplicate = "duplicate"
	kindLate      = "late"
	kindMalformed = "malformed"
)

// asset is one sender.
type asset struct {
	name string
	next int64 // seconds of event time
	last int64
	n    int
}

// Loader makes records and sends them. What it makes follows from its seed; how fast, from the machine.
type loader struct {
	client *kgo.Client
	rng    *rand.Rand
	parts  [partitions]struct {
		assets []*asset
		born   int
		clock  int64
	}
	id uint64

	mu    sync.Mutex
	acked []uint64
	err   error
	open  sync.WaitGroup
}

// epoch is the event time of the first record.
const epoch = 1577836800 // 2020-01-01

func newLoader(broker string, seed uint64) (*loader, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ClientID("chaos-loader"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(5*time.Millisecond), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.UnknownTopicRetries(-1), kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }))
	if err != nil {
		return nil, err
	}
	l := &loader{client: client, rng: rand.New(rand.NewPCG(seed, 1))}
	for p := range l.parts {
		l.parts[p].clock = epoch
	}
	return l, nil
}

// value is what an asset reads at an instant: anything that tells one record from another.
func value(name string, at int64) float64 {
	h := uint64(14695981039346656037)
	for _, c := range name + "@" + strconv.FormatInt(at, 10) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return float64(h>>40) / 1000
}

// record makes the next one.
func (l *loader) record() *kgo.Record {
	l.id++
	p := l.rng.IntN(partitions)
	part := &l.parts[p]
	for len(part.assets) < living {
		part.born++
		part.assets = append(part.assets, &asset{name: fmt.Sprintf("asset-%d-%d", p, part.born), next: part.clock + 1})
	}
	i := l.rng.IntN(living)
	a := part.assets[i]
	kind, at := kindOK, a.next
	if a.n > 0 {
		switch n := l.rng.IntN(100); {
		case n < 2:
			kind, at = kindLate, a.last-1000
		case n < 4:
			kind, at = kindDuplicate, a.last
		case n < 6:
			kind = kindMalformed
		}
	}
	text := time.Unix(at, 0).UTC().Format(time.RFC3339)
	js := fmt.Sprintf(`{"asset":%q,"time":%q,"v":%v,"id":%d}`, a.name, text, value(a.name, at), l.id)
	if kind == kindMalformed {
		js = [...]string{js[:len(js)/2], "", `{"time":"` + text + `","v":1}`, fmt.Sprintf(`{"asset":%q,"time":"yesterday","v":1}`, a.name), "\x00\xff\xfe"}[l.rng.IntN(5)]
	}
	if kind == kindOK {
		a.last, a.next = at, at+1
		part.clock = max(part.clock, at)
		if a.n++; a.n == lifetime {
			part.assets[i] = part.assets[living-1]
			part.assets = part.assets[:living-1]
		}
	}
	r := &kgo.Record{Partition: int32(p), Key: []byte(a.name), Value: []byte(js)}
	for _, h := range [][2]string{{"id", strconv.FormatUint(l.id, 10)}, {"kind", kind}, {"asset", a.name}, {"time", strconv.FormatInt(at, 10)}} {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	return r
}

// run sends about rate records a second until ctx ends. What is sent then stays on its way: see settle.
func (l *loader) run(ctx context.Context, rate int) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	owed := 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// In bursts, as devices behind a gateway send.
		owed += float64(rate) / 50 * 2 * l.rng.Float64()
		if l.client.BufferedProduceRecords() > 5000 { // the broker is away: no use to pile up more
			owed = 0
		}
		for ; owed >= 1; owed-- {
			r := l.record()
			id := l.id
			l.open.Add(1)
			l.client.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
				l.mu.Lock()
				if err == nil {
					l.acked = append(l.acked, id)
				} else if l.err == nil {
					l.err = err
				}
				l.mu.Unlock()
				l.open.Done()
			})
		}
	}
}

// settle waits until the broker has acknowledged everything, and returns the numbers of the records acknowledged since the last time.
func (l *loader) settle(ctx context.Context) ([]uint64, error) {
	if err := l.client.Flush(ctx); err != nil {
		return nil, fmt.Errorf("the broker does not acknowledge %d records: %w", l.client.BufferedProduceRecords(), err)
	}
	l.open.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	acked := l.acked
	l.acked = nil
	return acked, l.err
}

func (l *loader) close() { l.client.Close() }
