package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// world makes records as the loader does, and what a faultless appliance stores of them.
func world(t *testing.T, n int) (log [partitions][]entry, have map[int32]map[int64][]stored) {
	t.Helper()
	l := &loader{rng: rand.New(rand.NewPCG(7, 7))}
	for p := range l.parts {
		l.parts[p].clock = epoch
	}
	truth := newTruth()
	have = map[int32]map[int64][]stored{}
	var next [partitions]int64
	for range n {
		r := l.record()
		p := r.Partition
		r.Topic, r.Offset = topic, next[p]
		next[p]++
		e, err := truth.judge(r)
		if err != nil {
			t.Fatal(err)
		}
		log[p] = append(log[p], e)
		if have[p] == nil {
			have[p] = map[int64][]stored{}
		}
		s := stored{partition: p, offset: r.Offset, kind: e.kind, asset: e.asset, time: e.time, value: value(e.asset, e.time)}
		have[p][r.Offset] = append(have[p][r.Offset], s)
		if e.scored {
			have[p][r.Offset] = append(have[p][r.Offset], stored{partition: p, offset: r.Offset, kind: "score", asset: e.asset, time: e.time + 1, value: e.score})
		}
	}
	return log, have
}

// The judge must not be blind: each thing that an appliance could do wrong is seen, and nothing else.
func TestCompare(t *testing.T) {
	// at returns a record of partition 1 of a kind, with or without a score.
	at := func(log [partitions][]entry, kind string, scored bool) int64 {
		for _, e := range log[1][20:] {
			if e.kind == kind && e.scored == scored {
				return e.offset
			}
		}
		t.Fatalf("no %s, scored %v", kind, scored)
		return 0
	}
	check := func(what string, change func(log *[partitions][]entry, have map[int64][]stored), lost, doubled, wrong int, words string) {
		t.Helper()
		log, have := world(t, 3000)
		if change != nil {
			change(&log, have[1])
		}
		v := compare(log, have)
		if v.lost != lost || v.doubled != doubled || v.wrong != wrong {
			t.Errorf("%s: lost %d doubled %d wrong %d, want %d %d %d: %q", what, v.lost, v.doubled, v.wrong, lost, doubled, wrong, v.first)
		}
		if all := strings.Join(v.first, "\n"); !strings.Contains(all, words) {
			t.Errorf("%s: %q is not in %q", what, words, all)
		}
	}
	check("nothing", nil, 0, 0, 0, "")
	check("a lost record", func(log *[partitions][]entry, have map[int64][]stored) { delete(have, at(*log, kindOK, true)) }, 1, 0, 0, "stored nowhere")
	check("a lost dead letter", func(log *[partitions][]entry, have map[int64][]stored) { delete(have, at(*log, kindLate, false)) }, 1, 0, 0, "stored nowhere")
	check("a lost score", func(log *[partitions][]entry, have map[int64][]stored) {
		o := at(*log, kindOK, true)
		have[o] = have[o][:1]
	}, 1, 0, 0, "has no score")
	check("a doubled reading", func(log *[partitions][]entry, have map[int64][]stored) {
		o := at(*log, kindOK, true)
		have[o] = append(have[o], have[o][0])
	}, 0, 1, 0, "stored 2 times")
	check("a doubled score", func(log *[partitions][]entry, have map[int64][]stored) {
		o := at(*log, kindOK, true)
		have[o] = append(have[o], have[o][1])
	}, 0, 1, 0, "has 2 scores")
	check("a reading and a dead letter", func(log *[partitions][]entry, have map[int64][]stored) {
		o := at(*log, kindDuplicate, false)
		have[o] = append(have[o], stored{offset: o, kind: kindLate})
	}, 0, 1, 0, "stored 2 times")
	check("another kind", func(log *[partitions][]entry, have map[int64][]stored) {
		have[at(*log, kindMalformed, false)][0].kind = kindLate
	}, 0, 0, 1, "is stored as late")
	check("another value", func(log *[partitions][]entry, have map[int64][]stored) { have[at(*log, kindOK, true)][0].value++ }, 0, 0, 1, "is stored as")
	check("another window", func(log *[partitions][]entry, have map[int64][]stored) { have[at(*log, kindOK, true)][1].value *= 1.01 }, 0, 0, 1, "its window's mean is")
	check("another end", func(log *[partitions][]entry, have map[int64][]stored) { have[at(*log, kindOK, true)][1].time++ }, 0, 0, 1, "has the score")
	check("a score of a cold window", func(log *[partitions][]entry, have map[int64][]stored) {
		o := at(*log, kindDuplicate, false)
		have[o] = append(have[o], stored{offset: o, kind: "score"})
	}, 0, 0, 1, "should not")
	check("what is not in the log", func(log *[partitions][]entry, have map[int64][]stored) { have[1<<40] = []stored{{kind: kindOK}} }, 0, 0, 1, "not in the log")
}

func TestTruth(t *testing.T) {
	truth := newTruth()
	record := func(offset int64, id, kind, asset string, at int) *kgo.Record {
		r := &kgo.Record{Topic: topic, Offset: offset}
		for _, h := range [][2]string{{"id", id}, {"kind", kind}, {"asset", asset}, {"time", fmt.Sprint(at)}} {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
		}
		return r
	}
	for i := range length - 1 {
		if e, err := truth.judge(record(int64(i), fmt.Sprint(i+1), kindOK, "a", i)); err != nil || e.scored || e.again {
			t.Fatalf("%+v, %v", e, err)
		}
	}
	if e, _ := truth.judge(record(10, "100", kindDuplicate, "a", 3)); e.scored || e.again {
		t.Errorf("a duplicate: %+v", e)
	}
	want := 0.0
	for i := range length {
		want += value("a", int64(i)) / length
	}
	e, _ := truth.judge(record(11, "5", kindOK, "a", length-1))
	if !e.scored || e.score != want {
		t.Errorf("the first window: %+v, want %v", e, want)
	}
	if e, _ := truth.judge(record(12, "5", kindOK, "a", length-1)); !e.again || e.scored || truth.doubled != 1 {
		t.Errorf("the same record again: %+v, %d", e, truth.doubled)
	}
	if _, err := truth.judge(&kgo.Record{Topic: topic, Value: []byte("x")}); err == nil {
		t.Error("somebody else's record is taken for ours")
	}
}

func TestDeadLetters(t *testing.T) {
	log, _ := world(t, 500)
	published := map[int32]map[int64]int{}
	for p, entries := range log {
		published[int32(p)] = map[int64]int{}
		for _, e := range entries {
			if e.kind == kindLate || e.kind == kindMalformed {
				published[int32(p)][e.offset] += 2 // more than once is allowed
			}
		}
	}
	if v := deadLetters(published, log); !v.clean() {
		t.Error(v.first)
	}
	for o := range published[2] {
		delete(published[2], o)
		break
	}
	if v := deadLetters(published, log); v.lost != 1 {
		t.Errorf("lost %d, want 1", v.lost)
	}
}

func TestPlan(t *testing.T) {
	seen := map[fault]int{}
	for seed := range uint64(300) {
		a, b := plan(rand.New(rand.NewPCG(seed, 2)), nil), plan(rand.New(rand.NewPCG(seed, 2)), nil)
		if fmt.Sprint(a) != fmt.Sprint(b) || len(a) == 0 {
			t.Fatalf("seed %d: %v, then %v", seed, a, b)
		}
		for i, e := range a {
			seen[e.fault]++
			if i > 0 && e.at < a[i-1].at {
				t.Errorf("seed %d: %v", seed, a)
			}
		}
	}
	for _, f := range faults {
		if seen[f.fault] == 0 {
			t.Errorf("%s never happens", f.fault)
		}
	}
	only, err := parseFaults("kill-a, stop-b")
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(20) {
		for _, e := range plan(rand.New(rand.NewPCG(seed, 2)), only) {
			if e.fault != killA && e.fault != stopB {
				t.Errorf("%v", e)
			}
		}
	}
	if _, err := parseFaults("kill-c"); err == nil {
		t.Error("kill-c is taken")
	}
}
