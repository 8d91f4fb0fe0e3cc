package trainer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"andon/event"
	"andon/model"
	"andon/model/ort"
)

// Past is a Source that can be read as it was: what is stored after the marks were taken changes nothing of what is read at them.
type Past interface {
	// Marks returns how far a pipeline's data is stored now.
	Marks(ctx context.Context, pipeline string) (event.Marks, error)
	At(m event.Marks) Source
}

// begin starts the clock and returns the source as it was at the marks of the order, or is now. A source that has no past is read as it is.
func (o *order) begin(ctx context.Context, src Source, p *Pipeline, memory event.Bytes) (Source, error) {
	if o.clock == nil {
		o.clock = Meters{}.start()
	}
	o.memory = memory
	past, ok := src.(Past)
	if !ok {
		return src, nil
	}
	if o.marks == nil {
		m, err := past.Marks(ctx, p.Name)
		if err != nil {
			return nil, err
		}
		o.marks = &m
	}
	return past.At(*o.marks), nil
}

// took is what the run has taken so far.
func (o *order) took() Usage {
	u := o.clock.usage()
	u.Worker = o.worker
	return u
}

// seal writes into a model's file all that determines it, with what is of its moment; s are the settings that it was trained by.
func (o *order) seal(p *Pipeline, s *Spec, file []byte, meta model.Meta) (*model.Model, error) {
	l := &meta.Lineage
	l.Marks, l.Memory, l.Champion, l.Since, l.Start = o.marks, int64(o.memory), o.champion, o.since, o.start
	if p.Section != nil {
		alone := *s
		alone.Search = Search{}
		text, err := p.Section(&alone)
		if err != nil {
			return nil, fmt.Errorf("keep the settings of %s: %w", p.Name, err)
		}
		l.Section = string(text)
	}
	if was := o.as; was != nil {
		l.Run, l.Trained, l.Seconds, l.CPUSeconds, l.GPUSeconds, l.Joules, l.Energy = was.Run, was.Trained, was.Seconds, was.CPUSeconds, was.GPUSeconds, was.Joules, was.Energy
		l.Worker, l.Machine, l.Runtime, l.Code = was.Worker, was.Machine, was.Runtime, was.Code
	} else {
		u := o.took()
		measured := func(v float64) float64 {
			if math.IsNaN(v) {
				return 0 // and is left out
			}
			return v
		}
		l.Trained, l.Seconds, l.CPUSeconds, l.GPUSeconds, l.Joules, l.Energy = time.Now().UTC(), u.Seconds, u.CPUSeconds, measured(u.GPUSeconds), measured(u.Joules), u.Energy
		l.Worker, l.Machine, l.Runtime, l.Code = o.worker, processor(), ort.Version(), code()
	}
	return model.Seal(file, meta)
}

func digest(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}

// code names the program's version, as far as the build knows it.
func code() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return info.Main.Version
}

// processor names the machine's, on whose instructions the last bits of numbers hang.
var processor = sync.OnceValue(func() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // where there is none, the architecture must do
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return runtime.GOARCH + ", " + strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
})
