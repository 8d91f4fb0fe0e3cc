package main

import (
	"compress/gzip"
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"time"

	"andon/deploy"
	"andon/event"
)

// engine is one engine's cycles; a cycle lasts an hour.
type engine struct {
	name string
	rows []event.Row
	// left is how many cycles it had after its last row: 0 in the training part, which was run to failure.
	left float64
}

// readEngines reads a recording and, where it is named, the file of remaining lives.
func readEngines(file, lives string, signals []string) ([]engine, error) {
	table, err := readTable(file)
	if err != nil {
		return nil, err
	}
	var columns []int
	for _, s := range append([]string{"unit", "cycle"}, signals...) {
		i := slices.Index(table[0], s)
		if i < 0 {
			return nil, fmt.Errorf("%s has no column %s", file, s)
		}
		columns = append(columns, i)
	}
	var engines []engine
	start := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for n, line := range table[1:] {
		name := line[columns[0]]
		if len(engines) == 0 || engines[len(engines)-1].name != name {
			engines = append(engines, engine{name: name})
		}
		values := make([]float64, len(columns)-1)
		for i, c := range columns[1:] {
			if values[i], err = strconv.ParseFloat(line[c], 64); err != nil {
				return nil, fmt.Errorf("%s, row %d: %w", file, n+2, err)
			}
		}
		e := &engines[len(engines)-1]
		at := start.Add(time.Duration(values[0]-1) * time.Hour)
		e.rows = append(e.rows, event.Row{Asset: name, Time: at.UnixNano(), Values: values[1:]})
	}
	if lives == "" {
		return engines, nil
	}
	left, err := readTable(lives)
	if err != nil {
		return nil, err
	}
	if len(left)-1 != len(engines) {
		return nil, fmt.Errorf("%s tells of %d engines, %s of %d", lives, len(left)-1, file, len(engines))
	}
	for i := range engines {
		if engines[i].left, err = strconv.ParseFloat(left[i+1][0], 64); err != nil {
			return nil, fmt.Errorf("%s, row %d: %w", lives, i+2, err)
		}
	}
	return engines, nil
}

func readTable(file string) ([][]string, error) {
	f, err := deploy.Demo().Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	table, err := csv.NewReader(z).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return table, nil
}

// retired is a store that holds engines which failed after their last row.
type retired []engine

func (r retired) Labels(_ context.Context, pipeline, kind string) ([]event.Label, error) {
	var labels []event.Label
	for _, e := range r {
		labels = append(labels, event.Label{Pipeline: pipeline, Asset: e.name, Time: e.rows[len(e.rows)-1].Time, Kind: kind})
	}
	return labels, nil
}

func (r retired) Spans(context.Context, string, []string, int64, int64) ([]event.Span, error) {
	return nil, nil // the rows were never on a log
}

func (r retired) Readings(_ context.Context, _ string, _, _ []string, _, _ int64, f func(string, []event.Row) error) (string, error) {
	for _, e := range r {
		if err := f(e.name, e.rows); err != nil {
			return "", err
		}
	}
	return "fd001_train.csv.gz", nil
}
