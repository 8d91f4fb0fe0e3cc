package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// fault is one thing that goes wrong.
type fault string

// The faults. A is the appliance that hosts broker and ClickHouse, B a second process of the same groups, which reaches both through proxies.
const (
	killA       fault = "kill-a"       // SIGKILL, and a restart at once
	killTwice   fault = "kill-a-twice" // again while it starts
	termA       fault = "term-a"       // SIGTERM, and a restart
	stopA       fault = "stop-a"       // SIGSTOP for longer than the session
	killEngine  fault = "kill-clickhouse"
	stopEngine  fault = "stop-clickhouse" // SIGSTOP for some seconds
	addB        fault = "add-b"
	removeB     fault = "remove-b" // SIGTERM
	killB       fault = "kill-b"
	stopB       fault = "stop-b" // a zombie: its partitions go to A while it sleeps
	cutBroker   fault = "cut-b-broker"
	cutStore    fault = "cut-b-clickhouse"
	cutBoth     fault = "cut-b"
	muteBroker  fault = "mute-b-broker" // nothing passes, nothing breaks
	muteStore   fault = "mute-b-clickhouse"
	muteBoth    fault = "mute-b"
	killDuringA fault = "kill-clickhouse-and-a"
)

// kind is one sort of fault.
type kind struct {
	fault
	weight int
	b      bool
}

// faults are all, with how often each comes and whether it needs B.
var faults = []kind{
	{killA, 6, false}, {killTwice, 3, false}, {termA, 2, false}, {stopA, 1, false}, {killEngine, 5, false}, {stopEngine, 2, false}, {killDuringA, 2, false},
	{addB, 3, false}, {removeB, 2, true}, {killB, 3, true}, {stopB, 3, true},
	{cutBroker, 2, true}, {cutStore, 2, true}, {cutBoth, 1, true}, {muteBroker, 2, true}, {muteStore, 2, true}, {muteBoth, 1, true},
}

// event is a fault at its moment, counted from the begin of the round's load.
type event struct {
	fault
	at, lasts time.Duration
}

func (e event) String() string {
	if e.lasts > 0 {
		return fmt.Sprintf("%s@%.2fs+%.1fs", e.fault, e.at.Seconds(), e.lasts.Seconds())
	}
	return fmt.Sprintf("%s@%.2fs", e.fault, e.at.Seconds())
}

// plan is what happens in a round. Faults that need B bring it along.
func plan(rng *rand.Rand, only []fault) []event {
	total := 0
	for _, f := range faults {
		if allowed(f.fault, only) {
			total += f.weight
		}
	}
	var all []event
	at := 600*time.Millisecond + upTo(rng, time.Second)
	for range 1 + rng.IntN(3) {
		n := rng.IntN(total)
		for _, f := range faults {
			if !allowed(f.fault, only) {
				continue
			}
			if n -= f.weight; n >= 0 {
				continue
			}
			e := event{fault: f.fault, at: at}
			switch f.fault {
			case stopA, stopB:
				e.lasts = session + 500*time.Millisecond + upTo(rng, 2*time.Second)
			case stopEngine:
				e.lasts = 500*time.Millisecond + upTo(rng, 3*time.Second)
			case cutBroker, cutStore, cutBoth, muteBroker, muteStore, muteBoth:
				e.lasts = 300*time.Millisecond + upTo(rng, session+2*time.Second)
			case killTwice:
				e.lasts = upTo(rng, 1500*time.Millisecond)
			}
			all = append(all, e)
			break
		}
		at += upTo(rng, 1500*time.Millisecond)
	}
	return all
}

func upTo(rng *rand.Rand, d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }

func allowed(f fault, only []fault) bool { return len(only) == 0 || slices.Contains(only, f) }

// needsB tells whether one of the events is about B.
func needsB(all []event) bool {
	for _, e := range all {
		for _, f := range faults {
			if f.fault == e.fault && f.b {
				return true
			}
		}
	}
	return false
}

// parseFaults reads a list as -only has it.
func parseFaults(text string) ([]fault, error) {
	var out []fault
	for _, name := range strings.Split(text, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if !slices.ContainsFunc(faults, func(f kind) bool { return f.fault == fault(name) }) {
			return nil, fmt.Errorf("there is no fault %q", name)
		}
		out = append(out, fault(name))
	}
	return out, nil
}
