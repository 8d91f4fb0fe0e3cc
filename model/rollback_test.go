package model

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func TestRollback(t *testing.T) {
	root := t.TempDir()
	r := open(t, root)
	name := map[string]string{}
	for i, n := range []string{"a", "b", "c"} {
		m := add(t, r, sample(t, "p", i))
		name[m.Version], name[n] = n, m.Version
	}
	do := func(orders, want string) {
		t.Helper()
		for _, o := range strings.Fields(orders) {
			if o == "<" {
				mv, err := r.Rollback(t.Context(), "p", Champion, "test", "worse")
				if err != nil || !mv.Rollback || mv.To != r.Live("p").Version || mv.Who != "test" {
					t.Fatalf("rollback: %+v, %v", mv, err)
				}
				continue
			}
			if err := r.Promote("p", name[o], "test", "better"); err != nil {
				t.Fatal(err)
			}
		}
		if got := name[r.Live("p").Version]; got != want {
			t.Errorf("after %s the champion is %s, want %s", orders, got, want)
		}
	}
	if _, err := r.Rollback(t.Context(), "p", Champion, "test", "worse"); !errors.Is(err, ErrNoEarlier) {
		t.Errorf("rollback without history: %v", err)
	}
	do("a b c", "c")
	do("<", "b")
	r = open(t, root) // the history is on disk
	do("<", "a")
	if _, err := r.Rollback(t.Context(), "p", Champion, "test", "worse"); !errors.Is(err, ErrNoEarlier) || name[r.Live("p").Version] != "a" {
		t.Errorf("rollback beyond the first: %v", err)
	}
	do("c a c < <", "c")
	do("b <", "c")
	if _, err := r.Rollback(t.Context(), "p", Shadow, "test", "worse"); !errors.Is(err, ErrNoEarlier) {
		t.Errorf("rollback of an alias that is not set: %v", err)
	}
	// A version that is gone cannot be gone back to, and the alias stays.
	do("b", "b")
	remove(t, filepath.Join(root, "p", name["c"], modelFile))
	r = open(t, root)
	if _, err := r.Rollback(t.Context(), "p", Champion, "test", "worse"); !errors.Is(err, ErrUnknown) || name[r.Live("p").Version] != "b" {
		t.Errorf("rollback to a lost version: %v", err)
	}
}

func TestFind(t *testing.T) {
	r := open(t, t.TempDir())
	m := add(t, r, sample(t, "p", 1))
	for i := range 40 {
		add(t, r, sample(t, "q", i))
	}
	if i, err := r.Find("", m.Version[:8]); err != nil || i.Pipeline != "p" && i.Pipeline != "q" {
		t.Errorf("%+v, %v", i, err)
	}
	if i, err := r.Find("p", m.Version[:1]); err != nil || i.Version != m.Version || i.Who != "registry" {
		t.Errorf("%+v, %v", i, err)
	}
	if _, err := r.Find("p", "zz"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if _, err := r.Find("", ""); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	several := 0
	for _, d := range "0123456789abcdef" {
		if _, err := r.Find("q", string(d)); err != nil && strings.Contains(err.Error(), "more digits") {
			several++
		}
	}
	if several == 0 {
		t.Error("no beginning was told to be of several")
	}
}
