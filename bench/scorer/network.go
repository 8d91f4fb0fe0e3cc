package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/model"
	"andon/model/ort"
	"andon/model/ort/orttest"
	"andon/scorer"
)

// network is the form of a model: layers of gated recurrent units over windows of length by width.
type network struct {
	name                          string
	length, width, hidden, layers int
}

var networks = []network{
	{"GRU 1×64 on 64×16", 64, 16, 64, 1},
	{"GRU 2×32 on 30×29", 30, 29, 32, 2}, // the demo's
}

// most is the largest number of windows that anybody scores at once.
const most = 256

// loaded is a network with weights of its own, its windows, and both as files for Python.
type loaded struct {
	network
	*model.Model
	windows   []float32 // [most, length, width]
	onnx, raw string
}

// seal makes a model of the network with the weights of a seed.
func (n network) seal(seed uint64) (*model.Model, error) {
	r := model.Recipe{Grid: time.Hour, Length: n.length, Smooth: 1}
	for i := range n.width {
		r.Signals = append(r.Signals, "s"+strconv.Itoa(i))
	}
	return model.Seal(orttest.GRU(n.length, n.width, n.hidden, n.layers, seed), model.Meta{Pipeline: "pumps", Task: model.RemainingLife, Recipe: r})
}

// load seals the network and writes its files.
func (n network) load(dir string) (*loaded, error) {
	m, err := n.seal(1)
	if err != nil {
		return nil, err
	}
	l := &loaded{network: n, Model: m, windows: fill(most * n.length * n.width)}
	name := fmt.Sprintf("%dx%d-%dx%d", n.layers, n.hidden, n.length, n.width)
	l.onnx, l.raw = filepath.Join(dir, name+".onnx"), filepath.Join(dir, name+".f32")
	if err := os.WriteFile(l.onnx, m.ONNX, 0o600); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, l.windows); err != nil {
		return nil, err
	}
	return l, os.WriteFile(l.raw, b.Bytes(), 0o600)
}

// fill returns n numbers that look like scaled readings. scorer/python_test.go has the same, for what is recorded of them.
func fill(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32((i*7919)%97)/48 - 1
	}
	return v
}

// newScorer makes a scorer of the default configuration but for what change does.
func newScorer(change func(*scorer.Config)) (*scorer.Scorer, error) {
	cfg := scorer.Default()
	change(&cfg)
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return scorer.New(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry()), nil
}

// bare is the loop that the scorer is measured by: one session, tensors that are kept, no copy and no queue.
type bare struct {
	*ort.Binding
	value, risk []float32
	close       []func()
}

// newBare makes a loop over the first n windows.
func newBare(m *model.Model, windows []float32, n int) (_ *bare, err error) {
	b := &bare{}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	s, err := ort.NewSession(m.ONNX, ort.Options{Inputs: []string{model.Input}, Outputs: []string{model.Value, model.Risk}})
	if err != nil {
		return nil, err
	}
	b.close = append(b.close, s.Close)
	tensor := func(shape ...int64) *ort.Tensor[float32] {
		var t *ort.Tensor[float32]
		if err == nil {
			t, err = ort.NewTensor[float32](shape...)
		}
		if err == nil {
			b.close = append(b.close, t.Close)
		}
		return t
	}
	rows := int64(n)
	x, value, risk := tensor(rows, int64(m.Recipe.Length), int64(m.Recipe.Width())), tensor(rows, 1), tensor(rows, 1)
	if err != nil {
		return nil, err
	}
	copy(x.Data(), windows)
	b.value, b.risk = value.Data(), risk.Data()
	b.Binding, err = s.Bind([]ort.Value{x}, []ort.Value{value, risk})
	return b, err
}

// Close frees the loop, last things first.
func (b *bare) Close() {
	if b.Binding != nil {
		b.Binding.Close()
	}
	for i := len(b.close) - 1; i >= 0; i-- {
		b.close[i]()
	}
}
