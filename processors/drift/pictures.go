package drift

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
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

// picturesVersion is the first byte of a Pictures' file; that of a Profile has another. The rest is JSON, packed by DEFLATE: some tens of KB.
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
	var b bytes.Buffer
	b.WriteByte(picturesVersion)
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err == nil {
		err = json.NewEncoder(w).Encode(&f)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("write a drift reference of pictures: %w", err)
	}
	return append(dst, b.Bytes()...), nil
}

// ReadPictures reads the file and checks it.
func ReadPictures(data []byte) (*Pictures, error) {
	fault := func(format string, args ...any) (*Pictures, error) {
		return nil, fmt.Errorf("read a drift reference of pictures: "+format, args...)
	}
	if len(data) == 0 || data[0] != picturesVersion {
		return fault("it is of another version: train the model again")
	}
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data[1:])), mostProfile+1))
	if err != nil {
		return fault("%w", err)
	}
	if len(text) > mostProfile {
		return fault("it unpacks to more than %d bytes", mostProfile)
	}
	var f picturesFile
	if err := json.Unmarshal(text, &f); err != nil {
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
