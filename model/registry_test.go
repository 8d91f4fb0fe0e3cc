package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"andon/model/onnx"
)

// sample returns the n-th of a pipeline's models, which differ in one constant.
func sample(t testing.TB, pipeline string, n int) *Model {
	t.Helper()
	g := onnx.NewGraph("sample")
	x := g.Input(Input, onnx.Float, append([]onnx.Dim{{Name: "batch"}}, onnx.Fixed(2, 1)...)...)
	g.Node("Add", []string{x, g.Floats("c", nil, []float32{float32(n)})}, []string{Value})
	g.Output(Value, onnx.Float, onnx.Dim{Name: "batch"}, onnx.Dim{Size: 1})
	m, err := Seal(g.Model(), Meta{Pipeline: pipeline, Task: RemainingLife,
		Recipe: Recipe{Signals: []string{"a"}, Grid: time.Hour, Length: 2, Smooth: 1}, Lineage: Lineage{Seed: uint64(n)}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func open(t testing.TB, dir string) *Registry {
	t.Helper()
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func add(t testing.TB, r *Registry, m *Model) *Model {
	t.Helper()
	if err := r.Add(m); err != nil {
		t.Fatal(err)
	}
	return m
}

func promote(t testing.TB, r *Registry, m *Model, why string) {
	t.Helper()
	if err := r.Promote(m.Pipeline, m.Version, "test", why); err != nil {
		t.Fatal(err)
	}
}

func noFaults(t testing.TB, r *Registry) {
	t.Helper()
	if len(r.Faults()) != 0 {
		t.Errorf("faults: %v", r.Faults())
	}
}

func TestRegistryKeeps(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "models")
	r := open(t, dir)
	one, two, other := add(t, r, sample(t, "p", 1)), add(t, r, sample(t, "p", 2)), add(t, r, sample(t, "q", 1))
	add(t, r, one) // again: nothing happens
	if r.Live("p") != nil {
		t.Error("adding made a champion")
	}
	var told []Move
	r.OnChange(func(mv Move) { told = append(told, mv) })
	promote(t, r, one, "first")
	promote(t, r, one, "again")
	promote(t, r, two, "better")
	if err := r.Move(t.Context(), "p", Shadow, one.Version, "anna", "to compare"); err != nil {
		t.Fatal(err)
	}
	check := func(r *Registry) {
		t.Helper()
		noFaults(t, r)
		if m := r.Live("p"); m == nil || m.Version != two.Version || m.Lineage.Seed != 2 || string(m.ONNX) != string(two.ONNX) {
			t.Fatalf("champion is %+v", m)
		}
		if m := r.Named("p", Shadow); m == nil || m.Version != one.Version || r.Named("p", Challenger) != nil || r.Live("q") != nil {
			t.Errorf("shadow is %v, challenger %v, q's champion %v", m, r.Named("p", Challenger), r.Live("q"))
		}
		list := r.List("p")
		if len(list) != 2 || list[0].Version != two.Version || list[0].Bytes != int64(len(two.ONNX)) ||
			!slices.Equal(list[0].Aliases, []Alias{Champion}) || !slices.Equal(list[1].Aliases, []Alias{Shadow}) {
			t.Errorf("list: %+v", list)
		}
		if !slices.Equal(r.Pipelines(), []string{"p", "q"}) || len(r.Aliases("q", other.Version)) != 0 {
			t.Errorf("pipelines %v", r.Pipelines())
		}
		history, err := r.History("p")
		if err != nil || len(history) != 3 {
			t.Fatalf("history: %+v, %v", history, err)
		}
		for i, want := range []Move{{Pipeline: "p", Alias: Champion, To: one.Version, Who: "test", Why: "first", Time: told[0].Time},
			{Pipeline: "p", Alias: Champion, From: one.Version, To: two.Version, Who: "test", Why: "better", Time: told[1].Time},
			{Pipeline: "p", Alias: Shadow, To: one.Version, Who: "anna", Why: "to compare", Time: told[2].Time}} {
			if history[i] != want || told[i] != want {
				t.Errorf("move %d: history %+v, told %+v, want %+v", i, history[i], told[i], want)
			}
		}
		for _, m := range []*Model{one, two, other} {
			if got, err := r.Get(m.Pipeline, m.Version); err != nil || string(got.ONNX) != string(m.ONNX) {
				t.Errorf("get %s: %v", m.Version, err)
			}
		}
	}
	check(r)
	check(open(t, dir))
}

func TestRegistryRefuses(t *testing.T) {
	r := open(t, t.TempDir())
	m := add(t, r, sample(t, "p", 1))
	bad := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	changed := sample(t, "p", 2)
	changed.ONNX[len(changed.ONNX)-1]++
	bad(r.Add(changed), "was changed after it was parsed")
	for _, name := range []string{"", "..", "../x", "a/b", ".hidden"} {
		bad(r.Add(sample(t, name, 1)), "is not a pipeline's name")
	}
	bad(r.Promote("p", "000000000000", "test", ""), "no such model")
	bad(r.Promote("q", m.Version, "test", ""), "no such model")
	bad(r.Move(t.Context(), "p", "king", m.Version, "test", ""), `"king" is not an alias`)
	if _, err := r.Get("p", "nothing"); !errors.Is(err, ErrUnknown) {
		t.Errorf("get: %v", err)
	}
	if r.Live("p") != nil {
		t.Error("a refused move was made")
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	if _, err := Open(file); err == nil {
		t.Error("opened a registry in a file")
	}
}

// A model is prepared before the switch; when that fails the old champion stays, in memory and on disk.
func TestPrepareComesFirst(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	one, two := add(t, r, sample(t, "p", 1)), add(t, r, sample(t, "p", 2))
	var during string
	fail := errors.New("cannot load")
	r.Prepare(func(_ context.Context, m *Model) error {
		during = "none"
		if live := r.Live("p"); live != nil {
			during = live.Version
		}
		if m.Version == two.Version {
			return fail
		}
		return nil
	})
	told := 0
	r.OnChange(func(Move) { told++ })
	promote(t, r, one, "first")
	if during != "none" {
		t.Errorf("champion while the first was prepared: %s", during)
	}
	if err := r.Promote("p", two.Version, "test", "better"); !errors.Is(err, fail) {
		t.Errorf("promotion of a model that does not load: %v", err)
	}
	for _, r := range []*Registry{r, open(t, dir)} {
		if r.Live("p").Version != one.Version || len(r.Aliases("p", two.Version)) != 0 {
			t.Errorf("champion is %s", r.Live("p").Version)
		}
		if h, err := r.History("p"); err != nil || len(h) != 1 {
			t.Errorf("history %v, %v", h, err)
		}
	}
	if told != 1 {
		t.Errorf("told of %d moves", told)
	}
}

// Every state that a crash or a failing disk can leave must open, with what is intact in use and the rest named.
func TestRegistryAfterCrash(t *testing.T) {
	one, two := sample(t, "p", 1), sample(t, "p", 2)
	cases := []struct {
		name  string
		spoil func(dir string) // dir is the pipeline's, where one was champion and two is
		live  string
		fault string // part of the only fault; "" for none
		moves int
	}{
		{"nothing", func(string) {}, two.Version, "", 2},
		{"add cut before rename", func(dir string) {
			write(t, filepath.Join(dir, "aaaaaaaaaaaa", tempPrefix+"1"), "half a mod")
		}, two.Version, "", 2},
		{"add cut before the file", func(dir string) { mkdir(t, filepath.Join(dir, "aaaaaaaaaaaa")) }, two.Version, "", 2},
		{"marker cut before rename", func(dir string) { write(t, filepath.Join(dir, tempPrefix+"2"), "{") }, two.Version, "", 2},
		{"marker ahead of history", func(dir string) { cut(t, filepath.Join(dir, historyFile), 1) }, two.Version, "", 2},
		{"history torn in its last line", func(dir string) {
			b := read(t, filepath.Join(dir, historyFile))
			write(t, filepath.Join(dir, historyFile), string(b[:len(b)-9]))
		}, two.Version, "", 2},
		{"no history", func(dir string) { remove(t, filepath.Join(dir, historyFile)) }, two.Version, "", 1},
		{"no marker", func(dir string) { remove(t, filepath.Join(dir, markerFile)) }, "", "", 2},
		{"marker torn", func(dir string) { write(t, filepath.Join(dir, markerFile), `{"champion": {"to"`) }, two.Version, "aliases.json cannot be read", 2},
		{"marker by hand", func(dir string) {
			write(t, filepath.Join(dir, markerFile), `{"champion": {"to": "`+one.Version+`"}}`)
		}, one.Version, "", 3},
		{"marker to a missing version", func(dir string) { remove(t, filepath.Join(dir, two.Version)) }, "", "does not hold intact", 2},
		{"another model torn", func(dir string) {
			path := filepath.Join(dir, one.Version, modelFile)
			write(t, path, string(one.ONNX[:len(one.ONNX)/2]))
		}, two.Version, one.Version + "/model.onnx is torn or was changed", 2},
		{"another model flipped", func(dir string) {
			b := slices.Clone(one.ONNX)
			b[20] ^= 4
			write(t, filepath.Join(dir, one.Version, modelFile), string(b))
		}, two.Version, "is torn or was changed", 2},
		{"another model empty", func(dir string) { write(t, filepath.Join(dir, one.Version, modelFile), "") }, two.Version, "its 0 bytes", 2},
		{"another pipeline's model", func(dir string) {
			m := sample(t, "q", 3)
			write(t, filepath.Join(dir, m.Version, modelFile), string(m.ONNX))
		}, two.Version, `is a model of pipeline "q"`, 2},
		{"a file without our metadata", func(dir string) {
			b := onnx.NewGraph("g").Model()
			write(t, filepath.Join(dir, versionOf(b), modelFile), string(b))
		}, two.Version, "metadata", 2},
		{"strange files", func(dir string) {
			write(t, filepath.Join(dir, "README"), "hello")
			write(t, filepath.Join(dir, "..", "note.txt"), "hello")
			mkdir(t, filepath.Join(dir, "..", ".git"))
		}, two.Version, "", 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			r := open(t, root)
			promote(t, r, add(t, r, one), "first")
			promote(t, r, add(t, r, two), "better")
			dir := filepath.Join(root, "p")
			c.spoil(dir)

			before := tree(t, root)
			r = open(t, root)
			if after := tree(t, root); after != before {
				t.Errorf("opening changed the folder from\n%s\nto\n%s", before, after)
			}
			live := ""
			if m := r.Live("p"); m != nil {
				live = m.Version
			}
			if live != c.live {
				t.Errorf("champion %q, want %q", live, c.live)
			}
			if (c.fault == "") != (len(r.Faults()) == 0) || len(r.Faults()) > 1 || c.fault != "" && !strings.Contains(fmt.Sprint(r.Faults()), c.fault) {
				t.Errorf("faults %v, want one with %q", r.Faults(), c.fault)
			}
			if h, err := r.History("p"); err != nil || len(h) != c.moves {
				t.Errorf("history has %d moves, want %d (%v)", len(h), c.moves, err)
			}
			// What is broken must not stand in the way of making it whole.
			promote(t, r, add(t, r, one), "repair")
			promote(t, r, add(t, r, two), "repair")
			r = open(t, root)
			if m := r.Live("p"); m == nil || m.Version != two.Version {
				t.Errorf("champion after the repair: %v", m)
			}
			var temps []string
			for _, pattern := range []string{"*", "*/*"} {
				list, _ := filepath.Glob(filepath.Join(dir, pattern))
				temps = append(temps, list...)
			}
			if i := slices.IndexFunc(temps, func(f string) bool { return strings.HasPrefix(filepath.Base(f), tempPrefix) }); i >= 0 {
				t.Errorf("%s was left", temps[i])
			}
			if m, err := r.Get("p", one.Version); err != nil || string(m.ONNX) != string(one.ONNX) {
				t.Errorf("get after the repair: %v", err)
			}
		})
	}
}

func TestMoveToUnwritableFolder(t *testing.T) {
	root := t.TempDir()
	r := open(t, root)
	one, two := add(t, r, sample(t, "p", 1)), add(t, r, sample(t, "p", 2))
	promote(t, r, one, "first")
	// A folder where the marker should go makes the rename fail, also for root.
	marker := filepath.Join(root, "p", markerFile)
	remove(t, marker)
	mkdir(t, filepath.Join(marker, "x"))
	if err := r.Promote("p", two.Version, "test", "better"); err == nil || r.Live("p").Version != one.Version {
		t.Errorf("promotion: %v, champion %s", err, r.Live("p").Version)
	}
	if h, err := r.History("p"); err != nil || len(h) != 1 {
		t.Errorf("history %v, %v", h, err)
	}
}

// A move whose line cannot be written is made all the same, and its line follows with the next.
func TestUnwritableHistory(t *testing.T) {
	root := t.TempDir()
	r := open(t, root)
	one, two := add(t, r, sample(t, "p", 1)), add(t, r, sample(t, "p", 2))
	history := filepath.Join(root, "p", historyFile)
	mkdir(t, history)
	if err := r.Promote("p", one.Version, "test", "first"); err == nil || !strings.Contains(err.Error(), "write history") {
		t.Errorf("promotion: %v", err)
	}
	if m := r.Live("p"); m == nil || m.Version != one.Version {
		t.Errorf("champion %v", m)
	}
	remove(t, history)
	promote(t, r, two, "better")
	for _, r := range []*Registry{r, open(t, root)} {
		if h, err := r.History("p"); err != nil || len(h) != 2 || h[0].Why != "first" || h[1].Why != "better" {
			t.Errorf("history %+v, %v", h, err)
		}
	}
}

func TestRegistryConcurrent(t *testing.T) {
	root := t.TempDir()
	r := open(t, root)
	var models []*Model
	for i := range 4 {
		models = append(models, add(t, r, sample(t, "p", i)))
	}
	promote(t, r, models[0], "first")
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	readers.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if m := r.Live("p"); m == nil || versionOf(m.ONNX) != m.Version {
				t.Error("a torn champion was seen")
				return
			}
		}
	})
	for w := range 4 {
		writers.Go(func() {
			for i := range 10 {
				m := models[(w+i)%len(models)]
				if err := errors.Join(r.Promote("p", m.Version, fmt.Sprint(w), "turn"), r.Add(sample(t, "q", w*10+i))); err != nil {
					t.Error(err)
				}
				r.List("p")
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	h, err := r.History("p")
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(h); i++ {
		if h[i].From != h[i-1].To || h[i].Time.Before(h[i-1].Time) {
			t.Errorf("move %d does not follow on the one before: %+v after %+v", i, h[i], h[i-1])
		}
	}
	if again := open(t, root); again.Live("p").Version != h[len(h)-1].To || len(again.List("q")) != 40 {
		t.Errorf("after reopening: champion %s, %d models of q", again.Live("p").Version, len(again.List("q")))
	}
}

func TestMetaSurvives(t *testing.T) {
	m := sample(t, "p", 7)
	back, err := Parse(m.ONNX)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(m.Meta)
	b, _ := json.Marshal(back.Meta)
	if string(a) != string(b) || back.Version != m.Version || len(m.Version) != 12 {
		t.Errorf("meta %s, was %s", b, a)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tree lists all files with their content's digests.
func tree(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			fmt.Fprintln(&b, path, versionOf(read(t, path)))
		} else {
			fmt.Fprintln(&b, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	mkdir(t, filepath.Dir(path))
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// cut drops the last lines of a file.
func cut(t *testing.T, path string, lines int) {
	t.Helper()
	all := strings.SplitAfter(string(read(t, path)), "\n")
	write(t, path, strings.Join(all[:len(all)-1-lines], ""))
}
