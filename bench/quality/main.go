// Command quality sets Andon's drift detectors beside those of River (https://riverml.xyz, from PyPI) in one run: where they find drift in the same numbers, what an update costs, and how well each, and the
// panel of them, finds drifts of known places.
//
//	go run ./bench/quality                     the same numbers; makes a Python environment in .cache/river the first time
//	go run ./bench/quality -part synthetic     SEA and AGRAWAL, abrupt and gradual
//	go run ./bench/quality -part recorded -streams DIR
//	go run ./bench/quality -part watch         how often the watch of windows cries wolf, and how soon it finds what was planted, beside tests of batches
//	go run ./bench/quality -part report        1,000 features of a million rows against their references; makes a Python environment with Evidently in .cache/evidently
//	go run ./bench/quality -part cbpe          estimated performance beside NannyML's; makes a Python environment in .cache/nannyml
//
// It ends with 1 if a detector that should agree does not, or the panel misses its goal, and with 3 where Python or River is not to be had.
package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"andon/processors/drift"
)

//go:embed river.py
var script string

const river = "river==0.26.1"

var errNoRiver = errors.New("no Python with River here")

func main() {
	n := flag.Int("n", 500_000, "numbers")
	rounds := flag.Int("rounds", 3, "rounds, in turns; the median is printed")
	env := flag.String("env", filepath.Join(".cache", "river"), "Python environment with River; made if it is not there")
	part := flag.String("part", "parity", "parity, synthetic, recorded, watch, report or cbpe")
	from := flag.Int("seed", 1, "first seed of the synthetic streams")
	seeds := flag.Int("seeds", 2, "seeds of the synthetic streams")
	streams := flag.Int("watched", 20, "streams of each kind for -part watch")
	features := flag.Int("features", 1000, "features of -part report")
	rows := flag.Int("rows", 1_000_000, "rows of -part report")
	evident := flag.String("evidently", filepath.Join(".cache", "evidently"), "Python environment with Evidently; made if it is not there")
	nanny := flag.String("nannyml", filepath.Join(".cache", "nannyml"), "Python environment with NannyML; made if it is not there")
	folder := flag.String("streams", filepath.Join("..", "shared", "data", "drift"), "folder of the recorded streams")
	flag.Parse()
	var err error
	switch *part {
	case "parity":
		err = run(*n, *rounds, *env)
	case "synthetic":
		var python string
		if python, err = environment(*env); err == nil {
			err = synthetic(python, *from, *seeds)
		}
	case "recorded":
		err = real(*folder)
	case "watch":
		err = watchPart(uint64(*from), *streams)
	case "report":
		err = report(*features, *rows, *evident)
	case "cbpe":
		err = estimated(*nanny)
	default:
		err = fmt.Errorf("-part %q is not one of parity, synthetic, recorded, watch, report, cbpe", *part)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "quality:", err)
		if errors.Is(err, errNoRiver) {
			os.Exit(3)
		}
		os.Exit(1)
	}
}

type answer struct {
	Version     string
	Nanoseconds map[string]float64
	Found       map[string][]int
}

func run(n, rounds int, env string) error {
	python, err := environment(env)
	if err != nil {
		return err
	}
	x := errorsOf(n)
	var peer answer
	theirs, ours := map[string][]float64{}, map[string][]float64{}
	found := map[string][]int{}
	for range rounds {
		if peer, err = ask(python, x); err != nil {
			return err
		}
		for name, ns := range peer.Nanoseconds {
			theirs[name] = append(theirs[name], ns)
			mine, at, err := measure(drift.Kind(name), x)
			if err != nil {
				return err
			}
			ours[name], found[name] = append(ours[name], mine), at
		}
	}
	fmt.Printf("%d errors, their rate changing every 20,000; medians of %d rounds; River %s\n\n", n, rounds, peer.Version)
	fmt.Println("| detector | Andon ns an update | River ns | ratio | drifts found | as River |\n|---|---|---|---|---|---|")
	var apart []string
	for _, name := range slices.Sorted(maps.Keys(theirs)) {
		same := "the same"
		switch {
		case name == string(drift.KindKSWIN):
			same = "draws other lots"
		case !slices.Equal(found[name], peer.Found[name]):
			same = fmt.Sprintf("no: River found %d", len(peer.Found[name]))
			apart = append(apart, name)
		}
		mine, his := median(ours[name]), median(theirs[name])
		fmt.Printf("| %s | %.1f | %.0f | %.0f | %d | %s |\n", name, mine, his, his/mine, len(found[name]), same)
	}
	if len(apart) > 0 {
		return fmt.Errorf("%s find other drifts than River", strings.Join(apart, ", "))
	}
	return nil
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// environment returns a Python that has River.
func environment(dir string) (string, error) {
	python := filepath.Join(dir, "bin", "python")
	if exec.Command(python, "-c", "import river").Run() == nil {
		return python, nil
	}
	fmt.Fprintln(os.Stderr, "making a Python environment with", river, "in", dir)
	for _, c := range [][]string{{"python3", "-m", "venv", dir}, {python, "-m", "pip", "install", "--quiet", river}} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w: %s: %w: %s", errNoRiver, strings.Join(c, " "), err, bytes.TrimSpace(out))
		}
	}
	return python, nil
}

// errorsOf makes n errors whose rate changes every 20,000.
func errorsOf(n int) []float64 {
	r := rand.New(rand.NewPCG(1, 2))
	rates := []float64{.1, .3, .15, .4, .2}
	x := make([]float64, n)
	for i := range x {
		if r.Float64() < rates[i/20_000%len(rates)] {
			x[i] = 1
		}
	}
	return x
}

func ask(python string, x []float64) (answer, error) {
	var in bytes.Buffer
	for _, v := range x {
		fmt.Fprintln(&in, v)
	}
	cmd := exec.Command(python, "-c", script)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return answer{}, fmt.Errorf("run River: %w", err)
	}
	var a answer
	return a, json.Unmarshal(out, &a)
}

// measure returns the CPU time of an update, as River's is measured: this process's, over as many numbers.
func measure(kind drift.Kind, x []float64) (ns float64, found []int, err error) {
	d, err := drift.New(kind)
	if err != nil {
		return 0, nil, err
	}
	if kind == drift.KindKSWIN {
		x = x[:len(x)/50]
	}
	found = []int{}
	begun := cpu()
	for i, v := range x {
		if d.Update(v) {
			found = append(found, i)
		}
	}
	return float64(cpu()-begun) / float64(len(x)), found, nil
}

// cpu returns this process's CPU time in nanoseconds.
func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
