package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

// Peer is one program under test: an entry of the table in peers.go.
type Peer struct {
	Name    string
	Version string
	Note    string // said beside its results
	Cases   []Case // what it can do; the rest is skipped
	Build   Build
	// Command and the files are text/template texts over Params. An argument that comes out empty is left out; the first one is looked up in the
	// repository's root when it holds a slash. The program runs with Params.Dir as its working folder, reads Params.Input from the beginning, writes
	// Params.Output, and goes on until SIGTERM.
	Command []string
	Files   map[string]string // made in Params.Dir before the start: name to template file, relative to bench/peers
	// Decode reads a window job's output; nil for the form that the Java peers write.
	Decode Decode
	// WallClock marks a peer whose windows follow the clock on the wall: only its totals are checked.
	WallClock bool
	// Optional keeps a peer out of a run that does not name it.
	Optional bool
}

// Build names what has to be built before a peer can run.
type Build string

// What can be built. A peer with none must be there already.
const (
	BuildNone    Build = ""
	BuildJava    Build = "java"
	BuildBenthos Build = "benthos"
	BuildAndon   Build = "andon"
)

// Params is what a template may use. Times are in milliseconds.
type Params struct {
	Brokers, Input, Output, Group, Job, Guarantee string
	Root, Dir                                     string // the repository and the run's own folder, absolute
	Partitions                                    int32
	Parallelism, Port                             int
	SizeMS, SlideMS, LatenessMS, IntervalMS, Keys int64
	Field, AddedField                             string
	Limit                                         float64
}

// Does says whether the peer has the case.
func (p Peer) Does(c Case) bool { return slices.Contains(p.Cases, c) }

// prepare writes the peer's files and returns its command line.
func (p Peer) prepare(v Params) ([]string, error) {
	for name, from := range p.Files {
		text, err := os.ReadFile(filepath.Join(v.Root, "bench", "peers", from))
		if err != nil {
			return nil, err
		}
		out, err := fill(from, string(text), v)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(v.Dir, name), []byte(out), 0o644); err != nil {
			return nil, err
		}
	}
	var args []string
	for _, a := range p.Command {
		out, err := fill(p.Name, a, v)
		if err != nil {
			return nil, err
		}
		if out != "" {
			args = append(args, out)
		}
	}
	if len(args) == 0 {
		return nil, fmt.Errorf("peer %s has no command", p.Name)
	}
	if strings.Contains(args[0], "/") && !filepath.IsAbs(args[0]) {
		args[0] = filepath.Join(v.Root, args[0])
	}
	return args, nil
}

func fill(name, text string, v Params) (string, error) {
	t, err := template.New(name).Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return "", err
	}
	return b.String(), nil
}

// selectPeers returns the peers of a comma-separated list; an empty list names all but the optional ones.
func selectPeers(all []Peer, list string) ([]Peer, error) {
	var out []Peer
	if list == "" {
		for _, p := range all {
			if !p.Optional {
				out = append(out, p)
			}
		}
		return out, nil
	}
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(all, func(p Peer) bool { return p.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("-peers: no peer %q in the table", name)
		}
		out = append(out, all[i])
	}
	return out, nil
}
