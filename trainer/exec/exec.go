package exec

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"andon/event"
	"andon/model"
	"andon/model/adopt"
	"andon/model/ort"
)

// Config says which program trains.
type Config struct {
	// Run is the program and its arguments; the folder follows them.
	Run []string `yaml:"run"`
	// Timeout is how long it may take.
	Timeout time.Duration `yaml:"timeout"`
	// Memory bounds the address space of each of its processes; 0 does not. CUDA wants far more of it than it uses.
	Memory event.Bytes `yaml:"memory"`
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	if len(c.Run) == 0 || c.Run[0] == "" {
		errs = append(errs, errors.New("command.run: name the program and its arguments, as [python3, train.py]"))
	}
	if c.Timeout < time.Second {
		errs = append(errs, fmt.Errorf("command.timeout: %v is less than 1s", c.Timeout))
	}
	if c.Memory < 0 {
		errs = append(errs, fmt.Errorf("command.memory: %v is negative", c.Memory))
	}
	return errors.Join(errs...)
}

// Manifest is what the program is told, as manifest.json.
type Manifest struct {
	Run      string       `json:"run"`
	Pipeline string       `json:"pipeline"`
	Task     model.Task   `json:"task"`
	Unit     string       `json:"unit"`
	Recipe   model.Recipe `json:"recipe"`
	// Channels names the window's columns; Length is its slots.
	Channels []string `json:"channels"`
	Length   int      `json:"length"`
	// Cap and Horizon are those of remaining-life, in grid steps.
	Cap     int    `json:"cap,omitempty"`
	Horizon int    `json:"horizon,omitempty"`
	Seed    uint64 `json:"seed"`
	// Digest names the data: the SHA-256 of all windows and targets. Train and Val are how many windows the files hold.
	Digest string `json:"digest"`
	Train  int    `json:"train"`
	Val    int    `json:"val"`
	// Seconds is how long the program has.
	Seconds float64 `json:"seconds"`
}

// Progress is a line of the program's standard output.
type Progress struct {
	Epoch         int     `json:"epoch"`
	Epochs        int     `json:"epochs"`
	Loss          float64 `json:"loss"`
	ValLoss       float64 `json:"val_loss"`
	RowsPerSecond float64 `json:"rows_per_second"`
}

// Result is what the program made.
type Result struct {
	ONNX    []byte
	Network string
	Metrics map[string]float64
	// Value and Risk are what the model says of the validation windows.
	Value, Risk []float32
	// CPU is what the program has spent.
	CPU time.Duration
}

// grace is the time between SIGTERM and SIGKILL; maxLog bounds what is kept of what it says, maxMetrics what is read of metrics.json.
const (
	grace      = 5 * time.Second
	maxLog     = 16 << 20
	maxMetrics = 1 << 20
)

// Train has the program train in dir, which must not exist, and checks what it made. An error of the program names the log. progress may be nil; it is called by one goroutine at a time, before Train
// returns. The Parquet files are gone when it returns; all else stays in dir.
func Train(ctx context.Context, c Config, limits adopt.Limits, dir string, m Manifest, train, val *Rows, progress func(Progress)) (*Result, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the training: %w", err)
	}
	m.Channels, m.Length, m.Train, m.Val, m.Seconds = m.Recipe.Channels(), m.Recipe.Length, len(train.Targets), len(val.Targets), c.Timeout.Seconds()
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), text, 0o644); err != nil {
		return nil, err
	}
	for name, rows := range map[string]*Rows{"train.parquet": train, "val.parquet": val} {
		file := filepath.Join(dir, name)
		defer os.Remove(file)
		if err := rows.write(file, m.Length*len(m.Channels)); err != nil {
			return nil, err
		}
	}
	cpu, err := c.run(ctx, dir, progress)
	if err != nil {
		return nil, err
	}
	r, err := read(dir, &m, limits, val)
	if err != nil {
		return nil, fmt.Errorf("what %s made is refused: %w; its log is %s", c.Run[0], err, filepath.Join(dir, "log"))
	}
	r.CPU = cpu
	return r, nil
}

// run starts the program and waits for its end.
func (c *Config) run(ctx context.Context, dir string, progress func(Progress)) (cpu time.Duration, err error) {
	file, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	log := &ledger{to: file, room: maxLog}
	short, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	abs, err := filepath.Abs(dir)
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(short, c.Run[0], append(append([]string{}, c.Run[1:]...), abs)...)
	cmd.Dir = abs
	// A group of its own, so that its end is that of all that it has started; and it does not outlive this process.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
	lines := &lines{log: log, tell: progress}
	cmd.Stdout, cmd.Stderr = lines, log
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w: name a program that this machine has in command.run", c.Run[0], err)
	}
	if c.Memory > 0 {
		limit := unix.Rlimit{Cur: uint64(c.Memory), Max: uint64(c.Memory)}
		if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_AS, &limit, nil); err != nil && !errors.Is(err, unix.ESRCH) {
			_ = cmd.Cancel()
			_ = cmd.Wait()
			return 0, fmt.Errorf("bound the memory of %s: %w", c.Run[0], err)
		}
	}
	err = cmd.Wait()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind
	cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	switch {
	case ctx.Err() != nil:
		return cpu, ctx.Err()
	case short.Err() != nil:
		return cpu, fmt.Errorf("%s was ended after command.timeout, %v; its log is %s", c.Run[0], c.Timeout, file.Name())
	case err != nil:
		return cpu, fmt.Errorf("%s ended with %w: %s; its log is %s", c.Run[0], err, log.last(), file.Name())
	}
	return cpu, nil
}

// read takes in what the program made.
func read(dir string, m *Manifest, limits adopt.Limits, val *Rows) (*Result, error) {
	name := filepath.Join(dir, "model.onnx")
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, errors.New("model.onnx: it ended well and wrote none")
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("model.onnx: it is no plain file")
	case info.Size() > int64(limits.MaxBytes):
		return nil, fmt.Errorf("model.onnx: it has %d bytes, more than models.max_bytes, %s", info.Size(), limits.MaxBytes)
	}
	r := &Result{}
	if r.ONNX, err = os.ReadFile(name); err != nil {
		return nil, err
	}
	if err := limits.Check(r.ONNX); err != nil {
		return nil, fmt.Errorf("model.onnx: %w", err)
	}
	if err := r.metrics(filepath.Join(dir, "metrics.json")); err != nil {
		return nil, fmt.Errorf("metrics.json: %w", err)
	}
	if err := r.score(m, val); err != nil {
		return nil, fmt.Errorf("model.onnx: %w", err)
	}
	return r, nil
}

func (r *Result) metrics(name string) error {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxMetrics+1))
	if err != nil {
		return err
	}
	if len(text) > maxMetrics {
		return fmt.Errorf("it has more than %d bytes", maxMetrics)
	}
	var said struct {
		Network string             `json:"network"`
		Metrics map[string]float64 `json:"metrics"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return fmt.Errorf(`%w: write {"network": "ridge", "metrics": {"name": 1.5}}`, err)
	}
	r.Network, r.Metrics = said.Network, said.Metrics
	return nil
}

// score runs the model on the validation windows, in parts, and looks at what it says.
func (r *Result) score(m *Manifest, val *Rows) error {
	s, err := ort.NewSession(r.ONNX, ort.Options{Inputs: []string{model.Input}, Outputs: []string{model.Value, model.Risk}})
	if err != nil {
		return err
	}
	defer s.Close()
	length, width := m.Length, len(m.Channels)
	const part = 32
	n := len(val.Targets)
	r.Value, r.Risk = make([]float32, n), make([]float32, n)
	for from := 0; from < n; from += part {
		to := min(from+part, n)
		if err := runPart(s, val.Windows[from*length*width:to*length*width], r.Value[from:to], r.Risk[from:to], length, width); err != nil {
			return err
		}
	}
	for i := range r.Value {
		v, p := float64(r.Value[i]), float64(r.Risk[i])
		if math.IsNaN(v) || math.IsInf(v, 0) || !(p >= 0 && p <= 1) {
			return fmt.Errorf("of validation window %d it says value %v and risk %v: the value must be a number, and the risk between 0 and 1", i, v, p)
		}
	}
	return nil
}

func runPart(s *ort.Session, windows, value, risk []float32, length, width int) error {
	n := int64(len(value))
	x, err := ort.Wrap(windows, n, int64(length), int64(width))
	if err != nil {
		return err
	}
	defer x.Close()
	v, err := ort.Wrap(value, n, 1)
	if err != nil {
		return err
	}
	defer v.Close()
	p, err := ort.Wrap(risk, n, 1)
	if err != nil {
		return err
	}
	defer p.Close()
	return s.Run([]ort.Value{x}, []ort.Value{v, p})
}

// ledger keeps what the program says, up to a bound.
type ledger struct {
	mu   sync.Mutex
	to   io.Writer
	room int
	tail []byte
}

func (l *ledger) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, b...)
	if over := len(l.tail) - 2000; over > 0 {
		l.tail = append([]byte{}, l.tail[over:]...)
	}
	if l.room <= 0 {
		return len(b), nil
	}
	kept := b[:min(len(b), l.room)]
	if l.room -= len(kept); l.room <= 0 {
		kept = append(append([]byte{}, kept...), "\n… more was said than is kept\n"...)
	}
	if _, err := l.to.Write(kept); err != nil { // a full disk must not end the program
		l.room = 0
	}
	return len(b), nil
}

// last is the last line that says something.
func (l *ledger) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := strings.Split(strings.TrimSpace(string(l.tail)), "\n")
	return strings.TrimSpace(all[len(all)-1])
}

// lines passes standard output on to the log and takes the progress out of it.
type lines struct {
	log  *ledger
	tell func(Progress)
	part []byte
}

func (l *lines) Write(b []byte) (int, error) {
	_, _ = l.log.Write(b)
	if l.tell == nil {
		return len(b), nil
	}
	l.part = append(l.part, b...)
	for {
		i := bytes.IndexByte(l.part, '\n')
		if i < 0 {
			if len(l.part) > bufio.MaxScanTokenSize {
				l.part = nil
			}
			return len(b), nil
		}
		p := Progress{Loss: math.NaN(), ValLoss: math.NaN()}
		if line := bytes.TrimSpace(l.part[:i]); len(line) > 0 && line[0] == '{' && json.Unmarshal(line, &p) == nil && p.Epoch > 0 {
			l.tell(p)
		}
		l.part = l.part[i+1:]
	}
}
