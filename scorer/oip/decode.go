package oip

import (
	"bytes"
	"encoding/json"
	"time"
)

// maxDepth is how deep a request's JSON may be nested.
const maxDepth = 32

// scanner reads the JSON of a request. It accepts what encoding/json accepts, but for keys that are there twice and deeper nesting.
type scanner struct {
	b []byte
	i int
	// wrong is the first fault.
	wrong *fault
}

// fail notes what was expected where the scanner is. It returns false, as every reading method does then.
func (s *scanner) fail(expected string) bool {
	if s.wrong == nil {
		if s.i >= len(s.b) {
			s.wrong = wrong("the JSON ends after %d bytes, where %s belongs", len(s.b), expected)
		} else {
			s.wrong = wrong("the JSON has %q at byte %d, where %s belongs", s.b[s.i:min(len(s.b), s.i+16)], s.i, expected)
		}
	}
	return false
}

// next skips white space and returns the next byte without taking it, 0 at the end.
func (s *scanner) next() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return c
		}
	}
	return 0
}

// take takes c if it is next.
func (s *scanner) take(c byte) bool {
	if s.next() != c || s.i >= len(s.b) {
		return false
	}
	s.i++
	return true
}

// object calls f with each key of an object; f reads the value. The key is valid until then.
func (s *scanner) object(depth int, f func(key []byte) bool) bool {
	if depth > maxDepth {
		return s.fail("no deeper nesting")
	}
	if !s.take('{') {
		return s.fail("an object")
	}
	if s.take('}') {
		return true
	}
	for {
		key, ok := s.text()
		if !ok {
			return false
		}
		if !s.take(':') {
			return s.fail("a colon")
		}
		if !f(key) {
			return false
		}
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return s.fail("a comma or a brace")
		}
	}
}

// array calls f at each element; f reads it.
func (s *scanner) array(depth int, f func() bool) bool {
	if depth > maxDepth {
		return s.fail("no deeper nesting")
	}
	if !s.take('[') {
		return s.fail("an array")
	}
	if s.take(']') {
		return true
	}
	for {
		if !f() {
			return false
		}
		if s.take(']') {
			return true
		}
		if !s.take(',') {
			return s.fail("a comma or a bracket")
		}
	}
}

// text reads a string; without escapes it is part of the JSON.
func (s *scanner) text() ([]byte, bool) {
	if s.next() != '"' {
		return nil, s.fail("a string")
	}
	start := s.i
	escaped := false
	for i := start + 1; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '"':
			s.i = i + 1
			if !escaped {
				return s.b[start+1 : i], true
			}
			var v string
			if json.Unmarshal(s.b[start:s.i], &v) != nil {
				s.i = start
				return nil, s.fail("a string")
			}
			return []byte(v), true
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			s.i = i
			return nil, s.fail("no control character")
		}
	}
	s.i = len(s.b)
	return nil, s.fail("a quote")
}

// word takes one of JSON's words if it is next.
func (s *scanner) word(w string) bool {
	s.next()
	if !bytes.HasPrefix(s.b[s.i:], []byte(w)) {
		return false
	}
	s.i += len(w)
	return true
}

// boolean reads true or false.
func (s *scanner) boolean() (v, ok bool) {
	switch {
	case s.word("true"):
		return true, true
	case s.word("false"):
		return false, true
	}
	return false, s.fail("true or false")
}

// skip passes over any value.
func (s *scanner) skip(depth int) bool {
	switch s.next() {
	case '{':
		return s.object(depth, func([]byte) bool { return s.skip(depth + 1) })
	case '[':
		return s.array(depth, func() bool { return s.skip(depth + 1) })
	case '"':
		_, ok := s.text()
		return ok
	case 't', 'f':
		_, ok := s.boolean()
		return ok
	case 'n':
		return s.word("null") || s.fail("null")
	}
	_, ok := s.number()
	return ok
}

// request reads a request's JSON into a call. Binary tensors take their bytes from rest, in the order of the inputs.
func (c *call) request(js, rest []byte) *fault {
	s := &scanner{b: js}
	binary := false
	var once keys
	ok := s.object(1, func(key []byte) bool {
		switch string(key) {
		case "id":
			if !once.first(s, "id", 0) {
				return false
			}
			if s.word("null") {
				return true
			}
			v, ok := s.text()
			c.id = string(v)
			return ok
		case "parameters":
			return once.first(s, "parameters", 1) && c.parameters(s, &binary)
		case "inputs":
			return once.first(s, "inputs", 2) && s.array(2, func() bool { return c.readInput(s) })
		case "outputs":
			return once.first(s, "outputs", 3) && (s.word("null") || s.array(2, func() bool { return c.readOutput(s) }))
		}
		return s.skip(2)
	})
	if ok && s.next() != 0 || ok && s.i < len(s.b) {
		ok = s.fail("the end")
	}
	if !ok {
		return s.wrong
	}
	for i := range c.inputs {
		t := &c.inputs[i]
		if !t.binary {
			continue
		}
		n := int(t.size)
		if n > len(rest) {
			return wrong("input %s: binary_data_size is %d, and %d bytes are left after the JSON", t.name, n, len(rest))
		}
		t.raw, rest = rest[:n:n], rest[n:]
	}
	if len(rest) > 0 {
		return wrong("%d bytes follow that belong to no input", len(rest))
	}
	c.all()
	for i := range c.outputs {
		o := &c.outputs[i]
		o.binary = o.binary || binary && !o.said
	}
	return nil
}

// keys notes which keys of an object have been read: with two of a name, which one counts would be a matter of taste.
type keys uint8

func (k *keys) first(s *scanner, name string, n int) bool {
	if *k>>n&1 == 1 {
		if s.wrong == nil {
			s.wrong = wrong("%q is there twice", name)
		}
		return false
	}
	*k |= 1 << n
	return true
}

// parameters reads those of the request.
func (c *call) parameters(s *scanner, binary *bool) bool {
	if s.word("null") {
		return true
	}
	return s.object(2, func(key []byte) bool {
		ok := true
		switch string(key) {
		case "binary_data_output":
			*binary, ok = s.boolean()
		case "scaled":
			var scaled bool
			scaled, ok = s.boolean()
			c.unscaled = !scaled
		case "timeout":
			var us int64
			if us, ok = s.whole(); ok {
				c.limit(us)
			}
		default:
			return s.skip(3)
		}
		return ok
	})
}

// limit takes the parameter timeout, in microseconds; 0 sets none.
func (c *call) limit(us int64) {
	c.timeout = time.Duration(min(max(us, 0), int64(time.Hour/time.Microsecond))) * time.Microsecond
}

func (c *call) readInput(s *scanner) bool {
	t := c.input()
	data := false
	var once keys
	ok := s.object(3, func(key []byte) bool {
		switch string(key) {
		case "name":
			v, ok := s.text()
			t.name = string(v)
			return ok && once.first(s, "name", 0)
		case "datatype":
			v, ok := s.text()
			t.datatype = string(v)
			return ok && once.first(s, "datatype", 1)
		case "shape":
			return once.first(s, "shape", 2) && s.array(4, func() bool {
				d, ok := s.whole()
				t.shape = append(t.shape, d)
				return ok && (len(t.shape) <= maxDepth || s.fail("no further dimension"))
			})
		case "parameters":
			return once.first(s, "parameters", 3) && (s.word("null") || s.object(4, func(key []byte) bool {
				switch string(key) {
				case "binary_data_size":
					t.binary = true
					var ok bool
					t.size, ok = s.whole()
					return ok && (t.size >= 0 || s.fail("a size before it that is not negative"))
				case "shared_memory_region":
					if s.wrong == nil {
						s.wrong = wrong("shared memory is not served: send the tensor in the request")
					}
					return false
				}
				return s.skip(5)
			}))
		case "data":
			data = true
			return once.first(s, "data", 4) && c.readData(s, t)
		}
		return s.skip(4)
	})
	if ok && data == t.binary {
		s.wrong = wrong("input %s: send either data, or the parameter binary_data_size and the bytes after the JSON", t.name)
		return false
	}
	return ok
}

// readData reads numbers, flat or nested as the shape is.
func (c *call) readData(s *scanner, t *tensor) bool {
	from := len(c.numbers)
	ok := s.numbers(c, t, 0)
	// The array may have moved while it grew: only now its place is known.
	t.numbers = c.numbers[from:len(c.numbers):len(c.numbers)]
	return ok
}

const mixed = "numbers and arrays side by side"

// numbers reads one array of a tensor's data. Arrays of one depth must be of one length.
func (s *scanner) numbers(c *call, t *tensor, depth int) bool {
	if depth >= maxDepth {
		return s.fail("no deeper nesting")
	}
	if !s.take('[') {
		return s.fail("an array")
	}
	n, leaves := int64(0), false
	for !s.take(']') {
		if n > 0 && !s.take(',') {
			return s.fail("a comma or a bracket")
		}
		switch s.next() {
		case '[':
			if leaves || len(t.nested) == depth+1 && t.nested[depth] != -1 {
				t.strange = mixed
			}
			if len(t.nested) == depth {
				t.nested = append(t.nested, -1)
			}
			if !s.numbers(c, t, depth+1) {
				return false
			}
		case '"', 't', 'f', 'n', '{':
			kind := map[byte]string{'"': "strings, and BYTES are not served", 't': "true", 'f': "false", 'n': "null", '{': "objects"}[s.b[s.i]]
			if t.strange == "" {
				t.strange = kind
			}
			if !s.skip(depth + 4) {
				return false
			}
		default:
			before := len(c.numbers)
			c.numbers = s.plain(c.numbers)
			n += int64(len(c.numbers) - before)
			v, ok := s.single()
			if !ok {
				return false
			}
			c.numbers = append(c.numbers, v)
			leaves = true
			if len(t.nested) > depth+1 {
				t.strange = mixed
			}
		}
		n++
	}
	if len(t.nested) == depth {
		t.nested = append(t.nested, n)
	} else if t.nested[depth] == -1 {
		t.nested[depth] = n
	} else if t.nested[depth] != n {
		t.strange = "arrays of different lengths at one depth"
	}
	return true
}

func (c *call) readOutput(s *scanner) bool {
	var name string
	var o wanted
	var once keys
	ok := s.object(3, func(key []byte) bool {
		switch string(key) {
		case "name":
			v, ok := s.text()
			name = string(v)
			return ok && once.first(s, "name", 0)
		case "parameters":
			return once.first(s, "parameters", 1) && (s.word("null") || s.object(4, func(key []byte) bool {
				switch string(key) {
				case "binary_data":
					v, ok := s.boolean()
					o.binary, o.said = v, true
					return ok
				case "classification", "shared_memory_region":
					if s.wrong == nil {
						s.wrong = wrong("the output parameter %s is not served", key)
					}
					return false
				}
				return s.skip(5)
			}))
		}
		return s.skip(4)
	})
	if !ok {
		return false
	}
	if s.wrong = c.want(name, o); s.wrong != nil {
		return false
	}
	return true
}
