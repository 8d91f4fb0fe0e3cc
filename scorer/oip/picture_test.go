package oip

import (
	"testing"

	"andon/model"
	"andon/model/ort/orttest"
)

// Models of pictures tell what they are; asking them is refused in words.
func TestPictureModels(t *testing.T) {
	h := newHouse(t, nil)
	m, err := model.Seal(orttest.Convolutions(16, 6, 4), model.Meta{Pipeline: "fans", Task: model.Detection,
		Picture: &model.Picture{Width: 16, Height: 16, Labels: []string{"hat", "vest"}, Form: model.FormYOLOv8, Threshold: 0.25}})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.models.Add(m); err != nil {
		t.Fatal(err)
	}
	if err := h.models.Promote("fans", m.Version, "test", "first"); err != nil {
		t.Fatal(err)
	}
	var d description
	h.get(t, "GET", "/v2/models/fans", "", &d)
	if len(d.Inputs) != 1 || d.Inputs[0].Name != "frame" || d.Inputs[0].Shape[3] != 16 || len(d.Outputs) != 1 || d.Outputs[0].Name != "boxes" || d.Outputs[0].Shape[1] != 6 ||
		d.Properties["labels"] != `["hat","vest"]` || d.Properties["form"] != "yolov8" || d.Properties["threshold"] != "0.25" {
		t.Errorf("%+v", d)
	}
	var c configuration
	h.get(t, "GET", "/v2/models/fans/config", "", &c)
	if len(c.Input) != 1 || len(c.Input[0].Dims) != 3 {
		t.Errorf("%+v", c)
	}
	h.fails(t, 400, "POST", "/v2/models/fans/infer", `{"inputs":[{"name":"frame","datatype":"FP32","shape":[1,3,16,16],"data":[0]}]}`, "model fans is of pictures")
}
