package kafka

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"unsafe"

	"andon/event"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Form says how a reading's asset and time are written, which is as a record of the wide shape has them: what reads such records reads readings. The asset is the
// key, and the value is flat JSON,
//
//	{"asset":"compressor-017","time":"2020-01-02T06:00:00Z","s_2":641.82,"s_3":1589.7}
//
// A signal without a reading is left out. Headers tell the position of the record that the reading came of.
type Form struct {
	// Asset and Time are the names of these fields.
	Asset, Time string
	// TimeUnit is rfc3339, or s, ms, us or ns since 1970, in UTC, with as many decimals as it takes.
	TimeUnit string
}

// decimals is how many digits of nanoseconds lie behind the point of a unit.
var decimals = map[string]int{"s": 9, "ms": 6, "us": 3, "ns": 0, "rfc3339": -1}

// Validate reports every fault.
func (f Form) Validate() error {
	var errs []error
	if f.Asset == "" || f.Time == "" {
		errs = append(errs, errors.New("form: name the fields of asset and time"))
	}
	if _, ok := decimals[f.TimeUnit]; !ok {
		errs = append(errs, fmt.Errorf("form: time unit %q is not one of rfc3339, s, ms, us, ns", f.TimeUnit))
	}
	return errors.Join(errs...)
}

// readings makes the records of a block's readings that were taken. They are made in slabs: a record, its headers and its bytes have no memory of their own.
type readings struct {
	topic string
	block *event.Block
	taken []int32  // of the block's readings
	names [][]byte // what comes before each value
	asset []byte   // what comes before the asset, and before the time
	time  []byte
	unit  int

	fixed   [3]kgo.RecordHeader // pipeline, topic and partition are the same in all
	records []kgo.Record
	headers []kgo.RecordHeader
	bytes   []byte
}

const slab = 512 // records

func newReadings(topic string, f Form, b *event.Block) *readings {
	r := &readings{topic: topic, block: b, unit: decimals[f.TimeUnit], asset: append(appendString([]byte{'{'}, f.Asset), ':'), time: append(appendString([]byte{','}, f.Time), ':')}
	for i, s := range b.Readings.Status {
		if s == event.StatusOK {
			r.taken = append(r.taken, int32(i))
		}
	}
	for _, s := range b.Readings.Signals {
		r.names = append(r.names, append(appendString([]byte{','}, s), ':'))
	}
	copy(r.fixed[:], position(event.Position{Topic: b.Topic, Partition: b.Partition}, b.Pipeline))
	return r
}

// record makes the i-th; each is asked for once, in order.
func (r *readings) record(i int) *kgo.Record {
	in := &r.block.Readings
	row, width := int(r.taken[i]), len(in.Signals)
	if len(r.records) == 0 {
		n := min(slab, len(r.taken)-i)
		r.records, r.headers = make([]kgo.Record, n), make([]kgo.RecordHeader, 4*n)
	}
	out, headers := &r.records[0], r.headers[:4:4]
	r.records, r.headers = r.records[1:], r.headers[4:]

	// The most that the row takes: a number has 24 bytes at most, and a byte of the asset becomes six.
	most := 128 + len(r.asset) + len(r.time) + 6*len(in.Asset[row]) + 24*width
	for _, name := range r.names {
		most += len(name)
	}
	if cap(r.bytes)-len(r.bytes) < most {
		r.bytes = make([]byte, 0, max(64<<10, most))
	}
	from := len(r.bytes)
	b := strconv.AppendInt(r.bytes, in.Offset[row], 10)
	offset := b[from:len(b):len(b)]
	from = len(b)
	b = appendString(append(b, r.asset...), in.Asset[row])
	b = append(b, r.time...)
	if r.unit < 0 {
		b = appendTime(b, in.Time[row])
	} else {
		b = appendUnix(b, in.Time[row], r.unit)
	}
	for s, v := range in.Values[row*width : (row+1)*width] {
		if v == v && !math.IsInf(v, 0) {
			b = appendNumber(append(b, r.names[s]...), v)
		}
	}
	b = append(b, '}')
	r.bytes = b

	copy(headers, r.fixed[:])
	headers[3] = kgo.RecordHeader{Key: HeaderOffset, Value: offset}
	out.Topic, out.Value, out.Headers = r.topic, b[from:len(b):len(b)], headers
	if a := in.Asset[row]; a != "" {
		out.Key = unsafe.Slice(unsafe.StringData(a), len(a)) // the client only reads it
	}
	return out
}

// appendUnix writes nanoseconds with their last digits behind a point, where they are not zero.
func appendUnix(dst []byte, ns int64, decimals int) []byte {
	if decimals == 0 {
		return strconv.AppendInt(dst, ns, 10)
	}
	if ns < 0 {
		dst = append(dst, '-')
		ns = -ns
	}
	return appendPoint(dst, uint64(ns), decimals)
}

// appendNumber writes a number so that it is read back as the same. Most measured numbers are a few decimals long, which are found by a multiplication: the
// nearest multiple of a millionth, if dividing it gives the number again. All others take the shortest of strconv, five times as long.
func appendNumber(dst []byte, v float64) []byte {
	const exact, scale = 1 << 53, 1e6 // whole numbers up to exact are floats, so the division is rounded as reading the digits is
	abs := math.Abs(v)
	if abs < exact/scale {
		if whole := math.Floor(float64(abs*scale) + 0.5); whole/scale == abs && v != 0 {
			if v < 0 {
				dst = append(dst, '-')
			}
			return appendPoint(dst, uint64(whole), 6)
		}
	}
	if abs < 1e-6 || abs >= 1e21 {
		return strconv.AppendFloat(dst, v, 'g', -1, 64)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}

var powers = [...]uint64{1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// appendPoint writes n with so many of its digits behind the point, less the zeros in the end.
func appendPoint(dst []byte, n uint64, decimals int) []byte {
	whole, rest := n/powers[decimals], n%powers[decimals]
	dst = strconv.AppendUint(dst, whole, 10)
	if rest == 0 {
		return dst
	}
	dst = append(dst, ".000000000"[:decimals+1]...)
	for i := len(dst) - 1; rest > 0; i-- {
		dst[i] += byte(rest % 10)
		rest /= 10
	}
	end := len(dst)
	for dst[end-1] == '0' {
		end--
	}
	return dst[:end]
}
