// Package cases runs text files of input and expected output, which the flag -update writes anew.
//
// A file is a list of cases, each a command line, its input lines, a line "----" and the output up to an empty line. Lines that begin with #
// are comments.
package cases

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Flag registers -update; call it where package variables are set, so that the flag is known before tests run.
func Flag() *bool { return flag.Bool("update", false, "write the expected output of testdata anew") }

// Case is one command with its input.
type Case struct {
	Command string
	Args    map[string]string
	Input   []string
}

// Run plays each file of the pattern in a subtest; play makes what runs a file's cases, one after the other.
func Run(t *testing.T, pattern string, update bool, play func(t *testing.T) func(c Case) string) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files match %s (%v)", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(string(text), play(t))
			if update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("%s: output differs (run with -update and review the change):\n%s", file, difference(string(text), got))
			}
		})
	}
}

func replay(text string, do func(Case) string) string {
	var out strings.Builder
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for len(lines) > 0 {
		line := lines[0]
		if line == "" || strings.HasPrefix(line, "#") {
			out.WriteString(line + "\n")
			lines = lines[1:]
			continue
		}
		words := strings.Fields(line)
		c := Case{Command: words[0], Args: map[string]string{}}
		for _, w := range words[1:] {
			key, value, _ := strings.Cut(w, "=")
			c.Args[key] = value
		}
		end := slices.Index(lines, "----")
		if end < 0 {
			end = len(lines)
		}
		c.Input = lines[1:end]
		for _, l := range lines[:end] {
			out.WriteString(l + "\n")
		}
		out.WriteString("----\n")
		if answer := strings.TrimRight(do(c), "\n"); answer != "" {
			out.WriteString(answer + "\n")
		}
		lines = lines[min(end+1, len(lines)):]
		for len(lines) > 0 && lines[0] != "" {
			lines = lines[1:]
		}
	}
	return out.String()
}

// difference shows the first lines that differ, with what stands around them.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < len(w) && i < len(g) && w[i] == g[i] {
		i++
	}
	from := max(i-4, 0)
	part := func(l []string) string { return strings.Join(l[min(from, len(l)):min(i+8, len(l))], "\n") }
	return "--- want\n" + part(w) + "\n--- got\n" + part(g)
}
