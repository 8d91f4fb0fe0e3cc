package s3

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"andon/model"
)

// modelFile ends each object's name: PREFIX/PIPELINE/VERSION/model.onnx.
const modelFile = "model.onnx"

// openWithin is how long the endpoint may take to say that the bucket is there.
const openWithin = 20 * time.Second

// Store keeps model files in a bucket; see model.Artifacts.
type Store struct {
	client *minio.Client
	bucket string
	prefix string
	max    int64
	key    string // of the configuration, for advice
}

// ErrAway is told where the endpoint cannot be reached now; it may come back.
var ErrAway = errors.New("the endpoint does not answer")

// New makes a store for a valid configuration; nothing is reached out to. Files of more than max bytes are not read.
func New(cfg Config, max int64) (*Store, error) { return dial(cfg, max, "models.s3") }

func dial(cfg Config, max int64, key string) (*Store, error) {
	fail := func(err error) (*Store, error) {
		return nil, fmt.Errorf("open the bucket %s at %s: %w", cfg.Bucket, cfg.Endpoint, err)
	}
	access, err := resolve(key+".access_key", cfg.AccessKey)
	if err != nil {
		return fail(err)
	}
	secret, err := resolve(key+".secret_key", string(cfg.SecretKey))
	if err != nil {
		return fail(err)
	}
	transport, err := minio.DefaultTransport(cfg.TLS.Enabled)
	if err != nil {
		return fail(err)
	}
	if cfg.TLS.CA != "" {
		pem, err := os.ReadFile(cfg.TLS.CA)
		if err != nil {
			return fail(fmt.Errorf("%s.tls.ca: %w", key, err))
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return fail(fmt.Errorf("%s.tls.ca: %s holds no PEM certificate", key, cfg.TLS.CA))
		}
	}
	creds := credentials.NewStaticV4(access, secret, "")
	if access == "" {
		creds = credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.EnvMinio{}, &credentials.FileAWSCredentials{},
			&credentials.IAM{Client: &http.Client{Timeout: 5 * time.Second}}})
	}
	client, err := minio.New(cfg.Endpoint, &minio.Options{Creds: creds, Secure: cfg.TLS.Enabled, Region: cfg.Region, Transport: transport, MaxRetries: 3})
	if err != nil {
		return fail(err)
	}
	prefix := cfg.Prefix
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return &Store{client: client, bucket: cfg.Bucket, prefix: prefix, max: max, key: key}, nil
}

// Check looks whether the bucket is there. The error is ErrAway where nobody can tell now.
func (s *Store) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	there, err := s.client.BucketExists(ctx, s.bucket)
	if err == nil && !there {
		err = fmt.Errorf("there is no such bucket: make it, or name another with %s.bucket", s.key)
	}
	if err != nil {
		return fmt.Errorf("look for the bucket %s at %s: %w", s.bucket, s.client.EndpointURL().Host, s.advise(err))
	}
	return nil
}

func (s *Store) name(pipeline, version string) string {
	return s.prefix + pipeline + "/" + version + "/" + modelFile
}

// Put writes a file; the bucket has it for good when Put returns.
func (s *Store) Put(ctx context.Context, pipeline, version string, file []byte) error {
	_, err := s.client.PutObject(ctx, s.bucket, s.name(pipeline, version), bytes.NewReader(file), int64(len(file)), minio.PutObjectOptions{ContentType: "application/octet-stream"})
	if err != nil {
		return fmt.Errorf("write %s to the bucket %s: %w", s.name(pipeline, version), s.bucket, s.advise(err))
	}
	return nil
}

// Get reads a file; the error is model.ErrUnknown where there is none.
func (s *Store) Get(ctx context.Context, pipeline, version string) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		if minio.ToErrorResponse(err).Code == "NoSuchKey" {
			err = model.ErrUnknown
		}
		return nil, fmt.Errorf("read %s of the bucket %s: %w", s.name(pipeline, version), s.bucket, s.advise(err))
	}
	o, err := s.client.GetObject(ctx, s.bucket, s.name(pipeline, version), minio.GetObjectOptions{})
	if err != nil {
		return fail(err)
	}
	defer o.Close()
	info, err := o.Stat()
	if err != nil {
		return fail(err)
	}
	if info.Size > s.max {
		return fail(fmt.Errorf("it has %d bytes, more than models.max_bytes", info.Size))
	}
	file := make([]byte, info.Size)
	if _, err := io.ReadFull(o, file); err != nil {
		return fail(err)
	}
	return file, nil
}

// List names the models in the bucket; other objects are skipped.
func (s *Store) List(ctx context.Context) ([]model.Artifact, error) {
	ctx, cancel := context.WithCancel(ctx) // the listing goes on in the background until it is over or called off
	defer cancel()
	var all []model.Artifact
	for o := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, fmt.Errorf("list the bucket %s: %w", s.bucket, s.advise(o.Err))
		}
		parts := strings.Split(strings.TrimPrefix(o.Key, s.prefix), "/")
		if len(parts) == 3 && parts[2] == modelFile {
			all = append(all, model.Artifact{Pipeline: parts[0], Version: parts[1], Modified: o.LastModified})
		}
	}
	return all, nil
}

// advise adds what to do.
func (s *Store) advise(err error) error {
	switch minio.ToErrorResponse(err).Code {
	case "AccessDenied":
		return fmt.Errorf("%w: give the user s3:GetObject, s3:PutObject and s3:ListBucket", err)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return fmt.Errorf("%w: check %s.access_key and secret_key", err, s.key)
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return fmt.Errorf("%w: set %s.tls.enabled: false", err, s.key)
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return fmt.Errorf("%w: check %s.tls", err, s.key)
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) || minio.ToErrorResponse(err).StatusCode >= 500 {
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	return err
}
