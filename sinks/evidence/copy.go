package evidence

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// Bucket is where copies go: a place that outlives the machine and that replicas share. It is safe for concurrent use.
type Bucket interface {
	Put(ctx context.Context, name string, data []byte) error
	// Get returns what was put; the error is fs.ErrNotExist where nothing was.
	Get(ctx context.Context, name string) ([]byte, error)
	// Names tells the names of all that is there below a prefix.
	Names(ctx context.Context, below string, tell func(name string)) error
}

// The pace of the copies: how often it is looked for new ones, how many are made before others are looked for, and how long a bucket that is away is left alone, at first and at most.
const (
	copyEvery  = time.Second
	copyAtOnce = 200
	copyPause  = 2 * time.Second
	copyRest   = time.Minute
)

// CopyTo has frames of the kinds of Config.Copy copied into a bucket, beside the line, by RunCopies. Get asks it for what is not kept here. It is called before the store is used.
//
// Names there are those of the folder. What is removed here for its age or for room stays there: how long is the bucket's own rule. A frame is copied again when it is raised to another kind, the picture first, so
// that a note in the bucket always has its picture.
func (s *Store) CopyTo(b Bucket) { s.bucket = b }

// RunCopies copies until ctx ends. What a restart finds in the bucket is not copied again.
func (s *Store) RunCopies(ctx context.Context) error {
	if s.bucket == nil {
		<-ctx.Done()
		return nil
	}
	pause, known := copyPause, false
	for {
		wait := copyEvery
		err := error(nil)
		if !known {
			if err = s.copied(ctx); err == nil {
				known = true
			}
		}
		if known {
			err = s.copySome(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.metrics.copyFailures.Inc()
			if pause == copyPause {
				s.log.Warn("frames cannot be copied into the bucket now; they stay in the folder, and are copied when it is back", "error", err)
			}
			wait, pause = pause, min(2*pause, copyRest)
		default:
			if pause != copyPause {
				s.log.Info("frames are copied into the bucket again")
			}
			pause = copyPause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// copied learns what the bucket holds of the frames that are kept here.
func (s *Store) copied(ctx context.Context) error {
	pictures := map[string]bool{}
	notes := map[string]string{}
	err := s.bucket.Names(ctx, "", func(name string) {
		if _, ok := parse(name); ok {
			s.mu.Lock()
			here := s.entries[name] != nil
			s.mu.Unlock()
			if here {
				pictures[name] = true
			}
			return
		}
		if ref, kind, ok := noteOf(name); ok && worth(kind) >= worth(notes[ref]) {
			s.mu.Lock()
			here := s.entries[ref] != nil
			s.mu.Unlock()
			if here {
				notes[ref] = kind
			}
		}
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for ref, kind := range notes {
		if e := s.entries[ref]; e != nil && pictures[ref] {
			e.copied = kind
		}
	}
	return nil
}

// noteOf reads the name of a note.
func noteOf(name string) (ref, kind string, ok bool) {
	for _, kind := range kinds {
		if base, is := strings.CutSuffix(name, "."+kind+".json"); is {
			ref = base + ".jpg"
			_, ok = parse(ref)
			return ref, kind, ok
		}
	}
	return "", "", false
}

// copySome copies what is not there yet, the oldest first.
func (s *Store) copySome(ctx context.Context) error {
	for {
		list, waiting := s.uncopied()
		s.metrics.copyWaiting.Set(float64(waiting))
		for _, e := range list {
			if err := s.copy(ctx, e); err != nil {
				return err
			}
		}
		if waiting <= len(list) {
			s.metrics.copyWaiting.Set(0)
			return nil
		}
	}
}

func (s *Store) uncopied() (list []Entry, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Entry
	for _, e := range s.entries {
		if e.copied != e.Kind && slices.Contains(s.cfg.Copy, e.Kind) {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b *Entry) int { return a.stored.Compare(b.stored) })
	for _, e := range all[:min(len(all), copyAtOnce)] {
		list = append(list, *e)
	}
	return list, len(all)
}

// copy copies one frame; one that was removed or raised meanwhile is left to the next look.
func (s *Store) copy(ctx context.Context, e Entry) error {
	picture, err := os.ReadFile(s.picture(e.Ref))
	if err == nil {
		var note []byte
		if note, err = os.ReadFile(s.note(e.Ref, e.Kind)); err == nil {
			if e.copied == "" {
				err = s.bucket.Put(ctx, e.Ref, picture)
			}
			if err == nil {
				err = s.bucket.Put(ctx, bucketNote(e.Ref, e.Kind), note)
			}
			if err != nil {
				return err
			}
			s.metrics.copies.Inc()
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the frame %s: %w", e.Ref, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.entries[e.Ref]; now != nil && err == nil && now.stored.Equal(e.stored) && now.Bytes == e.Bytes { // not put anew meanwhile
		now.copied = e.Kind
	}
	return nil
}

func bucketNote(ref, kind string) string {
	return strings.TrimSuffix(ref, ".jpg") + "." + kind + ".json"
}

// fetch gets a frame that is not kept here from the bucket: of another replica, or removed here for room.
func (s *Store) fetch(ctx context.Context, ref string) (jpeg, note []byte, err error) {
	if _, ok := parse(ref); !ok || s.bucket == nil {
		return nil, nil, fmt.Errorf("%s: %w", ref, ErrNotKept)
	}
	for _, kind := range slices.Backward(kinds) {
		note, err = s.bucket.Get(ctx, bucketNote(ref, kind))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			jpeg, err = s.bucket.Get(ctx, ref)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("%s is not kept here, and the bucket cannot be asked: %w", ref, err)
		}
		if err == nil {
			return jpeg, note, nil
		}
	}
	return nil, nil, fmt.Errorf("%s: %w", ref, ErrNotKept)
}
