package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The names of files in the registry's folder. A temporary file is never read: a crash leaves it, the next writer removes it.
const (
	modelFile   = "model.onnx"
	addedFile   = "added.json"
	markerFile  = "aliases.json"
	historyFile = "history.jsonl"
	tempPrefix  = ".tmp-"
)

// read fills an empty registry from its folder.
func (r *Registry) read() error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	pipelines, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	live := map[aliasKey]pointed{}
	r.live.Store(&live)
	for _, p := range pipelines {
		if !p.IsDir() || !pipelineName.MatchString(p.Name()) {
			continue
		}
		if err := r.readPipeline(p.Name(), live); err != nil {
			return err
		}
	}
	return nil
}

func (r *Registry) readPipeline(pipeline string, live map[aliasKey]pointed) error {
	dir := filepath.Join(r.dir, pipeline)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	markers := r.readMarkers(pipeline)
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		m, added, err := r.readModel(pipeline, e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // what a crash before the rename leaves
		}
		if err != nil {
			r.faults = append(r.faults, fmt.Errorf("model %s of %s is skipped: %w", e.Name(), pipeline, err))
			continue
		}
		r.keepInfoLocked(m, r.readRegistration(pipeline, m.Version, added))
		for alias, mv := range markers {
			if mv.To == m.Version {
				live[aliasKey{pipeline, alias}] = pointed{m, mv.Percent}
			}
		}
	}
	for alias, mv := range markers {
		key := aliasKey{pipeline, alias}
		r.markers[key] = mv
		if _, ok := live[key]; !ok && mv.To != "" {
			r.faults = append(r.faults, fmt.Errorf("the %s of %s is version %s, which %s does not hold intact: restore the file, or promote another version",
				alias, pipeline, mv.To, dir))
		}
	}
	return nil
}

// readMarkers returns the pipeline's aliases.
func (r *Registry) readMarkers(pipeline string) map[Alias]Move {
	path := filepath.Join(r.dir, pipeline, markerFile)
	markers := map[Alias]Move{}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, &markers)
	}
	if err != nil {
		r.faults = append(r.faults, fmt.Errorf("%s cannot be read and is taken from %s: %w", path, historyFile, err))
		history, err := r.readHistory(pipeline)
		if err != nil {
			r.faults = append(r.faults, err)
		}
		clear(markers)
		for _, mv := range history {
			markers[mv.Alias] = mv
		}
	}
	for alias, mv := range markers {
		mv.Pipeline, mv.Alias = pipeline, alias // in case a person wrote the file
		markers[alias] = mv
	}
	return markers
}

// mendLocked clears away, before the first write to a pipeline's folder, what a crash left there. Opening alone changes nothing, so that a folder in use can be
// looked at.
func (r *Registry) mendLocked(pipeline string) error {
	if r.mended[pipeline] {
		return nil
	}
	dir := filepath.Join(r.dir, pipeline)
	for _, pattern := range []string{tempPrefix + "*", "*/" + tempPrefix + "*"} {
		temps, err := fs.Glob(os.DirFS(dir), pattern)
		if err != nil {
			return err
		}
		for _, name := range temps {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	history, err := r.readHistory(pipeline)
	if err != nil {
		return err
	}
	for _, mv := range r.unwrittenLocked(pipeline, history) {
		if err := r.appendHistory(mv); err != nil {
			return err
		}
	}
	r.mended[pipeline] = true
	return nil
}

// unwrittenLocked returns the moves that a marker tells of and history does not: a crash came between the two.
func (r *Registry) unwrittenLocked(pipeline string, history []Move) []Move {
	var moves []Move
	for _, a := range aliases {
		mv, ok := r.markers[aliasKey{pipeline, a}]
		if ok && !slices.ContainsFunc(history, mv.same) {
			moves = append(moves, mv)
		}
	}
	return moves
}

func (r *Registry) readModel(pipeline, version string) (*Model, time.Time, error) {
	path := filepath.Join(r.dir, pipeline, version, modelFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	if v := versionOf(b); v != version {
		return nil, time.Time{}, fmt.Errorf("%s is torn or was changed: its %d bytes are version %s; restore or remove it", path, len(b), v)
	}
	m, err := Parse(b)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("%s: %w", path, err)
	}
	if m.Pipeline != pipeline {
		return nil, time.Time{}, fmt.Errorf("%s is a model of pipeline %q: move it to that folder", path, m.Pipeline)
	}
	return m, info.ModTime(), nil
}

// readRegistration returns who registered a version and when; a folder of before that was kept has the file's own time.
func (r *Registry) readRegistration(pipeline, version string, modified time.Time) Registration {
	var reg Registration
	b, err := os.ReadFile(filepath.Join(r.dir, pipeline, version, addedFile))
	if err != nil || json.Unmarshal(b, &reg) != nil || reg.Time.IsZero() {
		return Registration{Time: modified}
	}
	return reg
}

func (r *Registry) writeModelLocked(m *Model, reg Registration) error {
	if err := r.mendLocked(m.Pipeline); err != nil {
		return err
	}
	dir := filepath.Join(r.dir, m.Pipeline, m.Version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := json.Marshal(reg)
	if err != nil {
		return err
	}
	// The model is there once its own file is, so that comes last.
	if err := replace(filepath.Join(dir, addedFile), append(b, '\n')); err != nil {
		return err
	}
	if err := replace(filepath.Join(dir, modelFile), m.ONNX); err != nil {
		return err
	}
	// The folders may be new too, and a new folder is durable only when its parent is.
	return errors.Join(syncFolder(filepath.Join(r.dir, m.Pipeline)), syncFolder(r.dir))
}

func (r *Registry) writeMarkersLocked(pipeline string, markers map[Alias]Move) error {
	if err := r.mendLocked(pipeline); err != nil {
		return err
	}
	b, err := json.MarshalIndent(markers, "", "\t")
	if err != nil {
		return err
	}
	return replace(filepath.Join(r.dir, pipeline, markerFile), append(b, '\n'))
}

func (r *Registry) appendHistory(mv Move) error {
	b, err := json.Marshal(mv)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(r.dir, mv.Pipeline, historyFile), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	line := append(b, '\n')
	// A line that a crash tore must not swallow this one.
	if end, err := f.Seek(0, 2); err == nil && end > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, end-1); err == nil && last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	_, err = f.Write(line)
	return errors.Join(err, f.Sync(), f.Close())
}

// readHistory returns all moves that can be read; a line that cannot, which only a crash leaves, is skipped.
func (r *Registry) readHistory(pipeline string) ([]Move, error) {
	b, err := os.ReadFile(filepath.Join(r.dir, pipeline, historyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var moves []Move
	for line := range bytes.Lines(b) {
		var mv Move
		if json.Unmarshal(line, &mv) == nil && mv.Alias != "" {
			moves = append(moves, mv)
		}
	}
	return moves, err
}

// replace writes a file so that, whatever happens, its name leads to the old content or to the new.
func replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), tempPrefix)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
