package main

import (
	"strconv"
	"time"
)

// RecordBytes is the length of every record's value.
const RecordBytes = 186

// Disorder bounds how far behind its neighbours a record's event time may lie.
const Disorder = 500 * time.Millisecond

const (
	seqBase     = 100_000_000 // record i carries seqBase+i: nine digits, so that all records have one length
	flushPrefix = "pump-closing-"
	signals     = 8
	field       = 4 // index of s_5, whose mean is taken
	limit       = 910.0
)

// first is the event time of the earliest records, a multiple of every window in use.
var first = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

// Input is a deterministic stream: record i is the same on every run. The assets take turns, ten records a second of event time each.
type Input struct {
	Records int64
	Keys    int64
}

// Asset returns the number of the asset that record i belongs to.
func (in Input) Asset(i int64) int64 { return i % in.Keys }

// Time returns record i's event time in Unix milliseconds; it lies up to Disorder behind a steady clock.
func (in Input) Time(i int64) int64 {
	return first + Disorder.Milliseconds() + i*100/in.Keys - int64(mix(uint64(i))%uint64(Disorder.Milliseconds()))
}

// End returns an event time after every record's.
func (in Input) End() int64 { return first + Disorder.Milliseconds() + in.Records*100/in.Keys + 1 }

// Value returns signal s of record i in ten-thousandths: 100.0000 to 999.9999.
func Value(i int64, s int) int64 {
	return 1_000_000 + int64(mix(uint64(i)*signals+uint64(s)+1<<40)%9_000_000)
}

// Field returns the value of s_5 as every reader of the JSON must see it.
func Field(i int64) float64 { return float64(Value(i, field)) / 10_000 }

// Passes says whether the map job lets record i through.
func Passes(i int64) bool { return Field(i) < limit }

// AppendKey appends the key of asset a.
func AppendKey(dst []byte, a int64) []byte {
	dst = append(dst, "pump-station-"...)
	return appendPadded(dst, a, 4)
}

// ParseKey returns the asset's number, or false for a key that is no asset's.
func ParseKey(key string) (int64, bool) {
	const prefix = "pump-station-"
	if len(key) != len(prefix)+4 || key[:len(prefix)] != prefix {
		return 0, false
	}
	n, err := strconv.ParseUint(key[len(prefix):], 10, 31)
	return int64(n), err == nil
}

// AppendRecord appends the JSON of record i.
func (in Input) AppendRecord(dst []byte, i int64) []byte {
	dst = append(dst, `{"asset":"`...)
	dst = AppendKey(dst, in.Asset(i))
	return appendRest(dst, in.Time(i), i)
}

// AppendFlush appends a record of no asset at event time at. It moves the event time of its partition on, as the next records of a live stream would, so
// that the last windows close.
func AppendFlush(dst []byte, partition int32, at int64) []byte {
	dst = append(dst, `{"asset":"`...)
	dst = AppendFlushKey(dst, partition)
	return appendRest(dst, at, -1)
}

// AppendFlushKey appends the key of a partition's flush records.
func AppendFlushKey(dst []byte, partition int32) []byte {
	dst = append(dst, flushPrefix...)
	return appendPadded(dst, int64(partition), 4)
}

func appendRest(dst []byte, at, i int64) []byte {
	dst = append(dst, `","time":`...)
	dst = strconv.AppendInt(dst, at, 10)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendInt(dst, seqBase+i, 10)
	for s := range signals {
		dst = append(dst, `,"s_`...)
		dst = append(dst, byte('1'+s), '"', ':')
		v := Value(i, s)
		dst = strconv.AppendInt(dst, v/10_000, 10)
		dst = append(dst, '.')
		dst = appendPadded(dst, v%10_000, 4)
	}
	return append(dst, '}')
}

func appendPadded(dst []byte, v int64, width int) []byte {
	for limit := int64(10); width > 1; width-- {
		if v < limit {
			for range width - 1 {
				dst = append(dst, '0')
			}
			break
		}
		limit *= 10
	}
	return strconv.AppendInt(dst, v, 10)
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
