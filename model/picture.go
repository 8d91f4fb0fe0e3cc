package model

import (
	"errors"
	"fmt"
	"slices"
)

// Frame is the input of a model of pictures: float32 [batch, 3, height, width], red, green, blue.
const Frame = "frame"

// Embedding is an output that a model of pictures may have beside those that its Form reads, and after them: float32 [batch, n], what its last layer knows of a picture, for those who watch whether pictures are as they
// used to be.
const Embedding = "embedding"

// Picture says what a model of frames takes, and how what it gives is read; it stands in the place of a Recipe.
type Picture struct {
	// Width and Height are of the model's input, in pixels; a frame, or the crop of a zone, is scaled to them without regard to its shape.
	Width  int `json:"width"`
	Height int `json:"height"`
	// Mean and Std scale a channel: (value/255-Mean)/Std; a Std of zeros is ones.
	Mean [3]float32 `json:"mean"`
	Std  [3]float32 `json:"std"`
	// Labels are the classes, in the order of the outputs.
	Labels []string `json:"labels"`
	// Form is how the outputs are read, one of the Form constants.
	Form string `json:"form"`
	// Threshold is the least confidence of a box, and what a class must reach to be told; Overlap is the intersection over union above which of two boxes of a class one is dropped.
	Threshold float32 `json:"threshold"`
	Overlap   float32 `json:"overlap,omitempty"`
	// Normal names the class of a classification that means nothing to see; empty: none.
	Normal string `json:"normal,omitempty"`
}

// The forms of outputs. N is the batch, C the number of labels, A of anchors or places.
const (
	// FormProbabilities: one output [N, C] that sums to 1. FormLogits: the same before a softmax.
	FormProbabilities = "probabilities"
	FormLogits        = "logits"
	// FormYOLOv8: one output [N, 4+C, A]: centre x, y, width, height in pixels of the input, then a confidence a class (Ultralytics YOLOv8, v9, v11).
	FormYOLOv8 = "yolov8"
	// FormYOLOv5: one output [N, A, 5+C]: centre x, y, width, height in pixels, objectness, then a confidence a class (YOLOv5, v7, YOLOX decoded).
	FormYOLOv5 = "yolov5"
	// FormEndToEnd: one output [N, A, 6]: x0, y0, x1, y1 in pixels, confidence, class; nothing left to suppress (YOLOv10, exports with nms=True).
	FormEndToEnd = "end-to-end"
	// FormSSD: three outputs, boxes [N, A, 4] (x0, y0, x1, y1 in 0 to 1), scores and labels [N, A], labels counted from 0 (TensorFlow's and torchvision's detectors, whose order, pixels and background class
	// are rewritten at the push).
	FormSSD = "ssd"
)

// Validate reports every fault.
func (p *Picture) Validate() error {
	var errs []error
	if p.Width < 1 || p.Height < 1 || p.Width > 8192 || p.Height > 8192 {
		errs = append(errs, fmt.Errorf("size: %dx%d is not between 1 and 8192 pixels", p.Width, p.Height))
	}
	if len(p.Labels) == 0 {
		errs = append(errs, errors.New("labels: name the classes, in the order of the outputs"))
	}
	for i, l := range p.Labels {
		if l == "" || slices.Contains(p.Labels[:i], l) {
			errs = append(errs, fmt.Errorf("labels: %q is empty or named twice", l))
		}
	}
	if p.Normal != "" && !slices.Contains(p.Labels, p.Normal) {
		errs = append(errs, fmt.Errorf("normal: %q is none of the labels", p.Normal))
	}
	switch p.Form {
	case FormProbabilities, FormLogits, FormYOLOv8, FormYOLOv5, FormEndToEnd, FormSSD:
	default:
		errs = append(errs, fmt.Errorf("form: %q is none of %s, %s, %s, %s, %s, %s", p.Form, FormProbabilities, FormLogits, FormYOLOv8, FormYOLOv5, FormEndToEnd, FormSSD))
	}
	if !(p.Threshold >= 0 && p.Threshold <= 1) {
		errs = append(errs, fmt.Errorf("threshold: %v is not between 0 and 1", p.Threshold))
	}
	if !(p.Overlap >= 0 && p.Overlap <= 1) {
		errs = append(errs, fmt.Errorf("overlap: %v is not between 0 and 1", p.Overlap))
	}
	for _, s := range p.Std {
		if p.Std != [3]float32{} && !(s > 0) {
			errs = append(errs, fmt.Errorf("std: %v: each must be positive", p.Std))
			break
		}
	}
	return errors.Join(errs...)
}

// Tensor is one output of a run, row-major; Shape[0] is the batch.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}
