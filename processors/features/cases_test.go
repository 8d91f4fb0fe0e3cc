package features

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"andon/event"
	"andon/processors/internal/cases"

	"go.uber.org/goleak"
)

var update = cases.Flag()

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCases(t *testing.T) {
	cases.Run(t, "testdata/*.txt", *update, func(t *testing.T) func(cases.Case) string {
		s := &script{t: t}
		return s.do
	})
}

// script plays a file: "config" makes a partition, "rows" hands it rows, "state" shows it, "reopen" goes through a snapshot, "refold" folds the
// rows since the fold offset into a new partition, "finish" forgets all assets, "train" makes windows of one asset's rows.
type script struct {
	t    *testing.T
	cfg  Config
	p    *Partition
	rows []event.Row
}

var outcomes = map[Outcome]string{Taken: "taken", Surplus: "surplus", Duplicate: "duplicate", Late: "late"}

func (s *script) do(c cases.Case) string {
	var out strings.Builder
	emit := func(w *Window) error {
		fmt.Fprintf(&out, "    %s\n", window(w.Asset, w.Start, w.End, w.Append(nil, nil), s.p.width))
		return nil
	}
	switch c.Command {
	case "config":
		s.cfg = config(s.t, c.Args)
		s.rows = nil
		s.reset()
	case "rows":
		for _, line := range c.Input {
			row := parseRow(s.t, line)
			row.Offset = int64(len(s.rows))
			s.rows = append(s.rows, row)
			var windows strings.Builder
			got, err := s.p.Row(&row, func(w *Window) error {
				fmt.Fprintf(&windows, "    %s\n", window(w.Asset, w.Start, w.End, w.Append(nil, nil), s.p.width))
				return nil
			})
			if err != nil {
				fmt.Fprintln(&out, err)
				continue
			}
			fmt.Fprintf(&out, "@%d %s: %s\n%s", row.Offset, line, outcomes[got], windows.String())
		}
	case "state":
		fold, clock := s.p.Fold(int64(len(s.rows)))
		fmt.Fprintf(&out, "clock %s, fold %d from clock %s\n", seconds(s.p.clock), fold, seconds(clock))
		for l := s.p.quietest; l != nil; l = l.louder {
			a := s.p.assets[l.name]
			fmt.Fprintf(&out, "%s born @%d touched %s age %d open %d\n", a.name, a.born, seconds(a.touched), a.age, a.cells.open)
		}
	case "reopen":
		snapshot := s.p.Snapshot(nil)
		s.reset()
		if err := s.p.Restore(snapshot); err != nil {
			s.t.Fatal(err)
		}
	case "refold":
		want := s.p.Snapshot(nil)
		fold, clock := s.p.Fold(int64(len(s.rows)))
		s.reset()
		s.p.SetClock(clock)
		for i := int(fold); i < len(s.rows); i++ {
			if _, err := s.p.Row(&s.rows[i], nil); err != nil {
				s.t.Fatal(err)
			}
		}
		fmt.Fprintf(&out, "%d rows read back, same state: %v\n", len(s.rows)-int(fold), string(want) == string(s.p.Snapshot(nil)))
	case "finish":
		if err := s.p.Finish(emit); err != nil {
			s.t.Fatal(err)
		}
	case "train":
		var rows []event.Row
		for _, line := range c.Input {
			rows = append(rows, parseRow(s.t, line))
		}
		err := s.cfg.Windows(&s.cfg.Recipe, rows, func(end int64, w []float32) {
			r := s.cfg.Recipe
			fmt.Fprintln(&out, window("", end-int64(r.Length)*int64(r.Grid), end, w, r.Width()))
		})
		if err != nil {
			s.t.Fatal(err)
		}
	default:
		s.t.Fatalf("unknown command %q", c.Command)
	}
	return out.String()
}

func (s *script) reset() {
	p, err := New(s.cfg, s.cfg.Recipe.Signals)
	if err != nil {
		s.t.Fatal(err)
	}
	s.p = p
}

// config reads "signals=a,b grid=10s ..." over short windows without smoothing.
func config(t *testing.T, args map[string]string) Config {
	t.Helper()
	c := Default()
	c.Recipe.Grid, c.Recipe.Length, c.Recipe.MaxGap = 10*time.Second, 2, 1
	c.Lateness, c.Horizon, c.Remember = 20*time.Second, time.Hour, 8
	for key, value := range args {
		var err error
		switch key {
		case "signals":
			c.Recipe.Signals = strings.Split(value, ",")
		case "grid":
			c.Recipe.Grid, err = time.ParseDuration(value)
		case "length":
			c.Recipe.Length, err = strconv.Atoi(value)
		case "max_gap":
			c.Recipe.MaxGap, err = strconv.Atoi(value)
		case "smooth":
			c.Recipe.Smooth, err = strconv.ParseFloat(value, 64)
		case "baseline":
			c.Recipe.Baseline, err = strconv.Atoi(value)
		case "age":
			c.Recipe.Age = true
		case "lateness":
			c.Lateness, err = time.ParseDuration(value)
		case "horizon":
			c.Horizon, err = time.ParseDuration(value)
		case "close":
			c.Close = Close(value)
		case "stride":
			c.Stride, err = strconv.Atoi(value)
		case "remember":
			c.Remember, err = strconv.Atoi(value)
		default:
			t.Fatalf("unknown setting %q", key)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// parseRow reads "asset seconds value...", a value - being none.
func parseRow(t *testing.T, line string) event.Row {
	t.Helper()
	words := strings.Fields(line)
	at, err := strconv.ParseFloat(words[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	row := event.Row{Asset: words[0], Time: int64(at * 1e9)}
	for _, w := range words[2:] {
		v := math.NaN()
		if w != "-" {
			if v, err = strconv.ParseFloat(w, 64); err != nil {
				t.Fatal(err)
			}
		}
		row.Values = append(row.Values, v)
	}
	return row
}

func seconds(ns int64) string {
	if ns == never {
		return "never"
	}
	return strconv.FormatFloat(float64(ns)/1e9, 'f', -1, 64)
}

func window(asset string, start, end int64, values []float32, width int) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s [%s,%s)", asset, seconds(start), seconds(end))
	for i, v := range values {
		if i%width == 0 {
			out.WriteString(" |")
		}
		out.WriteString(" " + strconv.FormatFloat(float64(v), 'g', 6, 32))
	}
	return strings.TrimLeft(out.String(), " ")
}
