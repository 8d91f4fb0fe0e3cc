package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// verdict is what is wrong with what is stored.
type verdict struct {
	lost, doubled, wrong int
	first                []string // the first of them, in words
}

func (v *verdict) add(count *int, format string, args ...any) {
	*count++
	if len(v.first) < 20 {
		v.first = append(v.first, fmt.Sprintf(format, args...))
	}
}

func (v *verdict) clean() bool { return v.lost == 0 && v.doubled == 0 && v.wrong == 0 }

func (v *verdict) join(o *verdict) {
	v.lost, v.doubled, v.wrong = v.lost+o.lost, v.doubled+o.doubled, v.wrong+o.wrong
	v.first = append(v.first, o.first...)
}

// dial connects to the ClickHouse of an appliance with a client of our own.
func dial(at addresses) (driver.Conn, error) {
	user, err := at.owner()
	if err != nil {
		return nil, err
	}
	return ch.Open(&ch.Options{Addr: []string{at.Native}, Auth: ch.Auth{Database: "andon", Username: user.User, Password: user.Password},
		DialTimeout: 2 * time.Second, ReadTimeout: 20 * time.Second})
}

// stored is one row, whatever table it is of.
type stored struct {
	partition int32
	offset    int64
	kind      string // status of a reading, reason of a dead letter, "score"
	asset     string
	time      int64 // seconds; a score's end
	value     float64
}

// rows reads what is stored of each partition's range.
func rows(ctx context.Context, c driver.Conn, from, to [partitions]int64) (map[int32]map[int64][]stored, error) {
	out := map[int32]map[int64][]stored{}
	for p := range int32(partitions) {
		out[p] = map[int64][]stored{}
		for _, sql := range []string{
			"SELECT _partition, _offset, toString(status), toString(asset), toUnixTimestamp64Milli(toDateTime64(time, 3)) / 1000, values[1] FROM readings",
			"SELECT _partition, _offset, toString(reason), '', 0., 0. FROM deadletters",
			"SELECT _partition, _offset, 'score', toString(asset), toUnixTimestamp64Milli(toDateTime64(end, 3)) / 1000, toFloat64(value) FROM scores",
		} {
			r, err := c.Query(ctx, sql+" WHERE pipeline = ? AND _topic = ? AND _partition = ? AND _offset >= ? AND _offset < ?", pipeline, topic, p, from[p], to[p])
			if err != nil {
				return nil, err
			}
			for r.Next() {
				var s stored
				var at float64
				if err := r.Scan(&s.partition, &s.offset, &s.kind, &s.asset, &at, &s.value); err != nil {
					return nil, errors.Join(err, r.Close())
				}
				s.time = int64(at)
				out[p][s.offset] = append(out[p][s.offset], s)
			}
			if err := errors.Join(r.Err(), r.Close()); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// compare holds what is stored against what the log says.
func compare(log [partitions][]entry, have map[int32]map[int64][]stored) *verdict {
	v := &verdict{}
	for p, entries := range log {
		known := map[int64]bool{}
		for _, e := range entries {
			known[e.offset] = true
			v.entry(int32(p), e, have[int32(p)][e.offset])
		}
		for offset, all := range have[int32(p)] {
			if !known[offset] {
				v.add(&v.wrong, "%s/%d@%d is stored as %s and not in the log", topic, p, offset, all[0].kind)
			}
		}
	}
	return v
}

func (v *verdict) entry(p int32, e entry, have []stored) {
	at := fmt.Sprintf("%s/%d@%d (%s %d of %s at %d)", topic, p, e.offset, e.kind, e.id, e.asset, e.time)
	var scores, handled []stored
	for _, s := range have {
		if s.kind == "score" {
			scores = append(scores, s)
		} else {
			handled = append(handled, s)
		}
	}
	switch {
	case len(handled) == 0:
		v.add(&v.lost, "%s is stored nowhere", at)
		return
	case len(handled) > 1:
		v.add(&v.doubled, "%s is stored %d times: %v", at, len(handled), handled)
		return
	}
	h := handled[0]
	switch {
	case e.again: // a duplicate, or late, or, if all before it was forgotten, new
	case h.kind != e.kind:
		v.add(&v.wrong, "%s is stored as %s", at, h.kind)
	case (h.kind == kindOK || h.kind == kindDuplicate) && (h.asset != e.asset || h.time != e.time || h.value != value(e.asset, e.time)):
		v.add(&v.wrong, "%s is stored as %v", at, h)
	}
	switch {
	case len(scores) > 1:
		v.add(&v.doubled, "%s has %d scores: %v", at, len(scores), scores)
	case e.scored && len(scores) == 0:
		v.add(&v.lost, "%s has no score", at)
	case !e.scored && !e.again && len(scores) == 1:
		v.add(&v.wrong, "%s has a score and should not: %v", at, scores[0])
	case e.scored && (scores[0].asset != e.asset || scores[0].time != e.time+1 || math.Abs(scores[0].value-e.score) > 1e-5*math.Abs(e.score)+1e-3):
		v.add(&v.wrong, "%s has the score %v; its window's mean is %v", at, scores[0], e.score)
	}
}

// totals counts everything that is stored, so that a writer who comes back and writes long ago's rows again is seen.
func totals(ctx context.Context, c driver.Conn, to [partitions]int64) (*verdict, error) {
	v := &verdict{}
	r, err := c.Query(ctx, `SELECT p, sum(n), uniqExact(o), max(o), toUInt64(sum(s)), uniqExactIf(o, s > 0) FROM
(
    SELECT _partition AS p, _offset AS o, toUInt64(1) AS n, toUInt64(0) AS s FROM readings WHERE pipeline = ? AND _topic = ?
    UNION ALL SELECT _partition, _offset, 1, 0 FROM deadletters WHERE pipeline = ? AND _topic = ?
    UNION ALL SELECT _partition, _offset, 0, 1 FROM scores WHERE pipeline = ? AND _topic = ?
) GROUP BY p`, pipeline, topic, pipeline, topic, pipeline, topic)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	seen := map[int32]bool{}
	for r.Next() {
		var p int32
		var n, offsets, scores, scored uint64
		var last int64
		if err := r.Scan(&p, &n, &offsets, &last, &scores, &scored); err != nil {
			return nil, err
		}
		seen[p] = true
		end := to[p]
		if int64(offsets) < end {
			v.add(&v.lost, "%s/%d: %d of %d offsets are stored", topic, p, offsets, end)
		}
		if last >= end || int64(offsets) > end {
			v.add(&v.wrong, "%s/%d: offset %d is stored, the log ends at %d", topic, p, last, end)
		}
		if n > offsets {
			v.add(&v.doubled, "%s/%d: %d rows for %d offsets", topic, p, n, offsets)
		}
		if scores > scored {
			v.add(&v.doubled, "%s/%d: %d scores for %d offsets", topic, p, scores, scored)
		}
	}
	for p, end := range to {
		if end > 0 && !seen[int32(p)] {
			v.add(&v.lost, "%s/%d: nothing of %d offsets is stored", topic, p, end)
		}
	}
	return v, r.Err()
}

// deadLetters checks that every record of the range that is a dead letter has been published as one, too. The topic may hold some more than once.
func deadLetters(published map[int32]map[int64]int, log [partitions][]entry) *verdict {
	v := &verdict{}
	for p, entries := range log {
		for _, e := range entries {
			if !e.again && (e.kind == kindLate || e.kind == kindMalformed) && published[int32(p)][e.offset] == 0 {
				v.add(&v.lost, "%s/%d@%d (%s) is not in the topic of dead letters", topic, p, e.offset, e.kind)
			}
		}
	}
	return v
}
