package main

import (
	"bufio"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"

	"andon/processors/drift"
)

//go:embed streams.py
var streamsScript string

// cell is a stream with drifts at known places.
type cell struct {
	Name   string `json:"-"`
	Stream string `json:"stream"`
	Period int    `json:"period"`
	Width  int    `json:"width"` // rows that a drift takes
	Drifts int    `json:"drifts"`
}

// The cells of the synthetic comparison.
var cells = []cell{
	{"SEA abrupt", "sea", 5000, 0, 10}, {"SEA gradual", "sea", 5000, 1000, 10}, {"AGRAWAL abrupt", "agrawal", 5000, 0, 10}, {"AGRAWAL gradual", "agrawal", 5000, 1000, 10},
}

// delayMost is how many rows after its end a drift may be found.
const delayMost = 1000

// course is what a contender did on one stream.
type course struct {
	rows     int
	alarms   []int
	accuracy float64
	apart    int // alarms that River's and our detector of the name do not share
}

// tally adds up courses.
type tally struct {
	f1, accuracy, delay float64
	n, hit, drifts      int
	false_, rows        int
	apart               int
}

// add counts a course: the first alarm from a drift's begin to delayMost after its end is a hit, every other one is false.
func (t *tally) add(c course, begins []int, width int) {
	hit := 0
	for _, b := range begins {
		for _, a := range c.alarms {
			if a >= b && a < b+width+delayMost {
				hit++
				t.delay += float64(a - b)
				break
			}
		}
	}
	t.f1 += 2 * float64(hit) / float64(len(c.alarms)+len(begins)) // hits + false = alarms, hits + missed = drifts
	t.accuracy += c.accuracy
	t.n, t.hit, t.drifts, t.false_, t.rows, t.apart = t.n+1, t.hit+hit, t.drifts+len(begins), t.false_+len(c.alarms)-hit, t.rows+c.rows, t.apart+c.apart
}

func (t *tally) String() string {
	if t == nil || t.n == 0 {
		return "-"
	}
	delay := "-"
	if t.hit > 0 {
		delay = fmt.Sprintf("%.0f", t.delay/float64(t.hit))
	}
	return fmt.Sprintf("%.2f / %s / %.3f / %.3f", t.f1/float64(t.n), delay, t.far(), t.accuracy/float64(t.n))
}

// far is false alarms a thousand rows.
func (t *tally) far() float64 { return 1000 * float64(t.false_) / float64(t.rows) }

// watcher is a contender of ours: it takes errors and tells of alarms.
type watcher interface{ Update(x float64) bool }

// turned gives right predictions to a detector of those.
type turned struct{ drift.Detector }

func (t turned) Update(x float64) bool { return t.Detector.Update(1 - x) }

// every fires each so many rows, whatever comes; 0 never does.
type every struct{ rows, n int }

func (e *every) Update(float64) bool {
	e.n++
	return e.rows > 0 && e.n%e.rows == 0
}

// watcherOf makes a contender of ours by its name.
func watcherOf(name string) (watcher, error) {
	switch name {
	case "panel":
		return drift.NewErrorPanel(drift.DefaultErrorPanel()), nil
	case "never":
		return &every{}, nil
	case "always":
		return &every{rows: 1}, nil
	case "each 1,000 rows":
		return &every{rows: 1000}, nil
	}
	d, err := drift.New(drift.Kind(name))
	if err != nil {
		return nil, err
	}
	if name == string(drift.KindFHDDM) {
		return turned{d}, nil
	}
	return d, nil
}

// contenders of the synthetic streams: detectors that River has, too; those that it lacks; the panel; and what needs no skill.
var (
	theirs     = []string{"adwin", "page-hinkley", "hddm-a", "hddm-w", "ddm", "eddm", "fhddm"}
	contenders = append(theirs[:len(theirs):len(theirs)], "cusum", "stepd", "seed", "kswin", "panel", "never", "always", "each 1,000 rows")
)

// riverProcess is a Python with River that answers questions; see streams.py.
type riverProcess struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startRiver(python string) (*riverProcess, error) {
	p := &riverProcess{cmd: exec.Command(python, "-c", streamsScript)}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	return p, p.cmd.Start()
}

func (p *riverProcess) close() {
	p.in.Close()
	_ = p.cmd.Wait()
}

func (p *riverProcess) ask(question map[string]any, more ...[]byte) error {
	js, err := json.Marshal(question)
	if err != nil {
		return err
	}
	for _, part := range append([][]byte{append(js, '\n')}, more...) {
		if _, err := p.in.Write(part); err != nil {
			return fmt.Errorf("ask River: %w", err)
		}
	}
	return nil
}

// rows makes a cell's rows.
func (p *riverProcess) rows(c cell, seed int) (t table, err error) {
	if err := p.ask(map[string]any{"rows": c, "seed": seed}); err != nil {
		return t, err
	}
	width := 4
	if c.Stream == "agrawal" {
		width = 10
	}
	row := make([]float64, width)
	t.classes = 2
	for range c.Period * (c.Drifts + 1) {
		if err := binary.Read(p.out, binary.LittleEndian, row); err != nil {
			return t, fmt.Errorf("read River's rows: %w", err)
		}
		t.x, t.y = append(t.x, slices.Clone(row[:width-1])), append(t.y, int(row[width-1]))
	}
	return t, nil
}

// errors returns where River's learner, which never begins anew, is wrong.
func (p *riverProcess) errors(c cell, t table) ([]byte, error) {
	var data []byte
	for i, x := range t.x {
		for _, v := range append(slices.Clone(x), float64(t.y[i])) {
			data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
		}
	}
	sent := make(chan error, 1)
	go func() {
		sent <- p.ask(map[string]any{"learner": c.Stream, "count": len(t.y), "width": len(t.x[0]) + 1}, data)
	}()
	wrong := make([]byte, len(t.y))
	_, err := io.ReadFull(p.out, wrong)
	return wrong, errors.Join(err, <-sent)
}

// check counts the places at which River's detector and ours of the name, on the same errors, are not of one mind.
func (p *riverProcess) check(name string, wrong []byte, alarms []int) (apart int, err error) {
	if err := p.ask(map[string]any{"detectors": []string{name}, "count": len(wrong)}, wrong); err != nil {
		return 0, err
	}
	var n uint32
	if err := binary.Read(p.out, binary.LittleEndian, &n); err != nil {
		return 0, fmt.Errorf("read River's alarms: %w", err)
	}
	places := make([]uint32, n)
	if err := binary.Read(p.out, binary.LittleEndian, places); err != nil {
		return 0, fmt.Errorf("read River's alarms: %w", err)
	}
	found := map[int]bool{}
	for _, a := range alarms {
		found[a] = true
	}
	for _, at := range places {
		if !found[int(at)] {
			apart++
		}
		delete(found, int(at))
	}
	return apart + len(found), nil
}

// learner is tested on each row and then taught it.
type learner interface {
	predict(x []float64) int
	learn(x []float64, class int)
}

func (c cell) learner(features int) learner {
	if c.Stream == "agrawal" {
		return newHoeffding(2, features)
	}
	return newBayes(2, features)
}

// watched lets a contender watch a learner, which begins anew at each alarm, and returns the errors, too.
func watched(t table, begin func() learner, w watcher) (c course, wrong []byte) {
	l, right := begin(), 0
	wrong = make([]byte, len(t.y))
	for i, x := range t.x {
		if l.predict(x) == t.y[i] {
			right++
		} else {
			wrong[i] = 1
		}
		l.learn(x, t.y[i])
		if w.Update(float64(wrong[i])) {
			c.alarms = append(c.alarms, i)
			l = begin()
		}
	}
	c.rows, c.accuracy = len(t.y), float64(right)/float64(len(t.y))
	return c, wrong
}

// synthetic prints the comparison and tells whether the panel reaches the best of River's in each cell without crying wolf. Rows are River's, from its generators; the learners are River's algorithms, held against
// River's own on the first seed of each cell; each detector that River has is held against River's own on the errors of its own run: what is the same at every alarm is the same run.
func synthetic(python string, from, seeds int) error {
	p, err := startRiver(python)
	if err != nil {
		return err
	}
	defer p.close()
	sums := map[string][]*tally{}
	for _, name := range contenders {
		for range cells {
			sums[name] = append(sums[name], &tally{})
		}
	}
	alike := make([]float64, len(cells))
	for i, c := range cells {
		var begins []int
		for d := range c.Drifts {
			begins = append(begins, (d+1)*c.Period)
		}
		for s := range seeds {
			t, err := p.rows(c, from+s)
			if err != nil {
				return err
			}
			begin := func() learner { return c.learner(len(t.x[0])) }
			for _, name := range contenders {
				w, err := watcherOf(name)
				if err != nil {
					return err
				}
				got, wrong := watched(t, begin, w)
				if slices.Contains(theirs, name) {
					if got.apart, err = p.check(name, wrong, got.alarms); err != nil {
						return err
					}
				}
				if name == "never" && s == 0 {
					his, err := p.errors(c, t)
					if err != nil {
						return err
					}
					for j := range his {
						if his[j] == wrong[j] {
							alike[i] += 1 / float64(len(his))
						}
					}
				}
				sums[name][i].add(got, begins, c.Width)
			}
			fmt.Fprintf(os.Stderr, "%s, seed %d\n", c.Name, from+s)
		}
	}
	fmt.Printf("%d seeds from %d, 10 drifts each, period 5,000; F1 / mean delay / false alarms per 1,000 rows / prequential accuracy\n\n| contender |", seeds, from)
	for _, c := range cells {
		fmt.Printf(" %s |", c.Name)
	}
	fmt.Printf("\n|---|%s\n", strings.Repeat("---|", len(cells)))
	best, apart := make([]float64, len(cells)), 0
	for _, name := range contenders {
		fmt.Printf("| %s |", name)
		for i, t := range sums[name] {
			fmt.Printf(" %v |", t)
			apart += t.apart
			if slices.Contains(theirs, name) {
				best[i] = max(best[i], t.f1/float64(t.n))
			}
		}
		fmt.Println()
	}
	fmt.Printf("\nAlarms at which River's detectors and ours differ on the same errors: %d. Rows on which River's learner and ours are right or wrong alike:", apart)
	for i, c := range cells {
		fmt.Printf(" %s %.2f %%;", c.Name, 100*alike[i])
	}
	fmt.Println()
	var errs []error
	if apart > 0 {
		errs = append(errs, fmt.Errorf("%d alarms differ from River's", apart))
	}
	for i, t := range sums["panel"] {
		if f1 := t.f1 / float64(t.n); f1 < best[i] || t.far() > 0.05 {
			errs = append(errs, fmt.Errorf("%s: the panel has F1 %.2f at %.3f false alarms per 1,000, River's best has %.2f", cells[i].Name, f1, t.far(), best[i]))
		}
	}
	return errors.Join(errs...)
}
