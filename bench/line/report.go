package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what a run says.
type report struct {
	Date    time.Time         `json:"date"`
	Commit  string            `json:"commit,omitempty"`
	Args    []string          `json:"args"`
	CPUs    int               `json:"cpus"`
	Go      string            `json:"go"`
	Machine map[string]string `json:"machine"`

	Ratio  []ratioResult `json:"ratio,omitempty"`
	Watch  []watchResult `json:"watch,omitempty"`
	Ingest *ingestResult `json:"ingest,omitempty"`
	SQL    *sqlResult    `json:"sql,omitempty"`

	Wide    *ingestResult  `json:"wide,omitempty"`
	Visible *visibleResult `json:"visible,omitempty"`

	Delivery []deliveryResult `json:"delivery,omitempty"`
}

func newReport(args []string) *report {
	r := &report{Date: time.Now().UTC().Truncate(time.Second), Args: args, CPUs: runtime.NumCPU(), Go: runtime.Version(), Machine: machine()}
	if out, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		r.Commit = strings.TrimSpace(string(out))
	}
	return r
}

func (r *report) json(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// table prints what people read.
func (r *report) table(out io.Writer) error {
	p := &printer{out: out}
	p.line("%s, %d x %s, %s, %s, commit %s, load %s before", r.Date.Format(time.DateOnly), r.CPUs, r.Machine["cpu"], r.Machine["memory"], r.Go, r.Commit,
		r.Machine["load"])
	for _, x := range r.Ratio {
		x.print(p)
	}
	for _, x := range r.Watch {
		x.print(p)
	}
	if r.Ingest != nil {
		r.Ingest.print(p)
	}
	if r.SQL != nil {
		r.SQL.print(p)
	}
	if r.Wide != nil {
		r.Wide.print(p)
	}
	if r.Visible != nil {
		r.Visible.print(p)
	}
	for _, x := range r.Delivery {
		x.print(p)
	}
	return p.err
}

func (r *ratioResult) print(p *printer) {
	p.line("\nratio, GRU %s, windows %s, %d rows of %d bytes, %d scores a round, load %s", r.Network, r.Window, r.Rows, r.Bytes, r.Scores, r.Load)
	p.columns(func(row func(...any)) {
		row("round", "line us/score", "of it ClickHouse", "bare us/score", "ratio %", "wall s", "blocks")
		for i, o := range r.Rounds {
			row(i+1, us(o.LineNS), us(perOne(o.Line.Engine, r.Scores)), us(o.BareNS), percent(o.Ratio), fmt.Sprintf("%.2f", o.Line.Wall.Seconds()), o.Line.Blocks)
		}
		row("median", us(r.LineNS), us(r.EngineNS), us(r.BareNS), percent(r.Ratio))
	})
	p.line("where the line's CPU time goes, ns a score: ClickHouse %.0f (inserts %.0f, merges %.0f); this process by profile (%s):", r.EngineNS, r.InsertNS, r.MergeNS,
		r.Profile)
	r.Stages.print(p)
	p.line("%s %% of the line's CPU time is spent in the session", percent(r.Session))
}

func (r *ingestResult) print(p *printer) {
	what := "no windows"
	if r.Windows {
		what = "windows made"
	}
	p.line("\nKafka to ClickHouse, %d rows of %d bytes with %d signals, %s, no model, load %s", r.Rows, r.Bytes, r.Signals, what, r.Load)
	p.line("%.1f MB/s of JSON; MB per CPU-second: %.1f (andon %.1f, ClickHouse %.1f)", r.MBPerSecond, r.MBPerCPUSecond, r.MBPerOwnCPUSecond, r.MBPerEngineCPUSecond)
	p.line("wall %.2f s (%.2f s of it forming the group): %.0f rows/s", r.Cost.Wall.Seconds(), r.Cost.Start.Seconds(), r.PerSecond)
	p.columns(func(row func(...any)) {
		row("process", "CPU s", "rows/CPU-s", "ns/row", "idle MiB", "topic full", "peak", "10 s after")
		process := func(name string, cpu time.Duration, rate float64, of func(memory) int64) {
			row(name, fmt.Sprintf("%.2f", cpu.Seconds()), fmt.Sprintf("%.0f", rate), fmt.Sprintf("%.0f", perOne(cpu, r.Rows)), of(r.Idle)>>20, of(r.Filled)>>20,
				of(r.Peak)>>20, of(r.After)>>20)
		}
		process("andon, broker included", r.Cost.Own, r.PerOwnCPUSecond, func(m memory) int64 { return m.Own })
		process("ClickHouse child", r.Cost.Engine, r.PerEngineCPUSecond, func(m memory) int64 { return m.Engine })
		process("both", r.Cost.cpu(), r.PerCPUSecond, func(m memory) int64 { return m.Own + m.Engine })
	})
	p.line("ClickHouse: inserts %.2f s of %d blocks, merges %.2f s; %.2f s of all came after the last row was stored", r.Cost.Inserts.Seconds(), r.Cost.Blocks,
		r.Cost.Merges.Seconds(), r.Cost.After.Seconds())
	p.line("where the time of this process goes, ns a row, by profile (%s):", r.Profile)
	r.Stages.print(p)
}

func (r *sqlResult) print(p *printer) {
	p.line("\nsql, %d scores and %d readings in %d blocks, load %s, goal %v", r.Scores, r.Readings, r.Blocks, r.Load, goal)
	p.columns(func(row func(...any)) {
		row("question", "meanwhile", "rows", "first ms", "p50 ms", "p95 ms", "most ms", "goal")
		for _, a := range r.Answers {
			row(a.Question, map[bool]string{true: "4 blocks/s stored", false: "nothing"}[a.Busy], a.Rows, milliseconds(a.First), milliseconds(a.P50),
				milliseconds(a.P95), milliseconds(a.Most), map[bool]string{true: "met", false: "MISSED"}[a.Within])
		}
	})
}

func (s stages) print(p *printer) {
	p.columns(func(row func(...any)) {
		row("stage", "ns", "%", "most of it in")
		for _, x := range s {
			var top []string
			for _, f := range x.Top {
				if f.NS >= x.NS/20 {
					top = append(top, fmt.Sprintf("%s %.0f", short(f.Name), f.NS))
				}
			}
			row(x.Name, fmt.Sprintf("%.0f", x.NS), percent(x.Share), strings.Join(top, ", "))
		}
	})
}

// short leaves the folders out of a function's name.
func short(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

func us(ns float64) string     { return fmt.Sprintf("%.2f", ns/1e3) }
func percent(x float64) string { return fmt.Sprintf("%.1f", 100*x) }

// printer keeps the first error.
type printer struct {
	out io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.out, format+"\n", args...)
	}
}

func (p *printer) columns(fill func(row func(...any))) {
	w := tabwriter.NewWriter(p.out, 2, 0, 2, ' ', 0)
	fill(func(cells ...any) {
		texts := make([]string, len(cells))
		for i, c := range cells {
			texts[i] = fmt.Sprint(c)
		}
		if p.err == nil {
			_, p.err = fmt.Fprintln(w, "  "+strings.Join(texts, "\t"))
		}
	})
	if p.err == nil {
		p.err = w.Flush()
	}
}
