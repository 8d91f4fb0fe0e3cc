package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every entry of the table must make a command line and its files for every case it claims.
func TestTable(t *testing.T) {
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, p := range Peers() {
		if names[p.Name] || p.Name == "" || len(p.Cases) == 0 {
			t.Errorf("peer %q: a name twice or nothing to do", p.Name)
		}
		names[p.Name] = true
		for _, c := range p.Cases {
			dir := t.TempDir()
			size, slide := c.Job.Window()
			args, err := p.prepare(Params{
				Brokers: "127.0.0.1:9092", Input: "in", Output: "out", Group: "g", Job: string(c.Job), Guarantee: string(c.Guarantee), Root: root, Dir: dir,
				Partitions: 4, Parallelism: 2, Port: 20000, SizeMS: size.Milliseconds(), SlideMS: slide.Milliseconds(), IntervalMS: 1000, LatenessMS: 1000, Limit: limit,
			})
			if err != nil {
				t.Fatalf("%s %s: %v", p.Name, c.Name(), err)
			}
			said := strings.Join(args, " ")
			for name := range p.Files {
				text, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				said += string(text)
			}
			if strings.Contains(said, "{{") || strings.Contains(said, "<no value>") {
				t.Errorf("%s %s: a template is left: %s", p.Name, c.Name(), said)
			}
			for _, want := range []string{"127.0.0.1:9092", "in", "out"} {
				if !strings.Contains(said, want) {
					t.Errorf("%s %s: %s is not passed on", p.Name, c.Name(), want)
				}
			}
		}
	}
}

func TestSelect(t *testing.T) {
	some, err := selectPeers(Peers(), "")
	if err != nil || len(some) == 0 {
		t.Fatal(some, err)
	}
	for _, p := range some {
		if p.Optional {
			t.Errorf("%s is optional", p.Name)
		}
	}
	if got, err := selectPeers(Peers(), "benthos,streams-rocksdb"); err != nil || len(got) != 2 || got[0].Name != "benthos" {
		t.Error(got, err)
	}
	if _, err := selectPeers(Peers(), "nobody"); err == nil {
		t.Error("an unknown peer passed")
	}
	if got, err := selectCases("map,sliding/exactly-once"); err != nil || len(got) != 3 {
		t.Error(got, err)
	}
	if _, err := selectCases("map/perhaps"); err == nil {
		t.Error("an unknown case passed")
	}
}
