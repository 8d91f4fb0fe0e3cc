package oip

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

const limitKey = " (inference.max_request)"

// readBody reads a request's body into the call's memory, unpacked.
func (c *call) readBody(r *http.Request, limit int64) ([]byte, *fault) {
	if r.ContentLength > limit {
		_, _ = io.CopyN(io.Discard, r.Body, 4*limit) // a client that is still writing would see a broken connection, and not our answer
		return nil, tooLarge("a request of %d bytes is larger than %d%s", r.ContentLength, limit, limitKey)
	}
	if r.ContentLength > 0 {
		c.body = slices.Grow(c.body[:0], int(r.ContentLength)+1) // one byte more, so that the read that finds the end needs no growing
	}
	var f *fault
	if c.body, f = readAll(c.body[:0], r.Body, limit, limitKey); f != nil {
		return nil, f
	}
	var unpack io.ReadCloser
	var err error
	switch encoding := strings.ToLower(r.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		return c.body, nil
	case "gzip", "x-gzip":
		unpack, err = gzip.NewReader(bytes.NewReader(c.body))
	case "deflate": // which means zlib's format
		unpack, err = zlib.NewReader(bytes.NewReader(c.body))
	default:
		return nil, &fault{http.StatusUnsupportedMediaType, 0, "Content-Encoding " + encoding + " is not read: send gzip, deflate or none"}
	}
	if err != nil {
		return nil, wrong("unpack the body: %v", err)
	}
	defer unpack.Close()
	c.plain, f = readAll(c.plain[:0], unpack, limit, limitKey)
	return c.plain, f
}

// readAll appends what r holds to b, up to limit bytes, which the configuration's key sets.
func readAll(b []byte, r io.Reader, limit int64, key string) ([]byte, *fault) {
	for {
		if len(b) == cap(b) {
			b = slices.Grow(b, max(4096, len(b)))
		}
		n, err := r.Read(b[len(b):min(cap(b), int(limit)+1)])
		b = b[:len(b)+n]
		if int64(len(b)) > limit {
			return b, tooLarge("the request is larger than %d bytes%s", limit, key)
		}
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, wrong("read the body: %v", err)
		}
	}
}

// packFrom is the size of an answer from which packing is worth its time.
const packFrom = 1024

// packer writes an answer packed.
type packer struct {
	name string
	io.WriteCloser
	reset func(io.Writer)
}

var gzips = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	return &packer{"gzip", z, z.Reset}
}}

var zlibs = sync.Pool{New: func() any {
	z, _ := zlib.NewWriterLevel(nil, zlib.BestSpeed)
	return &packer{"deflate", z, z.Reset}
}}

// packing returns the pool of the packers that the caller understands, nil for none.
func packing(accept string) *sync.Pool {
	switch {
	case accept == "":
		return nil
	case takes(accept, "gzip"):
		return &gzips
	case takes(accept, "deflate"):
		return &zlibs
	}
	return nil
}

// takes reports whether an Accept-Encoding names an encoding and does not forbid it.
func takes(accept, name string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		encoding, rest, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(encoding), name) {
			q := strings.TrimSpace(rest)
			return q == "" || strings.Trim(strings.TrimPrefix(q, "q="), "0.") != ""
		}
	}
	return false
}

// write sends body to the caller, packed where that is asked for and worth it.
func write(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	h := w.Header()
	pool := packing(r.Header.Get("Accept-Encoding"))
	if pool == nil || len(body) < packFrom {
		setLength(h, len(body))
		w.WriteHeader(status)
		_, _ = w.Write(body)
		return
	}
	p := pool.Get().(*packer)
	defer pool.Put(p)
	h.Set("Content-Encoding", p.name)
	h.Set("Vary", "Accept-Encoding")
	w.WriteHeader(status)
	p.reset(w)
	_, _ = p.Write(body) // a caller who went away is no concern of the next
	_ = p.Close()
}
