package main

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// recorded is a stream from a file, with the rows at which it is known to change.
type recorded struct {
	name   string
	files  string // a pattern below the folder; its files are counted together
	begins []int
	width  int
}

// streams are those of ../shared/data/drift, whose README says where each comes from and how its points were found. Electricity's are not known.
var streams = []recorded{
	{"INSECTS gradual", "insects_gradual_balanced.csv.gz", []int{14028}, 0},
	{"SEA, 50,000 rows", "sea_50k.csv.gz", []int{12500, 25000, 37500}, 0},
	{"Lobo abrupt, 5 streams", "lobo/*abrupto*.csv.gz", []int{10000, 20000, 30000}, 0},
	{"Lobo gradual, 5 streams", "lobo/*gradual*.csv.gz", []int{9500, 20000, 30500}, 1000},
	{"Electricity", "electricity.csv.gz", nil, 0},
}

// table is a stream in memory.
type table struct {
	x       [][]float64
	y       []int
	classes int
}

// read takes numbers as they are and words, as a class or a feature, as numbers in the order of their first use.
func read(file string) (t table, err error) {
	f, err := os.Open(file)
	if err != nil {
		return t, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return t, fmt.Errorf("%s: %w", file, err)
	}
	rows, err := csv.NewReader(z).ReadAll()
	if err != nil {
		return t, fmt.Errorf("%s: %w", file, err)
	}
	words := map[string]int{}
	classes := map[string]int{}
	for i, row := range rows[1:] {
		x := make([]float64, len(row)-1)
		for j, text := range row[:len(row)-1] {
			if x[j], err = strconv.ParseFloat(text, 64); err != nil {
				key := fmt.Sprint(j, text)
				if _, ok := words[key]; !ok {
					words[key] = len(words)
				}
				x[j] = float64(words[key])
			}
		}
		class := row[len(row)-1]
		if class == "" {
			return t, fmt.Errorf("%s: row %d has no class", file, i+1)
		}
		if _, ok := classes[class]; !ok {
			classes[class] = len(classes)
		}
		t.x, t.y = append(t.x, x), append(t.y, classes[class])
	}
	t.classes = len(classes)
	return t, nil
}

// same is the accuracy of who says that the class stays what it was.
func same(t table) float64 {
	n := 0
	for i := 1; i < len(t.y); i++ {
		if t.y[i] == t.y[i-1] {
			n++
		}
	}
	return float64(n) / float64(len(t.y))
}

// real prints the recorded streams of a folder. Detectors of ours that River has, too, find what River's find: synthetic proves it.
func real(dir string) error {
	fmt.Printf("Gaussian naive Bayes, tested on each row and then taught it, new at each alarm; F1 / mean delay / false alarms per 1,000 rows / prequential accuracy\n\n| contender |")
	var all [][]table
	for _, s := range streams {
		files, err := filepath.Glob(filepath.Join(dir, s.files))
		if err != nil {
			return err
		}
		if len(files) == 0 {
			return fmt.Errorf("there is no %s: name the folder of the streams with -streams", filepath.Join(dir, s.files))
		}
		var of []table
		for _, file := range files {
			t, err := read(file)
			if err != nil {
				return err
			}
			of = append(of, t)
		}
		all = append(all, of)
		fmt.Printf(" %s |", s.name)
	}
	fmt.Printf("\n|---|%s\n", strings.Repeat("---|", len(streams)))
	for _, name := range contenders {
		fmt.Printf("| %s |", name)
		for i, s := range streams {
			var sum tally
			for _, t := range all[i] {
				w, err := watcherOf(name)
				if err != nil {
					return err
				}
				got, _ := watched(t, func() learner { return newBayes(t.classes, len(t.x[0])) }, w)
				sum.add(got, s.begins, s.width)
			}
			if s.begins == nil {
				fmt.Printf(" %d alarms / %.3f |", sum.false_, sum.accuracy/float64(sum.n))
			} else {
				fmt.Printf(" %v |", &sum)
			}
		}
		fmt.Println()
	}
	fmt.Print("| the class before |")
	for _, of := range all {
		sum := 0.0
		for _, t := range of {
			sum += same(t)
		}
		fmt.Printf(" %.3f |", sum/float64(len(of)))
	}
	fmt.Println()
	return nil
}
