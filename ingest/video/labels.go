package video

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Told is what somebody says of a stretch of a video: what is in it, and perhaps where. The label clear says that there is nothing.
type Told struct {
	// From and To bound it in seconds of the video, [From, To).
	From, To float64
	Label    string
	// Box is left, top, right, bottom in 0 to 1 of the picture; the zero Box is the whole of it.
	Box [4]float64
}

// ReadLabels reads a CSV with the header from,to,label,x0,y0,x1,y1; the corners may be left out, of a line or of all. The error names the line.
func ReadLabels(r io.Reader) ([]Told, error) {
	c := csv.NewReader(r)
	c.FieldsPerRecord = -1
	head, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("read the labels: %w", err)
	}
	const want = "from,to,label,x0,y0,x1,y1"
	if got := strings.Join(head, ","); got != want && got != "from,to,label" {
		return nil, fmt.Errorf("read the labels: the header is %q: write %s, or from,to,label", got, want)
	}
	var all []Told
	for {
		row, err := c.Read()
		if err == io.EOF {
			return all, nil
		}
		line, _ := c.FieldPos(0)
		if err == nil {
			var t Told
			if t, err = readTold(row); err == nil {
				all = append(all, t)
				continue
			}
		}
		return nil, fmt.Errorf("read the labels: line %d: %w", line, err)
	}
}

func readTold(row []string) (t Told, err error) {
	if len(row) != 3 && len(row) != 7 {
		return t, fmt.Errorf("it has %d columns, not 3 or 7", len(row))
	}
	number := func(s string) float64 {
		v, e := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if e != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			err = errors.Join(err, fmt.Errorf("%q is not a number", s))
		}
		return v
	}
	t.From, t.To, t.Label = number(row[0]), number(row[1]), strings.TrimSpace(row[2])
	if len(row) == 7 && strings.Join(row[3:], "") != "" {
		for i := range t.Box {
			t.Box[i] = number(row[3+i])
		}
		if b := t.Box; err == nil && !(0 <= b[0] && b[0] < b[2] && b[2] <= 1 && 0 <= b[1] && b[1] < b[3] && b[3] <= 1) {
			err = fmt.Errorf("%v is not a box within 0 and 1: write left, top, right, bottom", b)
		}
	}
	switch {
	case err != nil:
	case t.Label == "":
		err = errors.New("the label is empty")
	case !(t.From >= 0 && t.From < t.To):
		err = fmt.Errorf("from %v to %v is no stretch of a video", t.From, t.To)
	}
	return t, err
}

// Truth says what is told of a file's frames, and to whom.
type Truth struct {
	// Pipeline is whose frames they are, Topic that of labels, Who told it.
	Pipeline, Topic, Who string
	Told                 []Told
}

// of returns the records' values for a frame at a time of the video.
func (t *Truth) of(f *Frame, at time.Duration) (values [][]byte, err error) {
	for i := range t.Told {
		told := &t.Told[i]
		if s := at.Seconds(); s < told.From || s >= told.To {
			continue
		}
		label := struct {
			Pipeline string      `json:"pipeline"`
			Asset    string      `json:"asset"`
			Time     time.Time   `json:"time"`
			Label    string      `json:"label"`
			Box      *[4]float64 `json:"box,omitempty"`
			Who      string      `json:"who,omitempty"`
		}{t.Pipeline, f.Camera, f.Captured.UTC(), told.Label, nil, t.Who}
		if told.Box != ([4]float64{}) {
			label.Box = &told.Box
		}
		js, err := json.Marshal(label)
		if err != nil {
			return nil, err
		}
		values = append(values, js)
	}
	return values, nil
}
