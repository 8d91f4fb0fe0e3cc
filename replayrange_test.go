package main

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"andon/ingest"
)

func TestParseBound(t *testing.T) {
	good := func(text, want string) {
		t.Helper()
		b, err := parseBound("from", text)
		got := ""
		switch {
		case err != nil:
			got = err.Error()
		case !b.at.IsZero():
			got = b.at.UTC().Format(time.RFC3339Nano)
		case b.back > 0:
			got = b.back.String()
		case b.all != nil:
			got = fmt.Sprint(*b.all)
		case b.each != nil:
			got = fmt.Sprint(b.each)
		}
		if got != want || b.text != text {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	good("", "")
	good("2020-01-05T00:00:00Z", "2020-01-05T00:00:00Z")
	good("2020-01-05T02:00:00.5+02:00", "2020-01-05T00:00:00.5Z")
	good("2020-01-05", "2020-01-05T00:00:00Z")
	good("90m", "1h30m0s")
	good("0", "0")
	good("1500", "1500")
	good("0:1500,3:200", "map[0:1500 3:200]")
	for text, want := range map[string]string{"yesterday": "is not a time", "-5": "is not a time", "-24h": "is not a time", "0:": "is not a time", "1:2,": "is not a time",
		"1:-2": "is not a time", "1:2,1:3": "partition 1 is named twice", "0001-01-01": "between 1900", "1.5": "is not a time", "1:2:3": "is not a time"} {
		if _, err := parseBound("to", text); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "--to: ") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestSettleRange(t *testing.T) {
	at := func(text string) int64 {
		t.Helper()
		x, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return x.UnixNano()
	}
	v := &logView{topic: "fleet", extents: map[int32]ingest.Extent{0: {Start: 0, End: 1000}, 1: {Start: 500, End: 700}, 2: {Start: 40, End: 40}},
		newest: func() (int64, error) { return at("2020-01-10T00:00:00Z"), nil },
		oldest: func(id int32) (int64, bool, error) {
			if id != 1 {
				return 0, false, fmt.Errorf("partition %d was asked for", id)
			}
			return at("2020-01-03T00:00:00Z"), true, nil
		}}
	settle := func(from, to, want string) {
		t.Helper()
		f, err1 := parseBound("from", from)
		u, err2 := parseBound("to", to)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		s, err := v.settle(f, u)
		times := ""
		if s.from != math.MinInt64 {
			times = time.Unix(0, s.from).UTC().Format(time.DateTime)
		}
		if times += ".."; s.to != math.MaxInt64 {
			times += time.Unix(0, s.to).UTC().Format(time.DateTime)
		}
		got := fmt.Sprint(times, " ", s.first, s.end)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s to %s: %s\nwant %s", from, to, got, want)
		}
	}
	settle("", "", ".. map[0:0 1:500] map[0:1000 1:700]")
	settle("2020-01-05", "2020-01-06T12:00:00Z", "2020-01-05 00:00:00..2020-01-06 12:00:00 map[0:0 1:500] map[0:1000 1:700]")
	settle("24h", "", "2020-01-09 00:00:00.. map[0:0 1:500] map[0:1000 1:700]")
	settle("48h", "24h", "2020-01-08 00:00:00..2020-01-09 00:00:00 map[0:0 1:500] map[0:1000 1:700]")
	settle("600", "", ".. map[0:600 1:600] map[0:1000 1:700]")
	settle("600", "650", ".. map[0:600 1:600] map[0:650 1:650]")
	settle("", "550", ".. map[0:0 1:500] map[0:550 1:550]")
	settle("0:10,1:510", "", ".. map[0:10 1:510] map[0:1000 1:700]")
	settle("0:10", "", ".. map[0:10] map[0:1000]")
	settle("0:10,1:600", "1:5000,2:50", ".. map[1:600] map[1:700]")
	settle("2020-01-05", "1:600", "2020-01-05 00:00:00.. map[1:500] map[1:600]")
	settle("24h", "48h", "--from 24h is not before --to 48h")
	settle("100", "", "the log of fleet no longer reaches back to 100: partition 1 begins at offset 500")
	settle("2020-01-02", "", "the log of fleet no longer reaches back to 2020-01-02: partition 1 begins at 2020-01-03T00:00:00Z (offset 500)")
	settle("5000", "", "the range holds no records: the partitions of fleet are 0: [0, 1000), 1: [500, 700), 2: [40, 40)")
	settle("3:7", "", "3:7: the topic fleet has no partition 3")
}
