package oip

import (
	"compress/zlib"
	"io"
	"sync"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // registers itself, as gRPC has it
)

// gRPC keeps packings in a table of the process that is filled before anything else runs; gzip comes from its own package, deflate (zlib's format) from here.
func init() { encoding.RegisterCompressor(&deflate{}) }

// deflate packs gRPC's messages; writers are used again.
type deflate struct{ writers sync.Pool }

func (*deflate) Name() string { return "deflate" }

func (d *deflate) Compress(w io.Writer) (io.WriteCloser, error) {
	z, ok := d.writers.Get().(*zlib.Writer)
	if !ok {
		z, _ = zlib.NewWriterLevel(w, zlib.BestSpeed)
	}
	z.Reset(w)
	return &deflating{z, d}, nil
}

// Decompress leaves it to gRPC to bound what comes out.
func (*deflate) Decompress(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }

type deflating struct {
	*zlib.Writer
	d *deflate
}

func (z *deflating) Close() error {
	err := z.Writer.Close()
	z.d.writers.Put(z.Writer)
	return err
}
