package replay

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The years that event time may be in: what fits into Unix nanoseconds, with room for loops.
var (
	earliest = time.Date(1700, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	latest   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
)

// timeReader turns a cell, or an asset's count of rows where there is no column, into Unix nanoseconds.
type timeReader func(cell string, count int64) (int64, error)

func (t Time) reader() (timeReader, error) {
	if t.Step != 0 || t.Column == "" {
		return t.counter()
	}
	if t.Format == "" {
		return nil, errors.New("format is empty: write rfc3339, datetime, unix, unix_ms, unix_us, unix_ns or a layout; or set step to count")
	}
	if !t.Start.IsZero() {
		return nil, errors.New("start is for counting: set step too, or leave start out")
	}
	switch t.Format {
	case "unix":
		return unixReader(time.Second), nil
	case "unix_ms":
		return unixReader(time.Millisecond), nil
	case "unix_us":
		return unixReader(time.Microsecond), nil
	case "unix_ns":
		return unixReader(time.Nanosecond), nil
	}
	layout := t.Format
	switch t.Format {
	case "rfc3339":
		layout = time.RFC3339
	case "datetime":
		layout = time.DateTime
	default:
		// A layout that keeps nothing of a time is a spelling mistake.
		if probe := time.Date(2017, 8, 9, 10, 11, 12, 0, time.UTC).Format(layout); probe == layout {
			return nil, fmt.Errorf("format %q is neither a known name nor a layout, as 02.01.2006 15:04:05", t.Format)
		}
	}
	zone, err := time.LoadLocation(t.Zone)
	if err != nil {
		return nil, fmt.Errorf("zone %q is not known: write one as Europe/Berlin, or leave it out for UTC", t.Zone)
	}
	return func(cell string, _ int64) (int64, error) {
		at, err := time.ParseInLocation(layout, strings.TrimSpace(cell), zone)
		if err != nil {
			return 0, fmt.Errorf("%q is not a time of the form %s", cell, layout)
		}
		if at.Year() < 1700 || at.Year() >= 2200 {
			return 0, fmt.Errorf("%q is not between the years 1700 and 2200", cell)
		}
		return at.UnixNano(), nil
	}, nil
}

func (t Time) counter() (timeReader, error) {
	if t.Step <= 0 {
		return nil, errors.New("step is missing: how much time is between rows, or between one and the next of column, as 1h")
	}
	if t.Start.IsZero() {
		return nil, errors.New("start is missing: when the count is zero, as 2020-01-01T00:00:00Z")
	}
	if t.Format != "" || t.Zone != "" {
		return nil, errors.New("format and zone are for a column of times: leave them out when step is set")
	}
	start := t.Start.UnixNano()
	return func(cell string, count int64) (int64, error) {
		n := float64(count)
		if t.Column != "" {
			var err error
			if n, err = strconv.ParseFloat(strings.TrimSpace(cell), 64); err != nil || math.IsNaN(n) {
				return 0, fmt.Errorf("%q is not a number to count by", cell)
			}
		}
		at := float64(start) + n*float64(t.Step)
		if at < float64(earliest) || at > float64(latest) {
			return 0, fmt.Errorf("%s from %s is not between the years 1700 and 2200", cell, t.Start.Format(time.RFC3339))
		}
		if n == math.Trunc(n) {
			return start + int64(n)*int64(t.Step), nil
		}
		return start + int64(math.Round(n*float64(t.Step))), nil
	}, nil
}

func unixReader(unit time.Duration) timeReader {
	return func(cell string, _ int64) (int64, error) {
		text := strings.TrimSpace(cell)
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= earliest/int64(unit) && n <= latest/int64(unit) {
			return n * int64(unit), nil
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !(n >= float64(earliest)/float64(unit) && n <= float64(latest)/float64(unit)) {
			return 0, fmt.Errorf("%q is not a Unix time in %v between the years 1700 and 2200", cell, unit)
		}
		whole, part := math.Modf(n)
		return int64(whole)*int64(unit) + int64(math.Round(part*float64(unit))), nil
	}
}
