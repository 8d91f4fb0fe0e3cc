// Command vision measures the classifier of crops on photos of surface defects, through the trainer's own loop and the exported ONNX file.
//
//	go run ./bench/vision                      steel strips (NEU), two seeds
//	go run ./bench/vision -set tiles           magnetic tiles
//	go run ./bench/vision -set worker          a detector of helmet and vest, from 71 frames, as a pipeline trains it
//	go run ./bench/vision -set visitors        a classifier of frames with somebody in them
//	go run ./bench/vision -run missed          a defect that the model misses and a person marks, with the real program: how long until a challenger is judged
//	go run ./bench/vision -val                 judge by the validation part, for choosing hyperparameters: the held-out third is not looked at
//
// Protocol: a third of every class is held out, whole blocks of ten neighbouring numbers of the steel photos (they can be of the same strip), whole pieces of
// the tiles (each was photographed up to six times). Of the rest, a sixth, drawn in the same way, stops the training; nothing is chosen by the held-out
// third. Every seed draws its own split and its own start.
package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"andon/model/ort"
	"andon/trainer/fit"
)

func main() {
	data := flag.String("data", filepath.Join("..", "shared", "data"), "folder with defects_neu_det and defects_magnetic_tile")
	set := flag.String("set", "steel", "steel or tiles; worker or visitors, videos that are learned from as a pipeline does")
	seeds := flag.Int("seeds", 2, "trainings, each with its own split")
	side := flag.Int("side", 64, "photos are scaled to squares of so many pixels")
	stages := flag.String("stages", "16,32,64,128", "channels of the network's stages")
	blocks := flag.Int("blocks", 0, "residual blocks a stage")
	epochs := flag.Int("epochs", 60, "epochs at most")
	patience := flag.Int("patience", 20, "epochs without a better validation loss that end a training")
	rate := flag.Float64("rate", 0.003, "highest learning rate")
	shards := flag.Int("shards", 2, "parts of a batch that are learned from at the same time")
	average := flag.Bool("average", true, "the exported file looks at a photo in all ways that it may lie")
	val := flag.Bool("val", false, "judge by the validation part")
	do := flag.String("run", "", "missed: what becomes of a missed defect; empty: trainings")
	m := missed{}
	flag.StringVar(&m.binary, "andon", filepath.Join("bin", "andon"), "of missed: the program")
	flag.StringVar(&m.dir, "dir", "", "of missed: where the appliance keeps its data; empty: a folder that is removed")
	flag.StringVar(&m.class, "class", "scratches", "of missed: the class that comes later")
	flag.IntVar(&m.marked, "marked", 80, "of missed: how many of its photos a person marks")
	flag.IntVar(&m.retrain, "retrain", 20, "of missed: epochs of a training")
	flag.BoolVar(&m.keep, "keep", false, "of missed: go on until interrupted, to look at the page")
	verbose := flag.Bool("v", false, "tell of every epoch")
	lib := flag.String("lib", filepath.Join("lib", "libonnxruntime.so"), "ONNX Runtime")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *do != "" {
		m.data = *data
		err := fmt.Errorf("-run %s: there is missed", *do)
		if *do == "missed" {
			if err = ort.Open(*lib); err == nil {
				err = m.run(ctx)
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "vision:", err)
			os.Exit(1)
		}
		return
	}
	b := bench{average: *average, side: *side, blocks: *blocks, val: *val, verbose: *verbose, config: fit.Config{Epochs: *epochs, Batch: 32, LearningRate: *rate, Decay: 0.05,
		Clip: 1, Dropout: 0.2, Average: 0.98, Patience: *patience, Shards: *shards}}
	if err := b.run(ctx, *data, *set, *lib, *stages, *seeds); err != nil {
		fmt.Fprintln(os.Stderr, "vision:", err)
		os.Exit(1)
	}
}

type bench struct {
	side, blocks int
	stages       []int
	// average has the exported file look at a photo in all ways that it may lie.
	average      bool
	val, verbose bool
	config       fit.Config
}

func (b *bench) run(ctx context.Context, data, set, lib, stages string, seeds int) error {
	for _, s := range strings.Split(stages, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("-stages: %w", err)
		}
		b.stages = append(b.stages, n)
	}
	if set == "worker" || set == "visitors" {
		if err := ort.Open(lib); err != nil {
			return err
		}
		return b.film(ctx, data, set)
	}
	read := map[string]func(dir string, side int) (*album, error){"steel": steel, "tiles": tiles}[set]
	if read == nil {
		return fmt.Errorf("-set %s: there are steel, tiles, worker and visitors", set)
	}
	a, err := read(data, b.side)
	if err != nil {
		return err
	}
	if err := ort.Open(lib); err != nil {
		return err
	}
	fmt.Printf("%s: %d photos of %d classes, scaled to %d x %d; %s\n", set, a.crops.Len(), len(a.classes), b.side, b.side, load())
	all := newTable(a.classes)
	var accuracy, f1, wall, cpu []float64
	for seed := range uint64(seeds) {
		r, err := b.trial(ctx, a, seed+1)
		if err != nil {
			return err
		}
		fmt.Printf("seed %d: accuracy %.2f %% of %d, macro F1 %.2f %%; %d epochs, the best %d, %.0f steps/s; training %.1f s, CPU %.1f s; %s\n", seed+1, 100*r.table.accuracy(), r.table.total(),
			100*r.table.f1(), r.epochs, r.epoch, float64(r.steps)/r.wall.Seconds(), r.wall.Seconds(), r.cpu.Seconds(), load())
		all.add(r.table)
		accuracy, f1 = append(accuracy, 100*r.table.accuracy()), append(f1, 100*r.table.f1())
		wall, cpu = append(wall, r.wall.Seconds()), append(cpu, r.cpu.Seconds())
	}
	for _, m := range []struct {
		name string
		x    []float64
	}{{"accuracy %", accuracy}, {"macro F1 %", f1}, {"training s", wall}, {"training CPU s", cpu}} {
		mean, sd := moments(m.x)
		fmt.Printf("%s: %.2f ± %.2f\n", m.name, mean, sd)
	}
	all.print(os.Stdout)
	return nil
}

func moments(x []float64) (mean, sd float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		sd += (v - mean) * (v - mean) / float64(max(len(x)-1, 1))
	}
	return mean, math.Sqrt(sd)
}

type result struct {
	table                *table
	epoch, epochs, steps int
	wall, cpu            time.Duration
}

// trial trains on two thirds and judges the exported file on the third.
func (b *bench) trial(ctx context.Context, a *album, seed uint64) (*result, error) {
	rest, held := a.crops.Split(1.0/3, seed)
	train, val := rest.Split(1.0/6, seed+1000)
	if b.val {
		held = val
	}
	train.Balance = true
	train.Augment = fit.Augment{Flip: true, Turn: true, Shift: b.side / 16, Brightness: 0.1, Contrast: 0.2}
	net := fit.Classifier{Channels: 1, Height: b.side, Width: b.side, Classes: a.classes, Stages: b.stages, Blocks: b.blocks}
	net.Center, net.Spread = train.Scale()
	c := b.config
	c.Seed = seed
	began, spent := time.Now(), cpuTime()
	t, err := fit.TrainClassifier(ctx, net, c, train, val, func(p fit.Progress) {
		if b.verbose {
			fmt.Printf("  epoch %d: loss %.4f, validation %.4f, %.0f crops/s\n", p.Epoch, p.Loss, p.ValLoss, p.RowsPerSecond)
		}
	})
	if err != nil {
		return nil, err
	}
	r := &result{table: newTable(a.classes), epoch: t.Epoch, epochs: t.Epochs, steps: t.Steps, wall: time.Since(began), cpu: cpuTime() - spent}
	var ways fit.Augment
	if b.average {
		ways = train.Augment
	}
	file, err := t.ExportAveraged(ways)
	if err != nil {
		return nil, err
	}
	return r, judge(file, held, r.table)
}

// judge runs an exported classifier on crops and counts its answers.
func judge(file []byte, set *fit.Crops, t *table) error {
	s, err := ort.NewSession(file, ort.Options{Inputs: []string{fit.Frame}, Outputs: []string{fit.Probabilities}})
	if err != nil {
		return err
	}
	defer s.Close()
	frame, err := ort.NewTensor[float32](1, int64(set.Channels), int64(set.Height), int64(set.Width))
	if err != nil {
		return err
	}
	defer frame.Close()
	said, err := ort.NewTensor[float32](1, int64(len(t.classes)))
	if err != nil {
		return err
	}
	defer said.Close()
	for i, label := range set.Labels {
		for j, p := range set.Crop(i) {
			frame.Data()[j] = float32(p) / 255
		}
		if err := s.Run([]ort.Value{frame}, []ort.Value{said}); err != nil {
			return err
		}
		best := 0
		for c, p := range said.Data() {
			if p > said.Data()[best] {
				best = c
			}
		}
		t.count[label][best]++
	}
	return nil
}

// table counts answers: count[truth][answer].
type table struct {
	classes []string
	count   [][]int
}

func newTable(classes []string) *table {
	t := &table{classes: classes}
	for range classes {
		t.count = append(t.count, make([]int, len(classes)))
	}
	return t
}

func (t *table) add(o *table) {
	for i := range t.count {
		for j := range t.count[i] {
			t.count[i][j] += o.count[i][j]
		}
	}
}

func (t *table) total() int {
	n := 0
	for _, row := range t.count {
		for _, c := range row {
			n += c
		}
	}
	return n
}

func (t *table) accuracy() float64 {
	right := 0
	for i := range t.count {
		right += t.count[i][i]
	}
	return float64(right) / float64(t.total())
}

// of returns how many crops of a class there are, and its precision and recall; precision is 0 where the class was never the answer.
func (t *table) of(class int) (crops int, precision, recall float64) {
	said := 0
	for i := range t.count {
		said += t.count[i][class]
		crops += t.count[class][i]
	}
	right := float64(t.count[class][class])
	return crops, right / math.Max(float64(said), 1), right / math.Max(float64(crops), 1)
}

// f1 is the mean over classes of the harmonic mean of precision and recall.
func (t *table) f1() float64 {
	sum := 0.0
	for i := range t.classes {
		if _, p, r := t.of(i); p+r > 0 {
			sum += 2 * p * r / (p + r)
		}
	}
	return sum / float64(len(t.classes))
}

func (t *table) print(w *os.File) {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tab, "class\tcrops\tprecision %\trecall %\t")
	for i := range t.classes {
		fmt.Fprintf(tab, "as %d\t", i)
	}
	fmt.Fprintln(tab)
	for i, c := range t.classes {
		n, p, r := t.of(i)
		fmt.Fprintf(tab, "%s\t%d\t%.1f\t%.1f\t", c, n, 100*p, 100*r)
		for _, said := range t.count[i] {
			fmt.Fprintf(tab, "%d\t", said)
		}
		fmt.Fprintln(tab)
	}
	_ = tab.Flush() // the terminal
}

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "load not known"
	}
	return "load " + strings.Fields(string(text))[0]
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // fails for a bad pointer only
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
