package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

// startProfile begins a CPU profile of this process; stop returns it.
func startProfile() (stop func() []byte, err error) {
	var b bytes.Buffer
	if err := pprof.StartCPUProfile(&b); err != nil {
		return nil, err
	}
	return func() []byte {
		pprof.StopCPUProfile()
		return b.Bytes()
	}, nil
}

// writeProfiles writes the last of the profiles: one is what go tool pprof reads.
func writeProfiles(name string, profiles [][]byte) error {
	return os.WriteFile(name, profiles[len(profiles)-1], 0o644)
}

// stage is a part of the line and what it takes.
type stage struct {
	Name string `json:"name"`
	// NS is CPU time a row or score.
	NS    float64 `json:"cpu_ns"`
	Share float64 `json:"share"`
	// Top are the functions of the stage that samples were in or below, the nearest to the leaf.
	Top []function `json:"top"`
}

type function struct {
	Name string  `json:"name"`
	NS   float64 `json:"cpu_ns"`
}

type stages []stage

// rooms says which stage a function belongs to, by the beginning of its name. A sample counts for the first function that is here, from the leaf up: what the
// runtime does for a stage (copying, allocating, system calls) is the stage's.
var rooms = []struct{ prefix, stage string }{
	// The watch for drift, which reaches into several rooms.
	{"andon/processors/drift.(*Panel)", "watch, panel"},
	{"andon/processors.(*Seat)", "watch, panel"},
	{"andon/sinks/clickhouse.(*Store).WriteJudged", "watch, panel"},
	{"andon/processors/drift.", "watch"},
	{"andon/processors.(*watch)", "watch"},
	{"andon/sinks/kafka.sketch", "watch, records"},
	{"andon/ingest/decode.(*sketch)", "watch, records"},
	{"andon/ingest/decode.", "decode"},
	{"andon/ingest/broker.", "broker"},
	{"github.com/twmb/franz-go/pkg/kfake.", "broker"},
	{"andon/ingest.", "ingest"},
	{"github.com/twmb/franz-go/pkg/kgo.", "kafka client"},
	{"github.com/twmb/franz-go/pkg/kgo/", "kafka client"},
	{"andon/processors/features.", "features"},
	{"andon/processors.", "processors"},
	{"andon/scorer.", "scorer"},
	{"andon/model/ort.", "model"},
	{"andon/sinks/clickhouse", "sink"},
	{"andon/sinks/kafka.", "publisher"},
	{"github.com/ClickHouse/", "sink"},
	{"main.", "benchmark"},
	// Samples in native code whose caller could not be told: only the model's library is native here.
	{"runtime._ExternalCode", "model"},
	{"runtime._LostExternalCode", "model"},
	// Nothing of the line is above these.
	{"runtime.gcBgMarkWorker", "collector"},
	{"runtime.bgsweep", "collector"},
	{"runtime.bgscavenge", "collector"},
	{"runtime.mcall", "scheduler"},
	{"runtime.mstart", "scheduler"},
	{"runtime.sysmon", "scheduler"},
}

// stageOf returns the stage of a stack, leaf first, and the function that told.
func stageOf(stack []string) (stage, function string) {
	for _, f := range stack {
		for _, r := range rooms {
			if strings.HasPrefix(f, r.prefix) {
				return r.stage, f
			}
		}
	}
	if len(stack) == 0 {
		return "other", "unknown"
	}
	return "other", stack[len(stack)-1]
}

// readStages adds up profiles of work on n rows or scores.
func readStages(profiles [][]byte, n int) (stages, error) {
	byStage, byFunction := map[string]float64{}, map[string]map[string]float64{}
	total := 0.0
	for _, p := range profiles {
		samples, err := readProfile(p)
		if err != nil {
			return nil, fmt.Errorf("read the CPU profile: %w", err)
		}
		for _, s := range samples {
			name, f := stageOf(s.stack)
			ns := float64(s.cpu) / float64(n)
			total += ns
			byStage[name] += ns
			if byFunction[name] == nil {
				byFunction[name] = map[string]float64{}
			}
			byFunction[name][f] += ns
		}
	}
	var all stages
	for name, ns := range byStage {
		s := stage{Name: name, NS: ns, Share: ns / total}
		for f, ns := range byFunction[name] {
			s.Top = append(s.Top, function{f, ns})
		}
		slices.SortFunc(s.Top, func(a, b function) int { return cmp.Or(cmp.Compare(b.NS, a.NS), cmp.Compare(a.Name, b.Name)) })
		s.Top = s.Top[:min(len(s.Top), 4)]
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b stage) int { return cmp.Or(cmp.Compare(b.NS, a.NS), cmp.Compare(a.Name, b.Name)) })
	return all, nil
}

// sample is a stack, leaf first, and the CPU time that was seen in it.
type sample struct {
	stack []string
	cpu   time.Duration
}

// readProfile reads a CPU profile of the runtime (https://github.com/google/pprof/blob/main/proto/profile.proto), as far as stages need it.
func readProfile(file []byte) ([]sample, error) {
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	type location struct{ functions []uint64 }
	var (
		texts     []string
		names     = map[uint64]uint64{} // function: place of its name in texts
		locations = map[uint64]location{}
		found     [][2][]uint64 // a sample's locations and values
	)
	err = fields(raw, func(field, _ uint64, b []byte) error {
		switch field {
		case 2: // sample
			var s [2][]uint64
			err := fields(b, func(field, v uint64, b []byte) error {
				if field != 1 && field != 2 {
					return nil
				}
				if b == nil {
					s[field-1] = append(s[field-1], v)
				}
				for len(b) > 0 {
					v, n := binary.Uvarint(b)
					if n <= 0 {
						return errProfile
					}
					s[field-1], b = append(s[field-1], v), b[n:]
				}
				return nil
			})
			found = append(found, s)
			return err
		case 4: // location
			var id uint64
			var l location
			err := fields(b, func(field, v uint64, b []byte) error {
				switch field {
				case 1:
					id = v
				case 4: // line
					return fields(b, func(field, v uint64, _ []byte) error {
						if field == 1 {
							l.functions = append(l.functions, v)
						}
						return nil
					})
				}
				return nil
			})
			locations[id] = l
			return err
		case 5: // function
			var id, name uint64
			err := fields(b, func(field, v uint64, _ []byte) error {
				switch field {
				case 1:
					id = v
				case 2:
					name = v
				}
				return nil
			})
			names[id] = name
			return err
		case 6:
			texts = append(texts, string(b))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []sample
	for _, f := range found {
		if len(f[1]) == 0 {
			return nil, errProfile
		}
		s := sample{cpu: time.Duration(f[1][len(f[1])-1])} // the values are the number of samples and their nanoseconds
		for _, id := range f[0] {
			for _, fn := range locations[id].functions {
				name, ok := names[fn]
				if !ok || name >= uint64(len(texts)) {
					return nil, errProfile
				}
				s.stack = append(s.stack, texts[name])
			}
		}
		out = append(out, s)
	}
	return out, nil
}

var errProfile = errors.New("it is not in the form that is known")

// fields calls f for each field of a protocol buffer: v is the number of a varint, b the bytes of what has a length.
func fields(raw []byte, f func(field, v uint64, b []byte) error) error {
	for len(raw) > 0 {
		key, n := binary.Uvarint(raw)
		if n <= 0 {
			return errProfile
		}
		raw = raw[n:]
		v, n := binary.Uvarint(raw)
		if n <= 0 || key&7 != 0 && key&7 != 2 {
			return errProfile // a profile has no other kinds
		}
		raw = raw[n:]
		var b []byte
		if key&7 == 2 {
			if v > uint64(len(raw)) {
				return errProfile
			}
			b, raw = raw[:v:v], raw[v:]
		}
		if err := f(key>>3, v, b); err != nil {
			return err
		}
	}
	return nil
}
