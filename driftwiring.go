package main

import (
	"errors"

	"andon/model"
	"andon/processors"
	"andon/processors/drift"
	"andon/processors/vision"
	"andon/trainer"
)

// drift says how the pipeline's windows or frames are watched.
func (p *Pipeline) drift() drift.Config {
	switch {
	case p.Window == nil && p.Vision == nil || p.Detector != nil:
		return drift.Config{} // nothing is scored
	case p.Drift == nil:
		return drift.Default()
	}
	return *p.Drift
}

// driftFaults reports what is wrong with what a pipeline says of its watch.
func (c *Config) driftFaults(p *Pipeline) error {
	switch {
	case p.Drift == nil:
		return nil
	case p.Aggregate != nil:
		return errors.New("enabled: a pipeline with aggregate has no model whose windows could be watched: take the section out")
	}
	return p.Drift.Validate()
}

// refer makes the references of the pipeline's models, so that the line knows what their windows used to look like.
func (p *Pipeline) refer() trainer.Refer {
	d := p.drift()
	if !d.Enabled || p.Window == nil {
		return nil
	}
	return func(s *trainer.Seen) ([]byte, error) {
		rows := processors.WatchRows(s.Recipe, d.Windows)
		width := s.Recipe.Width()
		rows.Asset, rows.At, rows.Loss, rows.Yes, rows.Risk, rows.Guess = s.Asset, s.End, s.Loss, s.Yes, len(rows.Names)-1, s.Guess
		rows.Values = make([]float64, 0, len(s.End)*len(rows.Names))
		for i := range s.End {
			for _, x := range s.Newest[i*width : (i+1)*width] {
				rows.Values = append(rows.Values, float64(x))
			}
			rows.Values = append(rows.Values, float64(s.Value[i]), float64(s.Risk[i]))
		}
		profile, err := drift.NewProfile(rows)
		if errors.Is(err, drift.ErrFewRows) {
			return nil, nil // the line learns one from the first windows that the model scores
		}
		if err != nil {
			return nil, err
		}
		return profile.AppendBinary(nil)
	}
}

// referPictures makes the references of the pipeline's models of frames.
func (p *Pipeline) referPictures() trainer.ReferPictures {
	d := p.drift()
	if !d.Enabled || p.Vision == nil {
		return nil
	}
	return func(meta *model.Meta) trainer.PictureReference {
		return pictureReference{vision.NewReference(meta, p.Vision, d)}
	}
}

// pictureReference is vision's as the trainer asks it.
type pictureReference struct{ *vision.Reference }

func (r pictureReference) Add(f *trainer.SeenFrame) error {
	s := vision.Shown{Camera: f.Camera, Captured: f.Captured, Learned: f.Learned}
	for _, p := range f.Pictures {
		s.Pictures = append(s.Pictures, vision.Looked(p))
	}
	return r.Reference.Add(&s)
}
