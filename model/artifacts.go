package model

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Artifacts keeps model files where all replicas of the appliance reach them, as a bucket does. The registry's folder is then a cache of it. All methods are safe
// for concurrent use.
type Artifacts interface {
	// Put keeps a file; one that is there already may be written again, since it is the same.
	Put(ctx context.Context, pipeline, version string, file []byte) error
	// Get returns ErrUnknown where there is no such file.
	Get(ctx context.Context, pipeline, version string) ([]byte, error)
	List(ctx context.Context) ([]Artifact, error)
}

// Artifact names one file of a store.
type Artifact struct {
	Pipeline, Version string
	Modified          time.Time
}

// fetchAll brings what the store holds and the folder lacks into the folder, before it is read. What is no model of ours is left to the store.
func (r *Registry) fetchAll(ctx context.Context) error {
	all, err := r.artifacts.List(ctx)
	if err != nil { // the folder has what it had
		r.faults = append(r.faults, fmt.Errorf("what the store has that this folder lacks is not fetched: %w", err))
		return nil
	}
	for _, a := range all {
		if !pipelineName.MatchString(a.Pipeline) || !pipelineName.MatchString(a.Version) {
			continue
		}
		if _, err := os.Stat(filepath.Join(r.dir, a.Pipeline, a.Version, modelFile)); err == nil {
			continue
		}
		m, err := r.download(ctx, a.Pipeline, a.Version)
		if err != nil {
			r.faults = append(r.faults, fmt.Errorf("model %s of %s is skipped: %w", a.Version, a.Pipeline, err))
			continue
		}
		r.mu.Lock()
		err = r.writeModelLocked(m, Registration{Who: "registry", Why: "found in the store", Time: a.Modified.UTC()})
		r.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// download gets a file from the store and checks that it is what its name says.
func (r *Registry) download(ctx context.Context, pipeline, version string) (*Model, error) {
	file, err := r.artifacts.Get(ctx, pipeline, version)
	if err != nil {
		return nil, err
	}
	if v := versionOf(file); v != version {
		return nil, fmt.Errorf("the stored file was changed: its %d bytes are version %s", len(file), v)
	}
	m, err := Parse(file)
	if err == nil && m.Pipeline != pipeline {
		err = fmt.Errorf("the stored file is a model of pipeline %q", m.Pipeline)
	}
	return m, err
}

// fetchMissing gets a version that this replica has not heard of yet.
func (r *Registry) fetchMissing(ctx context.Context, pipeline, version string) (*Model, error) {
	if r.artifacts == nil || !pipelineName.MatchString(pipeline) || !pipelineName.MatchString(version) {
		return nil, fmt.Errorf("get model %s of %s: %w", version, pipeline, ErrUnknown)
	}
	m, err := r.download(ctx, pipeline, version)
	if err == nil {
		err = r.keep(m, Registration{Who: "registry", Why: "fetched from the store", Time: time.Now().UTC().Round(0)})
	}
	if err != nil {
		return nil, fmt.Errorf("get model %s of %s: %w", version, pipeline, err)
	}
	return m, nil
}
