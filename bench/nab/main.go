// Command nab scores detectors of anomalies by the protocol of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015, Evaluating Real-time Anomaly Detection Algorithms) on the files of it that are there.
//
//	go run ./bench/nab -data ../shared/data/nab
//	go run ./bench/nab -data WHOLE -known ../shared/data/nab
//
// Detectors run strictly online; the first 15 % of a file (at most 750 values) are not scored. The first detection within a window counts by how early it is, each one outside costs; a detector that says nothing
// has 0, a perfect one 100. As the benchmark does, one threshold is chosen for all files of a row. "fixed" is the standard score with the detector's own threshold instead, which is what an operator gets. "pipeline" is what a
// pipeline with the section `detector` gives: records' rows go through processors.Line, slots and all (line.go), by its settings alone. The first half is every second file of those in -known (without it, of all), on which the
// settings of surprise were chosen; nothing was chosen on the other half, nor on the rest: the files of -data that are not in -known.
package main

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	folder := flag.String("data", filepath.Join("..", "shared", "data", "nab"), "folder with data, combined_windows.json")
	known := flag.String("known", "", "folder like data, with the files by whose halves settings were chosen and tried; empty: data itself")
	flag.Parse()
	if err := run(*folder, *known); err != nil {
		fmt.Fprintln(os.Stderr, "nab:", err)
		os.Exit(1)
	}
}

// series is one file.
type series struct {
	name    string
	values  []float64
	times   []time.Time
	windows [][2]int // first and last index
	// probation is how many values are not scored.
	probation int
}

func load(folder string) ([]series, error) {
	text, err := os.ReadFile(filepath.Join(folder, "combined_windows.json"))
	if err != nil {
		return nil, err
	}
	var windows map[string][][2]string
	if err := json.Unmarshal(text, &windows); err != nil {
		return nil, fmt.Errorf("combined_windows.json: %w", err)
	}
	var all []series
	for name, of := range windows {
		s, err := read(filepath.Join(folder, "data", name+".gz"), of)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s.name = name
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b series) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

func read(file string, windows [][2]string) (*series, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(z).ReadAll()
	if err != nil {
		return nil, err
	}
	s := &series{}
	var times []string
	for _, r := range rows[1:] {
		x, err := strconv.ParseFloat(r[1], 64)
		if err != nil {
			return nil, err
		}
		at, err := time.Parse(time.DateTime, r[0])
		if err != nil {
			return nil, err
		}
		s.values, s.times, times = append(s.values, x), append(s.times, at), append(times, r[0])
	}
	for _, w := range windows {
		var at [2]int
		for i, text := range w {
			text, _, _ = strings.Cut(text, ".")
			at[i] = slices.Index(times, text)
			if at[i] < 0 {
				return nil, fmt.Errorf("no row of %s", text)
			}
		}
		s.windows = append(s.windows, at)
	}
	s.probation = int(0.15 * float64(min(len(s.values), 5000)))
	return s, nil
}

// profile is what a false detection and a missed window cost; an early detection brings 1.
type profile struct{ falsely, missed float64 }

var profiles = []profile{{0.11, 1}, {0.22, 1}, {0.11, 2}} // standard, reward_low_FP_rate, reward_low_FN_rate

// sigmoid is what a detection is worth at a place: -1 is a window's begin, 0 its end, above it is after it, in window lengths.
func sigmoid(x float64) float64 {
	if x > 3 {
		return -1
	}
	return 2/(1+math.Exp(5*x)) - 1
}

// points are a file's at a threshold.
func (s *series) points(scores []float64, threshold float64, p profile) float64 {
	total, best := 0.0, math.Inf(-1)
	w, before := 0, [2]int{-1, -1}
	leave := func() {
		if math.IsInf(best, -1) {
			total -= p.missed
		} else {
			total += best
		}
		before, best = s.windows[w], math.Inf(-1)
		w++
	}
	for i := range scores {
		for w < len(s.windows) && i > s.windows[w][1] {
			leave()
		}
		switch {
		case i < s.probation || scores[i] < threshold:
		case w < len(s.windows) && i >= s.windows[w][0]:
			from, to := s.windows[w][0], s.windows[w][1]
			best = max(best, sigmoid(-float64(to-i+1)/float64(to-from+1))/sigmoid(-1))
		case before[1] < 0:
			total -= p.falsely
		default:
			total += p.falsely * sigmoid(float64(i-before[1])/float64(before[1]-before[0]))
		}
	}
	for w < len(s.windows) {
		leave()
	}
	return total
}

// score is that of many files at a threshold, 0 for nothing said and 100 for all at once.
func score(all []series, scores [][]float64, threshold float64, p profile) float64 {
	sum, windows := 0.0, 0.0
	for i := range all {
		sum += all[i].points(scores[i], threshold, p)
		windows += float64(len(all[i].windows))
	}
	return 100 * (sum + p.missed*windows) / (windows * (1 + p.missed))
}

// best is the score at the threshold that suits all files best.
func best(all []series, scores [][]float64, p profile) float64 {
	var levels []float64
	for i := range all {
		levels = append(levels, scores[i][all[i].probation:]...)
	}
	slices.Sort(levels)
	levels = slices.Compact(levels)
	most := score(all, scores, math.Inf(1), p)
	for k := 1; k <= len(levels); k += 1 + k/400 {
		most = max(most, score(all, scores, levels[len(levels)-k], p))
	}
	return most
}

// contender is a detector: it makes the scores of a file, and says from which on it would alarm; NaN where it does not.
type contender struct {
	name  string
	alarm float64
	run   func(s *series) ([]float64, error)
}

var contenders = []contender{
	{"never", math.Inf(1), func(s *series) ([]float64, error) { return make([]float64, len(s.values)), nil }},
	{"always", 0, func(s *series) ([]float64, error) { return make([]float64, len(s.values)), nil }},
	{"windowed Gaussian", math.NaN(), gaussian},
	{"pipeline, `surprise`", 1, lined},
}

// gaussian is the benchmark's own baseline, by its description: the tail of a normal distribution of the last 6,400 values, which is made anew every hundred.
func gaussian(s *series) ([]float64, error) {
	const size, step = 6400, 100
	out := make([]float64, len(s.values))
	var window, wait []float64
	mean, sd := 0.0, 0.0
	fit := func() {
		mean, sd = 0, 0
		for _, x := range window {
			mean += x / float64(len(window))
		}
		for _, x := range window {
			sd += (x - mean) * (x - mean) / float64(len(window))
		}
		sd = max(math.Sqrt(sd), 1e-6)
	}
	for i, x := range s.values {
		if len(window) > 0 {
			out[i] = 1 - math.Erfc(math.Abs(x-mean)/sd/math.Sqrt2)/2
		}
		if len(window) < size {
			window = append(window, x)
			fit()
		} else if wait = append(wait, x); len(wait) == step {
			window, wait = append(window[step:], wait...), wait[:0]
			fit()
		}
	}
	return out, nil
}

func run(folder, known string) error {
	all, err := load(folder)
	if err != nil {
		return err
	}
	chosen := all
	if known != "" {
		if chosen, err = load(known); err != nil {
			return err
		}
	}
	// part is 0 for the first half, 1 for the other, 2 for the rest.
	part := map[string]int{}
	for i := range all {
		part[all[i].name] = 2
	}
	for i := range chosen {
		part[chosen[i].name] = i % 2
	}
	windows, rows, files := 0, 0, [3]int{}
	for i := range all {
		windows, rows = windows+len(all[i].windows), rows+len(all[i].values)
		files[part[all[i].name]]++
	}
	fmt.Printf("%d files, %d windows; %d in the first half, %d in the other, %d in the rest\n\n| detector | standard | low FP | low FN | fixed | first half | other half | rest | fixed: first half, other half, rest |\n|---|---|---|---|---|---|---|---|---|\n",
		len(all), windows, files[0], files[1], files[2])
	for _, c := range contenders {
		scores := make([][]float64, len(all))
		begun := time.Now()
		for i := range all {
			if scores[i], err = c.run(&all[i]); err != nil {
				return fmt.Errorf("%s: %s: %w", c.name, all[i].name, err)
			}
		}
		took := time.Since(begun)
		var parts [3][]series
		var of [3][][]float64
		for i := range all {
			k := part[all[i].name]
			parts[k], of[k] = append(parts[k], all[i]), append(of[k], scores[i])
		}
		cell := func(set []series, scores [][]float64, p profile, fixed bool) string {
			switch {
			case len(set) == 0 || fixed && math.IsNaN(c.alarm):
				return "–"
			case fixed || c.name == "always": // a threshold that says nothing would save it
				return fmt.Sprintf("%.1f", score(set, scores, c.alarm, p))
			}
			return fmt.Sprintf("%.1f", best(set, scores, p))
		}
		cells := []string{c.name}
		for _, p := range profiles {
			cells = append(cells, cell(all, scores, p, false))
		}
		cells = append(cells, cell(all, scores, profiles[0], true))
		var fixed []string
		for k := range parts {
			cells = append(cells, cell(parts[k], of[k], profiles[0], false))
			fixed = append(fixed, cell(parts[k], of[k], profiles[0], true))
		}
		fmt.Printf("| %s | %s |\n", strings.Join(cells, " | "), strings.Join(fixed, ", "))
		if c.name == contenders[len(contenders)-1].name {
			fmt.Printf("\n%d rows in %v by the pipeline, one after the other\n", rows, took.Round(time.Millisecond))
		}
	}
	return nil
}
