package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Result is one peer on one case. Times end when the last missing result was readable by a read_committed consumer; they begin with the peer's process, so
// that its start is in them.
type Result struct {
	Peer    string `json:"peer"`
	Version string `json:"version"`
	Case
	Round        int     `json:"round"`
	Records      int64   `json:"records"`
	WallS        float64 `json:"wall_s"`
	FirstOutputS float64 `json:"first_output_s"`
	CPUS         float64 `json:"cpu_s"`         // of the peer and its children
	RusageS      float64 `json:"rusage_cpu_s"`  // of the peer's whole life, with its stop
	BrokerCPUS   float64 `json:"broker_cpu_s"`  // of the broker meanwhile
	HarnessCPUS  float64 `json:"harness_cpu_s"` // of this program meanwhile
	OthersCPUS   float64 `json:"others_cpu_s"`  // of all else on the machine: should be near 0
	IdleBefore   float64 `json:"idle_before"`   // share of the machine's CPU time in the second before the start
	WarmPerCPUS  float64 `json:"warm_per_cpu_s"`
	WarmPerS     float64 `json:"warm_per_s"` // records per second after the first fifth of the output; 0 when it came in too few steps
	PeakRSS      int64   `json:"peak_rss_bytes"`
	Tally        `json:"output"`
	Note         string `json:"note,omitempty"`
	Error        string `json:"error,omitempty"`
}

// PerSecond returns input records per second of wall time.
func (r Result) PerSecond() float64 { return rate(r.Records, r.WallS) }

// PerCPUSecond returns input records per CPU-second of the peer.
func (r Result) PerCPUSecond() float64 { return rate(r.Records, r.CPUS) }

// OK says whether the output was complete, right and, if exactly once was promised, undoubled.
func (r Result) OK() bool {
	return r.Error == "" && r.Missing() == 0 && r.Wrong == 0 && (r.Doubled == 0 || r.Guarantee == AtLeastOnce)
}

func rate(n int64, s float64) float64 {
	if s == 0 {
		return 0
	}
	return float64(n) / s
}

func (r *Result) fill(w *watch, reader *reader, proc *process) {
	r.RusageS = proc.rusage().Seconds()
	r.PeakRSS = w.peak
	end, ok := w.done(reader.last)
	if !ok || r.Missing() > 0 {
		return // a rate of work that was not done says nothing
	}
	r.WallS, r.CPUS, r.BrokerCPUS, r.HarnessCPUS = end.at.Seconds(), end.cpu.Seconds(), end.broker.Seconds(), end.harness.Seconds()
	r.FirstOutputS = w.firstOutput().Seconds()
	share, cpu, wall := w.warm(end)
	r.WarmPerCPUS = rate(int64(share*float64(r.Records)), cpu.Seconds())
	r.WarmPerS = rate(int64(share*float64(r.Records)), wall.Seconds())
	r.OthersCPUS = max(0, (end.machine.busy-w.machine.busy).Seconds()-r.CPUS-r.BrokerCPUS-r.HarnessCPUS)
}

// Report is what a run says.
type Report struct {
	Date    time.Time         `json:"date"`
	Machine map[string]string `json:"machine"`
	Config  Config            `json:"config"`
	Results []Result          `json:"results"`
}

func header(w io.Writer) {
	fmt.Fprintln(w, "job\tguarantee\tpeer\trec/s\tcpu s\trec/cpu s\twarm rec/s\twarm rec/cpu s\tbroker cpu s\tpeak MiB\tresults\tdoubled\tmissing\twrong\tothers cpu s\tverdict\t")
}

func line(w io.Writer, r Result) {
	verdict := "ok"
	if !r.OK() {
		verdict = "FAILED"
	}
	if r.Note != "" && r.Job != Map {
		verdict += " (" + r.Note + ")"
	}
	fmt.Fprintf(w, "%s\t%s\t%s %s\t%s\t%.1f\t%s\t%s\t%s\t%.1f\t%d\t%d\t%d\t%d\t%d\t%.1f\t%s\t\n", r.Job, r.Guarantee, r.Peer, r.Version, thousands(r.PerSecond()), r.CPUS,
		thousands(r.PerCPUSecond()), thousands(r.WarmPerS), thousands(r.WarmPerCPUS), r.BrokerCPUS, r.PeakRSS>>20, r.Tally.Records, r.Doubled, r.Missing(), r.Wrong, r.OthersCPUS, verdict)
}

// table prints one line a result; with several rounds, a line of medians follows for each peer and case.
func table(out io.Writer, results []Result, rounds int) error {
	w := tabwriter.NewWriter(out, 2, 0, 2, ' ', tabwriter.AlignRight)
	header(w)
	for _, r := range results {
		line(w, r)
	}
	if rounds > 1 {
		fmt.Fprintln(w, "medians\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t")
		for _, r := range medians(results) {
			line(w, r)
		}
	}
	return w.Flush()
}

// medians returns, for each peer and case, the good round in the middle by records per CPU-second.
func medians(results []Result) []Result {
	type key struct {
		Case
		peer string
	}
	groups := make(map[key][]Result)
	var order []key
	for _, r := range results {
		k := key{r.Case, r.Peer}
		if groups[k] == nil {
			order = append(order, k)
			groups[k] = []Result{}
		}
		if r.OK() {
			groups[k] = append(groups[k], r)
		}
	}
	var out []Result
	for _, k := range order {
		g := groups[k]
		if len(g) == 0 {
			continue
		}
		slices.SortFunc(g, func(a, b Result) int { return cmp.Compare(a.PerCPUSecond(), b.PerCPUSecond()) })
		out = append(out, g[len(g)/2])
	}
	return out
}

// compare prints how many times the records of every other peer one peer does.
func compare(out io.Writer, results []Result, against string) error {
	best := medians(results)
	w := tabwriter.NewWriter(out, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "job\tguarantee\t%s against\tper cpu s\twarm per cpu s\tper s\tmemory\t\n", against)
	for _, c := range Cases() {
		i := slices.IndexFunc(best, func(r Result) bool { return r.Case == c && r.Peer == against })
		for _, r := range best {
			// A peer that lacks a guarantee is set against the stronger one of ours as well.
			same := r.Job == c.Job && (r.Guarantee == c.Guarantee || r.Guarantee == AtLeastOnce)
			if i >= 0 && same && r.Peer != against {
				fmt.Fprintf(w, "%s\t%s\t%s %s\t%s\t%s\t%s\t%s\t\n", c.Job, c.Guarantee, r.Peer, r.Guarantee,
					times(best[i].PerCPUSecond(), r.PerCPUSecond()), times(best[i].WarmPerCPUS, r.WarmPerCPUS), times(best[i].PerSecond(), r.PerSecond()),
					times(float64(best[i].PeakRSS), float64(r.PeakRSS)))
			}
		}
	}
	return w.Flush()
}

func thousands(f float64) string {
	if f == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1fk", f/1000)
}

func times(ours, theirs float64) string {
	if ours == 0 || theirs == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2fx", ours/theirs)
}

// about describes the machine and the tools.
func about() map[string]string {
	m := map[string]string{"go": runtime.Version(), "cpus": fmt.Sprint(runtime.NumCPU()), "os": runtime.GOOS + "/" + runtime.GOARCH, "cpu": "unknown", "java": "none"}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(text), "model name"); ok {
			name, _, _ := strings.Cut(rest, "\n")
			m["cpu"] = strings.Trim(name, " \t:")
		}
	}
	if out, err := exec.Command("java", "-version").CombinedOutput(); err == nil {
		m["java"], _, _ = strings.Cut(string(out), "\n")
	}
	return m
}

func (r Report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
