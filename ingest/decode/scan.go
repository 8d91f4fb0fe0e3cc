package decode

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// kind is what a field holds.
type kind uint8

const (
	absent kind = iota
	null
	boolean
	number
	text
	object
	array
)

func (k kind) String() string {
	return [...]string{"absent", "null", "true or false", "a number", "a string", "an object", "an array"}[k]
}

// value is where the scanner found a wanted field.
type value struct {
	kind       kind
	escaped    bool  // a string with backslashes
	start, end int32 // a record is shorter than 2 GiB
	num        numeral
}

// maxDepth is encoding/json's.
const maxDepth = 10000

// scanner finds the wanted fields of a JSON object. It accepts exactly the objects that encoding/json accepts: fields that are not wanted are skipped, yet
// checked; of a field that is there twice, the last counts; invalid UTF-8 inside a string is let through.
//
// Producers send their fields in the same order again and again, so the scanner first compares the key with the one that was at this place before.
type scanner struct {
	fields fields
	values []value
	data   []byte

	guess []guess
	open  []uint64 // one bit for each open bracket of a skipped value: 1 is an object
	buf   []byte   // unescaped text
}

// guess is the key last seen at a place of the object; field is nil where nobody wants it.
type guess struct {
	key   []byte
	field *field
}

const maxGuesses = 128

// fields are the wanted fields by key.
type fields map[string]*field

// field is a key that is wanted (slot), that holds wanted ones (below), or both; slot is -1 for a key that only leads on.
type field struct {
	slot  int
	below fields
	slots []int // all slots below
}

// want adds a path and returns its slot. A path with dots is met both as nested objects and as one key with dots.
func (s *scanner) want(path string) int {
	if f := s.fields[path]; f != nil && f.slot >= 0 {
		return f.slot
	}
	if s.fields == nil {
		s.fields = fields{}
	}
	slot := len(s.values)
	s.values = append(s.values, value{})
	level := s.fields
	at := func(level fields, key string) *field {
		if level[key] == nil {
			level[key] = &field{slot: -1, below: fields{}}
		}
		return level[key]
	}
	at(level, path).slot = slot
	for i, from := 0, 0; i < len(path); i++ {
		if path[i] != '.' {
			continue
		}
		f := at(level, path[from:i])
		f.slots = append(f.slots, slot)
		level, from = f.below, i+1
		if !strings.Contains(path[from:], ".") {
			at(level, path[from:]).slot = slot
		}
	}
	return slot
}

// raw returns the bytes of a string without its quotes, of a number, or of an array with its brackets.
func (s *scanner) raw(v *value) []byte { return s.data[v.start:v.end] }

// scan reads the object and sets values. The error is a Rejection that says where data is no JSON object.
func (s *scanner) scan(data []byte) error {
	clear(s.values)
	s.data = data
	i := space(data, 0)
	if i == len(data) || data[i] != '{' {
		if i < len(data) && data[i] == 0 {
			return malformed("not a JSON object: it begins with a zero byte, as records of a schema registry do: send plain JSON")
		}
		return malformed("not a JSON object: it begins with %s: send one object a record", quoted(data[:min(len(data), 16)]))
	}
	i = s.members(data, i+1, s.fields, 1)
	if i >= 0 {
		if i = space(data, i); i == len(data) {
			return nil
		}
		return malformed("not one JSON object: %s follows it at byte %d: send one object a record", quoted(data[i:min(len(data), i+16)]), i)
	}
	at := -1 - i
	if at >= len(data) {
		return malformed("not JSON: it ends within the object, after %d bytes: was it cut?", len(data))
	}
	return malformed("not JSON at byte %d: %s: send one JSON object a record", at, quoted(data[at:min(len(data), at+16)]))
}

// wrong is what the scanning functions return instead of the next index.
func wrong(at int) int { return -1 - at }

// members reads the rest of an object after its brace, and returns the index after the closing one.
func (s *scanner) members(d []byte, i int, level fields, depth int) int {
	i = space(d, i)
	if i < len(d) && d[i] == '}' {
		return i + 1
	}
	for place := 0; ; place++ {
		if i >= len(d) || d[i] != '"' {
			return wrong(i)
		}
		var f *field
		f, i = s.key(d, i+1, level, depth, place)
		if i < 0 {
			return i
		}
		if i = space(d, i); i >= len(d) || d[i] != ':' {
			return wrong(i)
		}
		i = space(d, i+1)
		if f == nil {
			i = s.skip(d, i, depth)
		} else {
			i = s.take(d, i, f, depth)
		}
		if i < 0 {
			return i
		}
		i = space(d, i)
		if i >= len(d) {
			return wrong(i)
		}
		if d[i] == '}' {
			return i + 1
		}
		if d[i] != ',' {
			return wrong(i)
		}
		i = space(d, i+1)
	}
}

// key reads a key from after its opening quote; it returns the wanted field, if it is one, and the index after the closing quote.
func (s *scanner) key(d []byte, i int, level fields, depth, place int) (*field, int) {
	guessing := depth == 1 && place < maxGuesses
	if guessing && place < len(s.guess) {
		g := &s.guess[place]
		end := i + len(g.key)
		if end < len(d) && d[end] == '"' && string(d[i:end]) == string(g.key) && len(g.key) > 0 {
			return g.field, end + 1
		}
	}
	end, escaped := scanString(d, i)
	if end < 0 {
		return nil, end
	}
	key := d[i : end-1]
	if escaped {
		return level[string(s.unescape(key))], end
	}
	f := level[string(key)]
	if guessing {
		if place == len(s.guess) {
			s.guess = append(s.guess, guess{})
		}
		if place < len(s.guess) && len(key) <= maxNameLen {
			g := &s.guess[place]
			g.key, g.field = append(g.key[:0], key...), f
		}
	}
	return f, end
}

// take reads the value of a wanted field.
func (s *scanner) take(d []byte, i int, f *field, depth int) int {
	for _, slot := range f.slots {
		s.values[slot] = value{}
	}
	if f.slot < 0 {
		if i < len(d) && d[i] == '{' {
			return s.members(d, i+1, f.below, depth+1)
		}
		return s.skip(d, i, depth)
	}
	v := &s.values[f.slot]
	if i >= len(d) {
		return wrong(i)
	}
	switch c := d[i]; {
	case c == '"':
		end, escaped := scanString(d, i+1)
		if end < 0 {
			return end
		}
		v.kind, v.escaped, v.start, v.end = text, escaped, int32(i+1), int32(end-1)
		return end
	case c == '-' || c-'0' <= 9:
		end := scanNumber(d, i, &v.num)
		if end < 0 {
			return wrong(i)
		}
		v.kind, v.escaped, v.start, v.end = number, false, int32(i), int32(end)
		return end
	case c == 't':
		*v = value{kind: boolean, num: numeral{mantissa: 1}}
	case c == 'f':
		*v = value{kind: boolean}
	case c == 'n':
		*v = value{kind: null}
	case c == '[':
		end := s.skip(d, i, depth)
		*v = value{kind: array, start: int32(i), end: int32(max(end, i))}
		return end
	default:
		*v = value{kind: object}
		if c == '{' && len(f.below) > 0 {
			return s.members(d, i+1, f.below, depth+1)
		}
	}
	return s.skip(d, i, depth)
}

// skip checks one value of any kind and returns the index after it; depth counts the brackets open around it.
func (s *scanner) skip(d []byte, i, depth int) int {
	s.open = s.open[:0]
	nested := 0 // brackets open within this value
	var unused numeral
	for {
		if i >= len(d) {
			return wrong(i)
		}
		switch c := d[i]; {
		case c == '"':
			if i, _ = scanString(d, i+1); i < 0 {
				return i
			}
		case c == '-' || c-'0' <= 9:
			at := i
			if i = scanNumber(d, i, &unused); i < 0 {
				return wrong(at)
			}
		case c == 't':
			if i+4 > len(d) || string(d[i:i+4]) != "true" {
				return wrong(i)
			}
			i += 4
		case c == 'f':
			if i+5 > len(d) || string(d[i:i+5]) != "false" {
				return wrong(i)
			}
			i += 5
		case c == 'n':
			if i+4 > len(d) || string(d[i:i+4]) != "null" {
				return wrong(i)
			}
			i += 4
		case c == '{' || c == '[':
			if depth+nested >= maxDepth {
				return wrong(i)
			}
			if nested&63 == 0 && nested>>6 == len(s.open) {
				s.open = append(s.open, 0)
			}
			word, bit := nested>>6, uint64(1)<<(nested&63)
			nested++
			i = space(d, i+1)
			if c == '[' {
				s.open[word] &^= bit
				if i < len(d) && d[i] == ']' {
					break // empty: closed below
				}
				continue
			}
			s.open[word] |= bit
			if i < len(d) && d[i] == '}' {
				break
			}
			if i = skipKey(d, i); i < 0 {
				return i
			}
			continue
		default:
			return wrong(i)
		}
		// A value ended: close what it ends, or go on after a comma.
		for {
			if nested == 0 {
				return i
			}
			if i = space(d, i); i >= len(d) {
				return wrong(i)
			}
			inObject := s.open[(nested-1)>>6]>>((nested-1)&63)&1 == 1
			c := d[i]
			if c == '}' && inObject || c == ']' && !inObject {
				nested--
				i++
				continue
			}
			if c != ',' {
				return wrong(i)
			}
			i = space(d, i+1)
			if inObject {
				if i = skipKey(d, i); i < 0 {
					return i
				}
			}
			break
		}
	}
}

// skipKey checks a key with its colon and returns the index of its value.
func skipKey(d []byte, i int) int {
	if i >= len(d) || d[i] != '"' {
		return wrong(i)
	}
	if i, _ = scanString(d, i+1); i < 0 {
		return i
	}
	if i = space(d, i); i >= len(d) || d[i] != ':' {
		return wrong(i)
	}
	return space(d, i+1)
}

func space(d []byte, i int) int {
	for i < len(d) && (d[i] == ' ' || d[i] == '\n' || d[i] == '\t' || d[i] == '\r') {
		i++
	}
	return i
}

// scanString reads a string from after its opening quote and returns the index after the closing one.
func scanString(d []byte, i int) (end int, escaped bool) {
	for {
		// Eight bytes at a time: a byte of x is zero where the text has what we look for (Mycroft's test; a byte after the first hit may be marked
		// wrongly, and only the first is used).
		const low, high = 0x0101010101010101, 0x8080808080808080
		for i+8 <= len(d) {
			w := binary.LittleEndian.Uint64(d[i:])
			quote, slash := w^(low*'"'), w^(low*'\\')
			if hit := ((quote-low)&^quote | (slash-low)&^slash | (w-low*0x20)&^w) & high; hit != 0 {
				i += bits.TrailingZeros64(hit) >> 3
				break
			}
			i += 8
		}
		for i < len(d) && d[i] != '"' && d[i] != '\\' && d[i] >= 0x20 {
			i++
		}
		if i >= len(d) || d[i] < 0x20 {
			return wrong(i), escaped
		}
		if d[i] == '"' {
			return i + 1, escaped
		}
		escaped = true
		if i++; i >= len(d) {
			return wrong(i), escaped
		}
		switch d[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i++
		case 'u':
			for k := 1; k <= 4; k++ {
				if i+k >= len(d) || hex(d[i+k]) < 0 {
					return wrong(min(i+k, len(d))), escaped
				}
			}
			i += 5
		default:
			return wrong(i), escaped
		}
	}
}

func hex(c byte) int {
	switch {
	case c-'0' <= 9:
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// unescape returns the text of a string that scanString accepted; it is good until the next call. A lone surrogate becomes U+FFFD, as in encoding/json.
func (s *scanner) unescape(b []byte) []byte {
	out := s.buf[:0]
	for i := 0; i < len(b); {
		c := b[i]
		if c != '\\' {
			out = append(out, c)
			i++
			continue
		}
		c = b[i+1]
		i += 2
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := hex4(b[i:])
			i += 4
			if utf16.IsSurrogate(r) {
				pair := rune(utf8.RuneError)
				if i+6 <= len(b) && b[i] == '\\' && b[i+1] == 'u' {
					pair = utf16.DecodeRune(r, hex4(b[i+2:]))
				}
				if r = pair; r != utf8.RuneError {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
			continue
		}
		out = append(out, c)
	}
	s.buf = out
	return out
}

func hex4(b []byte) rune {
	return rune(hex(b[0])<<12 | hex(b[1])<<8 | hex(b[2])<<4 | hex(b[3]))
}
