package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"andon/processors/drift"
)

//go:embed evidently.py
var evidentlyScript string

const evidently = "evidently==0.7.23"

const (
	// referenceSize rows a feature are learned from, once.
	referenceSize = 100_000
	// banks are columns of lots that features share, each moved and stretched in its own way: making a thousand millions of lots would take longer than all else.
	banks = 16
)

// report times a report of how far each of many features is from its reference, beside Evidently's on smaller tables, whose time is scaled by rows and by features.
func report(features, rows int, env string) error {
	r := rand.New(rand.NewPCG(1, 1))
	lots := make([][]float64, banks)
	for b := range lots {
		lots[b] = make([]float64, max(rows, referenceSize))
		for i := range lots[b] {
			lots[b][i] = r.NormFloat64()
		}
	}
	references := make([]*drift.Reference, features)
	each := func(f func(feature int) error) (wall time.Duration, used int64, err error) {
		begun, before := time.Now(), cpu()
		var next atomic.Int64
		errs := make([]error, runtime.GOMAXPROCS(0))
		var wg sync.WaitGroup
		for w := range errs {
			wg.Go(func() {
				for k := int(next.Add(1)) - 1; k < features && errs[w] == nil; k = int(next.Add(1)) - 1 {
					errs[w] = f(k)
				}
			})
		}
		wg.Wait()
		for _, e := range errs {
			if e != nil {
				err = e
			}
		}
		return time.Since(begun), cpu() - before, err
	}
	value := func(k int, x float64) float64 { return float64(k) + x*float64(1+k%7) }
	wall, used, err := each(func(k int) error {
		values := make([]float64, referenceSize)
		for i, x := range lots[k%banks][:referenceSize] {
			values[i] = value(k, x)
		}
		ref, err := drift.NewReference(values, drift.DefaultBins)
		references[k] = ref
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("%d features, reference of %d rows, learned once: %.1f s of CPU, %.1f s on %d cores\n", features, referenceSize, float64(used)/1e9, wall.Seconds(), runtime.GOMAXPROCS(0))
	moved := make([]drift.Distance, features)
	wall, used, err = each(func(k int) error {
		w, by := references[k].NewWindow(), 0.
		if k%10 == 0 { // every tenth has moved by half a deviation
			by = .5
		}
		for _, x := range lots[(k+1)%banks][:rows] {
			w.Add(value(k, x+by))
		}
		moved[k] = w.Distance()
		return nil
	})
	if err != nil {
		return err
	}
	right := 0
	for k, d := range moved {
		if (d.KS >= .1) == (k%10 == 0) {
			right++
		}
	}
	fmt.Printf("%d features, %d rows, counted and compared by seven distances: **%.1f s of CPU, %.1f s on %d cores** (%.1f ns a value); told right which have moved: %d of %d\n", features, rows, float64(used)/1e9,
		wall.Seconds(), runtime.GOMAXPROCS(0), float64(used)/float64(features)/float64(rows), right, features)
	if right < features {
		return fmt.Errorf("%d of %d features are told wrong", features-right, features)
	}
	python := filepath.Join(env, "bin", "python")
	if exec.Command(python, "-c", "import evidently").Run() != nil {
		fmt.Fprintln(os.Stderr, "making a Python environment with", evidently, "in", env)
		for _, c := range [][]string{{"python3", "-m", "venv", env}, {python, "-m", "pip", "install", "--quiet", evidently, "pandas<2.3"}} {
			if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s: %w: %s", errNoRiver, strings.Join(c, " "), err, bytes.TrimSpace(out))
			}
		}
	}
	cmd := exec.Command(python, "-W", "ignore", "-c", evidentlyScript)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "DO_NOT_TRACK=1")
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("run Evidently: %w", err)
	}
	var his struct {
		Version string
		Runs    []struct {
			Features, Rows int
			CPU            float64
		}
	}
	if err := json.Unmarshal(out[max(0, bytes.IndexByte(out, '{')):], &his); err != nil {
		return err
	}
	fmt.Printf("\nEvidently %s, DataDriftPreset, reference and current of as many rows\n\n| features | rows | CPU s | µs a value | scaled to %d x %d, hours |\n|---|---|---|---|---|\n", his.Version, features, rows)
	for _, x := range his.Runs {
		a := x.CPU / float64(x.Features) / float64(x.Rows)
		fmt.Printf("| %d | %d | %.1f | %.2f | %.2f |\n", x.Features, x.Rows, x.CPU, 1e6*a, a*float64(features)*float64(rows)/3600)
	}
	return nil
}
