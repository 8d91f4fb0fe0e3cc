package evidence

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// partial ends the name of a file that is being written.
const partial = ".partial"

// write makes a file that is there whole or not at all; with sync it is on the disk, with its name, at the return.
func write(name string, data []byte, sync bool) error {
	f, err := os.OpenFile(name+partial, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && sync {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(name+partial, name)
	}
	if err != nil {
		_ = os.Remove(name + partial)
		return err
	}
	if !sync {
		return nil
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// find takes in what is in the folder, and removes what a crash left: files half written, pictures without a note, notes without a picture, and of two notes the one that is worth less. What is not
// ours stays.
func (s *Store) find() error {
	type kept struct {
		picture, note int64
		kind          string
		stored        fs.FileInfo
	}
	all := map[string]*kept{}
	at := func(ref string) *kept {
		if all[ref] == nil {
			all[ref] = &kept{picture: -1}
		}
		return all[ref]
	}
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if s.looking && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(s.dir, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if whole, ok := strings.CutSuffix(rel, partial); ok {
			if strings.HasSuffix(whole, ".jpg") || strings.HasSuffix(whole, ".json") {
				return s.discard(path)
			}
			return nil
		}
		info, err := d.Info()
		if s.looking && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, ok := parse(rel); ok {
			k := at(rel)
			k.picture = info.Size()
			return nil
		}
		for _, kind := range kinds {
			base, ok := strings.CutSuffix(rel, "."+kind+".json")
			if !ok {
				continue
			}
			ref := base + ".jpg"
			if _, ok := parse(ref); !ok {
				continue
			}
			k := at(ref)
			less := kind
			if worth(kind) > worth(k.kind) {
				less, k.kind, k.note, k.stored = k.kind, kind, info.Size(), info
			}
			if less != "" {
				return s.discard(s.note(ref, less))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for ref, k := range all {
		e, _ := parse(ref)
		switch {
		case k.kind == "":
			err = s.discard(s.picture(ref))
		case k.picture < 0:
			err = s.discard(s.note(ref, k.kind))
		default:
			e.Kind, e.Bytes, e.stored = k.kind, k.picture+k.note, k.stored.ModTime()
			s.add(&e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// discard removes what is left of something, unless the store is only looked at.
func (s *Store) discard(path string) error {
	if s.looking {
		return nil
	}
	return os.Remove(path)
}
