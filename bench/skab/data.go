package main

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// training is how many rows of a file come before what is scored.
const training = 400

// file is an experiment: its rows of signals, row-major, and what the benchmark says of each.
type file struct {
	name             string
	times            []time.Time
	rows             [][]float64
	outlier, changes []bool
	// first tells that it is of the half by which settings were chosen: those with an even number.
	first bool
}

func load(folder string) ([]file, error) {
	names, err := filepath.Glob(filepath.Join(folder, "*", "*.csv.gz"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var all []file
	for _, name := range names {
		group := filepath.Base(filepath.Dir(name))
		if group == "anomaly-free" {
			continue
		}
		f, err := read(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		number := strings.TrimSuffix(filepath.Base(name), ".csv.gz")
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("%s: the name is no number", name)
		}
		f.name, f.first = group+"/"+number, n%2 == 0
		all = append(all, *f)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no files <group>/<number>.csv.gz; give the folder of SKAB's data with -data", folder)
	}
	return all, nil
}

func read(name string) (*file, error) {
	r, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	lines := csv.NewReader(z)
	lines.Comma = ';'
	all, err := lines.ReadAll()
	if err != nil {
		return nil, err
	}
	if len(all) <= training+1 {
		return nil, fmt.Errorf("%d rows leave none to score after %d of training", len(all)-1, training)
	}
	f := &file{}
	for i, line := range all[1:] {
		if len(line) < 4 {
			return nil, fmt.Errorf("row %d has %d columns; want a time, signals, anomaly and changepoint", i, len(line))
		}
		at, err := time.Parse(time.DateTime, line[0])
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", i, err)
		}
		numbers := make([]float64, len(line)-1)
		for j, text := range line[1:] {
			if numbers[j], err = strconv.ParseFloat(text, 64); err != nil {
				return nil, fmt.Errorf("row %d: %w", i, err)
			}
		}
		d := len(numbers) - 2
		f.times, f.rows = append(f.times, at), append(f.rows, numbers[:d:d])
		f.outlier, f.changes = append(f.outlier, numbers[d] > 0), append(f.changes, numbers[d+1] > 0)
	}
	return f, nil
}
