package main

import (
	"fmt"
	"strings"
	"time"
)

// Job names a piece of work that every peer does on the same input.
type Job string

// The jobs.
const (
	Tumbling Job = "tumbling" // mean and count of s_5 per asset and 10 s of event time
	Sliding  Job = "sliding"  // the same over 60 s, every 2 s
	Map      Job = "map"      // parse, let s_5 < 910 pass, add s_5_f, write
)

// Window returns the size and slide of the job's windows; zero for a map.
func (j Job) Window() (size, slide time.Duration) {
	switch j {
	case Tumbling:
		return 10 * time.Second, 10 * time.Second
	case Sliding:
		return 60 * time.Second, 2 * time.Second
	}
	return 0, 0
}

// Guarantee is what a peer promises about its output after a failure.
type Guarantee string

// The guarantees.
const (
	AtLeastOnce Guarantee = "at-least-once"
	ExactlyOnce Guarantee = "exactly-once"
)

// A Case is a job under a guarantee.
type Case struct {
	Job       Job       `json:"job"`
	Guarantee Guarantee `json:"guarantee"`
}

// Name returns job/guarantee.
func (c Case) Name() string { return string(c.Job) + "/" + string(c.Guarantee) }

// Cases returns every case, in the order in which they are run.
func Cases() []Case {
	return []Case{
		{Tumbling, AtLeastOnce}, {Tumbling, ExactlyOnce},
		{Sliding, AtLeastOnce}, {Sliding, ExactlyOnce},
		{Map, AtLeastOnce}, {Map, ExactlyOnce},
	}
}

// selectCases returns the cases that a comma-separated list of jobs or job/guarantee names; an empty list names all.
func selectCases(list string) ([]Case, error) {
	if list == "" {
		return Cases(), nil
	}
	var out []Case
	for name := range strings.SplitSeq(list, ",") {
		found := false
		for _, c := range Cases() {
			if name == string(c.Job) || name == c.Name() {
				out, found = append(out, c), true
			}
		}
		if !found {
			return nil, fmt.Errorf("-cases: %q is neither a job (tumbling, sliding, map) nor job/guarantee", name)
		}
	}
	return out, nil
}
