package decode

import (
	"math"
	"time"
)

// stamp writes an instant for people.
func stamp(at int64) string { return time.Unix(0, at).UTC().Format(time.RFC3339Nano) }

// parseRFC3339 reads 2006-01-02T15:04:05.999+01:00 into Unix nanoseconds. It takes the forms of RFC 3339: T and Z in either case, a space for the T, any number of
// decimals (past nanoseconds they are dropped), and always a zone. A leap second is refused, as package time does.
func parseRFC3339(b []byte) (int64, bool) {
	if len(b) < len("2006-01-02T15:04:05Z") || b[4] != '-' || b[7] != '-' || b[13] != ':' || b[16] != ':' {
		return 0, false
	}
	if c := b[10]; c != 'T' && c != 't' && c != ' ' {
		return 0, false
	}
	year := two(b, 0)*100 + two(b, 2)
	month, day := two(b, 5), two(b, 8)
	hour, minute, second := two(b, 11), two(b, 14), two(b, 17)
	// two gives a large negative for what is not two digits, which no sum brings back.
	if two(b, 0) < 0 || two(b, 2) < 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return 0, false
	}
	i, nanos := 19, 0
	if b[i] == '.' {
		i++
		scale, from := 100_000_000, i
		for ; i < len(b) && b[i]-'0' <= 9; i++ {
			nanos += int(b[i]-'0') * scale
			scale /= 10
		}
		if i == from {
			return 0, false
		}
	}
	offset := 0
	switch rest := b[i:]; {
	case len(rest) == 1 && (rest[0] == 'Z' || rest[0] == 'z'):
	case len(rest) == 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':':
		h, m := two(rest, 1), two(rest, 4)
		if h < 0 || h > 23 || m < 0 || m > 59 {
			return 0, false
		}
		offset = h*3600 + m*60
		if rest[0] == '-' {
			offset = -offset
		}
	default:
		return 0, false
	}
	seconds := int64(daysFrom1970(year, month, day))*86400 + int64(hour*3600+minute*60+second-offset)
	const far = math.MaxInt64/1_000_000_000 - 1
	if seconds > far || seconds < -far {
		return 0, false
	}
	return seconds*1_000_000_000 + int64(nanos), true
}

// two reads two digits.
func two(b []byte, i int) int {
	hi, lo := b[i]-'0', b[i+1]-'0'
	if hi > 9 || lo > 9 {
		return -1 << 20
	}
	return int(hi)*10 + int(lo)
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysFrom1970 counts days in the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil).
func daysFrom1970(year, month, day int) int {
	if month <= 2 {
		year--
		month += 12
	}
	era := year / 400 // years here are 0 to 9999, or -1 for January of year 0
	if year < 0 {
		era = -1
	}
	yoe := year - era*400
	doy := (153*(month-3)+2)/5 + day - 1
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
}

// parseUnix reads a number of 10^-9+exponent seconds since 1970, whole or decimal, into nanoseconds, exactly; what is finer than a nanosecond is dropped.
func parseUnix(b []byte, exponent int) (int64, bool) {
	var n numeral
	if end := scanNumber(b, 0, &n); end != len(b) || n.cut {
		return 0, false
	}
	m, e := n.mantissa, int(n.exponent)+exponent
	for ; e < 0 && m > 0; e++ {
		m /= 10
	}
	for ; e > 0 && m > 0; e-- {
		if m > math.MaxInt64/10 {
			return 0, false
		}
		m *= 10
	}
	if m > math.MaxInt64 {
		return 0, false
	}
	if n.negative {
		return -int64(m), true
	}
	return int64(m), true
}
