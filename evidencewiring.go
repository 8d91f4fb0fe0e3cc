package main

import (
	"context"
	"errors"
	"log/slog"

	"andon/model/s3"
	"andon/sinks/evidence"
)

// Evidence is where frames are kept, and the bucket into which those that are worth most are copied.
type Evidence struct {
	evidence.Config `yaml:",inline"`
	S3              s3.Config `yaml:"s3"`
}

// evidenceObject is the largest object that is read from the bucket: a frame, of more bytes than any record may have.
const evidenceObject = 64 << 20

// copyEvidence gives the store the bucket of the configuration, if there is one. A bucket that is away now is waited for; one that is wrong is an error.
func copyEvidence(ctx context.Context, cfg *Config, frames *evidence.Store, log *slog.Logger) error {
	if cfg.Evidence.S3.Endpoint == "" {
		return nil
	}
	bucket, err := s3.NewObjects(cfg.Evidence.S3, evidenceObject, "evidence.s3")
	if err != nil {
		return err
	}
	if err := bucket.Check(ctx); errors.Is(err, s3.ErrAway) {
		log.Warn("the bucket of frames is away; they are copied when it is back", "error", err)
	} else if err != nil {
		return err
	}
	frames.CopyTo(bucket)
	return nil
}
