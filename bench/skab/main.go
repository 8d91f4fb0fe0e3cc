// Command skab scores detectors by the protocol of the Skoltech Anomaly Benchmark (Katser and Kozitsin 2020, https://github.com/waico/SKAB, "Proposed leaderboard") on the files of it that are there.
//
//	go run ./bench/skab -data ../shared/data/skab
//
// The first 400 rows of a file train, the others are scored, in their order. Outliers: F1, share of false alarms and of missed rows, over the rows of all files. Changes: a window begins at each true one and lasts
// 60 s; the first that is said within it counts by how early it is, each one outside of all windows costs; nothing said is 0, all at once is 100. Settings were chosen on the files with an even number; nothing was on the others.
package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"andon/processors/anomaly"
	"andon/processors/drift"
)

func main() {
	folder := flag.String("data", filepath.Join("..", "shared", "data", "skab"), "folder with <group>/<number>.csv.gz")
	flag.Parse()
	if err := run(*folder); err != nil {
		fmt.Fprintln(os.Stderr, "skab:", err)
		os.Exit(1)
	}
}

// contender says of each row of a file whether it is an outlier and whether it is at a change; what it says of the first 400 is not heeded.
type contender struct {
	name string
	run  func(f *file) (outlier, change []bool, err error)
}

var contenders = []contender{
	{"never", func(f *file) ([]bool, []bool, error) {
		return make([]bool, len(f.rows)), make([]bool, len(f.rows)), nil
	}},
	{"always", func(f *file) ([]bool, []bool, error) { return every(f, 1), every(f, 1), nil }},
	{"every 60 rows, blindly", func(f *file) ([]bool, []bool, error) { return every(f, 60), every(f, 60), nil }},
	{"`processors/drift` PCA, Q", residual},
	{"pipelines, `baseline`", func(f *file) ([]bool, []bool, error) { return pipelines(f, anomaly.DefaultBaseline()) }},
}

// every says something at each n-th row.
func every(f *file, n int) []bool {
	said := make([]bool, len(f.rows))
	for i := training; i < len(said); i += n {
		said[i] = true
	}
	return said
}

// residual is the reconstruction error of the mean of 30 rows by principal components that explain 85 %, against twice the highest in training; a change is where that begins or ends, as it is for the published ones.
func residual(f *file) (outlier, change []bool, err error) {
	const smooth, share, margin = 30, 0.85, 2
	signals := len(f.rows[0])
	means, all := make([][]float64, len(f.rows)), []float64(nil)
	for i := smooth - 1; i < len(f.rows); i++ {
		means[i] = make([]float64, signals)
		for _, r := range f.rows[i+1-smooth : i+1] {
			for j, x := range r {
				means[i][j] += x / smooth
			}
		}
		if i < training {
			all = append(all, means[i]...)
		}
	}
	p, err := drift.FitPCA(all, signals, share, drift.DefaultChunks)
	if err != nil {
		return nil, nil, err
	}
	limit := 0.0
	outlier, change = make([]bool, len(f.rows)), make([]bool, len(f.rows))
	for i := smooth - 1; i < len(f.rows); i++ {
		e := p.Error(means[i])
		if i < training {
			limit = math.Max(limit, margin*e)
			continue
		}
		outlier[i] = e > limit
		change[i] = outlier[i] != outlier[i-1]
	}
	return outlier, change, nil
}

func run(folder string) error {
	all, err := load(folder)
	if err != nil {
		return err
	}
	type result struct {
		rows    counts
		changes changes
	}
	results := make([][3]result, len(contenders)) // all, first half, other half
	for k, c := range contenders {
		for i := range all {
			f := &all[i]
			outlier, change, err := c.run(f)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", f.name, c.name, err)
			}
			half := 2
			if f.first {
				half = 1
			}
			for _, h := range []int{0, half} {
				r := &results[k][h]
				r.rows.add(f.outlier[training:], outlier[training:])
				r.changes.add(f.times[training:], f.changes[training:], change[training:])
			}
		}
	}
	fmt.Printf("%d files, %d changes\n\n| outliers | F1 | FAR %% | MAR %% | first half: F1, FAR, MAR | other half |\n|---|---|---|---|---|---|\n", len(all), results[0][0].changes.windows)
	for k, c := range contenders {
		fmt.Printf("| %s |", c.name)
		for h := range results[k] {
			r := &results[k][h].rows
			format := " %.3f, %.1f, %.1f |"
			if h == 0 {
				format = " %.3f | %.1f | %.1f |"
			}
			fmt.Printf(format, r.f1(), r.far(), r.mar())
		}
		fmt.Println()
	}
	fmt.Print("\n| changes | standard | low FP | low FN | missed | false | first half: standard, low FP | other half |\n|---|---|---|---|---|---|---|---|\n")
	for k, c := range contenders {
		r := &results[k][0].changes
		fmt.Printf("| %s | %.1f | %.1f | %.1f | %d | %d |", c.name, r.nab(profiles[0]), r.nab(profiles[1]), r.nab(profiles[2]), r.missed, r.falsely)
		for h := 1; h <= 2; h++ {
			fmt.Printf(" %.1f, %.1f |", results[k][h].changes.nab(profiles[0]), results[k][h].changes.nab(profiles[1]))
		}
		fmt.Println()
	}
	return nil
}
