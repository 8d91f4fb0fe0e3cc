package oip

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"andon/event"
	"andon/model"
)

// tensor is one input as a caller sent it: numbers, or the bytes of a binary tensor.
type tensor struct {
	name, datatype string
	shape          []int64
	// numbers are the values in the order sent; nested is the shape that their brackets show, one dimension where they are flat.
	numbers []float32
	nested  []int64
	// raw is set for a tensor that was sent as bytes, and then numbers are not.
	raw    []byte
	binary bool
	size   int64 // of raw, as the request's JSON says
	// strange says what the values are instead of numbers.
	strange string
}

// wanted is one output in the order asked for.
type wanted struct {
	risk   bool // else the value
	binary bool
	said   bool // whether binary or not
}

func (w wanted) name() string {
	if w.risk {
		return model.Risk
	}
	return model.Value
}

// call is one inference, of either protocol, with the memory that it needs; calls are used again.
type call struct {
	began time.Time
	spent spent

	id string
	// raw tells that the windows are in the signals' own units.
	unscaled bool
	timeout  time.Duration
	inputs   []tensor
	outputs  []wanted // none: all

	// windows is what is scored, out what came of it; windows may lie in the request's memory.
	windows []float32
	out     []event.Verdict

	// Memory that stays with the call: body and the same unpacked, numbers of all inputs, copied windows, the answer.
	body, plain []byte
	numbers     []float32
	copied      []float32
	answer      []byte
}

var calls = sync.Pool{New: func() any { return new(call) }}

func newCall() *call {
	c := calls.Get().(*call)
	c.began = time.Now()
	return c
}

// kept is the largest memory, in bytes, that a call keeps for the next.
const kept = 1 << 20

func (c *call) free() {
	for i := range c.inputs {
		t := &c.inputs[i]
		*t = tensor{shape: t.shape[:0], nested: t.nested[:0]}
	}
	*c = call{inputs: c.inputs[:0], outputs: c.outputs[:0], out: c.out[:0], body: c.body[:0], plain: c.plain[:0], numbers: c.numbers[:0],
		copied: c.copied[:0], answer: c.answer[:0]}
	if cap(c.body)+cap(c.plain)+4*(cap(c.numbers)+cap(c.copied))+8*cap(c.out)+cap(c.answer) <= kept {
		calls.Put(c)
	}
}

// input returns a tensor to fill in.
func (c *call) input() *tensor {
	if n := len(c.inputs); n < cap(c.inputs) {
		c.inputs = c.inputs[:n+1]
	} else {
		c.inputs = append(c.inputs, tensor{})
	}
	return &c.inputs[len(c.inputs)-1]
}

// want adds an output to the answer.
func (c *call) want(name string, o wanted) *fault {
	if name != model.Value && name != model.Risk {
		return wrong("there is no output %q; the model gives %s and %s", name, model.Value, model.Risk)
	}
	o.risk = name == model.Risk
	for _, other := range c.outputs {
		if o.risk == other.risk {
			return wrong("output %s is asked for twice", name)
		}
	}
	c.outputs = append(c.outputs, o)
	return nil
}

// all asks for what the model gives where the request names no outputs.
func (c *call) all() {
	if len(c.outputs) == 0 {
		c.outputs = append(c.outputs, wanted{}, wanted{risk: true})
	}
}

// accept checks the inputs against what the model takes and lays out the windows for a run.
func (c *call) accept(m *model.Model) *fault {
	if m.Picture != nil {
		return wrong("model %s is of pictures, which this protocol does not ask here: send frames to the pipeline's topic", m.Pipeline)
	}
	r := &m.Recipe
	length, width := int64(r.Length), int64(r.Width())
	if len(c.inputs) != 1 {
		return wrong("%d inputs: the model takes one, %s FP32 [-1,%d,%d]", len(c.inputs), model.Input, length, width)
	}
	t := &c.inputs[0]
	says := func(format string, args ...any) *fault {
		return wrong("input %s: %s; the model takes FP32 [-1,%d,%d]", t.name, fmt.Sprintf(format, args...), length, width)
	}
	switch {
	case t.name != model.Input:
		return wrong("there is no input %q: the model takes one, %s FP32 [-1,%d,%d]", t.name, model.Input, length, width)
	case t.datatype != "FP32":
		return says("datatype %q", t.datatype)
	case len(t.shape) != 3 || t.shape[0] < 1 || t.shape[1] != length || t.shape[2] != width:
		return says("shape %s", shapeText(t.shape))
	case t.strange != "":
		return says("data holds %s", t.strange)
	}
	// The size of what came bounds the shape's product; before that check it may be anything.
	size, have := length*width, int64(len(t.numbers))
	if t.binary {
		have = int64(len(t.raw)) / 4
	}
	if t.shape[0] > have/size || t.shape[0]*size != have || t.binary && len(t.raw)%4 != 0 {
		if t.binary {
			return says("%d bytes of binary data are not shape %s", len(t.raw), shapeText(t.shape))
		}
		return says("%d numbers are not shape %s", have, shapeText(t.shape))
	}
	if !t.binary && len(t.nested) > 1 && !slices.Equal(t.nested, t.shape) {
		return says("data is nested as %s, shape says %s", shapeText(t.nested), shapeText(t.shape))
	}
	c.windows = t.numbers
	if t.binary {
		c.windows = c.floats(t.raw)
	}
	if c.unscaled {
		scale(c.windows, r.Scale)
	}
	if i := notFinite(c.windows); i >= 0 {
		w := i % int(size)
		return says("element [%d,%d,%d] is %v: not a finite number", i/int(size), w/int(width), w%int(width), c.windows[i])
	}
	n := int(t.shape[0])
	c.out = slices.Grow(c.out[:0], n)[:n]
	return nil
}

// floats reads little-endian numbers, in place where their memory lies so that it can be read as such.
func (c *call) floats(raw []byte) []float32 {
	n := len(raw) / 4
	if at := uintptr(unsafe.Pointer(unsafe.SliceData(raw))); at%4 == 0 {
		return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(raw))), n)
	}
	c.copied = slices.Grow(c.copied[:0], n)[:n]
	copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(c.copied))), 4*n), raw)
	return c.copied
}

// bytesOf returns the memory of numbers, little-endian as the protocol wants it.
func bytesOf(v []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
}

// scale brings windows from the signals' units to what the model was trained on, channel by channel, in place, with the arithmetic of the line.
func scale(windows []float32, by []model.Scale) {
	for i, c := range by {
		mean, inverse := float32(c.Mean), float32(1/c.Std)
		for at := i; at < len(windows); at += len(by) {
			windows[at] = (windows[at] - mean) * inverse
		}
	}
}

// notFinite returns the index of the first NaN or infinity, or -1.
func notFinite(v []float32) int {
	var sum float32
	for _, x := range v {
		sum += x * 0 // NaN for either
	}
	if sum == 0 {
		return -1
	}
	return slices.IndexFunc(v, func(x float32) bool { return math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) })
}

func shapeText(s []int64) string { return strings.ReplaceAll(fmt.Sprint(s), " ", ",") }

// score runs an accepted call; caller is the caller's own context.
func (s *Server) score(caller context.Context, m *model.Model, c *call) *fault {
	patience := s.cfg.Timeout
	if c.timeout > 0 {
		patience = min(patience, c.timeout)
	}
	ctx, cancel := context.WithTimeout(caller, patience)
	defer cancel()
	start := time.Now()
	c.spent.input = start.Sub(c.began)
	if err := s.judge.Serve(ctx, m, c.windows, c.out); err != nil {
		return faultOf(caller, err)
	}
	// A call is in the queue until its first run begins; what follows, further runs and the waits between them, is inference.
	c.spent.queue = time.Duration(c.out[0].Queue)
	c.spent.infer = time.Since(start) - c.spent.queue
	return nil
}
