package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T, dir string, change func(*Config)) *Store {
	t.Helper()
	cfg := Default()
	if change != nil {
		change(&cfg)
	}
	s, err := Open(cfg, dir, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *Store, camera string, at int64, kind string, size int) string {
	t.Helper()
	ref, err := s.Put(t.Context(), &Item{Pipeline: "dock", Camera: camera, Captured: at, Kind: kind, JPEG: bytes.Repeat([]byte{7}, size), Note: map[string]int64{"at": at}})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func refs(entries []Entry) (all []string) {
	for _, e := range entries {
		all = append(all, fmt.Sprint(e.Camera, " ", e.Captured, " ", e.Kind))
	}
	return all
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestPutAndGet(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	ref := put(t, s, "a/..", 5, Sampled, 10)
	if ref != "dock/a%2F../5.jpg" || ref != Ref("dock", "a/..", 5) {
		t.Errorf("ref %s", ref)
	}
	put(t, s, "b", 7, Fired, 20)
	put(t, s, "b", 6, Labelled, 20)
	for range 2 { // before and after a restart
		jpeg, note, err := s.Get(t.Context(), ref)
		if err != nil || len(jpeg) != 10 || string(note) != `{"at":5}` {
			t.Errorf("%q %q %v", jpeg, note, err)
		}
		equal(t, "all", refs(s.List(Filter{Pipeline: "dock"})), []string{"b 7 fired", "b 6 labelled", "a/.. 5 sampled"})
		equal(t, "of a camera", refs(s.List(Filter{Pipeline: "dock", Camera: "b", Limit: 1})), []string{"b 7 fired"})
		equal(t, "of a kind", refs(s.List(Filter{Pipeline: "dock", Kind: Labelled})), []string{"b 6 labelled"})
		equal(t, "of a time", refs(s.List(Filter{Pipeline: "dock", From: 5, To: 7})), []string{"b 6 labelled", "a/.. 5 sampled"})
		s = open(t, dir, nil)
	}
	for _, none := range []string{"dock/b/8.jpg", "", "../../etc/passwd", "dock/../dock/b/7.jpg", "dock/b/7.fired.json", "dock/b/07.jpg"} {
		if _, _, err := s.Get(t.Context(), none); !errors.Is(err, ErrNotKept) {
			t.Errorf("%q: %v", none, err)
		}
	}
	for _, bad := range []Item{{Pipeline: "p", Camera: "c", Kind: "other", JPEG: []byte{1}}, {Pipeline: "p", Kind: Fired, JPEG: []byte{1}}, {Pipeline: "p", Camera: "c", Kind: Fired}} {
		if _, err := s.Put(t.Context(), &bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	// A name is a folder's, whatever it is.
	for _, camera := range []string{".", "..", "../../x", "a\\b", "ä ö", ".partial"} {
		ref := put(t, s, camera, 1, Sampled, 1)
		if _, _, err := s.Get(t.Context(), ref); err != nil || strings.Count(ref, "/") != 2 {
			t.Errorf("%q as %s: %v", camera, ref, err)
		}
	}
}

// A frame that is put again, or raised, has the greater worth of its kinds, also after a restart.
func TestRaise(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	ref := put(t, s, "a", 1, Sampled, 10)
	put(t, s, "a", 1, Fired, 10)
	put(t, s, "a", 1, Labelled, 10)
	other := put(t, s, "a", 2, Sampled, 10)
	if ok, err := s.Raise(other, Labelled); !ok || err != nil {
		t.Error(ok, err)
	}
	if ok, err := s.Raise(ref, Sampled); !ok || err != nil {
		t.Error(ok, err)
	}
	if ok, _ := s.Raise("dock/a/3.jpg", Fired); ok {
		t.Error("what is not kept was raised")
	}
	want := []string{"a 2 labelled", "a 1 fired"}
	equal(t, "kinds", refs(s.List(Filter{Pipeline: "dock"})), want)
	s = open(t, dir, nil)
	equal(t, "kinds after a restart", refs(s.List(Filter{Pipeline: "dock"})), want)
	if _, note, err := s.Get(t.Context(), other); err != nil || string(note) != `{"at":2}` {
		t.Error(string(note), err)
	}
	if s.bytes != 2*18 {
		t.Errorf("%d bytes", s.bytes)
	}
}

// What is worth less makes room first, the oldest of it; what is too old goes by its kind.
func TestBounds(t *testing.T) {
	dir := t.TempDir()
	const most = 1 << 20
	size := most/8 - 9 // with the note
	s := open(t, dir, func(c *Config) {
		c.MaxBytes, c.Keep = most, Keep{Fired: time.Hour, Labelled: 0, Sampled: 10 * time.Minute}
	})
	now := time.Now()
	s.now = func() time.Time { now = now.Add(time.Second); return now }
	put(t, s, "a", 1, Fired, size)
	put(t, s, "a", 2, Labelled, size)
	for at := int64(3); at <= 12; at++ {
		put(t, s, "a", at, Sampled, size)
	}
	equal(t, "samples give way", refs(s.List(Filter{Pipeline: "dock"})), []string{"a 12 sampled", "a 11 sampled", "a 10 sampled", "a 9 sampled", "a 8 sampled", "a 7 sampled", "a 2 labelled", "a 1 fired"})
	for at := int64(20); at < 27; at++ {
		put(t, s, "a", at, Fired, size)
	}
	equal(t, "then labelled ones, then fired ones", refs(s.List(Filter{Pipeline: "dock", To: 20})), []string{"a 1 fired"})
	put(t, s, "a", 30, Fired, size)
	equal(t, "then the oldest fired", refs(s.List(Filter{Pipeline: "dock", To: 20})), nil)
	files := 0
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, _ error) error {
		if !d.IsDir() {
			files++
		}
		return nil
	})
	if files != 16 {
		t.Errorf("%d files of 8 frames", files)
	}
	now = now.Add(time.Hour)
	put(t, s, "b", 1, Sampled, 10)
	put(t, s, "b", 2, Labelled, 10)
	equal(t, "after an hour", refs(s.List(Filter{Pipeline: "dock"})), []string{"b 2 labelled", "b 1 sampled"})
	now = now.Add(time.Hour)
	put(t, s, "b", 3, Labelled, 10)
	equal(t, "after another", refs(s.List(Filter{Pipeline: "dock"})), []string{"b 3 labelled", "b 2 labelled"})
}

// What a crash leaves in the middle of a Put, a Raise or a removal is mended by the next start.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	whole := put(t, s, "a", 1, Labelled, 10)
	half := put(t, s, "a", 2, Sampled, 10)
	bare := put(t, s, "a", 3, Sampled, 10)
	for _, err := range []error{
		os.Remove(s.note(half, Sampled)),                                  // its note was not written yet
		os.Remove(s.picture(bare)),                                        // nobody's fault of ours
		os.WriteFile(s.picture(whole)+partial, []byte("half"), 0o644),     // cut off
		os.WriteFile(s.note(whole, Sampled), []byte("older note"), 0o644), // put again with another kind
		os.WriteFile(filepath.Join(dir, "README"), []byte("mine"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	files := func() (left []string) {
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, _ error) error {
			if !d.IsDir() {
				left = append(left, filepath.Base(path))
			}
			return nil
		})
		return left
	}
	// Who only looks sees the same, and mends nothing: the one who writes may be in the middle of it.
	before := files()
	looked, err := Look(dir)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "seen", refs(looked.List(Filter{Pipeline: "dock"})), []string{"a 1 labelled"})
	equal(t, "untouched", files(), before)
	if none, err := Look(filepath.Join(dir, "none")); err != nil || len(none.List(Filter{})) != 0 {
		t.Errorf("no folder: %v", err)
	}
	s = open(t, dir, nil)
	equal(t, "kept", refs(s.List(Filter{Pipeline: "dock"})), []string{"a 1 labelled"})
	left := files()
	equal(t, "files", left, []string{"README", "1.jpg", "1.labelled.json"})
}

// Many put, raise, list and get at once.
func TestTogether(t *testing.T) {
	s := open(t, t.TempDir(), func(c *Config) { c.MaxBytes = 1 << 20 })
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range int64(60) {
				ref, err := s.Put(context.Background(), &Item{Pipeline: "dock", Camera: fmt.Sprint("c", w%2), Captured: i, Kind: kinds[i%3], JPEG: make([]byte, 20_000)})
				if err != nil {
					t.Error(err)
				}
				if _, err := s.Raise(ref, Labelled); err != nil {
					t.Error(err)
				}
				if _, _, err := s.Get(context.Background(), ref); err != nil && !errors.Is(err, ErrNotKept) {
					t.Error(err)
				}
				s.List(Filter{Pipeline: "dock", Limit: 5})
			}
		})
	}
	all.Wait()
	total := int64(0)
	for _, e := range s.List(Filter{Pipeline: "dock"}) {
		total += e.Bytes
	}
	if total != s.bytes || total > 1<<20 {
		t.Errorf("%d bytes are counted, %d kept", s.bytes, total)
	}
}

func TestConfig(t *testing.T) {
	c := Config{Keep: Keep{Fired: -1, Sampled: time.Second}}
	err := c.Validate()
	for _, part := range []string{"max_bytes: 0", "keep.fired: -1ns", "keep.sampled: 1s", "max_inline: 0"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %v", part, err)
		}
	}
}
