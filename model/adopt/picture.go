package adopt

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"andon/model"
)

// Picture is the part of a spec that a model of pictures has: what the file takes of a frame, and how its outputs are read. What the file declares may be left away.
type Picture struct {
	Width  int `yaml:"width"`
	Height int `yaml:"height"`
	// Mean and Std scale a channel, red, green, blue, to (value/255-mean)/std; one number is for all three, none means 0 and 1.
	Mean []float32 `yaml:"mean"`
	Std  []float32 `yaml:"std"`
	// Range is what white is before mean and std, 1 where it is left away; a model that takes bytes has 255.
	Range float32 `yaml:"range"`
	// Layout is channels-first or channels-last; empty: what the declared shape says. Colors is rgb, or bgr where the file takes blue first.
	Layout string `yaml:"layout"`
	Colors string `yaml:"colors"`
	// Labels are the classes in the order of the outputs; empty: what the file's metadata names.
	Labels []string `yaml:"labels"`
	// Form is one of model's Form constants; empty: probabilities of a classification, yolov8 of a detection.
	Form string `yaml:"form"`
	// Threshold and Overlap are as in model.Picture; nil takes the form's usual ones.
	Threshold *float32 `yaml:"threshold"`
	Overlap   *float32 `yaml:"overlap"`
	Normal    string   `yaml:"normal"`
	// Outputs names the file's outputs that are meant, of form ssd boxes, scores and labels in this order; empty: the one that fits, or those named so.
	Outputs []string `yaml:"outputs"`
	// Corners, Unit and First are of form ssd: the order of a box's numbers, xyxy or yxyx; relative or pixels; the number of the first label, 1 where 0 is a background.
	Corners string `yaml:"corners"`
	Unit    string `yaml:"unit"`
	First   int    `yaml:"first"`
}

// The words of a picture's spec.
const (
	ChannelsFirst = "channels-first" // [batch, channels, height, width], as PyTorch exports
	ChannelsLast  = "channels-last"  // [batch, height, width, channels], as TensorFlow exports
)

// Thresholds where the spec says none: what Ultralytics' and most tools' are, and more likely than not.
const (
	usualConfidence = 0.25
	usualOverlap    = 0.45
	usualClass      = 0.5
)

// pictured reports whether a task is of pictures.
func pictured(t model.Task) bool { return t == model.Classification || t == model.Detection }

// pictureFaults are what can be seen without the file.
func (s *Spec) pictureFaults() error {
	p := s.Picture
	var errs []error
	fault := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("picture.%s: %s", key, fmt.Sprintf(format, args...)))
	}
	oneOf := func(key, v string, all ...string) {
		if v != "" && !slices.Contains(all, v) {
			fault(key, "%q is not one of %s", v, strings.Join(all, ", "))
		}
	}
	for _, n := range [...]struct {
		key string
		v   []float32
	}{{"mean", p.Mean}, {"std", p.Std}} {
		if len(n.v) != 0 && len(n.v) != 1 && len(n.v) != 3 {
			fault(n.key, "%d numbers: write one a channel, red, green, blue, or one for all", len(n.v))
		}
	}
	for _, v := range p.Std {
		if !(v > 0) {
			fault("std", "%v is not above 0", v)
		}
	}
	if p.Range < 0 {
		fault("range", "%v is not above 0", p.Range)
	}
	oneOf("layout", p.Layout, ChannelsFirst, ChannelsLast)
	oneOf("colors", p.Colors, "rgb", "bgr")
	oneOf("corners", p.Corners, "xyxy", "yxyx")
	oneOf("unit", p.Unit, "relative", "pixels")
	classes := []string{model.FormProbabilities, model.FormLogits}
	if s.Task == model.Classification {
		oneOf("form", p.Form, classes...)
	} else {
		oneOf("form", p.Form, model.FormYOLOv8, model.FormYOLOv5, model.FormEndToEnd, model.FormSSD)
	}
	if p.Form != model.FormSSD && (p.Corners != "" || p.Unit != "" || p.First != 0) {
		fault("corners", "corners, unit and first are for the form %s", model.FormSSD)
	}
	if p.First < 0 {
		fault("first", "%d is negative", p.First)
	}
	if n := 1; p.Form == model.FormSSD {
		if n = 3; len(p.Outputs) != 0 && len(p.Outputs) != n {
			fault("outputs", "%d names: write the outputs of the boxes, the scores and the labels", len(p.Outputs))
		}
	} else if len(p.Outputs) > n {
		fault("outputs", "%d names: the form has one output", len(p.Outputs))
	}
	if p.Normal != "" && s.Task != model.Classification {
		fault("normal", "only a %s has a class for nothing to see; a detection then finds no box", model.Classification)
	}
	if len(s.Inputs) > 0 || s.Value != nil || s.Risk != nil || s.Horizon != 0 {
		errs = append(errs, errors.New("inputs, value, risk and horizon are of models of windows: a picture's input and outputs are said under picture"))
	}
	return errors.Join(errs...)
}

// settle fills in what the spec leaves to the form and to the file's metadata. Sizes that are still 0 are told by the file's shape.
func (p *Picture) settle(task model.Task, metadata map[string]string) (model.Picture, error) {
	out := model.Picture{Width: p.Width, Height: p.Height, Labels: p.Labels, Form: p.Form, Normal: p.Normal, Threshold: usualConfidence, Overlap: usualOverlap}
	if out.Form == "" {
		out.Form = model.FormYOLOv8
		if task == model.Classification {
			out.Form = model.FormProbabilities
		}
	}
	switch out.Form {
	case model.FormProbabilities, model.FormLogits:
		out.Threshold, out.Overlap = usualClass, 0
	case model.FormEndToEnd, model.FormSSD: // what they find is suppressed already
		out.Overlap = 1
	}
	if p.Threshold != nil {
		out.Threshold = *p.Threshold
	}
	if p.Overlap != nil {
		out.Overlap = *p.Overlap
	}
	for c := range 3 {
		out.Std[c] = 1
		if len(p.Mean) > 0 {
			out.Mean[c] = p.Mean[min(c, len(p.Mean)-1)]
		}
		if len(p.Std) > 0 {
			out.Std[c] = p.Std[min(c, len(p.Std)-1)]
		}
	}
	if len(out.Labels) == 0 {
		out.Labels = namedLabels(metadata["names"])
	}
	if len(out.Labels) == 0 {
		return out, errors.New("picture.labels: name the classes, in the order of the outputs; the file's metadata does not")
	}
	return out, nil
}

// named is an entry of the dictionary that Ultralytics' exports keep as text: {0: 'person', 1: 'driver\'s cab'}.
var named = regexp.MustCompile(`(\d+):\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")`)

// namedLabels reads a file's own names; nil where they are not the numbers from 0 on.
func namedLabels(text string) []string {
	var labels []string
	for i, m := range named.FindAllStringSubmatch(text, -1) {
		if n, err := strconv.Atoi(m[1]); err != nil || n != i {
			return nil
		}
		labels = append(labels, strings.NewReplacer(`\'`, `'`, `\"`, `"`, `\\`, `\`).Replace(m[2]+m[3]))
	}
	return labels
}
