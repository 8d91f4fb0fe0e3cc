package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// family is a list of processes.
type family []int

// children returns all living descendants of a process.
func children(pid int) family {
	parents := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		fields := statFields(name)
		if len(fields) < 2 {
			continue // it has just ended
		}
		child, err1 := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		parent, err2 := strconv.Atoi(fields[1])
		if err1 == nil && err2 == nil {
			parents[parent] = append(parents[parent], child)
		}
	}
	var all family
	for open := parents[pid]; len(open) > 0; open = open[1:] {
		all = append(all, open[0])
		open = append(open, parents[open[0]]...)
	}
	return all
}

// statFields returns the fields of a stat file from the state on, the third of proc_pid_stat(5): a name before it may hold anything.
func statFields(name string) []string {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
}

// tick is USER_HZ of Linux.
const tick = 10 * time.Millisecond

// cpu returns the user and system time of the processes.
func (f family) cpu() time.Duration {
	var sum time.Duration
	for _, pid := range f {
		sum += statCPU(statFields("/proc/" + strconv.Itoa(pid) + "/stat"))
	}
	return sum
}

func statCPU(fields []string) (sum time.Duration) {
	if len(fields) < 13 {
		return 0
	}
	for _, field := range fields[11:13] {
		n, _ := strconv.ParseInt(field, 10, 64)
		sum += time.Duration(n) * tick
	}
	return sum
}

// threads returns the same by the threads' names; what ended threads took is missing.
func (f family) threads() map[string]time.Duration {
	sum := map[string]time.Duration{}
	for _, pid := range f {
		stats, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/[0-9]*/stat")
		for _, name := range stats {
			text := readText(name)
			from, to := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
			if from < 0 || to < from {
				continue // it has just ended
			}
			sum[text[from+1:to]] += statCPU(strings.Fields(text[to+1:]))
		}
	}
	return sum
}

// resident returns the processes' resident memory, in bytes.
func (f family) resident() int64 {
	var sum int64
	for _, pid := range f {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
		if fields := strings.Fields(string(b)); err == nil && len(fields) > 1 {
			pages, _ := strconv.ParseInt(fields[1], 10, 64)
			sum += pages * int64(os.Getpagesize())
		}
	}
	return sum
}

// ownCPU returns the user and system time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it takes no argument that could be wrong
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memory is resident bytes of this process and of the ClickHouse child.
type memory struct {
	Own    int64 `json:"own"`
	Engine int64 `json:"engine"`
}

func (h *house) memory() memory {
	return memory{Own: family{os.Getpid()}.resident(), Engine: h.engine.resident()}
}

// peak watches memory until the returned function is called, which tells the most of each process.
func (h *house) peak() (stop func() memory) {
	var m memory
	var watching sync.WaitGroup
	end := make(chan struct{})
	watching.Go(func() {
		for {
			now := h.memory()
			m = memory{Own: max(m.Own, now.Own), Engine: max(m.Engine, now.Engine)}
			select {
			case <-end:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	return func() memory {
		close(end)
		watching.Wait()
		return m
	}
}

// machine describes where the numbers come from.
func machine() map[string]string {
	m := map[string]string{"cpu": "unknown", "memory": "unknown", "load": loadAverage()}
	if _, rest, ok := strings.Cut(readText("/proc/cpuinfo"), "model name"); ok {
		name, _, _ := strings.Cut(rest, "\n")
		m["cpu"] = strings.Trim(name, " \t:")
	}
	if fields := strings.Fields(readText("/proc/meminfo")); len(fields) > 1 {
		kib, _ := strconv.ParseInt(fields[1], 10, 64)
		m["memory"] = strconv.FormatInt(kib>>20, 10) + " GiB"
	}
	return m
}

// loadAverage is the machine's load of the last minute: near the number of runs at a time when nobody else is at work.
func loadAverage() string {
	one, _, _ := strings.Cut(readText("/proc/loadavg"), " ")
	return one
}

func readText(name string) string {
	b, _ := os.ReadFile(name)
	return string(b)
}
