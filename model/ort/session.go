package ort

import (
	"errors"
	"fmt"
	"sync"

	onnx "github.com/yalue/onnxruntime_go"
)

// ErrClosed is what a session or binding returns after Close.
var ErrClosed = errors.New("the session is closed")

// Optimization is how far ONNX Runtime rewrites a graph when it loads it.
type Optimization int

// The levels; the zero value does all that is exact.
const (
	OptimizeAll Optimization = iota
	OptimizeExtended
	OptimizeBasic
	OptimizeNone
)

// Options of a session; the zero value is what suits many goroutines on few cores.
type Options struct {
	// Threads is the number of threads inside one operator; 0 means 1. One thread and one run a core gives the most work per second: a second thread cost
	// GRU models more CPU than it gave speed, and doubled it when spinning.
	Threads int
	// Spin lets idle threads burn CPU while they wait; it means nothing with one thread.
	Spin     bool
	Optimize Optimization
	// Provider is where the model runs; the zero value is CPU.
	Provider Provider
	// Device is the number of the CUDA device, DeviceMemory the bound on its arena in bytes (0: none).
	Device       int
	DeviceMemory int64
	// Inputs and Outputs name the ports in the order that Run takes them; nil takes the file's own order.
	Inputs, Outputs []string
	// Config holds further entries by ONNX Runtime's own keys (onnxruntime_session_options_config_keys.h).
	Config map[string]string
	// Warm, when set, is called with the new session before NewSession returns it; an error closes the session. Only a run proves that a CUDA session works.
	Warm func(*Session) error

	// provide adds the CUDA provider; nil is appendCUDA. Tests put in its place what fails where no device is at hand.
	provide func(*onnx.SessionOptions, *Options) error
}

// Session is a loaded model. Run may be called by many goroutines at once, each with its own tensors.
type Session struct {
	inputs, outputs []Port
	provider        Provider
	fallback        error

	// mu is held for reading by runs, so that Close waits for them.
	mu sync.RWMutex
	s  *onnx.DynamicAdvancedSession
}

// NewSession loads an ONNX file from memory; the bytes are not needed after it returns. Where Options ask for CUDA and it does not work, the session runs on
// the CPU, and Fallback says why. A file that ONNX Runtime cannot load is an error that says what is wrong with it; the caller adds which file.
func NewSession(file []byte, o Options) (*Session, error) {
	if !onnx.IsInitialized() {
		return nil, ErrNotOpen
	}
	if o.Provider == "" {
		o.Provider = CPU
	}
	inputs, outputs, err := Signature(file)
	if err == nil {
		inputs, err = pick(inputs, o.Inputs, "input")
	}
	if err == nil {
		outputs, err = pick(outputs, o.Outputs, "output")
	}
	if err != nil {
		return nil, err
	}
	s := &Session{inputs: inputs, outputs: outputs}
	err = s.open(file, &o)
	if err != nil && o.Provider == CUDA {
		s.fallback = missing(err)
		o.Provider = CPU
		err = s.open(file, &o)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Session) open(file []byte, o *Options) error {
	so, err := sessionOptions(o)
	if err != nil {
		return err
	}
	defer so.Destroy()
	s.provider = o.Provider
	s.s, err = onnx.NewDynamicAdvancedSessionWithONNXData(file, names(s.inputs), names(s.outputs), so)
	if err != nil {
		return cause(err)
	}
	if o.Warm != nil {
		if err = o.Warm(s); err != nil {
			s.Close()
			return fmt.Errorf("first run on %s: %w", s.provider, err)
		}
	}
	return nil
}

func sessionOptions(o *Options) (*onnx.SessionOptions, error) {
	so, err := onnx.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	level := map[Optimization]onnx.GraphOptimizationLevel{OptimizeAll: onnx.GraphOptimizationLevelEnableAll,
		OptimizeExtended: onnx.GraphOptimizationLevelEnableExtended, OptimizeBasic: onnx.GraphOptimizationLevelEnableBasic,
		OptimizeNone: onnx.GraphOptimizationLevelDisableAll}[o.Optimize]
	spin := "0"
	if o.Spin {
		spin = "1"
	}
	err = errors.Join(so.SetIntraOpNumThreads(max(o.Threads, 1)), so.SetInterOpNumThreads(1), so.SetGraphOptimizationLevel(level),
		so.AddSessionConfigEntry("session.intra_op.allow_spinning", spin))
	for k, v := range o.Config {
		err = errors.Join(err, so.AddSessionConfigEntry(k, v))
	}
	if err == nil {
		err = appendProvider(so, o)
	}
	if err != nil {
		so.Destroy()
		return nil, err
	}
	return so, nil
}

// Inputs returns the inputs in the order that Run takes them, as the file declares them. Not to be written to.
func (s *Session) Inputs() []Port { return s.inputs }

// Outputs returns the outputs in the order that Run takes them, as the file declares them. Not to be written to.
func (s *Session) Outputs() []Port { return s.outputs }

// Provider returns where the model runs, and Fallback why that is not what was asked for; nil when it is.
func (s *Session) Provider() Provider { return s.provider }

// Fallback returns why the session runs on the CPU though CUDA was asked for; nil otherwise.
func (s *Session) Fallback() error { return s.fallback }

// Run computes outputs from inputs. Every output tensor must have the shape that the model gives; a wrong shape of either is an error and leaves the outputs
// undefined. No tensor may be part of two runs at a time, but for inputs that nobody writes to.
func (s *Session) Run(inputs, outputs []Value) error {
	if len(inputs) != len(s.inputs) || len(outputs) != len(s.outputs) {
		return fmt.Errorf("run model: got %d inputs and %d outputs, the model has %d and %d", len(inputs), len(outputs), len(s.inputs), len(s.outputs))
	}
	in, out := make([]onnx.Value, len(inputs)), make([]onnx.Value, len(outputs))
	for i, v := range inputs {
		in[i] = v.value()
	}
	for i, v := range outputs {
		out[i] = v.value()
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.s == nil {
		return ErrClosed
	}
	if err := s.s.Run(in, out); err != nil {
		return fmt.Errorf("run model: %w", cause(err))
	}
	return nil
}

// Close waits for runs in progress and frees the session; a second Close does nothing. Close its bindings first.
func (s *Session) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.s != nil {
		s.s.Destroy()
		s.s = nil
	}
}

func names(ports []Port) []string {
	list := make([]string, len(ports))
	for i, p := range ports {
		list[i] = p.Name
	}
	return list
}

func pick(ports []Port, want []string, kind string) ([]Port, error) {
	if want == nil {
		if len(ports) == 0 {
			return nil, fmt.Errorf("the graph has no %s", kind)
		}
		return ports, nil
	}
	var list []Port
next:
	for _, name := range want {
		for _, p := range ports {
			if p.Name == name {
				list = append(list, p)
				continue next
			}
		}
		return nil, fmt.Errorf("the graph has no %s %q; it has %v", kind, name, names(ports))
	}
	return list, nil
}
