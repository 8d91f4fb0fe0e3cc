// Package drift finds changes in streams of numbers: errors of a model, values of a signal, scores. One algorithm a file, with its source.
//
// A detector's state is small, of bounded size, and can be written down and read back, so that a restart goes on where it was. For the same numbers the same changes
// are found on every machine: no algorithm asks for the time, and those that draw lots carry their lots' state. Products are rounded by conversion before they are added, so
// that no machine fuses the two.
package drift

import (
	"fmt"
	"slices"
)

// Detector watches one stream. It is not safe for concurrent use. After warm-up Update allocates nothing.
type Detector interface {
	// Update takes the next number and tells whether a change is found at it. After a change the detector begins anew with the next number. NaN is skipped.
	Update(x float64) bool
	// Warned tells that the last number was near a change; always false for algorithms that know no such level.
	Warned() bool
	// Reset forgets all numbers.
	Reset()
	// AppendState appends what Restore needs to go on from here.
	AppendState(dst []byte) []byte
	// Restore takes the state of a detector of the same kind and settings. After an error the detector is as after Reset.
	Restore(state []byte) error
}

// Kind names an algorithm.
type Kind string

// The algorithms. Those of errors take 1 for a wrong prediction and 0 for a right one; HDDM-A, HDDM-W and CUSUM also losses between 0 and 1.
const (
	KindADWIN       Kind = "adwin"        // any bounded numbers
	KindPageHinkley Kind = "page-hinkley" // any numbers, by the scale of the threshold
	KindCUSUM       Kind = "cusum"        // errors, or numbers by the scale of the threshold
	KindDDM         Kind = "ddm"          // errors
	KindEDDM        Kind = "eddm"         // errors
	KindHDDMA       Kind = "hddm-a"       // errors
	KindHDDMW       Kind = "hddm-w"       // errors
	KindFHDDM       Kind = "fhddm"        // right predictions: 1 for a right one
	KindKSWIN       Kind = "kswin"        // any numbers
	KindSEED        Kind = "seed"         // errors, or bounded numbers
	KindSTEPD       Kind = "stepd"        // errors
)

var makers = map[Kind]func() Detector{
	KindADWIN:       func() Detector { return NewADWIN(DefaultADWIN()) },
	KindPageHinkley: func() Detector { return NewPageHinkley(DefaultPageHinkley()) },
	KindCUSUM:       func() Detector { return NewCUSUM(DefaultCUSUM()) },
	KindDDM:         func() Detector { return NewDDM(DefaultDDM()) },
	KindEDDM:        func() Detector { return NewEDDM(DefaultEDDM()) },
	KindHDDMA:       func() Detector { return NewHDDMA(DefaultHDDMA()) },
	KindHDDMW:       func() Detector { return NewHDDMW(DefaultHDDMW()) },
	KindFHDDM:       func() Detector { return NewFHDDM(DefaultFHDDM()) },
	KindKSWIN:       func() Detector { return NewKSWIN(DefaultKSWIN()) },
	KindSEED:        func() Detector { return NewSEED(DefaultSEED()) },
	KindSTEPD:       func() Detector { return NewSTEPD(DefaultSTEPD()) },
}

// Kinds returns all algorithms, by name.
func Kinds() []Kind {
	var all []Kind
	for k := range makers {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// New makes a detector with its defaults, which are those of its authors or of River (https://riverml.xyz), where it has the algorithm.
func New(kind Kind) (Detector, error) {
	f, ok := makers[kind]
	if !ok {
		return nil, fmt.Errorf("detector %q is not one of %v", string(kind), Kinds())
	}
	return f(), nil
}

// mean is a running mean by the recurrence of West (1979), Communications of the ACM 22(9).
type mean struct {
	N    float64
	Mean float64
}

func (m *mean) add(x float64) {
	m.N++
	m.Mean += float64(1 / m.N * (x - m.Mean))
}
