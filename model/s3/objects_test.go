package s3

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

func TestObjects(t *testing.T) {
	cfg, _ := server(t)
	o, err := NewObjects(cfg, 1<<10, "evidence.s3")
	if err == nil {
		err = o.Check(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gate/a%2Fb/5.jpg", "gate/c/6.jpg"} {
		if err := o.Put(t.Context(), name, []byte(name)); err != nil {
			t.Fatal(err)
		}
		if got, err := o.Get(t.Context(), name); err != nil || string(got) != name {
			t.Errorf("%q %v", got, err)
		}
	}
	var names []string
	if err := o.Names(t.Context(), "gate/", func(n string) { names = append(names, n) }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"gate/a%2Fb/5.jpg", "gate/c/6.jpg"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	if _, err := o.Get(t.Context(), "gate/c/7.jpg"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := o.Put(t.Context(), "large", make([]byte, 2<<10)); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Get(t.Context(), "large"); err == nil || !strings.Contains(err.Error(), "it has 2048 bytes") {
		t.Error(err)
	}
	cfg.Bucket = "nowhere"
	if o, err = NewObjects(cfg, 1<<10, "evidence.s3"); err == nil {
		err = o.Check(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), "evidence.s3.bucket") {
		t.Error(err)
	}
}
