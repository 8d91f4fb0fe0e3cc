package oip

import (
	"strconv"

	"andon/model"
	"andon/model/ort"
)

// describePicture returns the metadata of a model of pictures: what its file takes and gives, and how both are meant.
func (s *Server) describePicture(info *model.Info) (*description, *fault) {
	p := info.Picture
	d := &description{Name: info.Pipeline, Platform: "onnx_onnxv1", largest: 1, Versions: s.catalog.versions(info.Pipeline),
		Inputs: []port{{model.Frame, "FP32", []int64{-1, 3, int64(p.Height), int64(p.Width)}}},
		Properties: map[string]string{
			"version": info.Version, "task": string(info.Task), "form": p.Form, "labels": list(p.Labels), "mean": list(p.Mean[:]), "std": list(p.Std[:]),
			"threshold": strconv.FormatFloat(float64(p.Threshold), 'g', -1, 32), "overlap": strconv.FormatFloat(float64(p.Overlap), 'g', -1, 32),
			"scaled": "red, green and blue planes of (value/255 - mean) / std",
		}}
	m, err := s.catalog.models.Get(info.Pipeline, info.Version)
	if err != nil {
		return nil, broken("%v", err)
	}
	_, outputs, err := ort.Signature(m.ONNX)
	if err != nil {
		return nil, broken("%v", err)
	}
	for _, o := range outputs {
		shape := o.Shape
		if shape == nil {
			shape = []int64{-1}
		}
		d.Outputs = append(d.Outputs, port{o.Name, "FP32", shape})
	}
	return d, nil
}
