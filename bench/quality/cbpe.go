package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"andon/processors/drift"
)

//go:embed cbpe.py
var cbpeScript string

const nannyml = "nannyml==0.13.1"

// judged is a classifier's answer and the truth.
type judged struct {
	score float64
	truth bool
}

// shifts are classifiers and what becomes of the rows after the reference: by how much the mean of what they see moves, and how the score lies beside the true probability.
var shifts = []struct {
	name  string
	move  float64
	score func(p float64) float64
}{
	{"calibrated, no shift", 0, func(p float64) float64 { return p }},
	{"calibrated, rows move", 1, func(p float64) float64 { return p }},
	{"too sure, rows move", 1, func(p float64) float64 { return 1 / (1 + math.Exp(-3*math.Log(p/(1-p)))) }},
	{"shy and skewed, rows move back", -1, func(p float64) float64 { return 0.2 + 0.6*p*p }},
}

const (
	cbpeReference = 20_000
	cbpeChunk     = 2_000
	cbpeLater     = 20_000
	cbpeNear      = 0.01
)

// estimated sets our estimate of a classifier's performance beside NannyML's, chunk by chunk, and both beside what came true.
func estimated(env string) error {
	python := filepath.Join(env, "bin", "python")
	if exec.Command(python, "-c", "import nannyml").Run() != nil {
		fmt.Fprintln(os.Stderr, "making a Python environment with", nannyml, "in", env)
		// It imports statsmodels and does not ask for it; that works with pandas before version 3.
		for _, c := range [][]string{{"python3", "-m", "venv", env}, {python, "-m", "pip", "install", "--quiet", nannyml, "statsmodels==0.14.5", "pandas<2.3"}} {
			if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s: %w: %s", errNoRiver, strings.Join(c, " "), err, bytes.TrimSpace(out))
			}
		}
	}
	metrics := []string{"accuracy", "f1", "roc_auc"}
	fmt.Printf("%d reference rows, then %d in chunks of %d; the largest difference in a chunk between our estimate and NannyML's, and in brackets between ours and what came true\n\n| classifier |", cbpeReference, cbpeLater, cbpeChunk)
	for _, m := range metrics {
		fmt.Printf(" %s |", m)
	}
	fmt.Printf("\n|---|%s\n", strings.Repeat("---|", len(metrics)))
	var errs []error
	for k, s := range shifts {
		rows := judgedRows(uint64(k), s.move, s.score)
		his, err := askNanny(python, rows)
		if err != nil {
			return err
		}
		scores, yes := make([]float64, cbpeReference), make([]bool, cbpeReference)
		for i, r := range rows[:cbpeReference] {
			scores[i], yes[i] = r.score, r.truth
		}
		curve := drift.Calibrate(scores, yes, 0)
		fmt.Printf("| %s |", s.name)
		for _, m := range metrics {
			off, wrong := 0.0, 0.0
			for c := range cbpeLater / cbpeChunk {
				chunk := rows[cbpeReference+c*cbpeChunk:][:cbpeChunk]
				mine, came, err := ours(chunk, &curve)
				if err != nil {
					return err
				}
				off, wrong = max(off, math.Abs(mine[m]-his[m][c])), max(wrong, math.Abs(mine[m]-came[m]))
			}
			fmt.Printf(" %.4f (%.3f) |", off, wrong)
			if !(off <= cbpeNear) {
				errs = append(errs, fmt.Errorf("%s: %s is %.4f off NannyML's", s.name, m, off))
			}
		}
		fmt.Println()
	}
	return errors.Join(errs...)
}

// judgedRows makes rows whose true probability is a logistic of what is seen.
func judgedRows(seed uint64, move float64, score func(float64) float64) (rows []judged) {
	r := rand.New(rand.NewPCG(seed, 42))
	for i := range cbpeReference + cbpeLater {
		x := r.NormFloat64()
		if i >= cbpeReference {
			x += move * float64(i-cbpeReference) / cbpeLater
		}
		p := 1 / (1 + math.Exp(-1.5*x))
		rows = append(rows, judged{score(p), r.Float64() < p})
	}
	return rows
}

func askNanny(python string, rows []judged) (map[string][]float64, error) {
	var in bytes.Buffer
	fmt.Fprintf(&in, `{"reference": %d, "chunk": %d}`+"\n", cbpeReference, cbpeChunk)
	bit := map[bool]int{true: 1}
	for _, r := range rows {
		fmt.Fprintln(&in, r.score, bit[r.score >= 0.5], bit[r.truth])
	}
	cmd := exec.Command(python, "-W", "ignore", "-c", cbpeScript)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	cmd.Env = append(os.Environ(), "NML_DISABLE_USAGE_LOGGING=true") // it would tell its makers
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run NannyML: %w", err)
	}
	var said struct {
		Estimates map[string][]float64 `json:"estimates"`
	}
	return said.Estimates, json.Unmarshal(out[max(0, bytes.IndexByte(out, '{')):], &said)
}

// ours returns our estimate for a chunk, and what came true.
func ours(chunk []judged, curve *drift.Isotonic) (mine, came map[string]float64, err error) {
	scores, calibrated, truth := make([]float64, len(chunk)), make([]float64, len(chunk)), make([]float64, len(chunk))
	for i, r := range chunk {
		scores[i], calibrated[i] = r.score, curve.At(r.score)
		if r.truth {
			truth[i] = 1
		}
	}
	tell := func(probabilities []float64) (map[string]float64, error) {
		p, err := drift.CBPE(scores, probabilities, 0.5)
		return map[string]float64{"accuracy": p.Accuracy, "f1": p.F1, "roc_auc": p.ROCAUC}, err
	}
	if mine, err = tell(calibrated); err != nil {
		return nil, nil, err
	}
	came, err = tell(truth) // the truth is a probability of 0 or 1
	return mine, came, err
}
