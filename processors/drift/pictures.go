package drift

import (
	"fmt"
	"slices"
)

// Pictures is the reference of a model of pictures: a Profile whose condition is the camera, what the model's embeddings were like, and how sure the model may be. It never changes and may be shared.
type Pictures struct {
	*Profile
	// Cameras names the Profile's kinds, Cuts says which parts of their frames the model is shown.
	Cameras, Cuts []string
	// Sure makes of what the model says of itself the chance that it is so, where Judges tells that this was learned: of a classification that the class is right, from its probability; of a detection that there is
	// something, from the surest box.
	Judges bool
	Sure   Isotonic
	// Kernel is nil for a model without embeddings.
	Kernel *Kernel
}

// picturesVersion is of a Pictures' file, packed as that of a Profile, which has another: some tens of KB.
const picturesVersion = 2

// picturesFile is a Pictures as its file holds it.
type picturesFile struct {
	Profile []byte
	Cameras []string
	Cuts    []string `json:",omitempty"`
	Judges  bool     `json:",omitempty"`
	Sure    Isotonic `json:",omitzero"`
	Kernel  *Kernel  `json:",omitempty"`
}

// AppendBinary appends the file.
func (p *Pictures) AppendBinary(dst []byte) ([]byte, error) {
	profile, err := p.Profile.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	f := picturesFile{Profile: profile, Cameras: p.Cameras, Cuts: p.Cuts, Judges: p.Judges, Sure: p.Sure}
	if k := p.Kernel; k != nil {
		f.Kernel = &Kernel{Dim: k.Dim, Width: k.Width, Seed: k.Seed, Kinds: k.Kinds, Within: k.Within, Noise: k.Noise, Drift: k.Drift, Strange: k.Strange, Known: k.Known, Freedom: k.Freedom}
		for _, m := range k.Means {
			f.Kernel.Means = append(f.Kernel.Means, short(m))
		}
	}
	if dst, err = pack(dst, picturesVersion, &f); err != nil {
		return nil, fmt.Errorf("write a drift reference of pictures: %w", err)
	}
	return dst, nil
}

// ReadPictures reads the file and checks it.
func ReadPictures(data []byte) (*Pictures, error) {
	fault := func(format string, args ...any) (*Pictures, error) {
		return nil, fmt.Errorf("read a drift reference of pictures: "+format, args...)
	}
	var f picturesFile
	if err := unpack(data, picturesVersion, &f); err != nil {
		return fault("%w", err)
	}
	profile, err := ReadProfile(f.Profile)
	if err != nil {
		return fault("%w", err)
	}
	p := &Pictures{Profile: profile, Cameras: f.Cameras, Cuts: f.Cuts, Judges: f.Judges, Sure: f.Sure, Kernel: f.Kernel}
	switch {
	case profile.Kinds == 0 || len(p.Cameras) != profile.Kinds || slices.Contains(p.Cameras, ""):
		return fault("its cameras do not hold together")
	case len(p.Sure.Score) != len(p.Sure.Probability) || !slices.IsSorted(p.Sure.Score):
		return fault("how sure the model may be does not hold together")
	case p.Kernel != nil && (!p.Kernel.whole() || p.Kernel.Kinds != profile.Kinds):
		return fault("its embeddings do not hold together")
	}
	return p, nil
}
