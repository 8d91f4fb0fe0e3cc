package video

import (
	"strings"
	"testing"
	"time"
)

func TestReadLabels(t *testing.T) {
	told, err := ReadLabels(strings.NewReader("from,to,label,x0,y0,x1,y1\n0,1.5,helmet,0.1,0.2,0.3,0.4\n0.5,2,vest,0.1,0.2,0.3,1\n2,3,clear,,,,\n3,4,person\n"))
	if err != nil || len(told) != 4 || told[1].Box != [4]float64{0.1, 0.2, 0.3, 1} || told[2].Box != [4]float64{} || told[3].Label != "person" {
		t.Fatalf("%v %+v", err, told)
	}
	truth := Truth{Pipeline: "dock", Who: "eva", Told: told}
	f := &Frame{Camera: "c", Captured: time.Unix(5, 123456789)}
	values, err := truth.of(f, 700*time.Millisecond)
	if err != nil || len(values) != 2 || string(values[0]) != `{"pipeline":"dock","asset":"c","time":"1970-01-01T00:00:05.123456789Z","label":"helmet","box":[0.1,0.2,0.3,0.4],"who":"eva"}` {
		t.Errorf("%v %s", err, values)
	}
	if values, _ = truth.of(f, 2*time.Second); len(values) != 1 || !strings.Contains(string(values[0]), `"clear"`) || strings.Contains(string(values[0]), "box") {
		t.Errorf("%s", values)
	}
	if values, _ = truth.of(f, 9*time.Second); len(values) != 0 {
		t.Errorf("%s", values)
	}
	for text, part := range map[string]string{
		"": "EOF", "a,b\n": "the header", "from,to,label\n1,0,x\n": "line 2: from 1 to 0", "from,to,label\n0,1,\n": "the label is empty", "from,to,label\n0,x,a\n": `"x" is not a number`,
		"from,to,label,x0,y0,x1,y1\n0,1,a,0.5,0,0.1,1\n": "not a box", "from,to,label\n0,1\n": "2 columns", "from,to,label\n0,1,a\n0,NaN,a\n": "line 3",
	} {
		if _, err := ReadLabels(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v, want %q", text, err, part)
		}
	}
}
