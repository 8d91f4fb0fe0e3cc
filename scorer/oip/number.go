package oip

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

// powers are the powers of ten that a float64 holds exactly.
var powers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// numeral is a number as it is written: mantissa times ten to the exponent, if it has at most 19 digits.
type numeral struct {
	text             []byte
	mantissa         uint64
	digits, exponent int
	negative         bool
}

// numeral reads a number's text.
func (s *scanner) numeral() (n numeral, ok bool) {
	s.next()
	b, start := s.b, s.i
	i := start
	n.negative = i < len(b) && b[i] == '-'
	if n.negative {
		i++
	}
	first := i
	for i < len(b) && b[i]-'0' < 10 {
		n.mantissa = n.mantissa*10 + uint64(b[i]-'0')
		i++
	}
	n.digits = i - first
	if n.digits == 0 || n.digits > 1 && b[first] == '0' {
		return n, s.fail("a number")
	}
	if i < len(b) && b[i] == '.' {
		i++
		first = i
		for i < len(b) && b[i]-'0' < 10 {
			n.mantissa = n.mantissa*10 + uint64(b[i]-'0')
			i++
		}
		if i == first {
			s.i = i
			return n, s.fail("a digit")
		}
		n.exponent = first - i
		n.digits += i - first
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		minus := i < len(b) && b[i] == '-'
		if i < len(b) && (b[i] == '-' || b[i] == '+') {
			i++
		}
		first = i
		e := 0
		for i < len(b) && b[i]-'0' < 10 {
			e = min(e*10+int(b[i]-'0'), 1<<20)
			i++
		}
		if i == first {
			s.i = i
			return n, s.fail("a digit")
		}
		if minus {
			e = -e
		}
		n.exponent += e
	}
	s.i = i
	n.text = b[start:i]
	return n, true
}

// product returns mantissa times power; of up to 15 digits it is what float64 rounds to, of up to 19 it is off by two units in the last place at most.
func (n *numeral) product(most int) (v float64, ok bool) {
	if n.digits > most || n.exponent < -22 || n.exponent > 22 {
		return 0, false
	}
	v = float64(n.mantissa)
	if n.exponent < 0 {
		v /= powers[-n.exponent]
	} else {
		v *= powers[n.exponent]
	}
	if n.negative {
		v = -v
	}
	return v, true
}

// number reads a number, rounded as float64 is.
func (s *scanner) number() (float64, bool) {
	n, ok := s.numeral()
	if !ok {
		return 0, false
	}
	if v, ok := n.product(15); ok {
		return v, true
	}
	return s.exactly(&n)
}

func (s *scanner) exactly(n *numeral) (float64, bool) {
	v, err := strconv.ParseFloat(string(n.text), 64)
	if err != nil {
		s.i -= len(n.text)
		return 0, s.fail("a number that a float holds")
	}
	return v, true
}

// single reads a number, rounded to float32 as strconv.ParseFloat(text, 32) rounds it; what is too large for a float32, but not for a float64, is an infinity.
func (s *scanner) single() (float32, bool) {
	s.next()
	if v, end := plain(s.b, s.i); end > 0 {
		s.i = end
		return v, true
	}
	n, ok := s.numeral()
	if !ok {
		return 0, false
	}
	if v, ok := n.product(19); ok {
		margin := uint64(2)
		if n.digits <= 15 {
			margin = 0
		}
		if v, ok := nearest(v, margin); ok || n.exponent == 0 && margin == 0 {
			return v, true
		}
	}
	if v, err := strconv.ParseFloat(string(n.text), 32); err == nil {
		return float32(v), true
	}
	v, ok := s.exactly(&n)
	return float32(v), ok
}

// whole reads a number without fraction.
func (s *scanner) whole() (int64, bool) {
	s.next()
	start := s.i
	v, ok := s.number()
	if ok && (v != math.Trunc(v) || math.Abs(v) > 1<<53) {
		s.i = start
		return 0, s.fail("a whole number")
	}
	return int64(v), ok
}

// nearest rounds a float64 that stands for a decimal number, and is off by margin units of its last place at most, to the float32 nearest to that number. It is not
// ok where that float64 cannot tell: where the middle between two float32 is so near. With a margin of 0 the float64 is the one nearest to the number.
func nearest(v float64, margin uint64) (float32, bool) {
	const cut, half = 1<<29 - 1, 1 << 28 // the bits that a float32 lacks
	near := math.Float64bits(v)&cut-half+margin <= 2*margin
	return float32(v), !near && (v >= 1e-37 || v <= -1e-37 || v == 0) // a float32 below has fewer bits
}

// plain appends the numbers that come next, each as plain reads it and with a number after it. What follows is left to the caller: at the end a number at least.
func (s *scanner) plain(to []float32) []float32 {
	b, i := s.b, s.i
	for {
		v, end := plain(b, i)
		if end <= 0 || end+2 > len(b) || b[end] != ',' {
			break
		}
		end++
		if b[end] == ' ' && end+1 < len(b) {
			end++
		}
		if c := b[end]; c != '-' && c-'0' > 9 {
			break
		}
		to, i = append(to, v), end
	}
	s.i = i
	return to
}

// plain reads the number at b[i] if it is written as most are: at most 8 digits, and perhaps a point and more of them, 18 in all, and no exponent. It returns what
// single does and where the number ends, or 0 where it is written otherwise, or ends near the end of b. Digits are taken eight at a time, without a branch for
// their count or for the sign, which no processor foresees: about 0.6 of the time of a loop over them (BenchmarkRequest).
func plain(b []byte, i int) (v float32, end int) {
	const most = 1 + 8 + 1 + 3*8 // bytes that are looked at
	if i+most > len(b) {
		return 0, 0
	}
	p := (*[most]byte)(b[i:])
	minus := (uint64(p[0]^'-') - 1) >> 63
	at := uint(minus)
	var m uint64
	n, exact := uint(1), true
	if p[at+1] == '.' { // as most numbers of a scaled window
		if m = uint64(p[at] - '0'); m > 9 {
			return 0, 0
		}
	} else {
		whole := binary.LittleEndian.Uint64(p[at:]) ^ zeros
		if n = count(whole); n == 0 || n > 1 && p[at] == '0' {
			return 0, 0
		}
		m = value(whole, n)
	}
	at += n
	f := float64(int64(m))
	last := p[at]
	if last == '.' {
		at++
		high, low := binary.LittleEndian.Uint64(p[at:])^zeros, binary.LittleEndian.Uint64(p[at+8:])^zeros
		k := count(high)
		more := count(low) & -(k >> 3)
		m = (m*tens[k]+value(high, k))*tens[more] + value(low, more)
		if k += more; k == 16 {
			low = binary.LittleEndian.Uint64(p[at+16:]) ^ zeros
			more = count(low)
			m = m*tens[more] + value(low, more)
			k += more
		}
		if k == 0 || k+n > 18 {
			return 0, 0
		}
		at += k
		f, last, exact = float64(int64(m))/powers[k], p[at], false
	}
	if last-'0' <= 9 || last|0x20 == 'e' {
		return 0, 0
	}
	f = math.Float64frombits(math.Float64bits(f) | minus<<63)
	v, sure := nearest(f, 2)
	if !sure && !exact {
		return 0, 0
	}
	return v, i + int(at)
}

// tens are the powers of ten by which up to 8 digits move those before them.
var tens = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}

// zeros are eight characters 0: text of digits differs from them by the digits' values.
const zeros = 0x3030303030303030

// count returns the number of digits that eight bytes of text, less zeros, begin with.
func count(text uint64) uint {
	// Of the bytes that are no digits only the first is of interest, and a carry spoils no byte before it.
	other := (text + 0x0606060606060606 | text) & 0xf0f0f0f0f0f0f0f0
	return uint(bits.TrailingZeros64(other)) / 8
}

// value returns the value of the first n digits of text, less zeros. Neighbours are joined to numbers of two, four and eight digits (D. Lemire, "Number Parsing
// at a Gigabyte per Second", 2021).
func value(text uint64, n uint) uint64 {
	half := (32 - 4*n) & 63
	text = text << half << half // in front of fewer than eight come zeros; two shifts that Go need not check
	text = text*10 + text>>8
	const even = 0x000000ff000000ff
	return (text&even*(100+1000000<<32) + text>>16&even*(1+10000<<32)) >> 32
}
