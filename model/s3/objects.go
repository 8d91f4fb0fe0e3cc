package s3

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/minio/minio-go/v7"
)

// Objects keeps files of any kind in a bucket, by names below the configuration's prefix. It is safe for concurrent use.
type Objects struct{ s *Store }

// NewObjects makes one for a valid configuration; nothing is reached out to. Objects of more than max bytes are not read. key is where the configuration stands, for advice.
func NewObjects(cfg Config, max int64, key string) (*Objects, error) {
	s, err := dial(cfg, max, key)
	if err != nil {
		return nil, err
	}
	return &Objects{s}, nil
}

// Check is Store.Check.
func (o *Objects) Check(ctx context.Context) error { return o.s.Check(ctx) }

// Put writes an object; the bucket has it for good when Put returns.
func (o *Objects) Put(ctx context.Context, name string, data []byte) error {
	_, err := o.s.client.PutObject(ctx, o.s.bucket, o.s.prefix+name, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{ContentType: "application/octet-stream"})
	if err != nil {
		return fmt.Errorf("write %s to the bucket %s: %w", o.s.prefix+name, o.s.bucket, o.s.advise(err))
	}
	return nil
}

// Get reads an object; the error is fs.ErrNotExist where there is none.
func (o *Objects) Get(ctx context.Context, name string) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		if minio.ToErrorResponse(err).Code == "NoSuchKey" {
			err = fs.ErrNotExist
		}
		return nil, fmt.Errorf("read %s of the bucket %s: %w", o.s.prefix+name, o.s.bucket, o.s.advise(err))
	}
	r, err := o.s.client.GetObject(ctx, o.s.bucket, o.s.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return fail(err)
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return fail(err)
	}
	if info.Size > o.s.max {
		return fail(fmt.Errorf("it has %d bytes, more than %d", info.Size, o.s.max))
	}
	data := make([]byte, info.Size)
	if _, err := io.ReadFull(r, data); err != nil {
		return fail(err)
	}
	return data, nil
}

// Names tells the names of all objects below a prefix, one after the other.
func (o *Objects) Names(ctx context.Context, below string, tell func(name string)) error {
	ctx, cancel := context.WithCancel(ctx) // the listing goes on in the background until it is over or called off
	defer cancel()
	for info := range o.s.client.ListObjects(ctx, o.s.bucket, minio.ListObjectsOptions{Prefix: o.s.prefix + below, Recursive: true}) {
		if info.Err != nil {
			return fmt.Errorf("list the bucket %s: %w", o.s.bucket, o.s.advise(info.Err))
		}
		tell(strings.TrimPrefix(info.Key, o.s.prefix))
	}
	return nil
}
