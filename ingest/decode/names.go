package decode

import (
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// What is remembered of names, and how long one may be. A fleet has fewer assets than this in one partition; a producer that makes up names is bounded.
const (
	maxNames   = 1 << 16
	maxNameLen = 512
)

// names gives the same string for the same bytes without allocating again. It forgets everything when it is full.
type names struct {
	last string
	seen map[string]string
}

// get returns b as a string, or a rejection that names the field where b is no name: empty, too long, or not UTF-8. Invalid UTF-8 is refused rather than replaced,
// because two different names could then become one.
func (n *names) get(b []byte, field string) (string, error) {
	if string(b) == n.last && n.last != "" {
		return n.last, nil
	}
	if s, ok := n.seen[string(b)]; ok {
		n.last = s
		return s, nil
	}
	switch {
	case len(b) == 0:
		return "", malformed("field %q is empty: send a name", field)
	case len(b) > maxNameLen:
		return "", malformed("field %q is %d bytes long: a name has at most %d", field, len(b), maxNameLen)
	case !utf8.Valid(b):
		return "", malformed("field %q: %s is not UTF-8: send UTF-8", field, quoted(b))
	}
	if n.seen == nil || len(n.seen) >= maxNames {
		n.seen = make(map[string]string)
	}
	s := string(b)
	n.seen[s], n.last = s, s
	return s, nil
}

// quoted shows a value in an error, cut to what a person reads.
func quoted(b []byte) string {
	if len(b) > 48 {
		return strconv.Quote(string(b[:48])) + "..."
	}
	return strconv.Quote(string(b))
}

// view lends bytes to a function that takes a string and keeps nothing.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
