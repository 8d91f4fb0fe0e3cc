package adopt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"andon/event"
	"andon/model/onnx"
)

// Limits bound what is taken in.
type Limits struct {
	MaxBytes event.Bytes `yaml:"max_bytes"`
	MaxNodes int         `yaml:"max_nodes"`
	// Domains are those whose operators a file may use; ai.onnx is ONNX's own.
	Domains []string `yaml:"domains"`
	// TrialTime and TrialMemory bound the process in which a new model is run for the first time.
	TrialTime   time.Duration `yaml:"trial_time"`
	TrialMemory event.Bytes   `yaml:"trial_memory"`
}

// DefaultLimits returns limits that models for telemetry stay far below.
func DefaultLimits() Limits {
	return Limits{
		// A file is in memory a few times while it is taken in.
		MaxBytes: 512 << 20,
		// A large vision transformer has about 5,000; unrolled loops have more, and load for minutes.
		MaxNodes: 100_000,
		// What the exporters of PyTorch and scikit-learn write. ONNX Runtime's own com.microsoft is tested less.
		Domains: []string{"ai.onnx", "ai.onnx.ml"},
		// A GRU takes 0.1 s, a large network a few.
		TrialTime:   time.Minute,
		TrialMemory: 4 << 30,
	}
}

// Validate reports every fault with its key.
func (l *Limits) Validate() error {
	var errs []error
	if l.MaxBytes < 1<<10 {
		errs = append(errs, fmt.Errorf("max_bytes: %s is less than 1KiB", l.MaxBytes))
	}
	if l.MaxNodes < 1 {
		errs = append(errs, fmt.Errorf("max_nodes: %d is not positive", l.MaxNodes))
	}
	if !slices.Contains(l.Domains, "ai.onnx") {
		errs = append(errs, errors.New("domains: ai.onnx is missing: no model does without it"))
	}
	if l.TrialTime < time.Second {
		errs = append(errs, fmt.Errorf("trial_time: %v is less than 1s", l.TrialTime))
	}
	if l.TrialMemory < 512<<20 {
		errs = append(errs, fmt.Errorf("trial_memory: %s is less than 512MiB, which an empty model needs", l.TrialMemory))
	}
	return errors.Join(errs...)
}

// reads names operators that open files of their own.
var reads = map[onnx.Op]bool{{Domain: "com.microsoft", Name: "EPContext"}: true}

// Check reports everything that keeps a file from being taken in, without running it.
func (l *Limits) Check(file []byte) error {
	if len(file) > int(l.MaxBytes) {
		return fmt.Errorf("it has %d bytes, more than models.max_bytes, %s", len(file), l.MaxBytes)
	}
	f, err := onnx.Inspect(file)
	if err != nil {
		return err
	}
	var errs []error
	if f.Nodes > l.MaxNodes {
		errs = append(errs, fmt.Errorf("its graph has %d nodes, more than models.max_nodes, %d", f.Nodes, l.MaxNodes))
	}
	if n := len(f.External); n > 0 {
		errs = append(errs, fmt.Errorf("%d of its tensors, as %q, lie in another file: export it as one file (PyTorch: external_data=False)", n, f.External[0]))
	}
	for _, d := range f.Domains() {
		name := d
		if d == "" {
			name = "ai.onnx"
		}
		if slices.Contains(l.Domains, name) {
			continue
		}
		var ops []string
		for op := range f.Ops {
			if op.Domain == d {
				ops = append(ops, op.Name)
			}
		}
		slices.Sort(ops)
		errs = append(errs, fmt.Errorf("it uses operators of the domain %s, as %s, which models.domains does not allow", name, strings.Join(ops[:min(3, len(ops))], ", ")))
	}
	for op := range f.Ops {
		if reads[op] {
			errs = append(errs, fmt.Errorf("it uses %v, which reads other files", op))
		}
	}
	return errors.Join(errs...)
}
