package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/ingest"
)

// bound is one end of the range of a replay, as a person writes it: at most one of its fields is set.
type bound struct {
	text string
	// at is event time.
	at time.Time
	// back is counted from the newest event time of the pipeline.
	back time.Duration
	// all is an offset of every partition, where one is given; each is by partition.
	all  *int64
	each map[int32]int64
}

// parseBound reads an end of a range: nothing, a time (2020-01-05T00:00:00Z, or 2020-01-05), a duration to count back (24h), an offset of all partitions (1500), or
// offsets of some (0:1500,3:200).
func parseBound(flag, text string) (bound, error) {
	b := bound{text: text}
	if text == "" {
		return b, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			if at.Year() < 1900 || at.Year() > 2261 {
				return b, fmt.Errorf("--%s: the year of %s is not between 1900 and 2261", flag, text)
			}
			b.at = at
			return b, nil
		}
	}
	if offset, err := strconv.ParseInt(text, 10, 64); err == nil && offset >= 0 {
		b.all = &offset
		return b, nil
	}
	if back, err := time.ParseDuration(text); err == nil && back > 0 {
		b.back = back
		return b, nil
	}
	each := map[int32]int64{}
	for _, part := range strings.Split(text, ",") {
		id, offset, _ := strings.Cut(part, ":")
		n, err1 := strconv.ParseInt(id, 10, 32)
		o, err2 := strconv.ParseInt(offset, 10, 64)
		if err1 != nil || err2 != nil || n < 0 || o < 0 {
			return b, fmt.Errorf("--%s: %q is not a time (2020-01-05T00:00:00Z, 2020-01-05), a duration to count back (24h), an offset (1500), "+
				"nor offsets of partitions (0:1500,3:200)", flag, text)
		}
		if _, twice := each[int32(n)]; twice {
			return b, fmt.Errorf("--%s: partition %d is named twice", flag, n)
		}
		each[int32(n)] = o
	}
	b.each = each
	return b, nil
}

// span is a range whose ends are known.
type span struct {
	// from and to bound the ends of the windows that are scored, in event time, Unix nanoseconds.
	from, to int64
	// first and end bound the records that complete them, by partition; a partition that is in neither is not read.
	first, end map[int32]int64
}

// logView is what is asked of the log and the store to settle a range.
type logView struct {
	topic   string
	extents map[int32]ingest.Extent
	// newest returns the newest event time that is stored of the pipeline.
	newest func() (int64, error)
	// oldest returns the event time of the first row of a partition that the log still holds, and false where it cannot be told.
	oldest func(id int32) (int64, bool, error)
}

// settle finds out what a range means in the log as it is now: a replay that is started again goes on with the same.
func (v *logView) settle(from, to bound) (span, error) {
	s := span{from: math.MinInt64, to: math.MaxInt64, first: map[int32]int64{}, end: map[int32]int64{}}
	var err error
	if s.from, err = v.instant(from, s.from); err == nil {
		s.to, err = v.instant(to, s.to)
	}
	if err != nil {
		return s, err
	}
	if s.from >= s.to {
		return s, fmt.Errorf("--from %s is not before --to %s", from.text, to.text)
	}
	for _, b := range []bound{from, to} {
		for _, id := range slices.Sorted(maps.Keys(b.each)) {
			if _, ok := v.extents[id]; !ok {
				return s, fmt.Errorf("%s: the topic %s has no partition %d", b.text, v.topic, id)
			}
		}
	}
	var lost []string
	for _, id := range slices.Sorted(maps.Keys(v.extents)) {
		x := v.extents[id]
		first, end := x.Start, x.End
		if asked, named := from.offset(id, x.Start); !named {
			continue
		} else if asked < x.Start {
			lost = append(lost, fmt.Sprintf("partition %d begins at offset %d", id, x.Start))
		} else {
			first = asked
		}
		if asked, named := to.offset(id, x.End); !named {
			continue
		} else {
			end = min(end, asked)
		}
		if s.from != math.MinInt64 && x.Start > 0 && x.Start < x.End {
			at, known, err := v.oldest(id)
			if err != nil {
				return s, err
			}
			if known && s.from < at {
				lost = append(lost, fmt.Sprintf("partition %d begins at %s (offset %d)", id, time.Unix(0, at).UTC().Format(time.RFC3339Nano), x.Start))
			}
		}
		if first < end {
			s.first[id], s.end[id] = first, end
		}
	}
	if len(lost) > 0 {
		return s, fmt.Errorf("the log of %s no longer reaches back to %s: %s", v.topic, from.text, strings.Join(lost, ", "))
	}
	if len(s.first) == 0 {
		var holds []string
		for _, id := range slices.Sorted(maps.Keys(v.extents)) {
			holds = append(holds, fmt.Sprintf("%d: [%d, %d)", id, v.extents[id].Start, v.extents[id].End))
		}
		return s, fmt.Errorf("the range holds no records: the partitions of %s are %s", v.topic, strings.Join(holds, ", "))
	}
	return s, nil
}

// instant returns the event time of a bound, or otherwise if it has none.
func (v *logView) instant(b bound, otherwise int64) (int64, error) {
	switch {
	case !b.at.IsZero():
		return b.at.UnixNano(), nil
	case b.back > 0:
		newest, err := v.newest()
		return newest - int64(b.back), err
	}
	return otherwise, nil
}

// offset returns the bound's offset of a partition, or otherwise if it has none; false where others are named and this one is not.
func (b bound) offset(id int32, otherwise int64) (int64, bool) {
	switch {
	case b.all != nil:
		return *b.all, true
	case b.each != nil:
		o, ok := b.each[id]
		return o, ok
	}
	return otherwise, true
}
